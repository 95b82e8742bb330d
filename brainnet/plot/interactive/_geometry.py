"""The cortex of the page: vertices, their places on three surfaces, triangles, and which voxel each vertex shows.

The whole brain is drawn as fsaverage5. Of a finer mesh only the triangles around recorded vertices are fine: they are
subdivisions of those of fsaverage5, so the page stays small, and every vertex keeps the number that it has in its mesh.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import numpy as np

from brainnet.space import HEMISPHERES, BrainSpace, drawn_on, flat_triangles, load_mesh, subdivide, sulcal_depth

COARSE = "fsaverage5"
PAGE_SURFACES = ("pial", "inflated", "flat")
LEVELS = {10_242: 0, 40_962: 1, 163_842: 2}  # vertices a hemisphere: subdivisions of fsaverage5
GAPS = {"inflated": 8.0, "flat": 16.0}  # mm between the hemispheres
PROJECTION = (
    "Each vertex shows the voxel half-way between the white and the pial surface of fsaverage5 (nearest voxel, "
    "nilearn.surface.vol_to_surf). This is right for volumes in MNI space only."
)


class Geometry(NamedTuple):
    """What is drawn of a brain; vertices of the left hemisphere come first.

    Attributes:
        ids: (n,) number of each vertex in its mesh, right ones after all left ones.
        n_left: how many of the n are left.
        points: surface -> (n, 3) mm; the hemispheres stand apart on the inflated and flat ones.
        faces: (m, 3) triangles; those that the flat map shows come first.
        n_flat: how many of the m the flat map shows.
        depth: (n,) sulcal depth.
    """

    ids: np.ndarray
    n_left: int
    points: dict[str, np.ndarray]
    faces: np.ndarray
    n_flat: int
    depth: np.ndarray


class Drawn(NamedTuple):
    """A space as the page shows it.

    Attributes:
        mesh: name of the mesh that vertex numbers belong to.
        geometry: what is drawn.
        column: (n,) the voxel that each vertex shows, -1 for none.
        method: how a volume came onto the surface, "" where the voxels are vertices.
    """

    mesh: str
    geometry: Geometry
    column: np.ndarray
    method: str


def drawn(space: BrainSpace) -> Drawn:
    """The geometry of a space and the voxel of every vertex.

    Raises:
        ValueError: the space has no place on a brain, is on a mesh that is no subdivision of fsaverage5, or is a volume
            of which no voxel touches the cortex.
    """
    if space.mesh is not None:
        mesh, voxel = drawn_on(space)
        n_side = len(voxel) // 2
        if n_side not in LEVELS:
            raise ValueError(
                f"a page is drawn on fsaverage5, fsaverage6 or fsaverage; the space is on {space.mesh}, with {n_side} "
                "vertices a hemisphere. Resample the maps to fsaverage first."
            )
        geometry = _geometry(n_side, np.flatnonzero(voxel >= 0).tobytes() if LEVELS[n_side] else b"")
        return Drawn(mesh, geometry, voxel[geometry.ids], "")
    if space.mask is None:
        raise ValueError(f"{space!r}: its voxels have no place on a brain, so there is no page to draw of them.")
    geometry = _geometry(10_242, b"")
    cortex, centres = load_mesh(COARSE, "pial").points, space.coords.numpy()
    apart = (centres.min(axis=0) > cortex.max(axis=0)) | (centres.max(axis=0) < cortex.min(axis=0))
    column = np.full(len(geometry.ids), -1) if apart.any() else _nearest_voxels(space)
    if (column < 0).all():
        raise ValueError(f"no voxel of {space!r} lies on the cortex of fsaverage5; is the volume in MNI space?")
    return Drawn(COARSE, geometry, column, PROJECTION)


def _nearest_voxels(space: BrainSpace) -> np.ndarray:
    """(n,) the voxel under each vertex of fsaverage5, -1 for none."""
    from importlib.metadata import version

    import nibabel
    from nilearn.surface import vol_to_surf

    nearest = "nearest" if version("nilearn").startswith("0.11.") else "nearest_most_frequent"  # its word changed
    number = np.zeros(space.mask.numel(), dtype=np.float32)
    number[space.volume_index.numpy()] = 1 + np.arange(space.n_voxels)  # exact in float32 up to 16 million
    image = nibabel.Nifti1Image(number.reshape(space.mask.shape), space.affine.numpy())
    found = []
    for side in HEMISPHERES:
        outer, inner = (load_mesh(COARSE, kind, side) for kind in ("pial", "white"))
        how = {"inner_mesh": [inner.points, inner.faces], "kind": "depth", "depth": [0.5]}  # one sample: none is mixed
        sampled = vol_to_surf(image, [outer.points, outer.faces], interpolation=nearest, **how)
        found.append(np.nan_to_num(np.asarray(sampled)).reshape(-1).round().astype(np.int64) - 1)
    return np.concatenate(found)


@lru_cache(maxsize=4)
def _geometry(n_side: int, recorded: bytes) -> Geometry:
    """The brain at the level of a mesh with ``n_side`` vertices a hemisphere, fine around the recorded vertices."""
    vertices = np.frombuffer(recorded, dtype=np.int64)
    sides = []
    for number, side in enumerate(HEMISPHERES):
        inside = np.zeros(n_side, dtype=bool)
        inside[vertices[vertices // n_side == number] % n_side] = True
        sides.append(_side(side, number, LEVELS[n_side], inside))
    (left, n_left_flat), (right, n_right_flat) = sides
    n_left = len(left.ids)
    points = {}
    for kind in PAGE_SURFACES:
        both = [one.points[kind].copy() for one in (left, right)]
        if kind in GAPS:
            both[0][:, 0] -= both[0][:, 0].max() + GAPS[kind] / 2
            both[1][:, 0] -= both[1][:, 0].min() - GAPS[kind] / 2
        joined = np.concatenate(both)
        middle = (joined.max(axis=0) + joined.min(axis=0)) / 2
        middle[0] = 0 if kind != "pial" else middle[0]
        points[kind] = (joined - middle).astype(np.float32)
    far = right.faces + n_left
    return Geometry(
        np.concatenate([left.ids, right.ids + n_side]),
        n_left,
        points,
        np.concatenate([left.faces[:n_left_flat], far[:n_right_flat], left.faces[n_left_flat:], far[n_right_flat:]]),
        n_left_flat + n_right_flat,
        np.concatenate([left.depth, right.depth]),
    )


def _side(side: str, number: int, level: int, inside: np.ndarray) -> tuple[Geometry, int]:
    """One hemisphere, and how many of its triangles the flat map shows."""
    n = LEVEL_SIZES[0]
    faces = load_mesh(COARSE, "sphere", side).faces
    kept = {tuple(sorted(face)) for face in flat_triangles(np.ones(n, dtype=bool), side, COARSE).tolist()}
    on_flat = np.array([tuple(sorted(face)) in kept for face in faces.tolist()])
    points = {kind: load_mesh(COARSE, kind, side).points.astype(np.float64) for kind in PAGE_SURFACES}
    points["flat"] = _at_the_rim(points, faces, on_flat)
    depth = sulcal_depth(COARSE)[number * n : (number + 1) * n]
    fine, parent = faces, np.arange(len(faces))
    for _ in range(level):
        fine, ends = subdivide(fine, len(depth))
        parent = np.concatenate([parent, parent.repeat(3)])  # one child of each triangle, then three of each
        points = {kind: np.concatenate([one, one[ends].mean(axis=1)]) for kind, one in points.items()}
        depth = np.concatenate([depth, depth[ends].mean(axis=1)])
    if level:
        opened = np.zeros(len(faces), dtype=bool)
        opened[parent[inside[fine].any(axis=1)]] = True
        chosen = opened[parent]
        fine, shown = (
            np.concatenate([faces[~opened], fine[chosen]]),
            np.concatenate([on_flat[~opened], on_flat[parent[chosen]]]),
        )
    else:
        shown = on_flat
    ids, renumbered = np.unique(fine, return_inverse=True)
    fine = renumbered.reshape(-1, 3)
    order = np.argsort(~shown, kind="stable")
    part = Geometry(ids, len(ids), {kind: one[ids] for kind, one in points.items()}, fine[order], 0, depth[ids])
    return part, int(shown.sum())


LEVEL_SIZES = {level: size for size, level in LEVELS.items()}


def _at_the_rim(points: dict[str, np.ndarray], faces: np.ndarray, on_flat: np.ndarray) -> np.ndarray:
    """Flat points in which vertices of no flat triangle, whose points mean nothing, lie at their nearest neighbor."""
    from scipy.spatial import cKDTree

    shown = np.zeros(len(points["flat"]), dtype=bool)
    shown[faces[on_flat]] = True
    flat = points["flat"].copy()
    nearest = cKDTree(points["inflated"][shown]).query(points["inflated"][~shown])[1]
    flat[~shown] = flat[shown][nearest]
    flat[:, 2] = 0
    return flat
