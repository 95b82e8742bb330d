"""A person's own surfaces: a folder of FreeSurfer's ``surf/`` or of GIfTI files, named like a mesh.

The name of such a mesh is its folder, "surfaces:/data/freesurfer/subj01", so that it means the same in every process.
The hemispheres of a person have different numbers of vertices. A mesh of brainnet counts the right ones from one number
on, which is here the larger of the two; what lies behind the last vertex of the smaller hemisphere is no vertex.
"""

from __future__ import annotations

import os
import re
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from brainnet._files import reading

PREFIX = "surfaces:"
KINDS = ("white", "pial", "inflated", "sphere", "sphere.reg")
SIDES = {"left": ("lh", "hemi-L", "L"), "right": ("rh", "hemi-R", "R")}
_GIFTI = {"white": "white|smoothwm", "inflated": "inflated", "sphere.reg": r"sphere\.reg|desc-reg_sphere"}


def own_mesh(folder: str | os.PathLike) -> str:
    """The name of the mesh that a folder of surfaces is, for ``BrainSpace(mesh=...)`` and ``surface_space``.

    Args:
        folder: a person's folder of FreeSurfer, its ``surf``, or one of GIfTI files such as
            ``sub-01_hemi-L_white.surf.gii``; of both hemispheres.

    Raises:
        FileNotFoundError: no surface of a hemisphere is there.
        ValueError: a damaged file.
    """
    mesh = f"{PREFIX}{Path(folder).resolve()}"
    vertex_counts(mesh)
    return mesh


def is_own(mesh: str | None) -> bool:
    """Whether a mesh is a person's own.

    >>> is_own("surfaces:/data/subj01"), is_own("fsaverage")
    (True, False)
    """
    return mesh is not None and mesh.startswith(PREFIX)


@lru_cache(maxsize=64)
def vertex_counts(mesh: str) -> tuple[int, int]:
    """Vertices of the left and of the right hemisphere."""
    counts = []
    for side in SIDES:
        kind = next((kind for kind in KINDS if _find(mesh, kind, side) is not None), None)
        if kind is None:
            raise FileNotFoundError(
                f"no surface of the {side} hemisphere in {mesh.removeprefix(PREFIX)}: expected {SIDES[side][0]}.white, "
                f".pial or .inflated, in surf, or GIfTI files such as {SIDES[side][1]}_white.surf.gii."
            )
        counts.append(len(_read(_find(mesh, kind, side))[0]))
    return counts[0], counts[1]


class Meshes(dict):
    """Mesh -> vertices of a hemisphere; of a person's own surfaces, read from their folder, those of the larger one."""

    def __missing__(self, mesh: str) -> int:
        if not is_own(mesh):
            raise KeyError(mesh)
        return max(vertex_counts(mesh))

    def __contains__(self, mesh: object) -> bool:
        return super().__contains__(mesh) or (isinstance(mesh, str) and is_own(mesh))


def filled(mesh: str, values: np.ndarray, number: int) -> np.ndarray:
    """Values of the vertices of one hemisphere, 0 for the left, with what says nothing up to the number of a mesh."""
    if not is_own(mesh) or values.shape[-1] != vertex_counts(mesh)[number]:
        return values
    missing = max(vertex_counts(mesh)) - values.shape[-1]
    return np.pad(values, (0, missing), constant_values=np.nan if values.dtype.kind == "f" else 0)


def read_own(mesh: str, kind: str, hemisphere: str) -> tuple[np.ndarray, np.ndarray]:
    """Points (n, 3) in mm and triangles of one hemisphere, the points filled up to the number of the larger one.

    Raises:
        FileNotFoundError: there is no such surface.
        ValueError: a damaged file, or one of another number of vertices.
    """
    path = _find(mesh, kind, hemisphere)
    if path is None:
        raise FileNotFoundError(
            f"no surface {kind} of the {hemisphere} hemisphere in {mesh.removeprefix(PREFIX)}: expected "
            f"{SIDES[hemisphere][0]}.{kind}, in surf, or a GIfTI file of that name."
        )
    points, faces = _read(path)
    counts = vertex_counts(mesh)
    expected = counts[list(SIDES).index(hemisphere)]
    if len(points) != expected:
        raise ValueError(f"{path} has {len(points)} vertices; expected {expected}, as the other surfaces beside it.")
    filled = np.repeat(points[:1], max(counts) - len(points), 0)  # in no triangle
    return np.concatenate([points, filled]).astype(np.float32), faces.astype(np.int64)


def nearest_vertices(mesh: str, spheres: Sequence[np.ndarray], back: bool = False) -> np.ndarray:
    """For every vertex of a person's own surfaces the nearest one of fsaverage, within its hemisphere, by sphere.reg.

    Args:
        mesh: the person's.
        spheres: points of the left and of the right sphere of fsaverage.
        back: the other way round: for every vertex of fsaverage the person's, right ones counted as in ``BrainSpace``.
    """
    from scipy.spatial import cKDTree

    found = []
    for number, (side, sphere) in enumerate(zip(SIDES, spheres, strict=True)):
        own = _unit(read_own(mesh, "sphere.reg", side)[0])
        if back:
            found.append(cKDTree(own[: vertex_counts(mesh)[number]]).query(_unit(sphere))[1] + number * len(own))
        else:
            found.append(cKDTree(_unit(sphere)).query(own)[1])
    return np.concatenate(found)


def _unit(points: np.ndarray) -> np.ndarray:
    points = points.astype(np.float64)
    return points / np.linalg.norm(points, axis=1, keepdims=True)


def read_depth(mesh: str) -> np.ndarray:
    """(2 x vertices of the larger hemisphere,) sulcal depth of ``lh.sulc`` and ``rh.sulc``; 0 without these files."""
    import nibabel

    counts, depths = vertex_counts(mesh), []
    for number, words in enumerate(SIDES.values()):
        path = next((p for p in _folders(mesh, f"{words[0]}.sulc") if p.is_file()), None)
        depth = np.zeros(max(counts), np.float32)
        if path is not None:
            with reading(path, "FreeSurfer morphometry"):
                values = nibabel.freesurfer.read_morph_data(path)
            if len(values) != counts[number]:
                raise ValueError(f"{path} has {len(values)} vertices; expected {counts[number]}.")
            depth[: counts[number]] = values
        depths.append(depth)
    return np.concatenate(depths)


def _folders(mesh: str, name: str) -> list[Path]:
    root = Path(mesh.removeprefix(PREFIX))
    return [root / "surf" / name, root / name]


def _find(mesh: str, kind: str, hemisphere: str) -> Path | None:
    """The file of a surface, FreeSurfer's first."""
    words = SIDES[hemisphere]
    own = next((path for path in _folders(mesh, f"{words[0]}.{kind}") if path.is_file()), None)
    if own is not None:
        return own
    side = rf"(?<![A-Za-z0-9])({'|'.join(words)})(?![A-Za-z0-9])"
    what = rf"(?<![A-Za-z0-9.])({_GIFTI.get(kind, re.escape(kind))})\.surf\.gii$|\.({re.escape(kind)})\.(surf\.)?gii$"
    for folder in (Path(mesh.removeprefix(PREFIX)), Path(mesh.removeprefix(PREFIX)) / "surf"):
        for path in sorted(folder.glob("*.gii")):
            if re.search(side, path.name) and re.search(what, path.name):
                return path
    return None


@lru_cache(maxsize=16)
def _read(path: Path) -> tuple[np.ndarray, np.ndarray]:
    import nibabel

    with reading(path, "surface"):
        if path.suffix == ".gii":
            image = nibabel.load(path)
            points, faces = image.agg_data("pointset"), image.agg_data("triangle")
        else:
            points, faces = nibabel.freesurfer.read_geometry(path)
        if np.ndim(points) != 2 or np.ndim(faces) != 2 or np.max(faces) >= len(points):
            raise ValueError("it holds no points with triangles")
    return np.asarray(points), np.asarray(faces)


def read_label(path: str | os.PathLike) -> np.ndarray:
    """(n,) vertices of a FreeSurfer ``.label`` file, within its hemisphere.

    Raises:
        FileNotFoundError, ValueError: no such file, or one that is damaged.
    """
    import nibabel

    if not Path(path).is_file():
        raise FileNotFoundError(f"no label {path}.")
    with reading(path, "FreeSurfer label"):
        vertices = np.atleast_1d(nibabel.freesurfer.read_label(path))
        if not len(vertices) or vertices.min() < 0:
            raise ValueError("it holds no vertices")
    return vertices
