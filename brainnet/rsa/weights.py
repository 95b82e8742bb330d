"""Ranks of entries that count several times: what sorting a resampled RDM would give, without building it."""

from __future__ import annotations

import torch
from torch import Tensor

from brainnet.rsa.rdms import sort_last


def weighted_rank(values: Tensor, weights: Tensor) -> Tensor:
    """Mean ranks along the last axis when entry p occurs ``weights[p]`` times; ties share their mean rank.

    Args:
        values: (..., P).
        weights: (..., P) or anything that broadcasts to it; entries of weight 0 get a rank that nobody reads.

    >>> weighted_rank(torch.tensor([5.0, 1.0, 3.0]), torch.tensor([1.0, 2.0, 0.0]))
    tensor([3.0000, 1.5000, 2.5000])
    """
    ordered, order = sort_last(values)
    cumulated = weights.expand_as(values).gather(-1, order).cumsum(-1)
    first, last = _tie_bounds(ordered)
    before = torch.where(first > 0, cumulated.gather(-1, (first - 1).clamp(min=0)), 0.0)
    ranks = (before + cumulated.gather(-1, last) + 1) / 2
    return torch.empty_like(values).scatter_(-1, order, ranks)


class RankPlan:
    """One vector, sorted once, to be ranked under many weights.

    >>> RankPlan(torch.tensor([5.0, 1.0, 1.0])).ranks(torch.tensor([[1.0, 1.0, 1.0], [1.0, 2.0, 1.0]]))
    tensor([[3.0000, 1.5000, 1.5000],
            [4.0000, 2.0000, 2.0000]])
    """

    def __init__(self, values: Tensor):
        ordered, self.order = sort_last(values)
        first, last = _tie_bounds(ordered)
        position = torch.empty_like(self.order).scatter_(0, self.order, torch.arange(len(values), device=values.device))
        self.before, self.last = first[position], last[position] + 1  # into cumulated weights that start with a 0

    def ranks(self, weights: Tensor) -> Tensor:
        """Ranks (N, P) under weights (N, P)."""
        cumulated = torch.nn.functional.pad(weights[:, self.order].cumsum(1), (1, 0))
        return (cumulated[:, self.before] + cumulated[:, self.last] + 1) / 2


def _tie_bounds(ordered: Tensor) -> tuple[Tensor, Tensor]:
    """First and last position of the run of equal values that each entry of a sorted vector belongs to."""
    position = torch.arange(ordered.shape[-1], device=ordered.device)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[..., 1:] = ordered[..., 1:] != ordered[..., :-1]
    if bool(starts.all()):
        return position.expand(ordered.shape), position.expand(ordered.shape)
    ends = torch.ones_like(starts)
    ends[..., :-1] = starts[..., 1:]
    first = torch.where(starts, position, 0).cummax(-1).values
    last = torch.where(ends, position, len(position)).flip(-1).cummin(-1).values.flip(-1)
    return first, last
