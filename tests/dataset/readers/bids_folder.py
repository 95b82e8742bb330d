"""A tiny BIDS folder with derivatives of fMRIPrep and GLMsingle, in which every image has a planted response."""

from __future__ import annotations

import json
from pathlib import Path
from typing import NamedTuple

import h5py
import nibabel
import numpy as np
from nibabel.cifti2 import BrainModelAxis, SeriesAxis
from nilearn.glm.first_level import make_first_level_design_matrix
from pandas import DataFrame
from PIL import Image

GRID, TR, N_VOLUMES, N_IMAGES = (3, 4, 2), 2.0, 100, 9
AFFINE = np.array([[-3.0, 0, 0, 10], [0, 3, 0, -20], [0, 0, 3, 5], [0, 0, 0, 1]])
RUNS = (("01", "1"), ("01", "2"), ("02", "1"))
BASE = 800.0


class Planted(NamedTuple):
    """What is in the folder: ``responses`` (n_images, n_voxels) in percent, over the voxels of ``inside``."""

    root: Path
    responses: np.ndarray
    inside: np.ndarray
    order: dict[str, list[int]]


def shown_in(run: int) -> list[int]:
    """Images of a run, each once, and the first two of them again."""
    order = np.random.default_rng(run).permutation(N_IMAGES).tolist()
    return order + order[:2]


def write_bids(
    root: Path, kinds=("volume",), noise=0.0, subject="01", responses=None, runs=RUNS, shown_in=shown_in
) -> Planted:
    """The whole folder, with series of each of the kinds "volume", "surface" and "cifti"."""
    generator = np.random.default_rng(0)
    inside = np.zeros(GRID, bool)
    inside[:2] = True
    n_voxels = {"volume": int(inside.sum()), "surface": 2 * 642, "cifti": 2 * 198}
    if responses is None:
        responses = generator.normal(size=(N_IMAGES, max(n_voxels[kind] for kind in kinds)))
    (root / "stimuli/set").mkdir(parents=True)
    for i in range(len(responses) + 1):
        Image.new("RGB", (8, 8), (20 * i % 256, i // 12, 99)).save(root / f"stimuli/set/im{i}.png")
    order = {}
    for number, (session, run) in enumerate(runs):
        name = f"sub-{subject}_ses-{session}_task-look_run-{run}"
        func = f"sub-{subject}/ses-{session}/func"
        order[f"ses-{session}_task-look_run-{run}"] = shown = shown_in(number)
        onsets = 4 + 15.5 * np.arange(len(shown))
        (root / func).mkdir(parents=True, exist_ok=True)
        lines = ["onset\tduration\ttrial_type\tstim_file"]
        lines += [f"{onset}\t2\tface\tset/im{i}.png" for onset, i in zip(onsets, shown, strict=True)]
        lines += [f"{onsets[3] + 6}\t0.5\tbutton\tn/a", "1.0\tn/a\tn/a\tn/a"]
        (root / func / f"{name}_events.tsv").write_text("\n".join(lines) + "\n")
        (root / func / f"{name}_bold.json").write_text(json.dumps({"RepetitionTime": TR}))
        table = DataFrame({"onset": onsets, "duration": 2.0, "trial_type": [f"t{k:03d}" for k in range(len(shown))]})
        n_volumes = max(N_VOLUMES, int(onsets[-1] + 24) // 2)
        times = TR * np.arange(n_volumes)
        matrix = make_first_level_design_matrix(times, table, hrf_model="glover", drift_model=None)
        trials = matrix[[f"t{k:03d}" for k in range(len(shown))]].to_numpy()
        motion = generator.normal(size=(n_volumes, 6))
        folder = root / "derivatives/fmriprep" / func
        folder.mkdir(parents=True, exist_ok=True)
        names = [f"{kind}_{axis}" for kind in ("trans", "rot") for axis in "xyz"]
        header = "\t".join([*names, "trans_x_derivative1", "csf"])
        rows = [[*map(str, row), "n/a" if t == 0 else "0.1", "3"] for t, row in enumerate(motion)]
        path = folder / f"{name}_desc-confounds_timeseries.tsv"
        path.write_text("\n".join([header, *("\t".join(row) for row in rows)]) + "\n")
        for kind in kinds:
            planted = responses[shown, : n_voxels[kind]]
            series = trials @ planted + motion @ generator.normal(size=(6, n_voxels[kind]))
            series += noise * generator.normal(size=series.shape)
            series -= series.mean(0)
            write_series(folder / name, kind, (BASE + 8 * number) * (1 + series / 100), inside)
    return Planted(root, responses, inside, order)


def write_series(stem: Path, kind: str, series: np.ndarray, inside: np.ndarray) -> None:
    """One run in a space, with its mask."""
    series = series.astype(np.float32)
    if kind == "volume":
        volume = np.zeros((*GRID, len(series)), np.float32)
        volume[inside] = series.T
        image = nibabel.Nifti1Image(volume, AFFINE)
        image.header.set_zooms((3, 3, 3, TR))
        nibabel.save(image, f"{stem}_space-T1w_desc-preproc_bold.nii.gz")
        mask = nibabel.Nifti1Image(inside.astype(np.uint8), AFFINE)
        nibabel.save(mask, f"{stem}_space-T1w_desc-brain_mask.nii.gz")
    elif kind == "surface":
        for side, half in zip("LR", np.split(series, 2, axis=1), strict=True):
            half = half.copy()
            half[:, :3] = 0  # the medial wall
            arrays = [nibabel.gifti.GiftiDataArray(row) for row in half]
            path = f"{stem}_hemi-{side}_space-fsaverage3_bold.func.gii"
            nibabel.save(nibabel.gifti.GiftiImage(darrays=arrays), path)
    else:
        keep = np.arange(2, 200)
        sub = np.zeros((2, 2, 2), bool)
        sub[0, 0, 0] = True
        axis = BrainModelAxis.from_surface(keep, 32_492, "CORTEX_LEFT")
        axis = axis + BrainModelAxis.from_surface(keep, 32_492, "CORTEX_RIGHT")
        axis = axis + BrainModelAxis.from_mask(sub, "THALAMUS_LEFT", np.eye(4))
        values = np.concatenate([series, series[:, :1]], 1)
        image = nibabel.Cifti2Image(values, (SeriesAxis(0, TR, len(values)), axis))
        nibabel.save(image, f"{stem}_space-fsLR_den-91k_bold.dtseries.nii")


def write_glmsingle(planted: Planted, suffix=".hdf5", by_session=False, subject="01") -> None:
    """Single trials as GLMsingle's, in the order of the runs: the planted response and a little noise that is known."""
    folder = planted.root / f"derivatives/glmsingle/sub-{subject}"
    parts = {"": list(planted.order)}
    if by_session:
        parts = {s: [run for run in planted.order if run.startswith(f"ses-{s}")] for s in ("01", "02")}
    for session, runs in parts.items():
        here = folder / f"ses-{session}" if session else folder
        here.mkdir(parents=True, exist_ok=True)
        images = [i for run in runs for i in planted.order[run]]
        betas = np.full((*GRID, len(images)), np.nan, np.float32)
        betas[planted.inside] = planted.responses[images, : planted.inside.sum()].T
        stem = here / "TYPED_FITHRF_GLMDENOISE_RR"
        if suffix == ".npy":
            np.save(f"{stem}.npy", {"betasmd": betas, "R2": np.zeros(GRID)}, allow_pickle=True)
            np.save(here / "DESIGNINFO.npy", {"stimorder": np.array(images)}, allow_pickle=True)
            continue
        with h5py.File(f"{stem}{suffix}", "w") as file:
            file["modelmd" if suffix == ".mat" else "betasmd"] = betas.T if suffix == ".mat" else betas
            file["R2"] = np.zeros(GRID)
        with h5py.File(here / "DESIGNINFO.hdf5", "w") as file:
            file["stimorder"] = np.array(images)
