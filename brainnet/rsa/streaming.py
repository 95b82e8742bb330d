"""Distances of features too large for memory, accumulated over blocks of columns.

Every metric here is a function of sums over features. Sums are kept in float64; means over features are merged
block by block (Chan's update), so an offset shared by a pattern's features costs no digits.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from brainnet.rsa.distances import condense, poisson
from brainnet.rsa.rdms import as_float_tensor, pairs_of, upper_triangle

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
    centre_rows, products, mean, n_seen, n_conditions, dtype = metric == "correlation", None, None, 0, None, None
    for block in blocks:
        block = as_float_tensor(block, "a block of features")
        if block.ndim != 2 or len(block) != (n_conditions or len(block)):
            raise ValueError(
                f"blocks must be ({n_conditions or 'n_conditions'}, some features), got {tuple(block.shape)}."
            )
        if not bool(block.sum().isfinite()):
            raise ValueError("a block of features holds NaN or infinite values; drop or fill these first.")
        n_conditions, dtype, width = len(block), block.dtype, block.shape[1]
        if metric in ("manhattan", "poisson"):
            step = {} if metric == "manhattan" else {"per_channel": False, **options}
            part = (_manhattan(block) if metric == "manhattan" else poisson(block[None], **step)[0]).double()
            products = part if products is None else products + part
            n_seen += width
            continue
        if metric in ("euclidean", "sqeuclidean", "gaussian"):
            block = block - block.mean(0)
        block_mean = block.mean(1, keepdim=True)
        if centre_rows:
            block = block - block_mean
        part = (block @ block.T).double()
        if centre_rows:
            block_mean = block_mean.double()
            if products is not None:
                shift = block_mean - mean
                part = part + (shift @ shift.T) * (n_seen * width / (n_seen + width))
                block_mean = mean + shift * (width / (n_seen + width))
            mean = block_mean
        products = part if products is None else products + part
        n_seen += width
    if products is None:
        raise ValueError("no blocks of features: the iterator is empty (a generator can be read only once).")
    values = _finish(products, metric, mean, n_seen)
    if per_channel if per_channel is not None else metric == "poisson":
        values = values / (n_seen**0.5 if metric == "euclidean" else n_seen)
    return values.to(dtype)


def _manhattan(block: Tensor) -> Tensor:
    rows = block[None]
    return condense(len(block), lambda i, j: torch.cdist(rows[:, i], rows[:, j], p=1.0), band=64)[0]


def _finish(products: Tensor, metric: str, mean: Tensor | None, n_features: int) -> Tensor:
    if metric in ("manhattan", "poisson"):
        return products
    squares = products.diagonal()
    if metric in ("correlation", "cosine"):
        floor = torch.zeros_like(squares)
        if mean is not None:  # what rounding in float32 leaves of a constant pattern
            floor = n_features * (8 * torch.finfo(torch.float32).eps * mean[:, 0]).square()
        length = squares.sqrt().masked_fill(squares <= floor, torch.nan)
        return (1 - upper_triangle(products / length / length[:, None])).clamp(0, 2)
    rows, columns = pairs_of(len(squares), products.device)
    squared = (squares[rows] + squares[columns] - 2 * products[rows, columns]).clamp(min=0)
    if metric == "gaussian":
        return -torch.expm1(-squared * len(squares) ** 2 / (2 * squared.sum()))
    return squared.sqrt() if metric == "euclidean" else squared
