"""Stacked regression: convex weights against a general solver, shares of the spaces that matter."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from brainnet.ridge import RidgeCV, StackedRegressionCV
from brainnet.ridge.stacked import convex_weights


def test_convex_weights_equal_a_general_solver():
    rng = np.random.default_rng(0)
    errors = rng.normal(size=(5, 30, 3)) @ np.diag([1.0, 2.0, 0.8])
    products = np.einsum("vni,vnj->vij", errors, errors)
    found = convex_weights(torch.from_numpy(products))
    for weights, product in zip(found, products, strict=True):
        best = minimize(lambda s, p=product: s @ p @ s, np.full(3, 1 / 3), bounds=[(0, 1)] * 3, tol=1e-12,
                        constraints={"type": "eq", "fun": lambda s: s.sum() - 1})  # fmt: skip
        np.testing.assert_allclose(weights, best.x, atol=1e-4)


def test_the_mix_is_of_the_spaces_own_fits_and_its_score_of_held_out_images():
    rng = np.random.default_rng(0)
    spaces = {"a": rng.normal(size=(60, 4)), "b": rng.normal(size=(60, 3))}
    Y = spaces["a"] @ rng.normal(size=(4, 2)) + spaces["b"] @ rng.normal(size=(3, 2))
    model = StackedRegressionCV().fit(spaces, Y)
    parts = [RidgeCV().fit(x, Y).predict(x) for x in spaces.values()]
    np.testing.assert_allclose(model.predict(spaces), sum(w * p for w, p in zip(model.weights_, parts, strict=True)))
    np.testing.assert_allclose(model.weights_.sum(0), 1)
    np.testing.assert_allclose(model.training_score(), (model.weights_ * model.r2_).sum(0))
    with pytest.raises(ValueError, match="not fitted"):
        StackedRegressionCV().predict(spaces)
    with pytest.raises(ValueError, match=r"\['b', 'a'\]"):
        model.predict(dict(reversed(spaces.items())))
