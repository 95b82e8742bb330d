"""Features read in blocks, scaled by their training statistics, and the kernels between images they make.

Features may be memory-mapped and larger than memory: they are only ever sliced, and a block is handed back before the
next is read. Sums over features or images are in float64 beyond a few thousand terms.
"""

from __future__ import annotations

import mmap
from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

SUM_AT_ONCE = 4096  # terms added in the data's precision before float64 takes over
_ROWS_AT_ONCE = 256  # of a kernel; below its diagonal only, where it is symmetric
_COLUMNS_AT_ONCE = 512  # of features, in float64
_LARGEST_EXACT_INTEGER = 2**24  # of float32
_FAR = 10.0  # means beyond this many times a feature's range lose digits that count when they are rounded to float32


class Features:
    """(n_images, n_features) read in blocks, cast to one dtype on one device.

    Args:
        array: a tensor, a numpy array (memory-mapped or not), an h5py data set: anything with ``shape`` that gives
            slices. Pages of a memory map are handed back after each block, so reading all of it stays small.
        dtype, device: of the blocks.
    """

    def __init__(self, array: Any, dtype: torch.dtype, device: torch.device):
        array = array_of(array, "features")
        shape = tuple(array.shape)
        if len(shape) != 2:
            raise ValueError(
                f"features must be (n_images, n_features), got {shape}. Reshape your data: X[:, None] for one feature, "
                "X[None] for one image."
            )
        if not shape[1]:
            raise ValueError(f"features have 0 feature(s) (shape={shape}) while a minimum of 1 is required.")
        if not shape[0]:
            raise ValueError(f"features must be (n_images, n_features), neither zero; got {shape}.")
        self.array, self.dtype, self.device = array, dtype, device
        self.width = array.shape[1]
        self._map = _memory_map(array)
        self.held = self._map is None and isinstance(array, np.ndarray | Tensor)

    def __len__(self) -> int:
        return self.array.shape[0]

    def columns(self, memory: int, most: int | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of at most ``most`` features for all images, (n_images, b), of at most ``memory`` bytes."""
        step = max(1, memory // (len(self) * self.dtype.itemsize))
        step = step if most is None else min(step, most)
        for start in range(0, self.width, step):
            part = slice(start, min(self.width, start + step))
            yield part, self.read(columns=part)

    def rows(self, memory: int, most: int | None = None, index: Tensor | None = None) -> Iterator[tuple[slice, Tensor]]:
        """Blocks of at most ``most`` images (b, n_features) and ``memory`` bytes, and their place in ``index``."""
        index = torch.arange(len(self)) if index is None else index
        step = max(1, memory // (self.width * self.dtype.itemsize))
        step = step if most is None else min(step, most)
        for start in range(0, len(index), step):
            place = slice(start, min(len(index), start + step))
            rows = index[place]
            first, last = int(rows[0]), int(rows[-1])
            if last - first + 1 == len(rows) and bool((rows.diff() == 1).all()):
                yield place, self.read(slice(first, last + 1))
            else:
                yield place, self.read(rows if isinstance(self.array, Tensor) else rows.numpy())

    def read(self, rows: Any = slice(None), columns: slice = slice(None)) -> Tensor:
        """A block, once it holds finite numbers only."""
        block = self.array[rows, columns]
        if not isinstance(block, Tensor):
            block = np.asarray(block, dtype=_NUMPY[self.dtype])
            usable = block.flags.writeable and all(step >= 0 for step in block.strides)
            block = torch.from_numpy(block if usable else block.copy())
        block = block.to(self.device, self.dtype)
        if not torch.stack(block.aminmax()).isfinite().all():  # of NaN too, and without a copy of the block
            bad = (~block.isfinite().all(1)).nonzero()[:, 0].tolist()
            where = torch.arange(len(self))[rows][bad[:5]].tolist()
            raise ValueError(
                f"features hold NaN or infinite values in {len(bad)} images (first: {where}); leave those images out "
                "of features and responses, or fill them."
            )
        if self._map is not None and hasattr(self._map, "madvise"):
            self._map.madvise(mmap.MADV_DONTNEED)  # else every page read would stay resident
        return block


class Scaling(NamedTuple):
    """Mean and SD (n_features,) of the training images, float64; ``sd`` is None where features keep their scale.

    ``rest`` is what rounding takes from the means of features that are far from zero for how much they change; None
    where no feature is.
    """

    mean: Tensor
    sd: Tensor | None
    rest: Tensor | None = None

    def __call__(self, block: Tensor, part: slice = slice(None)) -> Tensor:
        """A block of features, centered and scaled."""
        block = block - self.mean[part].to(block.dtype)
        if self.rest is not None:
            block -= self.rest[part].to(block.dtype)
        return block if self.sd is None else block.div_(self.sd[part].to(block.dtype))


def measure(features: Features, centre: bool, scale: bool, memory: int) -> Scaling:
    """The scaling of these images; a constant feature has SD infinity, and so becomes zero."""
    mean = torch.zeros(features.width, dtype=torch.float64, device=features.device)
    sd = torch.ones_like(mean) if scale else None
    rest, any_far = torch.zeros_like(mean), False
    if centre or scale:
        for part, block in features.columns(memory // 4):
            places = torch.arange(part.start, part.stop, device=block.device).split(_COLUMNS_AT_ONCE)
            for place, some in zip(places, block.split(_COLUMNS_AT_ONCE, dim=1), strict=True):
                some = some.double()
                mean[place] = some.mean(0)
                low, high = some.aminmax(dim=0)
                far = mean[place].abs() > _FAR * (high - low)
                any_far |= bool(far.any())
                rest[place] = torch.where(far, mean[place] - mean[place].to(features.dtype).double(), 0.0)
                if sd is not None:
                    spread = (some - mean[place]).square_().mean(0).sqrt()
                    sd[place] = spread.masked_fill(spread <= 1e-12 * mean[place].abs(), torch.inf)
    return Scaling(mean, sd, rest if any_far else None)


def kernel_between(new: Features, fitted: Features, scaling: Scaling, memory: int) -> Tensor:
    """Products (n_new, n_fitted) of two sets of images in float64, both scaled alike and read once in step."""
    kernel = torch.zeros(len(new), len(fitted), dtype=torch.float64, device=fitted.device)
    at_once = _COLUMNS_AT_ONCE if new.held and fitted.held else SUM_AT_ONCE  # few large reads of a file
    step = max(1, min(at_once, memory // (3 * (len(new) + len(fitted)) * fitted.dtype.itemsize)))
    row_blocks = [slice(i, min(i + _ROWS_AT_ONCE, len(new))) for i in range(0, len(new), _ROWS_AT_ONCE)]

    def add(part: slice) -> None:
        left = scaling(fitted.read(columns=part), part)
        right = left if new is fitted else scaling(new.read(columns=part), part)
        for rows in row_blocks:
            known = slice(0, rows.stop if new is fitted else len(fitted))
            kernel[rows, known].add_(right[rows] @ left[known].T)

    for start in range(0, fitted.width, step):
        add(slice(start, min(fitted.width, start + step)))
    if new is fitted:
        for rows in row_blocks:
            kernel[: rows.start, rows] = kernel[rows, : rows.start].T
    return kernel


_NUMPY = {torch.float32: np.float32, torch.float64: np.float64}


def _memory_map(array: Any) -> mmap.mmap | None:
    """The map beneath an array, where its pages may be dropped: not where they hold changes of their own (mode "c")."""
    mode = None
    while array is not None and not isinstance(array, mmap.mmap):
        mode = getattr(array, "mode", mode)
        array = getattr(array, "base", None)
    return array if mode in ("r", "r+") else None


def array_of(values: Any, what: str) -> Any:
    """Something to slice: a tensor, an array, or what a file gives; a table or a list becomes an array.

    Raises:
        ValueError: complex numbers, or a sparse matrix; names ``what`` it is.
        TypeError: objects that are no numbers.

    >>> array_of([[1, 2]], "features").shape
    (1, 2)
    """
    if hasattr(values, "tocsr") or getattr(values, "is_sparse", False):
        raise ValueError(f"{what} are a sparse matrix, and sparse input is not supported: give {what}.toarray().")
    if isinstance(values, Tensor):
        _refuse_complex(values.is_complex(), what)
        return values.detach()
    if hasattr(values, "to_numpy"):  # a table
        values = values.to_numpy()
    if not hasattr(values, "shape") or not hasattr(values, "dtype"):
        values = np.asarray(values)
    kind = np.dtype(values.dtype).kind
    _refuse_complex(kind == "c", what)
    if kind in "OUS":
        values = np.asarray(values, dtype=float)
    if what == "responses":  # these are held as a tensor: none has other byte orders, or steps that go back
        values = np.asarray(values)
        values = np.array(values.astype(values.dtype.newbyteorder("="), copy=False), order="C")
        values = values.astype({"u": np.int64, "b": np.float32}.get(kind, values.dtype), copy=False)
    return values


def _refuse_complex(found: bool, what: str) -> None:
    if found:
        raise ValueError(f"Complex data not supported: give the real and the imaginary part of {what} apart.")


def dtype_of(X: Any) -> torch.dtype:
    """float64 where the features are, or hold integers that float32 cannot; else float32."""
    dtype = getattr(X, "dtype", None)
    if isinstance(X, Tensor | np.ndarray) and str(dtype).removeprefix("torch.").startswith(("int", "uint")) and len(X):
        return torch.float64 if abs(X).max() > _LARGEST_EXACT_INTEGER else torch.float32
    return torch.float64 if dtype in (torch.float64, np.dtype("float64")) or str(dtype) == ">f8" else torch.float32
