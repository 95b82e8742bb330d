"""The one decomposition behind every ridge here, and what follows from it in closed form.

With centered features X = U S V', ridge at penalty a predicts X V (S^2 + a)^-1 V'X' Y. A ``Spectrum`` holds what that
needs for all voxels and penalties at once; whether it came from the (n x n) or the (p x p) Gram matrix does not show.
The constant direction is never part of it: its eigenvalue is zero up to rounding, and if kept it would take over the
leverages at small penalties.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

_ROWS_AT_ONCE = 256


class Spectrum(NamedTuple):
    """Left singular vectors (n_images, k), orthonormal, and squared singular values (k,), positive and ascending."""

    vectors: Tensor
    values: Tensor


def spectrum_of_kernel(kernel: Tensor, centred: bool, *, overwrite: bool = False) -> Spectrum:
    """Eigenvectors and positive eigenvalues of a symmetric matrix, in its precision; what is rounding is dropped.

    Args:
        kernel: (n, n).
        centred: whether its rows sum to zero, so that one eigenvector is constant and its eigenvalue rounding.
        overwrite: whether the vectors may take the place of ``kernel``, which a caller then reads no more.
    """
    values, vectors = kernel.new_empty(len(kernel)), kernel.mT if overwrite else torch.empty_like(kernel).mT
    torch.linalg.eigh(kernel.mT, out=(values, vectors))  # column by column, as LAPACK works: else it would copy
    kept = values > 16 * torch.finfo(kernel.dtype).eps * values[-1].clamp(min=0)
    if centred:
        kept &= vectors.sum(0).square() < len(kernel) / 4  # the constant direction's sum is n, all others' are zero
    first = int(kept.int().argmax())  # the first one kept
    if kept[first:].all():
        return Spectrum(vectors[:, first:], values[first:])  # as a rule: no copy of the vectors
    return Spectrum(vectors[:, kept], values[kept])


def leave_one_out(
    spectrum: Spectrum,
    coordinates: Tensor,
    response: Tensor,
    alphas: Iterable[float],
    intercept: bool,
    groups: Sequence[Tensor] | None = None,
) -> Iterator[Tensor]:
    """Exact leave-one-out residuals of ridge, (n_images, n_voxels) for each penalty, without refitting.

    The residual of an image left out is e / (1 - h), with e the residual and h the leverage of the fit to all images;
    an unpenalized intercept adds 1 / n to h. Both are summed as what the penalty leaves, a / (S^2 + a), rather than as
    a difference from 1, so small penalties lose no digits.

    Args:
        spectrum: of the training images, centered if there is an intercept.
        coordinates: (k, n_voxels), ``spectrum.vectors.T @ response``.
        response: (n_images, n_voxels), centered if there is an intercept.
        alphas: penalties on the scale of ``spectrum.values``.
        intercept: whether features and responses were centered.
        groups: indices of the images that are left out together, each image once; None leaves out one at a time.

    Yields:
        Response minus prediction, NaN for an image that cannot be predicted from the others (alone in a direction,
        no penalty).
    """
    if groups is not None:
        yield from _leave_groups_out(spectrum, coordinates, response, alphas, intercept, groups)
        return
    vectors, values = spectrum
    squares = vectors.square()
    outside, outside_share, floor = None, 0.0, 0.0
    if vectors.shape[1] < len(response) - intercept:  # directions no feature reaches: nothing there is ever fitted
        outside = response - vectors @ coordinates
        outside_share = 1 - squares.sum(1) - intercept / len(response)
        floor = 10 * torch.finfo(vectors.dtype).eps
    for alpha in alphas:
        kept = alpha / (values + alpha)
        left = squares @ kept + outside_share
        left = torch.where(left > floor, left, torch.nan)
        residual = (vectors * kept) @ coordinates
        if outside is not None:
            residual += outside
        yield residual.div_(left[:, None])


def _leave_groups_out(
    spectrum: Spectrum,
    coordinates: Tensor,
    response: Tensor,
    alphas: Iterable[float],
    intercept: bool,
    groups: Sequence[Tensor],
) -> Iterator[Tensor]:
    """The same for images that are left out together: (I - H)^-1 e within each group, with H the hat matrix."""
    vectors, values = (part.double() for part in spectrum)
    coordinates, n = coordinates.double(), len(response)
    outside, beyond = 0.0, [0.0] * len(groups)
    if vectors.shape[1] < n - intercept:  # directions no feature reaches
        outside = response.double() - vectors @ coordinates
        beyond = [
            torch.eye(len(rows), dtype=vectors.dtype, device=vectors.device)
            - vectors[rows] @ vectors[rows].T
            - intercept / n
            for rows in groups
        ]
    for alpha in alphas:
        kept = alpha / (values + alpha)
        residual = vectors @ (kept[:, None] * coordinates) + outside
        for rows, rest in zip(groups, beyond, strict=True):
            part = vectors[rows]
            residual[rows] = torch.linalg.solve((part * kept) @ part.T + rest, residual[rows])
        yield residual.to(response)


def residual_score(scoring: str, response: Tensor) -> Callable[[Tensor], Tensor]:
    """A function from residuals (n_images, n_voxels) to a score per voxel (n_voxels,) float64.

    The same numbers as scoring ``response - residual``, in a fraction of the passes over memory; NaN where the
    responses do not vary.

    Args:
        scoring: "neg_mse", "r2" or "pearson_r".
        response: (n_images, n_voxels).
    """
    n = len(response)
    centred = response - response.mean(0)
    total = _sum_of(centred, centred)
    total = torch.where(total > 0, total, torch.nan)

    def score(residual: Tensor) -> Tensor:
        squares = _sum_of(residual, residual)
        if scoring == "neg_mse":
            return torch.where(total.isnan(), torch.nan, -squares / n)
        if scoring == "r2":
            return 1 - squares / total
        along = _sum_of(residual, centred)
        spread = total - 2 * along + squares - residual.sum(0, dtype=torch.float64).square() / n
        return torch.where(spread > 0, (total - along) / (spread * total).sqrt(), 0.0 * total)

    return score


def best_penalty(
    spectrum: Spectrum,
    coordinates: Tensor,
    response: Tensor,
    penalties: Iterable[float],
    score: Callable,
    groups: Sequence[Tensor] | None = None,
) -> tuple[Tensor, Tensor]:
    """The best leave-one-out score over penalties, minus infinity where there is none, and the index of its penalty.

    Args:
        spectrum, coordinates, response, penalties: of centered features, as for :func:`leave_one_out`.
        score: of residuals, see :func:`residual_score`.
        groups: images that are left out together, as for :func:`leave_one_out`.
    """
    best = torch.full_like(response[0], -torch.inf)
    at = torch.zeros(response.shape[1], dtype=torch.long, device=response.device)
    for index, residual in enumerate(leave_one_out(spectrum, coordinates, response, penalties, True, groups)):
        found = score(residual).to(response.dtype).nan_to_num(nan=-torch.inf)
        better = found > best
        best, at = torch.where(better, found, best), at.masked_fill(better, index)
    return best, at


def _sum_of(a: Tensor, b: Tensor) -> Tensor:
    """Sums over images of a product, in float64."""
    return (a * b).sum(0, dtype=torch.float64)


def part_of_kernel(kernel: Tensor, images: Tensor, train: Tensor, centre: bool, dtype: torch.dtype) -> Tensor:
    """Kernel between some images and the training images, (n_images, n_train), made a few rows at a time.

    Args:
        kernel: (n, n) between all images.
        images, train: their indices.
        centre: whether the features lose their mean over the training images.
        dtype: of the result.
    """
    mean = grand_mean = kernel.new_zeros(len(kernel))
    if centre:
        mean = kernel @ mean.index_add(0, train, torch.full_like(train, 1 / len(train), dtype=kernel.dtype))
        grand_mean = mean[train].mean()
    part = kernel.new_empty(len(images), len(train), dtype=dtype)
    for rows, block in zip(images.split(_ROWS_AT_ONCE), part.split(_ROWS_AT_ONCE), strict=True):
        values = kernel[rows][:, train]
        block.copy_(values.sub_(mean[rows, None]).sub_((mean - grand_mean)[train]) if centre else values)
    return part
