"""The files of the Natural Scenes Dataset: design, betas of a session, label maps; each checked as it is read."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import numpy as np

from brainnet._files import reading
from brainnet.dataset.readers._checked import expect_shape, expect_type, there
from brainnet.rsa.files import read_entries

SURFACES = ("fsaverage", "nativesurface")
VOLUMES = ("func1pt8mm", "func1mm")
HEMISPHERES = ("lh", "rh")
TRIALS = 750  # of a session
FSAVERAGE = 163_842  # vertices of a hemisphere
SCALE = 300.0  # whole numbers in files are percent signal change times this
SHARED = 1000  # places in ``masterordering`` of the images that all subjects share
AT_ONCE = 50  # trials of a volume


class Design(NamedTuple):
    """What was shown: for each trial the place in a subject's 10,000 images, and for each subject and place the row.

    Attributes:
        order: (30000,) places from 0, the same for every subject; those below 1000 are the shared images.
        rows: (8, 10000) rows of ``imgBrick``, from 0.
    """

    order: np.ndarray
    rows: np.ndarray


def read_design(root: Path) -> Design:
    """The design of all subjects, from ``nsd_expdesign.mat``.

    Raises:
        FileNotFoundError: it is not there.
        ValueError: an entry is missing or has another shape or range.
    """
    path = root / "nsddata/experiments/nsd/nsd_expdesign.mat"
    there(path)
    found, _ = read_entries(path)
    shapes = {"masterordering": (1, 30_000), "subjectim": (8, 10_000)}
    for name, shape in shapes.items():
        if name not in found:
            raise ValueError(f"{path} has no {name}.")
        if found[name].shape != shape:
            raise ValueError(f"{path}: {name} has shape {found[name].shape}; expected {shape}.")
    order, rows = found["masterordering"][0].astype(np.int64) - 1, found["subjectim"].astype(np.int64) - 1
    for name, values, most in (("masterordering", order, 10_000), ("subjectim", rows, 73_000)):
        if values.min() < 0 or values.max() >= most:
            raise ValueError(
                f"{path}: {name} holds {values.min() + 1} to {values.max() + 1}; expected numbers from 1 to {most}."
            )
    return Design(order, rows)


def session_files(folder: Path, space: str) -> list[list[Path]]:
    """The files of each session that is there, from the first on: one, or one per hemisphere.

    Raises:
        FileNotFoundError: there are none, a session in between is missing, or one hemisphere of it.
    """
    if space in SURFACES:
        suffix = ".mgh" if space == "fsaverage" else ".hdf5"
        names = [[f"{side}.betas_session{n:02d}{suffix}" for side in HEMISPHERES] for n in range(1, 41)]
        sessions = [[folder / name for name in pair] for pair in names]
    else:
        sessions = [
            [next((p for p in (stem.with_suffix(".hdf5"), stem.with_suffix(".nii.gz")) if p.is_file()),
                  stem.with_suffix(".nii.gz"))]
            for stem in (folder / f"betas_session{n:02d}" for n in range(1, 41))
        ]  # fmt: skip
    found = [n for n, files in enumerate(sessions, 1) if any(path.is_file() for path in files)]
    if not found:
        raise FileNotFoundError(
            f"no betas in {folder}: expected {sessions[0][0].name} and so on, of the space {space}."
        )
    for files in sessions[: found[-1]]:
        for path in files:
            there(path)
    return sessions[: found[-1]]


def read_session(paths: list[Path], space: str, columns: list[np.ndarray], n_trials: int = TRIALS) -> np.ndarray:
    """The betas of a session, (n_trials, n_columns) float32 in percent signal change; NaN where nothing was measured.

    Args:
        paths: of :func:`session_files`.
        space: which they are of.
        columns: for each file, (n_vertices,) or (X, Y, Z) bool: the places to read.
        n_trials: of a file.

    Raises:
        ValueError: a shape or a type that is not the published one.
    """
    parts = [_read(path, space, inside, n_trials) for path, inside in zip(paths, columns, strict=True)]
    return np.concatenate(parts, 1) if len(parts) > 1 else parts[0]


def _read(path: Path, space: str, inside: np.ndarray, n_trials: int) -> np.ndarray:
    if space == "fsaverage":
        values = _fsaverage(path, inside, n_trials)
    else:
        values = np.empty((n_trials, int(inside.sum())), np.float32)
        blocks = (_hdf5 if path.suffix == ".hdf5" else _nifti)(path, inside, n_trials)
        for start, block in blocks:
            values[start : start + len(block)] = block
        values /= SCALE
        values[:, ~values.any(0)] = np.nan  # whole numbers hold no NaN: a voxel without data is 0 in every trial
    return values


def _fsaverage(path: Path, inside: np.ndarray, n_trials: int) -> np.ndarray:
    import nibabel

    with reading(path, "MGH file"):
        image = nibabel.load(path)
        data = image.dataobj
        expect_shape(path, image.shape, (len(inside), 1, 1, n_trials), "vertices x 1 x 1 x trials")
        expect_type(path, data.dtype, "f", "betas on fsaverage are floats in percent signal change")
        return np.ascontiguousarray(np.asarray(data)[inside, 0, 0].T, dtype=np.float32)


def _hdf5(path: Path, inside: np.ndarray, n_trials: int) -> Iterator[tuple[int, np.ndarray]]:
    """Blocks of trials; the axes are MATLAB's, so they come reversed."""
    import h5py

    with reading(path, "HDF5 file"), h5py.File(path, "r") as file:
        if "betas" not in file:
            raise ValueError(f"{path} has no data set betas; it has {', '.join(file) or 'none'}.")
        data = file["betas"]
        expect_shape(path, data.shape, (n_trials, *inside.shape[::-1]), "trials x space, MATLAB's axes reversed")
        expect_type(path, data.dtype, "iu", "betas in HDF5 files are whole numbers, percent signal change times 300")
        for start in range(0, n_trials, AT_ONCE):
            block = data[start : start + AT_ONCE]
            yield start, block.transpose(0, *range(block.ndim - 1, 0, -1))[:, inside]


def _nifti(path: Path, inside: np.ndarray, n_trials: int) -> Iterator[tuple[int, np.ndarray]]:
    import nibabel

    with reading(path, "NIfTI file"):
        image = nibabel.load(path)
        expect_shape(path, image.shape, (*inside.shape, n_trials), "x, y, z, trials")
        expect_type(path, image.get_data_dtype(), "iu", "betas in volumes are whole numbers, percent signal change "
                     "times 300")  # fmt: skip
        data = np.asanyarray(image.dataobj)  # a compressed file can be read from its start only
        for start in range(0, n_trials, AT_ONCE):
            yield start, data[inside, start : start + AT_ONCE].T


def read_labels(path: Path, has_holes: bool = False) -> np.ndarray:
    """The labels of a map on a surface (n_vertices,) or in a volume (X, Y, Z); ``has_holes`` of a map with NaN.

    Raises:
        ValueError: it holds NaN, where it may not: places outside of an area are 0 or -1.
    """
    import nibabel

    there(path)
    with reading(path, "map"):
        values = np.asanyarray(nibabel.load(path).dataobj)
    n_holes = 0 if has_holes else int(np.isnan(values).sum())
    if n_holes:
        raise ValueError(f"{path} holds NaN in {n_holes} of {values.size} places; expected labels, 0 or -1 outside.")
    return values.reshape(-1) if path.suffix in (".mgz", ".mgh") else values


def affine_of(path: Path) -> np.ndarray:
    """(4, 4) of a NIfTI file."""
    import nibabel

    with reading(path, "map"):
        return np.asarray(nibabel.load(path).affine)


def read_trial_rows(root: Path, subject: int) -> np.ndarray | None:
    """The rows of ``imgBrick`` that a subject's own trial list names, from 0; None without that file."""
    path = root / f"nsddata/ppdata/subj{subject:02d}/behav/responses.tsv"
    if not path.is_file():
        return None
    with reading(path, "table of trials"):
        lines = path.read_text(encoding="utf-8-sig").splitlines()
        header = lines[0].split("\t")
        for name in ("SUBJECT", "73KID"):
            if name not in header:
                raise ValueError(f"{path} has no column {name}.")
        cells = [line.split("\t") for line in lines[1:] if line]
        other = {row[header.index("SUBJECT")] for row in cells} - {str(subject)}
        if other:
            raise ValueError(f"{path} is of subject {min(other)}; expected subject {subject}.")
        short = next((number for number, row in enumerate(cells, 2) if len(row) != len(header)), None)
        if short is not None:
            raise ValueError(f"row {short} has {len(cells[short - 2])} cells; expected {len(header)}, as its header")
        return np.array([int(float(row[header.index("73KID")])) for row in cells]) - 1
