"""How much fits count: the prior that voxels share, and voxels that no fit predicts; left-out parts by refits."""

import pytest
import torch

from brainnet.ridge.evidence import KernelFit, weigh


def test_the_prior_is_what_voxels_have_in_common():
    """Weak evidence follows the others, strong evidence does not."""
    r2 = torch.full((2, 1, 20), 0.3)
    r2[0, 0, :18] = 0.4
    r2[1, 0, 18] = 0.302  # a little better with the share that nobody else speaks for
    r2[1, 0, 19] = 0.6
    weights, prior = weigh(r2, n_images=400, temper=1.0, n_kept=1)
    assert prior[0] > 0.9
    assert weights[0, 0, 18] == 1
    assert weights[1, 0, 19] == 1
    alone, _ = weigh(r2[..., 18:], n_images=400, temper=1.0, n_kept=1)
    assert alone[1, 0, 0] == 1


def test_a_voxel_without_any_fit_counts_nothing():
    r2 = torch.full((2, 3, 2), -torch.inf)
    r2[0, 1, 0] = 0.5
    weights, prior = weigh(r2, n_images=50, temper=0.2, n_kept=2)
    assert weights[0, 1, 0] == 1
    assert weights.sum() == 1
    assert prior.tolist() == [1, 0]


def test_without_any_fit_of_any_voxel_all_shares_are_alike():
    weights, prior = weigh(torch.full((4, 3, 2), -torch.inf), n_images=50, temper=0.2, n_kept=2)
    assert not weights.any()
    assert prior.tolist() == [0.25] * 4


@pytest.mark.parametrize("share", [0.0, 0.6, 1.0])
def test_left_out_parts_add_up_and_equal_refits(rng, share):
    """The whole-image part of an image left out, from one decomposition, against a refit without the image."""
    window, whole = (torch.randn(12, 20, generator=rng, dtype=torch.float64) for _ in range(2))
    window, whole = window - window.mean(0), whole - whole.mean(0)
    y = torch.randn(12, 2, generator=rng, dtype=torch.float64)
    y = y - y.mean(0)
    kernel = share * window @ window.T + (1 - share) * whole @ whole.T
    fit = KernelFit(kernel, whole @ whole.T, share, y)
    dual, predicted, field = fit.solve(0.5, torch.tensor([1]))
    torch.testing.assert_close((kernel + 0.5 * torch.eye(12)) @ dual, y[:, 1:])
    for i in range(12):
        rest = torch.arange(12) != i
        mean = y[rest].mean(0)[1]
        centre = torch.eye(11, dtype=torch.float64) - 1 / 11
        small = centre @ kernel[rest][:, rest] @ centre
        refit = torch.linalg.solve(small + 0.5 * torch.eye(11), y[rest, 1] - mean)
        row = (kernel[i, rest] - kernel[rest][:, rest].mean(0)) @ centre
        assert predicted[i, 0] == pytest.approx(float(row @ refit + mean))
        own = (1 - share) * (whole @ whole.T)[i, rest] @ refit
        assert field[i, 0] == pytest.approx(float(own), abs=1e-9)
