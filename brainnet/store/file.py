"""A token file and the manifest beside it: chunks written whole, counted when they are durable, verified when read.

The one idea: a chunk is written and made durable first, and only then does the manifest count it, with a checksum.
Whatever happens in between (a kill, a full disk), the manifest never promises an image that is not there; whatever
happens to the file afterwards (a flipped bit, another file in its place), the checksum tells.

Processes that build one file share its chunks: each claims one by a lock, which the kernel takes from a process that
ends. The manifest counts chunks from the first on without a gap; one that is there before its predecessors is described
in a file of its own, ``<path>.chunk-<number>.json``, until they are.
"""

from __future__ import annotations

import errno
import logging
import os
import re
import shutil
from collections import deque
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainnet._files import locked
from brainnet._work import free_bytes, size
from brainnet.store.checks import checksum, damaged_chunks
from brainnet.store.layout import DTYPES, Layout, encode
from brainnet.store.manifest import Manifest, refuse_differing
from brainnet.tokens import Tokens

log = logging.getLogger("brainnet.store")


class MemorySink:
    """Chunks into one tensor in memory."""

    def __init__(self, manifest: Manifest):
        self.manifest, self._begun = manifest, 0

    @property
    def missing(self) -> list[range]:
        """Images whose tokens are to come."""
        return [range(len(self.manifest.image_ids))]

    def take(self, batch: range) -> bool:
        """Whether the tokens of a batch are made here: always."""
        return True

    def next_chunk(self) -> range:
        """The images of the chunk that comes next; none after the last."""
        images = range(self._begun, len(self.manifest.image_ids))[: self.manifest.chunk_size or None]
        self._begun += len(images)
        return images

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
    """Chunks into a file, each durable before it is counted; other processes may fill the same file.

    Close it: what it has claimed is then left to others.

    Args:
        path: the token file; a partial or damaged one with the same fingerprint is completed.
        manifest: what is to be built.
        overwrite: start anew where another store lies there.

    Raises:
        ValueError: what lies there was made from something else, or is no store that can be gone on with.
    """

    def __init__(self, path: Path, manifest: Manifest, overwrite: bool = False):
        self.path, self.manifest, self.damaged = path, manifest, []
        self.alone = True  # whether this process has made or read every chunk
        self._claims: dict[int, ExitStack] = {}
        self._order: deque[int] = deque()  # claimed chunks whose tokens are to come
        self._early: list[range] = []  # batches that were begun before the size of a chunk was known
        self._seen: tuple[tuple[int, ...], Manifest] | None = None  # the manifest as it last lay on the disk
        self._opening = ExitStack()  # until the size of a chunk is known, nobody else begins
        self._opening.enter_context(locked(path))
        try:
            self._go_on(overwrite)
        except BaseException:
            self.close()
            raise
        if self.manifest.layers:
            self._opening.close()

    def _go_on(self, overwrite: bool) -> None:
        """Takes up what lies there already."""
        path = self.path
        try:
            if not Manifest.beside(path).is_file():
                if path.is_file() and path.stat().st_size:
                    raise ValueError(f"{path} holds tokens, but its manifest {Manifest.beside(path).name} is gone.")
                return
            found = Manifest.read(path)
            refuse_differing(path, found.fingerprint, self.manifest.fingerprint)
            if found.image_ids != self.manifest.image_ids:
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
            self._forget_parts()  # they lie behind the end of the file
            found.write(path)
        if not found.layers:
            return
        self.manifest, self.alone = found, not self._parts(found)
        self.damaged = damaged_chunks(path, found) if found.n_complete else []
        for chunk in self.damaged:
            images = found.images_of(chunk)
            log.warning("%s: images %d to %d are damaged and are made again", path, images[0], images[-1])

    @property
    def missing(self) -> list[range]:
        """Images whose tokens are to come: those of damaged chunks, then those behind the last chunk."""
        manifest = self.manifest
        if not manifest.layers:
            return [range(len(manifest.image_ids))]
        there = self._parts(manifest)
        return [manifest.images_of(k) for k in (*self.damaged, *self._uncounted(manifest)) if k not in there]

    def take(self, batch: range) -> bool:
        """Whether the tokens of a batch are made here: not where another process makes those of its chunk, or has.

        Args:
            batch: images of one chunk. Batches are asked for in their order.
        """
        if not self.manifest.layers:
            self._early.append(batch)
            return True
        chunk = batch.start // self.manifest.chunk_size
        if batch.start == self.manifest.images_of(chunk).start:
            self._claim(chunk)
        return chunk in self._claims

    def next_chunk(self) -> range:
        """The images of the chunk whose tokens come next; none after the last."""
        return self.manifest.images_of(self._order.popleft()) if self._order else range(0)

    def begin(self, layout: Layout) -> None:
        """Checks the free space, and puts down the manifest of what comes where there is none."""
        manifest, fresh = self.manifest, not self.manifest.layers
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
            if fresh:
                self._refuse_others()
                self._forget_parts()
                manifest.write(self.path)
            self.path.open("wb" if fresh else "ab").close()  # what lies there of another store is of no use
        for chunk in dict.fromkeys(batch.start // manifest.chunk_size for batch in self._early):
            self._claim(chunk)
        self._early.clear()
        self._opening.close()

    def put(self, first: int, chunk: Tensor, scales: list[float]) -> None:
        """Takes the chunk that begins with image ``first``, encoded."""
        number = first // self.manifest.chunk_size
        with self._full_disk_explained():
            write_durably(self.path, first * self.manifest.row_bytes, chunk)
            with locked(self.path):
                self.manifest = self._counted(number, {"scales": scales, "checksum": checksum(chunk)})
        if number in self.damaged:
            self.damaged.remove(number)
        self._claims.pop(number).close()

    def wait(self) -> None:
        """Until all chunks are there, or a process has ended before the one that it had claimed was."""
        self.manifest = self._read()
        while missing := self.missing:
            self.alone = False
            with locked(self._beside(missing[0].start // self.manifest.chunk_size), keep=False):
                pass
            self.manifest = self._read()
            if missing[0] in self.missing:
                return
        whole = len(self.manifest.image_ids) * self.manifest.row_bytes
        if self.path.stat().st_size > whole:
            os.truncate(self.path, whole)
        self._forget_parts()

    def close(self) -> None:
        """Leaves what was claimed to others."""
        self._opening.close()
        while self._claims:
            self._claims.popitem()[1].close()

    def _claim(self, chunk: int) -> None:
        """Makes a chunk this process's own, unless another makes it, or has."""
        with ExitStack() as held:
            try:
                held.enter_context(locked(self._beside(chunk), wait=False, keep=False))
            except BlockingIOError:
                self.alone = False
                return
            if chunk not in self.damaged:
                found = self._read()
                if chunk not in self._uncounted(found) or chunk in self._parts(found):
                    self.alone = False
                    return
            self._claims[chunk] = held.pop_all()
            self._order.append(chunk)

    def _refuse_others(self) -> None:
        """Refuses to replace a store which another process is building.

        Raises:
            BlockingIOError: there is one.
        """
        for _, found in self._of_chunks():
            try:
                with locked(self._beside(int(found[1])), wait=False, keep=False):
                    pass
            except BlockingIOError:
                raise BlockingIOError(
                    f"another process is building another store at {self.path}: wait until it has ended, or give "
                    "another path."
                ) from None

    def _read(self) -> Manifest:
        """The manifest on the disk, read again only where it was written anew."""
        state = self._state()
        if self._seen is None or self._seen[0] != state:
            self._seen = state, Manifest.read(self.path)
        return self._seen[1]

    def _state(self) -> tuple[int, ...]:
        stat = Manifest.beside(self.path).stat()
        return stat.st_mtime_ns, stat.st_size, stat.st_ino

    def _counted(self, number: int, said: dict[str, Any]) -> Manifest:
        """The manifest on the disk once a chunk is counted, with those behind it that were waiting for it."""
        found = self._read()
        refuse_differing(self.path, found.fingerprint, self.manifest.fingerprint)
        manifest = replace(found, scales=[*found.scales], checksums=[*found.checksums])
        if number > manifest.n_complete // manifest.chunk_size:
            manifest.write_part(self._part(number), number, said)
            return manifest
        waiting = self._parts(manifest)
        while said is not None:
            images = manifest.images_of(number)
            manifest.count(images.start, len(images), **said)
            number = manifest.n_complete // manifest.chunk_size
            said = waiting.pop(number, None)
        manifest.write(self.path)
        self._seen = self._state(), manifest
        for chunk in set(self._numbers()) - set(waiting):
            self._part(chunk).unlink(missing_ok=True)
        return manifest

    @staticmethod
    def _uncounted(manifest: Manifest) -> range:
        """Numbers of the chunks behind those that a manifest counts."""
        n_chunks, n_images = (-(-n // manifest.chunk_size) for n in (len(manifest.image_ids), manifest.n_complete))
        return range(n_images, n_chunks)

    def _parts(self, manifest: Manifest) -> dict[int, dict[str, Any]]:
        """Chunks that are there before their predecessors: number -> scales and checksum."""
        read = {chunk: manifest.read_part(self._part(chunk), chunk) for chunk in self._numbers()}
        return {chunk: said for chunk, said in read.items() if said and chunk in self._uncounted(manifest)}

    def _numbers(self) -> list[int]:
        """Numbers in the names of the files that describe a chunk."""
        return [int(found[1]) for _, found in self._of_chunks() if found[2] == "json"]

    def _of_chunks(self) -> list[tuple[Path, re.Match]]:
        """The files beside the token file that are of a single chunk."""
        pattern = re.compile(re.escape(self.path.name) + r"\.chunk-(\d{1,9})\.(json|lock)")
        return [(one, found) for one in self.path.parent.iterdir() if (found := pattern.fullmatch(one.name))]

    def _beside(self, chunk: int) -> Path:
        return self.path.with_name(f"{self.path.name}.chunk-{chunk}")

    def _part(self, chunk: int) -> Path:
        return self.path.with_name(f"{self._beside(chunk).name}.json")

    def _forget_parts(self) -> None:
        """Takes away what describes single chunks, and locks that killed processes have left."""
        for one, _ in self._of_chunks():
            one.unlink(missing_ok=True)

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
        batches: tokens of the images of the sink's next chunks, in order. A chunk ends where a batch does, or within.
    """
    span, rows, filled, writing, layout = range(0), None, 0, None, None
    with ThreadPoolExecutor(1) as writer:
        for tokens in batches:
            if layout is None:
                layout = Layout.of(tokens)
                sink.begin(layout)
                dtype = DTYPES[sink.manifest.dtype]
            taken, batch = 0, len(next(iter(tokens.global_.values())))
            while taken < batch:
                if rows is None:
                    span, filled = sink.next_chunk(), 0
                    if not span:
                        raise ValueError(
                            f"tokens of more than the {len(sink.manifest.image_ids):,} images that have names"
                        )
                    device = next(iter(tokens.global_.values())).device
                    rows = torch.empty(len(span), layout.row, device=device)
                some = min(batch - taken, len(rows) - filled)
                part = tokens.map(lambda v, a=taken, b=taken + some: v[a:b].detach())
                layout.pack(part, rows[filled : filled + some])
                taken, filled = taken + some, filled + some
                if filled == len(rows):
                    stored = encode(rows, layout, dtype, [sink.manifest.image_ids[i] for i in span])
                    if writing is not None:
                        writing.result()
                    writing, rows = writer.submit(sink.put, span.start, *stored), None
        if writing is not None:
            writing.result()
    if rows is None:
        span, filled = sink.next_chunk(), 0
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
