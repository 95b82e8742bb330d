"""Every image's tokens, computed once: in memory, in one memory-mapped file, or on the GPU.

A store is keyed by image *index*. It never looks at pixels to find an image, so two images cannot share tokens, and
reading decodes nothing. One row holds one image: layer after layer, each as (positions, channels) with the global token
as the last position, so that a batch is one gather and, where layers are equally wide, (B, L, P, C) without a copy.

On disk a store is that array, raw, and beside it a manifest (``<path>.json``) written after every whole chunk: a killed
build goes on from the last one. The manifest carries a fingerprint of backbone, preprocessing and images; a store is
refused, never reinterpreted, where that differs. Reading refuses incomplete stores; it repairs nothing by itself.
"""

from __future__ import annotations

import copy
import logging
import warnings
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._files import locked
from brainnet._work import free_bytes, read_ahead, size
from brainnet._work import progress as progress_bar
from brainnet.store.extraction import Images, choose_preprocessing, extract, fingerprint_of, sha256
from brainnet.store.file import (
    CHUNK_IMAGES,
    DTYPES,
    Buffers,
    FileSink,
    Layout,
    Manifest,
    MemorySink,
    fill,
    refuse_differing,
)
from brainnet.tokens import Backbone, Preprocessing, Tokens

__all__ = ["TokenStatistics", "TokenStore", "choose_preprocessing", "fingerprint_of"]

log = logging.getLogger(__name__)


class TokenStatistics(NamedTuple):
    """Mean and standard deviation per layer and channel: local (1, C, 1, 1) and global (1, C), float64."""

    mean: Tokens
    std: Tokens


class TokenStore(torch.utils.data.Dataset):
    """The tokens of a set of images, by image index.

    Make one with :meth:`build`, :meth:`open` or :meth:`from_tokens`. It is a dataset of ``(local, global)`` pairs that
    works with a plain ``DataLoader`` (also with workers: a mapped file is reopened by path, not copied), but
    :meth:`tokens` with a batch of indices is much faster.

    Attributes:
        layers, layer_widths, grid: what one image's tokens are.
        image_ids: one name per image, in index order.
        fingerprint: what the tokens came from, field by field.
        device: where batches are handed out.

    >>> backbone = torch.nn.Module()
    >>> backbone.get_tokens = lambda x: ({"0": x}, {"0": x.mean((2, 3))})
    >>> store = TokenStore.build(backbone, torch.rand(5, 3, 16, 16), grid=(4, 4), progress=False)
    >>> store
    TokenStore(5 images, 1 layers, grid 4x4, float16, 510 B in memory)
    >>> store.tokens([4, 0]).local["0"].shape, store.features("0", "global").shape
    (torch.Size([2, 3, 4, 4]), torch.Size([5, 3]))
    """

    def __init__(
        self,
        layout: Layout,
        rows: Tensor | None,
        *,
        image_ids: Sequence[str],
        fingerprint: Mapping[str, str],
        scales: Tensor | None = None,
        chunk_size: int = 1,
        path: str | Path | None = None,
        dtype: torch.dtype = torch.float16,
    ):
        self.layout, self.image_ids, self.fingerprint = layout, list(image_ids), dict(fingerprint)
        self.path = None if path is None else Path(path).absolute()
        self.dtype = dtype if rows is None else rows.dtype
        self.device = torch.device("cpu")
        self._chunk_size, self._buffers = chunk_size, Buffers()
        self._fits_half = scales is None or bool((scales <= 1).all())
        self._scales = None if scales is None or bool((scales == 1).all()) else scales.float()  # (n_chunks, L)
        self._rows = self._map() if rows is None else rows

    # ---------------------------------------------------------------- making

    @classmethod
    def build(
        cls,
        backbone: Backbone,
        images: Any,
        *,
        grid: tuple[int, int] = (8, 8),
        resize: str = "mean",
        dtype: torch.dtype = torch.float16,
        path: str | Path | None = None,
        batch_size: int = 16,
        chunk_size: int | None = None,
        device: str | torch.device | None = None,
        preprocessing: Preprocessing | None = None,
        workers: int | None = None,
        overwrite: bool = False,
        progress: bool = True,
    ) -> TokenStore:
        """The store of ``images`` seen by ``backbone``; goes on where an interrupted build stopped.

        Images are decoded in background threads while the backbone works. Processes that build the same path at the
        same time (the ranks of a distributed run) take turns: the first builds, the others wait and open the result.

        Args:
            backbone: any object with ``get_tokens``. A module is put in eval mode while it works, then put back.
            images: a response dataset, a list of PIL images or paths, or a tensor (n, 3, H, W) already preprocessed.
            grid: token grid (height, width) kept per layer.
            resize: how native token maps reach that grid, see :meth:`Tokens.resize`.
            dtype: torch.float16, bfloat16 or float32. In float16 each layer of a chunk is divided by a power of two
                where its largest value is beyond 65,504 or below 1/8, so neither end of the format is hit; reading
                multiplies it back, exactly.
            path: a file to hold the tokens, memory-mapped; None keeps them in memory.
            batch_size: images per forward pass.
            chunk_size: images per durable write; None means about 128 MB, at most 256 images.
            device: where the backbone works (a module is moved there) and batches are handed out; None leaves the
                backbone where it is and hands out batches on the CPU.
            preprocessing: None follows :func:`choose_preprocessing`.
            workers: decoding threads; None takes one per core, at most 8; 0 decodes in the calling thread.
            overwrite: replace a store at ``path`` whose fingerprint differs.
            progress: show the progress bar.

        Raises:
            ValueError: tokens that are not finite (which layer, which image), or a store at ``path`` made from
                something else (which field).
            MemoryError: the tokens do not fit in memory.
            OSError: they do not fit on the disk; what was written stays resumable.
        """
        source = Images.read(images, backbone, preprocessing)
        n_images = len(source.ids)
        if not n_images:
            raise ValueError("there are no images to build a token store of")
        if path is not None and Path(path).is_dir():
            raise ValueError(f"path={path} is a folder; give a file in it, such as {Path(path) / 'tokens.bin'}")
        grid = (int(grid[0]), int(grid[1]))
        if min(grid) < 1:
            raise ValueError(f"grid must be (height, width) of at least 1, got {grid}.")
        fingerprint = {
            **fingerprint_of(backbone),
            "preprocessing": source.preprocessing,
            "grid": f"{grid[0]}x{grid[1]}",
            "resize": resize,
            "dtype": _name(dtype),
            "image_ids": sha256("\n".join(source.ids).encode()),
            "images": source.signature,
        }
        manifest = Manifest(_name(dtype), source.ids, fingerprint, chunk_size or 0, batch_size)

        def complete(sink: MemorySink | FileSink) -> TokenStore:
            first = sink.manifest.n_complete
            spans = [range(i, min(i + batch_size, n_images)) for i in range(first, n_images, batch_size)]
            planted = images.planted_tokens(fingerprint) if hasattr(images, "planted_tokens") else None
            if planted is not None:
                batches = (Tokens(*planted).map(lambda v, s=s: v[s.start : s.stop]).resize(grid, resize) for s in spans)
            else:
                bar = progress_bar(spans, f"Tokens of {n_images:,} images", len(spans), progress)
                batches = extract(backbone, source.load, bar, grid=grid, resize=resize, device=device, workers=workers)
            with closing(batches):  # at once, also after an error: a backbone is put back in its mode
                fill(sink, batches)
            return cls._of(sink.manifest, sink.rows, sink.path)

        if path is None:
            store = complete(MemorySink(manifest))
        else:
            path = Path(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with locked(path):
                sink = FileSink(path, manifest, overwrite)
                store = cls.open(path) if sink.is_complete else complete(sink)
        return store if device is None else store.to(device)

    @classmethod
    def _of(cls, manifest: Manifest, rows: Tensor | None, path: Path | None) -> TokenStore:
        return cls(
            manifest.layout,
            rows,
            image_ids=manifest.image_ids,
            fingerprint=manifest.fingerprint,
            scales=torch.tensor(manifest.scales),
            chunk_size=manifest.chunk_size,
            path=path,
            dtype=DTYPES[manifest.dtype],
        )

    @classmethod
    def open(
        cls, path: str | Path, expected: Mapping[str, str] | None = None, *, device: str | torch.device | None = None
    ) -> TokenStore:
        """The complete store at ``path``, memory-mapped.

        Args:
            path: the file given to :meth:`build`.
            expected: fingerprint fields it must have; fields not named here are free.
            device: where batches are handed out, see :meth:`to`.

        Raises:
            FileNotFoundError: no store there.
            ValueError: incomplete, truncated, or a fingerprint that differs (which field).
        """
        path = Path(path)
        manifest = Manifest.read(path)
        if expected is not None:
            refuse_differing(path, manifest.fingerprint, expected)
        n_images, whole = len(manifest.image_ids), manifest.whole_images(path)
        if whole < n_images:
            state = "truncated" if whole < manifest.n_complete else "unfinished"
            raise ValueError(
                f"the token store {path} is {state}: {whole:,} of {n_images:,} images are whole. "
                "TokenStore.build with the same arguments keeps their chunks and computes the rest."
            )
        store = cls._of(manifest, None, path)
        return store if device is None else store.to(device)

    @classmethod
    def from_tokens(
        cls,
        batches: Iterable[Tokens],
        image_ids: Sequence[str],
        *,
        dtype: torch.dtype = torch.float32,
        fingerprint: Mapping[str, str] | None = None,
    ) -> TokenStore:
        """A store in memory of tokens that exist already.

        Args:
            batches: tokens of consecutive images, all on one grid.
            image_ids: one name per image.
            dtype: how they are kept, see :meth:`build`.
            fingerprint: what they came from.
        """
        sink = MemorySink(Manifest(_name(dtype), list(image_ids), dict(fingerprint or {}), 0, 1))
        fill(sink, batches)
        return cls._of(sink.manifest, sink.rows, None)

    def transformed(
        self,
        function: Callable[[Tokens], Tokens],
        *,
        dtype: torch.dtype = torch.float32,
        batch_size: int = 256,
        name: str = "transformed",
    ) -> TokenStore:
        """A store in memory of ``function`` of every batch of tokens; widths, layers and grid may change.

        Args:
            function: tokens to tokens, image by image (standardisation, PCA); leaves its input as it is.
            dtype: how the result is kept.
            batch_size: images per call.
            name: recorded in the fingerprint.
        """
        store = self.from_tokens(
            (Tokens(*function(tokens)) for tokens in self.batches(batch_size=batch_size)),
            self.image_ids,
            dtype=dtype,
            fingerprint={**self.fingerprint, "dtype": _name(dtype), "transform": name},
        )
        return store.to(self.device)

    # --------------------------------------------------------------- reading

    @property
    def layers(self) -> tuple[str, ...]:
        """Layer names, in order."""
        return self.layout.layers

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Channels of each layer."""
        return self.layout.layer_widths

    @property
    def grid(self) -> tuple[int, int]:
        """Height and width of every token map."""
        return self.layout.grid

    @property
    def nbytes(self) -> int:
        """Size of the tokens in bytes."""
        return len(self) * self.layout.row * self.dtype.itemsize

    @property
    def is_resident(self) -> bool:
        """Whether the tokens themselves lie on :attr:`device` (else batches are copied there)."""
        return self._rows.device.type == self.device.type

    @property
    def lies_ready(self) -> bool:
        """Whether a batch is one gather in memory: reading it ahead in a thread gains nothing."""
        return self.is_resident and (self.path is None or self.device.type != "cpu")

    def tokens(self, index: Any = None, dtype: torch.dtype = torch.float32) -> Tokens:
        """A batch of tokens on :attr:`device`: local (B, C, H, W), global (B, C), views of one block of memory.

        Args:
            index: image indices (tensor, list, array, slice, mask or one integer), repeats allowed; None means all.
            dtype: of the result. The store's own is read fastest, for a consumer that computes in halves; float16
                cannot hold a layer that had to be scaled down.

        Raises:
            IndexError: an index that is not an image's.
            ValueError: values beyond ``dtype``.
        """
        return self.layout.unpack(self._decoded(index, dtype))

    def packed(self, index: Any = None, dtype: torch.dtype = torch.float32) -> Tensor:
        """A batch of tokens as one tensor (B, n_layers, H * W + 1, C), the global token last, for equal layer widths.

        Args:
            index, dtype: as in :meth:`tokens`.

        Raises:
            ValueError: layers of differing widths, or values beyond ``dtype``.
        """
        widths = set(self.layer_widths)
        if len(widths) > 1:
            raise ValueError(f"packed needs layers of one width, these have {self.layer_widths}; use tokens(index)")
        return self._decoded(index, dtype).unflatten(1, (len(self.layers), self.layout.positions, widths.pop()))

    def features(self, layer: str, pool: str = "mean", index: Any = None) -> Tensor:
        """One layer as a feature row per image, (n, F), float32 on :attr:`device`; reads that layer only.

        Args:
            layer: a layer's name.
            pool: "mean", "global", "flatten" or "both", see :meth:`Tokens.features`.
            index: as in :meth:`tokens`.
        """
        if layer not in self.layers:
            raise ValueError(f"Unknown layer {layer!r}. Known: {', '.join(self.layers)}")
        start, stop = self.layout.spans[layer]
        column = self.layers.index(layer)
        alone = Layout((layer,), (self.layer_widths[column],), self.grid)
        parts = []
        for part in self._parts(index, CHUNK_IMAGES):
            rows = self._gather(part, start, stop, torch.float32)
            if self._scales is not None:
                rows *= self._scale_of(part)[:, column : column + 1]
            parts.append(alone.unpack(rows).features(layer, pool))
        return torch.cat(parts)

    def batches(self, index: Any = None, batch_size: int = 64) -> Iterator[Tokens]:
        """Tokens batch by batch, in the order of ``index``; the next batch is read while this one is used."""
        parts = self._parts(index, batch_size)
        yield from map(self.tokens, parts) if self.lies_ready else read_ahead(self.tokens, parts)

    def statistics(self, index: Any = None, batch_size: int = 32) -> TokenStatistics:
        """Mean and standard deviation of every channel over images (and, for local tokens, positions).

        Args:
            index: as in :meth:`tokens`; give the training images when a model is to be scored on others.
            batch_size: images read at a time.
        """
        count, mean, variance = 0, {}, {}
        for tokens in self.batches(index, batch_size):
            images = len(next(iter(tokens.global_.values())))
            share = images / (count + images)
            count += images
            for kind, layers in enumerate(tokens):
                for layer, values in layers.items():
                    key, dims = (kind, layer), [d for d in range(values.ndim) if d != 1]
                    new_variance, new_mean = torch.var_mean(values.double(), dims, correction=0, keepdim=True)
                    gap = new_mean - mean.get(key, new_mean)
                    # batches are merged by the update of Chan et al. (1979), which does not cancel
                    old = variance.get(key, new_variance)
                    variance[key] = old + share * (new_variance - old) + share * (1 - share) * gap.square()
                    mean[key] = new_mean - (1 - share) * gap
        if not count:
            raise ValueError("statistics of no images: index is empty")
        split = [{layer: d[kind, layer] for layer in self.layers} for d in (mean, variance) for kind in (0, 1)]
        return TokenStatistics(Tokens(*split[:2]), Tokens(*split[2:]).map(torch.sqrt))

    def to(self, device: str | torch.device) -> TokenStore:
        """A store that hands out batches on ``device``; its tokens move there too where they fit.

        Where they do not fit, they stay in host memory (or in the mapped file), and each batch is gathered into
        pinned memory and copied over.
        """
        device = torch.device(device)
        store = copy.copy(self)
        store.device = device
        if device.type == "cpu":
            store._rows = self._map() if self.path is not None else self._rows.cpu()
        elif self._rows.device != device:
            free = free_bytes(device)
            fits = free is None or self.nbytes < 0.9 * free
            log.info(
                "token store: %s, %s free on %s; %s",
                *(size(self.nbytes), "?" if free is None else size(free), device),
                "moved there" if fits else "too large: each batch is copied there from the host",
            )
            if fits:
                store._rows = self._rows.to(device)
        if store._scales is not None:
            store._scales = store._scales.to(device)
        return store

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, i: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"image {i} of a store of {len(self)} images")
        local, global_ = self.tokens([int(i) % len(self)]).map(lambda values: values[0])
        return local, global_

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else f"in {self.path.name}"
        where = where if self.device.type == "cpu" else f"{where}, on {self.device}"
        return (
            f"TokenStore({len(self):,} images, {len(self.layers)} layers, grid {self.grid[0]}x{self.grid[1]}, "
            f"{_name(self.dtype)}, {size(self.nbytes)} {where})"
        )

    def __getstate__(self) -> dict[str, Any]:
        state = self.__dict__ | {"_buffers": None}
        if self.path is not None and self._rows.device.type == "cpu":
            state["_rows"] = None
        return state

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._buffers = Buffers()
        if self._rows is None:
            self._rows = self._map()

    def _map(self) -> Tensor:
        shape = (len(self.image_ids), self.layout.row)
        integers = {2: np.int16, 4: np.int32}[self.dtype.itemsize]  # numpy has no bfloat16
        mapped = np.memmap(self.path, mode="r", dtype=integers, shape=shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "not writable": nothing here writes to the rows
            return torch.from_numpy(mapped).view(self.dtype)

    def _index(self, index: Any) -> Tensor | slice:
        if index is None:
            return slice(0, len(self))
        if isinstance(index, slice):
            start, stop, step = index.indices(len(self))
            return slice(start, stop) if step == 1 else torch.arange(start, stop, step, device=self._rows.device)
        index = torch.as_tensor(index, device=self._rows.device)
        if index.dtype == torch.bool:
            index = index.nonzero()[:, 0]
        if index.is_floating_point() and index.numel():
            raise TypeError(f"image indices are integers, got {index.dtype}")
        index = index.long().reshape(-1)
        if index.device.type == "cpu" and len(index):  # a GPU checks by itself, without making the host wait
            low, high = (int(v) for v in index.aminmax())
            if low < 0 or high >= len(self):
                raise IndexError(f"image indices lie in [0, {len(self) - 1}], got {low if low < 0 else high}")
        return index

    def _parts(self, index: Any, batch_size: int) -> list[Tensor | slice]:
        index = self._index(index)
        if isinstance(index, slice):
            return [slice(i, min(i + batch_size, index.stop)) for i in range(index.start, index.stop, batch_size)]
        return list(index.split(batch_size)) if len(index) else []

    def _gather(self, index: Tensor | slice, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        """Columns of some rows on the device, (B, stop - start), not yet scaled; memory of its own."""
        columns = self._rows[:, start:stop]
        if self.is_resident:
            if isinstance(index, slice) and columns.device.type != "cpu":
                return columns[index].to(dtype, copy=True)
            if isinstance(index, slice):
                return self._buffers.take(index.stop - index.start, stop - start, dtype).copy_(columns[index])
            if columns.device.type != "cpu":
                return columns.index_select(0, index).to(dtype)
            rows = self._buffers.take(len(index), stop - start, dtype)
            if dtype == self.dtype:
                return torch.index_select(columns, 0, index, out=rows)
            for row, i in zip(rows, index.tolist(), strict=True):  # converted on the way: half the traffic of two steps
                row.copy_(columns[i])
            return rows
        n_rows = index.stop - index.start if isinstance(index, slice) else len(index)
        staged = torch.empty(n_rows, stop - start, dtype=self.dtype, pin_memory=self.device.type == "cuda")
        if isinstance(index, slice):
            staged.copy_(columns[index])
        else:
            torch.index_select(columns, 0, index, out=staged)
        # the allocator of pinned memory does not hand this block out again before the copy is done
        return staged.to(self.device, non_blocking=True).to(dtype)

    def _decoded(self, index: Any, dtype: torch.dtype) -> Tensor:
        index = self._index(index)
        if self._scales is None:
            return self._gather(index, 0, self.layout.row, dtype)
        if dtype == torch.float16 and not self._fits_half:
            raise ValueError("a layer of this store reaches beyond float16; read it with dtype=torch.float32")
        rows = self._gather(index, 0, self.layout.row, torch.float32)
        for scale, (start, stop) in zip(self._scale_of(index).T, self.layout.spans.values(), strict=True):
            rows[:, start:stop] *= scale[:, None]
        return rows.to(dtype)

    def _scale_of(self, index: Tensor | slice) -> Tensor:
        """Factor per image and layer, (B, n_layers)."""
        if isinstance(index, slice):
            index = torch.arange(index.start, index.stop)
        return self._scales[index.to(self._scales.device) // self._chunk_size]


def _name(dtype: torch.dtype) -> str:
    names = {value: name for name, value in DTYPES.items()}
    if dtype not in names:
        raise ValueError(f"a token store keeps torch.{', torch.'.join(DTYPES)}; got {dtype}")
    return names[dtype]
