"""RDM files as plain arrays: brainnet's own ``.npz`` and ``.h5``, and what other tools write.

Read are Net2Brain's ``.npz`` and ``.pt`` (vectors with stimulus and layer names), THINGSvision's ``.npy``, ``.txt``
and ``.mat`` matrices, MATLAB arrays and structures of either generation, Meadows' ``.mat``, and any array file that
holds one thing shaped like RDMs. Where several things are, the caller says which; nothing is chosen for him.
Nothing is unpickled: entries that would need it are passed over. ``RDMs.load`` and ``RDMs.save`` are the doors.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch

from brainnet._files import reading, write_npz, writing

CONDITION_KEYS = ("conditions", "stimuli_name", "stimuli")
NAME_KEYS = ("names", "layer_name")
FORMATS = (".npz", ".npy", ".h5", ".hdf5", ".mat", ".pt", ".txt", ".csv")
MEADOWS = "rdmutv_"  # Meadows gives every participant an entry of this name: upper triangles as vectors


class Content(NamedTuple):
    """What a file of RDMs holds.

    ``values`` is (..., n, n) or (..., n_pairs); ``entry`` is the name it has in the file; names and conditions are
    empty, and ``axes`` is None, where the file says nothing of them.
    """

    values: np.ndarray
    entry: str = ""
    metric: str = "unknown"
    names: tuple[str, ...] = ()
    conditions: tuple[str, ...] = ()
    axes: dict[str, tuple[str, ...]] | None = None

    @property
    def is_square(self) -> bool:
        """Whether the values are square matrices, not vectors of pairs."""
        return self.values.ndim >= 2 and self.values.shape[-1] == self.values.shape[-2] > 1


def write_content(content: Content, path: str | Path) -> Path:
    """Writes RDMs as ``.npz``, ``.h5`` or ``.hdf5``, whole or not at all.

    Raises:
        ValueError: another suffix.
    """
    path = Path(path)
    entries: dict[str, Any] = {"values": content.values, "metric": content.metric, "names": list(content.names)}
    if content.conditions:
        entries["conditions"] = list(content.conditions)
    if content.axes is not None:
        entries["axes"] = json.dumps(content.axes)
    if path.suffix == ".npz":
        write_npz(path, {key: np.asarray(value) for key, value in entries.items()}, compressed=True)
    elif path.suffix in (".h5", ".hdf5"):
        import h5py

        with writing(path) as unfinished, h5py.File(unfinished, "w") as file:
            for key, value in entries.items():
                file[key] = value
    else:
        raise ValueError(f"RDMs are saved as .npz, .h5 or .hdf5, got {path.name!r}.")
    return path


def read_content(path: str | Path, key: str | None = None) -> Content:
    """The RDMs in a file, with what the file says about them.

    Args:
        path: ``.npz``, ``.npy``, ``.h5``, ``.hdf5``, ``.mat`` (v5 and v7.3), ``.pt``, ``.txt`` or ``.csv``.
        key: the entry to read, where several could be RDMs.

    Returns:
        Values in the file's precision. MATLAB stacks of (n, n, ...) have their conditions moved to the end.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another suffix, a damaged file, no entry shaped like RDMs, or several without ``key``.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no RDM file {path}; readable are {', '.join(FORMATS)}.")
    if path.suffix not in FORMATS:
        raise ValueError(f"cannot read RDMs from {path.name!r}; readable are {', '.join(FORMATS)}.")
    entries, named = read_entries(path)
    entry = _choose(entries, key, path)
    own = {"values", "metric"} <= set(entries)
    axes = json.loads(texts(entries["axes"])[0]) if own and "axes" in entries else None
    return Content(
        _moved(np.asarray(entries[entry]), entry, path),
        entry,
        texts(entries["metric"])[0] if "metric" in entries else "unknown",
        named.get(entry) or next((texts(entries[k]) for k in NAME_KEYS if k in entries), ()),
        next((texts(entries[k]) for k in CONDITION_KEYS if k in entries), ()),
        None if axes is None else {axis: tuple(labels) for axis, labels in axes.items()},
    )


# ---- entries of a file --------------------------------------------------------------------------------------------


def read_entries(path: Path, without: Collection[str] = ()) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """The entries of a file by name, and the names of the RDMs in those entries that carry them.

    Of HDF5, those that ``without`` names are left in the file.
    """
    if path.suffix == ".npz":
        return _of_archive(path), {}
    if path.suffix == ".npy":
        return {"array": read_array(path)}, {}
    if path.suffix in (".txt", ".csv"):
        try:
            return {"array": np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)}, {}
        except ValueError as error:
            raise ValueError(
                f"{path.name} is not a table of numbers alone ({error}); expected is a square matrix or pairs, without"
                " names of rows and columns."
            ) from None
    if path.suffix == ".pt":
        with reading(path, "file of tensors"):
            content = torch.load(path, map_location="cpu", weights_only=True)
        return dict(content) if isinstance(content, Mapping) else {"array": content}, {}
    return _of_matlab(path, without) if path.suffix == ".mat" else (_of_hdf5(path, False, without)[0], {})


def read_array(path: str | Path) -> np.ndarray:
    """The array of a ``.npy`` file; a ValueError that names the file where it holds none."""
    with reading(path, "array of numbers"):
        return np.load(path, allow_pickle=False)


def _of_archive(path: Path) -> dict[str, Any]:
    found = {}
    with reading(path, "archive of arrays"), np.load(path, allow_pickle=False) as archive:
        for name in archive.files:
            try:
                found[name] = archive[name]
            except ValueError:  # an object array, which only unpickling could read
                continue
    return found


def _of_matlab(path: Path, without: Collection[str]) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    import h5py

    if h5py.is_hdf5(path):
        entries, named = _of_hdf5(path, True, without)
    else:
        from scipy.io import loadmat

        entries, named = {}, {}
        with reading(path, "MATLAB file"):
            content = loadmat(path)
        for name, value in content.items():
            if isinstance(value, np.ndarray) and value.dtype.names and "RDM" in value.dtype.names:
                titles = [_text(one) for one in value["name"].ravel()] if "name" in value.dtype.names else []
                entries[name], named[name] = _stacked(value["RDM"], path, name), tuple(titles)
            elif not name.startswith("__"):
                entries[name] = value
    participants = [name for name in entries if name.startswith(MEADOWS)]
    if participants and len({np.shape(entries[name]) for name in participants}) == 1:
        entries["participants"] = np.stack([np.ravel(entries.pop(name)) for name in participants])
        named["participants"] = tuple(name.removeprefix(MEADOWS) for name in participants)
    return entries, named


def _of_hdf5(
    path: Path, matlab: bool, without: Collection[str] = ()
) -> tuple[dict[str, Any], dict[str, tuple[str, ...]]]:
    """Datasets, and of MATLAB also structures with a field RDM and cells of texts; its first axis varies fastest."""
    import h5py

    entries, named = {}, {}
    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        for name, item in file.items():
            if name in without:
                continue
            if isinstance(item, h5py.Dataset):
                value = item[()]
                if h5py.check_ref_dtype(np.asarray(value).dtype):
                    if matlab and name in CONDITION_KEYS:
                        entries[name] = _pointed_texts(file, value)
                    continue
                entries[name] = value.T if matlab else value
            elif matlab and "RDM" in item:
                matrices = item["RDM"][()]
                if h5py.check_ref_dtype(matrices.dtype):
                    cells = np.empty(matrices.T.shape, dtype=object)
                    for place, pointer in np.ndenumerate(matrices.T):
                        cells[place] = file[pointer][()].T
                    entries[name] = _stacked(cells, path, name)
                    titles = item["name"][()] if "name" in item else np.empty(0)
                    named[name] = _pointed_texts(file, titles) if titles.dtype.kind == "O" else ()
                else:
                    entries[name] = matrices.T
                    named[name] = (_letters(item["name"][()]),) if "name" in item else ()
    return entries, named


def _pointed_texts(file: Any, pointers: np.ndarray) -> tuple[str, ...]:
    return tuple(_letters(file[pointer][()]) for pointer in pointers.T.ravel())


def _letters(codes: np.ndarray) -> str:
    """A MATLAB text, which HDF5 holds as character codes."""
    return "".join(map(chr, np.ravel(codes).tolist()))


def _stacked(cells: np.ndarray, path: Path, name: str) -> np.ndarray:
    """(..., n, n) of a structure array whose cells are matrices; axes of length 1 are left out."""
    matrices = [np.asarray(matrix, dtype=float) for matrix in cells.ravel()]
    if len({matrix.shape for matrix in matrices}) != 1:
        raise ValueError(f"{path.name}, entry {name!r}: its RDMs have different shapes.")
    shape = tuple(size for size in cells.shape if size > 1)
    return np.stack(matrices).reshape(*shape, *matrices[0].shape)


# ---- one of the entries -------------------------------------------------------------------------------------------


def _choose(entries: dict[str, Any], key: str | None, path: Path) -> str:
    if key is not None:
        if key not in entries:
            raise ValueError(f"{path.name} has no entry {key!r}; it holds {', '.join(entries) or 'nothing readable'}.")
        return key
    if {"values", "metric"} <= set(entries):
        return "values"  # brainnet's own
    numeric = {name: np.shape(value) for name, value in entries.items() if _is_numeric(value)}
    shaped = [name for name, shape in numeric.items() if _could_be_rdms(shape)] or list(numeric)
    if not shaped:
        raise ValueError(
            f"{path.name} holds nothing shaped like RDMs (entries: {', '.join(entries) or 'none readable'})."
        )
    if len(shaped) > 1:
        shapes = ", ".join(f"{name} {'x'.join(map(str, numeric[name]))}" for name in shaped)
        raise ValueError(f"{path.name} holds several arrays: pass key=, one of {', '.join(shaped)} ({shapes}).")
    return shaped[0]


def _is_numeric(value: Any) -> bool:
    if isinstance(value, (str, bytes)) or not hasattr(value, "shape"):
        return False
    return len(value.shape) >= 1 and max(value.shape, default=0) > 1 and np.asarray(value).dtype.kind in "fiu"


def _could_be_rdms(shape: tuple[int, ...]) -> bool:
    """Square matrices, first or last; or vectors whose length is a number of pairs."""
    if len(shape) > 1 and (shape[-1] == shape[-2] > 1 or shape[0] == shape[1] > 1):
        return True
    n_pairs = shape[0] if len(shape) == 2 and shape[1] == 1 else shape[-1]
    n = round((1 + (1 + 8 * n_pairs) ** 0.5) / 2)
    return n > 2 and n * (n - 1) // 2 == n_pairs


def _moved(array: np.ndarray, entry: str, path: Path) -> np.ndarray:
    """Floating-point values with the axes of conditions, or of pairs, at the end."""
    if array.dtype.kind not in "fiub":
        raise ValueError(f"{path.name}, entry {entry!r}: RDMs must be numbers, got dtype {array.dtype}.")
    array = array if array.dtype.kind == "f" else array.astype(float)
    if array.ndim == 2 and array.shape[1] == 1:
        return array.T
    if array.ndim > 2 and array.shape[0] == array.shape[1] and array.shape[-1] != array.shape[-2]:
        return np.moveaxis(array, (0, 1), (-2, -1))
    return array


def texts(value: Any) -> tuple[str, ...]:
    """The texts of an entry of a file, in whatever arrays they are wrapped."""
    if isinstance(value, (str, bytes)):
        value = [value]
    return tuple(_text(item) for item in (value if isinstance(value, list) else np.asarray(value).ravel()))


def _text(item: Any) -> str:
    """A text, also one that MATLAB wraps into arrays or fills up with blanks."""
    while isinstance(item, np.ndarray) and item.size:
        item = item.ravel()[0]
    return item.decode() if isinstance(item, bytes) else str(item).rstrip()
