"""Rows of features while they are made: chunks of pictures, each a file that is whole or absent, and made again if not.

A chunk is a few whole batches of pictures, so that a batch holds the same pictures however often the work was stopped
and by however many processes it is done: each process takes every n-th chunk. Nothing but the batch at work is held.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._files import plain, read_json, sha256, write_json, writing

log = logging.getLogger("brainnet.features")

IMAGES = 64  # of a chunk, at most, unless a batch is larger: as much is lost to a kill
MAGIC = b"brainnet rows 1\n"
Batch = Mapping[str, np.ndarray]  # layer -> (n_images, n_features), float32


class RowsFolder:
    """The rows of all layers in a folder, chunk by chunk.

    Args:
        folder: made where it does not exist.
        identity: what the rows are made of, field by field; another's rows are refused.
        n_images: rows in all.
        batch_size: rows that are made at a time.

    Raises:
        ValueError: the folder holds rows of something else; names the fields.
    """

    def __init__(self, folder: Path, identity: Mapping[str, Any], n_images: int, batch_size: int):
        self.folder, self.n_images, self.batch_size = folder, n_images, batch_size
        self.identity = json.loads(json.dumps(plain({**identity, "n_images": n_images, "batch_size": batch_size})))
        self.digest = sha256(json.dumps(self.identity, sort_keys=True))
        self._whole: dict[int, dict[str, Any]] = {}

    def begin(self) -> None:
        """Makes the folder, or sees that it is of the same work."""
        self.refuse_others()
        self.folder.mkdir(parents=True, exist_ok=True)
        write_json(self.folder / "identity.json", self.identity)

    def refuse_others(self) -> None:
        """Refuses a folder with rows of something else."""
        try:
            found = read_json(self.folder / "identity.json")
        except (FileNotFoundError, ValueError):
            return  # none, or damaged: then no chunk is believed but by its own digest
        if found != self.identity:
            raise ValueError("".join(_differences(found, self.identity)))

    def remove(self) -> None:
        """Takes the folder away."""
        shutil.rmtree(self.folder, ignore_errors=True)

    @property
    def chunks(self) -> list[range]:
        """The pictures of each chunk."""
        some = max(1, IMAGES // self.batch_size) * self.batch_size
        return [range(i, min(i + some, self.n_images)) for i in range(0, self.n_images, some)]

    def missing(self, part: int = 0, n_parts: int = 1) -> list[int]:
        """Chunks that are still to be made, of every ``n_parts``-th from ``part`` on; damaged ones are among them."""
        return [chunk for chunk in range(part, len(self.chunks), n_parts) if not self._is_whole(chunk)]

    def images_done(self) -> int:
        """Pictures whose rows are there; chunks are not read through for it."""
        return sum(len(images) for chunk, images in enumerate(self.chunks) if self._path(chunk).is_file())

    def batches(self, chunks: Iterable[int]) -> list[range]:
        """The pictures of each batch of some chunks."""
        spans = [self.chunks[chunk] for chunk in chunks]
        return [
            range(i, min(i + self.batch_size, s.stop)) for s in spans for i in range(s.start, s.stop, self.batch_size)
        ]

    def put(self, chunks: Sequence[int], batches: Iterable[Batch]) -> None:
        """Writes rows, batch by batch, of the pictures of :meth:`batches` in that order."""
        coming = iter(batches)
        for chunk in chunks:
            with writing(self._path(chunk)) as unfinished, unfinished.open("wb") as file:
                checksum, sizes, left = 0, [], len(self.chunks[chunk])
                while left:
                    batch = next(coming)
                    sizes.append(len(next(iter(batch.values()))))
                    left -= sizes[-1]
                    for rows in batch.values():
                        raw = np.ascontiguousarray(rows, "<f4").data.cast("B") if rows.size else b""
                        checksum = zlib.crc32(raw, checksum)
                        file.write(raw)
                described = {"digest": self.digest, "sizes": sizes, "crc": checksum,
                             "widths": {layer: rows.shape[1] for layer, rows in batch.items()}}  # fmt: skip
                tail = json.dumps(described).encode()
                file.write(tail + struct.pack("<II", len(tail), zlib.crc32(tail)) + MAGIC)
            self._whole[chunk] = described
        if next(coming, None) is not None:
            raise ValueError("there are more rows than pictures.")

    @property
    def widths(self) -> dict[str, int]:
        """Layer -> numbers of a row, once a chunk is there."""
        return dict(self._described(0)["widths"])

    def parts(self, layer: str) -> Iterator[np.ndarray]:
        """The rows of a layer (some, width), one batch after another."""
        for chunk in range(len(self.chunks)):
            described = self._described(chunk)
            before = sum(width for name, width in _until(described["widths"], layer))
            width, total = described["widths"][layer], sum(described["widths"].values())
            with self._path(chunk).open("rb") as file:
                start = 0
                for n in described["sizes"]:
                    file.seek(4 * (start + before * n))
                    rows = np.empty((n, width), "<f4")
                    if rows.size and file.readinto(rows.data.cast("B")) != rows.nbytes:
                        raise ValueError(f"{self._path(chunk)} is damaged: it is shorter than it says.")
                    yield rows
                    start += n * total

    def _path(self, chunk: int) -> Path:
        return self.folder / f"{chunk:06d}.rows"

    def _described(self, chunk: int) -> dict[str, Any]:
        if chunk not in self._whole:  # another process has made it
            found = _tail_of(self._path(chunk))
            if found is None or found["digest"] != self.digest:
                raise ValueError(f"{self._path(chunk)} is damaged: run the same line again, which makes it again.")
            self._whole[chunk] = found
        return self._whole[chunk]

    def _is_whole(self, chunk: int) -> bool:
        path = self._path(chunk)
        if chunk in self._whole or not path.is_file():
            return chunk in self._whole
        found = _tail_of(path)
        if found is None or found["digest"] != self.digest or not _is_sound(path, found, len(self.chunks[chunk])):
            log.warning("%s is damaged and is made again.", path)
            return False
        self._whole[chunk] = found
        return True


def _until(widths: Mapping[str, int], layer: str) -> Iterator[tuple[str, int]]:
    for name, width in widths.items():
        if name == layer:
            return
        yield name, width


def _tail_of(path: Path) -> dict[str, Any] | None:
    """What a file of rows says of itself; None where it is cut short, or none."""
    size = len(MAGIC) + 8
    try:
        with path.open("rb") as file:
            file.seek(-size, os.SEEK_END)
            length, checksum = struct.unpack("<II", file.read(8))
            if file.read() != MAGIC:
                return None
            file.seek(-size - length, os.SEEK_END)
            raw = file.read(length)
    except (OSError, struct.error):
        return None
    return json.loads(raw) if zlib.crc32(raw) == checksum else None


def _is_sound(path: Path, described: Mapping[str, Any], n_images: int) -> bool:
    """Whether the numbers before the tail are those that were written."""
    n_bytes = 4 * sum(described["sizes"]) * sum(described["widths"].values())
    if sum(described["sizes"]) != n_images or path.stat().st_size < n_bytes:
        return False
    checksum = 0
    with path.open("rb") as file:
        while n_bytes:
            raw = file.read(min(1 << 20, n_bytes))
            checksum, n_bytes = zlib.crc32(raw, checksum), n_bytes - len(raw)
    return checksum == described["crc"]


def _differences(found: Mapping[str, Any], wanted: Mapping[str, Any]) -> Iterator[str]:
    """A line for each field in which two identities differ."""
    for name in dict.fromkeys([*wanted, *found]):
        there, now = found.get(name, "nothing"), wanted.get(name, "nothing")
        if there != now:
            if isinstance(there, Mapping) and isinstance(now, Mapping):
                yield from _differences(there, now)
            else:
                yield f"\n  {name}: {_short(there)} there, {_short(now)} now"


def _short(value: Any) -> str:
    text = str(value)
    return text if len(text) <= 80 else f"{text[:60]}...{text[-12:]}"
