"""Features as Net2Brain and THINGSvision lay them out in folders: written for them, and read from them.

Net2Brain keeps ``consolidated_<layer>.npz`` with an entry per stimulus, or ``<stimulus>.npz`` with an entry per layer,
each array with a first axis of one. THINGSvision keeps ``<module>/features.npy``, or parts of it that are called after
the pictures they hold, and the names of the pictures in ``file_names.txt``. What is read is read row by row.
"""

from __future__ import annotations

import re
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._files import reading, slug, write_npz, writing
from brainnet.features.formats import Table, write_entries, write_table
from brainnet.stimuli import natural_sort

LAYOUTS = {  # how a file of a layer is called, or the one folder of all
    "net2brain": "consolidated_{}.npz", "net2brain-separate": "separate", "thingsvision": "{}/features.npy",
}  # fmt: skip
CONSOLIDATED = "consolidated_"
FILE_NAMES = "file_names.txt"
LISTS = ("images.txt", FILE_NAMES)  # names of the rows beside a file, of brainnet and of THINGSvision
PART = re.compile(r"features(?P<suffix>.*?)_(?:\d+-)?(?P<last>\d+)")  # features_0-31 of a step, features_01 of a split
READABLE = (".npy", ".pt", ".mat", ".txt", ".csv", ".hdf5", ".h5")


def file_of(layer: str, file_format: str) -> str:
    """The name of a layer's file in a folder of results.

    >>> file_of("a b", "npy"), file_of("fc", "net2brain"), file_of("fc", "thingsvision")
    ('a-b_541e27.npy', 'consolidated_fc.npz', 'fc/features.npy')
    """
    return LAYOUTS.get(file_format, f"{{}}.{file_format}").format(slug(layer))


def write_layer(path: Path, table: Table, file_format: str) -> None:
    """Writes a layer's file in a format, or in the layout of a tool that has a file for each layer."""
    path.parent.mkdir(parents=True, exist_ok=True)
    if file_format == "zarr":  # a folder
        write_table(path, table, file_format)
        return
    with writing(path) as unfinished:
        if file_format == "net2brain":
            names = iter(table.ids)
            write_entries(unfinished, ((next(names), row[None]) for block in table.blocks() for row in block))
        else:
            write_table(unfinished, table, "npy" if file_format == "thingsvision" else file_format)


def write_separate(folder: Path, tables: Mapping[str, Table]) -> None:
    """Writes ``<stimulus>.npz`` with an entry (1, n_features) for each layer."""
    folder.mkdir(parents=True, exist_ok=True)
    ids = next(iter(tables.values())).ids
    rows = ((row for block in table.blocks() for row in block) for table in tables.values())
    for name, found in zip(ids, zip(*rows, strict=True), strict=True):
        write_npz(folder / f"{slug(name)}.npz", {k: row[None] for k, row in zip(tables, found, strict=True)})


# ---------------------------------------------------------------------- reading


class Entries:
    """Rows (n, ...) that lie in files of their own or in entries of an archive, read when they are asked for.

    Args:
        read: the place of a row to the row.
        n: rows.
    """

    def __init__(self, read: Any, n: int):
        first = read(0)
        self._read, self.shape, self.dtype = read, (n, *first.shape), first.dtype

    def __repr__(self) -> str:
        return f"Entries({' x '.join(map(str, self.shape))}, {self.dtype})"

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        places = np.arange(len(self))[index]
        if places.ndim == 0:
            return self._read(int(places))
        rows = [self._read(int(place)) for place in places]
        different = next((row.shape for row in rows if row.shape != self.shape[1:]), None)
        if different is not None:
            raise ValueError(f"features of one layer differ in shape: {self.shape[1:]} and {different}.")
        return np.stack(rows) if rows else np.empty((0, *self.shape[1:]), self.dtype)


class Parts:
    """Arrays that follow one another, as one."""

    def __init__(self, arrays: Sequence[Any]):
        self._arrays = arrays
        self._starts = np.cumsum([0, *(len(array) for array in arrays)])
        self.shape, self.dtype = (int(self._starts[-1]), *arrays[0].shape[1:]), arrays[0].dtype
        if len({array.shape[1:] for array in arrays}) > 1:
            raise ValueError(f"parts of one layer differ in shape: {[tuple(array.shape) for array in arrays]}.")

    def __len__(self) -> int:
        return self.shape[0]

    def __getitem__(self, index: Any) -> np.ndarray:
        places = np.atleast_1d(np.arange(len(self))[index])
        found = np.empty((len(places), *self.shape[1:]), self.dtype)
        for array, start, stop in zip(self._arrays, self._starts, self._starts[1:], strict=False):
            here = (places >= start) & (places < stop)
            if here.any():
                found[here] = np.asarray(array[places[here] - start])
        return found


def read_net2brain(folder: Path, at_least: int = 2) -> tuple[dict[str, Any], list[str]] | None:
    """Layer -> rows, and the names of the stimuli, of a folder of Net2Brain; None where it is none.

    Args:
        folder: of archives.
        at_least: as many archives, each of a stimulus, are taken for its work.

    Raises:
        ValueError: a damaged file, or layers or stimuli that are not everywhere; names the file.
    """
    archives = [folder / name for name in natural_sort(p.name for p in folder.iterdir() if p.suffix == ".npz")]
    whole = [path for path in archives if path.name.startswith(CONSOLIDATED)]
    if whole:
        keys = [entries_of(path) for path in whole]
        other = next((path for path, found in zip(whole, keys, strict=True) if sorted(found) != sorted(keys[0])), None)
        if other is not None:
            raise ValueError(f"{other} has other stimuli than {whole[0].name}.")
        ids = natural_sort(keys[0])
        layers = {path.stem.removeprefix(CONSOLIDATED): _of_archive(path, ids) for path in whole}
        return layers, ids
    if len(archives) < at_least or not _is_of_a_stimulus(archives[0]):
        return None
    names = entries_of(archives[0])
    if len(names) > len(archives) >= at_least > 1:  # layers, with an entry for each stimulus, by another hand
        return None
    other = next((path for path in archives if sorted(entries_of(path)) != sorted(names)), None)
    if other is not None:
        raise ValueError(f"{other} has other layers than {archives[0].name}.")
    return {name: _of_files(archives, name) for name in names}, [path.stem for path in archives]


def entries_of(path: Path) -> list[str]:
    """The names of the arrays in an archive."""
    with reading(path, "archive of arrays"), zipfile.ZipFile(path) as archive:
        return [name.removesuffix(".npy") for name in archive.namelist()]


def _is_of_a_stimulus(path: Path) -> bool:
    """Whether an archive holds one row of every layer: arrays whose first axis is one, or vectors."""
    with reading(path, "archive of arrays"), np.load(path, allow_pickle=False) as archive:
        try:
            arrays = [archive[name] for name in archive.files]
        except ValueError:  # Python objects
            return False
    return bool(arrays) and all(a.dtype.kind in "fiu" and (a.ndim == 1 or a.shape[0] == 1) for a in arrays)


def _row(array: np.ndarray) -> np.ndarray:
    return array[0] if array.ndim > 1 and len(array) == 1 else array


def _of_archive(path: Path, ids: Sequence[str]) -> Entries:
    archive = np.load(path, allow_pickle=False)

    def read(place: int) -> np.ndarray:
        with reading(path, "archive of arrays"):
            return _row(archive[ids[place]])

    return Entries(read, len(ids))


def _of_files(paths: Sequence[Path], layer: str) -> Entries:
    def read(place: int) -> np.ndarray:
        with reading(paths[place], "archive of arrays"), np.load(paths[place], allow_pickle=False) as archive:
            return _row(archive[layer])

    return Entries(read, len(paths))


def thingsvision_files(folder: Path) -> dict[str, list[Path]]:
    """Module -> its files in order, of a folder that THINGSvision filled; empty where it is none.

    Modules are folders with ``features.*`` in them; a folder that holds only parts is one module by itself. Where other
    arrays lie beside, they are the layers.
    """
    beside = [path for path in folder.iterdir() if path.suffix in (*READABLE, ".npz", ".safetensors")]
    if any(path.name not in LISTS and not PART.fullmatch(path.stem) for path in beside):
        return {}
    found = {}
    for inside in [folder, *(folder / name for name in natural_sort(p.name for p in folder.iterdir() if p.is_dir()))]:
        if inside.name.startswith("."):
            continue
        files = [path for path in sorted(inside.iterdir()) if path.suffix in READABLE and path.name not in LISTS]
        parts = [path for path in files if PART.fullmatch(path.stem)]
        whole = [path for path in files if path.stem.startswith("features") and path not in parts]
        if whole or parts:
            found[inside.name] = whole[:1] or sorted(parts, key=lambda path: int(PART.fullmatch(path.stem)["last"]))
    return found


def joined(arrays: Sequence[Any]) -> Any:
    """Some arrays as one, the array itself where it is alone."""
    return arrays[0] if len(arrays) == 1 else Parts(arrays)


def rows_in(array: Any, at_a_time: int = 256) -> Iterator[np.ndarray]:
    """The rows of anything with a length and rows, in pieces (some, n_features)."""
    for start in range(0, len(array), at_a_time):
        block = np.asarray(array[start : start + at_a_time], np.float32)
        yield block.reshape(len(block), -1)
