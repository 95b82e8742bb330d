"""Whether the bytes of a token file are those that were stored: a checksum per chunk, tested when it is first read."""

from __future__ import annotations

import zlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import sha256
from brainnet.store.manifest import Manifest

_verified: dict[tuple, set[int]] = {}  # chunks found whole in this process, by file (path, size, time) and checksums


def checksum(values: Tensor) -> str:
    """CRC-32 of a tensor's bytes, as text."""
    return f"{zlib.crc32(values.contiguous().view(torch.uint8).numpy().data):08x}"


class ChunkCheck:
    """Which chunks of a token file are known to be what was stored; each is read through once in a process.

    Args:
        path: the file.
        manifest: of a complete or partial store.
    """

    def __init__(self, path: Path, manifest: Manifest):
        self.path, self.chunk_size, self.checksums = path.absolute(), manifest.chunk_size, manifest.checksums
        self.n_images, self._known = manifest.n_complete, self._look_up()

    def _look_up(self) -> set[int]:
        stat = self.path.stat()
        key = (str(self.path), stat.st_size, stat.st_mtime_ns, stat.st_ino, sha256(*self.checksums))
        return _verified.setdefault(key, set())

    @property
    def unread(self) -> bool:
        """Whether any chunk is still to be verified."""
        return len(self._known) < len(self.checksums)

    def take_as_whole(self) -> None:
        """Trusts every chunk: this process has just written them."""
        self._known.update(range(len(self.checksums)))

    def damaged(self, rows: Tensor, chunks: Iterable[int] | None = None) -> list[int]:
        """The chunks, of all or some, whose numbers are not those that were stored.

        Args:
            rows: (n_images, row), the file mapped.
            chunks: numbers of the chunks to look at.
        """
        bad = []
        for chunk in range(len(self.checksums)) if chunks is None else chunks:
            if chunk in self._known:
                continue
            first = chunk * self.chunk_size
            if checksum(rows[first : min(first + self.chunk_size, self.n_images)]) == self.checksums[chunk]:
                self._known.add(chunk)
            else:
                bad.append(chunk)
        return bad

    def verify(self, index: Tensor | slice, rows: Tensor) -> None:
        """Reads the chunks of some rows through, where that has not been done.

        Raises:
            ValueError: one of them is damaged; names it.
        """
        if isinstance(index, slice):
            chunks = range(index.start // self.chunk_size, -(-index.stop // self.chunk_size))
        else:
            chunks = (index // self.chunk_size).unique().tolist()
        bad = self.damaged(rows, chunks)
        if bad:
            first = bad[0] * self.chunk_size
            raise ValueError(
                f"the token store {self.path} is damaged: images {first} to "
                f"{min(first + self.chunk_size, self.n_images) - 1} (chunk {bad[0]}) are not what was stored. "
                "TokenStore.build with the same arguments makes such chunks again, and them alone."
            )

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_known": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        self._known = self._look_up()


def damaged_chunks(path: Path, manifest: Manifest) -> list[int]:
    """The chunks that a manifest counts and whose bytes in ``path`` are not those that were stored."""
    whole = (manifest.n_complete, manifest.row_bytes)
    rows = torch.from_numpy(np.memmap(path, mode="c", dtype=np.uint8, shape=whole))  # "c": torch asks for writable
    return ChunkCheck(path, manifest).damaged(rows)
