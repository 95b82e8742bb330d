"""The files of the Algonauts 2023 challenge: responses of two hemispheres, vertex masks and labels; each is checked."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import warn_once
from brainnet._files import reading
from brainnet.dataset.readers._checked import expect_type
from brainnet.dataset.readers._pickles import read_pickle
from brainnet.dataset.regions import ROI_LABELS, areas_of, regions_of
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace, surface_space
from brainnet.stimuli import is_picture, natural_sort

HEMISPHERES = ("lh", "rh")


def read_fmri(paths: list[Path]) -> tuple[Tensor, tuple[int, int]]:
    """Both hemispheres side by side, (n_images, n_left + n_right) float32, and the two numbers of columns.

    Args:
        paths: of the left and of the right hemisphere.
    """
    left, right = halves = [load(path) for path in paths]
    for path, half in zip(paths, halves, strict=True):
        if half.ndim != 2:
            raise ValueError(f"{path.name} must be (n_images, n_vertices), got shape {half.shape}.")
        expect_type(path, half.dtype, "f", "responses are z-scores, which are real numbers")
    if len(left) != len(right):
        raise ValueError(f"{paths[0].name} has {len(left)} rows (images) and {paths[1].name} {len(right)}.")
    # filled from the memory maps, half by half: the float64 some copies hold is never in memory whole
    responses = torch.empty(len(left), left.shape[1] + right.shape[1])
    responses.numpy()[:, : left.shape[1]] = left
    responses.numpy()[:, left.shape[1] :] = right
    return responses, (left.shape[1], right.shape[1])


def read_space(folder: Path, n_columns: tuple[int, int]) -> BrainSpace:
    """Where the columns are, and their regions, as far as the masks in a folder say it."""
    rois = _read_rois(folder, n_columns)
    masks = [_find_vertex_mask(folder, side) for side in HEMISPHERES]
    if None in masks:
        side = HEMISPHERES[masks.index(None)]
        absent = folder / f"{side}.all-vertices_fsaverage_space.npy" if folder.is_dir() else folder
        warn_once(
            f"no place {folder}",
            f"no {absent}: it is not known where the {sum(n_columns)} columns are on the cortex, so selectors are free "
            "per voxel and there are no surface maps. Put the subject's roi_masks folder there to have both.",
        )
        return BrainSpace.free(sum(n_columns), rois)
    meshes, vertices = [], []
    for number, (path, columns) in enumerate(zip(masks, n_columns, strict=True)):
        mask = load(path)
        mesh = {n: name for name, n in VERTICES_PER_HEMISPHERE.items()}.get(mask.size)
        if mesh is None:
            sizes = " or ".join(f"{n:,} ({name})" for name, n in VERTICES_PER_HEMISPHERE.items())
            raise ValueError(f"{path} has shape {mask.shape}; a vertex mask has {sizes} entries.")
        inside = np.flatnonzero(mask)
        if len(inside) != columns:
            raise ValueError(f"{path} marks {len(inside)} vertices but the fMRI of that side has {columns} columns.")
        meshes.append(mesh)
        vertices.append(torch.from_numpy(inside + number * mask.size))
    if meshes[0] != meshes[1]:
        raise ValueError(f"the vertex masks of the hemispheres are on different meshes: {' and '.join(meshes)}.")
    return surface_space(torch.cat(vertices), meshes[0], rois)


def _find_vertex_mask(folder: Path, side: str) -> Path | None:
    names = [f"{side}.all-vertices_{mesh}_space.npy" for mesh in ("fsaverage", "fsaverage5")]
    return next((folder / name for name in names if (folder / name).exists()), None)


def _read_rois(folder: Path, n_columns: tuple[int, int]) -> dict[str, Tensor]:
    """Every region the masks name: the groups, the single areas, and the groups of each hemisphere."""
    areas: dict[str, Tensor] = {}
    for family in ROI_LABELS:
        names = read_names(folder / f"mapping_{family}.npy")
        paths = [folder / f"{side}.{family}_challenge_space.npy" for side in HEMISPHERES]
        if not any(path.exists() for path in paths):
            continue
        halves = []
        for path, columns in zip(paths, n_columns, strict=True):
            label = load(path)
            if label.shape != (columns,):
                raise ValueError(f"{path} has shape {label.shape}; the hemisphere's fMRI has {columns} columns.")
            halves.append(areas_of(family, np.asarray(label), path, names))
        areas |= {name: torch.cat([half[name] for half in halves]) for name in halves[0]}
    return regions_of(areas, torch.arange(sum(n_columns)) < n_columns[0])


def load(path: Path) -> np.ndarray:
    """An array of numbers, which stays on disk until it is used."""
    if not path.exists():
        raise FileNotFoundError(f"no {path}.")
    with reading(path, "array of numbers"):
        return np.load(path, allow_pickle=False, mmap_mode="r")


def read_names(path: Path) -> dict[int, str]:
    """Label -> name of a class of regions, from the pickle that the challenge publishes; empty without that file.

    Raises:
        ValueError: it holds something else; nothing of it is run.
    """
    if not path.is_file():
        return {}
    found = read_pickle(path, "table of labels")
    if not isinstance(found, dict) or not all(isinstance(name, str) for name in found.values()):
        raise ValueError(f"{path} holds {type(found).__name__}; expected label -> name.")
    return {int(label): name for label, name in found.items() if int(label) > 0}


def pictures_in(folder: Path) -> list[Path]:
    """The pictures of a folder in the order of its rows.

    Raises:
        FileNotFoundError: no such folder.
    """
    if not folder.is_dir():
        raise FileNotFoundError(f"no folder {folder}: it holds the photographs.")
    return [folder / name for name in natural_sort(one.name for one in folder.iterdir() if is_picture(one.name))]
