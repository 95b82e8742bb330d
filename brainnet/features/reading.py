"""Files of features that are read here alone: text with names behind its rows, safetensors, and zarr.

Each reader gives the arrays of a file by name, and the names of their rows where it holds them. Numbers stay in the
file until they are asked for, but those of text.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Callable
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


READERS: dict[str, Callable[[Path], Found]] = {".txt": _txt, ".safetensors": _safetensors, ".zarr": _zarr}
