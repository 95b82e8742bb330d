"""Responses that are time series: their rows, their cleaning, their clock, and ridge over them."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
import torch

from brainnet.dataset import Cleaning, TimeSeries, Window
from brainnet.encode import FitKey, encode
from brainnet.ridge import BandedRidgeCV, RidgeCV
from brainnet.scores import pearson_r
from brainnet.series import delayed, downsample, zscore

LENGTHS = {"b": 40, "a": 60, "c": 50}


def random_runs(seed: int = 0, n_voxels: int = 4, lengths=LENGTHS) -> dict[str, np.ndarray]:
    rng = np.random.default_rng(seed)
    return {name: rng.normal(size=(n, n_voxels)).cumsum(0) * 0.3 + 50 for name, n in lengths.items()}


def test_rows_runs_and_splits():
    data = TimeSeries(random_runs(), tr=1.5, test="c", val=["a"], trim=(2, 3))
    assert data.run_names == ["b", "a", "c"]
    assert len(data) == 150 - 15
    assert data.image_ids[0] == "b/0002"
    assert data.times[0] == 3.0
    assert data.rows("a") == slice(35, 90)
    assert set(data.groups[data.splits["test"].numpy()]) == {"c"}
    assert set(data.groups[data.splits["val"].numpy()]) == {"a"}
    assert set(data.groups[data.splits["train"].numpy()]) == {"b"}
    assert len(np.unique(data.blocks[data.rows("a")])) == 2  # 55 volumes of 1.5 s, blocks of 40 s
    with pytest.raises(NotImplementedError, match="features"):
        data.load_image(0)


def test_runs_are_cleaned_as_by_hand():
    from scipy.signal import detrend

    runs = random_runs()
    data = TimeSeries(runs, tr=2.0, test=["c"])
    for name, run in runs.items():
        expected = detrend(run, axis=0)
        expected = (expected - expected.mean(0)) / expected.std(0)
        np.testing.assert_allclose(data.responses[data.rows(name)], expected, atol=1e-5)


def test_training_scale_comes_from_training_runs_alone():
    runs = random_runs()
    data = TimeSeries(runs, tr=2.0, test=["c"], cleaning=Cleaning(0, "training"))
    train = data.responses[data.splits["train"]]
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(4))
    louder = TimeSeries(runs | {"c": 5 * runs["c"]}, tr=2.0, test=["c"], cleaning=Cleaning(0, "training"))
    assert torch.equal(louder.responses[data.splits["train"]], train)
    torch.testing.assert_close(louder.responses[data.splits["test"]], 5 * data.responses[data.splits["test"]])


def test_no_cleaning_leaves_responses():
    runs = random_runs()
    data = TimeSeries(runs, tr=2.0, cleaning=Cleaning(None, "none"))
    np.testing.assert_allclose(data.responses, np.concatenate(list(runs.values())), rtol=1e-6)


def test_repeats_are_averaged_and_give_the_explainable_variance():
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(3000, 3))
    repeats = signal + rng.normal(size=(4, 3000, 3)) * np.array([0.5, 1.0, 2.0])
    data = TimeSeries({"a": rng.normal(size=(50, 3)), "t": repeats}, tr=2.0, test=["t"], cleaning=Cleaning(0))
    share = 1 / (1 + np.array([0.25, 1.0, 4.0]))  # of one repeat
    of_mean = 4 * share / (1 + 3 * share)
    np.testing.assert_allclose(data.noise_ceiling.square(), of_mean, atol=0.02)
    assert data.n_repeats == 4
    mean = np.mean([zscore(part) for part in repeats], axis=0)
    np.testing.assert_allclose(data.responses[data.rows("t")], zscore(mean), atol=1e-5)
    assert data.repeats_of("t").shape == (4, 3000, 3)
    assert TimeSeries({"a": repeats, "t": repeats[0]}, tr=2.0, test=["t"]).noise_ceiling is None


def test_explainable_variance_is_that_of_the_published_tutorial():
    theirs = pytest.importorskip("voxelwise_tutorials.utils", reason="needs voxelwise_tutorials").explainable_variance
    rng = np.random.default_rng(0)
    repeats = rng.normal(size=(200, 5)) + rng.normal(size=(6, 200, 5))
    data = TimeSeries({"a": rng.normal(size=(50, 5)), "t": repeats}, tr=2.0, test=["t"], cleaning=Cleaning(0))
    share = theirs(repeats)
    np.testing.assert_allclose(data.noise_ceiling.square(), 6 * share / (1 + 5 * share), atol=1e-5)


def test_events_come_to_the_volumes_of_their_run():
    data = TimeSeries(random_runs(), tr=2.0, trim=(5, 2))
    rng = np.random.default_rng(0)
    events = {name: (rng.normal(size=(100, 3)), np.sort(rng.uniform(0, 2 * n, 100))) for name, n in LENGTHS.items()}
    found = data.downsample(events)
    for name, n in LENGTHS.items():
        expected = downsample(*events[name], np.arange(n) * 2.0)[5:-2]
        np.testing.assert_array_equal(found[data.rows(name)], expected)


def test_a_clock_that_starts_before_the_stimulus():
    """The sound starts 10 s after the scanner, and responses come without 10 volumes at the start and 5 at the end."""
    data = TimeSeries(
        {"s": np.random.default_rng(0).normal(size=(25, 2))}, tr=2.0, trim=(10, 5), trimmed=True, start=-10
    )
    assert len(data) == 25
    assert data.times[0] == 10.0
    events = {"s": (np.eye(4), [0.0, 10.0, 12.0, 20.0])}
    found = data.downsample(events, "mean")
    assert found.argmax(0)[1:].tolist() == [0, 1, 5]
    assert (found[:, 0] == 0).all()  # shown before the first volume that was kept


def test_windows_are_averaged_by_the_time_they_were_on():
    windows = {"a": [Window(0.0, 3.0, "x"), Window(3.0, 1.0, "y"), Window(10.0, 2.0, "x")]}
    data = TimeSeries({"a": np.random.default_rng(0).normal(size=(8, 2))}, tr=2.0, stimuli=windows)
    found = data.sample(np.array([[4.0], [1.0]]), ["y", "x"])
    np.testing.assert_allclose(found[:, 0], [1.0, 2.5, 0, 0, 0, 1.0, 0, 0])
    lanczos = data.sample(np.array([[4.0], [1.0]]), ["y", "x"], "lanczos")
    np.testing.assert_allclose(lanczos, downsample([[1.0], [4.0], [1.0]], [1.5, 3.5, 11.0], np.arange(8) * 2.0))
    with pytest.raises(ValueError, match="'a'.*'y'"):
        data.sample(np.array([[1.0]]), ["x"])


def planted(delay: int, seed: int = 0, noise: float = 0.5):
    """Features of two layers, and voxels that read the second one some volumes later."""
    rng = np.random.default_rng(seed)
    lengths = {"a": 120, "b": 90, "c": 110, "t": 100}
    runs = np.repeat(list(lengths), list(lengths.values()))
    layers = {name: rng.normal(size=(len(runs), 6)).astype(np.float32) for name in ("early", "late")}
    signal = delayed(layers["late"], [delay], runs) @ rng.normal(size=(6, 5)) / np.sqrt(6)
    responses = signal + noise * rng.normal(size=signal.shape)
    data = TimeSeries({name: responses[runs == name] for name in lengths}, tr=2.0, test=["t"], cleaning=Cleaning(0))
    return data, layers


def test_encode_finds_the_layer_with_delays_and_not_without():
    data, layers = planted(delay=3)
    found = encode(data.delayed(layers, [1, 2, 3, 4]), data, groups="dataset", n_resamples=20, controls=["shuffled"])
    table = found.table.set_index(["layer", "control", "score", "roi"])["mean"]
    assert table["late", "", "r", "all"] > 0.8
    assert abs(table["early", "", "r", "all"]) < 0.2
    assert abs(table["late", "shuffled", "r", "all"]) < 0.2
    without = encode(data.delayed(layers, [0]), data, groups="dataset", n_resamples=20).table
    assert without[(without.layer == "late") & (without.score == "r")]["mean"].abs().max() < 0.25


def test_intervals_of_a_series_draw_blocks():
    data, layers = planted(delay=1)
    assert len(np.unique(data.blocks_of("test"))) == 5
    features = data.delayed(layers, [1])
    key = FitKey("model", "subject", "ridge", "late")
    with_blocks = encode(features, data, n_resamples=200)
    data.blocks = None
    without = encode(features, data, n_resamples=200)
    low = [e.table.set_index(["layer", "score", "roi"]).low["late", "r", "all"] for e in (with_blocks, without)]
    assert low[0] != low[1]
    assert torch.equal(with_blocks.fits[key].predictions["test"], without.fits[key].predictions["test"])


def test_a_split_of_a_single_block_is_shuffled_volume_by_volume(rng, monkeypatch):
    """Runs of 34 volumes at a TR of 2 s are shorter than two blocks of 40 s."""
    monkeypatch.setattr("brainnet._checks._already_warned", set())
    runs = {name: torch.randn(34, 3, generator=rng).numpy() for name in "abc"}
    data = TimeSeries(runs, tr=2.0, test="c", val="b")
    with pytest.warns(UserWarning, match="a single block of 34 volumes, so that single volumes are drawn"):
        control = data.shuffled(seed=1)
    for split, rows in data.splits.items():
        before, after = data.responses[rows], control.responses[rows]
        assert not torch.equal(before, after), split
        torch.testing.assert_close(before.sort(0).values, after.sort(0).values)


def test_shuffled_blocks_score_zero_and_stay_in_their_split():
    data, _layers = planted(delay=1, noise=0.0)
    control = data.shuffled(seed=1)
    assert control.is_shuffled
    assert control.noise_ceiling is None
    for rows in data.splits.values():
        assert torch.equal(control.responses[rows].sort(0).values, data.responses[rows].sort(0).values)
    together = data.shuffled(per_voxel=False)
    blocks = [set(map(tuple, data.responses[data.blocks == b].tolist())) for b in np.unique(data.blocks)]
    rows = together.responses[data.splits["test"]].tolist()
    assert any(tuple(a) in block and tuple(b) in block for a, b in itertools.pairwise(rows) for block in blocks)
    assert pearson_r(control.responses, data.responses).abs().max() < 0.5


def test_it_says_what_it_is_and_changes_with_it():
    data = TimeSeries(random_runs(), tr=2.0)
    assert repr(data) == "TimeSeries(3 runs of 40 to 60 volumes, TR 2 s, 4 voxels; train 150, val 0, test 0)"
    assert data.signature() != TimeSeries(random_runs(), tr=1.0).signature()


@pytest.mark.parametrize(
    ("changes", "named"),
    [({"runs": {}}, "no runs"),
     ({"runs": {"a": np.ones((9, 2)), "b": np.ones((9, 3))}}, "'b' has 3 voxels but run 'a' has 2"),
     ({"runs": {"a": np.ones(9)}}, r"'a'.*\(9,\)"),
     ({"runs": {"a": np.ones((2, 3))}}, "'a' has 2 volumes"),
     ({"trim": (20, 25)}, "'b' has 40 volumes"),
     ({"trim": (-1, 0)}, "trim"),
     ({"tr": 0}, "tr is"),
     ({"test": ["d"]}, "'d'"),
     ({"test": ["a", "b", "c"]}, "all 3 runs"),
     ({"cleaning": Cleaning(1, "session")}, "session"),
     ({"stimuli": {"z": []}}, "'z'"),
     ({"stimuli": {"a": [Window(5, 1, "x"), Window(3, 1, "x")]}}, "'a'.*number 1 .3 s."),
     ({"stimuli": {"a": [Window(119, 2, "x")]}}, "'a'.*121 s.*120 s"),
     ({"stimuli": {"a": [Window(121, 1, "x")]}}, "'a'.*at 121 s"),
     ({"stimuli": {"a": [Window(1, 3, "x"), Window(3, 1, "y")]}}, "'a'.*overlap.*number 0 ends at 4 s"),
     ({"stimuli": {"a": [Window(1, 0, "x")]}}, "'a'.*positive")],
)  # fmt: skip
def test_what_cannot_be_is_refused_in_one_line(changes, named):
    arguments = {"runs": random_runs(), "tr": 2.0} | changes
    with pytest.raises(ValueError, match=named) as error:
        TimeSeries(**arguments)
    assert len(str(error.value).splitlines()) == 1


def test_features_that_do_not_fit_the_volumes_are_refused():
    data = TimeSeries(random_runs(), tr=2.0)
    with pytest.raises(ValueError, match="'x' has 149 rows.*150 volumes"):
        data.delayed({"x": np.ones((149, 1))}, [1])
    with pytest.raises(ValueError, match="run 'a'"):
        data.downsample({"b": (np.ones((1, 1)), [0.0]), "c": (np.ones((1, 1)), [0.0])})
    with pytest.raises(ValueError, match="'c'.*at 200 s"):
        data.downsample({name: (np.ones((1, 1)), [200.0 if name == "c" else 1.0]) for name in LENGTHS})
    with pytest.raises(ValueError, match="stimuli"):
        data.sample(np.ones((1, 1)), ["x"])
    with pytest.raises(ValueError, match="not repeated"):
        data.repeats_of("a")


def test_a_test_run_of_one_block_is_said_once(recwarn, monkeypatch):
    monkeypatch.setattr("brainnet._checks._already_warned", set())
    data = TimeSeries({"a": np.random.default_rng(0).normal(size=(50, 2)), "t": np.ones((10, 2))}, tr=2.0, test=["t"])
    assert data.blocks_of("test") is None
    assert any("'test' is a single block" in str(w.message) for w in recwarn)


# ---------------------------------------------------------------------- the published recipe, by hand


def recipe():
    """Runs of one feature space or two, on which the published recipe and brainnet are both run."""
    rng = np.random.default_rng(3)
    lengths = {"a": 50, "b": 44, "c": 61, "d": 47, "t": 52}
    runs = np.repeat(list(lengths), list(lengths.values()))
    spaces = {"words": rng.normal(size=(len(runs), 7)) + 2, "sound": 3 * rng.normal(size=(len(runs), 12))}
    signal = delayed(spaces["words"], [2], runs) @ rng.normal(size=(7, 9))
    signal += 0.2 * delayed(spaces["sound"], [1], runs) @ rng.normal(size=(12, 9))
    responses = signal + 4 * rng.normal(size=signal.shape)
    return lengths, runs, spaces, responses


def delayed_by_their_class(x: np.ndarray, runs: np.ndarray, delays) -> np.ndarray:
    """Their class delays each run by itself; without it, the same loop as it documents."""
    parts = []
    for run in dict.fromkeys(runs):
        part = x[runs == run]
        try:
            from voxelwise_tutorials.delayer import Delayer as Theirs

            parts.append(Theirs(delays).fit_transform(part))
        except ImportError:
            parts.append(np.concatenate([np.vstack([np.zeros((d, part.shape[1])), part[: len(part) - d]])
                                         for d in delays], axis=1))  # fmt: skip
    return np.concatenate(parts)


def test_the_published_recipe_gives_the_same_scores():
    """Centre on training runs, delay each run, z-score responses per run, leave one run out: himalaya's own classes."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV
    from himalaya.scoring import correlation_score
    from scipy.stats import zscore as theirs

    set_backend("numpy")
    lengths, runs, spaces, responses = recipe()
    delays, alphas, x = [1, 2, 3, 4], np.logspace(0, 6, 13), spaces["words"]
    test = runs == "t"
    z = np.concatenate([theirs(responses[runs == run]) for run in lengths])
    theirs_of = delayed_by_their_class(x - x[~test].mean(0), runs, delays)
    at = np.flatnonzero(~test)
    folds = [(np.flatnonzero(runs[at] != run), np.flatnonzero(runs[at] == run)) for run in "abcd"]
    model = KernelRidgeCV(alphas=alphas, cv=folds).fit(theirs_of[at], z[at])
    prediction = model.predict(theirs_of[test])

    data = TimeSeries({run: responses[runs == run] for run in lengths}, tr=2.0, test=["t"], cleaning=Cleaning(0))
    np.testing.assert_allclose(data.responses, z, atol=1e-5)
    estimator = RidgeCV(alphas=alphas, fit_intercept=False, cv="groups")
    mine = encode(
        data.delayed({"words": x}, delays), data, methods={"ridge": estimator}, groups="dataset", n_resamples=1
    )
    key = FitKey("model", "subject", "ridge", "words")
    np.testing.assert_allclose(mine.voxel_scores(key), correlation_score(z[test], prediction), atol=1e-6)
    np.testing.assert_allclose(mine.voxel_scores(key, score="r2"), model.score(theirs_of[test], z[test]), atol=1e-6)
    assert float(mine.voxel_scores(key).mean()) > 0.3
    assert len(np.unique(model.best_alphas_)) > 1
    np.testing.assert_allclose(mine.fits[key].details["best_alphas"], model.best_alphas_)


def test_the_published_banded_recipe_gives_the_same_scores():
    """Two feature spaces with their own delays, as himalaya's MultipleKernelRidgeCV with the same candidates."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import MultipleKernelRidgeCV
    from himalaya.scoring import correlation_score

    set_backend("numpy")
    lengths, runs, spaces, responses = recipe()
    delays, alphas = {"words": [1, 2, 3], "sound": [0, 1]}, np.logspace(0, 6, 13)
    mixes = np.random.default_rng(0).dirichlet([1, 1], 12)
    test = runs == "t"
    at = np.flatnonzero(~test)
    z = np.concatenate([zscore(responses[runs == run]) for run in lengths])
    features = [delayed_by_their_class(x - x[~test].mean(0), runs, delays[name]) for name, x in spaces.items()]
    folds = [(np.flatnonzero(runs[at] != run), np.flatnonzero(runs[at] == run)) for run in "abcd"]
    model = MultipleKernelRidgeCV(kernels="precomputed", solver="random_search", cv=folds,
                                  solver_params={"n_iter": mixes, "alphas": alphas, "progress_bar": False})  # fmt: skip
    model.fit(np.stack([f[at] @ f[at].T for f in features]), z[at])
    prediction = model.predict(np.stack([f[test] @ f[at].T for f in features]))

    data = TimeSeries({run: responses[runs == run] for run in lengths}, tr=2.0, test=["t"], cleaning=Cleaning(0))
    estimator = BandedRidgeCV(alphas=alphas, cv="groups", n_iter=mixes, fit_intercept=False, equal_trace=False)
    mine = encode(data.delayed(spaces, delays), data, methods={"banded": estimator}, groups="dataset", n_resamples=1)
    key = FitKey("model", "subject", "banded", "all")
    np.testing.assert_allclose(mine.voxel_scores(key), correlation_score(z[test], prediction), atol=1e-6)
