"""Videos as stimuli: clips of moving pictures, whole or cut into windows of time; decoded by PyAV, or frames in memory.

A clip hands out its frames one by one. Which of them a network sees, the network's preprocessing says.
"""

from __future__ import annotations

import bisect
import os
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._files import array_digest, file_digest, sha256
from brainnet.stimuli.decoding import as_pixels
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
from brainnet.stimuli.sources import pixel_digest
from brainnet.stimuli.tables import TABLE_SUFFIXES, numbers_of
from brainnet.stimuli.video import VIDEO_SUFFIXES, Video

OPEN = 8  # files whose decoders are kept open


class Clip:
    """Frames of a clip: ``clip[k]`` is an RGB ``PIL.Image``, decoded now; ``len(clip)`` their number.

    Args:
        frames: what gives frame ``k`` of the whole video, a function.
        places: the frames of the clip, as places in the video.
        times: seconds from the clip's beginning at which each is shown, (n_frames,).
        name: what an error calls the clip.

    >>> clip = Clips(np.zeros((1, 5, 8, 12, 3), np.uint8), fps=5)[0]
    >>> len(clip), clip.times.tolist(), clip[0].size
    (5, [0.0, 0.2, 0.4, 0.6, 0.8], (12, 8))
    """

    def __init__(self, frames: Any, places: Sequence[int], times: Sequence[float], name: str):
        self._frames, self._places, self.name = frames, list(places), name
        self.times = np.asarray(times, float)

    def __len__(self) -> int:
        return len(self._places)

    def __getitem__(self, index: int) -> Any:
        return self._frames(self._places[range(len(self))[index]], f"frame {index + 1} of {self.name}")

    def evenly(self, n_frames: int) -> list[int]:
        """Places of ``n_frames`` frames: those in the middle of as many equal parts; a short clip repeats some.

        >>> Clip(None, range(10), range(10), "a").evenly(5), Clip(None, range(2), range(2), "b").evenly(4)
        ([1, 3, 5, 7, 9], [0, 0, 1, 1])
        """
        n = len(self)
        return [min(n - 1, int((k + 0.5) * n / n_frames)) for k in range(n_frames)]


class Clips(StimulusSet):
    """An indexed set of clips; ``clips[i]`` and ``clips.load(i)`` are a :class:`Clip`, whose frames decode when asked.

    Args:
        source: a folder of videos (in the folders below it too); a list of them (``.txt``; or ``.csv``, ``.tsv`` with a
            column "path", and where they are wanted "id", "onset", "duration", and "start": the second of the file at
            which the clip begins); one video; a list of paths, or of lists of PIL images, the frames of a clip each; or
            pixels (n, n_frames, 3, H, W) or (n, n_frames, H, W, 3).
        ids: one name per clip; by default the file names without suffix, the "id" column, or "0", "1", ...
        fps: frames a second of clips in memory; a file says its own.
        window: cut every video into windows of so many seconds. Their ids are "film@0", "film@2.5", ... with the second
            at which each begins, and their onsets these seconds.
        step: seconds from a window to the next; None is ``window``.
        partial: keep what is left at the end as a shorter window; else it is left out.
        rows: which videos, before they are cut, as numbers from 0, a slice or booleans.

    Raises:
        FileNotFoundError: no such file, or no videos.
        ModuleNotFoundError: PyAV is not installed.
        ValueError: a file without pictures or frames, or a window beyond the end; names it.

    >>> Clips(np.zeros((2, 5, 8, 8, 3), np.uint8))[0].times.tolist()
    [0.0, 0.04, 0.08, 0.12, 0.16]
    """

    kind = "video"

    def __init__(
        self,
        source: Any,
        ids: Sequence[str] | None = None,
        *,
        fps: float | None = None,
        window: float | None = None,
        step: float | None = None,
        partial: bool = False,
        rows: Sequence[int] | slice | None = None,
    ):
        if fps is not None and (not fps > 0 or isinstance(source, str | os.PathLike)):
            raise ValueError(f"fps is of frames in memory and above 0, got {fps}; a file says its own.")
        self._fps = fps or 25.0
        self._videos = Kept(Video, OPEN)
        sources, spans, found, described, times = _find(source)
        found = found if ids is None else [str(name) for name in ids]
        if len(found) != len(sources):
            raise ValueError(f"{len(found)} ids for {len(sources)} videos in {described}.")
        super().__init__(found, described, times.get("onsets"), times.get("durations"))
        self._sources, self._spans = sources, spans
        if rows is not None:
            self.__dict__.update(self.select(rows).__dict__)
        if window is not None:
            self._cut(window, step, partial)
        elif step is not None or partial:
            raise ValueError("step and partial are of windows: give window too, in seconds.")

    def _cut(self, window: float, step: float | None, partial: bool) -> None:
        ids, sources, spans, onsets = [], [], [], []
        for index, (source, (first, length)) in enumerate(zip(self._sources, self._spans, strict=True)):
            duration = _duration(self._times(source)) - (first or 0.0) if length is None else length
            for start, lasts in windows_of(duration, window, step, self._where(index), partial):
                ids.append(window_id(self.ids[index], start))
                sources.append(source)
                spans.append(((first or 0.0) + start, lasts))
                onsets.append(start + (0.0 if self.onsets is None else float(self.onsets[index])))
        super().__init__(ids, self.described, onsets, [lasts for _, lasts in spans])
        self._sources, self._spans = sources, spans

    def _where(self, index: int) -> str:
        source = self._sources[index]
        return str(source) if isinstance(source, Path) else f"clip {self.ids[index]!r}"

    def _times(self, source: Any) -> list[float]:
        if isinstance(source, Path):
            return self._videos(source).times
        return [place / self._fps for place in range(len(source))]

    def load(self, index: int) -> Clip:
        """Clip ``index``.

        Raises:
            ValueError: a window that is not within the video, or in which no frame begins; names it.
        """
        source, (start, length) = self._sources[index], self._spans[index]
        where, times = self._where(index), self._times(source)
        frames = self._videos(source).image if isinstance(source, Path) else _InMemory(source)
        if start is None and length is None:
            return Clip(frames, range(len(times)), times, where)
        duration = _duration(times)
        start = start or 0.0
        length = duration - start if length is None else length
        check_within(start, length, duration, where)
        first = max(0, bisect.bisect_right(times, start + 1e-6) - 1)  # the frame that is shown then
        end = max(first + 1, bisect.bisect_left(times, start + length - 1e-6))
        return Clip(frames, range(first, end), [max(0.0, time - start) for time in times[first:end]], where)

    def digest(self, index: int) -> str:
        """See :class:`~brainnet.stimuli.sets.StimulusSet`."""
        source, span = self._sources[index], self._spans[index]
        if isinstance(source, Path):
            return sha256(file_digest(source), f"{span}")
        of_frames = array_digest(source) if isinstance(source, np.ndarray) else sha256(*map(pixel_digest, source))
        return sha256(of_frames, f"{span} {self._fps}")

    def _keep(self, places: Sequence[int]) -> None:
        self._sources = [self._sources[place] for place in places]
        self._spans = [self._spans[place] for place in places]


class _InMemory:
    """Frames of a clip in memory: pixels (n_frames, H, W, 3), or PIL images."""

    def __init__(self, frames: Any):
        self.frames = frames

    def __call__(self, place: int, name: str) -> Any:
        from PIL import Image

        frame = self.frames[place]
        return Image.fromarray(frame) if isinstance(frame, np.ndarray) else frame.convert("RGB")


def _duration(times: Sequence[float]) -> float:
    """Seconds that a video lasts: its last frame is shown as long as the others are on average."""
    return times[-1] * len(times) / (len(times) - 1) if len(times) > 1 else 0.0


def _find(source: Any) -> tuple[list[Any], list[tuple], list[str], str, dict[str, Any]]:
    """Sources, their spans (start, length), ids, where they come from, and their times."""
    if isinstance(source, str | os.PathLike):
        return _from_path(Path(source))
    if isinstance(source, np.ndarray | torch.Tensor):
        if source.ndim != 5:
            raise ValueError(f"an array of clips is (n, n_frames, H, W, 3), got {tuple(source.shape)}.")
        if not source.shape[1]:
            raise ValueError(f"clips of an array {tuple(source.shape)} have no frames.")
        items: list[Any] = [as_pixels(clip) for clip in source]
        described = "an array"
    elif isinstance(source, Sequence):
        items, described = [_item(place, item) for place, item in enumerate(source)], "the list given"
    else:
        raise TypeError(f"videos are a folder, a file, or a list of them; got {type(source).__name__}.")
    if not items:
        raise ValueError(f"there are no videos in {described}.")
    paths = [str(item) for item in items if isinstance(item, Path)]
    ids = ids_of_files(paths) if len(paths) == len(items) else [str(place) for place in range(len(items))]
    return items, [(None, None)] * len(items), ids, described, {}


def _item(place: int, item: Any) -> Any:
    if isinstance(item, str | os.PathLike):
        if not Path(item).is_file():
            raise FileNotFoundError(f"video {place} does not exist: {item}.")
        return Path(item)
    is_array = isinstance(item, np.ndarray | torch.Tensor)
    if is_array and len(item):
        return as_pixels(item)
    if (not is_array and not isinstance(item, Sequence)) or not all(hasattr(frame, "convert") for frame in item):
        raise TypeError(f"video {place} must be a path or a list of PIL images, got {type(item).__name__}.")
    if not len(item):
        raise ValueError(f"video {place} has no frames.")
    return list(item)


def _from_path(path: Path) -> tuple[list[Any], list[tuple], list[str], str, dict[str, Any]]:
    if path.is_dir():
        names = files_in(path, VIDEO_SUFFIXES, "videos")
        return [path / name for name in names], [(None, None)] * len(names), ids_of_files(names), str(path), {}
    if not path.is_file():
        raise FileNotFoundError(f"no videos at {path}: there is no such folder or file.")
    if path.suffix.lower() not in (".txt", *TABLE_SUFFIXES):
        return [path], [(None, None)], [path.stem], str(path), {}
    found = listed_files(path, VIDEO_SUFFIXES, "video", {"start": ("start",)})
    times, starts = times_in(found, path), numbers_of(found["start"], "start", path)
    lengths = times["durations"] if starts is not None else None
    spans = [
        (None if starts is None else float(starts[i]), None if lengths is None else float(lengths[i]))
        for i in range(len(found["path"]))
    ]
    return (
        [path.parent / name for name in found["path"]],
        spans,
        found["id"] or ids_of_files(found["path"]),
        str(path),
        times,
    )
