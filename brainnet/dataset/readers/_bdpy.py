"""Files of the Kamitani laboratory: one table of samples x columns in HDF5, whose metadata say what the columns are."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainnet._files import reading
from brainnet.dataset.readers._checked import expect_type, there

AT_ONCE = 256  # rows of the table in memory at a time


class BData:
    """The table of a file; columns are told by keys, such as "VoxelData", "ROI_V1" or "stimulus_id".

    Args:
        path: the file.

    Attributes:
        keys: names of the metadata; a key's columns are those where it is 1.
        n_samples: rows of the table.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or no such table; names it.
    """

    def __init__(self, path: Path):
        import h5py

        self.path = there(path)
        with reading(path, "HDF5 file of samples and columns"), h5py.File(path, "r") as file:
            self._table = next((name for name in ("dataset", "dataSet") if name in file), "")
            metadata = next((name for name in ("metadata", "metaData") if name in file), "")
            if not (self._table and metadata):
                raise ValueError(f"it has no dataset and metadata; it has {', '.join(file) or 'nothing'}")
            self.keys = [_text(key) for key in np.ravel(file[metadata]["key"][()])]
            values = file[metadata]["value"][()]
            self._values = np.asarray(values, float)
            shape, dtype = file[self._table].shape, file[self._table].dtype
            self.labels = {key: {_text(number): _text(file["vmap"][key][number][()]) for number in file["vmap"][key]}
                           for key in file.get("vmap", ())}  # fmt: skip
        expect_type(path, dtype, "fiu", "its table is numbers")
        expect_type(path, values.dtype, "f", "its metadata are real numbers, NaN where a key does not apply")
        if len(shape) != 2 or self._values.shape != (len(self.keys), shape[1]):
            raise ValueError(
                f"{path} has a table of shape {shape} and metadata of shape {self._values.shape}; expected "
                f"({len(self.keys)}, columns), a row for each of its keys."
            )
        if len(set(self.keys)) < len(self.keys):
            twice = next(key for key in self.keys if self.keys.count(key) > 1)
            raise ValueError(f"{path} has the key {twice!r} twice.")
        self.n_samples = shape[0]

    def metadata(self, key: str) -> np.ndarray:
        """(n_columns,) what a key says of each column; NaN where it does not apply.

        Raises:
            ValueError: no such key.
        """
        if key not in self.keys:
            raise ValueError(f"{self.path} has no key {key!r}; it has {', '.join(self.keys[:12])} and so on.")
        return self._values[self.keys.index(key)]

    def columns(self, key: str) -> np.ndarray:
        """(n_columns,) bool: the columns of a key."""
        return self.metadata(key) == 1

    def column(self, *keys: str) -> np.ndarray | None:
        """(n_samples,) the one column of the first of some keys that is there; None where none is."""
        key = next((key for key in keys if key in self.keys), None)
        if key is None:
            return None
        inside = self.columns(key)
        if inside.sum() != 1:
            raise ValueError(f"{self.path} has {int(inside.sum())} columns of {key!r}; expected one.")
        return self.rows(np.arange(self.n_samples), inside)[:, 0]

    def rows(self, samples: np.ndarray, inside: np.ndarray) -> np.ndarray:
        """(n, n_columns) of some samples, in their order, and of the columns inside; read some rows at a time."""
        import h5py

        if not inside.any():
            raise ValueError(f"{self.path}: no column is marked by the keys of its metadata; expected voxels.")
        first, last = np.flatnonzero(inside)[[0, -1]]
        found = np.empty((len(samples), int(inside.sum())))
        place = np.full(self.n_samples, -1)
        place[samples] = np.arange(len(samples))
        with reading(self.path, "HDF5 file of samples and columns"), h5py.File(self.path, "r") as file:
            for start in range(0, self.n_samples, AT_ONCE):
                wanted = place[start : start + AT_ONCE]
                if (wanted >= 0).any():
                    block = file[self._table][start : start + AT_ONCE, first : last + 1]
                    found[wanted[wanted >= 0]] = block[:, inside[first : last + 1]][wanted >= 0]
        return found


def _text(value: object) -> str:
    value = value.item() if isinstance(value, np.ndarray) and value.size == 1 else value
    return value.decode() if isinstance(value, bytes) else str(value)
