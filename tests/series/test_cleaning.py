"""Drifts and scales within runs, against scipy and nilearn."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.series import RunScaler, detrend, zscore

RUNS = np.repeat(["a", "b"], [30, 50])


@pytest.fixture
def drifting() -> np.ndarray:
    rng = np.random.default_rng(0)
    t = np.concatenate([np.arange(30), np.arange(50)])[:, None]
    return rng.normal(size=(80, 3)) + 0.3 * t + np.where(RUNS == "a", 100, -50)[:, None]


def test_a_line_is_scipys_in_each_run(drifting):
    from scipy.signal import detrend as theirs

    found = detrend(drifting, RUNS)
    for rows in (slice(0, 30), slice(30, 80)):
        np.testing.assert_allclose(found[rows], theirs(drifting[rows], axis=0), atol=1e-9)


def test_a_polynomial_is_the_residual_of_least_squares(drifting):
    found = detrend(drifting, None, 3)
    t = np.arange(80.0)
    np.testing.assert_allclose(found, drifting - np.stack([np.polyval(np.polyfit(t, y, 3), t) for y in drifting.T], 1),
                               atol=1e-6)  # fmt: skip


def test_slow_cosines_are_nilearns(drifting):
    from nilearn.signal import clean

    theirs = clean(drifting[:50], detrend=False, standardize=None, filter="cosine", high_pass=1 / 40, t_r=2.0)
    found = detrend(drifting[:50], None, 0, cutoff=40.0, tr=2.0)
    np.testing.assert_allclose(found, theirs - theirs.mean(0), atol=1e-6)


def test_a_large_offset_takes_no_digits():
    rng = np.random.default_rng(0)
    noise = rng.normal(size=(60, 2))
    np.testing.assert_allclose(detrend(noise + 1e9, None), detrend(noise, None), atol=1e-6)


def test_zscore_is_the_published_recipe(drifting):
    from scipy.stats import zscore as theirs

    expected = np.concatenate([theirs(drifting[:30]), theirs(drifting[30:])])
    np.testing.assert_allclose(zscore(drifting, RUNS), expected, atol=1e-10)


def test_nothing_of_a_test_run_reaches_a_training_run(drifting):
    """Training rows are the same whatever the test run holds, and a test run is scaled by training runs alone."""
    scaler = RunScaler(scale="training").fit(drifting[:30], runs=RUNS[:30])
    both = scaler.transform(drifting, runs=RUNS)
    changed = drifting.copy()
    changed[30:] *= 7
    other = scaler.transform(changed, runs=RUNS)
    np.testing.assert_array_equal(both[:30], other[:30])
    np.testing.assert_allclose(other[30:], 7 * both[30:])
    np.testing.assert_allclose(both[:30].std(0), 1)
    np.testing.assert_allclose(scaler.set_params(scale="run").transform(changed, runs=RUNS)[30:].std(0), 1)


def test_without_a_drift_the_training_mean_is_taken_off():
    scaler = RunScaler(degree=None).fit([[1.0], [3.0]])
    assert scaler.transform([[5.0], [5.0]]).tolist() == [[3.0], [3.0]]


def test_constants_become_zero_and_gaps_stay(drifting):
    drifting[:, 0] = 4.0
    drifting[3, 1] = np.nan
    found = RunScaler(degree=1, scale="run").fit_transform(drifting, runs=RUNS)
    assert (found[:, 0] == 0).all()
    assert np.isnan(found[:30, 1]).all()
    assert np.isfinite(found[30:, 1]).all()


def test_a_run_that_is_too_short_and_settings_that_are_none_are_refused():
    with pytest.raises(ValueError, match="'b' has 2 rows"):
        detrend(np.ones((5, 1)), ["a", "a", "a", "b", "b"], 2)
    with pytest.raises(ValueError, match="tr"):
        detrend(np.ones((5, 1)), cutoff=100.0)
    with pytest.raises(ValueError, match="runs.*run"):
        RunScaler(scale="runs").fit(np.ones((5, 1)))
