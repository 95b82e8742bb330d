"""Rows of numbers in memory, in a mapped file or on a GPU: which of them are served, and how a batch is gathered."""

from __future__ import annotations

import copy
import logging
import threading
import warnings
import weakref
from collections import deque
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._work import free_bytes, size
from brainnet.store.checks import ChunkCheck

log = logging.getLogger("brainnet.store")

Index = Tensor | slice


class Rows:
    """The encoded rows of a token store.

    Args:
        values: (n_rows, n_columns) in the stored dtype; None maps the file of ``check``.
        shape: (n_rows, n_columns).
        dtype: of the stored numbers.
        scales: (n_rows, n_layers) factors to multiply back; None where all are 1.
        check: the chunks of a mapped file, which are verified when they are first read; None for rows in memory.

    Attributes:
        picked: (n,) rows that are served, in this order; None serves all in their own order.
        device: where batches are handed out.
    """

    def __init__(
        self,
        values: Tensor | None,
        shape: tuple[int, int],
        dtype: torch.dtype,
        scales: Tensor | None = None,
        check: ChunkCheck | None = None,
    ):
        self.shape, self.dtype, self.check = shape, dtype, check
        self.device = torch.device("cpu")
        self.picked: Tensor | None = None
        self.scales = scales
        self.values = self._mapped() if values is None else values
        self._buffers = Buffers()

    @property
    def path(self) -> Path | None:
        """The mapped file; None for rows in memory."""
        return None if self.check is None else self.check.path

    @property
    def is_resident(self) -> bool:
        """Whether the rows themselves lie on :attr:`device` (else batches are copied there)."""
        return self.values.device.type == self.device.type

    def __len__(self) -> int:
        return self.shape[0] if self.picked is None else len(self.picked)

    def pick(self, places: Tensor) -> Rows:
        """A view that serves the rows at ``places`` alone, in this order; nothing is copied."""
        view = copy.copy(self)
        places = places.to(self.values.device)
        view.picked = places if self.picked is None else self.picked[places]
        return view

    def to(self, device: torch.device) -> Rows:
        """The same rows handed out on ``device``; they move there too where they fit.

        A picked part is gathered on the way, so that what nobody asks for takes no memory there.
        """
        moved = copy.copy(self)
        moved.device = device
        if device.type == "cpu":
            moved.values = self.values.cpu() if self.path is None else self._mapped()
            moved.picked = None if self.picked is None else self.picked.cpu()
        elif self.values.device != device:
            n_bytes = len(self) * self.shape[1] * self.dtype.itemsize
            free = free_bytes(device)
            fits = free is None or n_bytes < 0.9 * free
            log.info(
                "token store: %s, %s free on %s; %s",
                *(size(n_bytes), "?" if free is None else size(free), device),
                "moved there" if fits else "too large: each batch is copied there from the host",
            )
            if fits:
                self._verify(slice(0, len(self)) if self.picked is None else self.picked)
                if self.picked is None:
                    moved.values = self.values.to(device)
                else:
                    moved.values, moved.picked, moved.check = self.values[self.picked].to(device), None, None
                    moved.shape = tuple(moved.values.shape)
                    moved.scales = None if self.scales is None else self.scales[self.picked.to(self.scales.device)]
        if moved.scales is not None:
            moved.scales = moved.scales.to(device)
        return moved

    def index(self, index: Any) -> Index:
        """Places in :attr:`values` of the rows that a caller means by tensor, list, array, slice, mask or integer.

        Raises:
            IndexError: an index that is not a row's.
            TypeError: indices that are no integers.
        """
        n = len(self)
        if index is None:
            index = slice(0, n)
        elif isinstance(index, slice):
            start, stop, step = index.indices(n)
            index = slice(start, stop) if step == 1 else torch.arange(start, stop, step, device=self.values.device)
        else:
            index = torch.as_tensor(index, device=self.values.device)
            if index.dtype == torch.bool:
                index = index.nonzero()[:, 0]
            if index.is_floating_point() and index.numel():
                raise TypeError(f"image indices are integers, got {index.dtype}")
            index = index.long().reshape(-1)
            if index.device.type == "cpu" and len(index):  # a GPU checks by itself, without making the host wait
                low, high = (int(v) for v in index.aminmax())
                if low < 0 or high >= n:
                    raise IndexError(f"image indices lie in [0, {n - 1}], got {low if low < 0 else high}")
        return index if self.picked is None else self.picked[index]

    def parts(self, index: Any, batch_size: int) -> list[Index]:
        """The places of :meth:`index`, some at a time."""
        index = self.index(index)
        if isinstance(index, slice):
            return [slice(i, min(i + batch_size, index.stop)) for i in range(index.start, index.stop, batch_size)]
        return list(index.split(batch_size)) if len(index) else []

    def gather(self, index: Index, start: int, stop: int, dtype: torch.dtype) -> Tensor:
        """Columns of the rows at some places on the device, (B, stop - start), not yet scaled; memory of its own."""
        self._verify(index)
        columns = self.values[:, start:stop]
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

    def scales_of(self, index: Index) -> Tensor:
        """Factor per row and layer, (B, n_layers)."""
        return self.scales[index if isinstance(index, slice) else index.to(self.scales.device)]

    def _verify(self, index: Index) -> None:
        if self.check is not None and self.check.unread and self.values.device.type == "cpu":
            self.check.verify(index, self.values)

    def _mapped(self) -> Tensor:
        integers = {2: np.int16, 4: np.int32}[self.dtype.itemsize]  # numpy has no bfloat16
        mapped = np.memmap(self.path, mode="r", dtype=integers, shape=self.shape)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "not writable": nothing here writes to the rows
            return torch.from_numpy(mapped).view(self.dtype)

    def __copy__(self) -> Rows:
        twin = object.__new__(Rows)  # a file stays mapped once
        twin.__dict__.update(self.__dict__)
        return twin

    def __getstate__(self) -> dict[str, Any]:
        mapped = self.path is not None and self.values.device.type == "cpu"
        return self.__dict__ | {"_buffers": None} | ({"values": None} if mapped else {})

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._buffers = Buffers()
        if self.values is None:
            self.values = self._mapped()


class Buffers:
    """Memory for batches, handed out again once nothing refers to it.

    Fresh memory costs more than what is written to it: the kernel clears every page first, which took four fifths of
    the time of a read. Each tensor handed out stands on an array of its own, a *lease* of a block of memory. The
    tensor, every view of it and every graph that saved it keep the lease alive; when it ends, the block is free.
    """

    kept, largest = 4, 64 * 2**20  # blocks, and bytes of each: what is larger is rare, and would be missed elsewhere

    def __init__(self):
        self._free: deque[np.ndarray] = deque(maxlen=self.kept)  # the oldest is dropped
        self._lock = threading.Lock()

    def take(self, n_rows: int, n_columns: int, dtype: torch.dtype) -> Tensor:
        """An uninitialized tensor (n_rows, n_columns) on the CPU."""
        n_bytes = n_rows * n_columns * dtype.itemsize
        if not 0 < n_bytes <= self.largest:
            return torch.empty(n_rows, n_columns, dtype=dtype)
        lease = self._block(n_bytes).view()
        # the end of a lease may come in any thread, and within any line of this class: appending takes no lock
        weakref.finalize(lease, self._free.append, lease.base).atexit = False
        return torch.from_numpy(lease).view(dtype).view(n_rows, n_columns)

    def _block(self, n_bytes: int) -> np.ndarray:
        with self._lock:
            for _ in range(len(self._free)):
                block = self._free.popleft()
                if block.nbytes == n_bytes:
                    return block
                self._free.append(block)
        return np.empty(n_bytes, np.uint8)
