"""An array file whose rows are written at their last places, in any order, before all of them are there."""

from __future__ import annotations

import contextlib
import hashlib
import os
from pathlib import Path
from typing import Any

from brainnet.features.formats import header_of_npy


class ArrayFile:
    """A ``.npy`` file of single-precision rows, which is filled piece by piece; what it holds already stays.

    Its bytes are hashed as they are written, for as long as they come in order from the first row on.

    Args:
        path: of the file, made at the first piece; never a link.
        n_rows, width: shape of the whole array.

    >>> import tempfile
    >>> import numpy as np
    >>> array = ArrayFile(Path(tempfile.mkdtemp()) / "rows.npy", 2, 3)
    >>> array.write(0, np.ones((1, 3), "<f4").data)
    >>> array.write(1, np.zeros((1, 3), "<f4").data)
    >>> array.close()
    >>> np.load(array.path).tolist(), array.is_whole()
    ([[1.0, 1.0, 1.0], [0.0, 0.0, 0.0]], True)
    """

    def __init__(self, path: Path, n_rows: int, width: int):
        self.path, self.n_rows, self.width = path, n_rows, width
        self._header = header_of_npy((n_rows, width))
        self._file: Any = None
        self._hash, self._hashed = hashlib.sha256(), 0

    def offset(self, row: int) -> int:
        """The place of a row in the file, in bytes."""
        return len(self._header) + 4 * row * self.width

    def write(self, row: int, raw: Any) -> None:
        """Writes the bytes of some rows, of which ``row`` is the first."""
        if self._file is None:
            self._file = _opened(self.path)
            self._put(0, self._header)
        self._put(self.offset(row), raw)

    def sync(self) -> None:
        """Brings what was written since the file was opened, and what others wrote into it, onto the disk."""
        if self._file is not None:
            self._file.flush()
            os.fsync(self._file.fileno())

    def close(self) -> None:
        """Closes the file, which is opened again where more is written; what counts is on the disk by then."""
        if self._file is not None:
            with contextlib.suppress(OSError):  # of a full disk, which `write` or `sync` has told
                self._file.close()
            self._file = None

    def is_whole(self) -> bool:
        """Whether the file is as long as the array, and says so; its numbers are not read."""
        try:
            with self.path.open("rb") as file:
                return (
                    not self.path.is_symlink()
                    and file.read(len(self._header)) == self._header
                    and file.seek(0, 2) == self.offset(self.n_rows)
                )
        except OSError:
            return False

    def digest(self) -> str | None:
        """The digest of the whole file; None where its bytes did not all come in order through this object."""
        return self._hash.hexdigest() if self._hashed == self.offset(self.n_rows) else None

    def _put(self, offset: int, raw: Any) -> None:
        self._file.seek(offset)
        self._file.write(raw)
        if offset == self._hashed:
            self._hash.update(raw)
            self._hashed += len(raw)
        elif offset < self._hashed and raw != self._header:
            self._hashed = -1  # what was hashed is no longer there


def _opened(path: Path) -> Any:
    handle = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_BINARY", 0), 0o666)
    return os.fdopen(handle, "r+b")
