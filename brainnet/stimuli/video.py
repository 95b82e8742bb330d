"""Frames of a video file as images, decoded as they are asked for; by PyAV, whose wheels carry FFmpeg with them.

Times are those the file gives its frames, so files with a variable rate are sampled right; formats that give none
(such as AVI) have a constant rate. Reading forward decodes every frame once; going back begins at the key frame before,
or at the beginning of files that have no times.
"""

from __future__ import annotations

import bisect
import threading
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from brainnet._checks import require
from brainnet._files import file_digest, sha256
from brainnet.stimuli.decoding import UnreadableImage
from brainnet.stimuli.sources import Handle

VIDEO_SUFFIXES = (".mp4", ".m4v", ".mov", ".avi", ".mkv", ".webm", ".mpg", ".mpeg", ".ogv", ".wmv")
KEPT = 16  # frames decoded on the way to a later one that another thread asked for first
INDEXED = ("mp4", "mov", "matroska", "webm")  # formats that give every frame its own time
FAR = 100  # frames ahead from which on it is quicker to begin at a key frame


class Video:
    """Frames of a video; ``names`` are "frame0001", ..., the number of the frame in the file.

    Args:
        path: the file.
        fps: frames a second: those on display at 0, 1 / fps, 2 / fps, ... seconds; at most as many as the file has.
        every: each ``every``-th frame from the first on. Neither takes all.

    Raises:
        FileNotFoundError: no such file.
        ModuleNotFoundError: av is not installed.
        ValueError: no video, or both or more frames asked for.
    """

    def __init__(self, path: Path, fps: float | None = None, every: int | None = None):
        if fps is not None and every is not None:
            raise ValueError("fps and every are two ways to choose frames of a video: give one of them.")
        if (fps is not None and not fps > 0) or (every is not None and every < 1):
            raise ValueError(f"fps is above 0 and every at least 1, got {fps} and {every}.")
        if not path.is_file():
            raise FileNotFoundError(f"no images at {path}: there is no such file.")
        require("av", f"reading frames of {path.name}")
        self.path, self.described = path, str(path)
        stamps, unit, seekable = _stamps(path)
        if every is not None:
            chosen = list(range(0, len(stamps), every))
        elif fps is not None:
            chosen = _at_rate([(stamp - stamps[0]) * unit for stamp in stamps], fps, path)
        else:
            chosen = list(range(len(stamps)))
        self.names = [f"frame{place + 1:04d}" for place in chosen]
        self.times = [float((stamps[place] - stamps[0]) * unit) for place in chosen]
        self._decoder = Handle(partial(_Decoder, path, stamps, frozenset(chosen), seekable))
        self._chosen = chosen

    def image(self, place: int, name: str) -> Any:
        """See :class:`~brainnet.stimuli.sources.Source`."""
        return self._decoder().frame(self._chosen[place], name)

    def where(self, place: int) -> str:
        """See :class:`~brainnet.stimuli.sources.Source`."""
        return f"{self.names[place]} of {self.path}"

    def size(self, place: int) -> Any:
        """See :class:`~brainnet.stimuli.sources.Source`."""
        return place  # frames are not compared with each other

    def digest(self, place: int) -> str:
        """See :class:`~brainnet.stimuli.sources.Source`."""
        return sha256(file_digest(self.path), self.names[place])

    def signature(self, places: Sequence[int]) -> str:
        """See :class:`~brainnet.stimuli.sources.Source`."""
        return sha256(file_digest(self.path), *(self.names[place] for place in places))


def _stamps(path: Path) -> tuple[list[int], Any, bool]:
    """When every frame is shown, in order; the unit of that in seconds; and whether the file can be entered in between.

    Read without decoding where the format says it for every frame.

    Raises:
        ValueError: no video in it, or damaged from its beginning.
    """
    import av

    try:
        with av.open(str(path)) as container:
            if not container.streams.video:
                raise ValueError(f"{path} has no pictures in it, only sound or text.")
            stream = container.streams.video[0]
            unit, indexed = stream.time_base, bool(set(INDEXED) & set(container.format.name.split(",")))
            if indexed:
                packets = [packet for packet in container.demux(stream) if packet.size]
                stamps = [packet.pts for packet in packets if not packet.is_discard]
        if not indexed or None in stamps:  # the format leaves it to the decoder, in whose words times may repeat
            indexed = False
            with av.open(str(path)) as container:
                stream = _stream_of(container)
                unit, stamps = 1 / (stream.average_rate or stream.guessed_rate), range(sum(1 for _ in _decoded(stream)))
    except av.error.FFmpegError as error:
        raise ValueError(f"cannot read {path}: it is damaged, or no video ({error.strerror}).") from None
    if not stamps:
        raise ValueError(f"cannot read {path}: it has no frames.")
    return sorted(set(stamps)), unit, indexed


def _stream_of(container: Any) -> Any:
    """The pictures of an open file, to be decoded by one thread.

    FFmpeg's decoding threads now and then waited for each other for ever where a file was closed, and a forked process,
    such as a DataLoader's worker, does not have them.
    """
    stream = container.streams.video[0]
    stream.codec_context.thread_count = 1
    return stream


def _decoded(stream: Any) -> Iterator[Any]:
    """Frames of a stream from where its file stands; what cannot be decoded is passed over."""
    import av

    packets = stream.container.demux(stream)
    while True:
        try:
            packet = next(packets, None)
        except av.error.FFmpegError:  # the file ends in the middle of a packet
            packet = None
        if packet is None:
            return
        try:
            yield from packet.decode()
        except av.error.FFmpegError:
            continue


def _at_rate(seconds: Sequence[Any], fps: float, path: Path) -> list[int]:
    """Places of the frames on display at 0, 1 / fps, ... seconds."""
    found: list[int] = []
    step = 0
    while (now := step / fps) <= seconds[-1] + 1e-6:
        place = bisect.bisect_right(seconds, now + 1e-6) - 1  # times are rounded to the unit of the file
        if found and found[-1] == place:
            rate = (len(seconds) - 1) / float(seconds[-1])
            raise ValueError(
                f"{path} shows {rate:.4g} frames a second, and at {fps:g} a second frame {place + 1} would be taken "
                "twice: choose a smaller fps, or every frame."
            )
        found.append(place)
        step += 1
    return found


class _Decoder:
    """Frames of an open video by place, for several threads that ask for neighbors in almost any order."""

    def __init__(self, path: Path, stamps: Sequence[int], chosen: frozenset[int], seekable: bool):
        import av

        self.path, self.stamps, self.chosen, self.seekable = path, stamps, chosen, seekable
        self._lock = threading.Lock()
        self._kept: OrderedDict[int, Any] = OrderedDict()
        self._container: Any = None
        self._converter = av.video.reformatter.VideoReformatter()
        self._open()

    def __del__(self):
        self._close()

    def _close(self) -> None:
        """Lets the file go now: it and its streams hold each other until much later."""
        if self._container is not None:
            self._frames.close()
            self._container.close()
        self._container = self._stream = self._frames = None

    def _open(self) -> None:
        import av

        self._close()
        self._container = av.open(str(self.path))
        self._stream = _stream_of(self._container)
        self._frames = _decoded(self._stream)
        self._next = 0  # the first frame that was not passed yet

    def _go_to(self, place: int) -> None:
        """Stands at a key frame before a frame, or at the beginning."""
        if self.seekable:
            self._container.seek(self.stamps[place], stream=self._stream)
            self._frames = _decoded(self._stream)
        elif place < self._next:
            self._open()

    def frame(self, place: int, name: str) -> Any:
        """The RGB image of a frame."""
        with self._lock:
            if place in self._kept:
                return self._kept.pop(place)
            if not self._next <= place < self._next + FAR:
                self._go_to(place)
            for frame in self._frames:
                if self.seekable and frame.pts is None:
                    continue
                found = bisect.bisect_left(self.stamps, frame.pts) if self.seekable else self._next
                self._next = found + 1
                if found == place and (not self.seekable or frame.pts == self.stamps[place]):
                    return self._as_image(frame, name)
                if found > place:
                    break
                if found in self.chosen and not frame.is_corrupt:
                    self._kept[found] = self._as_image(frame, name)
                    while len(self._kept) > KEPT:
                        self._kept.popitem(last=False)
            raise UnreadableImage(name, "the video is damaged there, or ends before")

    def _as_image(self, frame: Any, name: str) -> Any:
        """A frame as an RGB image, turned as it is meant to be seen."""
        if frame.is_corrupt:
            raise UnreadableImage(name, "the frame is damaged")
        # one thread, and a converter of this decoder's own: PyAV keeps one for each thread of Python, and a forked
        # process, as a DataLoader's worker, would wait for ever for the threads of the one it was forked with
        image = self._converter.reformat(frame, format="rgb24", threads=1).to_image()
        turned = getattr(frame, "rotation", 0)
        return image.rotate(turned, expand=True) if turned % 360 else image
