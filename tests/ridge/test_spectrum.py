"""Scores from residuals are the scores of the predictions."""

import pytest
import torch

from brainnet import scores
from brainnet.ridge.spectrum import leave_one_out, part_of_kernel, residual_score, spectrum_of_kernel


@pytest.mark.parametrize("scoring", ["neg_mse", "r2", "pearson_r"])
def test_scores_of_residuals_are_those_of_predictions(rng, scoring):
    response = torch.randn(40, 5, generator=rng, dtype=torch.float64) + 3
    residual = torch.randn(40, 5, generator=rng, dtype=torch.float64)
    response[:, 4] = 2.0
    expected = {
        "neg_mse": lambda p, y: torch.where(torch.arange(5) < 4, -(y - p).square().mean(0), torch.nan),
        "r2": scores.r2,
        "pearson_r": scores.pearson_r,
    }[scoring](response - residual, response)
    torch.testing.assert_close(
        residual_score(scoring, response)(residual), expected, rtol=0, atol=1e-12, equal_nan=True
    )


def test_a_constant_prediction_scores_zero(rng):
    response = torch.randn(40, 2, generator=rng)
    response -= response.mean(0)
    assert (residual_score("pearson_r", response)(response.clone()).abs() < 1e-3).all()


@pytest.mark.parametrize("groups", [None, [[0, 5, 2, 3], [1], [4, 6, 7, 8, 9, 10, 11]]])
@pytest.mark.parametrize("n_features", [3, 30])
def test_left_out_residuals_are_those_of_refits(rng, n_features, groups):
    """Also where features are fewer than images, and leave directions that nothing fits."""
    x = torch.randn(12, n_features, generator=rng, dtype=torch.float64)
    y = torch.randn(12, 2, generator=rng, dtype=torch.float64)
    centred, response = x - x.mean(0), y - y.mean(0)
    spectrum = spectrum_of_kernel(centred @ centred.T, centred=True)
    together = None if groups is None else [torch.tensor(rows) for rows in groups]
    found = leave_one_out(spectrum, spectrum.vectors.T @ response, response, [0.5, 20.0], True, together)
    for alpha, residuals in zip([0.5, 20.0], found, strict=True):
        for image in groups or range(12):
            others = ~torch.isin(torch.arange(12), torch.tensor(image))
            a, b = x[others] - x[others].mean(0), y[others] - y[others].mean(0)
            weights = torch.linalg.solve(a.T @ a + alpha * torch.eye(n_features), a.T @ b)
            expected = y[image] - y[others].mean(0) - (x[image] - x[others].mean(0)) @ weights
            torch.testing.assert_close(residuals[image], expected, rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_kernel_overwritten_has_the_same_spectrum(dtype):
    x = torch.randn(20, 30, generator=torch.Generator().manual_seed(0), dtype=dtype)
    x -= x.mean(0)
    kernel = x @ x.T
    kernel = (kernel + kernel.T) / 2
    kept = spectrum_of_kernel(kernel.clone(), centred=True)
    scratch = kernel.clone()
    there = spectrum_of_kernel(scratch, centred=True, overwrite=True)
    assert torch.equal(there.vectors, kept.vectors)
    assert torch.equal(there.values, kept.values)
    assert there.vectors.untyped_storage().data_ptr() == scratch.untyped_storage().data_ptr()
    assert len(kept.values) == 19
    torch.testing.assert_close(kept.vectors * kept.values @ kept.vectors.T, kernel, rtol=0, atol=1e-4)


def test_the_spectrum_leaves_a_kernel_alone():
    kernel = torch.eye(4) + 1
    spectrum_of_kernel(kernel, centred=False)
    assert torch.equal(kernel, torch.eye(4) + 1)


def test_part_of_a_kernel_is_that_of_features_centred_on_the_training_images():
    x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64) + 3
    train, images = torch.tensor([7, 3, 3, 30, 12]), torch.tensor([0, 39, 7])  # in any order, some of them twice
    mean = x[train].mean(0)
    part = part_of_kernel(x @ x.T, images, train, True, torch.float64)
    torch.testing.assert_close(part, (x[images] - mean) @ (x[train] - mean).T, rtol=0, atol=1e-10)
    part = part_of_kernel(x @ x.T, images, train, False, torch.float32)
    torch.testing.assert_close(part, (x[images] @ x[train].T).float())
