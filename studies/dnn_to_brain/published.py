"""What the published procedure does and brainnet does not offer: its test, and its cubes in place of spheres."""

from __future__ import annotations

from itertools import product
from typing import Any

import numpy as np
import torch
from torch import Tensor


def cubes(mask: np.ndarray, edge: int = 2, radius: int = 1) -> tuple[int, np.ndarray]:
    """Number of cubes, and the volume in which each voxel has the number of the cube written to it last; NaN for none.

    Cubes begin every ``edge`` voxels. One is used if the mask has a voxel in its inner part; its value is written to
    all of its voxels, moved by ``radius``.
    """
    volume, n = np.full(mask.shape, np.nan), 0
    for start in product(*(range(0, size, edge) for size in mask.shape)):
        sides = [min(edge + 2 * radius, size - first) for first, size in zip(start, mask.shape, strict=True)]
        places = list(zip(start, sides, strict=True))
        if mask[tuple(slice(first + radius, first + side - radius) for first, side in places)].any():
            volume[tuple(slice(first + radius, first + radius + side) for first, side in places)] = n
            n += 1
    return n, volume


def basis(rdms: Tensor) -> Tensor:
    """(k, n_pairs) orthonormal rows that span RDMs (k, n_pairs) and no constant."""
    centred = (rdms - rdms.mean(1, keepdim=True)).double()
    return torch.linalg.qr(centred.T).Q.T


def standardized(rdms: Tensor) -> Tensor:
    """RDMs (n, n_pairs) with mean 0 and length 1."""
    centred = (rdms - rdms.mean(1, keepdim=True)).double()
    return centred / centred.norm(dim=1, keepdim=True)


def in_sample_r2(rows: Tensor, brain: Tensor) -> Tensor:
    """(..., n_brains) R2 of orthonormal predictors (..., k, n_pairs) for standardized RDMs (n_brains, n_pairs)."""
    return (rows @ brain.T).square().sum(-2)


def p_of_pairs(rows: Tensor, brain: Tensor, n_permutations: int, generator: torch.Generator) -> Tensor:
    """(n_brains,) p of R2 when pairs are shuffled as if they were independent, one shuffle for all brains."""
    observed, reached = in_sample_r2(rows, brain), torch.ones(len(brain))
    for _ in range(n_permutations):
        order = torch.randperm(brain.shape[1], generator=generator)
        reached += in_sample_r2(rows[:, order], brain) >= observed
    return reached / (n_permutations + 1)


def p_of_labels(rows: Tensor, brain: Tensor, orders: Tensor, move: Any) -> Tensor:
    """(n_brains,) p of the same R2 when the labels of conditions are permuted; ``move(rdms, orders)`` does it."""
    observed, moved = in_sample_r2(rows, brain), move(rows, orders).transpose(0, 1)
    return ((in_sample_r2(moved, brain) >= observed).sum(0) + 1) / (len(orders) + 1)
