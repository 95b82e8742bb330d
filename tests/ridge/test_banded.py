"""Banded ridge against himalaya's own estimators and scikit-learn on scaled bands; the split of R2."""

import numpy as np
import pytest
import torch
from himalaya.backend import get_backend, set_backend
from himalaya.kernel_ridge import MultipleKernelRidgeCV
from himalaya.ridge import GroupRidgeCV
from himalaya.scoring import r2_score_split
from sklearn.linear_model import Ridge

from brainnet import scores
from brainnet.ridge import BandedRidgeCV

ALPHAS = np.logspace(-2, 3, 6)
MIXES = np.array([[0.5, 0.5], [0.9, 0.1], [0.1, 0.9], [0.99, 0.01]])


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    spaces = {"a": rng.normal(size=(40, 6)) + 2, "b": 3 * rng.normal(size=(40, 70))}
    Y = spaces["a"] @ rng.normal(size=(6, 5)) + spaces["b"] @ rng.normal(size=(70, 5)) / 10
    return spaces, Y + rng.normal(size=(40, 5)) + 4


def test_matches_himalayas_estimators(data):
    spaces, Y = data
    centred = {k: x - x.mean(0) for k, x in spaces.items()}
    model = BandedRidgeCV(alphas=ALPHAS, n_iter=MIXES, equal_trace=False).fit(centred, Y)
    kernels = np.stack([x @ x.T for x in centred.values()])
    peer = MultipleKernelRidgeCV(
        "precomputed", solver_params={"n_iter": MIXES, "alphas": ALPHAS, "progress_bar": False}, fit_intercept=True
    ).fit(kernels, Y)
    np.testing.assert_allclose(model.predict(centred), peer.predict(kernels), rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.cv_scores_, peer.cv_scores_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(np.log(model.shares_ / model.best_alphas_), peer.deltas_, rtol=0, atol=1e-8)

    primal = GroupRidgeCV(
        [0] * 6 + [1] * 70, solver_params={"n_iter": MIXES, "alphas": ALPHAS, "progress_bar": False, "warn": False}
    ).fit(np.hstack(list(spaces.values())), Y)
    model = BandedRidgeCV(alphas=ALPHAS, n_iter=MIXES, equal_trace=False, fit_intercept=False).fit(spaces, Y)
    np.testing.assert_allclose(np.hstack(list(model.coef_.values())), primal.coef_.T, rtol=0, atol=1e-8)


@pytest.mark.parametrize("equal_trace", [True, False])
def test_weights_are_those_of_ridge_on_scaled_bands(data, equal_trace):
    spaces, Y = data
    model = BandedRidgeCV(alphas=ALPHAS, n_iter=MIXES, equal_trace=equal_trace).fit(spaces, Y)
    gains = [len(Y) / np.square(x - x.mean(0)).sum() if equal_trace else 1.0 for x in spaces.values()]
    for voxel in range(5):
        sizes = np.sqrt(model.shares_[:, voxel] * gains / model.best_alphas_[voxel])
        scaled = np.hstack([x * size for x, size in zip(spaces.values(), sizes, strict=True)])
        fit = Ridge(1.0, solver="svd").fit(scaled, Y[:, voxel])
        np.testing.assert_allclose(model.predict(spaces)[:, voxel], fit.predict(scaled), rtol=0, atol=1e-8)
        weights = np.concatenate([w[voxel] for w in model.coef_.values()])
        np.testing.assert_allclose(weights, fit.coef_ * np.repeat(sizes, [6, 70]), rtol=0, atol=1e-8)
        np.testing.assert_allclose(model.intercept_[voxel], fit.intercept_, rtol=0, atol=1e-8)


def test_the_split_sums_to_r2_and_matches_himalaya_on_centred_responses(data):
    spaces, Y = data
    train, test = slice(0, 30), slice(30, 40)
    model = BandedRidgeCV(alphas=ALPHAS, n_iter=10).fit({k: x[train] for k, x in spaces.items()}, Y[train])
    new = {k: x[test] for k, x in spaces.items()}
    shares = model.score_split(new, Y[test])
    assert list(shares) == ["a", "b", "offset"]
    np.testing.assert_allclose(sum(shares.values()), model.score(new, Y[test]), rtol=0, atol=1e-10)
    parts = np.stack(list(model.split(new).values()))
    np.testing.assert_allclose(parts.sum(0) + model._mean_y.numpy(), model.predict(new), rtol=0, atol=1e-10)
    centred = Y[test] - Y[test].mean(0)
    expected = r2_score_split(centred, parts - parts.mean(1, keepdims=True))
    np.testing.assert_allclose(np.stack([shares["a"], shares["b"]]), expected, rtol=0, atol=1e-10)
    assert (shares["offset"] <= 0).all()


def test_split_r2_of_constant_responses_is_undefined(rng):
    response = torch.randn(12, 3, generator=rng)
    response[:, 1] = 2.0
    shares = scores.split_r2({"a": torch.randn(12, 3, generator=rng)}, response)
    assert shares["a"].isnan().tolist() == [False, True, False]
    with pytest.raises(ValueError, match="'offset'"):
        scores.split_r2({"offset": response}, response)


def test_noise_features_are_ignored_and_labels_equal_a_mapping(data):
    spaces, _ = data
    Y = spaces["a"] @ np.ones((6, 2))
    model = BandedRidgeCV(n_iter=20).fit(spaces, Y)
    assert (model.shares_[0] > 0.9).all()
    stacked = np.hstack(list(spaces.values()))
    labelled = BandedRidgeCV(["a"] * 6 + ["b"] * 70, n_iter=20).fit(stacked, Y)
    np.testing.assert_allclose(labelled.predict(stacked), model.predict(spaces), rtol=0, atol=1e-10)


def test_memory_and_features_size_change_nothing_and_the_backend_is_left_alone(data):
    spaces, Y = data
    set_backend("numpy")
    whole = BandedRidgeCV(n_iter=5).fit(spaces, Y)
    pieces = BandedRidgeCV(n_iter=5, memory=1).fit(spaces, Y)
    np.testing.assert_allclose(pieces.predict(spaces), whole.predict(spaces), rtol=0, atol=1e-8)
    larger = BandedRidgeCV(n_iter=5).fit({"a": spaces["a"], "b": 1000 * spaces["b"]}, Y)  # equal trace undoes this
    np.testing.assert_allclose(
        larger.predict({"a": spaces["a"], "b": 1000 * spaces["b"]}), whole.predict(spaces), atol=1e-8
    )
    assert get_backend().__name__ == "himalaya.backend.numpy"


def test_nan_voxels_and_empty_spaces_spoil_nothing(data):
    spaces, Y = data
    clean = BandedRidgeCV(n_iter=MIXES).fit(spaces, Y)
    Y[2, 0] = np.nan
    with pytest.warns(UserWarning, match="1 of 5 voxels"):
        model = BandedRidgeCV(n_iter=MIXES).fit(spaces, Y)
    prediction = model.predict(spaces)
    assert np.isnan(prediction[:, 0]).all()
    assert np.isnan(model.cv_scores_[:, 0]).all()
    np.testing.assert_allclose(prediction[:, 1:], clean.predict(spaces)[:, 1:], rtol=0, atol=1e-10)
    silent = BandedRidgeCV(n_iter=np.ones((1, 3))).fit({**spaces, "c": np.ones((40, 3))}, Y[:, 1:])
    assert np.isfinite(silent.predict({**spaces, "c": np.ones((40, 3))})).all()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphas": [0.0]}, "positive finite"),
        ({"cv": "loo"}, "by folds"),
        ({"n_iter": np.ones((2, 3))}, r"\(n, 2\)"),
        ({"cv": 99}, "as many images"),
    ],
)
def test_wrong_settings_are_refused(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        BandedRidgeCV(**arguments).fit(*data)


def test_wrong_data_is_refused(data):
    spaces, Y = data
    with pytest.raises(ValueError, match="name -> features"):
        BandedRidgeCV().fit(spaces["a"], Y)
    with pytest.raises(ValueError, match="one label per feature"):
        BandedRidgeCV([0, 1]).fit(spaces["a"], Y)
    with pytest.raises(ValueError, match="features have 30 images"):
        BandedRidgeCV().fit({"a": spaces["a"], "b": spaces["b"][:30]}, Y)
    model = BandedRidgeCV(n_iter=2).fit(spaces, Y)
    with pytest.raises(ValueError, match=r"fitted on \['a', 'b'\]"):
        model.predict({"b": spaces["b"], "a": spaces["a"]})
    with pytest.raises(ValueError, match="fitted on 70"):
        model.predict({"a": spaces["a"], "b": spaces["b"][:, :9]})
    with pytest.raises(ValueError, match="not fitted"):
        BandedRidgeCV().predict(spaces)
