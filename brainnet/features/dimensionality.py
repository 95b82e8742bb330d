"""How many directions features vary in: their eigenspectrum, its power law, and the components that a share needs.

Reference: Stringer et al. (2019), Nature 571, 361-365 (power laws of eigenspectra).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor


class PowerLaw(NamedTuple):
    """``10 ** intercept * rank ** -exponent``.

    >>> law = power_law(10 * torch.arange(1, 101).double() ** -2)
    >>> round(law.exponent, 6), round(law.intercept, 6)
    (2.0, 1.0)
    """

    exponent: float
    intercept: float


def eigenspectrum(features: Any) -> Tensor:
    """Variances along the principal components, (min(n_images - 1, n_features),) float64, the largest first.

    Args:
        features: (n_images, n_features), at least two images.

    Raises:
        ValueError: another shape, or features that are not finite.

    >>> eigenspectrum([[1.0, 0.0], [-1.0, 0.0], [0.0, 3.0], [0.0, -3.0]]).tolist()
    [6.0, 0.6666666666666666]
    """
    features = torch.as_tensor(features).detach().cpu().double()
    if features.ndim != 2 or len(features) < 2 or not bool(features.isfinite().all()):
        raise ValueError(f"features are finite (n_images >= 2, n_features), got {tuple(features.shape)}.")
    centred = features - features.mean(0)
    wide = centred.shape[1] > len(centred)
    gram = centred @ centred.T if wide else centred.T @ centred
    values = torch.linalg.eigvalsh(gram).flip(0).clamp(min=0) / (len(centred) - 1)
    return values[: len(centred) - 1]


def power_law(spectrum: Any, points: int = 50) -> PowerLaw:
    """The straight line through a spectrum on logarithmic axes, by least squares at ranks equally far apart there.

    Args:
        spectrum: variances above 0, the largest first.
        points: ranks from 1 to the last, rounded; a rank that comes twice counts twice.

    Raises:
        ValueError: fewer than two variances, or one that is not above 0.

    Reference: Kazemian, Elmoznino and Bonner (2025), code of their spectra.

    >>> rank = torch.arange(1, 201).double()
    >>> [round(value, 6) for value in power_law(7 * rank**-1.3)]
    [1.3, 0.845098]
    """
    spectrum = _checked(spectrum)
    ranks = torch.logspace(0, torch.tensor(len(spectrum)).double().log10().item(), points, dtype=torch.float64).round()
    x, y = ranks.log10(), spectrum[ranks.long() - 1].log10()
    slope = ((x - x.mean()) * (y - y.mean())).sum() / (x - x.mean()).square().sum()
    return PowerLaw(-slope.item(), (y.mean() - slope * x.mean()).item())


def components_for(spectrum: Any, share: float) -> int:
    """The number of components that hold a share of the variance.

    Args:
        spectrum: variances above 0, the largest first.
        share: above 0, at most 1.

    Raises:
        ValueError: no variances, one that is not above 0, or a share out of its range.

    >>> rank = torch.arange(1, 201).double()
    >>> components_for(7 * rank**-1.3, 0.85), components_for(7 * rank**-1.3, 0.99)
    (33, 172)
    """
    if not 0 < share <= 1:
        raise ValueError(f"share is above 0 and at most 1, got {share}.")
    spectrum = _checked(spectrum)
    held = spectrum.cumsum(0) / spectrum.sum()
    return min(int((held < share * (1 - 1e-12)).sum()) + 1, len(spectrum))


def _checked(spectrum: Any) -> Tensor:
    values = torch.as_tensor(spectrum).detach().cpu().double()
    if values.ndim != 1 or len(values) < 2 or not bool((values > 0).all()):
        raise ValueError(f"a spectrum is a row of at least two variances above 0, got shape {tuple(values.shape)}.")
    return values
