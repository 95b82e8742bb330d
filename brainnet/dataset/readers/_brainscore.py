"""Files of Brain-Score's kind: recordings as netCDF assemblies (neuroid x presentation x time), stimuli as tables.

An assembly is netCDF-4, which is HDF5, so that h5py reads it: one array of several dimensions, and one-dimensional
coordinates that say what lies along each of them.
"""

from __future__ import annotations

import csv
import zipfile
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brainnet._checks import check_word
from brainnet._files import reading
from brainnet.dataset.readers._checked import there
from brainnet.dataset.readers._meeg import Kept
from brainnet.stimuli import Images, is_picture

IDS = ("stimulus_id", "image_id")  # names of the column that says which stimulus was shown; the latter in older files
BLOCK = 2**26  # numbers read at a time
MILLISECONDS = 1000


@dataclass(frozen=True, eq=False)
class Assembly:
    """A file of recordings.

    Attributes:
        path: the file.
        variable: name of its array.
        axes: place of the stimuli, of the neuroids and of the time bins among its dimensions; the last is None where
            there is a single bin.
        n_dimensions: how many it has; those without a role are of length 1.
        ids: of the stimulus of each presentation.
        neuroids: name of a coordinate -> (n_neuroids,) values.
        bins: (n_bins, 2) first and last millisecond of each; None where the file does not say.
    """

    path: Path
    variable: str
    axes: tuple[int, int, int | None]
    n_dimensions: int
    ids: list[str]
    neuroids: Mapping[str, np.ndarray]
    n_neuroids: int
    n_bins: int
    bins: np.ndarray | None

    def names(self) -> list[str]:
        """A name per neuroid."""
        given = self.neuroids.get("neuroid_id")
        return [f"{self.path.stem}_{n}" for n in range(self.n_neuroids)] if given is None else list(map(str, given))

    def kept(self, rows: np.ndarray, window: Sequence[float] | None, over_time: bool, average: int) -> Kept:
        """Which neuroids and time bins are read.

        Args:
            rows: places of the neuroids.
            window: first and last time in seconds; a bin is within it if its middle is.
            over_time: keep a column per time, of ``average`` bins; else their mean alone.
            average: bins of which the mean is kept.
        """
        times = np.zeros(1) if self.bins is None and self.n_bins == 1 else None
        if self.bins is not None:
            times = self.bins.mean(1) / MILLISECONDS
        elif window is not None or over_time:
            raise ValueError(f"{self.path} has no time_bin_start and time_bin_end: no window can be chosen.")
        times = np.arange(float(self.n_bins)) if times is None else times
        kept = Kept.of(self.names(), times, None, window, average if over_time else 1)
        names = np.array(kept.names)[rows]
        if over_time:
            return Kept(tuple(names), rows, kept.samples, kept.average, kept.times)
        n = kept.samples.stop - kept.samples.start
        return Kept(tuple(names), rows, kept.samples, n, times[kept.samples].mean(keepdims=True))

    def blocks(self, kept: Kept) -> Iterator[np.ndarray]:
        """Blocks of presentations (n, n_columns) in order."""
        import h5py

        stimulus, neuroid, time = self.axes
        step = max(1, BLOCK // (self.n_neuroids * max(1, kept.samples.stop - kept.samples.start)))
        order = [stimulus, neuroid, *([] if time is None else [time])]
        order += [axis for axis in range(self.n_dimensions) if axis not in order]
        one = Kept(kept.names, kept.rows, slice(None), kept.average, kept.times)  # of bins that are chosen already
        with reading(self.path, "netCDF-4 file"), h5py.File(self.path, "r") as file:
            for start in range(0, len(self.ids), step):
                place: list[slice] = [slice(None)] * self.n_dimensions
                place[stimulus] = slice(start, start + step)
                if time is not None:
                    place[time] = kept.samples
                block = file[self.variable][tuple(place)].transpose(order)
                yield one.columns(block.reshape(*block.shape[:2], -1))


def read_assembly(path: Path) -> Assembly:
    """What a file holds, without its recordings.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is no netCDF-4 file, or not of stimuli and neuroids.
    """
    import h5py

    there(path)
    with path.open("rb") as file:
        if file.read(3) == b"CDF":
            raise ValueError(f"{path} is a netCDF file of version 3; expected version 4, which is HDF5.")
    with reading(path, "netCDF-4 file"), h5py.File(path, "r") as file:
        sets = {name: item for name, item in file.items() if isinstance(item, h5py.Dataset)}
        arrays = {name: item for name, item in sets.items() if item.ndim > 1 and item.dtype.kind in "fiu"}
        if len(arrays) != 1:
            raise ValueError(f"it has {len(arrays)} arrays of several dimensions, {', '.join(arrays)}; expected one")
        ((variable, array),) = arrays.items()
        dimensions = [_dimension(array, axis) for axis in range(array.ndim)]
        coordinates: dict[str, dict[str, np.ndarray]] = {name: {} for name in dimensions}
        for name, item in sets.items():
            along = _dimension(item, 0) if item.ndim and not _is_bare(item) else None
            if along in coordinates and name != variable and item.ndim == 1 + (item.dtype.kind == "S"):
                coordinates[along][name] = _values(item)
        shape = array.shape
    by_id = [(dimension, name) for name in IDS for dimension, of in coordinates.items() if name in of]
    if not by_id:
        known = ", ".join(name for of in coordinates.values() for name in of) or "none"
        raise ValueError(f"{path} does not say which stimulus was shown: no {' or '.join(IDS)} among {known}.")
    stimulus, id_name = by_id[0]
    timed = next((d for d in dimensions if d == "time_bin" or "time_bin_start" in coordinates[d]), None)
    others = [d for d in dimensions if d not in (stimulus, timed)]
    units = [d for d in others if d == "neuroid" or "neuroid_id" in coordinates[d]] or others
    if len(units) != 1 or any(shape[dimensions.index(d)] != 1 for d in others if d not in units):
        raise ValueError(
            f"{path}: {variable} has the dimensions {', '.join(dimensions)}; expected stimuli and neuroids."
        )
    bins = [coordinates[timed].get(f"time_bin_{end}") for end in ("start", "end")] if timed else [None]
    return Assembly(
        path,
        variable,
        (dimensions.index(stimulus), dimensions.index(units[0]), None if timed is None else dimensions.index(timed)),
        len(dimensions),
        [str(one) for one in coordinates[stimulus][id_name]],
        coordinates[units[0]],
        shape[dimensions.index(units[0])],
        1 if timed is None else shape[dimensions.index(timed)],
        None if any(one is None for one in bins) else np.stack(bins, 1).astype(np.float64),
    )


def _dimension(item: Any, axis: int) -> str:
    """The name of a dimension."""
    scales = [scale.name.lstrip("/") for scale in item.dims[axis].values()]
    return scales[0] if scales else item.name.lstrip("/")


def _is_bare(item: Any) -> bool:
    """Whether a data set stands for a dimension that has no coordinate of its own."""
    return bytes(item.attrs.get("NAME", b"")).startswith(b"This is a netCDF dimension")


def _values(item: Any) -> np.ndarray:
    """A coordinate: numbers, or texts, which lie in a file as such or as letters."""
    values = item[()]
    if values.dtype.kind == "S":  # (n, n_letters)
        return np.array([b"".join(row).decode().rstrip("\0 ") for row in values.reshape(len(values), -1)])
    if values.dtype.kind == "O":
        return np.array([one.decode() if isinstance(one, bytes) else str(one) for one in values])
    return values


def has(assembly: Assembly, where: Mapping[str, Any]) -> bool:
    """Whether any neuroid may be what is wanted, see :func:`chosen`."""
    return all(
        name in assembly.neuroids
        and bool(np.isin(np.array(list(map(str, assembly.neuroids[name]))), _allowed(wanted)).any())
        for name, wanted in where.items()
    )


def _allowed(wanted: Any) -> list[str]:
    return [str(one) for one in (wanted if isinstance(wanted, list | tuple) else [wanted])]


def chosen(assembly: Assembly, where: Mapping[str, Any]) -> np.ndarray:
    """The neuroids whose coordinates have the values wanted, such as {"region": "IT"}; of a list, any of them.

    Raises:
        ValueError: no such coordinate or value.
    """
    inside = np.ones(assembly.n_neuroids, bool)
    for name, wanted in where.items():
        check_word("coordinate", name, list(assembly.neuroids))
        values = np.array([str(one) for one in assembly.neuroids[name]])
        for one in _allowed(wanted):
            check_word(name, one, sorted(set(values)))
        inside &= np.isin(values, _allowed(wanted))
    if not inside.any():
        raise ValueError(f"no neuroid of {assembly.path} has {dict(where)} all at once.")
    return np.flatnonzero(inside)


# ---------------------------------------------------------------------- stimuli


def read_stimuli(root: Path, name: str, ids: Sequence[str]) -> tuple[Images, dict[str, list[str]]]:
    """The pictures of some ids, and what the table of stimuli says of each.

    The table has a column "stimulus_id" or "image_id", and "filename". Without one, a picture is the one in whose name,
    between underscores, the id is.

    Args:
        root: folder of the data set.
        name: the table, below root or anywhere; "" takes the one that lists the ids.
        ids: one a picture.

    Raises:
        FileNotFoundError: no table that lists the ids, or no pictures.
        ValueError: a table without those columns.
    """
    tables = [there(root / name)] if name else sorted([*root.glob("*.csv"), *root.glob("*/*.csv")])
    tried = []
    for path in tables:
        table = _read_table(path, bool(name))
        rows = {} if table is None else {one: row for row, one in enumerate(_ids_of(table))}
        missing = [one for one in ids if one not in rows]
        if table is None or missing:
            tried.append(f"{path.name} lacks {len(missing)} of {len(ids)}")
            continue
        columns = {key: [values[rows[one]] for one in ids] for key, values in table.items()}
        return _pictures(root, path, columns["filename"]), columns
    of = {} if name else {word: path for path in root.glob("**/*") if is_picture(path.name)
                          for word in path.name.replace(".", "_").split("_")}  # fmt: skip
    if all(one in of for one in ids):
        return Images([of[one] for one in ids]), {}
    raise FileNotFoundError(
        f"no table of stimuli in {root} lists the {len(ids)} stimuli that were shown, such as {ids[0]!r}"
        f" ({'; '.join(tried) or 'there is no .csv file'}), and no pictures have them in their names."
    )


def _read_table(path: Path, wanted: bool) -> dict[str, list[str]] | None:
    """The columns of a table of stimuli; None where it is another table."""
    with reading(path, "table of stimuli"), path.open(newline="", encoding="utf-8-sig") as file:
        rows = [row for row in csv.reader(file) if row]
    header = rows[0] if rows else []
    if "filename" not in header or not set(IDS) & set(header):
        if wanted:
            raise ValueError(f"{path} has no columns filename and {' or '.join(IDS)}; it has {', '.join(header)}.")
        return None
    if any(len(row) != len(header) for row in rows):
        raise ValueError(f"{path}: a row has another number of cells than the header, {len(header)}.")
    return {name: [row[place] for row in rows[1:]] for place, name in enumerate(header)}


def _ids_of(table: Mapping[str, list[str]]) -> list[str]:
    return table[next(name for name in IDS if name in table)]


def _pictures(root: Path, table: Path, files: Sequence[str]) -> Images:
    """The pictures of some names, in a folder or a zip beside the table."""
    folders = [table.parent / table.stem, table.parent, root, *(one for one in sorted(root.glob("*")) if one.is_dir())]
    for folder in folders:
        if files and (folder / files[0]).is_file():
            return Images([folder / file for file in files])
    for path in sorted({*table.parent.glob("*.zip"), *root.glob("*.zip")}):
        with reading(path, "zip"), zipfile.ZipFile(path) as archive:
            names = {Path(member).name for member in archive.namelist()}
        if set(files) <= names:
            ids = [one.rpartition("/")[2] for one in Images(path, layout="flat").ids]  # with or without suffix
            order = {one: row for row, one in enumerate(ids)}
            return Images(path, layout="flat", rows=[order.get(Path(one).stem, order.get(one)) for one in files])
    raise FileNotFoundError(
        f"{table} lists pictures such as {files[0]}, and no folder or zip beside it has them: expected "
        f"{table.with_suffix('')} or {table.with_suffix('.zip').name}."
    )
