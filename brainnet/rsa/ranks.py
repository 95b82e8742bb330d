"""Ranks: of values, and of entries that count several times, without building what they were drawn into.

Sorting is nearly all of the cost. The two ideas: the bits of a number, read as an integer, sort as the number does, and
integers can be sorted by counting, which is as fast on every processor; and where entries are integers already (codes),
value and place fit into one number, whose sorting says where everything came from.
"""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

# torch sorts one row of at least so many integers by counting, given FBGEMM: https://github.com/pytorch/pytorch/pull/100081
COUNTED = 2**15 if "fbgemm" in torch.backends.quantized.supported_engines else 2**62


def sort_last(values: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted values and their order along the last axis; equal values in any order, NaN last.

    >>> sort_last(torch.tensor([3.0, 1.0, 2.0]))
    (tensor([1., 2., 3.]), tensor([1, 2, 0]))
    """
    if values.device.type != "cpu" or values.requires_grad:
        return values.sort(dim=-1)
    size = values.shape[-1]
    if size < COUNTED or values.dtype not in (torch.float32, torch.float64):
        order = torch.from_numpy(np.argsort(values.numpy(), axis=-1))  # a fifth of the time of torch's stable sort
        return values.gather(-1, order), order
    ordered, order = torch.empty(values.shape, dtype=values.dtype), torch.empty(values.shape, dtype=torch.int64)
    for row, *found in zip(*(x.reshape(-1, size) for x in (values, ordered, order)), strict=True):
        _sort_by_counting(row, *found)
    return ordered, order


def rank(values: Tensor) -> Tensor:
    """Ranks along the last axis, 1 = smallest, ties at their mean rank; NaN keeps its place and gets NaN.

    >>> rank(torch.tensor([10.0, 30.0, 10.0]))
    tensor([1.5000, 3.0000, 1.5000])
    """
    ordered, order = sort_last(values)
    position = torch.arange(1, values.shape[-1] + 1, device=values.device, dtype=torch.float64)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    torch.ne(ordered[..., 1:], ordered[..., :-1], out=starts[..., 1:])
    if bool(starts.all()):
        mean_rank = position.expand_as(ordered)
    else:
        first = torch.where(starts, position, 0.0).cummax(-1).values
        ends = torch.ones_like(starts)
        ends[..., :-1] = starts[..., 1:]
        last = torch.where(ends, position, torch.inf).flip(-1).cummin(-1).values.flip(-1)
        mean_rank = (first + last) / 2
    mean_rank = mean_rank.to(values.dtype)
    if ordered.shape[-1] and bool(ordered[..., -1].isnan().any()):  # NaN stands last
        mean_rank = mean_rank.masked_fill(ordered.isnan(), torch.nan)
    return torch.empty_like(values).scatter_(-1, order, mean_rank)


def _sort_by_counting(row: Tensor, ordered: Tensor, order: Tensor) -> None:
    """Sorts (P,) floats by their 31 leading bits below the largest; the few that these confuse are compared."""
    array = row.numpy()
    if np.isnan(array.max()) or len(np.unique(array[:: len(array) // 1024])) < 128:  # comparing is fast for few values
        order.numpy()[:] = np.argsort(array)
        torch.index_select(row, 0, order, out=ordered)
        return
    key = np.ascontiguousarray(array).view(f"i{array.itemsize}")
    if key.min() < 0:  # among negative numbers a larger magnitude comes first
        key = key ^ (key >> (8 * key.itemsize - 1) & np.iinfo(key.dtype).max)
    low, high = int(key.min()), int(key.max())
    excess = max(0, (high - low).bit_length() - 31)
    key, places = torch.from_numpy(((key - low).view(f"u{key.itemsize}") >> excess).astype(np.int32)).sort()
    order.copy_(places)
    torch.index_select(row, 0, places, out=ordered)
    if excess:
        _compare_confused(ordered.numpy(), key.numpy(), order.numpy())


def _compare_confused(ordered: np.ndarray, key: np.ndarray, order: np.ndarray) -> None:
    """Sorts, in place, groups of equal key that are out of order; all at once, as keys are in order already."""
    wrong = np.flatnonzero(ordered[1:] < ordered[:-1])
    if not len(wrong):
        return
    keys = np.unique(key[wrong])
    first = np.searchsorted(key, keys)
    sizes = np.searchsorted(key, keys, side="right") - first
    places = np.arange(sizes.sum()) + np.repeat(first - sizes.cumsum() + sizes, sizes)
    right = places[np.argsort(ordered[places])]
    ordered[places], order[places] = ordered[right], order[right]


def order_codes(values: Tensor) -> Tensor:
    """Integers in the order of the values along the last axis, equal where these are equal.

    >>> order_codes(torch.tensor([5.0, -1.0, 5.0, 2.5]))
    tensor([2, 0, 2, 1])
    """
    ordered, order = sort_last(values)
    rises = torch.zeros_like(order)
    rises[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    return torch.empty_like(order).scatter_(-1, order, rises.cumsum(-1))


def weighted_rank(codes: Tensor, weights: Tensor) -> Tensor:
    """Mean ranks along the last axis when entry p occurs ``weights[p]`` times; ties share their mean rank.

    Args:
        codes: (K, P) whole numbers of 0 or more in any dtype, such as ``order_codes`` gives.
        weights: (P,) floating point.

    Returns:
        (K, P) in the dtype of the weights; entries of weight 0 get a rank that nobody reads.

    >>> weighted_rank(torch.tensor([[2, 0, 1]]), torch.tensor([1.0, 2.0, 0.0]))
    tensor([[3.0000, 1.5000, 2.5000]])
    """
    ordered, order = _sort(codes)
    counts = weights.index_select(0, order.flatten()).view(order.shape)
    until = counts.cumsum(1)
    ranks = until.sub(counts, alpha=0.5).add_(0.5)
    _share_ties(ranks, ordered, until, counts)
    return torch.empty_like(ranks).scatter_(1, order, ranks)


def _share_ties(ranks: Tensor, ordered: Tensor, until: Tensor, counts: Tensor) -> None:
    """Gives entries of equal code the mean of the places they fill together; the others are left alone."""
    as_next = torch.zeros_like(ordered, dtype=torch.bool).flatten()
    torch.eq(ordered.view(-1)[1:], ordered.view(-1)[:-1], out=as_next[:-1])
    as_next[ordered.shape[1] - 1 :: ordered.shape[1]] = False  # a group ends with its row
    tied = as_next.nonzero()[:, 0]  # all of a group but its last
    if not len(tied):
        return
    opens = torch.nn.functional.pad(tied.diff() != 1, (1, 0), value=True)
    group = opens.cumsum(0) - 1
    first = tied.masked_select(opens)
    last = torch.empty_like(first).index_copy_(0, group, tied + 1)
    until, counts = until.flatten(), counts.flatten()
    shared = (until.index_select(0, first) - counts.index_select(0, first) + until.index_select(0, last) + 1) / 2
    ranks.view(-1).index_copy_(0, tied, shared.index_select(0, group)).index_copy_(0, last, shared)


def _sort(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted codes along the last axis and where they stood."""
    size = codes.shape[1]
    bits = size.bit_length()
    needed = bits + int(codes.max()).bit_length() if codes.numel() else 0
    if needed > 63:
        return codes.sort(dim=1)
    packed = codes.to(torch.int32 if needed <= 31 else torch.int64, copy=True)
    packed <<= bits
    packed |= torch.arange(size, dtype=packed.dtype, device=packed.device)
    if packed.device.type == "cpu":
        packed.numpy().sort(axis=1)  # vectorised, several times as fast as torch's
    else:
        packed = packed.sort(dim=1).values
    return packed >> bits, packed.bitwise_and_((1 << bits) - 1).long()
