"""RidgeCV and KernelRidgeCV against scikit-learn, himalaya and the closed form; batches, streams and bad input."""

import numpy as np
import pytest
import torch
from sklearn import linear_model
from sklearn.base import clone
from sklearn.kernel_ridge import KernelRidge
from sklearn.model_selection import GroupKFold, KFold, LeaveOneGroupOut, ShuffleSplit
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainnet import scores
from brainnet.ridge import KernelRidgeCV, RidgeCV, cross_validation, features, spectrum

ALPHAS = np.logspace(-2, 4, 7)
SHAPES = {"wide": (30, 50), "tall": (60, 12)}


@pytest.fixture(params=list(SHAPES))
def data(request):
    """Features (n, p) with an offset, responses of 9 voxels with different noise."""
    n, p = SHAPES[request.param]
    rng = np.random.default_rng(0)
    X = rng.normal(size=(n, p)) * rng.uniform(0.5, 3, p) + 4
    Y = X @ rng.normal(size=(p, 9)) / p**0.5 + rng.normal(size=(n, 9)) * np.linspace(0.1, 5, 9) + 10
    return X, Y


def refit_scores(X, Y, folds, score, intercept):
    """(n_alphas, n_voxels): the mean over folds of scikit-learn's refits."""
    table = []
    for alpha in ALPHAS:
        per_fold = []
        for train, test in folds:
            fit = linear_model.Ridge(alpha, fit_intercept=intercept, solver="svd").fit(X[train], Y[train])
            per_fold.append(score(fit.predict(X[test]), Y[test]))
        table.append(np.mean(per_fold, 0))
    return np.array(table)


SCORES = {
    "neg_mse": lambda p, y: -((p - y) ** 2).mean(0),
    "r2": lambda p, y: scores.r2(p, y).numpy(),
    "pearson_r": lambda p, y: scores.pearson_r(p, y).numpy(),
}


@pytest.mark.parametrize("solver", ["primal", "dual"])
@pytest.mark.parametrize(("scoring", "intercept"), [("neg_mse", False), ("r2", True), ("pearson_r", True)])
@pytest.mark.parametrize("cv", ["kfold", "groups", "shuffled", "loo"])
def test_everything_equals_a_loop_over_sklearn(data, solver, scoring, intercept, cv):
    X, Y = data
    runs = np.repeat(np.arange(5), len(X) // 5)
    arguments = {
        "kfold": (4, None, list(KFold(4).split(X))),
        "groups": ("groups", runs, list(LeaveOneGroupOut().split(X, Y, runs))),
        "shuffled": (ShuffleSplit(3, test_size=0.2, train_size=0.6, random_state=0), None, None),
        "loo": ("loo", None, None),
    }
    how, groups, folds = arguments[cv]
    model = RidgeCV(ALPHAS, how, intercept, scoring=scoring, solver=solver).fit(X, Y, groups=groups)
    if cv == "loo":
        expected = []
        for alpha in ALPHAS:
            fit = linear_model.Ridge(alpha, fit_intercept=intercept, solver="svd")
            left_out = [fit.fit(X[t], Y[t]).predict(X[i]) for t, i in KFold(len(X)).split(X)]
            expected.append(SCORES[scoring](np.concatenate(left_out), Y))
        expected = np.array(expected)
    else:
        expected = refit_scores(X, Y, folds or list(how.split(X)), SCORES[scoring], intercept)
    np.testing.assert_allclose(model.cv_scores_, expected, rtol=1e-8, atol=1e-8)
    best = ALPHAS[expected.argmax(0)]
    np.testing.assert_array_equal(model.best_alphas_, best)
    fit = linear_model.Ridge(best, fit_intercept=intercept, solver="svd").fit(X, Y)
    np.testing.assert_allclose(model.coef_, fit.coef_, rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.intercept_, fit.intercept_ if intercept else 0.0, rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.predict(X[:7] + 1), fit.predict(X[:7] + 1), rtol=0, atol=1e-8)


def test_matches_himalaya(data):
    import himalaya.ridge
    from himalaya.kernel_ridge import KernelRidgeCV as Peer
    from himalaya.kernel_ridge import solve_kernel_ridge_cv_eigenvalues

    X, Y = data
    model = RidgeCV(ALPHAS, 5).fit(X, Y)
    peer = Peer(ALPHAS, solver="eigenvalues", fit_intercept=True, cv=5, warn=False).fit(X, Y)
    np.testing.assert_allclose(model.best_alphas_, peer.best_alphas_, rtol=1e-12)  # it goes through exp(log(alpha))
    np.testing.assert_allclose(model.predict(X), peer.predict(X), rtol=0, atol=1e-8)
    np.testing.assert_allclose(model.cv_scores_.max(0), peer.cv_scores_.reshape(-1, 9).max(0), rtol=0, atol=1e-8)
    primal = himalaya.ridge.Ridge(model.best_alphas_, fit_intercept=True, solver="svd").fit(X, Y)
    np.testing.assert_allclose(model.coef_, primal.coef_.T, rtol=0, atol=1e-8)
    dual = RidgeCV(ALPHAS, 5, fit_intercept=False, solver="dual").fit(X, Y)
    _, weights, _ = solve_kernel_ridge_cv_eigenvalues(X @ X.T, Y, alphas=ALPHAS, cv=5)
    np.testing.assert_allclose(X.T @ dual.dual_coef_, X.T @ weights, rtol=0, atol=1e-8)


def test_leave_one_out_matches_sklearns_own(data):
    X, Y = data
    peer = linear_model.RidgeCV(ALPHAS, alpha_per_target=True, store_cv_results=True).fit(X, Y)
    model = RidgeCV(ALPHAS, "loo").fit(X, Y)
    np.testing.assert_allclose(-model.cv_scores_, peer.cv_results_.mean(0).T, rtol=0, atol=1e-8)
    np.testing.assert_array_equal(model.best_alphas_, peer.alpha_)
    np.testing.assert_allclose(model.coef_, peer.coef_, rtol=0, atol=1e-8)


def test_standardising_equals_a_pipeline(data):
    X, Y = data
    X[:, 3] = 7.0  # constant: becomes nothing
    model = RidgeCV(ALPHAS, 4, standardize=True).fit(X, Y)
    pipeline = make_pipeline(StandardScaler(), RidgeCV(ALPHAS, 4)).fit(X, Y)
    np.testing.assert_allclose(model.predict(X[:5] + 1), pipeline.predict(X[:5] + 1), rtol=0, atol=1e-8)
    assert (model.coef_[:, 3] == 0).all()
    np.testing.assert_allclose(X @ model.coef_.T + model.intercept_, model.predict(X), rtol=0, atol=1e-8)


def test_one_penalty_for_all_is_the_best_on_average(data):
    X, Y = data
    model = RidgeCV(ALPHAS, 4, alpha_per_voxel=False).fit(X, Y)
    assert set(model.best_alphas_) == {ALPHAS[model.cv_scores_.mean(1).argmax()]}


@pytest.mark.parametrize("solver", ["primal", "dual"])
def test_the_order_of_fold_indices_does_not_matter(data, solver):
    X, Y = data
    ordered = [(np.arange(8, len(X)), np.arange(8)), (np.arange(len(X) - 8), np.arange(len(X) - 8, len(X)))]
    mixed = [(train[[0, 2, 1, *range(3, len(train))]], test[[0, 5, 1, 2, 3, 4, 6, 7]]) for train, test in ordered]
    one, two = (RidgeCV(ALPHAS, folds, solver=solver).fit(X, Y).cv_scores_ for folds in (ordered, mixed))
    np.testing.assert_allclose(two, one, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cv", [4, "loo"])
def test_memory_changes_nothing(data, cv):
    X, Y = data
    whole, pieces = (RidgeCV(ALPHAS, cv, standardize=True, memory=memory).fit(X, Y) for memory in (1 << 28, 1))
    np.testing.assert_allclose(pieces.cv_scores_, whole.cv_scores_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(pieces.coef_, whole.coef_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(pieces.predict(X), whole.predict(X), rtol=0, atol=1e-10)


@pytest.mark.parametrize("cv", [4, "loo"])
def test_blocks_change_nothing(data, cv, monkeypatch):
    X, Y = data
    whole = RidgeCV(ALPHAS, cv, standardize=True, solver="dual").fit(X, Y)
    prediction = whole.predict(X[5:])
    for module, names in ((features, ("_ROWS_AT_ONCE", "_COLUMNS_AT_ONCE")), (spectrum, ("_ROWS_AT_ONCE",)),
                          (cross_validation, ("_VOXELS_AT_ONCE",))):  # fmt: skip
        for name in names:
            monkeypatch.setattr(module, name, 7)
    pieces = RidgeCV(ALPHAS, cv, standardize=True, solver="dual").fit(X, Y)
    np.testing.assert_allclose(pieces.cv_scores_, whole.cv_scores_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(pieces.coef_, whole.coef_, rtol=0, atol=1e-10)
    np.testing.assert_allclose(pieces.predict(X[5:]), prediction, rtol=0, atol=1e-10)


@pytest.mark.parametrize("cv", [5, "loo"])
def test_a_dual_fit_holds_little_beside_its_weights(cv):
    rng = np.random.default_rng(0)
    X, Y = (rng.normal(size=(200, width)).astype(np.float32) for width in (600, 6000))
    model = RidgeCV(ALPHAS, cv, standardize=True)
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as seen:
        model.fit(X, Y)
    changes = [event.nbytes() for event in seen.profiler.kineto_results.events() if event.name() == "[memory]"]
    assert np.cumsum(changes).max() < 2 * Y.nbytes  # the weights are as large as Y; a copy of Y would be another


def test_memory_mapped_features_give_the_same_and_stay_unread(data, tmp_path):
    X, Y = data
    np.save(tmp_path / "features.npy", X.astype(np.float32))
    stored = np.load(tmp_path / "features.npy", mmap_mode="r")
    model = RidgeCV(ALPHAS, 4, memory=2000).fit(stored, Y)
    expected = RidgeCV(ALPHAS, 4).fit(X.astype(np.float32), Y)
    np.testing.assert_allclose(model.predict(stored), expected.predict(X.astype(np.float32)), rtol=0, atol=1e-8)


def test_single_precision_stays_near_double(data):
    X, Y = data
    single, double = (RidgeCV(ALPHAS, 4).fit(X.astype(dtype), Y.astype(dtype)) for dtype in ("float32", "float64"))
    assert single.coef_.dtype == np.float32
    np.testing.assert_allclose(single.predict(X), double.predict(X), rtol=0, atol=2e-4)


def test_tensors_give_tensors_and_are_left_alone(data):
    X, Y = (torch.from_numpy(part) for part in data)
    copies = X.clone(), Y.clone()
    model = RidgeCV(ALPHAS).fit(X, Y)
    assert all(isinstance(part, torch.Tensor) for part in (model.coef_, model.predict(X), model.cv_scores_))
    np.testing.assert_allclose(model.predict(X), RidgeCV(ALPHAS).fit(*data).predict(data[0]), rtol=0, atol=1e-12)
    assert torch.equal(X, copies[0])
    assert torch.equal(Y, copies[1])


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device")
@pytest.mark.parametrize("cv", [4, "loo"])
def test_gpu_equals_cpu(data, cv):
    X, Y = (torch.from_numpy(part) for part in data)
    model = RidgeCV(ALPHAS, cv).fit(X.cuda(), Y.cuda())
    assert model.coef_.is_cuda
    torch.testing.assert_close(model.coef_.cpu(), RidgeCV(ALPHAS, cv).fit(X, Y).coef_, rtol=0, atol=1e-8)


def test_scikit_learn_can_clone():
    model = RidgeCV(ALPHAS, cv=GroupKFold(3), scoring="r2")
    copy = clone(model)
    assert copy is not model
    assert copy.get_params()["scoring"] == "r2"
    assert repr(RidgeCV(cv=3)) == "RidgeCV(cv=3)"
    with pytest.raises(ValueError, match="no parameter 'alpha'"):
        model.set_params(alpha=1)


def test_one_voxel_one_feature_and_flat_responses():
    rng = np.random.default_rng(1)
    X, y = rng.normal(size=(20, 1)), rng.normal(size=20)
    for cv in (5, "loo"):
        model = RidgeCV([1.0, 2.0], cv).fit(X, y)
        assert model.predict(X).shape == (20,)
        fit = linear_model.Ridge(model.best_alphas_[0]).fit(X, y)
        np.testing.assert_allclose(model.predict(X), fit.predict(X), rtol=0, atol=1e-10)


@pytest.mark.parametrize("cv", [5, "loo"])
@pytest.mark.parametrize("scoring", ["neg_mse", "r2", "pearson_r"])
def test_constant_and_nan_voxels_spoil_no_other(data, cv, scoring):
    X, Y = data
    clean = RidgeCV(ALPHAS, cv, scoring=scoring).fit(X, Y)
    Y[:, 0], Y[3, 1] = 2.0, np.nan
    with pytest.warns(UserWarning, match="1 of 9 voxels hold NaN"):
        model = RidgeCV(ALPHAS, cv, scoring=scoring).fit(X, Y)
    assert np.isnan(model.cv_scores_[:, :2]).all()
    prediction = model.predict(X)
    np.testing.assert_allclose(prediction[:, 0], 2.0)
    assert np.isnan(prediction[:, 1]).all()
    np.testing.assert_allclose(prediction[:, 2:], clean.predict(X)[:, 2:], rtol=0, atol=1e-9)


def test_constant_features_predict_the_mean():
    Y = np.random.default_rng(0).normal(size=(20, 3))
    for shape in ((20, 4), (20, 40)):
        for cv in (4, "loo"):
            model = RidgeCV(ALPHAS, cv).fit(np.full(shape, 3.0), Y)
            np.testing.assert_allclose(model.predict(np.full(shape, 3.0)), np.tile(Y.mean(0), (20, 1)), atol=1e-12)


@pytest.mark.parametrize("solver", ["primal", "dual"])
def test_no_penalty_is_least_squares_of_least_norm(data, solver):
    X, Y = data
    model = RidgeCV([0.0], 3, solver=solver).fit(X, Y)
    expected = np.linalg.pinv(X - X.mean(0), rcond=1e-10) @ (Y - Y.mean(0))
    np.testing.assert_allclose(model.coef_.T, expected, rtol=0, atol=1e-7)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"alphas": [-1.0]}, "at least 0"),
        ({"alphas": []}, "at least 0"),
        ({"cv": 100}, "as many images"),
        ({"cv": "runs"}, "got 'runs'"),
        ({"cv": "groups"}, "groups="),
        ({"cv": [([0, 1], [1, 2])]}, "trains on images it holds out"),
        ({"cv": []}, "no folds"),
        ({"scoring": "mse"}, "neg_mse, r2, pearson_r; got 'mse'"),
        ({"solver": "svd"}, "got 'svd'"),
    ],
)
def test_wrong_settings_are_refused(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        RidgeCV(**arguments).fit(*data)


def test_wrong_data_is_refused(data):
    X, Y = data
    with pytest.raises(ValueError, match=f"features have {len(X)} images but responses have 5"):
        RidgeCV().fit(X, Y[:5])
    with pytest.raises(ValueError, match="not fitted yet"):
        RidgeCV().predict(X)
    with pytest.raises(ValueError, match="expecting"):
        RidgeCV().fit(X, Y).predict(X[:, :3])
    with pytest.raises(ValueError, match="at least 3 images"):
        RidgeCV(cv="loo").fit(X[:2], Y[:2])
    with pytest.raises(ValueError, match="one label per image"):
        RidgeCV(cv="groups").fit(X, Y, groups=[1, 2])
    holes = Y.copy()
    holes[[4, 9]] = np.nan
    with pytest.raises(ValueError, match=r"no number in 2 images \(first: \[4, 9\]\)"):
        RidgeCV().fit(X, holes)
    holes = X.copy()
    holes[6, 2] = np.inf
    with pytest.raises(ValueError, match=r"in 1 images \(first: \[6\]\)"):
        RidgeCV().fit(holes, Y)


@pytest.mark.parametrize("kernel", ["linear", "rbf", "polynomial", "precomputed"])
@pytest.mark.parametrize("cv", [4, "loo"])
def test_kernel_ridge_equals_a_loop_over_sklearn(data, kernel, cv):
    X, Y = data
    X, Y = (X[:30] - X.mean(0)) / 3, Y[:30]
    settings = {"gamma": 0.02, "degree": 2}
    folds = list(KFold(len(X) if cv == "loo" else cv).split(X))
    if kernel == "precomputed":
        X = X @ X.T
    model = KernelRidgeCV(kernel, ALPHAS, cv, fit_intercept=False, **settings).fit(X, Y)
    table = []
    for alpha in ALPHAS:
        errors = []
        for train, test in folds:
            fit = KernelRidge(alpha=alpha, kernel={"polynomial": "poly"}.get(kernel, kernel), coef0=1, **settings)
            inner, across = (X[train][:, train], X[test][:, train]) if kernel == "precomputed" else (X[train], X[test])
            errors.append(((fit.fit(inner, Y[train]).predict(across) - Y[test]) ** 2).mean(0))
        table.append(-np.mean(errors, 0))
    np.testing.assert_allclose(model.cv_scores_, table, rtol=1e-8, atol=1e-8)
    fit = KernelRidge(alpha=model.best_alphas_, kernel={"polynomial": "poly"}.get(kernel, kernel), coef0=1, **settings)
    np.testing.assert_allclose(model.predict(X), fit.fit(X, Y).predict(X), rtol=0, atol=1e-8)


def test_linear_kernel_ridge_with_intercept_is_ridge(data):
    X, Y = data
    new = X[:5] * 1.1
    for cv in (4, "loo"):
        kernel, plain = (model.fit(X, Y) for model in (KernelRidgeCV("linear", ALPHAS, cv), RidgeCV(ALPHAS, cv)))
        np.testing.assert_allclose(kernel.predict(new), plain.predict(new), rtol=0, atol=1e-7)
        np.testing.assert_allclose(kernel.cv_scores_, plain.cv_scores_, rtol=0, atol=1e-7)


def test_wrong_kernels_are_refused(data):
    X, Y = data
    with pytest.raises(ValueError, match="got 'gauss'"):
        KernelRidgeCV("gauss").fit(X, Y)
    with pytest.raises(ValueError, match="images by images"):
        KernelRidgeCV("precomputed").fit(X, Y)
