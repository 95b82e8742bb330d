"""The evidence of a layer: equal to the density of a normal distribution, and highest for the layer that was read."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from scipy.stats import multivariate_normal

from brainnet.ridge.layer_evidence import (
    SIGNALS,
    autocorrelation_of,
    evidence_of_spaces,
    leading_axes,
    log_evidence,
    within_groups,
)


def test_it_is_the_density_of_a_normal_distribution():
    rng = np.random.default_rng(0)
    features = torch.from_numpy(rng.normal(size=(20, 5)) * [3, 1, 1, 0.1, 1])
    target = torch.from_numpy(rng.normal(size=(20, 3)))
    kernel = (features @ features.T).numpy()
    kernel *= 20 / np.trace(kernel)
    expected = np.full(3, -np.inf)
    for signal in SIGNALS:
        covariance = signal * kernel + np.eye(20)
        for voxel, y in enumerate(target.T.numpy()):
            size = y @ np.linalg.solve(covariance, y) / 20  # the best one
            expected[voxel] = max(expected[voxel], multivariate_normal(cov=size * covariance).logpdf(y))
    constant = -10 * (1 + np.log(2 * np.pi))
    np.testing.assert_allclose(log_evidence(features, target).numpy() + constant, expected, atol=1e-8)


def test_the_layer_that_was_read_has_the_most_and_a_constant_one_none():
    rng = np.random.default_rng(0)
    read, like, other = (torch.from_numpy(rng.normal(size=(200, 6))) for _ in range(3))
    like = read + 0.5 * like
    target = read @ torch.from_numpy(rng.normal(size=(6, 30))) + 2 * torch.from_numpy(rng.normal(size=(200, 30)))
    found = evidence_of_spaces([like, read, other, torch.zeros(200, 2)], target)
    assert (found.argmax(1) == 1).float().mean() > 0.9
    assert (found[:, 2] < found[:, 0]).all()
    assert torch.isneginf(found[:, 3]).all()


def test_groups_lose_their_means_and_what_the_row_before_says():
    values = torch.tensor([[1.0], [3.0], [5.0], [9.0], [7.0]])
    groups = np.array(["a", "a", "b", "b", "b"])
    assert within_groups(values, groups)[:, 0].tolist() == [-1, 1, -2, 2, 0]
    assert within_groups(values, groups, 0.5)[:, 0].tolist() == [1.5, 3, -1]
    assert within_groups(values, None)[:, 0].tolist() == pytest.approx([-4, -2, 0, 4, 2])


@pytest.mark.parametrize("alike", [0.0, 0.4, 0.8])
def test_the_autocorrelation_of_the_noise_is_found(alike):
    rng = np.random.default_rng(0)
    read, other = torch.from_numpy(rng.normal(size=(2, 400, 5)))
    noise = rng.normal(size=(400, 40))
    for row in range(1, 400):
        noise[row] += alike * noise[row - 1]
    target = read @ torch.from_numpy(rng.normal(size=(5, 40))) + torch.from_numpy(noise)
    assert autocorrelation_of([other, read], target, np.repeat(["a", "b"], 200)) == alike


def test_the_leading_axes_hold_the_largest_components():
    rng = np.random.default_rng(0)
    parts = torch.from_numpy(rng.normal(size=(400, 100)))
    parts[:, :5] *= 20
    axes = leading_axes(parts)
    assert axes.shape == (100, 50)  # of 400 rows
    torch.testing.assert_close(axes.T @ axes, torch.eye(50, dtype=torch.float64))
    assert float(axes[:5].square().sum()) == pytest.approx(5, abs=0.05)
