"""Delays against a loop over rows, and against the published tutorial's own class."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.ridge import BandedRidgeCV, RidgeCV
from brainnet.series import Delayer, delayed, delayed_spaces

RUNS = np.repeat(["a", "b", "c"], [7, 2, 9])


def by_hand(x: np.ndarray, delays, runs) -> np.ndarray:
    out = np.zeros((len(x), len(delays), x.shape[1]), x.dtype)
    for t in range(len(x)):
        for k, delay in enumerate(delays):
            if 0 <= t - delay < len(x) and runs[t - delay] == runs[t]:
                out[t, k] = x[t - delay]
    return out.reshape(len(x), -1)


@pytest.mark.parametrize("delays", [[0], [1, 2, 3, 4], [-2, 0, 5], [30], [8, 1]])
def test_delays_equal_a_loop_over_rows_and_stay_within_runs(delays):
    x = np.random.default_rng(0).normal(size=(18, 3)).astype(np.float32)
    found = delayed(x, delays, RUNS)
    assert found.dtype == np.float32
    np.testing.assert_array_equal(found, by_hand(x, delays, RUNS))
    assert torch.equal(delayed(torch.from_numpy(x), delays, RUNS), torch.from_numpy(found))


def test_more_axes_are_joined_along_the_channels():
    x = torch.randn(18, 3, 2, 2, generator=torch.Generator().manual_seed(0))
    found = delayed(x, [1, 2], RUNS)
    assert found.shape == (18, 6, 2, 2)
    np.testing.assert_array_equal(found[:, :, 1, 0], by_hand(x[:, :, 1, 0].numpy(), [1, 2], RUNS))


def test_one_run_equals_the_published_tutorial():
    published = pytest.importorskip("voxelwise_tutorials.delayer", reason="needs voxelwise_tutorials").Delayer
    x = np.random.default_rng(0).normal(size=(20, 3))
    for delays in ([1, 2, 3, 4], [0, -1, 5]):
        np.testing.assert_array_equal(Delayer(delays).fit_transform(x), published(delays).fit_transform(x))


def test_delays_per_space_and_their_labels():
    x = np.random.default_rng(0).normal(size=(18, 4))
    delayer = Delayer({"w": [1, 2], "s": [0]}, spaces=["w", "s", "w", "s"])
    found = delayer.fit_transform(x, runs=RUNS)
    apart = delayed_spaces({"w": x[:, [0, 2]], "s": x[:, [1, 3]]}, {"w": [1, 2], "s": [0]}, RUNS)
    np.testing.assert_array_equal(found, np.concatenate([apart["w"], apart["s"]], axis=1))
    assert delayer.spaces_.tolist() == ["w"] * 4 + ["s"] * 2
    assert delayer.delays_.tolist() == [1, 1, 2, 2, 0, 0]
    assert delayer.columns_.tolist() == [0, 2, 0, 2, 1, 3]
    weights = delayer.by_delay(np.arange(6.0))
    np.testing.assert_array_equal(weights[2], [2, np.nan, 3, np.nan])
    np.testing.assert_array_equal(weights[0], [np.nan, 4, np.nan, 5])


def test_weights_go_back_to_the_features_they_came_from():
    x = np.random.default_rng(0).normal(size=(300, 3))
    true = {1: np.array([1.0, 0, 0]), 3: np.array([0, -2.0, 0])}
    y = sum(delayed(x, [delay]) @ weight for delay, weight in true.items())
    delayer = Delayer([1, 2, 3])
    coef = RidgeCV(alphas=[1e-6]).fit(delayer.fit_transform(x), y[:, None]).coef_
    found = delayer.by_delay(coef)
    for delay in (1, 2, 3):
        np.testing.assert_allclose(found[delay][0], true.get(delay, np.zeros(3)), atol=1e-4)


def test_a_pipeline_cross_validated_over_runs_never_reads_another_run():
    """A response that is the feature of two rows before: at each run's start that row is of the run before."""
    from sklearn.model_selection import LeaveOneGroupOut, cross_val_predict
    from sklearn.pipeline import make_pipeline

    rng = np.random.default_rng(0)
    runs = np.repeat([1, 2, 3], 40)
    x = rng.normal(size=(120, 2))
    y = delayed(x, [2], runs) @ np.ones((2, 1))
    with_runs = np.column_stack([runs, x])
    model = make_pipeline(Delayer([1, 2], run_column=0), RidgeCV(alphas=[1e-8]))
    found = cross_val_predict(model, with_runs, y, groups=runs, cv=LeaveOneGroupOut())
    np.testing.assert_allclose(found, y, atol=1e-4)
    model = make_pipeline(Delayer([1, 2]), RidgeCV(alphas=[1e-8]))  # the trap: rows of other runs at the borders
    found = cross_val_predict(model, x, y, groups=runs, cv=LeaveOneGroupOut())
    assert np.abs(found - y).max() > 0.1


def test_banded_ridge_takes_spaces_with_their_own_delays():
    rng = np.random.default_rng(0)
    runs = np.repeat([1, 2, 3, 4], 50)
    spaces = {"words": rng.normal(size=(200, 3)), "sound": rng.normal(size=(200, 20))}
    y = delayed(spaces["words"], [2], runs) @ rng.normal(size=(3, 4))
    x = delayed_spaces(spaces, {"words": [1, 2, 3], "sound": [0]}, runs)
    model = BandedRidgeCV(cv="groups", n_iter=20).fit(x, y, groups=runs)
    assert (model.shares_[0] > 0.9).all()
    assert {name: w.shape for name, w in model.coef_.items()} == {"words": (4, 9), "sound": (4, 20)}


@pytest.mark.parametrize(
    ("delays", "named"),
    [([], "one or more"), ([1, 1], "each given once"), ([1.5], "1.5"), ("1 2", "1 2"), (2, "2"), ([True], "True"),
     (["a"], "a")],
)  # fmt: skip
def test_delays_that_are_none_are_refused(delays, named):
    with pytest.raises(ValueError, match=named):
        delayed(np.ones((5, 1)), delays)


def test_spaces_that_do_not_fit_are_refused():
    x = np.ones((5, 3))
    with pytest.raises(ValueError, match="spaces="):
        Delayer({"a": [1]}).fit(x)
    with pytest.raises(ValueError, match="3 features"):
        Delayer([1], spaces=["a"]).fit(x)
    with pytest.raises(ValueError, match="'b'"):
        Delayer({"a": [1], "b": [2]}, spaces=["a", "a", "a"]).fit(x)
    with pytest.raises(ValueError, match="wrods.*words"):
        delayed_spaces({"words": x}, {"wrods": [1]})
    with pytest.raises(ValueError, match="'sound' has no delays"):
        delayed_spaces({"words": x, "sound": x}, {"words": [1]})
    with pytest.raises(ValueError, match="expecting 3"):
        Delayer([1]).fit(x).transform(x[:, :2])
