"""Rows of features while they are made: chunks of pictures, each a file that is whole or absent, and made again if not.

A chunk is a few whole batches of pictures, so that a batch holds the same pictures however often the work was stopped
and by however many processes it is done: each process takes every n-th chunk. Nothing but the batch at work is held.

Where one process works alone and rows are kept as they are made, they go to their last place at once: a ``.npy`` file
for each layer, which becomes the result by another name. The file of a chunk then holds only what is said of its rows.
"""

from __future__ import annotations

import json
import logging
import os
import shutil
import struct
import zlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._files import plain, read_json, sha256, slug, write_json, writing
from brainnet.features.in_place import ArrayFile

log = logging.getLogger("brainnet.features")

IMAGES = 64  # of a chunk, at most, unless a batch is larger: as much is lost to a kill
MOST_ARRAYS = 32  # layers whose rows are written into a file each; more would take too many open files
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
        self._arrays: dict[str, ArrayFile] = {}

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

    def put(self, chunks: Sequence[int], batches: Iterable[Batch], in_place: bool = False) -> None:
        """Writes rows, batch by batch, of the pictures of :meth:`batches` in that order.

        Args:
            chunks: what is written.
            batches: the rows.
            in_place: into a ``.npy`` file for each layer, see :meth:`array`; for a process that works alone. Of more
                than 32 layers nothing is written so.
        """
        coming = iter(batches)
        try:
            for chunk in chunks:
                with writing(self._path(chunk)) as unfinished, unfinished.open("wb") as file:
                    described = self._put_chunk(chunk, coming, file, in_place)
                    tail = json.dumps(described).encode()
                    file.write(tail + struct.pack("<II", len(tail), zlib.crc32(tail)) + MAGIC)
                self._whole[chunk] = described
            for array in self._arrays.values():  # once: a chunk whose rows a power cut took is known by its checksum
                array.sync()
        finally:
            for array in self._arrays.values():
                array.close()
        if next(coming, None) is not None:
            raise ValueError("there are more rows than pictures.")

    def _put_chunk(self, chunk: int, coming: Iterator[Batch], file: Any, in_place: bool) -> dict[str, Any]:
        """Writes the rows of a chunk into its file, or in place; what its file says of them."""
        checksum, sizes, images = 0, [], self.chunks[chunk]
        while sum(sizes) < len(images):
            batch = next(coming)
            in_place = in_place and len(batch) <= MOST_ARRAYS
            for layer, rows in batch.items():
                raw = np.ascontiguousarray(rows, "<f4").data.cast("B") if rows.size else b""
                checksum = zlib.crc32(raw, checksum)
                if in_place:
                    self._array(layer, rows.shape[1]).write(images.start + sum(sizes), raw)
                else:
                    file.write(raw)
            sizes.append(len(next(iter(batch.values()))))
        return {"digest": self.digest, "sizes": sizes, "crc": checksum, "in place": in_place,
                "widths": {layer: rows.shape[1] for layer, rows in batch.items()}}  # fmt: skip

    def _array(self, layer: str, width: int) -> ArrayFile:
        if layer not in self._arrays:
            self._arrays[layer] = ArrayFile(self.folder / f"{slug(layer)}.npy", self.n_images, width)
        return self._arrays[layer]

    def array(self, layer: str) -> ArrayFile | None:
        """The ``.npy`` file that has all rows of a layer; None where some, or all, were not written in place."""
        found = self._array(layer, self.widths[layer])
        whole = all(self._described(chunk)["in place"] for chunk in range(len(self.chunks)))
        return found if whole and found.is_whole() else None

    @property
    def widths(self) -> dict[str, int]:
        """Layer -> numbers of a row, once a chunk is there."""
        return dict(self._described(0)["widths"])

    def parts(self, layer: str) -> Iterator[np.ndarray]:
        """The rows of a layer (some, width), one batch after another."""
        for chunk in range(len(self.chunks)):
            yield from self._read(chunk, self._described(chunk), [layer])

    def _read(self, chunk: int, described: Mapping[str, Any], layers: Iterable[str]) -> Iterator[np.ndarray]:
        """The rows of some layers, as they were written: batch after batch, in each layer after layer."""
        start, images, widths = 0, self.chunks[chunk], described["widths"]
        before = dict(zip(widths, np.cumsum([0, *widths.values()]).tolist(), strict=False))
        with ExitStack() as files:
            in_chunk = None if described["in place"] else files.enter_context(self._path(chunk).open("rb"))
            arrays = {layer: self._array(layer, widths[layer]) for layer in layers}
            in_array = {k: files.enter_context(array.path.open("rb")) for k, array in arrays.items() if not in_chunk}
            for n in described["sizes"]:
                for layer, array in arrays.items():
                    if in_chunk is None:
                        file, offset = in_array[layer], array.offset(images.start + start)
                    else:
                        file, offset = in_chunk, 4 * (start * sum(widths.values()) + before[layer] * n)
                    file.seek(offset)
                    rows = np.empty((n, widths[layer]), "<f4")
                    if rows.size and file.readinto(rows.data.cast("B")) != rows.nbytes:
                        raise ValueError(f"{file.name} is damaged: it is shorter than it says.")
                    yield rows
                start += n

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
        if found is None or found["digest"] != self.digest or not self._is_sound(chunk, found):
            log.warning("%s is damaged and is made again.", path)
            return False
        self._whole[chunk] = found
        return True

    def _is_sound(self, chunk: int, described: Mapping[str, Any]) -> bool:
        """Whether the numbers are those that were written."""
        if sum(described["sizes"]) != len(self.chunks[chunk]):
            return False
        checksum = 0
        try:
            for rows in self._read(chunk, described, described["widths"]):
                checksum = zlib.crc32(rows.data.cast("B") if rows.size else b"", checksum)
        except (OSError, ValueError):  # a file that is not there, or cut short
            return False
        return checksum == described["crc"]


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
    return {"in place": False, **json.loads(raw)} if zlib.crc32(raw) == checksum else None


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
