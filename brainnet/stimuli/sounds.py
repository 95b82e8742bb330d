"""Sounds as stimuli: files (wav, flac, mp3, ...) or samples, whole or cut into windows of time; decoded by PyAV.

A sound is one channel: several are averaged. It keeps the rate of its file; a network resamples it to its own with
:func:`resampled`, which is where and how that happens.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from brainnet._checks import require
from brainnet._files import array_digest, file_digest, sha256
from brainnet.stimuli.sets import (
    Kept,
    StimulusSet,
    check_within,
    files_in,
    ids_of_files,
    listed_files,
    times_in,
    window_id,
    windows_of,
)
from brainnet.stimuli.tables import TABLE_SUFFIXES, numbers_of

SOUND_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".oga", ".opus", ".m4a", ".aac", ".aif", ".aiff", ".au")
KEPT = 2  # decoded files that are kept, so that windows of one film decode it once


class Sound(NamedTuple):
    """Samples (n,) float32, mostly within -1..1, and how many there are in a second.

    >>> Sound(np.zeros(8000, np.float32), rate=16000).duration
    0.5
    """

    samples: np.ndarray
    rate: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return len(self.samples) / self.rate


class Part(NamedTuple):
    """Where a sound lies: a file or samples; and from where to where in seconds, None for all of it."""

    source: Path | Sound
    start: float | None = None
    length: float | None = None


class Sounds(StimulusSet):
    """An indexed set of sounds; ``sounds[i]`` and ``sounds.load(i)`` are a :class:`Sound`, decoded now and not kept.

    Args:
        source: a folder of sound files (in the folders below it too); a list of them (``.txt``; or ``.csv``, ``.tsv``
            with a column "path", and where they are wanted "id", "onset", "duration", and "start": the second of the
            file at which the sound begins, so that several rows may cut one file); one sound file, or a video for its
            sound; a list of paths, of :class:`Sound` or of arrays of samples (n,); or an array (n, n_samples).
        ids: one name per sound; by default the file names without suffix, the "id" column, or "0", "1", ...
        rate: samples a second of arrays; a file says its own.
        window: cut every sound into windows of so many seconds. Their ids are "film@0", "film@2.5", ... with the second
            at which each begins, and their onsets these seconds.
        step: seconds from a window to the next; None is ``window``.
        partial: keep what is left at the end as a shorter window; else it is left out.
        rows: which sounds, before they are cut, as numbers from 0, a slice or booleans.

    Raises:
        FileNotFoundError: no such file, or no sounds.
        ModuleNotFoundError: PyAV is not installed.
        ValueError: a window beyond the end of a sound, or samples without their rate.

    >>> Sounds([np.zeros(8000)], rate=4000, window=1.0)
    Sounds(2 in the list given)
    """

    kind = "sound"

    def __init__(
        self,
        source: Any,
        ids: Sequence[str] | None = None,
        *,
        rate: int | None = None,
        window: float | None = None,
        step: float | None = None,
        partial: bool = False,
        rows: Sequence[int] | slice | None = None,
    ):
        parts, found, described, times = _find(source, rate)
        found = found if ids is None else [str(name) for name in ids]
        if len(found) != len(parts):
            raise ValueError(f"{len(found)} ids for {len(parts)} sounds in {described}.")
        super().__init__(found, described, times.get("onsets"), times.get("durations"))
        self._parts = parts
        self._decoded = Kept(decode_sound, KEPT)
        if rows is not None:
            self.__dict__.update(self.select(rows).__dict__)
        if window is not None:
            self._cut(window, step, partial)
        elif step is not None or partial:
            raise ValueError("step and partial are of windows: give window too, in seconds.")

    def _cut(self, window: float, step: float | None, partial: bool) -> None:
        ids, parts, onsets, lengths = [], [], [], []
        for index, part in enumerate(self._parts):
            duration = self._duration(index)
            for start, length in windows_of(duration, window, step, self._where(index), partial):
                ids.append(window_id(self.ids[index], start))
                parts.append(Part(part.source, (part.start or 0.0) + start, length))
                onsets.append(start + (0.0 if self.onsets is None else float(self.onsets[index])))
                lengths.append(length)
        super().__init__(ids, self.described, onsets, lengths)
        self._parts = parts

    def _where(self, index: int) -> str:
        source = self._parts[index].source
        return str(source) if isinstance(source, Path) else f"sound {self.ids[index]!r}"

    def _duration(self, index: int) -> float:
        part = self._parts[index]
        if part.length is not None:
            return part.length
        whole = self._decoded(part.source) if isinstance(part.source, Path) else part.source
        return whole.duration - (part.start or 0.0)

    def load(self, index: int) -> Sound:
        """Sound ``index``.

        Raises:
            ValueError: it cannot be decoded, has no samples, or its window is not within its file; names it.
        """
        part = self._parts[index]
        if part.start is None and part.length is None:  # nothing else is of this file: it is not kept
            return decode_sound(part.source) if isinstance(part.source, Path) else part.source
        whole = self._decoded(part.source) if isinstance(part.source, Path) else part.source
        start = part.start or 0.0
        length = whole.duration - start if part.length is None else part.length
        check_within(start, length, whole.duration, self._where(index))
        first = round(start * whole.rate)
        return Sound(whole.samples[first : first + max(1, round(length * whole.rate))], whole.rate)

    def digest(self, index: int) -> str:
        """See :class:`~brainnet.stimuli.sets.StimulusSet`."""
        source, start, length = self._parts[index]
        of_source = file_digest(source) if isinstance(source, Path) else array_digest(source.samples) + f"{source.rate}"
        return sha256(of_source, f"{start} {length}")

    def _keep(self, places: Sequence[int]) -> None:
        self._parts = [self._parts[place] for place in places]


def decode_sound(path: Path) -> Sound:
    """The sound in a file, its channels averaged, at the file's own rate.

    Raises:
        FileNotFoundError: no such file.
        ModuleNotFoundError: PyAV is not installed.
        ValueError: damaged, no sound in it, or no samples.
    """
    av = require("av", f"reading {path.name}", '"brainnet[sound]"')
    if not path.is_file():
        raise FileNotFoundError(f"there is no sound file {path}.")
    found, rate = [], 0
    try:
        with av.open(str(path)) as container:
            if not container.streams.audio:
                raise ValueError(f"{path} has no sound in it, only pictures or text.")
            stream = container.streams.audio[0]
            rate = int(stream.rate or 0)
            for frame in container.decode(stream):
                planar = av.AudioResampler(format="fltp", layout=frame.layout.name, rate=frame.sample_rate)
                rate = frame.sample_rate
                found += [part.to_ndarray().mean(0, dtype=np.float32) for part in planar.resample(frame)]
    except av.error.FFmpegError as error:
        raise ValueError(f"cannot read {path}: it is damaged, or no sound ({error.strerror}).") from None
    samples = np.concatenate(found) if found else np.empty(0, np.float32)
    if not len(samples) or not rate:
        raise ValueError(f"cannot read {path}: it has no samples.")
    if not np.isfinite(samples).all():
        raise ValueError(f"cannot read {path}: some of its samples are no finite numbers.")
    return Sound(samples, rate)


def resampled(sound: Sound, rate: int) -> np.ndarray:
    """Samples (n,) float32 of a sound at another rate; the sound's own where the rate is the same.

    By SciPy's polyphase filter: a linear-phase low-pass below the smaller Nyquist frequency, of Kaiser's window with
    beta 5.

    >>> resampled(Sound(np.ones(441, np.float32), 44100), 16000).shape
    (160,)
    """
    from scipy.signal import resample_poly

    if sound.rate == rate:
        return sound.samples
    ratio = Fraction(rate, sound.rate)
    return resample_poly(sound.samples, ratio.numerator, ratio.denominator).astype(np.float32)


# ---------------------------------------------------------------------- finding them


def _find(source: Any, rate: int | None) -> tuple[list[Part], list[str], str, dict[str, Any]]:
    """Parts, ids, where they come from, and their times."""
    if isinstance(source, str | os.PathLike):
        if rate is not None:
            raise ValueError("rate is of arrays of samples; a file says its own.")
        return _from_path(Path(source))
    described = "an array" if isinstance(source, np.ndarray | torch.Tensor) else "the list given"
    if isinstance(source, Sound) or not isinstance(source, Sequence | np.ndarray | torch.Tensor):
        raise TypeError(f"sounds are a folder, a file, or a list of them; got {type(source).__name__}.")
    if isinstance(source, np.ndarray | torch.Tensor) and source.ndim != 2:
        raise ValueError(f"an array of sounds is (n, n_samples), got {tuple(source.shape)}. One sound? Give [samples].")
    items = [_item(place, item, rate) for place, item in enumerate(source)]
    if not items:
        raise ValueError(f"there are no sounds in {described}.")
    paths = [str(item.source) for item in items if isinstance(item.source, Path)]
    ids = ids_of_files(paths) if len(paths) == len(items) else [str(place) for place in range(len(items))]
    return items, ids, described, {}


def _item(place: int, item: Any, rate: int | None) -> Part:
    if isinstance(item, str | os.PathLike):
        if not Path(item).is_file():
            raise FileNotFoundError(f"sound {place} does not exist: {item}.")
        return Part(Path(item))
    if isinstance(item, Sound):
        return Part(Sound(_samples(place, item.samples), int(item.rate)))
    if rate is None or rate < 1:
        raise ValueError(f"arrays of samples need their rate, in samples a second, from 1; got {rate}.")
    return Part(Sound(_samples(place, item), int(rate)))


def _samples(place: int, values: Any) -> np.ndarray:
    array = values.detach().cpu().numpy() if isinstance(values, torch.Tensor) else np.asarray(values)
    if array.ndim != 1 or not len(array) or array.dtype.kind != "f":
        raise ValueError(
            f"sound {place} must be floating-point samples (n,), got {array.dtype} of shape {array.shape}."
        )
    if not np.isfinite(array).all():
        raise ValueError(f"sound {place} has samples that are no finite numbers.")
    return array.astype(np.float32)


def _from_path(path: Path) -> tuple[list[Part], list[str], str, dict[str, Any]]:
    if path.is_dir():
        names = files_in(path, SOUND_SUFFIXES, "sounds")
        return [Part(path / name) for name in names], ids_of_files(names), str(path), {}
    if not path.is_file():
        raise FileNotFoundError(f"no sounds at {path}: there is no such folder or file.")
    if path.suffix.lower() not in (".txt", *TABLE_SUFFIXES):
        return [Part(path)], [path.stem], str(path), {}
    found = listed_files(path, SOUND_SUFFIXES, "sound", {"start": ("start",)})
    times, starts = times_in(found, path), numbers_of(found["start"], "start", path)
    lengths = times["durations"] if starts is not None else None
    parts = [
        Part(
            path.parent / name,
            None if starts is None else float(starts[i]),
            None if lengths is None else float(lengths[i]),
        )
        for i, name in enumerate(found["path"])
    ]
    return parts, found["id"] or ids_of_files(found["path"]), str(path), times
