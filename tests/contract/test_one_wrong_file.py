"""One wrong file at a time, for every reader: it is refused in one line that names it, or it changes nothing.

The tiny folder of each data set is damaged file by file. What a reader then says is one of

* refused: one line that names the file or what is wrong with its content,
* unread: everything that was read stays as it was,
* said: other numbers, and a warning that says so,
* other: other numbers without a word. Which those are stands in ``UNSEEN``, each with its reason.
"""

from __future__ import annotations

import csv
import io
import warnings
from collections import Counter
from collections.abc import Callable, Iterator
from fnmatch import fnmatch
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import h5py
import nibabel
import numpy as np
import pytest
from scipy.io import loadmat, savemat

from brainnet.dataset import DATASETS, TimeSeries
from brainnet.dataset.checking import FORESEEN
from brainnet.dataset.rdm_sets import RDMSet
from tests.contract.test_datasets import TINY
from tests.dataset.readers.test_rdm_folder import write_set
from tests.dataset.readers.test_things_behavior import write_behavior

TABLES, PICTURES = (".csv", ".tsv", ".txt"), (".jpg", ".png", ".mp4", ".zip")
LINES_CUT = "its last line cut"


def separator(path: Path, raw: bytes) -> str | None:
    first = raw.splitlines()[0]
    return "\t" if path.suffix == ".tsv" or b"\t" in first else "," if b"," in first else None


def rows_of(raw: bytes, path: Path) -> list[list[str]]:
    sep = separator(path, raw)
    lines = raw.decode("utf-8-sig").splitlines()
    return list(csv.reader(lines, delimiter=sep)) if sep else [line.split(" ") for line in lines]


def written(rows: list[list[str]], raw: bytes, path: Path) -> bytes:
    text = io.StringIO()
    csv.writer(text, delimiter=separator(path, raw) or " ", lineterminator="\n").writerows(rows)
    return text.getvalue().encode()


def of_table(path: Path, raw: bytes) -> Iterator[tuple[str, bytes]]:
    body = raw.rstrip()
    last = body.rpartition(b"\n")[2]
    if len(last) > 1:
        yield LINES_CUT, body[: -max(1, len(last) // 2)]
        yield "its last character cut", body[:-1]
    if body.count(b"\n") > 1:
        yield "its last line missing", body.rpartition(b"\n")[0] + b"\n"
        rows = rows_of(raw, path)
        yield "two rows exchanged", written([*rows[:-2], rows[-1], rows[-2]], raw, path)
        if len(rows[0]) > 1:
            yield "its last column missing", written([row[:-1] for row in rows], raw, path)


def of_array(values: np.ndarray) -> Iterator[tuple[str, np.ndarray]]:
    """Arrays in whose place a wrong one was saved."""
    if values.dtype.kind not in "iufb" or not values.ndim:
        return
    kind = np.int16 if values.dtype.kind == "f" else np.float64
    yield "another kind of number", values.astype(kind)
    for axis in range(values.ndim):
        if values.shape[axis] > 1:
            yield f"one less along axis {axis}", np.delete(values, -1, axis)
    if values.ndim > 1 and len(set(values.shape)) > 1:
        yield "its axes reversed", values.T
    if values.dtype.kind == "f":
        yield "NaN everywhere", np.full_like(values, np.nan)
        some = values.copy()
        some.reshape(-1)[: max(1, values.size // 3)] = np.nan
        yield "NaN in a third", some


def npy(values: np.ndarray) -> bytes:
    text = io.BytesIO()
    np.save(text, values)
    return text.getvalue()


def of_npy(path: Path, raw: bytes) -> Iterator[tuple[str, bytes]]:
    values = np.load(path, allow_pickle=True)
    if values.dtype.kind != "O":
        yield from ((name, npy(changed)) for name, changed in of_array(values))
        yield "Python objects", npy(np.array({"a": 1}, dtype=object))


def of_npz(path: Path, raw: bytes) -> Iterator[tuple[str, bytes]]:
    with np.load(path) as file:
        sets = dict(file)
    for key, values in sets.items():
        for name, changed in of_array(values):
            text = io.BytesIO()
            np.savez(text, **(sets | {key: changed}))
            yield f"{key}: {name}", text.getvalue()


def of_mat(path: Path, raw: bytes) -> Iterator[tuple[str, bytes]]:
    """Of a .mat file: of HDF5 from version 7.3 on, and of scipy before."""
    if h5py.is_hdf5(path):
        yield from of_hdf5(path, raw)
        return
    sets = {key: values for key, values in loadmat(path).items() if not key.startswith("__")}
    for key, values in sets.items():
        for name, changed in of_array(values):
            text = io.BytesIO()
            savemat(text, sets | {key: changed})
            yield f"{key}: {name}", text.getvalue()


def of_hdf5(path: Path, raw: bytes) -> Iterator[tuple[str, bytes]]:
    if not h5py.is_hdf5(path):
        return
    with h5py.File(path, "r") as file:
        sets: dict[str, np.ndarray] = {}
        file.visititems(lambda key, item: sets.update({key: item[()]} if isinstance(item, h5py.Dataset)
                                                      and item.ndim and item.size < 1e6 else {}))  # fmt: skip
    for key, values in sets.items():
        if isinstance(values, np.ndarray):
            for name, changed in of_array(values):
                path.write_bytes(raw)
                with h5py.File(path, "r+") as file:
                    attributes = dict(file[key].attrs)
                    if any(word in attributes for word in ("REFERENCE_LIST", "DIMENSION_LIST", "CLASS")):
                        if changed.shape != values.shape or changed.dtype != values.dtype:
                            continue  # netCDF ties its axes together
                        file[key][...] = changed
                    else:
                        del file[key]
                        file[key] = changed
                        file[key].attrs.update(attributes)
                yield f"{key}: {name}", path.read_bytes()
    path.write_bytes(raw)


def of_image(path: Path, raw: bytes) -> Iterator[tuple[str, bytes]]:
    image = nibabel.load(path)
    if not hasattr(image, "dataobj"):
        return
    values = np.asanyarray(image.dataobj)
    if values.size > 1e6:
        return
    kind = type(image)
    for name, changed in of_array(values):
        if kind is nibabel.MGHImage and changed.dtype == np.float64:
            changed = changed.astype(np.float32)
        try:
            header = image.header.copy()
            header.set_data_dtype(changed.dtype)
            nibabel.save(kind(changed, image.affine, header), path)
        except Exception:  # a kind of number that the format cannot hold
            continue
        yield name, path.read_bytes()
    path.write_bytes(raw)


KINDS = {".csv": of_table, ".tsv": of_table, ".txt": of_table, ".npy": of_npy, ".npz": of_npz, ".h5": of_hdf5,
         ".hdf5": of_hdf5, ".hf5": of_hdf5, ".nc": of_hdf5, ".mat": of_mat, ".gz": of_image, ".nii": of_image,
         ".mgh": of_image, ".mgz": of_image}  # fmt: skip


def faults(path: Path) -> Iterator[tuple[str, bytes | None]]:
    """Every fault of a file, and what it then holds; None takes it away."""
    raw = path.read_bytes()
    yield "missing", None
    yield "empty", b""
    yield "its second half missing", raw[: len(raw) // 2]
    if path.suffix not in TABLES and len(raw) > 64:
        yield "its last bytes missing", raw[:-9]
    yield "another kind of file", b"<html>403 Forbidden</html>\n"
    if path.suffix in KINDS:
        yield from KINDS[path.suffix](path, raw)


def content(data: Any) -> list[bytes]:
    """All that a reader gives, as bytes."""
    if isinstance(data, RDMSet):
        return [repr((data.image_ids, {k: (v.names, v.conditions) for k, v in data.rdms.items()})).encode(),
                *(rdms.values.numpy().tobytes() for rdms in data.rdms.values()),
                *(np.asarray(data.load_image(i)).tobytes() for i in range(len(data)) if data.images)]  # fmt: skip
    space = data.space
    parts = [data.image_ids, {k: v.tolist() for k, v in data.splits.items()}, data.noise_ceiling_definition,
             data.n_repeats, list(space.rois), getattr(space, "sensors", None)]  # fmt: skip
    arrays = [data.responses, data.noise_ceiling, *space.rois.values(), space.coords, space.mask, space.affine,
              space.vertices, space.times]  # fmt: skip
    found = [repr(parts).encode(), *(np.asarray(one).tobytes() for one in arrays if one is not None)]
    found.append(repr(getattr(data, "groups", None) is not None and list(data.groups)).encode())
    if isinstance(data, TimeSeries):
        return [*found, repr([data.run_names, data.stimuli]).encode()]
    for row in range(len(data)):
        shown = data.load_image(row)
        found.append(shown.encode() if isinstance(shown, str) else np.asarray(shown).tobytes())
    return found


class Outcome(NamedTuple):
    """What a reader did of a wrong file."""

    kind: str
    said: str


def opened(read: Callable[[], Any], whole: list[bytes], usual: set[str]) -> Outcome:
    """What becomes of a folder, against what the whole one gives, and warns of."""
    with warnings.catch_warnings(record=True) as noted, pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr("brainnet._checks._already_warned", set())
        try:
            found = content(read())
        except FORESEEN as error:
            return Outcome("refused" if "\n" not in str(error) else "several lines", f"{type(error).__name__}: {error}")
        except Exception as error:
            return Outcome("fault", f"{type(error).__name__}: {error}")
    said = " | ".join(text for text in (str(one.message) for one in noted) if text not in usual)
    if found == whole:
        return Outcome("unread", said)
    return Outcome("said" if said else "other", said)


def table_of(read: Callable[[], Any], folder: Path) -> Iterator[tuple[Path, str, Outcome]]:
    """Every fault of every file of a folder (of pictures, of two), and what became of it."""
    with warnings.catch_warnings(record=True) as noted, pytest.MonkeyPatch.context() as patch:
        warnings.simplefilter("always")
        patch.setattr("brainnet._checks._already_warned", set())
        whole = content(read())
    usual = {str(one.message) for one in noted}
    assert opened(read, whole, usual) == Outcome("unread", "")
    paths = sorted(path for path in folder.rglob("*") if path.is_file())
    shown = [path for path in paths if path.suffix in PICTURES]
    for path in [path for path in paths if path not in shown[1:-1]]:
        raw = path.read_bytes()
        for name, changed in list(faults(path)):
            path.unlink() if changed is None else path.write_bytes(changed)
            yield path.relative_to(folder), name, opened(read, whole, usual)
            path.write_bytes(raw)


# what a reader cannot know: (data set, file, fault) as patterns
UNSEEN = (
    ("algonauts2025", "*_bold.h5", "*: one less along axis 0"),  # the same film lasts a volume less in some people
    ("bids", "*bold.nii.gz", "another kind of number"),  # a series may hold whole numbers
    ("bids", "*confounds_timeseries.tsv", "two rows exchanged"),  # nothing else says how the head moved
    ("bold5000", "*.npy", "one less along axis 1"),  # a voxel less: nothing else says how many there are
    ("bold5000", "*imgnames.txt", "two rows exchanged"),  # the order of trials stands nowhere else
    ("boldmoments", "*ROI-*", "missing"),  # regions are optional
    ("bonner2017", "*.npz", "missing"),  # how the files of regions are called is not published
    ("cowley_v4", "raw_*", "missing"),  # single repeats are optional
    ("laion_fmri", "*statmap.nii.gz", "another kind of number"),  # NIfTI files may hold scaled whole numbers
    ("laion_fmri", "*_mask.nii.gz", "missing"),  # regions are optional
    ("laion_fmri", "*metadata.csv", "two rows exchanged"),  # the order of the photographs stands nowhere else
    ("lepetitprince", "*bold.nii.gz", "another kind of number"),  # a series may hold whole numbers
    ("lepetitprince", "*bold.nii.gz", "one less along axis 3"),  # scans go on after the sound, some more or fewer
    ("nsd*", "*odd.mgz.ctab", "missing"),  # names of labels are optional, as are maps of regions
    ("nsd*", "*/roi/*.nii.gz", "missing"),
    ("nsd_imagery", "*/nsdimagery_subj01_*.tsv", "two rows exchanged"),  # the order of trials stands nowhere else
    ("pereira2018", "*.mat", "examples: one less along axis 1"),  # nothing else says how many voxels there are
    ("things_behavior", "*", "two rows exchanged"),  # the order of the objects stands nowhere else
    ("things_fmri", "*VoxelMetadata.csv", "its last column missing"),  # a region less: as many as there are
    ("things_fmri", "*brainmask.nii.gz", "one less along axis *"),  # a plane without voxels: all places stay
    ("things_meg", "*sample_attributes_P1.csv", "two rows exchanged"),  # the order of epochs stands nowhere else
    ("time_series", "coords.npy", "missing"),  # places, regions and stimuli are optional
    ("time_series", "rois.csv", "missing"),
    ("time_series", "stimuli.csv", "missing"),
    ("time_series", "coords.npy", "another kind of number"),  # places may be whole millimetres
    ("time_series", "rois.csv", "two rows exchanged"),  # the order of voxels stands nowhere else
    ("time_series", "rois.csv", "its last column missing"),  # a region less: as many as there are
    ("time_series", "runs/r10.npy", "one less along axis 0"),  # a repeat less: as many as there are
    ("time_series", "stimuli.csv", "its last line missing"),  # a stimulus less, and nothing says how many
)


def unseen(name: str, path: Path, fault: str) -> bool:
    return any(fnmatch(name, of) and fnmatch(str(path), file) and fnmatch(fault, words) for of, file, words in UNSEEN)


def _rdms(name: str, n: int, places: tuple[str, str], folder: Path) -> RDMSet:
    if not folder.exists():
        write_set(folder, n, *places)
    return DATASETS[name].from_settings(str(folder), 0)


def _behavior(folder: Path) -> RDMSet:
    if not folder.exists():
        write_behavior(folder)
    return DATASETS["things_behavior"](folder, progress=False)


MADE: dict[str, Callable[[Path], Any]] = TINY | {
    "bonner2017": partial(_rdms, "bonner2017", 50, ("bonner_pnas2017/stimuli_data", "bonner_pnas2017/brain_data")),
    "images78": partial(_rdms, "images78", 78, ("images_78", "rdms_78")),
    "images92": partial(_rdms, "images92", 92, ("images_92", "rdms_92")),
    "things_behavior": _behavior,
}

# nothing is read, or, of neuralset, by that package, in whose place the tests put an array
NO_FOLDER = ("array", "neuralset", "simulated", "simulated_series")
FAST = ("bonner2017", "cowley_v4", "pereira2018", "things_behavior")
READERS = [name if name in FAST else pytest.param(name, marks=pytest.mark.slow)
           for name in MADE if name not in NO_FOLDER]  # fmt: skip


def test_every_reader_meets_wrong_files():
    assert set(MADE) == set(DATASETS.names())


@pytest.mark.parametrize("name", READERS)
def test_a_wrong_file_is_refused_or_told_or_changes_nothing(name, tmp_path):
    if name == "boldmoments":
        pytest.importorskip("av")
    folder = tmp_path / "data"
    read = partial(MADE[name], folder)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        read()
    found = list(table_of(read, folder))
    kinds = Counter(outcome.kind for _, _, outcome in found)
    print(name, dict(kinds))
    wrong = [
        (str(path), fault, *outcome) for path, fault, outcome in found
        if outcome.kind in ("fault", "several lines") or (outcome.kind == "other" and not unseen(name, path, fault))
    ]  # fmt: skip
    assert not wrong, "\n".join(map(repr, wrong))
    assert kinds["refused"] >= 8
