"""Folders laid out as BOLD5000, vim-1, and the tables of the Kamitani laboratory are: small, with known content."""

from __future__ import annotations

from pathlib import Path
from typing import Any, NamedTuple

import h5py
import nibabel
import numpy as np
from PIL import Image
from scipy.io import savemat


class Made(NamedTuple):
    """What the files hold."""

    root: Path
    names: list[str]  # the photograph of each trial
    values: np.ndarray  # (n_trials, n_voxels)
    more: dict[str, Any]


def write_picture(path: Path, number: int) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        pixels = np.random.default_rng(number).integers(0, 256, (12, 12, 3), np.uint8)
        pixels[0, 0] = (number, 100, 200)
        Image.fromarray(pixels).save(path, format="PNG")


def write_bold5000(root: Path, subject: int = 1, kind: str = "rois", counts=(20, 17), seed: int = 0) -> Made:
    generator = np.random.default_rng(seed)
    singles = [f"{'COCO_train2014_' * (n % 3 == 0)}{n:06d}.jpg" for n in range(sum(counts) - 8)]
    names = generator.permutation([*singles, *(["n0200_1.JPEG"] * 4), *(["rep_kitchen1.jpg"] * 4)]).tolist()
    (root / f"CSI{subject}_imgnames.txt").parent.mkdir(parents=True, exist_ok=True)
    (root / f"CSI{subject}_imgnames.txt").write_text("\n".join(names) + "\n")
    plain = [name.removeprefix("rep_") for name in names]
    grid = (4, 3, 2)
    inside = np.ones(grid, bool)
    inside[0] = False
    n_voxels = 20 if kind == "rois" else int(inside.sum())
    signal = {name: generator.normal(size=n_voxels) for name in plain}
    values = np.stack([signal[name] for name in plain]) + 0.4 * generator.normal(size=(len(names), n_voxels))
    values[counts[0] :] = 3 * values[counts[0] :] + 5
    stem = f"CSI{subject}_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR"
    columns = {}
    if kind == "rois":
        folder = root / "BOLD5000_GLMsingle_ROI_betas/py"
        folder.mkdir(parents=True, exist_ok=True)
        for n, name in enumerate(f"{side}{area}" for area in ("EarlyVis", "LOC", "OPA", "PPA", "RSC") for side in ("LH", "RH")):  # fmt: skip  # noqa: E501
            columns[name] = [2 * n, 2 * n + 1]
            np.save(folder / f"{stem}_allses_{name}.npy", values[:, columns[name]])
        start = 0
        for session, count in enumerate(counts, 1):
            lists = root / f"BOLD5000_Stimuli/Stimuli_Presentation_Lists/CSI{subject}/CSI{subject}_sess{session:02d}"
            lists.mkdir(parents=True, exist_ok=True)
            half = start + count // 2
            for run, part in enumerate((names[start:half], names[half : start + count]), 1):
                (lists / f"CSI{subject}_sess{session:02d}_run{run:02d}.txt").write_text("\n".join(part) + "\n")
            start += count
    else:
        for session, rows in enumerate(np.split(values, [counts[0]]), 1):
            volume = np.full((*grid, len(rows)), np.nan, np.float32)
            volume[inside] = rows.T
            nibabel.save(
                nibabel.Nifti1Image(volume, np.diag([2.0, 2, 2, 1])), root / f"{stem}_ses-{session:02d}.nii.gz"
            )
    for number, name in enumerate(dict.fromkeys(plain)):
        folder = "COCO" if name.startswith("COCO") else "ImageNet" if name.startswith("n0") else "Scene"
        write_picture(root / "BOLD5000_Stimuli/Scene_Stimuli/Presented_Stimuli" / folder / name, number)
    return Made(root, plain, values, {"columns": columns, "counts": counts, "inside": inside})


def write_vim1(root: Path, n_train: int = 14, n_test: int = 5, n_voxels: int = 18, seed: int = 0) -> Made:
    generator = np.random.default_rng(seed)
    root.mkdir(parents=True, exist_ok=True)
    pixels = generator.uniform(-0.4, 0.6, (n_train + n_test, 128, 128)).astype(np.float32)
    savemat(root / "Stimuli.mat", {"stimTrn": pixels[:n_train], "stimVal": pixels[n_train:]})
    values = generator.normal(size=(n_train + n_test, n_voxels)).astype(np.float32)
    values[2, 4], values[n_train + 1, 9] = np.nan, np.nan
    labels = np.arange(n_voxels) % 8
    with h5py.File(root / "EstimatedResponses.mat", "w") as file:  # as MATLAB v7.3 looks to h5py
        for subject in (1, 2):
            file[f"dataTrnS{subject}"] = values[:n_train] * subject
            file[f"dataValS{subject}"] = values[n_train:] * subject
            file[f"roiS{subject}"] = labels[None].astype(float)
            file[f"voxIdxS{subject}"] = np.arange(n_voxels, dtype=float)[None]
    return Made(root, [], values, {"pixels": pixels, "labels": labels})


def write_bdata(
    path: Path, columns: dict[str, np.ndarray], metadata: dict[str, np.ndarray], vmap=None, old=False
) -> None:
    """A file as bdpy writes it: ``columns`` lie side by side, and ``metadata`` are rows over the voxels."""
    widths = [np.atleast_2d(value.T).shape[0] for value in columns.values()]
    table = np.concatenate([value.reshape(len(value), -1) for value in columns.values()], 1)
    keys, rows, start = [], [], 0
    for (name, _), width in zip(columns.items(), widths, strict=True):
        row = np.full(table.shape[1], np.nan)
        row[start : start + width] = 1
        keys.append(name)
        rows.append(row)
        if name == "VoxelData":
            for key, values in metadata.items():
                of_voxels = np.full(table.shape[1], np.nan)
                of_voxels[start : start + width] = values
                keys.append(key)
                rows.append(of_voxels)
        start += width
    path.parent.mkdir(parents=True, exist_ok=True)
    with h5py.File(path, "w") as file:
        file["dataSet" if old else "dataset"] = table
        group = file.create_group("metaData" if old else "metadata")
        group["key"] = np.array([key.encode() for key in keys])
        group["description"] = np.array([b""] * len(keys))
        group["value"] = np.array(rows)
        for key, names in (vmap or {}).items():
            for number, name in names.items():
                file[f"vmap/{key}/{number}"] = np.bytes_(name)


def write_god(root: Path, subject: int = 1, study: str = "god", seed: int = 0, old: bool = False) -> Made:
    generator = np.random.default_rng(seed)
    n_voxels = 9
    train = [f"n01443537_{number}" for number in (22563, 7, 120345, 99, 5, 61, 4410, 88)]
    test = [f"n0200{n}000_{n}" for n in (1, 2, 3)]
    shown = [*generator.permutation(train), *generator.permutation(np.repeat(test, 5))]
    names = [str(name) for name in shown]
    number = {name: float(name[1:9]) + float(name[10:]) / 1e6 for name in names}
    signal = {name: generator.normal(size=n_voxels) for name in names}
    values = np.stack([signal[name] for name in names]) + 0.5 * generator.normal(size=(len(names), n_voxels))
    kinds = np.repeat([1.0, 2.0], [8, 15])
    runs = np.repeat([1.0, 2.0, 1.0, 2.0, 3.0], [4, 4, 5, 5, 5])
    numbers = np.array([number[name] for name in names])
    places = generator.normal(size=(3, n_voxels)).round(2) * 10
    flags = np.full((3, n_voxels), np.nan)
    flags[0, :4], flags[0, 4:], flags[1, 3:6], flags[1, :3] = 1, 0, 1, 0
    flags[2, :6] = 1
    metadata = dict(zip(("voxel_x", "voxel_y", "voxel_z"), places, strict=True))
    metadata |= dict(zip(("ROI_V1", "ROI_FFA", "ROI_VC"), flags, strict=True))
    if study == "god":
        imagery = np.r_[numbers, 2001000.0]
        columns = {"VoxelData": np.r_[values, np.full((1, n_voxels), 50.0)], "DataType": np.r_[kinds, 3.0],
                   "Run": np.r_[runs, 9.0], "stimulus_id": imagery}  # fmt: skip
        write_bdata(root / f"Subject{subject}.h5", columns, metadata, old=old)
    else:
        labels = {name: place + 1.0 for place, name in enumerate(dict.fromkeys(names))}
        vmap = {"stimulus_name": {str(place): name for name, place in labels.items()}}
        for name, rows in (("Training", kinds == 1), ("Test", kinds == 2)):
            columns = {"VoxelData": values[rows], "Run": runs[rows],
                       "stimulus_name": np.array([labels[one] for one in np.array(names)[rows]])}  # fmt: skip
            path = root / f"sub-{subject:02d}_perceptionNaturalImage{name}_original_VC.h5"
            write_bdata(path, columns, metadata, vmap)
    for place, name in enumerate(dict.fromkeys(names)):
        write_picture(root / "images" / ("training" if place < 8 else "test") / f"{name}.JPEG", place)
    return Made(root, names, values, {"places": places, "flags": flags, "kinds": kinds, "runs": runs})
