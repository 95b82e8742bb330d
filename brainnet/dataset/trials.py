"""Single trials to conditions: standardized within sessions or runs, averaged or kept, with what their repeats tell.

Trials come as one array or as blocks in the order of the recording, a session each for instance, so that a whole
recording need not be in memory: only sums and counts of conditions x voxels are.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.scores import NoiseCeiling

VOXELS_AT_ONCE = 1024
OUTLIER = 5.0  # robust SDs of a trial's root mean square within its group


@dataclass(frozen=True, eq=False)
class Conditions:
    """Responses by condition.

    Attributes:
        ids: one name per condition, in the order of their first trial.
        responses: (n_conditions, n_voxels) float32, the mean over trials; NaN where none was measured.
        counts: (n_conditions, n_voxels) uint8, how many trials that is a mean of; a view of one column where none is
            missing.
        ncsnr: (n_voxels,) float64, SD of the signal over SD of the noise of one trial, as
            :func:`brainnet.scores.ncsnr`; NaN where no condition has two trials.
        n_missing: trials x voxels without a response.
        n_trials: trials in all.
        outliers: places of trials whose size (root mean square over voxels) lies far from the other trials of their
            session or run; they are used, and only named.
        repeats: (n_conditions, most trials, n_voxels) float32, NaN where there are fewer; None unless kept.
        groups: condition -> the sessions or runs of its trials, where these were given.

    >>> trials = torch.tensor([[1.0], [7.0], [3.0], [9.0]])
    >>> found = conditions(trials, ["cat", "dog", "cat", "dog"], standardize=False)
    >>> found.ids, found.responses[:, 0].tolist(), found.ncsnr.round(decimals=3).tolist()
    (['cat', 'dog'], [2.0, 8.0], [2.915])
    >>> found.noise_ceiling([0, 1]).r.round(decimals=3).tolist()    # of the means of two trials
    [0.972]
    """

    ids: list[str]
    responses: Tensor
    counts: Tensor
    ncsnr: Tensor
    n_missing: int
    n_trials: int
    outliers: list[int] = field(default_factory=list)
    repeats: Tensor | None = None
    groups: list[list[Any]] | None = None

    def first_groups(self) -> np.ndarray | None:
        """(n_conditions,) the session or run of each condition's first trial, to leave one out; None without any.

        An image shown in several sessions is left out with the first of them. No image is then on both sides.

        >>> conditions(torch.rand(3, 2), ["a", "b", "a"], runs=[1, 1, 2]).first_groups().tolist()
        [1, 1]
        """
        return None if self.groups is None else np.array([labels[0] for labels in self.groups])

    def single_trials(self) -> tuple[Tensor, list[str], list[Any] | None]:
        """Every trial that was kept, as used: (n_trials, n_voxels), its condition, and its session or run.

        For distances that need them: ``rdm(trials, "crossnobis", labels=labels, runs=groups)``.

        Raises:
            ValueError: they were not kept.
        """
        if self.repeats is None:
            raise ValueError("single trials were not kept: conditions(..., keep=True).")
        n_of = [len(labels) for labels in self.groups] if self.groups is not None else None
        there = self.repeats.isfinite().any(2) if n_of is None else \
            torch.arange(self.repeats.shape[1]) < torch.tensor(n_of)[:, None]  # fmt: skip
        row, trial = there.nonzero(as_tuple=True)
        labels = [self.ids[i] for i in row.tolist()]
        groups = None if self.groups is None else [
            self.groups[i][k] for i, k in zip(row.tolist(), trial.tolist(), strict=True)
        ]  # fmt: skip
        return self.repeats[row, trial], labels, groups

    def noise_ceiling(self, rows: Sequence[int] | Tensor, ncsnr: Any = None) -> NoiseCeiling:
        """The ceiling of the responses to some conditions, see :func:`brainnet.scores.ceiling_from_ncsnr`.

        Args:
            rows: which conditions.
            ncsnr: (n_voxels,) of a published map, in place of the one that these trials give.
        """
        counts = self.counts if self.counts.stride(1) else self.counts[:, :1]  # the same for all voxels
        counts = counts[torch.as_tensor(rows, dtype=torch.long)]
        n_of = {k: (counts == k).sum(0).double() for k in range(1, int(counts.max()) + 1)}  # conditions of k trials
        known = sum(n_of.values(), torch.zeros(counts.shape[1], dtype=torch.float64))
        noise_left = sum((n / k for k, n in n_of.items()), torch.zeros_like(known)) / known  # mean of 1 / k
        source = "published ncsnr" if ncsnr is not None else "ncsnr of these trials"
        signal = (self.ncsnr if ncsnr is None else torch.as_tensor(ncsnr).double()).square()
        signal = signal.clamp(max=torch.finfo(torch.float64).max)
        r = (signal / (signal + noise_left)).sqrt()
        typical = round(float(sum(k * n.sum() for k, n in n_of.items()) / known.sum())) if n_of else 1
        return NoiseCeiling(r, f"{source}: q^2 / (q^2 + mean of 1/K)", max(1, typical))


def conditions(
    trials: Any,
    ids: Sequence[Any],
    *,
    sessions: Sequence[Any] | None = None,
    runs: Sequence[Any] | None = None,
    standardize: bool = True,
    keep: bool = False,
) -> Conditions:
    """Means of the trials of each condition, and how reliable they are.

    Args:
        trials: (n_trials, n_voxels), or an iterable of blocks of it in order; NaN where a response is missing. A voxel
            that never changes within a session (or run) was not measured there, and counts as missing.
        ids: (n_trials,) the condition of each trial.
        sessions: (n_trials,) labels; trials of one session follow one another, within one block.
        runs: (n_trials,) labels, in place of sessions; runs of one name in two sessions are two runs where both are
            given, and standardization is then within runs.
        standardize: z-score each voxel within its session or run (SD over n). Sessions differ in gain and offset, and
            without it these count as noise. Without sessions and runs, all trials of a block are one group.
        keep: keep the single trials of each condition too.

    Raises:
        ValueError: labels or ids of another number than the trials, a session that is torn apart, no trials, or more
            than 255 trials of a condition.

    >>> found = conditions(torch.tensor([[1.0], [5.0], [3.0], [7.0]]), ["a", "b", "a", "b"], standardize=False)
    >>> found.ids, found.responses[:, 0].tolist(), found.counts[:, 0].tolist()
    (['a', 'b'], [2.0, 6.0], [2, 2])
    """
    names = [str(name) for name in ids]
    place = {name: row for row, name in enumerate(dict.fromkeys(names))}
    index = torch.tensor([place[name] for name in names], dtype=torch.long)
    labels = _labels(sessions, runs, len(names))
    most = int(index.bincount().max()) if len(index) else 0
    if not 0 < most < 256:
        raise ValueError(f"a condition has {most} trials; expected 1 to 255.")
    sums: Any = None
    start, outliers, seen = 0, [], set()
    for block in _blocks(trials):
        stop = start + len(block)
        if stop > len(names):
            raise ValueError(f"there are {len(names)} ids, and more trials than that.")
        groups = _groups(labels[start:stop], seen)
        sums = _Sums(len(place), block.shape[1], most if keep else 0) if sums is None else sums
        sizes = sums.add(index[start:stop], block, groups, standardize)
        outliers += [start + rows.start + int(i) for rows in groups for i in _outliers(sizes[rows])]
        start = stop
        del block  # before the next one is read
    if start != len(names):
        raise ValueError(f"there are {len(names)} ids but {start} trials.")
    found: list[list[Any]] = [[] for _ in place]
    for row, label in zip(index.tolist(), labels, strict=True):
        found[row].append(label if sessions is None or runs is None else label[1])
    means, ratio = sums.finish()
    return Conditions(list(place), means, sums.all_counts(), ratio, sums.n_missing, len(names), outliers, sums.repeats,
                      None if sessions is None and runs is None else found)  # fmt: skip


class _Sums:
    """Sums over trials by condition and voxel, and of squares by voxel; less an offset, so that little cancels."""

    def __init__(self, n_conditions: int, n_voxels: int, most: int):
        self.sums = torch.zeros(n_conditions, n_voxels)
        self.lost: Tensor | None = None  # (n_conditions, n_voxels) trials without a response, once there is one
        self.squares = torch.zeros(n_voxels, dtype=torch.float64)
        self.offset = torch.zeros(n_voxels)
        self.repeats = torch.full((n_conditions, most, n_voxels), torch.nan) if most else None
        self.n_kept = torch.zeros(n_conditions, dtype=torch.long)
        self.n_missing, self.begun = 0, False

    def add(self, index: Tensor, block: Tensor, groups: Sequence[slice], standardize: bool) -> Tensor:
        """Takes up a block of trials, some voxels at a time; (n_trials,) the root mean square of each, as used."""
        squares, known = torch.zeros(2, len(block), dtype=torch.float64)
        kept = [int(self.n_kept[row]) + index[:i].tolist().count(row) for i, row in enumerate(index.tolist())] \
            if self.repeats is not None else []  # fmt: skip
        for start in range(0, block.shape[1], VOXELS_AT_ONCE):
            part = slice(start, start + VOXELS_AT_ONCE)
            values = block[:, part].float()
            if standardize:
                values = torch.cat([_standardized(values[rows]) for rows in groups])
            elif not self.begun:
                self.offset[part] = values.nanmean(0).nan_to_num()
            if self.repeats is not None:
                self.repeats[index, kept, part] = values
            present = values.isfinite()
            known += present.sum(1)
            squares += torch.where(present, values, 0.0).square().sum(1, dtype=torch.float64)
            values = torch.where(present, values - self.offset[part], 0.0)
            self.sums[:, part].index_add_(0, index, values)
            if not present.all():
                self.lost = torch.zeros(self.sums.shape, dtype=torch.uint8) if self.lost is None else self.lost
                self.lost[:, part].index_add_(0, index, (~present).to(torch.uint8))
            self.squares[part] += values.square().sum(0, dtype=torch.float64)
        self.n_missing += block.numel() - int(known.sum())
        self.n_kept += index.bincount(minlength=len(self.n_kept))
        self.begun = True
        return (squares / known).sqrt()

    def counts(self, part: slice) -> Tensor:
        """(n_conditions, n) float64, how many trials of each condition have a response of some voxels."""
        count = self.n_kept.double()[:, None].expand(-1, len(self.squares[part]))
        return count if self.lost is None else count - self.lost[:, part]

    def all_counts(self) -> Tensor:
        """(n_conditions, n_voxels) uint8, in the memory of what is missing."""
        shown = self.n_kept.to(torch.uint8)[:, None]
        return shown.expand(-1, len(self.squares)) if self.lost is None else torch.sub(shown, self.lost, out=self.lost)

    def finish(self, at_once: int = VOXELS_AT_ONCE // 16) -> tuple[Tensor, Tensor]:
        """The means, in the memory of the sums, and the ncsnr; some voxels at a time."""
        ratio = torch.empty(len(self.squares), dtype=torch.float64)
        for start in range(0, len(ratio), at_once):
            part = slice(start, start + at_once)
            count, total = self.counts(part), self.sums[:, part].double()
            seen = count > 0
            mean = torch.where(seen, total / count, torch.nan)
            within = self.squares[part] - torch.where(seen, total * mean, 0.0).sum(0)
            spare = (count - 1).clamp(min=0).sum(0)
            noise = torch.where(spare > 0, within.clamp(min=0) / spare, torch.nan)  # else rounding over zero
            n_seen = seen.sum(0)
            between = (mean - mean.nanmean(0)).square().nansum(0) / (n_seen - 1)
            left = noise * torch.where(seen, 1 / count, 0.0).sum(0) / n_seen
            ratio[part] = ((between - left).clamp(min=0) / noise).sqrt()
            self.sums[:, part] = mean.float() + self.offset[part]
        return self.sums, ratio


def _blocks(trials: Any) -> Iterator[Tensor]:
    one = isinstance(trials, Tensor | np.ndarray) or not isinstance(trials, Iterable)
    n_voxels = None
    for block in [trials] if one else trials:
        block = block if isinstance(block, Tensor) else torch.as_tensor(np.asarray(block))
        if block.ndim != 2 or n_voxels not in (None, block.shape[1]):
            expected = "(n_trials, n_voxels)" if n_voxels is None else f"(n_trials, {n_voxels})"
            raise ValueError(f"trials must be {expected}, got shape {tuple(block.shape)}.")
        n_voxels = block.shape[1]
        yield block
        del block
    if n_voxels is None:
        raise ValueError("there are no trials.")


def _labels(sessions: Sequence[Any] | None, runs: Sequence[Any] | None, n_trials: int) -> list[Any]:
    """One label per trial: its session, its run, or both."""
    for name, labels in (("sessions", sessions), ("runs", runs)):
        if labels is not None and len(labels) != n_trials:
            raise ValueError(f"{name} holds {len(labels)} labels for {n_trials} trials.")
    given = [np.asarray(labels).tolist() for labels in (sessions, runs) if labels is not None]
    if len(given) == 2:
        return list(zip(*given, strict=True))
    return given[0] if given else [None] * n_trials


def _groups(labels: Sequence[Any], seen: set) -> list[slice]:
    """The stretches of one label in a block, once no label comes twice."""
    starts = [i for i, label in enumerate(labels) if i == 0 or label != labels[i - 1]]
    groups = [slice(a, b) for a, b in zip(starts, [*starts[1:], len(labels)], strict=True)]
    for group in groups:
        label = labels[group.start]
        if label is not None and label in seen:
            raise ValueError(
                f"the trials of {label!r} are torn apart: those of one session or run follow one another, in one block."
            )
        seen.add(label)
    return groups


def _standardized(values: Tensor) -> Tensor:
    """Z-scored over the trials that are there; NaN for voxels that never change."""
    mean = values.nanmean(0)
    centred = values - mean
    sd = centred.square().nanmean(0).sqrt()
    rounding = 16 * torch.finfo(values.dtype).eps * mean.abs()
    return centred / torch.where(sd > rounding, sd, torch.nan)


def _outliers(size: Tensor) -> Tensor:
    """Places of trials whose size lies beyond what the others of the group have."""
    known = size[size.isfinite()]
    if len(known) < 4:
        return torch.empty(0, dtype=torch.long)
    middle = known.median()
    spread = 1.4826 * (known - middle).abs().median()
    return (size - middle > OUTLIER * spread).nonzero()[:, 0] if spread > 0 else torch.empty(0, dtype=torch.long)
