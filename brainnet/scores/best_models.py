"""Which of several models is best in each voxel, by how much, and where that can be said."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor


class BestModel(NamedTuple):
    """The winner of each voxel.

    Attributes:
        best: (n_voxels,) long, the model with the highest score; -1 where no model is to be named.
        margin: (n_voxels,) its score less that of the second; NaN where there is none.
        group: (n_voxels,) long, the group of the winner, -1 as in ``best``; the model itself where there are no groups.
        group_margin: (n_voxels,) its score less the highest of the other groups.
        why: (n_voxels,) long: 0 named, 1 no score, 2 the ceiling is too low, 3 not significant.

    >>> found = best_model([[0.5, 0.25], [0.25, 0.75]])
    >>> found.best.tolist(), found.margin.tolist()
    ([0, 1], [0.25, 0.5])
    """

    best: Tensor
    margin: Tensor
    group: Tensor
    group_margin: Tensor
    why: Tensor


def best_model(
    scores: Any,
    *,
    groups: Sequence[int] | None = None,
    ceiling: Any = None,
    least_ceiling: float = 0.1,
    p: Any = None,
    alpha: float = 0.05,
) -> BestModel:
    """The model with the highest score in each voxel, where the noise ceiling and a corrected p allow to name one.

    Args:
        scores: (n_models, n_voxels); a voxel in which one model has no score has no winner.
        groups: the group of each model, from 0.
        ceiling: (n_voxels,) on the scale of the scores; voxels below ``least_ceiling``, or without one, are left out.
        least_ceiling: see ``ceiling``.
        p: (n_voxels,) p of the highest score, corrected for voxels and for the choice among models; or
            (n_models, n_voxels) of each model, corrected for voxels alone: the winner's is then multiplied by the
            number of models (Bonferroni), since the winner was chosen by the very scores that are tested.
        alpha: level.

    Raises:
        ValueError: shapes that do not fit.

    >>> found = best_model([[0.5, 0.1, 0.3], [0.2, 0.4, 0.3]], ceiling=[0.9, 0.05, 0.9])
    >>> found.best.tolist(), found.why.tolist()
    ([0, -1, 0], [0, 2, 0])
    """
    scores = torch.as_tensor(scores).detach().cpu().double()
    if scores.ndim != 2 or not len(scores):
        raise ValueError(f"scores are (n_models, n_voxels), got {tuple(scores.shape)}.")
    n_models, n_voxels = scores.shape
    kinds = torch.arange(n_models) if groups is None else torch.as_tensor(groups).long()
    if kinds.shape != (n_models,):
        raise ValueError(f"groups are one for each of the {n_models} models, got {tuple(kinds.shape)}.")
    known = scores.isfinite().all(0)
    filled = torch.where(known, scores, -torch.inf)
    best = filled.argmax(0)
    top = filled.gather(0, best[None])[0]
    others = filled.scatter(0, best[None], -torch.inf)
    foreign = torch.where(kinds[:, None] == kinds[best], -torch.inf, filled)
    why = torch.where(known, 0, 1)
    if ceiling is not None:
        ceiling = _fitting(ceiling, (n_voxels,), "ceiling")
        why = torch.where((why == 0) & ~(ceiling >= least_ceiling), 2, why)
    if p is not None:
        p = torch.as_tensor(p).detach().cpu().double()
        if p.ndim == 2:
            p = (_fitting(p, (n_models, n_voxels), "p").gather(0, best[None])[0] * n_models).clamp(max=1)
        p = _fitting(p, (n_voxels,), "p")
        why = torch.where((why == 0) & ~(p <= alpha), 3, why)
    shown = why == 0

    def margin(rest: Tensor) -> Tensor:
        second = rest.amax(0)
        return torch.where(known & second.isfinite(), top - second, torch.nan)

    return BestModel(
        best.masked_fill(~shown, -1), margin(others), kinds[best].masked_fill(~shown, -1), margin(foreign), why
    )


def _fitting(values: Any, shape: tuple[int, ...], name: str) -> Tensor:
    values = torch.as_tensor(values).detach().cpu().double()
    if values.shape != shape:
        raise ValueError(f"{name} has shape {tuple(values.shape)}, expected {shape}.")
    return values
