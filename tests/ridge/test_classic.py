"""PLS, PCR, lasso and elastic net are scikit-learn's, chosen per voxel; stacking against a general solver."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize
from sklearn.cross_decomposition import PLSRegression
from sklearn.decomposition import PCA
from sklearn.linear_model import ElasticNet, Lasso, LinearRegression
from sklearn.model_selection import KFold
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import StandardScaler

from brainnet.ridge import LinearRegressionCV, RidgeCV, StackedRegressionCV
from brainnet.ridge.stacked import convex_weights

PEERS = {
    "pls": ([1, 3, 6], lambda k: PLSRegression(k, scale=False)),
    "pcr": ([1, 3, 6], lambda k: make_pipeline(PCA(k), LinearRegression())),
    "lasso": ([0.01, 0.3], lambda a: Lasso(a)),
    "elastic_net": ([0.01, 0.3], lambda a: ElasticNet(a, l1_ratio=0.5)),
}


@pytest.fixture
def data():
    rng = np.random.default_rng(0)
    X = rng.normal(size=(40, 10)) * rng.uniform(0.5, 3, 10) + 2
    return X, X @ rng.normal(size=(10, 4)) * np.array([0.1, 0.3, 1, 3]) + rng.normal(size=(40, 4)) + 5


@pytest.mark.parametrize("method", list(PEERS))
@pytest.mark.parametrize("standardize", [False, True])
def test_equals_a_loop_over_sklearn(data, method, standardize):
    X, Y = data
    settings, make = PEERS[method]
    model = LinearRegressionCV(method, settings, cv=4, standardize=standardize).fit(X, Y)
    peer_x = StandardScaler().fit_transform(X) if standardize else X
    table = []
    for setting in settings:
        errors = []
        for train, test in KFold(4).split(X):
            predicted = make(setting).fit(peer_x[train], Y[train]).predict(peer_x[test])
            errors.append(-((predicted - Y[test]) ** 2).mean(0))
        table.append(np.mean(errors, 0))
    np.testing.assert_allclose(model.cv_scores_, table, rtol=1e-8)
    best = np.argmax(table, 0)
    np.testing.assert_array_equal(model.best_settings_, np.array(settings)[best])
    every = np.stack([make(setting).fit(peer_x, Y).predict(peer_x) for setting in settings])
    np.testing.assert_allclose(model.predict(X), every[best, :, range(4)].T, rtol=0, atol=1e-8)
    np.testing.assert_allclose(X @ model.coef_.T + model.intercept_, model.predict(X), rtol=0, atol=1e-10)


@pytest.mark.parametrize("method", list(PEERS))
def test_nan_voxels_single_voxels_and_default_settings(data, method):
    X, Y = data
    assert LinearRegressionCV(method).fit(X, Y[:, 0]).predict(X).shape == (40,)
    Y[3, 1] = np.nan
    with pytest.warns(UserWarning, match="1 of 4 voxels"):
        prediction = LinearRegressionCV(method).fit(X, Y).predict(X)
    assert np.isnan(prediction).all(0).tolist() == [False, True, False, False]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"method": "ols"}, "got 'ols'"),
        ({"method": "pls", "settings": [11]}, "from 1 to 10"),
        ({"method": "lasso", "settings": [0.0]}, "> 0"),
        ({"cv": "loo"}, "no closed form"),
    ],
)
def test_wrong_settings_are_refused(data, arguments, message):
    with pytest.raises(ValueError, match=message):
        LinearRegressionCV(**arguments).fit(*data)


def test_convex_weights_match_a_general_solver(rng):
    errors = torch.randn(30, 6, 5, generator=rng, dtype=torch.float64) + torch.randn(30, 6, 1, generator=rng)
    products = errors.transpose(1, 2) @ errors
    for product, weights in zip(products, convex_weights(products), strict=True):
        p = product.numpy()
        found = minimize(
            lambda s, p=p: s @ p @ s,
            np.full(5, 0.2),
            jac=lambda s, p=p: 2 * p @ s,
            bounds=[(0, None)] * 5,
            constraints={"type": "eq", "fun": lambda s: s.sum() - 1, "jac": lambda s: np.ones(5)},
            method="SLSQP",
            options={"ftol": 1e-14, "maxiter": 500},
        )
        np.testing.assert_allclose(weights, found.x, atol=1e-5)
        assert weights @ product @ weights <= found.fun + 1e-9
        assert weights.sum() == pytest.approx(1)
        assert (weights >= 0).all()


def test_equal_spaces_share_and_perfect_ones_win():
    torch.testing.assert_close(convex_weights(torch.ones(1, 2, 2)), torch.full((1, 2), 0.5), atol=1e-4, rtol=0)
    perfect = convex_weights(torch.tensor([[[0.0, 0.0], [0.0, 1.0]], [[torch.nan, 0.0], [0.0, 1.0]]]))
    assert perfect[0].tolist() == pytest.approx([1, 0], abs=1e-6)
    assert perfect[1].isnan().all()


def test_stacking_mixes_fits_of_single_spaces(data):
    X, Y = data
    spaces = {"a": X[:, :5], "b": X[:, 5:]}
    model = StackedRegressionCV(RidgeCV([0.1, 1.0], cv=3), cv=4).fit(spaces, Y)
    errors = []
    for x in spaces.values():
        left_out = np.empty_like(Y)
        for train, test in KFold(4).split(x):
            left_out[test] = RidgeCV([0.1, 1.0], cv=3).fit(x[train], Y[train]).predict(x[test])
        errors.append(left_out - Y)
    # two spaces: the weight has a closed form
    gap = errors[1] - errors[0]
    expected = np.clip((errors[1] * gap).sum(0) / (gap**2).sum(0), 0, 1)
    np.testing.assert_allclose(model.weights_[0], expected, atol=1e-7)
    single = [RidgeCV([0.1, 1.0], cv=3).fit(x, Y).predict(x) for x in spaces.values()]
    np.testing.assert_allclose(model.predict(spaces), expected * single[0] + (1 - expected) * single[1], atol=1e-6)
    assert model.predict(spaces).shape == Y.shape
    with pytest.raises(ValueError, match="fitted on"):
        model.predict({"b": X, "a": X})
    with pytest.raises(ValueError, match="must name"):
        StackedRegressionCV().fit(X, Y)
