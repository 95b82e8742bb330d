"""Files of features, whose numbers stay in the file until they are asked for, where its format allows that.

That is so of safetensors, zarr, HDF5, MATLAB's version 7.3 (which is HDF5) and the files of torch.save since torch 1.6.
Text, ``.npz`` and MATLAB's files up to version 7, which are packed as a rule, are read whole.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable, Collection, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._checks import require
from brainnet.features.layouts import Entries

KINDS = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1", "U8": "u1"}
LONGEST_HEADER = 1 << 28  # bytes of the header of a safetensors file
Found = tuple[list[tuple[str, Any]], list[str] | None]


def _txt(path: Path) -> Found:
    """Numbers with blanks between them; what stands behind " # " in every row is its name."""
    lines = path.read_text(encoding="utf-8").splitlines()
    rows = [line for line in lines if line.split("#")[0].strip()]
    names = [line.partition(" # ")[2] for line in rows]
    numbers = np.loadtxt(path, dtype=np.float32, ndmin=2, encoding="utf-8")
    return [(path.stem, numbers)], names if names and all(names) else None


def _safetensors(path: Path) -> Found:
    with path.open("rb") as file:
        (length,) = struct.unpack("<Q", file.read(8))
        if length > LONGEST_HEADER:
            raise ValueError("its header is too long")
        header = json.loads(file.read(length))
    metadata = header.pop("__metadata__", {})
    arrays = []
    for name, one in header.items():
        first, last = one["data_offsets"]
        if one["dtype"] in KINDS and last > first:
            arrays.append((name, np.memmap(path, KINDS[one["dtype"]], "r", 8 + length + first, tuple(one["shape"]))))
    return arrays, json.loads(metadata["images"]) if "images" in metadata else None


def _zarr(path: Path) -> Found:
    described = path / "features" / ".zarray"
    ids = None
    if (path / ".zattrs").is_file():
        ids = json.loads((path / ".zattrs").read_text(encoding="utf-8")).get("images")
    if described.is_file():
        array = json.loads(described.read_text(encoding="utf-8"))
        (n, width), (rows, columns) = array["shape"], array["chunks"]
        if array["compressor"] is None and columns == width and not array["filters"] and array["order"] == "C":

            def read(place: int) -> np.ndarray:
                kind = np.dtype(array["dtype"])
                with (path / "features" / f"{place // rows}.0").open("rb") as file:
                    file.seek(kind.itemsize * width * (place % rows))
                    return np.frombuffer(file.read(kind.itemsize * width), kind)

            return [("features", Entries(read, n))], ids
    opened = require("zarr", "reading this zarr").open(str(path), mode="r")
    if hasattr(opened, "shape"):
        return [(path.stem, opened)], ids
    return [(name, opened[name]) for name in opened], ids or opened.attrs.get("images")


class Slices(Entries):
    """Rows (n, ...) of a data set in an HDF5 file, read when they are asked for; the file is open only meanwhile.

    Args:
        path: the file.
        name: of the data set.
        matlab: whether its axes are in MATLAB's order, in which rows are the last one.
    """

    def __init__(self, path: Path, name: str, matlab: bool = False):
        import h5py

        self.path, self.name, self.matlab = path, name, matlab
        with h5py.File(path, "r") as file:
            shape, self.dtype = file[name].shape, file[name].dtype
        self.shape = shape[::-1] if matlab else shape
        self.size, self.ndim = int(np.prod(shape)), len(shape)

    def __getitem__(self, index: Any) -> np.ndarray:
        import h5py

        places = np.arange(len(self))[index]
        wanted, back = np.unique(places, return_inverse=True)
        first, n = (int(wanted[0]) if len(wanted) else 0), len(wanted)
        rows = slice(first, first + n) if not n or wanted[-1] - first == n - 1 else wanted  # HDF5 wants them in order
        with h5py.File(self.path, "r") as file:
            found = file[self.name][(..., rows) if self.matlab else rows]
        found = found.T if self.matlab else found
        return found[back.reshape(places.shape)]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        return self[:] if dtype is None else self[:].astype(dtype)


def slices_of(path: Path, without: Collection[str] = ()) -> dict[str, Slices]:
    """The arrays of numbers with two axes or more in an HDF5 file; none where it is another one.

    Args:
        path: of the suffix .h5, .hdf5 or .mat.
        without: names of what is to be read whole.
    """
    import h5py

    if not h5py.is_hdf5(path):
        return {}
    with h5py.File(path, "r") as file:
        names = [name for name, one in file.items() if isinstance(one, h5py.Dataset) and one.ndim > 1
                 and one.dtype.kind in "fiub" and name not in without]  # fmt: skip
    return {name: Slices(path, name, path.suffix == ".mat") for name in names}


def mapped_tensors(path: Path) -> dict[str, Any] | None:
    """What torch.save put into a file, its numbers mapped into memory; None of a file from before torch 1.6."""
    import zipfile

    import torch

    if not zipfile.is_zipfile(path):
        return None
    content = torch.load(path, map_location="cpu", weights_only=True, mmap=True)
    return dict(content) if isinstance(content, Mapping) else {"array": content}


READERS: dict[str, Callable[[Path], Found]] = {".txt": _txt, ".safetensors": _safetensors, ".zarr": _zarr}
