"""How well each of several layers explains a voxel, as the evidence of a Bayesian ridge regression on each alone.

Neighboring layers of a network are much alike, so that a fit on all of them spreads over what carries the same. The
evidence compares them one by one: what a layer must bend to fit a voxel counts against it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from brainnet.series import run_slices

SIGNALS = tuple(10.0 ** (k / 2) for k in range(-6, 5))  # variance of the signal over that of the noise, candidates
AUTOCORRELATIONS = (0.0, 0.2, 0.4, 0.6, 0.8)  # of the noise from one row to the next, candidates
MOST_COMPONENTS, ROWS_EACH = 256, 8  # of a layer: no more than these, and no more than one for so many rows


def log_evidence(features: Tensor, target: Tensor) -> Tensor:
    """Log marginal likelihood of each column of ``target`` under a ridge regression on ``features``, (n_voxels,).

    Weights are normal, alike for all components and independent; errors are normal and independent. Their size is the
    best one in closed form, and the size of the signal the best of ``SIGNALS``. Constants are left out.

    Args:
        features: (n, C), of mean 0.
        target: (n, n_voxels), of mean 0.

    Reference: Rasmussen and Williams (2006), Gaussian Processes for Machine Learning, section 5.4, with a linear
    kernel.

    >>> rng = torch.Generator().manual_seed(0)
    >>> one, other = torch.randn(2, 50, 3, generator=rng)
    >>> bool(log_evidence(one, one @ torch.ones(3, 1)) > log_evidence(other, one @ torch.ones(3, 1)))
    True
    """
    n = len(features)
    vectors, scales, _ = torch.linalg.svd(features.double(), full_matrices=False)
    power = scales.square()
    if not power.sum() > 0:
        return torch.full((target.shape[1],), -torch.inf, dtype=torch.float64, device=target.device)
    power = power * n / power.sum()
    told = (vectors.T @ target.double()).square()
    rest = (target.double().square().sum(0) - told.sum(0)).clamp(min=0)
    best = torch.full_like(rest, -torch.inf)
    for signal in SIGNALS:
        variance = signal * power + 1
        size = ((told / variance[:, None]).sum(0) + rest) / n
        best = torch.maximum(best, -0.5 * n * size.clamp(min=1e-30).log() - 0.5 * variance.log().sum())
    return best


def within_groups(values: Tensor, groups: np.ndarray | None, autocorrelation: float = 0.0) -> Tensor:
    """Rows less the mean of their group and, with ``autocorrelation``, less so much of the row before.

    Args:
        values: (n, n_columns).
        groups: (n,) labels, of runs; rows of a group follow each other. None is one group.
        autocorrelation: of the noise from one row to the next; the first row of each group is then left out.

    >>> within_groups(torch.tensor([[1.0], [3.0], [5.0], [9.0]]), np.array(["a", "a", "b", "b"]), 0.5)[:, 0].tolist()
    [1.5, 3.0]
    """
    parts = []
    for rows in run_slices(groups, len(values)).values():
        part = values[rows] - values[rows].mean(0)
        parts.append(part[1:] - autocorrelation * part[:-1] if autocorrelation else part)
    return torch.cat(parts)


def leading_axes(features: Tensor) -> Tensor:
    """(C, k) the axes of the largest principal components, as many as the rows can tell from noise.

    >>> leading_axes(torch.eye(40)[:, :3]).shape
    torch.Size([3, 3])
    """
    centered = features.double() - features.double().mean(0)
    k = min(features.shape[1], MOST_COMPONENTS, max(8, len(features) // ROWS_EACH))
    return torch.linalg.eigh(centered.T @ centered).eigenvectors[:, -k:]


def autocorrelation_of(spaces: Sequence[Tensor], target: Tensor, groups: np.ndarray | None) -> float:
    """The autocorrelation of the noise under which the best space of each voxel has the most evidence, over voxels.

    The likelihood of a row given the one before it needs no correction for that, so that all can be compared.
    """
    found = [
        evidence_of_spaces(spaces, target, groups, candidate or 1e-9).amax(1).nan_to_num(neginf=0.0).sum()
        for candidate in AUTOCORRELATIONS
    ]
    return AUTOCORRELATIONS[int(torch.stack(found).argmax())]


def evidence_of_spaces(
    spaces: Sequence[Tensor], target: Tensor, groups: np.ndarray | None = None, autocorrelation: float = 0.0
) -> Tensor:
    """(n_voxels, n_spaces) :func:`log_evidence` of each space, within groups."""
    target = within_groups(target, groups, autocorrelation)
    return torch.stack([log_evidence(within_groups(space, groups, autocorrelation), target) for space in spaces], 1)
