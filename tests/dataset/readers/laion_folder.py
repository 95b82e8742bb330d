"""A folder laid out as LAION-fMRI is, small in voxels, sessions and photographs, whose content is known."""

from __future__ import annotations

import csv
import io
import json
from pathlib import Path
from typing import NamedTuple

import h5py
import nibabel
import numpy as np
from PIL import Image

GRID = (4, 5, 3)
AFFINE = np.diag([1.778, 1.778, 1.778, 1.0])


class Laion(NamedTuple):
    """What the files hold; trials in the order of the sessions and of their volumes."""

    root: Path
    labels: list[str]
    sessions: np.ndarray
    values: np.ndarray  # (n_trials, n_voxels)
    brain: np.ndarray
    rois: dict[str, np.ndarray]


def save(path: Path, values: np.ndarray) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    nibabel.save(nibabel.Nifti1Image(values.astype(np.float32), AFFINE), path)


def write_laion(root: Path, subject: int = 1, n_sessions: int = 2, older: bool = False, seed: int = 0) -> Laion:
    """One subject. Each session shows every photograph twice, but the unique ones of the other sessions."""
    generator = np.random.default_rng(seed)
    shared = [f"shared_12rep_LAION_cluster_{n}_i0.jpg" for n in range(4)]
    shared += [f"shared_4rep_NSD_{n}.jpg" for n in range(4)] + [f"shared_4rep_OOD_sketch_{n}.png" for n in range(3)]
    unique = [[f"unique_LAION_cluster_{s}{n}_i0.jpg" for n in range(5)] for s in range(n_sessions)]
    brain = np.zeros(GRID, bool)
    brain[1:3, 1:4, :2] = True
    places = np.argwhere(brain)
    every = [*shared, *(name for names in unique for name in names)]
    signal = {name: generator.normal(size=len(places)) for name in every}
    labels, sessions, values = [], [], []
    for session in range(n_sessions):
        shown = generator.permutation([*shared, *unique[session]] * 2).tolist()
        clean = np.stack([signal[name] for name in shown])
        betas = ((session + 1) * (clean + 0.5 * generator.normal(size=clean.shape)) + session).astype(np.float32)
        volume = np.full((*GRID, len(shown)), np.nan)
        volume[brain] = betas.T
        folder = root / f"derivatives/glmsingle-tedana/sub-{subject:02d}/ses-{session + 1:02d}/func"
        stem = f"sub-{subject:02d}_ses-{session + 1:02d}_task-images"
        save(folder / f"{stem}_space-T1w_stat-effect_desc-SingletrialBetas_statmap.nii.gz", volume)
        with (folder / f"{stem}_desc-SingletrialBetas_trials.tsv").open("w", newline="") as file:
            table = csv.writer(file, delimiter="\t")
            table.writerow(["session", "run", "beta_index", "label"])
            for n in generator.permutation(len(shown)):  # the rows name their volume
                table.writerow([session + 1, 1 + n // 12, n, shown[n]])
        labels += shown
        sessions += [session + 1] * len(shown)
        values.append(betas)
    name = f"sub-{subject:02d}_ses-PrismaAnat_space-T1w_res-1pt8_desc-brain_mask.nii.gz"
    save(root / f"derivatives/anatomical/sub-{subject:02d}/ses-PrismaAnat/anat/{name}", brain)
    rois = {"V1": np.zeros(GRID), "FFA": np.zeros(GRID)}
    rois["V1"][1, 1:4, :2] = 1
    rois["FFA"][2, 1, :] = 1
    for area, mask in rois.items():
        newer = (
            f"derivatives/rois/sub-{subject:02d}/visual/sub-{subject:02d}_space-T1w_res-1pt8_label-{area}_mask.nii.gz"
        )
        save(root / (f"derivatives/atlases/sub-{subject:02d}/rois/{area}.nii.gz" if older else newer), mask)
    _write_stimuli(root / "stimuli", every)
    _write_splits(root / "splits", subject, shared, every[len(shared) :])
    return Laion(root, labels, np.array(sessions), np.concatenate(values), brain,
                 {area: mask[tuple(places.T)] > 0 for area, mask in rois.items()})  # fmt: skip


def _write_stimuli(folder: Path, names: list[str]) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    with h5py.File(folder / "task-images_stimuli.h5", "w") as file:
        images = file.create_dataset("images", (len(names),), dtype=h5py.vlen_dtype(np.uint8))
        for row, name in enumerate(names):
            mode = "RGBA" if name.endswith("png") else "RGB"
            picture, content = Image.new(mode, (10, 8), (5 * row, 100, 200, 255)[: len(mode)]), io.BytesIO()
            picture.save(content, "PNG")
            images[row] = np.frombuffer(content.getvalue(), np.uint8)
    lines = [
        "image_name,dataset,participant,unique_or_shared,n_reps",
        *(f"{name},LAION,all,shared,4" for name in names),
    ]
    (folder / "task-images_metadata.csv").write_text("\n".join(lines) + "\n")


def _write_splits(folder: Path, subject: int, shared: list[str], unique: list[str]) -> None:
    near, far = shared[:8], shared[8:]
    splits = {
        "shared/tau": (near[:5], near[5:]),
        "shared/ood": (near, far),
        "shared/cluster_k5_0": (near[2:], near[:2]),
        "shared/cluster_k5_3": (near[:6], near[6:]),
        f"sub-{subject:02d}/tau": (unique[2:] + near, unique[:2]),
    }
    for name, (train, test) in splits.items():
        path = folder / f"{name}.json"
        path.parent.mkdir(parents=True, exist_ok=True)
        variant = {"variant_id": "v1", "train_ids": train, "test_ids": test}
        path.write_text(json.dumps({"name": name, "n_train": len(train), "n_test": len(test), "variants": [variant]}))
