"""The search of banded ridge: many mixes of the kernels of feature spaces, and for each voxel the best one.

A mix is decomposed once per fold, for all voxels and penalties together. Weights are solved once at the end, and only
for the mixes and penalties that some voxel chose. So a mix costs what one ridge with the same folds costs.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet.ridge.spectrum import part_of_kernel, spectrum_of_kernel

_VOXELS_AT_ONCE = 512


class FoundMixes(NamedTuple):
    """What the search chose for each voxel.

    ``mix`` (n_voxels,) and ``alpha`` (n_voxels,) are indices, ``scores`` (n_mixes, n_voxels) float64 minus the mean
    square error of each mix at its best penalty, and ``weights`` (n_images, n_voxels) on images.
    """

    mix: Tensor
    alpha: Tensor
    scores: Tensor
    weights: Tensor


def search_mixes(
    kernels: Tensor,
    responses: Tensor,
    mixes: Tensor,
    alphas: Tensor,
    folds: Sequence[tuple[Tensor, Tensor]],
    *,
    centre: bool,
    memory: int,
) -> FoundMixes:
    """The mix and the penalty of each voxel by cross-validation, and its weights on all images.

    Args:
        kernels: (n_spaces, n_images, n_images), centered if ``centre``.
        responses: (n_images, n_voxels), centered if ``centre``.
        mixes: (n_mixes, n_spaces), weights of the kernels.
        alphas: (n_alphas,) penalties, all tried with each mix.
        folds: (train, held-out) indices.
        centre: whether kernels and responses lose their mean over the training images of each fold.
        memory: bytes for batches of voxels.

    Reference: the random search of Dupre la Tour et al. (2022), NeuroImage 264, 119728, section 2.6.
    """
    n_voxels, step = responses.shape[1], torch.finfo(responses.dtype).eps
    best = responses.new_full((n_voxels,), -torch.inf)
    chosen = torch.zeros(n_voxels, dtype=torch.long, device=responses.device)
    penalty = torch.zeros_like(chosen)
    scores = torch.zeros(len(mixes), n_voxels, dtype=torch.float64, device=responses.device)
    for index, mix in enumerate(mixes):
        total = _score_penalties(_mixed(kernels, mix), responses, alphas, folds, centre, memory)
        scores[index], at = total.max(0)
        score = scores[index].to(best)
        better = score > best + step
        best, chosen, penalty = (
            torch.where(better, new, old)
            for new, old in ((score, best), (torch.full_like(chosen, index), chosen), (at, penalty))
        )
    weights = torch.zeros_like(responses)
    for index in chosen.unique().tolist():
        kernel = _mixed(kernels, mixes[index])
        vectors, values = spectrum_of_kernel(kernel, centre, overwrite=True)
        voxels = (chosen == index).nonzero()[:, 0]
        for some in voxels.split(_batch(memory, 3 * len(kernel), responses)):
            coordinates = vectors.T @ responses[:, some]
            coordinates /= values[:, None] + alphas[penalty[some]]
            weights[:, some] = vectors @ coordinates
    return FoundMixes(chosen, penalty, scores, weights)


def draw_mixes(n_mixes: int, n_spaces: int, concentration: Sequence[float], seed: int) -> Tensor:
    """(n_mixes, n_spaces) float64 that sum to 1: equal shares, then samples of Dirichlet distributions.

    Args:
        n_mixes: number of mixes.
        n_spaces: number of feature spaces.
        concentration: of the distributions, used in turn.
        seed: of the draws, which are those of himalaya for the same seed.

    >>> draw_mixes(2, 2, [1.0], seed=0)[0].tolist()
    [0.5, 0.5]
    """
    from himalaya.backend import get_backend
    from himalaya.kernel_ridge import generate_dirichlet_samples

    drawn = generate_dirichlet_samples(n_mixes, n_spaces, concentration=list(concentration), random_state=seed)
    mixes = torch.from_numpy(np.asarray(get_backend().to_numpy(drawn), dtype=np.float64).copy())
    mixes[0] = 1 / n_spaces
    return mixes


def _mixed(kernels: Tensor, mix: Tensor) -> Tensor:
    kernel = torch.zeros_like(kernels[0])
    for share, part in zip(mix.tolist(), kernels, strict=True):
        kernel.add_(part, alpha=share)
    return kernel


def _score_penalties(
    kernel: Tensor, responses: Tensor, alphas: Tensor, folds: Sequence, centre: bool, memory: int
) -> Tensor:
    """(n_alphas, n_voxels) float64 minus the mean square error on held-out images, averaged over folds."""
    total = torch.zeros(len(alphas), responses.shape[1], dtype=torch.float64, device=responses.device)
    for train, held_out in folds:
        part = part_of_kernel(kernel, train, train, centre, kernel.dtype)
        vectors, values = spectrum_of_kernel(part, centre, overwrite=True)
        reads = part_of_kernel(kernel, held_out, train, centre, kernel.dtype) @ vectors
        for voxels in _slices(responses, memory, 2 * len(train) + 4 * len(held_out)):
            known, truth = responses[train, voxels], responses[held_out, voxels]
            if centre:
                mean = known.mean(0)
                known, truth = known - mean, truth - mean
            coordinates = vectors.T @ known
            for row, alpha in zip(total, alphas, strict=True):
                error = torch.addmm(truth, reads / (values + alpha), coordinates, alpha=-1)
                row[voxels] -= torch.linalg.vecdot(error, error, dim=0).double() / len(held_out)
    return total.div_(len(folds))


def _batch(memory: int, numbers_per_voxel: int, like: Tensor) -> int:
    step = max(1, memory // (numbers_per_voxel * like.dtype.itemsize))
    return min(step, _VOXELS_AT_ONCE) if like.device.type == "cpu" else step


def _slices(responses: Tensor, memory: int, numbers_per_voxel: int) -> Iterator[slice]:
    step = _batch(memory, numbers_per_voxel, responses)
    for start in range(0, responses.shape[1], step):
        yield slice(start, min(responses.shape[1], start + step))
