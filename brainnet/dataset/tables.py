"""Arrays from what labs keep them in: memory, .npy, .npz, .csv or HDF5, with names of rows and columns where they have.

Pickles are never loaded. Which axis is which is not decided here.
"""

from __future__ import annotations

import csv
import os
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import warn_once
from brainnet._files import reading
from brainnet.stimuli import names_meant

RESPONSE_SUFFIXES = (".npy", ".npz", ".csv", ".h5", ".hdf5")


class Table(NamedTuple):
    """An array as it was read, with the labels of its first two axes where the file named them."""

    values: np.ndarray
    labels: tuple[list[str] | None, list[str] | None] = (None, None)


def read_table(source: Any, name: str) -> Table:
    """An array from memory or from a .npy, .npz, .csv or HDF5 file; .npy files stay on disk until they are used.

    Args:
        source: array, tensor or path.
        name: what it is, for messages, and the key taken from an .npz or HDF5 file that holds several arrays.

    Raises:
        FileNotFoundError: no such file.
        ValueError: an unknown suffix, a pickle, or a file of several arrays of which none is called so.
    """
    if isinstance(source, Tensor):
        return Table(source.detach().cpu().numpy())
    if not isinstance(source, str | os.PathLike):
        return Table(_native(np.asarray(source)))
    path = Path(source)
    if not path.exists():
        raise FileNotFoundError(f"no {name} file {path}.")
    if path.suffix == ".csv":
        return _read_csv(path)
    if path.suffix not in RESPONSE_SUFFIXES:
        raise ValueError(f"{name} are read from {', '.join(RESPONSE_SUFFIXES)} files, got {path}.")
    if path.suffix in (".h5", ".hdf5"):
        return Table(_read_hdf5(path, name))
    with reading(path, f"table of {name}"):
        loaded = np.load(path, allow_pickle=False, mmap_mode="r" if path.suffix == ".npy" else None)
        if path.suffix == ".npy":
            return Table(_native(loaded))
        with loaded:
            key = name if name in loaded.files else loaded.files[0]
            if len(loaded.files) != 1 and key != name:
                raise ValueError(f"it holds {', '.join(loaded.files) or 'nothing'}; name one of the arrays {name!r}")
            return Table(_native(loaded[key]))


def _native(values: np.ndarray) -> np.ndarray:
    """The numbers in this machine's order of bytes, which torch reads alone."""
    return values if values.dtype.isnative else values.astype(values.dtype.newbyteorder("="))


def read_csv(path: Path, what: str, **options: Any) -> Any:
    """A table of pandas, or one line that names the file."""
    import pandas

    sep = options.get("sep", ",")
    with reading(path, what), path.open(newline="", encoding="utf-8-sig") as file:
        n_cells = len(next(csv.reader(file, delimiter=sep), []))
    check_end(path, sep, n_cells)
    with reading(path, what):
        return pandas.read_csv(path, encoding="utf-8-sig", **options)


def check_end(path: Path, sep: str = ",", n_cells: int = 0) -> None:
    """Refuses a table whose last line was cut, and warns of one that may be: which does not end with a line break.

    Args:
        path: of a text file.
        sep: between the cells of a line.
        n_cells: of its first line; 0 counts none.

    Raises:
        ValueError: the last line has fewer cells.
    """
    with path.open("rb") as file:
        length, taken, tail = file.seek(0, os.SEEK_END), 4096, b""
        while b"\n" not in tail.rstrip(b"\r\n") and len(tail) < length:
            file.seek(max(0, length - taken))
            tail, taken = file.read(), 4 * taken
    last = tail.rstrip(b"\r\n").rpartition(b"\n")[2]
    if last and n_cells and last.count(b'"') % 2 == 0:  # else the line is the end of a text of several lines
        cells = len(next(csv.reader([last.decode("utf-8", "replace")], delimiter=sep), []))
        if cells < n_cells:
            raise ValueError(f"{path} was cut: its last line has {cells} cells; expected {n_cells}, as its first.")
    if tail and not tail.endswith((b"\n", b"\r")):
        warn_once(
            f"no end: {path.absolute()}",
            f"{path} does not end with a line break: if it was cut, the end of its last line is missing. If it is "
            "whole, add a line break.",
        )


def _read_hdf5(path: Path, name: str) -> np.ndarray:
    import h5py

    with reading(path, f"table of {name} in HDF5"), h5py.File(path, "r") as file:
        found: dict[str, h5py.Dataset] = {}
        file.visititems(lambda key, item: found.update({key: item} if isinstance(item, h5py.Dataset) else {}))
        numbers = {key: item for key, item in found.items() if item.ndim and item.dtype.kind in "iufb"}
        key = name if name in numbers else next(iter(numbers), None)
        if key is None or (len(numbers) != 1 and key != name):
            raise ValueError(f"it holds {', '.join(numbers) or 'no arrays of numbers'}; name one of them {name!r}")
        return _native(numbers[key][()])


def _read_csv(path: Path) -> Table:
    import pandas

    with reading(path, "table"), path.open(newline="", encoding="utf-8-sig") as file:
        first = next(csv.reader(file), [])
    has_header = first[:1] == [""] or not all(_is_number(cell) for cell in first[1:] or first)
    table = read_csv(path, "table", header=0 if has_header else None, dtype=None)
    rows = None
    # an unnamed first column is pandas' index; a column of words can only be names
    if (has_header and first[0] == "") or not pandas.api.types.is_numeric_dtype(table.dtypes.iloc[0]):
        rows = [str(label) for label in table.iloc[:, 0]]
        table = table.iloc[:, 1:]
    words = [column for column, kind in table.dtypes.items() if not pandas.api.types.is_numeric_dtype(kind)]
    if words:
        raise ValueError(
            f"{path}: column {words[0]!r} must hold numbers, got {table[words[0]].iloc[0]!r} in its first row."
        )
    return Table(table.to_numpy(dtype=np.float64), (rows, [str(c) for c in table.columns] if has_header else None))


def _is_number(cell: str) -> bool:
    try:
        float(cell)
    except ValueError:
        return False
    return True


def read_splits(path: Path, ids: list[str]) -> dict[str, list[int]]:
    """Split -> indices of its images; images the file does not name are in no split."""
    table = read_csv(path, "table of splits", dtype=str)
    if not {"image", "split"} <= set(table.columns):
        raise ValueError(f"{path} must have columns image and split, got {', '.join(map(str, table.columns))}.")
    rows = {name: row for row, name in enumerate(ids)}
    splits: dict[str, list[int]] = {}
    for image, split in zip(table["image"], table["split"], strict=True):
        row = next((rows[name] for name in names_meant(str(image)) if name in rows), None)
        if row is None or not isinstance(split, str):
            raise ValueError(f"{path}: image {image!r} in split {split!r}; images are {ids[0]!r} to {ids[-1]!r}.")
        splits.setdefault(split, []).append(row)
    return splits


def read_rois(path: Path) -> dict[str, Tensor]:
    """ROI -> (n_voxels,) bool, from a column of ROI names or a 0/1 column per ROI."""
    import pandas

    table = read_csv(path, "table of regions")
    if not len(table):
        raise ValueError(f"{path} has a header, {', '.join(map(str, table.columns))[:80]}, and no rows; expected one a "
                         "voxel.")  # fmt: skip
    if len(table.columns) == 1 and not pandas.api.types.is_numeric_dtype(table.dtypes.iloc[0]):
        names = table.iloc[:, 0]
        return {str(name): torch.tensor((names == name).tolist()) for name in names.dropna().unique()}
    values = table.to_numpy()
    if not np.isin(values, (0, 1)).all():
        raise ValueError(f"{path} must hold one column of ROI names, or a 0/1 column per ROI and nothing else.")
    return {str(name): torch.from_numpy(values[:, i].astype(bool)) for i, name in enumerate(table.columns)}
