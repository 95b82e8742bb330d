"""Ranks: of values, and of entries that count several times, without building what they were drawn into.

Sorting is nearly all of the cost. The two ideas: the bits of a number, read as an integer, sort as the number does, and
integers can be sorted by counting, which is as fast on every processor; and where entries are integers already (codes),
value and place fit into one number, whose sorting says where everything came from.
"""

from __future__ import annotations

from typing import NamedTuple

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


class Places(NamedTuple):
    """Where entries stand when sorted: what all resamples of their conditions share."""

    order: Tensor  # (K, P) which entry stands at each place
    first: Tensor  # (K, P) of each entry, the first place of its ties
    stop: Tensor | None  # (K, P) the place after their last; None without ties

    def ranks(self, weights: Tensor, entries: Tensor) -> Tensor:
        """Mean ranks (K, n) of some entries when entry p occurs ``weights[p]`` times; ties share their mean rank.

        Args:
            weights: (P,) floating point.
            entries: (n,) which ranks are wanted.

        >>> places = find_places(torch.tensor([[5.0, -1.0, 2.0]]))
        >>> places.ranks(torch.tensor([1.0, 2.0, 0.0]), torch.tensor([0, 1]))
        tensor([[3.0000, 1.5000]])
        """
        until = weights.new_zeros(self.order.shape[0], self.order.shape[1] + 1)
        torch.cumsum(weights.index_select(0, self.order.view(-1)).view(self.order.shape), 1, out=until[:, 1:])
        before = until.gather(1, self.first.index_select(1, entries))
        if self.stop is None:
            return before.add_((weights.index_select(0, entries) + 1) / 2)
        return before.add_(until.gather(1, self.stop.index_select(1, entries))).add_(1).mul_(0.5)


def find_places(values: Tensor) -> Places:
    """Sorts (K, P) values once for all their resamples."""
    ordered, order = sort_last(values)
    place = torch.arange(values.shape[1], device=values.device).expand_as(order)
    starts = torch.ones_like(order, dtype=torch.bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    if bool(starts.all()):
        return Places(order, torch.empty_like(order).scatter_(1, order, place), None)
    first = torch.where(starts, place, 0).cummax(1).values
    ends = starts.roll(-1, 1)
    stop = torch.where(ends, place, values.shape[1]).flip(1).cummin(1).values.flip(1) + 1
    return Places(order, *(torch.empty_like(order).scatter_(1, order, x) for x in (first, stop)))


def weighted_rank(codes: Tensor, weights: Tensor | None = None) -> Tensor:
    """Mean ranks along the last axis when entry p occurs ``weights[p]`` times; ties share their mean rank.

    Args:
        codes: (K, P) whole numbers of 0 or more in any dtype.
        weights: (P,) floating point; None counts every entry once.

    Returns:
        (K, P) in the dtype of the weights, else float64; entries of weight 0 get a rank that nobody reads.

    >>> weighted_rank(torch.tensor([[2, 0, 1]]), torch.tensor([1.0, 2.0, 0.0]))
    tensor([[3.0000, 1.5000, 2.5000]])
    """
    ordered, order = _sort(codes)
    if weights is None:
        ranks = torch.arange(1, codes.shape[1] + 1, dtype=torch.float64, device=codes.device).repeat(len(codes), 1)
        _share_ties(ranks, ordered)
    else:
        counts = weights.index_select(0, order.view(-1)).view(order.shape)
        ranks = counts.cumsum(1).sub_(counts, alpha=0.5).add_(0.5)
        _share_ties(ranks, ordered, counts)
    return torch.empty_like(ranks).scatter_(1, order, ranks)


def _share_ties(ranks: Tensor, ordered: Tensor, counts: Tensor | None = None) -> None:
    """Gives entries of equal code the mean of the places they fill together; the others are left alone."""
    same = torch.zeros(ordered.shape, dtype=torch.bool, device=ordered.device)  # as the next; never at a row's end
    if ordered.device.type == "cpu":  # few of many: numpy finds them in a quarter of the time of torch
        np.equal(ordered.numpy()[:, 1:], ordered.numpy()[:, :-1], out=same.numpy()[:, :-1])
        tied = torch.from_numpy(np.flatnonzero(same.numpy()))
    else:
        torch.eq(ordered[:, 1:], ordered[:, :-1], out=same[:, :-1])
        tied = same.view(-1).nonzero()[:, 0]
    if not len(tied):
        return
    opens = torch.ones_like(tied, dtype=torch.bool)
    torch.ne(tied[1:], tied[:-1] + 1, out=opens[1:])
    group = opens.cumsum(0).sub_(1)
    first = tied[opens]
    last = torch.empty_like(first).index_copy_(0, group, tied + 1)
    flat = ranks.view(-1)
    shared = flat.index_select(0, first).add_(flat.index_select(0, last))
    if counts is not None:
        counts = counts.view(-1)
        shared.add_(counts.index_select(0, last).sub_(counts.index_select(0, first)), alpha=0.5)
    shared *= 0.5
    flat.index_copy_(0, tied, shared.index_select(0, group)).index_copy_(0, last, shared)


def _sort(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Sorted codes along the last axis and where they stood."""
    size = codes.shape[1]
    bits = size.bit_length()
    largest = int(codes.max()) if codes.numel() else 0
    if largest < 2**16 and codes.device.type == "cpu":
        order = torch.from_numpy(np.argsort(codes.numpy().astype(np.uint16), axis=1, kind="stable"))  # by counting
        return codes.gather(1, order), order
    needed = bits + largest.bit_length()
    if needed > 63:
        return codes.sort(dim=1)
    packed = codes.to(torch.int32 if needed <= 31 else torch.int64, copy=True)
    packed <<= bits
    packed |= torch.arange(size, dtype=packed.dtype, device=packed.device)
    if packed.device.type == "cpu":
        packed.numpy().sort(axis=1)  # vectorized, several times as fast as torch's
    else:
        packed = packed.sort(dim=1).values
    return packed >> bits, packed.bitwise_and_((1 << bits) - 1).long()
