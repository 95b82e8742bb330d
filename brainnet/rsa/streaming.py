"""Distances of features too large for memory, accumulated over blocks of columns.

Every metric here is a function of sums over features, kept in float64. Means over features are merged block by block
(Chan's update), so an offset shared by a pattern's features costs no digits, however it drifts.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from brainnet.rsa.checks import as_float_tensor
from brainnet.rsa.distances import manhattan, poisson, without_rounding
from brainnet.rsa.pairs import pairs_of, upper_triangle

STREAMED = ("correlation", "cosine", "euclidean", "sqeuclidean", "manhattan", "poisson", "gaussian")


def stream_distances(blocks: Iterator[Any], metric: str, per_channel: bool | None = None, **options: Any) -> Tensor:
    """Dissimilarities (n_pairs,) of patterns that arrive as blocks (n_conditions, some features).

    Args:
        blocks: consumed once; one block is in memory at a time.
        metric: one of ``STREAMED``; the others need all features at once.
        per_channel: as in the metric's own function.
        **options: of "poisson".

    Raises:
        ValueError: a metric that cannot be streamed, no blocks, blocks of differing height, NaN features.

    >>> x = torch.tensor([[0.0, 0.0, 0.0], [1.0, 2.0, 2.0], [3.0, 0.0, 4.0]])
    >>> stream_distances((x[:, i : i + 1] for i in range(3)), "euclidean")
    tensor([3.0000, 5.0000, 3.4641])
    """
    if metric not in STREAMED:
        raise ValueError(f"{metric!r} needs all features at once; blocks can be accumulated for {', '.join(STREAMED)}.")
    sums = _CentredProducts() if metric == "correlation" else _PlainSums(metric, options)
    n_features, last = 0, None
    for block in blocks:
        block = as_float_tensor(block, "a block of features")
        if block.ndim != 2 or (last is not None and len(block) != len(last)):
            height = "n_conditions" if last is None else len(last)
            raise ValueError(f"blocks must be ({height}, some features), got {tuple(block.shape)}.")
        if not bool(block.sum().isfinite()):
            raise ValueError("a block of features holds NaN or infinite values; drop or fill these first.")
        sums.add(block)
        n_features, last = n_features + block.shape[1], block
    if last is None:
        raise ValueError("no blocks of features: the iterator is empty (a generator can be read only once).")
    if metric == "correlation":
        values = _one_minus_cosine(sums.total, sums.rounding(torch.finfo(last.dtype).eps))
    else:
        values = _finished(sums.total, metric)
    if metric == "poisson" if per_channel is None else per_channel:
        values = values / (n_features**0.5 if metric == "euclidean" else n_features)
    values = values.to(last.dtype)
    return without_rounding(values) if metric in ("correlation", "cosine") else values


class _PlainSums:
    """Products, differences or divergences that add up over features."""

    def __init__(self, metric: str, options: dict[str, Any]):
        self.metric, self.options = metric, options
        self.total: Tensor | float = 0.0

    def add(self, block: Tensor) -> None:
        if self.metric == "manhattan":
            part = manhattan(block[None])[0]
        elif self.metric == "poisson":
            part = poisson(block[None], per_channel=False, **self.options)[0]
        else:
            part = block if self.metric == "cosine" else block - block.mean(0)
            part = part @ part.T
        self.total = self.total + part.double()


class _CentredProducts:
    """Products of patterns about their own means, which are known only when the last block has been seen."""

    def __init__(self):
        self.total, self.mean, self.n_features = 0.0, 0.0, 0

    def add(self, block: Tensor) -> None:
        width, mean = block.shape[1], block.mean(1, keepdim=True)
        centred = block - mean
        shift = mean.double() - self.mean
        share = width / (self.n_features + width)
        self.total = self.total + (centred @ centred.T).double() + (shift @ shift.T) * (self.n_features * share)
        self.mean = self.mean + shift * share
        self.n_features += width

    def rounding(self, eps: float) -> Tensor:
        """Squared length that rounding leaves of a constant pattern, (n_conditions,)."""
        return self.n_features * (8 * eps * self.mean[:, 0]).square()


def _one_minus_cosine(products: Tensor, nothing: Tensor | float = 0.0) -> Tensor:
    squares = products.diagonal()
    length = squares.sqrt().masked_fill(squares <= nothing, torch.nan)
    return 1 - upper_triangle(products / length / length[:, None])


def _finished(total: Tensor, metric: str) -> Tensor:
    if metric in ("manhattan", "poisson"):
        return total
    if metric == "cosine":
        return _one_minus_cosine(total)
    squares = total.diagonal()
    rows, columns = pairs_of(len(squares), total.device)
    squared = (squares[rows] + squares[columns] - 2 * total[rows, columns]).clamp(min=0)
    if metric == "gaussian":
        return -torch.expm1(-squared * len(squares) ** 2 / (2 * squared.sum()))
    return squared.sqrt() if metric == "euclidean" else squared
