"""Every image's tokens, computed once: in memory, in one memory-mapped file, or on the GPU.

A store is keyed by the *id* of an image, and read by index. It never looks at pixels to find an image, so two images
cannot share tokens, and reading decodes nothing. ``select(ids)`` serves any part of it as a store of its own: subjects
who saw some of the same images share one. One row holds one image: layer after layer, each as (positions, channels)
with the global token as the last position, so that a batch is one gather and, where layers are equally wide,
(B, L, P, C) without a copy.

On disk a store is that array, raw, and beside it a manifest (``<path>.json``) written after every whole chunk: a killed
build goes on from the last one. The manifest carries a fingerprint of backbone, preprocessing and images, and a
checksum of every chunk; a store is refused, never reinterpreted, where one of them differs. Reading refuses incomplete
and damaged stores and repairs nothing by itself; building again makes what is missing or damaged, and that alone.
"""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet._checks import check_word, nearest
from brainnet._files import sha256
from brainnet._notebook import table_html
from brainnet._work import progress as progress_bar
from brainnet._work import read_ahead, size
from brainnet.store.checks import ChunkCheck
from brainnet.store.extraction import extract
from brainnet.store.file import FileSink, MemorySink, fill
from brainnet.store.identity import Source, choose_preprocessing, fingerprint_of
from brainnet.store.layout import DTYPES, Layout, dtype_name
from brainnet.store.manifest import CHUNK_IMAGES, Manifest, refuse_differing, refuse_foreign
from brainnet.store.rows import Index, Rows
from brainnet.tokens import RESIZE_MODES, Backbone, Preprocessing, RunningMoments, Tokens

__all__ = ["TokenStatistics", "TokenStore", "choose_preprocessing", "fingerprint_of"]


class TokenStatistics(NamedTuple):
    """Mean and standard deviation per layer and channel: local (1, C, 1, 1) and global (1, C), float64.

    >>> tokens = Tokens({"conv": torch.arange(8.0).view(2, 1, 2, 2)}, {"conv": torch.tensor([[1.0], [3.0]])})
    >>> found = TokenStore.from_tokens([tokens], ["cat", "dog"]).statistics()
    >>> found.mean.local["conv"].item(), found.mean.global_["conv"].item(), found.std.global_["conv"].item()
    (3.5, 2.0, 1.0)
    """

    mean: Tokens
    std: Tokens


class TokenStore(torch.utils.data.Dataset):
    """The tokens of a set of images, by image index.

    Make one with :meth:`build`, :meth:`open` or :meth:`from_tokens`. It is a dataset of ``(local, global)`` pairs that
    works with a plain ``DataLoader`` (also with workers: a mapped file is reopened by path, not copied), but
    :meth:`tokens` with a batch of indices is much faster.

    Attributes:
        layers, layer_widths, grids: what one image's tokens are.
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
    >>> store.select(["3", "1"])
    TokenStore(2 images, 1 layers, grid 4x4, float16, 204 B in memory)
    """

    def __init__(self, layout: Layout, rows: Rows, image_ids: Sequence[str], fingerprint: Mapping[str, str]):
        self.layout, self.image_ids, self.fingerprint = layout, list(image_ids), dict(fingerprint)
        self._rows = rows
        self._places: dict[str, int | None] | None = None  # id to index; None where several images have it
        # what float16 can hold of a scaled layer is decided by its scale alone
        self._fits_half = rows.scales is None or bool((rows.scales <= 1).all())

    # ---------------------------------------------------------------- making

    @classmethod
    def build(
        cls,
        backbone: Backbone,
        images: Any,
        *,
        grid: tuple[int, int] | None = (8, 8),
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
        same time (the ranks of a distributed run, jobs on several machines) share the work, chunk by chunk; what one
        leaves behind when it is killed, the others make. The file has the same bytes whoever makes them.

        Args:
            backbone: any object with ``get_tokens``. A module is put in eval mode while it works, then put back.
            images: a response dataset; a folder, a zip or a list of paths or PIL images; or a tensor (n, 3, H, W)
                already preprocessed. For a backbone that reads texts, sounds or videos, a set of such stimuli or what
                makes one, see ``brainnet.stimuli``; a grid of sequences is (1, steps in time). A source of images of
                another kind has ``image_ids``, ``load_image(i)`` and
                ``image(i, preprocessing)``, and may have ``signature()``, a text that changes with any picture (else
                all are decoded for it), and ``known_tokens(fingerprint)``, the tokens of all images in order, for
                which the backbone is then not asked, or None where its own are not those the fingerprint asks for.
            grid: token grid (height, width) kept per layer; None keeps every layer's own, exactly as it came.
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
            BlockingIOError: a store at ``path`` is to be replaced while another process builds it.
        """
        if batch_size < 1 or (chunk_size is not None and chunk_size < 1):
            raise ValueError(f"batch_size and chunk_size are at least 1, got {batch_size} and {chunk_size}.")
        check_word("resize mode", resize, RESIZE_MODES)
        if path is not None:
            refuse_foreign(Path(path))
        source = Source.read(images, backbone, preprocessing)
        n_images = len(source.ids)
        if not n_images:
            raise ValueError("there are no images to build a token store of")
        if grid is not None:
            grid = (int(grid[0]), int(grid[1]))
            if min(grid) < 1:
                raise ValueError(f"grid must be (height, width) of at least 1, got {grid}.")
        fingerprint = {
            **fingerprint_of(backbone),
            "preprocessing": source.preprocessing,
            "grid": "native" if grid is None else f"{grid[0]}x{grid[1]}",
            "resize": "none" if grid is None else resize,
            "dtype": dtype_name(dtype),
            "image_ids": sha256("\n".join(source.ids)),
            "images": source.signature,
        }
        manifest = Manifest(dtype_name(dtype), source.ids, fingerprint, chunk_size or 0, batch_size)

        def make(sink: MemorySink | FileSink) -> None:
            batches = [
                range(i, min(i + batch_size, span.stop))
                for span in sink.missing
                for i in range(span.start, span.stop, batch_size)
            ]
            known = images.known_tokens(fingerprint) if hasattr(images, "known_tokens") else None
            if known is None:
                bar = progress_bar(batches, f"Tokens of {n_images:,} images", len(batches), progress)
                own = filter(sink.take, bar)
                tokens = extract(backbone, source.load, own, grid=grid, resize=resize, device=device, workers=workers)
            else:
                tokens = (Tokens(*known).map(lambda v, b=b: v[b.start : b.stop]) for b in batches if sink.take(b))
                tokens = (part if grid is None else part.resize(grid, resize) for part in tokens)
            with closing(tokens):  # at once, also after an error: a backbone is put back in its mode
                fill(sink, tokens)

        if path is None:
            sink = MemorySink(manifest)
            make(sink)
            store = cls._of(sink.manifest, sink.rows, None)
        else:
            path = Path(path)
            path.parent.mkdir(parents=True, exist_ok=True)
            with closing(FileSink(path, manifest, overwrite)) as sink:
                made = bool(sink.missing)
                while sink.missing:  # again, where another process has ended before its chunk was there
                    make(sink)
                    sink.wait()
            store = cls._of(sink.manifest, None, path)
            if made and sink.alone:  # written now, or read through before the rest was made
                store._rows.check.take_as_whole()
        return store if device is None else store.to(device)

    @classmethod
    def _of(cls, manifest: Manifest, values: Tensor | None, path: Path | None) -> TokenStore:
        """The store that a manifest describes, of rows in memory or in a file."""
        n_images, scales = len(manifest.image_ids), torch.tensor(manifest.scales)
        scales = None if bool((scales == 1).all()) else scales.float().repeat_interleave(manifest.chunk_size, 0)
        rows = Rows(
            values,
            (n_images, manifest.layout.row),
            DTYPES[manifest.dtype],
            None if scales is None else scales[:n_images],
            None if path is None else ChunkCheck(path, manifest),
        )
        return cls(manifest.layout, rows, manifest.image_ids, manifest.fingerprint)

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
            ValueError: incomplete, truncated, a damaged manifest, or a fingerprint that differs (which field). Damaged
                tokens are told when they are first read.
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
        sink = MemorySink(Manifest(dtype_name(dtype), list(image_ids), dict(fingerprint or {}), 0, 1))
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
            function: tokens to tokens, image by image (standardization, PCA); leaves its input as it is.
            dtype: how the result is kept.
            batch_size: images per call.
            name: recorded in the fingerprint.
        """
        store = self.from_tokens(
            (Tokens(*function(tokens)) for tokens in self.batches(batch_size=batch_size)),
            self.image_ids,
            dtype=dtype,
            fingerprint={**self.fingerprint, "dtype": dtype_name(dtype), "transform": name},
        )
        return store.to(self.device)

    def select(self, ids: Iterable[str]) -> TokenStore:
        """The store of some of the images, in any order, repeats allowed: a view, for which no token is copied.

        Args:
            ids: names among :attr:`image_ids`.

        Raises:
            ValueError: an id that the store does not have, or that several of its images share; names it.
        """
        if self._places is None:
            self._places = {}
            for place, name in enumerate(self.image_ids):
                self._places[name] = None if name in self._places else place
        ids = [str(name) for name in ids]
        absent = [name for name in ids if name not in self._places]
        if absent:
            close = nearest(absent[0], self.image_ids)
            raise ValueError(
                f"the token store has no tokens of {len(absent)} of these {len(ids)} images, the first is "
                f"{absent[0]!r}." + (f" Did you mean {close!r}?" if close else "")
            )
        places = [self._places[name] for name in ids]
        if None in places:
            raise ValueError(f"several images of the token store are called {ids[places.index(None)]!r}: use indices.")
        rows = self._rows.pick(torch.tensor(places, dtype=torch.long))
        return TokenStore(self.layout, rows, ids, {**self.fingerprint, "image_ids": sha256("\n".join(ids))})

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
        """Height and width of every token map.

        Raises:
            ValueError: layers that each have their own, see :attr:`grids`.
        """
        if len(set(self.layout.grids)) > 1:
            raise ValueError(f"the layers of this store have grids of their own: {self.grids}. Build it with grid=.")
        return self.layout.grids[0]

    @property
    def grids(self) -> dict[str, tuple[int, int]]:
        """Layer to height and width of its token maps."""
        return dict(zip(self.layers, self.layout.grids, strict=True))

    @property
    def dtype(self) -> torch.dtype:
        """How the tokens are stored."""
        return self._rows.dtype

    @property
    def device(self) -> torch.device:
        """Where batches are handed out."""
        return self._rows.device

    @property
    def path(self) -> Path | None:
        """The mapped file; None for tokens in memory."""
        return self._rows.path

    @property
    def nbytes(self) -> int:
        """Size of the tokens in bytes."""
        return len(self) * self.layout.row * self.dtype.itemsize

    @property
    def is_resident(self) -> bool:
        """Whether the tokens themselves lie on :attr:`device` (else batches are copied there)."""
        return self._rows.is_resident

    @property
    def lies_ready(self) -> bool:
        """Whether a batch is one gather in memory, so that reading it ahead in a thread gains nothing."""
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
            ValueError: layers of differing widths or grids, or values beyond ``dtype``.
        """
        shapes = set(zip(self.layout.positions, self.layer_widths, strict=True))
        if len(shapes) > 1:
            raise ValueError(
                f"packed needs layers of one width and one grid, these have {self.layer_widths} and "
                f"{self.layout.grids}; use tokens(index)"
            )
        return self._decoded(index, dtype).unflatten(1, (len(self.layers), *shapes.pop()))

    def features(self, layer: str, pool: str = "mean", index: Any = None) -> Tensor:
        """One layer as a feature row per image, (n, F), float32 on :attr:`device`; reads that layer only.

        Args:
            layer: a layer's name.
            pool: one of ``brainnet.tokens.POOLS``, see :meth:`Tokens.features`.
            index: as in :meth:`tokens`.
        """
        check_word("layer", layer, self.layers)
        (start, stop), column = self.layout.spans[layer], self.layers.index(layer)
        alone, parts = self.layout.alone(layer), []
        for part in self._rows.parts(index, CHUNK_IMAGES):
            rows = self._rows.gather(part, start, stop, torch.float32)
            if self._rows.scales is not None:
                rows *= self._rows.scales_of(part)[:, column : column + 1]
            parts.append(alone.unpack(rows).features(layer, pool))
        return torch.cat(parts)

    def batches(self, index: Any = None, batch_size: int = 64) -> Iterator[Tokens]:
        """Tokens batch by batch, in the order of ``index``; the next batch is read while this one is used."""
        parts = self._rows.parts(index, batch_size)
        read = lambda part: self.layout.unpack(self._read(part, torch.float32))  # noqa: E731
        yield from map(read, parts) if self.lies_ready else read_ahead(read, parts)

    def statistics(self, index: Any = None, batch_size: int = 32) -> TokenStatistics:
        """Mean and standard deviation of every channel over images (and, for local tokens, positions).

        Args:
            index: as in :meth:`tokens`; give the training images when a model is to be scored on others.
            batch_size: images read at a time.
        """
        moments = [{layer: RunningMoments() for layer in self.layers} for _ in range(2)]
        for tokens in self.batches(index, batch_size):
            for layer in self.layers:
                moments[0][layer].update(tokens.local[layer].movedim(1, -1).flatten(0, 2))
                moments[1][layer].update(tokens.global_[layer])
        if not moments[0][self.layers[0]].count:
            raise ValueError("statistics of no images: index is empty")
        shapes = ((1, -1, 1, 1), (1, -1))
        mean = [{k: m.mean.view(shape) for k, m in part.items()} for part, shape in zip(moments, shapes, strict=True)]
        sd = [{k: m.sd().view(shape) for k, m in part.items()} for part, shape in zip(moments, shapes, strict=True)]
        return TokenStatistics(Tokens(*mean), Tokens(*sd))

    def to(self, device: str | torch.device) -> TokenStore:
        """A store that hands out batches on ``device``; its tokens move there too where they fit.

        Where they do not fit, they stay in host memory (or in the mapped file), and each batch is gathered into
        pinned memory and copied over.
        """
        store = copy.copy(self)
        store._rows = self._rows.to(torch.device(device))
        return store

    def __len__(self) -> int:
        return len(self.image_ids)

    def __getitem__(self, i: int) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        if not -len(self) <= i < len(self):
            raise IndexError(f"image {i} of a store of {len(self)} images")
        local, global_ = self.tokens([int(i) % len(self)]).map(lambda values: values[0])
        return local, global_

    def _repr_html_(self) -> str:
        """What a notebook shows: images, layers, size, and which network made the tokens."""
        facts = [("images", len(self)), ("network", self.fingerprint.get("name")), ("kept as", dtype_name(self.dtype)),
                 ("size", size(self.nbytes)), ("where", "memory" if self.path is None else self.path.name)]  # fmt: skip
        widths, grids = self.layer_widths, self.layout.grids
        rows = [(name, str(width), f"{height} x {wide}") for name, width, (height, wide) in
                zip(self.layers, widths, grids, strict=True)]  # fmt: skip
        return table_html("TokenStore", facts, ("layer", "channels", "grid"), rows)

    def __repr__(self) -> str:
        where = "in memory" if self.path is None else f"in {self.path.name}"
        where = where if self.device.type == "cpu" else f"{where}, on {self.device}"
        grids = dict.fromkeys(f"{height}x{width}" for height, width in self.layout.grids)
        return (
            f"TokenStore({len(self):,} images, {len(self.layers)} layers, grid {' '.join(grids)}, "
            f"{dtype_name(self.dtype)}, {size(self.nbytes)} {where})"
        )

    def _decoded(self, index: Any, dtype: torch.dtype) -> Tensor:
        return self._read(self._rows.index(index), dtype)

    def _read(self, places: Index, dtype: torch.dtype) -> Tensor:
        """Rows (B, row) at some places, scaled back."""
        rows = self._rows
        if rows.scales is None:
            return rows.gather(places, 0, self.layout.row, dtype)
        if dtype == torch.float16 and not self._fits_half:
            raise ValueError("a layer of this store reaches beyond float16; read it with dtype=torch.float32")
        values = rows.gather(places, 0, self.layout.row, torch.float32)
        for scale, (start, stop) in zip(rows.scales_of(places).T, self.layout.spans.values(), strict=True):
            values[:, start:stop] *= scale[:, None]
        return values.to(dtype)
