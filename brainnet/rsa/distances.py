"""Distances: from patterns to dissimilarities, one function per metric.

Each takes patterns (B, n_conditions, n_features), B of them at once, and returns (B, n_pairs). Patterns are
centered before products are taken, so a common offset costs no digits, and only the upper triangle is computed,
a band of rows at a time. To add a metric, write such a function and register it; ``rdm`` finds it.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import cache
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._registry import Registry
from brainnet.rsa.pairs import pairs_of

DISTANCES = Registry("distance", group="brainnet.distances")

BAND = 96  # rows of the square matrix computed at a time: keeps BLAS busy and leaves most of the lower triangle out
SLICE = 512  # features at a time: some hundred patterns of them stay in cache between centering and multiplying
ALONE = 512  # patterns up to which a slice is multiplied sooner than BLAS' threads have agreed on who does what
FEW = 32  # patterns up to which one batched product costs less than a call for each RDM
BLOCK_BYTES = 2**27  # of a temporary, where broadcasting would otherwise make (n, n, n_features)


@DISTANCES.register("correlation")
def correlation(patterns: Tensor) -> Tensor:
    """1 - Pearson r between patterns, in [0, 2]; NaN for pairs with a constant pattern."""
    mean = patterns.mean(-1, keepdim=True)
    squares, inner = inner_products(patterns, mean)
    rounding = 8 * torch.finfo(patterns.dtype).eps * mean[..., 0].abs()  # what centering leaves of a constant
    return _one_minus_cosine(squares, inner, patterns.shape[-1] * rounding.square())


@DISTANCES.register("cosine")
def cosine(patterns: Tensor) -> Tensor:
    """1 - cosine of the angle between patterns, in [0, 2]; NaN for pairs with an all-zero pattern."""
    squares, inner = inner_products(patterns)
    return _one_minus_cosine(squares, inner, torch.zeros_like(squares))


@DISTANCES.register("sqeuclidean")
def squared_euclidean(patterns: Tensor, per_channel: bool = False) -> Tensor:
    """Squared Euclidean distance; ``per_channel`` divides by n_features (the "euclidean" of rsatoolbox)."""
    squares, inner = inner_products(patterns, patterns.mean(-2, keepdim=True))
    rows, columns = pairs_of(patterns.shape[-2], patterns.device)
    lengths = squares[:, rows] + squares[:, columns]
    distances = _repair_cancellation(lengths - 2 * inner, lengths, patterns)
    return distances / patterns.shape[-1] if per_channel else distances


@DISTANCES.register("euclidean")
def euclidean(patterns: Tensor, per_channel: bool = False) -> Tensor:
    """Euclidean distance; ``per_channel`` gives the root of the mean squared difference."""
    return squared_euclidean(patterns, per_channel).sqrt()


@DISTANCES.register("manhattan")
def manhattan(patterns: Tensor, per_channel: bool = False) -> Tensor:
    """Sum of absolute differences; ``per_channel`` gives their mean."""
    distances = condense(
        patterns.shape[-2], lambda rows, columns: torch.cdist(patterns[:, rows], patterns[:, columns], p=1.0), band=64
    )
    return distances / patterns.shape[-1] if per_channel else distances


@DISTANCES.register("mahalanobis")
def mahalanobis(
    patterns: Tensor,
    noise_covariance: Tensor | None = None,
    residuals: Tensor | None = None,
    shrinkage: str | float = "diagonal",
    per_channel: bool = True,
) -> Tensor:
    """Squared Mahalanobis distance (x_i - x_j)' S^-1 (x_i - x_j), divided by n_features unless told otherwise.

    Args:
        patterns: (B, n, F).
        noise_covariance: S, (F, F), positive definite.
        residuals: (n_residuals, F) from which S is estimated instead, see ``shrinkage_covariance``.
        shrinkage: how, see there.
        per_channel: divide by F, the field's convention for noise-normalized distances.

    Raises:
        ValueError: neither or both of ``noise_covariance`` and ``residuals``; a covariance that is not (F, F) or
            not positive definite.
    """
    return squared_euclidean(whiten(patterns, noise_covariance, residuals, shrinkage), per_channel)


@DISTANCES.register("crossnobis")
def crossnobis(
    patterns: Tensor,
    noise_covariance: Tensor | None = None,
    residuals: Tensor | None = None,
    shrinkage: str | float = "diagonal",
    per_channel: bool = True,
) -> Tensor:
    """Cross-validated squared Mahalanobis distance: unbiased, 0 on average over noise, and possibly negative.

    The product of the pattern difference in one run with that in another, averaged over all pairs of different runs
    (equal to leave-one-run-out where every run holds every condition). Never clipped.

    Args:
        patterns: (B, n_runs, n, F), the mean pattern of every condition in every run.
        noise_covariance, residuals, shrinkage, per_channel: as for ``mahalanobis``; without a covariance the
            patterns are taken as white already (cross-validated squared Euclidean distance).

    Reference: Walther et al. (2016), NeuroImage 137, 188-200.
    """
    n_runs = patterns.shape[1]
    if n_runs < 2:
        raise ValueError(
            f"crossnobis multiplies different runs: got {n_runs} run; give at least 2, or use 'mahalanobis'."
        )
    if noise_covariance is not None or residuals is not None:
        patterns = whiten(patterns, noise_covariance, residuals, shrinkage)
    centred = patterns - patterns.mean(-2, keepdim=True)  # per run: contrasts between conditions do not see it
    total = centred.sum(1)

    def across_runs(rows, columns):
        within = (centred[:, :, rows] @ centred[:, :, columns].mT).sum(1)
        return total[:, rows] @ total[:, columns].mT - within

    own = total.square().sum(-1) - centred.square().sum(dim=(1, 3))
    rows, columns = pairs_of(patterns.shape[-2], patterns.device)
    sums = own[:, rows] + own[:, columns] - 2 * condense(patterns.shape[-2], across_runs)
    return sums / (n_runs * (n_runs - 1) * (patterns.shape[-1] if per_channel else 1))


@DISTANCES.register("poisson")
def poisson(patterns: Tensor, prior: float = 1.0, prior_weight: float = 0.1, per_channel: bool = True) -> Tensor:
    """Symmetrized Kullback-Leibler divergence between Poisson rates, (r_i - r_j)(ln r_i - ln r_j), mean over channels.

    Rates are shrunk to (x + prior * prior_weight) / (1 + prior_weight), so a silent unit has a logarithm.

    Raises:
        ValueError: negative patterns, which are no rates.
    """
    if bool((patterns < 0).any()):
        raise ValueError(f"poisson needs rates >= 0, got a minimum of {patterns.min().item():.3g}; use 'sqeuclidean'.")
    rates = (patterns + prior * prior_weight) / (1 + prior_weight)
    logs = rates.log()
    rates, logs = (x - x.mean(-2, keepdim=True) for x in (rates, logs))
    own = (rates * logs).sum(-1)
    cross = condense(
        patterns.shape[-2],
        lambda rows, columns: rates[:, rows] @ logs[:, columns].mT + logs[:, rows] @ rates[:, columns].mT,
    )
    rows, columns = pairs_of(patterns.shape[-2], patterns.device)
    distances = (own[:, rows] + own[:, columns] - cross).clamp(min=0)
    return distances / patterns.shape[-1] if per_channel else distances


@DISTANCES.register("gaussian")
def gaussian(patterns: Tensor) -> Tensor:
    """1 - exp(-d^2 / m), d^2 squared Euclidean and m its mean over the whole square matrix, diagonal included."""
    n, squared = patterns.shape[-2], squared_euclidean(patterns)
    return -torch.expm1(-squared / (2 * squared.sum(-1, keepdim=True) / n**2))


# ---- shared pieces ------------------------------------------------------------------------------------------------


def condense(n: int, block: Callable[[slice, slice], Tensor], band: int = BAND) -> Tensor:
    """The upper triangle (B, n_pairs) of a matrix whose blocks (B, rows, columns) are computed when needed."""
    pieces = []
    for start in range(0, n - 1, band):
        stop = min(start + band, n)
        pieces.append(_above_diagonal(block(slice(start, stop), slice(start, n))))
    return torch.cat(pieces, dim=1)


def inner_products(patterns: Tensor, shift: Tensor | None = None) -> tuple[Tensor, Tensor]:
    """Squared lengths (B, n) and inner products (B, n_pairs) of ``patterns - shift``, a slice of features at a time.

    The shifted patterns never exist as a whole: a slice fits the processor's cache, and memory stays that of the input.

    Args:
        patterns: (B, n, F).
        shift: (B, n, 1) or (B, 1, F), or None.
    """
    batch, n, n_features = patterns.shape
    products = patterns.new_zeros(batch, n, n)
    by_blas = patterns.device.type == "cpu" and not patterns.requires_grad and n > FEW
    add, total, whole = _add_products, products, patterns
    if by_blas:  # in numpy's hands alone: torch's threads, which wait awake for its next call, would take BLAS' cores
        add, total, whole = _add_products_blas, products.numpy(), patterns.numpy()
        shift = None if shift is None else shift.numpy()
    with _blas_threads().limit(limits=1, user_api="blas") if by_blas and n <= ALONE else nullcontext():
        for start in range(0, n_features, SLICE):
            features = slice(start, start + SLICE)
            part = whole[..., features]
            if shift is not None:
                part = part - (shift if shift.shape[-1] == 1 else shift[..., features])
            add(total, part)
    rows, columns = pairs_of(n, patterns.device)
    return products.diagonal(dim1=1, dim2=2), products.flatten(1).index_select(1, rows * n + columns)


@cache
def _blas_threads() -> Any:
    """What knows and limits the threads of BLAS; made once, since it looks at every library of the process."""
    from scipy.linalg import blas  # noqa: F401  (before the look)
    from threadpoolctl import ThreadpoolController

    return ThreadpoolController()


def _add_products(products: Tensor, part: Tensor) -> None:
    """Adds ``part @ part.mT`` to the upper triangles of (B, n, n), a band of rows at a time."""
    for start in range(0, part.shape[1], BAND):
        rows, columns = slice(start, start + BAND), slice(start, None)
        products[:, rows, columns].baddbmm_(part[:, rows], part[:, columns].mT)


def _add_products_blas(products: np.ndarray, part: np.ndarray) -> None:
    """The same on a CPU by BLAS's product of a matrix with its own transpose, which costs half of two matrices'."""
    from scipy.linalg.blas import dsyrk, ssyrk

    syrk = ssyrk if part.dtype == np.float32 else dsyrk
    for total, x in zip(products, np.ascontiguousarray(part), strict=True):
        syrk(1.0, x.T, beta=1.0, c=total.T, trans=1, lower=1, overwrite_c=1)  # .T: BLAS counts columns first


def _above_diagonal(block: Tensor) -> Tensor:
    """Entries (B, ...) right of the diagonal of (B, b, m) rows, one row after the other."""
    rows, columns = torch.triu_indices(block.shape[1], block.shape[2], offset=1, device=block.device)
    return block[:, rows, columns]


def _one_minus_cosine(squares: Tensor, inner: Tensor, nothing: Tensor) -> Tensor:
    """1 - cosines within [0, 2]; NaN for patterns whose squared length is ``nothing`` or less."""
    scale = squares.masked_fill(squares <= nothing, torch.nan).rsqrt()
    rows, columns = pairs_of(squares.shape[1], squares.device)
    return without_rounding(1 - inner * scale.index_select(1, rows) * scale.index_select(1, columns))


def without_rounding(distances: Tensor) -> Tensor:
    """1 - cosines within [0, 2], 0 where they are what rounding leaves of 0: such distances must not be ranked."""
    rounding = 8 * torch.finfo(distances.dtype).eps
    return distances.clamp(0, 2).masked_fill_(distances <= rounding, 0)


def _repair_cancellation(distances: Tensor, lengths: Tensor, patterns: Tensor) -> Tensor:
    """Distances far below the patterns' own lengths, taken again from the differences themselves."""
    threshold = 1e-2 if distances.dtype == torch.float32 else 1e-6  # leaves 5 and 10 digits
    batch, pair = (distances <= threshold * lengths).nonzero(as_tuple=True)
    if not len(pair):
        return distances
    rows, columns = pairs_of(patterns.shape[-2], patterns.device)
    repaired = distances.clone()
    step = max(1, BLOCK_BYTES // (patterns.shape[-1] * patterns.element_size()))
    for start in range(0, len(pair), step):
        b, p = batch[start : start + step], pair[start : start + step]
        repaired[b, p] = (patterns[b, rows[p]] - patterns[b, columns[p]]).square().sum(-1)
    return repaired


def whiten(
    patterns: Tensor,
    noise_covariance: Tensor | None = None,
    residuals: Tensor | None = None,
    shrinkage: str | float = "diagonal",
) -> Tensor:
    """Patterns whose noise has unit covariance: Euclidean distances between them are Mahalanobis distances."""
    if (noise_covariance is None) == (residuals is None):
        raise ValueError(
            "mahalanobis needs the noise: give noise_covariance=(F, F) or residuals=(n_residuals, F), not both."
        )
    n_features = patterns.shape[-1]
    covariance = shrinkage_covariance(residuals, shrinkage) if noise_covariance is None else noise_covariance
    covariance = torch.as_tensor(covariance).to(patterns)
    if covariance.shape != (n_features, n_features):
        raise ValueError(f"the noise covariance is {tuple(covariance.shape)} but patterns have {n_features} features.")
    factor, failed = torch.linalg.cholesky_ex(covariance)
    if int(failed):
        raise ValueError("the noise covariance is not positive definite; estimate it with shrinkage (residuals=...).")
    return torch.linalg.solve_triangular(factor, patterns.mT, upper=False).mT


def shrinkage_covariance(residuals: Any, shrinkage: str | float = "diagonal", dof: int | None = None) -> Tensor:
    """Noise covariance (F, F) of residuals (n, F), shrunk so that it can be inverted when n < F.

    Args:
        residuals: deviations of single measurements from their condition means; their own mean is removed.
        shrinkage: "diagonal" towards the variances (Schaefer and Strimmer 2005), "identity" towards their mean
            (Ledoit and Wolf 2004), both with the estimated optimal weight; "none"; or a weight in [0, 1] towards
            the diagonal.
        dof: degrees of freedom of the residuals, n - 1 by default.

    >>> shrinkage_covariance(torch.tensor([[1.0, 0.0], [-1.0, 0.0], [0.0, 1.0], [0.0, -1.0]]), "none")
    tensor([[0.6667, 0.0000],
            [0.0000, 0.6667]])
    """
    residuals = torch.as_tensor(residuals)
    if residuals.ndim != 2 or len(residuals) < 2:
        raise ValueError(f"residuals must be (n_residuals >= 2, n_features), got {tuple(residuals.shape)}.")
    x = residuals - residuals.mean(0)
    n, n_features = x.shape
    dof = n - 1 if dof is None else dof
    products = x.T @ x
    covariance = products / dof
    if shrinkage == "none":
        return covariance
    if shrinkage == "identity":
        biased, squares = products / n, (x.T.square() @ x.square()) / n
        target = biased.diagonal().mean() * torch.eye(n_features, dtype=x.dtype, device=x.device)
        spread = (biased - target).square().sum()
        weight = ((squares - biased.square()).sum() / n).clamp(max=spread) / spread
        return (weight * target + (1 - weight) * biased) * (n / dof)
    if shrinkage == "diagonal":
        z = x / covariance.diagonal().sqrt()
        correlation_, squares = z.T @ z / (n - 1), (z.T.square() @ z.square()) / (n - 1)
        noise = (n / dof**2) * (squares - correlation_.square())
        off_diagonal = ~torch.eye(n_features, dtype=torch.bool, device=x.device)
        weight = (noise[off_diagonal].sum() / correlation_[off_diagonal].square().sum()).clamp(0, 1)
    elif isinstance(shrinkage, (int, float)) and 0 <= shrinkage <= 1:
        weight = shrinkage
    else:
        raise ValueError(f"shrinkage must be 'diagonal', 'identity', 'none' or a weight in [0, 1], got {shrinkage!r}.")
    return (1 - weight) * covariance + weight * torch.diag(covariance.diagonal())
