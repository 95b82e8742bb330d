"""What readers of EEG and MEG share: which sensors and times are kept, and means over presentations of a stimulus."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from fnmatch import fnmatchcase
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet.dataset.base import random_splits
from brainnet.dataset.trials import NoiseCeiling, conditions
from brainnet.space import BrainSpace, sensor_space
from brainnet.space.sensors import sensor_groups

AT_ONCE = 256  # stimuli averaged at a time
ROUNDING = 1e-6  # seconds within which two times are the same


@dataclass(frozen=True, eq=False)
class Kept:
    """The sensors and times that are kept of a recording.

    Args:
        names: of the sensors kept.
        rows: their places in the recording.
        samples: places of the samples kept, as many whole groups as there are.
        average: samples in a group, of which the mean is kept.
        times: (n_times,) seconds, the middle of each group.
    """

    names: tuple[str, ...]
    rows: np.ndarray
    samples: slice
    average: int
    times: np.ndarray

    @classmethod
    def of(
        cls,
        names: Sequence[str],
        times: Any,
        sensors: Sequence[str] | None,
        window: Sequence[float] | None,
        average: int,
    ) -> Kept:
        """What is kept of a recording.

        Args:
            names: of all its sensors.
            times: (n_samples,) seconds.
            sensors: names of those that are wanted, or patterns of ``*``, ``?`` and ``[]``; None takes all.
            window: first and last time in seconds; None takes all.
            average: neighboring samples of which the mean is kept.

        Raises:
            ValueError: an unknown sensor, no sample within the window, or a wrong number of samples to average.
        """
        names, times = [str(name) for name in names], np.asarray(times, np.float64)
        chosen = names if sensors is None else _matching(sensors, names)
        first, last = (-np.inf, np.inf) if window is None else window
        inside = np.flatnonzero((times >= first - ROUNDING) & (times <= last + ROUNDING))
        if not isinstance(average, int) or not 1 <= average <= max(1, len(inside)) or not len(inside):
            raise ValueError(
                f"{len(inside)} of {len(times)} samples, from {times[0]:g} to {times[-1]:g} s, are within the window "
                f"{window}; average is 1 or more of them, got {average!r}."
            )
        n = len(inside) // average
        samples = slice(int(inside[0]), int(inside[0]) + n * average)
        means = times[samples].reshape(n, average).mean(1)
        return cls(tuple(chosen), np.array([names.index(name) for name in chosen]), samples, average, means)

    @property
    def n_columns(self) -> int:
        """Columns of the responses."""
        return len(self.names) * len(self.times)

    def columns(self, values: np.ndarray) -> np.ndarray:
        """(..., n_sensors, n_samples) of the recording -> (..., n_columns) float32."""
        kept = values[..., self.rows, self.samples]
        kept = kept.reshape(*kept.shape[:-1], len(self.times), self.average).mean(-1)
        return kept.reshape(*kept.shape[:-2], -1).astype(np.float32)

    def space(self) -> BrainSpace:
        """The place of each column; electrodes of the 10-20 system that begin alike are a region."""
        return sensor_space(self.names, self.times, sensor_groups(self.names))


def _matching(wanted: Sequence[str], names: Sequence[str]) -> list[str]:
    """The names that are like any of some patterns, in the order of the patterns."""
    wanted = [wanted] if isinstance(wanted, str) else wanted
    found: dict[str, None] = {}
    for pattern in wanted:
        like = [name for name in names if name == pattern] or [name for name in names if fnmatchcase(name, pattern)]
        if not like:
            check_word("sensor", pattern, names)
        found |= dict.fromkeys(like)
    return list(found)


class Recording(NamedTuple):
    """Responses of one person to stimuli, averaged over presentations.

    Attributes:
        ids: a name per stimulus.
        responses: (n_stimuli, n_columns) float32.
        kept: which sensors and times the columns are.
        tested: (n_stimuli,) bool, those that are test stimuli.
        concepts: of each stimulus, what it shows.
        paths: of the pictures.
        ceiling: of the test stimuli.
    """

    ids: list[str]
    responses: Tensor
    kept: Kept
    tested: np.ndarray
    concepts: list[str]
    paths: list[Path]
    ceiling: NoiseCeiling


def ceiling_of_trials(trials: np.ndarray, kept: Kept) -> NoiseCeiling:
    """Of the mean of trials (n_stimuli, n_repeats, n_sensors, n_samples), some stimuli at a time."""
    n_stimuli, n_repeats = trials.shape[:2]
    ids = np.repeat(np.arange(n_stimuli), n_repeats).tolist()
    blocks = (
        kept.columns(trials[start : start + AT_ONCE]).reshape(-1, kept.n_columns)
        for start in range(0, n_stimuli, AT_ONCE)
    )
    found = conditions(blocks, ids, standardize=False)
    return found.noise_ceiling(torch.arange(n_stimuli))


def mean_of_repeats(trials: np.ndarray, kept: Kept) -> Tensor:
    """(n_stimuli, n_columns) of trials (n_stimuli, n_repeats, n_sensors, n_samples), some stimuli at a time."""
    means = np.empty((len(trials), kept.n_columns), np.float32)
    for start in range(0, len(trials), AT_ONCE):
        means[start : start + AT_ONCE] = kept.columns(trials[start : start + AT_ONCE].mean(1, dtype=np.float64))
    return torch.from_numpy(means)


def split_by_concept(
    concepts: Sequence[str], test: np.ndarray, val: float | int, seed: int, zero_shot: bool = False
) -> dict[str, Tensor]:
    """Splits whose validation images are of concepts that no training image is of, as test images are.

    Args:
        concepts: (n_images,) the concept of each image.
        test: (n_images,) bool.
        val: share or number of the concepts of the other images.
        seed: of the draw.
        zero_shot: leave out the other images of concepts that test images are of.
    """
    tested = {concepts[row] for row in np.flatnonzero(test)} if zero_shot else set()
    rest = np.array([row for row in np.flatnonzero(~test) if concepts[row] not in tested], dtype=np.int64)
    known = list(dict.fromkeys(concepts[row] for row in rest))
    drawn = random_splits(len(known), test=0, val=val, seed=seed)
    chosen = {known[place] for place in drawn["val"].tolist()}
    is_val = np.array([concepts[row] in chosen for row in rest], bool)
    rows = {"train": rest[~is_val], "val": rest[is_val], "test": np.flatnonzero(test)}
    return {split: torch.from_numpy(part) for split, part in rows.items()}
