"""A token file and the manifest beside it: chunks written whole, counted when they are durable, verified when read.

The one idea: a chunk is written and made durable first, and only then does the manifest count it, with a checksum.
Whatever happens in between (a kill, a full disk), the manifest never promises an image that is not there; whatever
happens to the file afterwards (a flipped bit, another file in its place), the checksum tells.
"""

from __future__ import annotations

import errno
import logging
import os
import shutil
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path

import torch
from torch import Tensor

from brainnet._work import free_bytes, size
from brainnet.store.checks import checksum, damaged_chunks
from brainnet.store.layout import DTYPES, Layout, encode
from brainnet.store.manifest import Manifest, refuse_differing
from brainnet.tokens import Tokens

log = logging.getLogger("brainnet.store")


class MemorySink:
    """Chunks into one tensor in memory."""

    path = None

    def __init__(self, manifest: Manifest):
        self.manifest = manifest

    @property
    def missing(self) -> list[range]:
        """Images whose tokens are to come."""
        return [range(len(self.manifest.image_ids))]

    def begin(self, layout: Layout) -> None:
        """Reserves the memory, where there is enough of it."""
        manifest = self.manifest
        manifest.begin(layout)
        need, free = manifest.row_bytes * len(manifest.image_ids), free_bytes(torch.device("cpu"))
        _announce(manifest, need, free, "in memory")
        if free is not None and need > free:
            raise MemoryError(
                f"the tokens need {size(need)} and {size(free)} of memory is free. Give path= to keep them in a "
                "memory-mapped file, or choose fewer layers or a smaller grid."
            )
        self.rows = torch.empty(len(manifest.image_ids), layout.row, dtype=DTYPES[manifest.dtype])

    def put(self, first: int, chunk: Tensor, scales: list[float]) -> None:
        """Takes the chunk that begins with image ``first``, encoded."""
        self.rows[first : first + len(chunk)] = chunk
        self.manifest.count(first, len(chunk), scales)


class FileSink:
    """Chunks into a file, each durable before the manifest counts it.

    Args:
        path: the token file; a partial or damaged one with the same fingerprint is completed.
        manifest: what is to be built.
        overwrite: start anew where another store lies there.

    Raises:
        ValueError: what lies there was made from something else, or is no store that can be gone on with.
    """

    rows = None

    def __init__(self, path: Path, manifest: Manifest, overwrite: bool = False):
        self.path, self.manifest, self.damaged = path, manifest, []
        try:
            if not Manifest.beside(path).is_file():
                if path.is_file() and path.stat().st_size:
                    raise ValueError(f"{path} holds tokens, but its manifest {Manifest.beside(path).name} is gone.")
                return
            found = Manifest.read(path)
            refuse_differing(path, found.fingerprint, manifest.fingerprint)
            if found.image_ids != manifest.image_ids:
                raise ValueError(f"the token store {path} is of other images.")
        except ValueError as error:
            if overwrite:
                return
            raise ValueError(f"{error} Or build with overwrite=True to replace it.") from None
        whole = found.whole_images(path)
        if whole < found.n_complete:
            log.warning("%s is truncated: %d whole images remain of %d", path, whole, found.n_complete)
            found.n_complete = whole - whole % found.chunk_size
            kept = found.n_complete // found.chunk_size
            found.scales, found.checksums = found.scales[:kept], found.checksums[:kept]
        if found.n_complete:
            self.manifest, self.damaged = found, damaged_chunks(path, found)
        for chunk in self.damaged:
            images = found.images_of(chunk)
            log.warning("%s: images %d to %d are damaged and are made again", path, images[0], images[-1])

    @property
    def missing(self) -> list[range]:
        """Images whose tokens are to come: those of damaged chunks, then those behind the last chunk."""
        rest = range(self.manifest.n_complete, len(self.manifest.image_ids))
        return [*map(self.manifest.images_of, self.damaged), *([rest] if rest else [])]

    def begin(self, layout: Layout) -> None:
        """Checks the free space, and puts down the manifest of what comes."""
        manifest = self.manifest
        manifest.begin(layout)
        there = self.path.stat().st_size if self.path.is_file() else 0
        need, free = manifest.row_bytes * len(manifest.image_ids), shutil.disk_usage(self.path.parent).free
        _announce(manifest, need, free, f"in {self.path}")
        if need - there > free:
            raise OSError(
                errno.ENOSPC,
                f"the tokens need {size(need - there)} more and {size(free)} is free on the disk of {self.path}. "
                "Give another path=, or choose fewer layers or a smaller grid",
            )
        with self._full_disk_explained():
            manifest.write(self.path)
            with self.path.open("ab") as file:  # what lies beyond the counted images is of no use
                file.truncate(manifest.n_complete * manifest.row_bytes)

    def put(self, first: int, chunk: Tensor, scales: list[float]) -> None:
        """Takes the chunk that begins with image ``first``, encoded."""
        with self._full_disk_explained():
            write_durably(self.path, first * self.manifest.row_bytes, chunk)
            after = Manifest(**asdict(self.manifest))
            after.count(first, len(chunk), scales, checksum(chunk))
            after.write(self.path)
            self.manifest = after

    @contextmanager
    def _full_disk_explained(self) -> Iterator[None]:
        try:
            yield
        except OSError as error:
            if error.errno not in (errno.ENOSPC, errno.EDQUOT):
                raise
            raise OSError(
                error.errno,
                f"the disk is full: {self.path} holds {self.manifest.n_complete:,} of {len(self.manifest.image_ids):,} "
                "images. Make room and build again with the same arguments: it goes on from there",
            ) from None


def write_durably(path: Path, offset: int, chunk: Tensor) -> None:
    """Puts a chunk's bytes at ``offset`` of a file and waits until the disk has them."""
    with path.open("r+b") as file:
        file.seek(offset)
        file.write(chunk.contiguous().view(torch.uint8).numpy().data)
        file.flush()
        os.fsync(file.fileno())


def fill(sink: MemorySink | FileSink, batches: Iterable[Tokens]) -> None:
    """Packs batches of tokens into whole chunks and hands them to the sink, which writes while the next are made.

    Args:
        sink: where they go.
        batches: tokens of the images in ``sink.missing``, in that order. A chunk ends where a batch does, or within.
    """
    coming = iter(sink.missing)
    span, rows, filled, writing, layout = next(coming, range(0)), None, 0, None, None
    with ThreadPoolExecutor(1) as writer:
        for tokens in batches:
            if layout is None:
                layout = Layout.of(tokens)
                sink.begin(layout)
                chunk_size, dtype = sink.manifest.chunk_size, DTYPES[sink.manifest.dtype]
            taken, batch = 0, len(next(iter(tokens.global_.values())))
            while taken < batch:
                if not span:
                    raise ValueError(f"tokens of more than the {len(sink.manifest.image_ids):,} images that have names")
                if rows is None:
                    device = next(iter(tokens.global_.values())).device
                    rows, filled = torch.empty(min(chunk_size, len(span)), layout.row, device=device), 0
                some = min(batch - taken, len(rows) - filled)
                part = tokens.map(lambda v, a=taken, b=taken + some: v[a:b].detach())
                layout.pack(part, rows[filled : filled + some])
                taken, filled = taken + some, filled + some
                if filled == len(rows):
                    done, span = span[:filled], span[filled:] or next(coming, range(0))
                    stored = encode(rows, layout, dtype, [sink.manifest.image_ids[i] for i in done])
                    if writing is not None:
                        writing.result()
                    writing, rows, filled = writer.submit(sink.put, done.start, *stored), None, 0
        if writing is not None:
            writing.result()
    if span:
        raise ValueError(f"tokens of {span.start + filled:,} images came for {len(sink.manifest.image_ids):,} names")


def _announce(manifest: Manifest, need: int, free: int | None, where: str) -> None:
    positions = sorted(set(manifest.layout.positions))
    log.info(
        "token store: %s images x %d layers x %s positions, %s: %s %s (%s free)%s",
        *(f"{len(manifest.image_ids):,}", len(manifest.layers), " or ".join(map(str, positions)), manifest.dtype),
        *(size(need), where, "?" if free is None else size(free)),
        f"; {manifest.n_complete:,} images are there already" if manifest.n_complete else "",
    )
