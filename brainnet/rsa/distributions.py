"""How alike the distributions of two representations are, whatever the images: component by component.

A weak notion of similarity (which image evokes what plays no role, and components of the two sides are paired by
their rank alone), kept because studies report it. Use ``compare`` or ``cka`` for what is represented.
"""

from __future__ import annotations

import math
from typing import Any

import torch
from torch import Tensor

from brainnet.rsa.checks import as_float_tensor

METRICS = ("wasserstein", "jensen-shannon")


def distributional_distance(
    x: Any, y: Any, metric: str = "wasserstein", n_components: int | None = None, bins: int = 50
) -> Tensor:
    """Mean distance between the distributions of the leading principal components of two representations; 0 for equal.

    Args:
        x: features (n_images, F_x), such as a layer.
        y: features (n_other_images, F_y), such as voxels.
        metric: "wasserstein", in standard deviations of a component; or "jensen-shannon" divergence of histograms
            over the common range, in bits, 0 to 1.
        n_components: leading components compared; by default as many as both sides have.
        bins: of the histograms.

    Returns:
        A scalar, on the device of ``x``. Components have unit variance and the sign that makes their skewness positive.

    Raises:
        ValueError: an unknown metric, fewer than 3 images, more components than either side has, NaN.

    >>> x = torch.randn(40, 6, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    >>> round(distributional_distance(x, -2 * x.flip(0)).item(), 6)
    0.0
    """
    if metric not in METRICS:
        raise ValueError(f"metric must be one of {', '.join(METRICS)}, got {metric!r}.")
    sides = [as_float_tensor(side, "features") for side in (x, y)]
    for side in sides:
        if side.ndim != 2 or len(side) < 3:
            raise ValueError(f"features must be (n_images >= 3, F), got {tuple(side.shape)}.")
        if not bool(side.isfinite().all()):
            raise ValueError("features hold NaN or infinite values; drop or fill these first.")
    first, second = (_components(side) for side in sides)
    available = min(first.shape[1], second.shape[1])
    if n_components is not None and not 1 <= n_components <= available:
        raise ValueError(
            f"n_components must be 1 to {available}, the components that both sides have; got {n_components}."
        )
    first, second = first[:, : n_components or available], second[:, : n_components or available].to(first)
    distance = _wasserstein(first, second) if metric == "wasserstein" else _jensen_shannon(first, second, bins)
    return distance.mean()


def _components(features: Tensor) -> Tensor:
    """Principal components (n, k) of unit variance and positive skewness, k the rank of the centered features."""
    centred = features - features.mean(0)
    vectors, sizes, _ = torch.linalg.svd(centred, full_matrices=False)
    kept = sizes > sizes[0] * max(centred.shape) * torch.finfo(centred.dtype).eps
    components = vectors[:, kept] * len(centred) ** 0.5
    return components * torch.where(components.pow(3).sum(0) < 0, -1.0, 1.0).to(components)


def _wasserstein(a: Tensor, b: Tensor) -> Tensor:
    """Area between the distribution functions of each column; numbers of rows may differ."""
    values, order = torch.cat([a, b]).sort(0)
    from_a = (order < len(a)).to(a)
    gap = from_a.cumsum(0) / len(a) - (1 - from_a).cumsum(0) / len(b)
    return (gap[:-1].abs() * values.diff(dim=0)).sum(0)


def _jensen_shannon(a: Tensor, b: Tensor, bins: int) -> Tensor:
    low, high = torch.minimum(a.amin(0), b.amin(0)), torch.maximum(a.amax(0), b.amax(0))

    def histogram(x: Tensor) -> Tensor:
        bin_of = ((x - low) / (high - low) * bins).long().clamp(0, bins - 1)
        return torch.zeros(bins, x.shape[1]).to(x).scatter_add_(0, bin_of, torch.ones_like(x)) / len(x)

    p, q = histogram(a), histogram(b)
    return jensen_shannon_bits(p, q, dim=0)


def jensen_shannon_bits(p: Tensor, q: Tensor, dim: int) -> Tensor:
    """Jensen-Shannon divergence of probabilities along ``dim``, in bits.

    >>> jensen_shannon_bits(torch.tensor([1.0, 0.0]), torch.tensor([0.0, 1.0]), 0)
    tensor(1.)
    """
    middle = (p + q) / 2
    entropy = torch.special.xlogy(p, p) + torch.special.xlogy(q, q) - 2 * torch.special.xlogy(middle, middle)
    return entropy.sum(dim).clamp(min=0) / (2 * math.log(2))
