"""RDM files: our own ``.npz`` and ``.h5``, and what other tools write.

Read are Net2Brain's ``.npz`` and ``.pt`` (vectors with stimulus and layer names), THINGSvision's ``.npy``, ``.txt``
and ``.mat`` matrices, MATLAB files of either generation, and any array file that holds one thing shaped like RDMs.
Nothing is unpickled: entries that would need it are passed over.
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet.rsa.rdms import RDMs

LIKELY_KEYS = ("values", "rdm", "rdms", "RDM", "RDMs", "subject_rdm", "Net_RDM", "dissimilarities", "arr_0")
CONDITION_KEYS = ("conditions", "stimuli_name")
NAME_KEYS = ("names", "layer_name")
FORMATS = (".npz", ".npy", ".h5", ".hdf5", ".mat", ".pt", ".txt", ".csv")


def save_rdms(rdms: RDMs, path: str | Path) -> Path:
    """Writes RDMs with metric, names and conditions to ``.npz``, ``.h5`` or ``.hdf5``, whole or not at all.

    Raises:
        ValueError: another suffix.
    """
    path = Path(path)
    content = {"values": rdms.values.detach().cpu().numpy(), "metric": rdms.metric, "names": list(rdms.names)}
    if rdms.conditions is not None:
        content["conditions"] = list(rdms.conditions)
    unfinished = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        if path.suffix == ".npz":
            with unfinished.open("wb") as stream:
                np.savez_compressed(stream, **{key: np.asarray(value) for key, value in content.items()})
        elif path.suffix in (".h5", ".hdf5"):
            import h5py

            with h5py.File(unfinished, "w") as file:
                for key, value in content.items():
                    file[key] = value
        else:
            raise ValueError(f"RDMs are saved as .npz, .h5 or .hdf5, got {path.name!r}.")
        unfinished.replace(path)
    finally:
        unfinished.unlink(missing_ok=True)
    return path


def load_rdms(path: str | Path, key: str | None = None) -> RDMs:
    """RDMs from a file: square matrices or vectors of pairs, with names and conditions where the file has them.

    Args:
        path: ``.npz``, ``.npy``, ``.h5``, ``.hdf5``, ``.mat`` (v5 and v7.3), ``.pt``, ``.txt`` or ``.csv``.
        key: which entry, for files with several arrays that could be RDMs.

    Returns:
        RDMs in the file's precision. Further axes before the pairs (subjects, time) are flattened in order, and
        numbered names tell them apart ("3/12"). MATLAB stacks of (n, n, n_rdms) are recognised.

    Raises:
        FileNotFoundError: no such file.
        ValueError: another suffix, no entry shaped like RDMs, several without ``key``, or matrices that are none
            (asymmetric, non-zero diagonal).
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no RDM file {path}; readable are {', '.join(FORMATS)}.")
    if path.suffix not in FORMATS:
        raise ValueError(f"cannot read RDMs from {path.name!r}; readable are {', '.join(FORMATS)}.")
    entries = _entries(path)
    key = _choose(entries, key, path)
    try:
        rdms = _shaped(np.asarray(entries[key]))
    except (ValueError, TypeError) as error:
        raise ValueError(f"{path.name}, entry {key!r}: {error}") from None
    names = next((_texts(entries[k]) for k in NAME_KEYS if k in entries), ())
    conditions = next((_texts(entries[k]) for k in CONDITION_KEYS if k in entries), ())
    metric = _texts(entries["metric"])[0] if "metric" in entries else "unknown"
    if len(names) == 1 < len(rdms):
        names = tuple(f"{names[0]}/{name}" for name in rdms.names)
    return RDMs(
        rdms.values,
        metric,
        names if len(names) == len(rdms) else rdms.names,
        conditions if len(conditions) == rdms.n_conditions else None,
    )


def _entries(path: Path) -> dict[str, Any]:
    if path.suffix == ".npz":
        found = {}
        with np.load(path, allow_pickle=False) as archive:
            for name in archive.files:
                try:
                    found[name] = archive[name]
                except ValueError:  # an object array, which only unpickling could read
                    continue
        return found
    if path.suffix == ".npy":
        return {"array": np.load(path, allow_pickle=False)}
    if path.suffix in (".txt", ".csv"):
        try:
            return {"array": np.loadtxt(path, delimiter="," if path.suffix == ".csv" else None, ndmin=2)}
        except ValueError as error:
            raise ValueError(
                f"{path.name} is not a table of numbers alone ({error}); expected is a square matrix or pairs, without"
                " names of rows and columns."
            ) from None
    if path.suffix == ".pt":
        content = torch.load(path, map_location="cpu", weights_only=True)
        return dict(content) if isinstance(content, Mapping) else {"array": content}
    if path.suffix == ".mat":
        import h5py

        if not h5py.is_hdf5(path):
            from scipy.io import loadmat

            content = loadmat(path)
            return {name: _unwrapped(value) for name, value in content.items() if not name.startswith("__")}
        return {name: value.T for name, value in _hdf5_arrays(path).items()}  # MATLAB's first axis varies fastest
    return _hdf5_arrays(path)


def _hdf5_arrays(path: Path) -> dict[str, np.ndarray]:
    import h5py

    with h5py.File(path, "r") as file:
        arrays = {name: item[()] for name, item in file.items() if isinstance(item, h5py.Dataset)}
    return {
        name: np.asarray(value) for name, value in arrays.items() if not h5py.check_ref_dtype(np.asarray(value).dtype)
    }


def _unwrapped(value: np.ndarray) -> np.ndarray:
    """The matrices of a MATLAB structure array with a field RDM, stacked; anything else as it is."""
    if value.dtype.names and "RDM" in value.dtype.names:
        return np.stack([np.asarray(matrix, dtype=float) for matrix in value["RDM"].ravel()])
    return value


def _choose(entries: dict[str, Any], key: str | None, path: Path) -> str:
    if key is not None:
        if key not in entries:
            raise ValueError(f"{path.name} has no entry {key!r}; it holds {', '.join(entries) or 'nothing readable'}.")
        return key
    numeric = [name for name, value in entries.items() if _could_be_rdms(value)]
    likely = [name for name in LIKELY_KEYS if name in numeric]
    if likely or len(numeric) == 1:
        return (likely or numeric)[0]
    if not numeric:
        raise ValueError(
            f"{path.name} holds nothing shaped like RDMs (entries: {', '.join(entries) or 'none readable'})."
        )
    raise ValueError(f"{path.name} holds several arrays: pass key=, one of {', '.join(numeric)}.")


def _could_be_rdms(value: Any) -> bool:
    if isinstance(value, (str, bytes)) or not hasattr(value, "shape"):
        return False
    return len(value.shape) >= 1 and max(value.shape) > 1 and np.asarray(value).dtype.kind in "fiu"


def _shaped(array: np.ndarray) -> RDMs:
    array = array if array.dtype.kind == "f" else array.astype(float)
    if array.ndim == 2 and array.shape[1] == 1:
        array = array.T
    if array.ndim == 3 and array.shape[0] == array.shape[1] != array.shape[2]:
        array = np.moveaxis(array, -1, 0)
    square = array.ndim >= 2 and array.shape[-1] == array.shape[-2] > 1
    leading = array.shape[: -2 if square else -1]
    names = ["/".join(map(str, index)) for index in np.ndindex(leading)] if leading else ["0"]
    if square:
        return RDMs.from_square(array, names=names)
    return RDMs(torch.from_numpy(np.ascontiguousarray(array.reshape(len(names), -1))), names=tuple(names))


def _texts(value: Any) -> tuple[str, ...]:
    if isinstance(value, (str, bytes)):
        value = [value]
    flat = np.asarray(value).ravel().tolist()
    return tuple(item.decode() if isinstance(item, bytes) else str(item) for item in flat)
