"""From one mesh to another over the sphere: fsaverage has spheres of its own, those of fsLR are files.

The Human Connectome Project publishes the spheres that lay fsLR upon fsaverage with its standard mesh atlases, under
its own terms. They are read where a user names them. (neuromaps does the same transformation by Connectome Workbench, a
program that is installed separately.)
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from brainnet._files import reading
from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE
from brainnet.space.surface import load_mesh

NEAR = 16  # triangles around a vertex that are tried
AT_ONCE = 1 << 14
SPHERE = "fs_LR-deformed_to-fsaverage.{side}.sphere.{size}_fs_LR.surf.gii"


class Sphere(NamedTuple):
    """The vertices of a hemisphere as directions (n, 3) of length 1, and their triangles (n_faces, 3)."""

    points: np.ndarray
    faces: np.ndarray


def read_sphere(mesh: str, side: int, spheres: str | os.PathLike | Sequence[str | os.PathLike] | None) -> Sphere:
    """The vertices of a hemisphere, 0 for the left one, upon fsaverage's sphere.

    Args:
        mesh: of fsaverage or fsLR.
        side: 0 or 1.
        spheres: of fsLR: the left and the right GIfTI file, or the folder they are in.

    Raises:
        ValueError: no spheres of fsLR were given, or those of another mesh.
        FileNotFoundError: the folder has no such file.
    """
    if mesh.startswith("fsaverage"):
        points, faces = load_mesh(mesh, "sphere", ("left", "right")[side])
    else:
        name = SPHERE.format(side="LR"[side], size=mesh.removeprefix("fsLR"))
        if isinstance(spheres, str | os.PathLike):
            spheres = [_in_folder(Path(spheres), SPHERE.format(side=one, size=mesh[4:])) for one in "LR"]
        if spheres is None or len(spheres) != 2:
            raise ValueError(
                f"{mesh} has no sphere in brainnet: give the two GIfTI files that lay it upon fsaverage, spheres=(left,"
                f" right) or spheres=FOLDER. They are called {name} in the HCP's standard mesh atlases."
            )
        import nibabel

        path = Path(spheres[side])
        with reading(path, "GIfTI surface"):
            image = nibabel.load(path)
            points = image.darrays[0].data
            faces = image.darrays[1].data if len(image.darrays) > 1 else np.empty((0, 3), np.int64)
        if points.shape != (VERTICES_PER_HEMISPHERE[mesh], 3):
            raise ValueError(f"{path} has points {points.shape}; {mesh} has {VERTICES_PER_HEMISPHERE[mesh]}.")
    points = points.astype(np.float64)
    return Sphere(points / np.linalg.norm(points, axis=1, keepdims=True), faces.astype(np.int64))


def _in_folder(folder: Path, name: str) -> Path:
    found = [folder / name, *sorted(folder.glob(f"*/{name}"))]
    path = next((path for path in found if path.is_file()), None)
    if path is None:
        raise FileNotFoundError(f"no {name} in {folder}: it is part of the HCP's standard mesh atlases.")
    return path


def nearest_points(own: Sphere, wanted: Sphere) -> np.ndarray:
    """(n_wanted,) which vertex of one sphere is nearest to each of the other."""
    from scipy.spatial import cKDTree

    return cKDTree(own.points).query(wanted.points)[1]


def linear_values(values: np.ndarray, own: Sphere, wanted: Sphere) -> np.ndarray:
    """(n_wanted,) means over the corners of the triangle that each vertex lies in; NaN where half of it says nothing.

    Raises:
        ValueError: the sphere has no triangles.
    """
    from scipy.spatial import cKDTree

    if not len(own.faces):
        raise ValueError("a sphere without triangles cannot interpolate: read it with its triangles, or linear=False.")
    corners = own.points.astype(np.float64)[own.faces]  # (n_faces, 3 corners, 3)
    tree, found = cKDTree(corners.mean(1)), []
    for start in range(0, len(wanted.points), AT_ONCE):
        points = wanted.points[start : start + AT_ONCE]
        near = tree.query(points, min(NEAR, len(corners)))[1]  # (n, NEAR)
        weights = np.linalg.solve(corners[near].swapaxes(2, 3), points[:, None, :, None])[..., 0]  # of each corner
        weights /= weights.sum(2, keepdims=True)
        best = weights.min(2).argmax(1)  # all three are 0 or more within a triangle
        rows = np.arange(len(points))
        weight = weights[rows, best].clip(min=0)
        part = values[own.faces[near[rows, best]]].astype(np.float64)
        weight = np.where(np.isnan(part), 0, weight / weight.sum(1, keepdims=True))
        known = weight.sum(1)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = (weight * np.nan_to_num(part)).sum(1) / known
        found.append(np.where(known >= 0.5, mean, np.nan))
    return np.concatenate(found)
