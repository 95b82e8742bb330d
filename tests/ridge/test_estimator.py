"""What every regression shares: scikit-learn's own checks, inputs of every kind, warnings with numbers."""

import pickle

import numpy as np
import pandas as pd
import pytest
import scipy.sparse
import torch
from sklearn.base import clone
from sklearn.exceptions import NotFittedError
from sklearn.utils.estimator_checks import check_estimator

from brainnet import ridge
from brainnet.ridge import KernelRidgeCV, LinearRegressionCV, RidgeCV, StackedRegressionCV
from brainnet.ridge.estimator import VoxelwiseRegressor

KINDS = [kind for kind in vars(ridge).values() if isinstance(kind, type) and issubclass(kind, VoxelwiseRegressor)]
ARRAY_READERS = [kind for kind in KINDS if kind.reads == "features"]


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 5))
    return X, X @ rng.normal(size=(5, 3)) + 0.1 * rng.normal(size=(40, 3))


@pytest.mark.parametrize(
    "estimator",
    [*(kind() for kind in ARRAY_READERS), RidgeCV(solver="primal"), RidgeCV(solver="dual", cv="loo"),
     KernelRidgeCV("rbf"), *(LinearRegressionCV(method) for method in ("pcr", "lasso", "elastic_net"))],
    ids=repr,
)  # fmt: skip
@pytest.mark.filterwarnings("ignore")
def test_scikit_learns_own_checks_pass(estimator):
    found = check_estimator(estimator, on_fail=None, on_skip=None)
    assert len(found) > 40
    assert not [(check["check_name"], check["exception"]) for check in found if check["status"] == "failed"]


def read_by(kind, rng):
    """What an estimator reads of 30 images with two layers: an array, a mapping of arrays, or one of token maps."""
    shape = {"features": (30, 4), "spaces": (30, 4), "tokens": (30, 4, 3, 3)}[kind.reads]
    layers = {name: rng.normal(size=shape).astype(np.float32) for name in ("a", "b")}
    return layers["a"] if kind.reads == "features" else layers


def as_bytes(x):
    return x.tobytes() if isinstance(x, np.ndarray) else {name: values.tobytes() for name, values in x.items()}


@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.filterwarnings("ignore")
def test_estimators_of_every_kind_of_input_have_the_same_manners(kind):
    rng = np.random.default_rng(0)
    X, Y = read_by(kind, rng), rng.normal(size=(30, 2)).astype(np.float32)
    if kind.reads == "tokens":
        X, given = {name: torch.from_numpy(maps) for name, maps in X.items()}, X
    else:
        given = X
    model = kind()
    for ask in (lambda: model.predict(X), lambda: model.score(X, Y), model.training_score):
        with pytest.raises(NotFittedError, match=kind.__name__):
            ask()
    params, before = model.get_params(), (as_bytes(given), Y.tobytes())
    fitted = model.fit(X, Y)
    assert fitted is model
    assert (as_bytes(given), Y.tobytes()) == before
    assert all(model.get_params()[name] is value for name, value in params.items())
    first = np.asarray(model.predict(X))
    assert first.shape == (30, 2)
    assert np.asarray(model.score(X, Y)).shape == (2,)
    np.testing.assert_array_equal(np.asarray(pickle.loads(pickle.dumps(model)).predict(X)), first)
    again = clone(model)
    with pytest.raises(NotFittedError):
        again.predict(X)
    assert repr(again) == repr(model)
    np.testing.assert_array_equal(np.asarray(again.fit(X, Y).predict(X)), first)
    name = next(name for name in params if name in ("alphas", "cv", "selection", "method"))
    assert model.set_params(**{name: params[name]}) is model
    with pytest.raises(ValueError, match="no_such_parameter"):
        model.set_params(no_such_parameter=1)


def test_parameters_of_an_estimator_within_another_have_its_name_before_theirs():
    stacked = StackedRegressionCV(RidgeCV(cv=3))
    assert stacked.get_params()["estimator__cv"] == 3
    assert "estimator__cv" not in stacked.get_params(deep=False)
    stacked.set_params(estimator__cv=4, cv=6)
    assert (stacked.estimator.cv, stacked.cv) == (4, 6)
    twin = clone(stacked)
    assert twin.estimator is not stacked.estimator
    assert twin.estimator.cv == 4


@pytest.mark.parametrize("kind", ARRAY_READERS)
def test_tables_lists_and_arrays_of_any_layout_give_the_same(kind, data):
    X, Y = data
    expected = kind().fit(X, Y).predict(X)
    back = np.ascontiguousarray(X[::-1, ::-1])[::-1, ::-1]
    for x, y in ((pd.DataFrame(X), pd.DataFrame(Y)), (X.tolist(), Y.tolist()), (X.astype(">f8"), Y.astype(">f8")),
                 (back, np.ascontiguousarray(Y[::-1])[::-1]), (X.astype(object), Y.astype(object))):  # fmt: skip
        found = kind().fit(x, y).predict(x)
        np.testing.assert_allclose(found, expected, rtol=1e-10, atol=1e-12)


@pytest.mark.parametrize("kind", ARRAY_READERS)
def test_complex_and_sparse_data_are_refused_by_name(kind, data):
    X, Y = data
    for x, y, what in ((X + 1j, Y, "features"), (X, Y * 1j, "responses"), (torch.tensor(X) + 1j, Y, "features")):
        with pytest.raises(ValueError, match=f"(?i)complex.*{what}"):
            kind().fit(x, y)
    for x in (scipy.sparse.csr_array(X), torch.tensor(X).to_sparse()):
        with pytest.raises(ValueError, match="sparse"):
            kind().fit(x, Y)
    fitted = kind().fit(X, Y)
    with pytest.raises(ValueError, match="(?i)complex"):
        fitted.predict(X + 1j)


def test_integers_beyond_float32_keep_their_changes(data):
    X, Y = data
    whole = (1000 * Y).round().astype(np.int64)
    expected = RidgeCV().fit(X.astype(np.float32), whole).cv_scores_
    found = RidgeCV().fit(X.astype(np.float32), whole + 10**9).cv_scores_
    np.testing.assert_allclose(found, expected, rtol=1e-4)


def test_responses_lost_under_their_offset_are_counted(data):
    X, Y = data
    far = Y.copy()
    far[:, :2] += 1e8
    with pytest.warns(UserWarning, match="2 of 3 voxels.*float32.*1e[+]08"):
        RidgeCV().fit(X.astype(np.float32), far.astype(np.float32))
    kept = RidgeCV().fit(X.astype(np.float32), far)  # float64 has them
    np.testing.assert_allclose(kept.score(X, far), RidgeCV().fit(X, Y).score(X, Y), atol=1e-4)


@pytest.mark.filterwarnings("error")
def test_ordinary_responses_are_not_warned_of(data):
    X, Y = data
    Y = np.hstack([1000 + 20 * Y, np.full((40, 1), 3.0), np.zeros((40, 1))])
    RidgeCV().fit(X.astype(np.float32), Y.astype(np.float32))


def test_all_voxels_at_an_edge_of_the_grid_are_said_with_their_number(data):
    X, Y = data
    Y = np.hstack([Y, np.full((40, 1), 3.0)])
    with pytest.warns(UserWarning, match="all 3 voxels.*3 the smallest, 1e[+]03"):
        RidgeCV([1e3, 1e4, 1e5]).fit(X, Y)
    noise = np.random.default_rng(5).normal(size=(40, 3))
    with pytest.warns(UserWarning, match="all 3 voxels.* the largest, 1e[+]09"):
        RidgeCV([1e-3, 1e9]).fit(X, noise)


@pytest.mark.parametrize("kind", [RidgeCV, LinearRegressionCV])
def test_the_old_spelling_of_standardize_still_works(kind, data):
    X, Y = data
    with pytest.warns(DeprecationWarning, match="standardize"):
        old = kind(standardise=True)
    assert "standardise" not in old.get_params()
    np.testing.assert_array_equal(old.fit(X, Y).predict(X), kind(standardize=True).fit(X, Y).predict(X))


@pytest.mark.parametrize("offset", [1e3, 1e4, 1e5])
@pytest.mark.parametrize(
    "make",
    [lambda: RidgeCV(solver="primal", scoring="r2"), lambda: RidgeCV(solver="dual", scoring="r2"),
     lambda: KernelRidgeCV(scoring="r2"), lambda: KernelRidgeCV("rbf", gamma=0.05, scoring="r2"),
     lambda: LinearRegressionCV("pls", scoring="r2")],
    ids=["primal", "dual", "kernel", "rbf", "pls"],
)  # fmt: skip
def test_features_far_from_zero_are_centred_exactly(make, offset):
    """In float32; the same numbers in float64 say what is right. What the features themselves lose is in both."""
    rng = np.random.default_rng(0)
    far = (rng.normal(size=(120, 40)) + offset).astype(np.float32)
    Y = (far - offset) @ rng.normal(size=(40, 4)) + 3 * rng.normal(size=(120, 4))
    exact = make().fit(far.astype(np.float64), Y)
    found = make().fit(far, Y.astype(np.float32))
    np.testing.assert_allclose(found.cv_scores_, exact.cv_scores_, atol=1e-4)
    np.testing.assert_allclose(found.predict(far), exact.predict(far.astype(np.float64)), atol=0.02)


def test_a_score_on_training_images_is_the_best_of_the_search(data):
    X, Y = data
    fitted = RidgeCV(scoring="r2").fit(X, Y)
    np.testing.assert_array_equal(fitted.training_score(), fitted.cv_scores_.max(0))
    with pytest.raises(ValueError, match="not fitted"):
        RidgeCV().training_score()
