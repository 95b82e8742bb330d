"""The files of BOLD Moments: betas, noise ceilings, regions and masks; each is checked as it is read."""

from __future__ import annotations

import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from torch import Tensor

from brainnet.dataset.readers._checked import ceiling_of_percent, expect_shape, expect_type, read_mask
from brainnet.dataset.readers._pickles import Skipped, read_pickle

SPACES = {"MNI152": None, "fsaverage": 163_842, "fsLR32k": 91_282}  # space -> columns of a file, where that is fixed
REPEATS = {"train": 3, "test": 10}
HEMISPHERES = ("left", "right")


class Betas(NamedTuple):
    """Responses (n_videos, n_repeats, n_voxels), the names of the videos, and the mask the file may carry."""

    values: np.ndarray
    ids: list[str]
    mask: tuple[np.ndarray, np.ndarray] | None = None


def beta_files(folder: Path, subject: int, task: str, space: str) -> list[Path]:
    """The file of a task, or on fsaverage the two of its hemispheres."""
    start = f"sub-{subject:02d}_organized_betas_task-{task}"
    sides = [f"_hemi-{side}" for side in HEMISPHERES] if space == "fsaverage" else [""]
    return [folder / f"prepared_betas/{start}{side}_normalized.pkl" for side in sides]


def read_betas(path: Path, task: str, n_voxels: int | None) -> Betas:
    """The betas of a file.

    Args:
        path: of :func:`beta_files`.
        task: "train" or "test".
        n_voxels: how many there must be; None takes any number.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is damaged, or holds something else; names it.
    """
    found = read_pickle(path, skip=("nibabel.",))
    if not isinstance(found, tuple | list) or len(found) < 2 or not isinstance(found[0], np.ndarray):
        raise ValueError(f"{path} holds {_described(found)}; expected an array and a list of videos.")
    values, names = found[0], found[1]
    expect_shape(path, values.shape, (None, REPEATS[task], n_voxels), "videos, repeats, voxels")
    expect_type(path, values.dtype, "f", "betas are real numbers")
    ids = [str(name) for name in names] if isinstance(names, list | tuple | np.ndarray) else []
    if len(ids) != len(values):
        raise ValueError(f"{path} holds betas of {len(values)} videos and the names of {len(ids)}.")
    wrong = next((name for name in ids if not re.fullmatch(r"vid\d{4}", name)), None)
    if wrong is not None or len(set(ids)) < len(ids):
        raise ValueError(f"{path} names a video {wrong!r}; expected 'vid0001' and so on." if wrong is not None
                         else f"{path} names a video twice.")  # fmt: skip
    return Betas(values, ids, _own_mask(found, values.shape[2]))


def _own_mask(found: Any, n_voxels: int) -> tuple[np.ndarray, np.ndarray] | None:
    for one in found[2:]:
        if isinstance(one, Skipped):
            try:
                mask, affine = np.asarray(one.part("_dataobj")) > 0, np.asarray(one.part("_affine"))
            except (ValueError, TypeError):
                continue
            if mask.ndim == 3 and mask.sum() == n_voxels and affine.shape == (4, 4):
                return mask, affine
    return None


def find_mask(folder: Path, subject: int, n_voxels: int) -> tuple[np.ndarray, np.ndarray] | None:
    """The mask among those published with so many voxels, and its affine; None where there is none."""
    for name in ("groupMask_space-MNI152.nii", f"sub-{subject:02d}_mask-nonans_space-MNI152.nii"):
        if (folder / "mask" / name).is_file():
            mask, affine = read_mask(folder / "mask" / name)
            if mask.sum() == n_voxels:
                return mask, affine
    return None


def read_regions(folder: Path, n_voxels: int) -> dict[str, np.ndarray]:
    """Region -> (n_voxels,) bool; "EBA" is both halves, "lEBA" and "rEBA".

    Raises:
        ValueError: places that are none of the voxels.
    """
    rois = {}
    for path in sorted((folder / "ROIs").glob("ROI-*_indices.pkl")):
        found = read_pickle(path, skip=("nibabel.",))
        places = np.ravel(found[1]) if isinstance(found, tuple | list) and len(found) > 1 else np.empty(0)
        if places.dtype.kind not in "iu" or (len(places) and not 0 <= places.min() <= places.max() < n_voxels):
            raise ValueError(f"{path} holds {_described(found)}; expected places among {n_voxels} voxels as its second "
                             "entry.")  # fmt: skip
        rois[path.name[4:-12]] = np.isin(np.arange(n_voxels), places)
    return _with_both_sides(rois)


def _with_both_sides(rois: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Regions of both hemispheres first, then all as published; those without voxels are left out."""
    names = dict.fromkeys(name[1:] for name in rois if name[0] in "lr" and f"l{name[1:]}" in rois)
    both = {name: rois[f"l{name}"] | rois.get(f"r{name}", False) for name in names}
    return {name: mask for name, mask in ({**both, **rois}).items() if mask.any()}


def read_ceiling(folder: Path, subject: int, n_voxels: int) -> Tensor | None:
    """The published ceiling of the mean of ten repeats as Pearson's r; None without that file.

    The file is an array in percent, alone or within lists, or after the ncsnr.

    Raises:
        ValueError: another number of voxels, or no percent.
    """
    name = f"sub-{subject:02d}_noiseceiling_task-test_n-10.pkl"
    path = next((one for one in (folder / "prepared_betas" / name, folder / name) if one.is_file()), None)
    if path is None:
        return None
    found = read_pickle(path, skip=("nibabel.",))
    while isinstance(found, tuple | list) and found:
        arrays = [one for one in found if isinstance(one, np.ndarray | tuple | list)]
        found = arrays[-1] if arrays else None
    if not isinstance(found, np.ndarray) or found.size != n_voxels or found.dtype.kind not in "fiu":
        raise ValueError(f"{path} holds {_described(found)}; expected {n_voxels} numbers, one a voxel.")
    return ceiling_of_percent(found.reshape(-1).astype(np.float64), str(path))


def _described(found: Any) -> str:
    if isinstance(found, np.ndarray):
        return f"an array of shape {found.shape}"
    return f"{type(found).__name__} of {len(found)}" if hasattr(found, "__len__") else type(found).__name__
