"""How tokens lie in memory and on disk: rows, scales, whole chunks, and the manifest beside the file.

The one idea: a chunk is written and made durable first, and only then does the manifest count it. Whatever happens in
between (a kill, a full disk), the manifest never promises an image that is not there.
"""

from __future__ import annotations

import errno
import json
import logging
import os
import shutil
import sys
import threading
from collections.abc import Iterable, Iterator, Mapping
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._work import free_bytes, size
from brainnet.tokens import Tokens

log = logging.getLogger("brainnet.store")

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
CHUNK_BYTES, CHUNK_IMAGES = 128 * 2**20, 256  # at most this much work is lost to a kill
FP16_MAX = 65504.0
FP16_SMALL = 2.0**-3  # a layer whose largest value is below this would lose its smaller ones to fp16's subnormals
FORMAT = "brainnet tokens, version 1"


@dataclass(frozen=True)
class Layout:
    """Where each layer lies in a row: (positions, width) blocks one after another, the global token last in each.

    >>> Layout(("0", "1"), (2, 3), (1, 1)).spans
    {'0': (0, 4), '1': (4, 10)}
    """

    layers: tuple[str, ...]
    layer_widths: tuple[int, ...]
    grid: tuple[int, int]

    @classmethod
    def of(cls, tokens: Tokens) -> Layout:
        """The layout of these tokens, whose layers share one grid."""
        grids = {tuple(v.shape[-2:]) for v in tokens.local.values()}
        if len(grids) != 1:
            raise ValueError(f"a store keeps every layer on one grid, got {sorted(grids)}; use Tokens.resize(grid)")
        return cls(tokens.layers, tuple(v.shape[1] for v in tokens.local.values()), grids.pop())

    @property
    def positions(self) -> int:
        """Tokens per layer, local and global."""
        return self.grid[0] * self.grid[1] + 1

    @property
    def row(self) -> int:
        """Numbers per image."""
        return self.positions * sum(self.layer_widths)

    @cached_property
    def spans(self) -> dict[str, tuple[int, int]]:
        """First and one-past-last column of each layer in a row."""
        spans, start = {}, 0
        for layer, width in zip(self.layers, self.layer_widths, strict=True):
            spans[layer] = (start, start := start + self.positions * width)
        return spans

    def pack(self, tokens: Tokens, rows: Tensor) -> None:
        """Writes a batch of tokens into ``rows`` (B, row)."""
        for (layer, (start, stop)), width in zip(self.spans.items(), self.layer_widths, strict=True):
            local, global_ = tokens.local[layer], tokens.global_[layer]
            if local.shape[1:] != (width, *self.grid) or global_.shape[1:] != (width,):
                raise ValueError(
                    f"tokens of layer {layer!r} must be {(width, *self.grid)} and {(width,)} for every image, as they "
                    f"were for the first; got {tuple(local.shape[1:])} and {tuple(global_.shape[1:])}."
                )
            block = rows[:, start:stop].unflatten(1, (self.positions, width))
            block[:, :-1].copy_(local.flatten(2).transpose(1, 2))
            block[:, -1].copy_(global_)

    def unpack(self, rows: Tensor) -> Tokens:
        """Tokens as views of ``rows`` (B, row), whose numbers lie side by side."""
        n, step, (height, width) = len(rows), rows.stride(0), self.grid
        local, global_ = {}, {}
        for (layer, (start, _)), channels in zip(self.spans.items(), self.layer_widths, strict=True):
            # one call a view: slices, their folding and a permutation of 12 layers take longer than a row's copy
            first, last = rows.storage_offset() + start, (self.positions - 1) * channels
            local[layer] = rows.as_strided((n, channels, height, width), (step, 1, width * channels, channels), first)
            global_[layer] = rows.as_strided((n, channels), (step, 1), first + last)
        return Tokens(local, global_)


def encode(rows: Tensor, layout: Layout, dtype: torch.dtype, ids: list[str]) -> tuple[Tensor, list[float]]:
    """A chunk of rows (B, row) as it is stored, and the power of two each layer was divided by.

    Raises:
        ValueError: a value is NaN or infinite; names the layer and the first image.
    """
    # amax and amin carry NaN through, and cost a quarter of a norm
    blocks = [rows[:, start:stop] for start, stop in layout.spans.values()]
    peaks = torch.stack([torch.maximum(block.amax(1), -block.amin(1)) for block in blocks], 1).cpu()
    broken = ~torch.isfinite(peaks)
    if broken.any():
        image, layer = (int(i) for i in broken.nonzero()[0])
        raise ValueError(
            f"tokens of layer {layout.layers[layer]!r} are not finite (NaN or infinity) for image {ids[image]!r}, the "
            f"first of {int(broken.any(1).sum())} in this chunk. Look at it, or run the backbone in float32."
        )
    if dtype != torch.float16:
        return rows.to("cpu", dtype), [1.0] * len(layout.layers)
    peak = peaks.amax(0)
    fits = (peak == 0) | ((peak >= FP16_SMALL) & (peak <= FP16_MAX))
    exponent = (torch.frexp(peak).exponent - 15).clamp_min(-126)  # brings the peak to [2^14, 2^15)
    scales = torch.where(fits, torch.ones_like(peak), torch.ldexp(torch.ones_like(peak), exponent))
    for scale, block in zip(scales.tolist(), blocks, strict=True):
        if scale != 1:
            block.div_(scale)
    return rows.to(dtype).cpu(), scales.tolist()


@dataclass
class Manifest:
    """What a token file holds, kept as JSON beside it.

    The file itself is one array of ``dtype``, (n_images, row), without a header; see :class:`Layout` for a row. Layer l
    of image i is to be multiplied by ``scales[i // chunk_size][l]``.
    """

    dtype: str
    image_ids: list[str]
    fingerprint: dict[str, str]
    chunk_size: int  # images per durable write, whole batches; 0 until the first tokens say how large an image is
    batch_size: int
    layers: list[str] = field(default_factory=list)
    layer_widths: list[int] = field(default_factory=list)
    grid: list[int] = field(default_factory=list)
    scales: list[list[float]] = field(default_factory=list)
    n_complete: int = 0
    format: str = FORMAT

    @staticmethod
    def beside(path: Path) -> Path:
        """The manifest's own path."""
        return path.with_name(path.name + ".json")

    @classmethod
    def read(cls, path: Path) -> Manifest:
        """The manifest of the token file ``path``."""
        beside = cls.beside(path)
        if not beside.is_file():
            raise FileNotFoundError(
                f"no token store at {path}: its manifest {beside.name} is not there. Build it first."
            )
        try:
            manifest = cls(**json.loads(beside.read_text(encoding="utf-8")))
        except (TypeError, ValueError) as error:
            raise ValueError(f"{beside} is no manifest of a token store ({error}); delete it to build anew.") from None
        if manifest.format != FORMAT:
            raise ValueError(
                f"{beside} has the format {manifest.format!r}, this brainnet reads {FORMAT!r}; build anew."
            )
        return manifest

    def write(self, path: Path) -> None:
        """Puts the manifest beside ``path``, whole or not at all."""
        beside = self.beside(path)
        fresh = beside.with_name(beside.name + ".new")
        with fresh.open("w", encoding="utf-8") as file:
            json.dump(asdict(self), file)
            file.flush()
            os.fsync(file.fileno())
        os.replace(fresh, beside)

    @property
    def layout(self) -> Layout:
        """Where each layer lies in a row."""
        return Layout(tuple(self.layers), tuple(self.layer_widths), (self.grid[0], self.grid[1]))

    @property
    def row_bytes(self) -> int:
        """Size of one image's tokens."""
        return self.layout.row * DTYPES[self.dtype].itemsize

    def begin(self, layout: Layout) -> None:
        """Takes the layout of the first tokens, and from it the size of a chunk; or holds them to what is there."""
        if self.layers:
            if layout != self.layout:
                raise ValueError(
                    f"the store began with {self.layout}, and the tokens that should go on it are {layout}."
                )
            return
        self.layers, self.layer_widths, self.grid = list(layout.layers), list(layout.layer_widths), list(layout.grid)
        wanted = self.chunk_size or min(CHUNK_IMAGES, CHUNK_BYTES // self.row_bytes)
        # whole batches: a continued build then runs the same batches as one that was never stopped
        self.chunk_size = max(1, wanted // self.batch_size) * self.batch_size

    def count(self, chunk: Tensor, scales: list[float]) -> None:
        """Counts a chunk that is in place."""
        self.n_complete += len(chunk)
        self.scales.append(scales)

    def whole_images(self, path: Path) -> int:
        """Images that are counted and lie wholly within the file as it is now."""
        size = path.stat().st_size if path.is_file() else 0
        return min(self.n_complete, size // self.row_bytes) if self.n_complete else 0


class MemorySink:
    """Chunks into one tensor in memory."""

    path = None

    def __init__(self, manifest: Manifest):
        self.manifest = manifest

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

    def append(self, chunk: Tensor, scales: list[float]) -> None:
        """Takes the next chunk, encoded."""
        first = self.manifest.n_complete
        self.rows[first : first + len(chunk)] = chunk
        self.manifest.count(chunk, scales)


class FileSink:
    """Chunks into a file, each durable before the manifest counts it.

    Args:
        path: the token file; a partial one with the same fingerprint is continued.
        manifest: what is to be built.
        overwrite: start anew where another store lies there.
    """

    rows = None

    def __init__(self, path: Path, manifest: Manifest, overwrite: bool = False):
        self.path, self.manifest = path, manifest
        if not Manifest.beside(path).is_file():
            if path.is_file() and path.stat().st_size:
                raise ValueError(f"{path} exists and is no token store; give another path, or delete it.")
            return
        try:
            found = Manifest.read(path)
            refuse_differing(path, found.fingerprint, manifest.fingerprint)
        except ValueError as error:
            if overwrite:
                return
            raise ValueError(f"{error} Or build with overwrite=True to replace it.") from None
        whole = found.whole_images(path)
        if whole < found.n_complete:
            log.warning("%s is truncated: %d whole images remain of %d", path, whole, found.n_complete)
            found.n_complete = whole - whole % found.chunk_size
            found.scales = found.scales[: found.n_complete // found.chunk_size]
        if found.n_complete:
            self.manifest = found

    @property
    def is_complete(self) -> bool:
        """Whether nothing is left to do."""
        return self.manifest.n_complete == len(self.manifest.image_ids) > 0

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

    def append(self, chunk: Tensor, scales: list[float]) -> None:
        """Takes the next chunk, encoded."""
        with self._full_disk_explained():
            write_durably(self.path, self.manifest.n_complete * self.manifest.row_bytes, chunk)
            after = Manifest(**asdict(self.manifest))
            after.count(chunk, scales)
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
        sink: where they go; batches begin at the first image it does not have.
        batches: tokens of consecutive images. A chunk ends where a batch does, or within one.
    """
    first, n_images, rows, filled, writing = sink.manifest.n_complete, len(sink.manifest.image_ids), None, 0, None
    with ThreadPoolExecutor(1) as writer:
        for tokens in batches:
            if rows is None and writing is None:
                layout = Layout.of(tokens)
                sink.begin(layout)
                chunk_size, dtype = sink.manifest.chunk_size, DTYPES[sink.manifest.dtype]
            taken, batch = 0, len(next(iter(tokens.global_.values())))
            if first + filled + batch > n_images:
                raise ValueError(f"tokens of more than the {n_images:,} images that have names")
            while taken < batch:
                if rows is None:
                    device = next(iter(tokens.global_.values())).device
                    rows, filled = torch.empty(min(chunk_size, n_images - first), layout.row, device=device), 0
                some = min(batch - taken, len(rows) - filled)
                part = tokens.map(lambda v, a=taken, b=taken + some: v[a:b].detach())
                layout.pack(part, rows[filled : filled + some])
                taken, filled = taken + some, filled + some
                if filled == len(rows):
                    stored = encode(rows, layout, dtype, sink.manifest.image_ids[first : first + filled])
                    if writing is not None:
                        writing.result()
                    writing = writer.submit(sink.append, *stored)
                    first, rows, filled = first + filled, None, 0
        if writing is not None:
            writing.result()
    if sink.manifest.n_complete < n_images:
        raise ValueError(f"tokens of {first + filled:,} images came for {n_images:,} names")


class Buffers:
    """Memory for batches, handed out again once nothing refers to it.

    Fresh memory costs more than what is written to it: the kernel clears every page first, which took four fifths of
    the time of a read. A tensor made by ``torch.from_numpy`` keeps its array alive, and so does every view of it and
    every graph that saved it; an array that only this pool refers to is therefore free.
    """

    kept, largest = 4, 64 * 2**20  # arrays, and bytes of each: what is larger is rare, and would be missed elsewhere

    def __init__(self):
        self._arrays: list[np.ndarray] = []
        self._lock = threading.Lock()

    def take(self, n_rows: int, n_columns: int, dtype: torch.dtype) -> Tensor:
        """An uninitialised tensor (n_rows, n_columns) on the CPU."""
        n_bytes = n_rows * n_columns * dtype.itemsize
        if not 0 < n_bytes <= self.largest:
            return torch.empty(n_rows, n_columns, dtype=dtype)
        with self._lock:
            for i in range(len(self._arrays)):
                # two references: the list's, and the argument itself
                if self._arrays[i].nbytes == n_bytes and sys.getrefcount(self._arrays[i]) <= 2:
                    break
            else:
                self._arrays = [*self._arrays[1 - self.kept :], np.empty(n_bytes, np.uint8)]
                i = len(self._arrays) - 1
            return torch.from_numpy(self._arrays[i]).view(dtype).view(n_rows, n_columns)


def refuse_differing(path: Path, found: Mapping[str, str], expected: Mapping[str, str]) -> None:
    """Raises ValueError, with each field and both values, where a store was made from something else."""
    differing = [name for name, value in expected.items() if found.get(name) != value]
    if differing:
        lines = "".join(
            f"\n  {name}: {_short(found.get(name))} there, {_short(expected[name])} now" for name in differing
        )
        raise ValueError(f"the token store {path} was made from something else:{lines}\nGive another path.")


def _announce(manifest: Manifest, need: int, free: int | None, where: str) -> None:
    log.info(
        "token store: %s images x %d layers x %d positions, %s: %s %s (%s free)%s",
        *(f"{len(manifest.image_ids):,}", len(manifest.layers), manifest.layout.positions, manifest.dtype, size(need)),
        *(where, "?" if free is None else size(free)),
        f"; {manifest.n_complete:,} images are there already" if manifest.n_complete else "",
    )


def _short(value: str | None) -> str:
    value = "nothing" if value is None else str(value)
    return value if len(value) <= 80 else f"{value[:60]}...{value[-12:]}"
