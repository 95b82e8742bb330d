"""Features of one layer as a file, a row per picture: written in pieces, in nine formats, the same bytes each time.

Nothing here ever holds the table. What a library can only write whole (MATLAB's version 5, the file of torch.save) is
written by hand, part by part, in that format's own layout; what it holds is what the library itself would read.
"""

from __future__ import annotations

import io
import json
import struct
import zipfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np

BLOCK = 8 << 20  # bytes that are held at a time where rows become columns
MAT_LIMIT = (1 << 31) - 1  # bytes of a variable of MATLAB's version 5; larger ones are written as version 7.3
MAT_HEADER = b"MATLAB 5.0 MAT-file, written by brainnet"
MAT_TYPE = {"single": 7, "int32": 5, "uint32": 6, "int8": 1, "matrix": 14}
ALIGNED = 64  # torch maps the numbers of a file into memory where they begin at such a multiple
FIRST_DAY = (1980, 1, 1, 0, 0, 0)  # in every zip archive, so that the same features are the same bytes


class Table(NamedTuple):
    """What is written: parts of rows one after another, how many of what width they are, and the names of all rows.

    >>> table = Table([np.ones((2, 3)), np.zeros((1, 3))], (3, 3), ["cat", "dog", "sun"])
    >>> [block.dtype.str for block in table.blocks()]
    ['<f4', '<f4']
    """

    parts: Iterable[np.ndarray]
    shape: tuple[int, int]
    ids: Sequence[str]

    def blocks(self) -> Iterator[np.ndarray]:
        """The parts as little-endian single precision, rows one after another in memory."""
        for part in self.parts:
            yield np.ascontiguousarray(part, dtype="<f4")


def write_table(path: Path, table: Table, file_format: str) -> None:
    """Writes a table; a file, or for "zarr" a folder, that does not exist yet.

    Args:
        path: where to.
        table: its parts are read once.
        file_format: one of :data:`WRITERS`.

    >>> import tempfile
    >>> table = Table([np.ones((2, 3)), np.zeros((1, 3))], (3, 3), ["cat", "dog", "sun"])
    >>> with tempfile.TemporaryDirectory() as folder:
    ...     write_table(Path(folder) / "fc.npy", table, "npy")
    ...     np.load(Path(folder) / "fc.npy").mean(1).tolist()
    [1.0, 1.0, 0.0]
    """
    WRITERS[file_format](path, table)


# ---------------------------------------------------------------------- plain bytes, archives of them


def header_of_npy(shape: tuple[int, ...], kind: str = "<f4") -> bytes:
    """What stands before the numbers in a ``.npy`` file."""
    header = io.BytesIO()
    np.lib.format.write_array_header_1_0(header, {"descr": kind, "fortran_order": False, "shape": shape})
    return header.getvalue()


def _npy(path: Path, table: Table) -> None:
    with path.open("wb") as file:  # not a memory map: a full disk would end the process without a word
        file.write(header_of_npy(table.shape))
        for block in table.blocks():
            file.write(block.data)


def _npz(path: Path, table: Table) -> None:
    names = np.array(list(table.ids))
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        pieces = (block.data for block in table.blocks())
        _put(archive, "features.npy", [header_of_npy(table.shape)], pieces)
        _put(archive, "images.npy", [header_of_npy(names.shape, names.dtype.str), names.tobytes()])


def _put(archive: zipfile.ZipFile, name: str, *pieces: Iterable[Any], aligned: bool = False) -> None:
    """An entry of an archive from its pieces; aligned, its bytes begin at a multiple that torch asks for."""
    entry = zipfile.ZipInfo(name, FIRST_DAY)
    if aligned:
        fixed = 30 + len(name.encode()) + 20 + 4  # header, name, sizes of 64 bits, and the head of the filling
        filling = -(archive.start_dir + fixed) % ALIGNED
        entry.extra = struct.pack("<HH", 0x4246, filling) + b"Z" * filling
    with archive.open(entry, "w", force_zip64=True) as file:
        for some in pieces:
            for piece in some:
                file.write(piece)


def write_entries(path: Path, entries: Iterable[tuple[str, np.ndarray]]) -> None:
    """A ``.npz`` file of arrays that come one after another."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        for name, array in entries:
            array = np.ascontiguousarray(array, "<f4")
            _put(archive, f"{name}.npy", [header_of_npy(array.shape), array.data])


def _safetensors(path: Path, table: Table) -> None:
    n_bytes = 4 * table.shape[0] * table.shape[1]
    described = {
        "__metadata__": {"images": json.dumps(list(table.ids))},
        "features": {"dtype": "F32", "shape": list(table.shape), "data_offsets": [0, n_bytes]},
    }
    header = json.dumps(described).encode()
    header += b" " * (-len(header) % 8)
    with path.open("wb") as file:
        file.write(struct.pack("<Q", len(header)) + header)
        for block in table.blocks():
            file.write(block.data)


def _pt(path: Path, table: Table) -> None:
    root = path.stem
    with zipfile.ZipFile(path, "w", zipfile.ZIP_STORED) as archive:
        _put(archive, f"{root}/data.pkl", [_pickled(table)], aligned=True)
        _put(archive, f"{root}/byteorder", [b"little"], aligned=True)
        _put(archive, f"{root}/data/0", (block.data for block in table.blocks()), aligned=True)
        _put(archive, f"{root}/version", [b"3\n"], aligned=True)


def _pickled(table: Table) -> bytes:
    """What torch.save writes of ``{"features": tensor, "images": ids}`` beside the numbers of the tensor."""
    import pickle
    from collections import OrderedDict

    import torch

    (n, width), storage = table.shape, object()

    class Tensor:
        def __reduce__(self) -> tuple:
            arguments = (storage, 0, (n, width), (width, 1), False, OrderedDict())
            return torch._utils._rebuild_tensor_v2, arguments

    class Pickler(pickle.Pickler):
        def persistent_id(self, value: Any) -> tuple | None:
            return ("storage", torch.FloatStorage, "0", "cpu", n * width) if value is storage else None

    written = io.BytesIO()
    Pickler(written, protocol=2).dump({"features": Tensor(), "images": list(table.ids)})
    return written.getvalue()


# ---------------------------------------------------------------------- HDF5, MATLAB, zarr


def _hdf5(path: Path, table: Table) -> None:
    import h5py

    with h5py.File(path, "w") as file:
        features, done = file.create_dataset("features", table.shape, "<f4"), 0
        for block in table.blocks():
            features[done : done + len(block)] = block
            done += len(block)
        file["images"] = list(table.ids)


def _mat(path: Path, table: Table) -> None:
    """Version 5, a column after the other as MATLAB has its matrices; where that is too large version 7.3, HDF5."""
    n_bytes = 4 * table.shape[0] * table.shape[1]
    scratch = path.with_name(f"{path.name}.rows")
    try:
        with scratch.open("wb") as file:
            for block in table.blocks():
                file.write(block.data)
        with scratch.open("rb") as rows:
            columns = _columns(rows, table.shape)
            (_mat_5 if n_bytes <= MAT_LIMIT else _mat_7)(path, columns, table)
    finally:
        scratch.unlink(missing_ok=True)


def _columns(rows: Any, shape: tuple[int, int]) -> Iterator[np.ndarray]:
    """Columns (some, n_rows) of a table whose rows lie one after another in a file."""
    n, width = shape
    at_a_time = max(1, BLOCK // (4 * max(n, 1)))
    for first in range(0, width, at_a_time):
        some = min(at_a_time, width - first)
        block = np.empty((n, some), "<f4")
        for row in range(n):
            rows.seek(4 * (row * width + first))
            rows.readinto(block[row].data)
        yield np.ascontiguousarray(block.T)


def _mat_5(path: Path, columns: Iterable[np.ndarray], table: Table) -> None:
    n, width = table.shape
    with path.open("wb") as file:
        file.write(MAT_HEADER.ljust(116) + bytes(8) + struct.pack("<HH", 0x0100, 0x4D49))
        file.write(_mat_cells("images", [[name] for name in table.ids]))
        numbers = 4 * n * width
        head = _mat_head("features", 7, (n, width)) + struct.pack("<II", MAT_TYPE["single"], numbers)
        file.write(struct.pack("<II", MAT_TYPE["matrix"], len(head) + numbers + -numbers % 8) + head)
        for block in columns:
            file.write(block.data)
        file.write(bytes(-numbers % 8))


def _mat_head(name: str, kind: int, shape: tuple[int, int]) -> bytes:
    """Flags, size and name, with which every matrix of a MATLAB file begins."""
    return (
        struct.pack("<IIII", MAT_TYPE["uint32"], 8, kind, 0)
        + struct.pack("<IIii", MAT_TYPE["int32"], 8, *shape)
        + struct.pack("<II", MAT_TYPE["int8"], len(name)) + name.encode().ljust(-(-len(name) // 8) * 8, b"\0")
    )  # fmt: skip


def _mat_cells(name: str, cells: list[list[str]]) -> bytes:
    """A column of texts, each a matrix of characters in a cell."""
    body = [_mat_head(name, 1, (len(cells), 1))]
    for (text,) in cells:
        letters = text.encode("utf-16-le")
        head = _mat_head("", 4, (1, len(letters) // 2)) + struct.pack("<II", 17, len(letters))  # 17: UTF-16
        whole = head + letters + bytes(-len(letters) % 8)
        body.append(struct.pack("<II", MAT_TYPE["matrix"], len(whole)) + whole)
    joined = b"".join(body)
    return struct.pack("<II", MAT_TYPE["matrix"], len(joined)) + joined


def _mat_7(path: Path, columns: Iterable[np.ndarray], table: Table) -> None:
    import h5py

    with h5py.File(path, "w", userblock_size=512) as file:
        features, done = file.create_dataset("features", table.shape[::-1], "<f4"), 0
        features.attrs["MATLAB_class"] = np.bytes_("single")
        for block in columns:
            features[done : done + len(block)] = block
            done += len(block)
        letters = file.create_group("#refs#")
        pointers = file.create_dataset("images", (1, len(table.ids)), h5py.ref_dtype)
        pointers.attrs["MATLAB_class"] = np.bytes_("cell")
        for place, name in enumerate(table.ids):
            codes = np.frombuffer(name.encode("utf-16-le"), "<u2").reshape(-1, 1)
            one = letters.create_dataset(str(place), data=codes)
            one.attrs["MATLAB_class"], one.attrs["MATLAB_int_decode"] = np.bytes_("char"), np.int32(2)
            pointers[0, place] = one.ref
    with path.open("r+b") as file:
        file.write(
            b"MATLAB 7.3 MAT-file, written by brainnet".ljust(116) + bytes(8) + struct.pack("<HH", 0x0200, 0x4D49)
        )


def _zarr(path: Path, table: Table) -> None:
    """A group of zarr's version 2, which every version of the library reads: JSON, and a plain file for each chunk."""
    n, width = table.shape
    rows = max(1, min(n, BLOCK // (4 * max(width, 1))))
    array = {"zarr_format": 2, "shape": [n, width], "chunks": [rows, width], "dtype": "<f4", "compressor": None,
             "fill_value": 0.0, "order": "C", "filters": None}  # fmt: skip
    (path / "features").mkdir(parents=True)
    for name, content in {
        ".zgroup": {"zarr_format": 2}, ".zattrs": {"images": list(table.ids)}, "features/.zarray": array,
    }.items():  # fmt: skip
        (path / name).write_text(json.dumps(content, indent=1) + "\n", encoding="utf-8")
    for chunk, piece in _within_chunks(table.blocks(), rows):
        with (path / "features" / f"{chunk}.0").open("ab") as file:
            file.write(piece.data)
    with (path / "features" / f"{chunk}.0").open("ab") as file:
        file.write(bytes(4 * width * (-n % rows)))  # the last chunk is as long as the others


def _within_chunks(blocks: Iterable[np.ndarray], rows: int) -> Iterator[tuple[int, np.ndarray]]:
    """The number of a chunk of so many rows, with some of its rows, in order and without a copy."""
    done = 0
    for block in blocks:
        while len(block):
            piece = np.ascontiguousarray(block[: rows - done % rows])
            yield done // rows, piece
            done, block = done + len(piece), block[len(piece) :]


# ---------------------------------------------------------------------- text


def _csv(path: Path, table: Table) -> None:
    import pandas as pd

    done = 0
    for block in table.blocks():
        rows = pd.DataFrame(block, index=pd.Index(table.ids[done : done + len(block)], name="image"))
        rows.to_csv(path, mode="a" if done else "w", header=not done, lineterminator="\n")
        done += len(block)


def _txt(path: Path, table: Table) -> None:
    """Numbers with blanks between them, as numpy.loadtxt reads them; the name of each row is a comment behind it."""
    import pandas as pd

    done = 0
    with path.open("w", encoding="utf-8", newline="\n") as file:
        for block in table.blocks():
            text = pd.DataFrame(block).to_csv(sep=" ", header=False, index=False, lineterminator="\n")
            for line in text.splitlines():
                file.write(f"{line} # {table.ids[done]}\n")
                done += 1


WRITERS: dict[str, Callable[[Path, Table], None]] = {
    "npy": _npy, "npz": _npz, "h5": _hdf5, "hdf5": _hdf5, "mat": _mat, "csv": _csv, "txt": _txt, "pt": _pt,
    "safetensors": _safetensors, "zarr": _zarr,
}  # fmt: skip
