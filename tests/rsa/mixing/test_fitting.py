"""Solvers against scipy and scikit-learn; splits that share no condition between fit and test."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from sklearn.linear_model import LinearRegression, Ridge

from brainnet.rsa.mixing.fitting import condition_splits, fit, least_squares, nonnegative, ridge, whole
from brainnet.rsa.pairs import pair_index


@pytest.fixture
def problem(rng):
    """Correlated predictors (6, 40) and targets (5, 40) that need some of them with either sign."""
    common = torch.randn(1, 40, generator=rng, dtype=torch.float64)
    x = torch.randn(6, 40, generator=rng, dtype=torch.float64) + 3 * common
    x[2] *= 1000  # units must not matter
    mix = torch.randn(5, 6, generator=rng, dtype=torch.float64) / torch.tensor([1.0, 1, 1000, 1, 1, 1]).double()
    return x, mix @ x + torch.randn(5, 40, generator=rng, dtype=torch.float64)


def test_nonnegative_equals_scipy(problem):
    x, y = problem
    found = nonnegative(x @ x.T, y @ x.T)
    expected = np.stack([nnls(x.T.numpy(), target.numpy())[0] for target in y])
    np.testing.assert_allclose(found, expected, rtol=1e-7, atol=1e-9)
    assert (found == 0).any()
    assert (found > 0).any()


def test_nonnegative_with_many_predictors_and_twins(rng):
    x = torch.rand(40, 60, generator=rng, dtype=torch.float64)
    x = torch.cat([x, x[:3]])
    y = torch.randn(20, 60, generator=rng, dtype=torch.float64)
    found = nonnegative(x @ x.T, y @ x.T)
    for target, weights in zip(y.numpy(), found.numpy(), strict=True):
        error = nnls(x.T.numpy(), target)[1]
        assert np.linalg.norm(x.T.numpy() @ weights - target) <= error + 1e-9


def test_nonnegative_with_a_gram_matrix_for_each_target(problem):
    x, y = problem
    grams = torch.stack([(i + 1) * x @ x.T for i in range(5)])
    each = torch.cat([nonnegative(gram, (target @ x.T)[None]) for gram, target in zip(grams, y, strict=True)])
    torch.testing.assert_close(nonnegative(grams, y @ x.T), each, rtol=1e-6, atol=1e-9)


def test_least_squares_equals_sklearn_and_survives_twins(problem):
    x, y = problem
    expected = LinearRegression(fit_intercept=False).fit(x.T.numpy(), y.T.numpy()).coef_
    np.testing.assert_allclose(least_squares(x @ x.T, y @ x.T), expected, rtol=1e-8)
    twins = torch.cat([x, x[:1]])
    weights = least_squares(twins @ twins.T, y @ twins.T)
    np.testing.assert_allclose(weights @ twins, expected @ x.numpy(), atol=1e-8)
    torch.testing.assert_close(weights[:, 0], weights[:, -1])


@pytest.mark.parametrize("k", [6, 60])  # fewer and more predictors than pairs
def test_ridge_equals_sklearn(rng, k):
    x, y = (torch.randn(rows, 40, generator=rng, dtype=torch.float64) for rows in (k, 3))
    for penalty, found in zip((0.1, 10.0), ridge(x, y, (0.1, 10.0)), strict=True):
        alpha = penalty * x.square().sum().item() / k
        expected = Ridge(alpha=alpha, fit_intercept=False, solver="svd").fit(x.T.numpy(), y.T.numpy()).coef_
        np.testing.assert_allclose(found, expected, atol=1e-10)


def test_splits_keep_conditions_apart_and_hold_each_out_once(rng):
    splits = condition_splits(14, 3, 2, rng)
    for split in splits:
        assert not set(split.train.tolist()) & set(split.test.tolist())
        assert len(split.train) + len(split.test) == 14
        for inner_train, inner_test in split.inner:
            assert not set(inner_train.tolist()) & set(inner_test.tolist())
            assert set(inner_train.tolist()) | set(inner_test.tolist()) == set(split.train.tolist())
    for repeat in (splits[:3], splits[3:]):
        assert sorted(torch.cat([split.test for split in repeat]).tolist()) == list(range(14))
    with pytest.raises(ValueError, match="use n_folds <= 3"):
        condition_splits(14, 4, 1, rng)


@pytest.mark.parametrize("weights", ["ols", "nonnegative", "ridge"])
def test_fit_sees_training_pairs_alone(rng, weights):
    x, y = (torch.rand(k, 91, generator=rng, dtype=torch.float64) for k in (3, 2))
    split = condition_splits(14, 3, 1, rng)[0]
    before = fit(x, y, split, weights)
    unseen = torch.ones(91, dtype=torch.bool)
    unseen[pair_index(split.train, 14)] = False
    assert unseen.sum() == 91 - len(split.train) * (len(split.train) - 1) // 2
    x[:, unseen], y[:, unseen] = 7.0, -5.0
    after = fit(x, y, split, weights)
    for a, b in zip(before, after, strict=True):
        torch.testing.assert_close(a, b)
    if weights == "ols":
        train = pair_index(split.train, 14)
        oracle = LinearRegression().fit(x[:, train].T.numpy(), y[:, train].T.numpy())
        np.testing.assert_allclose(before.predict(x), oracle.predict(x.T.numpy()).T, atol=1e-10)


def test_ridge_penalty_grows_with_noise(rng):
    x = torch.randn(30, 190, generator=rng, dtype=torch.float64)
    signal = torch.randn(1, 30, generator=rng, dtype=torch.float64) @ x
    noise = torch.randn(1, 190, generator=rng, dtype=torch.float64)
    split = whole(20, rng)
    lengths = [fit(x, target, split, "ridge").weights.norm() / target.norm() for target in (signal, noise)]
    assert lengths[0] > 3 * lengths[1]  # noise is shrunk towards nothing, signal is not
