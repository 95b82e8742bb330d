"""Scores of several subjects in one space, voxel by voxel."""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import torch
from torch import Tensor


class OverSubjects(NamedTuple):
    """What subjects have in common at each voxel, each (n_voxels,).

    ``mean`` of the scores; ``share`` of subjects above a value, 0 to 1; ``t`` of the scores against that value, NaN for
    fewer than two subjects; ``n`` subjects with a score.

    >>> over_subjects([[0.2, -0.1], [0.4, 0.1], [0.3, 0.0]]).share.tolist()    # of subjects with a score above 0
    [1.0, 0.3333333333333333]
    """

    mean: Tensor
    share: Tensor
    t: Tensor
    n: Tensor


def over_subjects(scores: Any, above: float = 0.0) -> OverSubjects:
    """Mean, share above a value and t over subjects; a subject without a score at a voxel does not count there.

    Args:
        scores: (n_subjects, n_voxels).
        above: the value that is asked for.

    Raises:
        ValueError: another shape, or a value that is not finite.

    >>> found = over_subjects([[1.0, 2.0], [3.0, float("nan")]])
    >>> found.mean.tolist(), found.share.tolist(), found.t.tolist(), found.n.tolist()
    ([2.0, 2.0], [1.0, 1.0], [2.0, nan], [2, 1])
    """
    scores = torch.as_tensor(scores).detach().cpu().double()
    if scores.ndim != 2 or not len(scores):
        raise ValueError(f"scores are (n_subjects, n_voxels), got {tuple(scores.shape)}.")
    if not math.isfinite(above):
        raise ValueError(f"above must be a finite number, got {above}.")
    known = scores.isfinite()
    n = known.sum(0)
    filled = torch.where(known, scores, 0.0)
    mean = filled.sum(0) / n
    deviation = torch.where(known, scores - mean, 0.0)
    spread = (deviation.square().sum(0) / (n - 1)).sqrt()
    t = torch.where(n > 1, (mean - above) / (spread / n.double().sqrt()), torch.nan)
    share = (known & (scores > above)).sum(0) / torch.where(n > 0, n.double(), torch.nan)
    return OverSubjects(mean, share, t, n)
