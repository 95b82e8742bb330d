"""Eigenspectra agree with scikit-learn, and the published fit and counts are found again."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn.decomposition import PCA

from brainnet.features import components_for, eigenspectrum, power_law


@pytest.mark.parametrize("shape", [(30, 8), (12, 40)])
def test_spectrum_is_that_of_principal_components(shape, rng):
    rows = torch.randn(shape, generator=rng, dtype=torch.float64) * torch.arange(1, shape[1] + 1)
    expected = PCA().fit(rows.numpy()).explained_variance_[: min(shape[0] - 1, shape[1])]
    np.testing.assert_allclose(eigenspectrum(rows), expected, rtol=1e-9)


def test_planted_power_law_is_found():
    rank = torch.arange(1, 201).double()
    found = power_law(7 * rank**-1.3)
    assert found.exponent == pytest.approx(1.3)
    assert found.intercept == pytest.approx(0.845098, abs=1e-6)


def test_components_hold_the_share_and_one_less_does_not():
    spectrum = 7 * torch.arange(1, 201).double() ** -1.3
    held = spectrum.cumsum(0) / spectrum.sum()
    for share in (0.01, 0.85, 0.99):
        k = components_for(spectrum, share)
        assert held[k - 1] >= share
        assert k == 1 or held[k - 2] < share
    assert components_for(spectrum, 1.0) == 200  # the published count of a share that is never reached was 1
    assert (components_for(spectrum, 0.85), components_for(spectrum, 0.99)) == (33, 172)


@pytest.mark.parametrize("wrong", [[1.0], [1.0, 0.0], [[1.0, 2.0]], [1.0, float("nan")]])
def test_what_is_no_spectrum_is_refused(wrong):
    for call in (power_law, lambda values: components_for(values, 0.5)):
        with pytest.raises(ValueError, match="variances"):
            call(wrong)
    with pytest.raises(ValueError, match="share"):
        components_for([1.0, 1.0], 0)


def test_features_that_are_not_finite_are_refused():
    with pytest.raises(ValueError, match="finite"):
        eigenspectrum([[1.0, float("nan")], [0.0, 1.0]])
