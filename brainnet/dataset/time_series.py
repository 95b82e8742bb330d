"""Responses that are a time series: runs of volumes, what was shown when, and features brought to the volumes.

A volume is a row, as an image is in other data sets. So everything that takes a data set takes this one: ridge, the
grid of ``encode`` with its controls, scores and tables. What is new is time: features come from earlier volumes, runs
are left out whole, and tests draw blocks of volumes.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple

import numpy as np
import torch

from brainnet._checks import check_word
from brainnet._files import sha256
from brainnet.dataset.base import ResponseDataset
from brainnet.scores import NoiseCeiling, ceiling_from_explainable_variance, explainable_variance
from brainnet.scores.blocks import block_numbers, orders
from brainnet.series import RunScaler, block_labels, delayed_spaces, downsample, downsample_windows
from brainnet.series.cleaning import SCALES
from brainnet.series.downsampling import check_windows
from brainnet.space import BrainSpace

_VOXELS_AT_ONCE = 1000


class Window(NamedTuple):
    """When a stimulus was on, in seconds from the start of its run, and its name."""

    onset: float
    duration: float
    stimulus: str


class Cleaning(NamedTuple):
    """How the responses of a run are cleaned, see :class:`brainnet.series.RunScaler`.

    ``scale`` "run" z-scores each run by its own mean and SD; "training" divides by the SD of the training runs; "none"
    leaves the scale. ``degree`` is of the polynomial that is taken off each run, ``cutoff`` of slow cosines in seconds.
    """

    degree: int | None = 1
    scale: str = "run"
    cutoff: float | None = None


class LazyRun:
    """Responses of a run that are read from their file when it is their turn, so that only one run is in memory twice.

    Args:
        shape: of the responses.
        read: gives them.
    """

    def __init__(self, shape: Sequence[int], read: Callable[[], np.ndarray]):
        self.shape, self.read = tuple(shape), read

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return np.asarray(self.read(), dtype=dtype)


class TimeSeries(ResponseDataset):
    """Runs of volumes with what was shown during them; row ``i`` is a volume, called "run/number".

    Args:
        runs: name -> (n_volumes, n_voxels) responses of each run, in the order of the rows; arrays or whatever numpy
            reads, such as data sets of an HDF5 file. A run that was repeated is (n_repeats, n_volumes, n_voxels): its
            repeats are cleaned one by one and averaged, and those of the test runs give the noise ceiling.
        tr: seconds from one volume to the next.
        test, val: names of the runs that are held out; the others are trained on.
        space: where each column lives; None leaves the voxels without place.
        stimuli: name of a run -> its :class:`Window` s in rising order, for :meth:`sample`.
        trim: volumes left out at the start and at the end of every run, as the published models of stories do.
        trimmed: whether ``runs`` come without these volumes already.
        start: seconds of the clock of the stimuli at which the first volume of a run begins, ``trim`` not counted: -10
            where a sound starts 10 s after the scanner.
        cleaning: of the responses, within each run.
        block: seconds of the blocks that tests and intervals draw whole; several times as long as responses stay alike.

    Attributes:
        tr: seconds.
        shown: what the windows name, for a network: a set of stimuli or what makes one, see
            :func:`brainnet.dataset.shown.stimuli_shown`; None where only the names are known. May be set at any time.
        run_names: in the order of the rows.
        groups: (n_volumes,) name of the run of each row, which ``encode(..., groups="dataset")`` leaves out.
        blocks: (n_volumes,) block of each row.
        times: (n_volumes,) seconds at which each volume begins, by the clock of the stimuli.
        noise_ceiling: from the explainable variance over the repeats of the test runs; None without repeats.

    Raises:
        ValueError: runs that differ in voxels, are too short, or are not named once; held-out runs that are not there;
            windows that are out of order, overlap or lie outside their run.

    >>> rng = np.random.default_rng(0)
    >>> data = TimeSeries({"a": rng.normal(size=(60, 3)), "b": rng.normal(size=(50, 3))}, tr=2.0, test=["b"])
    >>> data
    TimeSeries(2 runs of 50 to 60 volumes, TR 2 s, 3 voxels; train 60, val 0, test 50)
    >>> data.delayed({"sound": np.ones((110, 5))}, [1, 2])["sound"].shape
    (110, 10)
    """

    shown: Any = None

    def __init__(
        self,
        runs: Mapping[str, Any],
        tr: float,
        *,
        test: Sequence[str] | str = (),
        val: Sequence[str] | str = (),
        space: BrainSpace | None = None,
        stimuli: Mapping[str, Sequence[Window]] | None = None,
        trim: tuple[int, int] = (0, 0),
        trimmed: bool = False,
        start: float = 0.0,
        cleaning: Cleaning | None = None,
        block: float = 40.0,
    ):
        cleaning = Cleaning() if cleaning is None else cleaning
        if not 0 < float(tr) < np.inf:
            raise ValueError(f"tr is the seconds from one volume to the next, more than 0; got {tr}.")
        check_word("scale", cleaning.scale, SCALES)
        self.tr, self.trim, self.trimmed, self.start = float(tr), (int(trim[0]), int(trim[1])), trimmed, float(start)
        self.cleaning, self.block = cleaning, float(block)
        self.run_names = [str(name) for name in runs]
        lengths = self._lengths(runs)
        held_out = {split: self._named(names, split) for split, names in (("val", val), ("test", test))}
        twice = next((name for name in held_out["val"] if name in held_out["test"]), None)
        if twice is not None:
            raise ValueError(f"the run {twice!r} is named in val and in test; a run is in one of them.")
        self.groups = np.repeat(self.run_names, list(lengths.values()))
        number = np.concatenate([np.arange(length) for length in lengths.values()]) + self.trim[0]
        self.times = self.start + number * self.tr
        splits = {split: np.flatnonzero(np.isin(self.groups, names)) for split, names in held_out.items()}
        splits["train"] = np.flatnonzero(~np.isin(self.groups, [*held_out["val"], *held_out["test"]]))
        if not len(splits["train"]):
            raise ValueError(f"all {len(lengths)} runs are held out, and none is left to train on.")
        self._repeats: dict[str, np.ndarray] = {}
        responses = self._read(runs, lengths, splits["train"])
        ceiling = self._ceiling(held_out["test"])
        super().__init__(
            [f"{run}/{place:04d}" for run, place in zip(self.groups, number, strict=True)],
            responses,
            BrainSpace.free(responses.shape[1]) if space is None else space,
            {split: torch.as_tensor(rows) for split, rows in splits.items()},
            noise_ceiling=None if ceiling is None else ceiling.r,
            noise_ceiling_definition="none: no test run was repeated"
            if ceiling is None
            else f"{ceiling.definition}, K = {ceiling.n_repeats}",
            n_repeats=1 if ceiling is None else ceiling.n_repeats,
        )
        self.settings = {"tr": self.tr, "trim": list(self.trim), "start": self.start, "block": self.block,
                         **cleaning._asdict()}  # fmt: skip
        self.blocks = block_labels(len(self), max(1, round(self.block / self.tr)), self.groups)
        self.stimuli = self._windows(stimuli or {})

    def rows(self, run: str) -> slice:
        """The rows of a run."""
        check_word("run", run, self.run_names)
        here = np.flatnonzero(self.groups == run)
        return slice(int(here[0]), int(here[-1]) + 1)

    def downsample(self, events: Mapping[str, tuple[Any, Any]], method: str = "lanczos", **options: Any) -> np.ndarray:
        """Values at any moments of every run, brought to its volumes: (n_volumes, n_features) in the order of the rows.

        Args:
            events: run -> (values (n_events, n_features), onsets (n_events,) in seconds of the run).
            method, **options: as of :func:`brainnet.series.downsample`.

        Raises:
            ValueError: a run without events, or events that cannot be of that run; names the run.
        """
        return self._by_run(events, lambda run, pair, times: downsample(*pair, times, method, **options))

    def sample(self, features: Any, names: Sequence[str], method: str = "mean", **options: Any) -> np.ndarray:
        """Features of the stimuli, brought to the volumes by the windows in which they were on.

        Args:
            features: (n_stimuli, n_features).
            names: of the stimuli, in the order of the features.
            method: "mean" over what was on during a volume, see :func:`brainnet.series.downsample_windows`; or
                "lanczos" at the middle of each window, see :func:`brainnet.series.downsample`.
            **options: of :func:`brainnet.series.downsample`.

        Returns:
            (n_volumes, n_features) in the order of the rows.
        """
        if not self.stimuli:
            raise ValueError("it is not known what was shown when: give stimuli, the windows of each run.")
        features, place = np.asarray(features), {str(name): i for i, name in enumerate(names)}
        if len(features) != len(place):
            raise ValueError(f"{len(features)} rows of features for {len(place)} different names of stimuli.")

        def of_run(run: str, windows: Sequence[Window], times: np.ndarray) -> np.ndarray:
            unknown = next((w.stimulus for w in windows if w.stimulus not in place), None)
            if unknown is not None:
                raise ValueError(f"there are no features of the stimulus {unknown!r}.")
            values = features[[place[w.stimulus] for w in windows]]
            onsets, durations = (np.array(x, dtype=float) for x in list(zip(*windows, strict=True))[:2])
            if method == "mean":
                return downsample_windows(values, onsets, durations, times)
            return downsample(values, onsets + durations / 2, times, method, **options)

        return self._by_run(self.stimuli, of_run)

    def delayed(
        self, features: Mapping[str, Any], delays: Sequence[int] | Mapping[str, Sequence[int]], *, center: bool = True
    ) -> dict[str, Any]:
        """Layer -> features at several delays, in volumes, within runs; see :func:`brainnet.series.delayed_spaces`.

        Args:
            features: layer -> (n_volumes, n_features).
            delays: of all layers, or layer -> its own.
            center: subtract the mean over the training volumes first. What lies before a run is zero, and so is then
                as the mean volume.

        Raises:
            ValueError: also for features that have not one row per volume; names the layer.
        """
        centered = {}
        for name, values in features.items():
            if len(values) != len(self):
                raise ValueError(f"{name!r} has {len(values)} rows of features, and there are {len(self)} volumes.")
            values = np.asarray(values)
            if center:
                mean = values[self.splits["train"].numpy()].mean(0, dtype=np.float64)
                values = (values - mean).astype(np.result_type(values.dtype, np.float32))
            centered[name] = values
        return delayed_spaces(centered, delays, self.groups)

    def shuffled(self, seed: int = 0, per_voxel: bool = True) -> TimeSeries:
        """The same data with blocks of volumes in a new order within each split: a control, whose true score is 0.

        A split of a single block has its volumes in a new order, see :meth:`blocks_of`.

        Args:
            seed: of the order.
            per_voxel: an order for each voxel rather than one for all.
        """
        generator = torch.Generator().manual_seed(seed)
        control = copy.copy(self)
        control.responses = self.responses.clone()
        for split, rows in self.splits.items():
            blocks = block_numbers(self.blocks_of(split), len(rows))
            for column in range(self.n_voxels) if per_voxel else [slice(None)]:
                order = orders(len(rows), 1, generator, blocks)[0]
                control.responses[rows, column] = self.responses[rows[order], column]
        control.is_shuffled = True
        control.noise_ceiling, control.further_ceilings = None, {}
        control.noise_ceiling_definition = "none: blocks of volumes are shuffled"
        return control

    def load_image(self, index: int):
        """Refused: a volume has no image of its own."""
        raise NotImplementedError("volumes of a time series have no image of their own: give features of each volume.")

    def signature(self) -> str:
        """A text that changes with the runs, the volumes and what was shown."""
        windows = (f"{run} {w.onset!r} {w.duration!r} {w.stimulus} " for run in self.stimuli for w in self.stimuli[run])
        return sha256(*(f"{name} " for name in self.image_ids), f"{self.tr!r} ", *windows)

    def __repr__(self) -> str:
        counts = [self.rows(run).stop - self.rows(run).start for run in self.run_names]
        few, many = min(counts), max(counts)
        sizes = ", ".join(f"{name} {len(rows)}" for name, rows in self.splits.items())
        return (
            f"{type(self).__name__}({len(counts)} run{'s' * (len(counts) > 1)} of "
            f"{few if few == many else f'{few} to {many}'} volumes, TR {self.tr:g} s, {self.n_voxels} voxels; {sizes})"
        )

    # ------------------------------------------------------------------ what the constructor does

    def _lengths(self, runs: Mapping[str, Any]) -> dict[str, int]:
        """Run -> volumes that are kept, once all runs have the same voxels."""
        if not runs:
            raise ValueError("there are no runs.")
        lengths, known = {}, None
        for name, run in runs.items():
            shape = np.shape(run) if not hasattr(run, "shape") else tuple(run.shape)
            if len(shape) not in (2, 3):
                raise ValueError(
                    f"run {name!r} must be (n_volumes, n_voxels), or (n_repeats, n_volumes, n_voxels) where it was "
                    f"repeated; got shape {shape}."
                )
            if known is not None and shape[-1] != known[1]:
                raise ValueError(f"run {name!r} has {shape[-1]} voxels but run {known[0]!r} has {known[1]}.")
            known = known or (name, shape[-1])
            lengths[str(name)] = shape[-2] - (0 if self.trimmed else sum(self.trim))
            if min(self.trim) < 0 or lengths[str(name)] < 3:
                raise ValueError(f"run {name!r} has {shape[-2]} volumes, and trim={self.trim} leaves less than three.")
        if len(lengths) < len(runs):
            raise ValueError("two runs have the same name as a text.")
        return lengths

    def _named(self, names: Sequence[str] | str, split: str) -> list[str]:
        names = [names] if isinstance(names, str) else [str(name) for name in names]
        for name in names:
            check_word(f"run of {split}", name, self.run_names)
        return names

    def _read(self, runs: Mapping[str, Any], lengths: Mapping[str, int], train: np.ndarray) -> np.ndarray:
        """(n_volumes, n_voxels) float32, cleaned run by run."""
        n_voxels = int(next(iter(runs.values())).shape[-1]) if runs else 0
        responses = np.empty((sum(lengths.values()), n_voxels), dtype=np.float32)
        for name, run in runs.items():
            rows = np.flatnonzero(self.groups == str(name))
            values = np.asarray(run)
            first, last = (0, 0) if self.trimmed else self.trim
            kept = values[..., first : values.shape[-2] - last, :]
            if kept.ndim == 3:
                repeats = np.stack([self._clean(part) for part in kept]).astype(np.float32)
                self._repeats[str(name)] = repeats
                kept = repeats.mean(0, dtype=np.float64)
            responses[rows] = self._clean(kept)
        if self.cleaning.scale == "training":
            for start in range(0, n_voxels, _VOXELS_AT_ONCE):
                part = responses[:, start : start + _VOXELS_AT_ONCE]
                part -= part[train].mean(0, dtype=np.float64) if self.cleaning.degree is None else 0
                sd = part[train].std(0, dtype=np.float64)
                part /= np.where(sd > 0, sd, np.inf)
        return responses

    def _clean(self, values: np.ndarray) -> np.ndarray:
        degree, scale, cutoff = self.cleaning
        scaler = RunScaler(degree, "run" if scale == "run" else "none", cutoff=cutoff, tr=self.tr)
        return scaler.fit_transform(values)

    def _ceiling(self, test: Sequence[str]) -> NoiseCeiling | None:
        """The noise ceiling of the test runs from their repeats, of as many as all of them have."""
        if not test or any(run not in self._repeats for run in test):
            return None
        n_repeats = min(len(self._repeats[run]) for run in test)
        if n_repeats < 2:
            return None
        n_voxels = self._repeats[test[0]].shape[2]
        shares = []
        for start in range(0, n_voxels, _VOXELS_AT_ONCE):
            part = [self._repeats[run][:n_repeats, :, start : start + _VOXELS_AT_ONCE] for run in test]
            shares.append(explainable_variance(np.concatenate(part, axis=1).swapaxes(0, 1)))
        return ceiling_from_explainable_variance(torch.cat(shares), n_repeats)

    def repeats_of(self, run: str) -> np.ndarray:
        """(n_repeats, n_volumes, n_voxels) cleaned responses of a run that was repeated.

        Raises:
            ValueError: the run was not repeated.
        """
        check_word("run", run, self.run_names)
        if run not in self._repeats:
            raise ValueError(f"the run {run!r} was not repeated; repeated runs: {', '.join(self._repeats) or 'none'}.")
        return self._repeats[run]

    def _windows(self, stimuli: Mapping[str, Sequence[Window]]) -> dict[str, list[Window]]:
        found, whole = {}, dict(self._whole_runs())
        for run, windows in stimuli.items():
            check_word("run of the stimuli", run, self.run_names)
            found[run] = [Window(float(onset), float(duration), str(name)) for onset, duration, name in windows]
            onsets, durations = (np.array([w[k] for w in found[run]], dtype=float) for k in (0, 1))
            times = whole[run]
            with _says_run(run):
                check_windows(onsets, durations, len(windows), times[0], times[-1] + self.tr)
        return found

    def _by_run(self, given: Mapping[str, Any], make: Any) -> np.ndarray:
        """The rows that ``make(run, given[run], times of its volumes)`` gives for each run, below each other."""
        parts: list[np.ndarray] = []
        missing = [run for run in self.run_names if run not in given]
        if missing:
            raise ValueError(f"nothing is given for the run {missing[0]!r}.")
        for run in given:
            check_word("run", run, self.run_names)
        for run, times in self._whole_runs():
            with _says_run(run):
                part = make(run, given[run], times)
            parts.append(part[self.trim[0] : len(part) - self.trim[1]])
        if len({part.shape[1] for part in parts}) > 1:
            raise ValueError(f"runs have different numbers of features: {[part.shape[1] for part in parts]}.")
        return np.concatenate(parts)

    def _whole_runs(self) -> Iterator[tuple[str, np.ndarray]]:
        """Each run with the times of all its volumes, those left out by ``trim`` too."""
        for run in self.run_names:
            rows = self.rows(run)
            yield run, self.start + np.arange(rows.stop - rows.start + sum(self.trim)) * self.tr


@contextmanager
def _says_run(run: str) -> Iterator[None]:
    """Puts the name of the run before the message of a ``ValueError`` that is raised within."""
    try:
        yield
    except ValueError as error:
        raise ValueError(f"run {run!r}: {error}") from error
