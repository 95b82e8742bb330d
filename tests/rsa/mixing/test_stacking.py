"""Stacked layers: weights on the simplex, planted layers, and a test that holds its level."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from brainnet.rsa import rdm, stack_layers
from brainnet.rsa.mixing.stacking import simplex_weights

N, PAIRS = 18, 153


def test_simplex_weights_equal_scipys_constrained_minimum(rng):
    size = torch.tensor([1.0, 1.2, 2.0, 3.0]).double()
    errors = torch.randn(3, 4, 30, generator=rng, dtype=torch.float64) * size[:, None]
    gram = errors @ errors.mT
    found = simplex_weights(gram)
    for g, w in zip(gram.numpy(), found.numpy(), strict=True):
        expected = minimize(
            lambda v, g=g: v @ g @ v, np.full(4, 0.25), bounds=[(0, 1)] * 4, tol=1e-12,
            constraints={"type": "eq", "fun": lambda v: v.sum() - 1},
        )  # fmt: skip
        np.testing.assert_allclose(w, expected.x, atol=1e-4)
        assert w @ g @ w <= expected.fun + 1e-9


def test_stacking_finds_the_layers_and_never_falls_far_below_the_best(rng):
    layers = torch.rand(5, PAIRS, generator=rng, dtype=torch.float64)
    brains = layers[1] + 0.5 * layers[3] + 0.5 * torch.rand(4, PAIRS, generator=rng, dtype=torch.float64)
    found = stack_layers(layers, brains, n_permutations=49, generator=rng)
    assert found.weights.mean(0).topk(2).indices.tolist() == [1, 3]
    torch.testing.assert_close(found.weights.sum(1), torch.ones(4).double())
    assert (found.r2 > found.layer_r2.amax(1) - 0.02).all()
    assert found.p == 0.02
    assert stack_layers(layers, torch.rand(4, PAIRS, generator=rng), generator=rng).r2.mean() < 0.01


@pytest.mark.slow
def test_stacked_layers_reject_noise_as_often_as_they_say():
    n, rng = 1000, torch.Generator().manual_seed(5)
    rejected = 0
    for _ in range(n):
        layers = rdm(torch.randn(3, 16, 30, generator=rng))
        subjects = rdm(torch.randn(16, 30, generator=rng) + torch.randn(5, 16, 30, generator=rng))  # of one geometry
        found = stack_layers(layers, subjects, n_folds=2, n_repeats=1, n_permutations=39, generator=rng, progress=False)
        rejected += found.p <= 0.05
    rate, error = rejected / n, (0.05 * 0.95 / n) ** 0.5
    print(f"stacked layers reject {rate:.3f} of noise, Monte-Carlo error {error:.3f}")
    assert 0.03 <= rate <= 0.07
