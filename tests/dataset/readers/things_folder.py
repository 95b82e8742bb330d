"""A folder laid out as THINGS-fMRI is, small in voxels, sessions and pictures, whose content is known."""

from __future__ import annotations

import csv
import pickle
from pathlib import Path
from typing import NamedTuple

import h5py
import nibabel
import numpy as np
from PIL import Image

GRID = (5, 6, 4)
AFFINE = np.array([[-2.0, 0, 0, 70], [0, 2, 0, -100], [0, 0, 2.4, -50], [0, 0, 0, 1]])
REGIONS = ("V1", "V2", "hV4", "LO1 (prf)", "lFFA", "rFFA", "IT", "glasser-V1", "glasser-p9-\n46v")


class Things(NamedTuple):
    """What the files hold; trials in the order of the recording."""

    root: Path
    stimuli: list[str]
    is_test: np.ndarray
    sessions: np.ndarray
    runs: np.ndarray
    responses: np.ndarray  # (n_trials, n_voxels)
    places: np.ndarray  # (n_voxels, 3)
    rois: dict[str, np.ndarray]
    percent: np.ndarray  # nc_testset


def write_things(
    root: Path,
    subject: int = 1,
    signal: dict[str, np.ndarray] | None = None,
    *,
    kind: str = "csv",
    n_sessions: int = 3,
    n_train: int = 6,
    n_test: int = 3,
    n_runs: int = 2,
    noise: float = 0.5,
    seed: int = 0,
    size: int = 16,
) -> Things:
    """Writes one subject.

    Args:
        root: the folder.
        subject: its number.
        signal: picture -> (n_voxels,); None draws it.
        kind: "csv" or "vol".
        n_sessions, n_train, n_test, n_runs: in each session so many pictures that come once, and all test pictures.
        noise: SD of what is added to the signal; sessions differ in gain and offset too.
        seed: of everything random.
        size: side of the photographs in pixels.
    """
    generator = np.random.default_rng(seed)
    mask = np.zeros(GRID, bool)
    mask[1:4, 1:5, 1:3] = True
    places = np.argwhere(mask)
    shuffled = np.random.default_rng(9)
    tests = [f"lamp_post_{n:02d}s.jpg" for n in range(n_test)]
    stimuli, sessions, runs = [], [], []
    for session in range(1, n_sessions + 1):
        shown = shuffled.permutation([*tests, *(f"dog_{n + 1:02d}b.jpg" for n in range(n_train * (session - 1), n_train * session))])  # fmt: skip  # noqa: E501
        stimuli += shown.tolist()
        sessions += [session] * len(shown)
        runs += (np.arange(len(shown)) * n_runs // len(shown) + 1).tolist()
    signal = signal or {name: generator.normal(size=len(places)) for name in dict.fromkeys(stimuli)}
    clean = np.stack([signal[name] for name in stimuli])
    gain = np.array(sessions)[:, None]
    responses = (gain * (clean + noise * generator.normal(size=clean.shape)) + 2 * gain).astype(np.float32)
    is_test = np.array([name in tests for name in stimuli])
    rois = {name: np.zeros(len(places), bool) for name in REGIONS}
    for number, name in enumerate(REGIONS[:-2]):
        rois[name][3 * number : 3 * number + 3] = True
    rois["glasser-V1"][:5] = rois["glasser-p9-\n46v"][20:] = True
    rois["hV4"][:] = False
    percent = np.linspace(0, 90, len(places)).round(3)
    made = Things(root, stimuli, is_test, np.array(sessions), np.array(runs), responses, places, rois, percent)
    masks = root / "brainmasks"
    masks.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(mask.astype(np.uint8), AFFINE), masks / f"sub-{subject:02d}_space-T1w_brainmask.nii.gz")  # fmt: skip  # noqa: E501
    (_write_tables if kind == "csv" else _write_volumes)(made, subject)
    for number, name in enumerate(dict.fromkeys(stimuli)):
        path = root / "object_images" / name.rsplit("_", 1)[0] / name
        path.parent.mkdir(parents=True, exist_ok=True)
        if not path.exists():
            pixels = np.random.default_rng(number).integers(0, 256, (size, size, 3), np.uint8)
            pixels[0, 0] = (number % 256, 100, 200)
            Image.fromarray(pixels).save(path, format="PNG")  # without loss, so that a pixel can be told
    return made


def _write_tables(made: Things, subject: int) -> None:
    folder = made.root / "betas_csv"
    folder.mkdir(exist_ok=True)
    n_trials, n_voxels = made.responses.shape
    with (folder / f"sub-{subject:02d}_StimulusMetadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["trial_type", "session", "run", "subject_id", "trial_id", "stimulus", "concept"])
        for n in range(n_trials):
            table.writerow(["test" if made.is_test[n] else "train", made.sessions[n], made.runs[n], subject, n,
                            made.stimuli[n], made.stimuli[n].rsplit("_", 1)[0]])  # fmt: skip
    numbers = ("nc_singletrial", "nc_testset", "splithalf_uncorrected", "splithalf_corrected", "prf-eccentricity",
               "prf-polarangle", "prf-rsquared", "prf-size")  # fmt: skip
    with (folder / f"sub-{subject:02d}_VoxelMetadata.csv").open("w", newline="") as file:
        table = csv.writer(file)
        table.writerow(["voxel_id", "subject_id", "voxel_x", "voxel_y", "voxel_z", *numbers, *made.rois])
        for n in range(n_voxels):
            flags = [int(mask[n]) for mask in made.rois.values()]
            table.writerow([n, subject, *made.places[n], 1.5, made.percent[n], *[0.25] * 6, *flags])
    write_frame(folder / f"sub-{subject:02d}_ResponseData.h5", np.arange(n_voxels), made.responses.T)


def write_frame(path: Path, voxel_ids: np.ndarray, values: np.ndarray, pickled: bool = True) -> None:
    """A file such as pandas writes of a frame whose columns are called "voxel_id", 0, 1, ...

    pandas cannot store names of two types as an array, and writes them as a pickle.
    """
    n = values.shape[1]
    names = [np.array(["voxel_id", *range(n)], dtype=object), np.array(range(n), dtype=object)]
    with h5py.File(path, "w") as file:
        frame = file.create_group("ResponseData")
        frame.attrs["pandas_type"] = np.bytes_("frame")
        for name, labels in zip(("axis0", "block0_items"), names, strict=True):
            content = np.frombuffer(pickle.dumps(labels), np.uint8)
            if pickled:
                frame.create_dataset(name, (1,), dtype=h5py.vlen_dtype(np.uint8))[0] = content
            else:
                frame[name] = np.array([str(one).encode() for one in labels])
        frame["axis1"] = np.arange(len(values))
        frame["block0_values"] = values
        frame["block1_items"] = np.array([b"voxel_id"])
        frame["block1_values"] = voxel_ids[:, None]


def _write_volumes(made: Things, subject: int) -> None:
    labels = np.zeros(GRID, np.float32)
    labels[tuple(made.places[made.rois["V1"]].T)] = 1
    labels[tuple(made.places[made.rois["V2"]].T)] = 2
    files = {made.root / f"rois/prf/sub-{subject:02d}/resampled_varea.nii.gz": labels}
    for name, folder in (("lFFA", "face"), ("rFFA", "face")):
        values = np.zeros(GRID, np.float32)
        values[tuple(made.places[made.rois[name]].T)] = 1
        path = f"rois/category_localizer/sub-{subject:02d}/{folder}_parcels/sub-{subject:02d}_{name}.nii.gz"
        files[made.root / path] = values
    for path, values in files.items():
        path.parent.mkdir(parents=True, exist_ok=True)
        nibabel.save(nibabel.Nifti1Image(values, AFFINE), path)
    for session, run in dict.fromkeys(zip(made.sessions.tolist(), made.runs.tolist(), strict=True)):
        trials = np.flatnonzero((made.sessions == session) & (made.runs == run))
        names = [f"{made.stimuli[n].rsplit('_', 1)[0]}/{made.stimuli[n]}" for n in trials]
        names.insert(2, "catch008.jpg")
        volume = np.zeros((*GRID, len(names)), np.float32)
        volume[tuple(made.places.T)] = np.insert(made.responses[trials], 2, 1000.0, axis=0).T
        folder = made.root / f"betas_vol/sub-{subject:02d}/ses-things{session:02d}"
        folder.mkdir(parents=True, exist_ok=True)
        stem = f"sub-{subject:02d}_ses-things{session:02d}_run-{run:02d}"
        nibabel.save(nibabel.Nifti1Image(volume, AFFINE), folder / f"{stem}_betas.nii.gz")
        lines = ["\timage_filename", *(f"{n}\t{name}" for n, name in enumerate(names))]
        (folder / f"{stem}_conditions.tsv").write_text("\n".join(lines) + "\n")
