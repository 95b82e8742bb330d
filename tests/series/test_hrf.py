"""The fixed hemodynamic response against nilearn's."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.series import HRF, double_gamma


@pytest.mark.parametrize("shape", ["spm", "glover"])
def test_the_response_is_nilearns(shape):
    from nilearn.glm.first_level import hemodynamic_models

    theirs = getattr(hemodynamic_models, f"{shape}_hrf")(t_r=1.0, oversampling=100, time_length=32.0)
    ours = double_gamma(np.arange(3200) * 0.01 - 0.01, shape)  # theirs begins a step later
    ours /= ours.sum()
    # nilearn writes 0.167 where the published ratio is 1/6, and stretches its steps by 1/3200
    np.testing.assert_allclose(ours, theirs, atol=1e-3 * theirs.max())


@pytest.mark.parametrize("shape", ["spm", "glover"])
def test_a_block_design_equals_nilearns_regressor(shape):
    from nilearn.glm.first_level import compute_regressor

    frames = np.arange(60) * 2.0
    events = np.array([[10.0, 40.0, 70.0], [4.0, 6.0, 2.0], [1.0, 2.0, 1.0]])  # onset, duration, amplitude
    theirs, _ = compute_regressor(events, shape, frames, oversampling=20)
    fine = np.zeros((1200, 1))
    for onset, duration, amplitude in events.T:
        fine[round(onset * 10) : round((onset + duration) * 10)] = amplitude
    ours = HRF(0.1, shape=shape).fit_transform(fine)[::20]
    assert np.corrcoef(ours[:, 0], theirs[:, 0])[0, 1] > 0.999
    np.testing.assert_allclose(ours[:, 0] / ours.max(), theirs[:, 0] / theirs.max(), atol=0.03)


def test_the_filter_is_a_convolution_and_ends_with_the_run():
    rng = np.random.default_rng(0)
    x, runs = rng.normal(size=(80, 2)), np.repeat([1, 2], [50, 30])
    model = HRF(2.0, length=20.0)
    found = model.fit_transform(x, runs=runs)
    for rows in (slice(0, 50), slice(50, 80)):
        for column in range(2):
            by_hand = np.convolve(x[rows, column], model.filter_)[: rows.stop - rows.start]
            np.testing.assert_allclose(found[rows, column], by_hand, atol=1e-12)
    changed = x.copy()
    changed[:50] += 100
    np.testing.assert_array_equal(model.transform(changed, runs=runs)[50:], found[50:])
    with_column = HRF(2.0, length=20.0, run_column=0).fit_transform(np.column_stack([runs, x]))
    np.testing.assert_allclose(with_column, found)


def test_times_that_make_no_filter_are_refused():
    for arguments in ({"tr": 0}, {"tr": -1.0}, {"tr": 2.0, "length": 1.0}):
        with pytest.raises(ValueError, match="tr"):
            HRF(**arguments).fit(np.ones((5, 1)))
    with pytest.raises(ValueError, match="glovr.*glover"):
        HRF(2.0, shape="glovr").fit(np.ones((5, 1)))
