"""Scores from residuals are the scores of the predictions."""

import pytest
import torch

from brainnet import scores
from brainnet.ridge.spectrum import residual_score


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
