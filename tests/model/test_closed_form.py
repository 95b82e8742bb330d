"""Coefficients in factors: they multiply back, and what is cut off is the least."""

from __future__ import annotations

import pytest
import torch

from brainnet.model.closed_form import factorize


def draws(rng):
    return lambda *shape: torch.randn(*shape, generator=rng, dtype=torch.float64)


def stacked(factors):
    return torch.cat([matrix for part in factors.bottlenecks for matrix in part], 1)


def test_factors_times_mix_and_share_are_the_coefficients(rng):
    draw = draws(rng)
    widths, mix, shares = (4, 7), draw(5, 2).softmax(-1), draw(2, 5, 1).sigmoid()
    coefficients = [[draw(5, c) for c in widths] for _ in shares]
    found = factorize(coefficients, list(shares), mix, rank=30)  # more than there are
    assert found.weight.shape == (5, 5)
    assert found.kept == pytest.approx(1)
    for part, (per_layer, share) in enumerate(zip(coefficients, shares, strict=True)):
        for k, expected in enumerate(per_layer):
            back = share * mix[:, [k]] * (found.weight @ found.bottlenecks[part][k])
            torch.testing.assert_close(back, expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shape", [(30, 20), (300, 200)])  # all at once, and by subspace iteration
def test_a_bottleneck_keeps_the_largest_directions(rng, shape):
    draw = draws(rng)
    left, right = torch.linalg.qr(draw(shape[0], shape[1])).Q, torch.linalg.qr(draw(shape[1], shape[1])).Q
    sizes = 0.9 ** torch.arange(shape[1], dtype=torch.float64)  # a slow fall: one look at random does not find them
    coefficients = left * sizes @ right.T
    one = torch.ones(shape[0], 1, dtype=torch.float64)
    found = factorize([[coefficients]], [one], one, rank=4)
    expected = left[:, :4] * sizes[:4] @ right[:, :4].T
    torch.testing.assert_close(found.weight @ stacked(found), expected, rtol=0, atol=1e-6)
    assert found.kept == pytest.approx((sizes[:4].square().sum() / sizes.square().sum()).item())
    torch.testing.assert_close(found.weight.norm(dim=0), stacked(found).norm(dim=1))  # neither factor dwarfs the other
    again = factorize([[coefficients]], [one], one, rank=4)
    assert torch.equal(again.weight, found.weight)
