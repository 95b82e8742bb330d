"""fsaverage meshes, their spheres and flat maps, and the way from the fine mesh to the coarse one.

fsaverage5 (10,242 vertices a hemisphere) comes from nilearn's wheel and needs no network. The sphere and the flat map
of fsaverage (163,842 a hemisphere) and fsaverage6 need none either: all are subdivisions of one icosahedron, so they
are computed, and so is all of fsaverage3 and 4. The folded surfaces of the two finer meshes are read through nilearn's
cache, which downloads them once. Arrays are loaded once a process and read-only.

The one idea: vertices count over the left and then the right hemisphere, as in ``BrainSpace``.
"""

from __future__ import annotations

from collections.abc import Mapping
from functools import lru_cache
from importlib.util import find_spec
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import nearest, warn_once
from brainnet.space.brain_space import VERTICES_PER_HEMISPHERE, BrainSpace
from brainnet.space.own_surfaces import is_own, nearest_vertices, read_depth, read_own

HEMISPHERES = ("left", "right")
SURFACES = {"sphere": "sphere", "inflated": "infl", "pial": "pial", "white": "white", "flat": "flat"}
_FINER, _COARSER = {"fsaverage6": 1, "fsaverage": 2}, {"fsaverage4": 1, "fsaverage3": 2}  # steps from fsaverage5
RIGHT_OFFSET = 1.5  # the right sphere starts 1.5 left x-ranges after the left one starts, as in the original
STRETCHED = 3.0  # a flat edge above 3x the 99th percentile bridges a cut rather than neighboring cortex


class Mesh(NamedTuple):
    """Read-only ``points`` (n_vertices, 3) float32 in mm and triangles ``faces`` (n_faces, 3) int64."""

    points: np.ndarray
    faces: np.ndarray


def load_mesh(mesh: str = "fsaverage5", kind: str = "inflated", hemisphere: str | None = None) -> Mesh:
    """Points and triangles of an fsaverage surface.

    Args:
        mesh: "fsaverage", or "fsaverage3" to "fsaverage6".
        kind: "sphere" (radius 100), "inflated", "pial", "white" or "flat". A flat mesh has z = 0 on the vertices of its
            triangles; the vertices of the medial wall and the cuts belong to no triangle and their points mean nothing.
            Sphere and flat map of "fsaverage" and "fsaverage6" are those of fsaverage5, subdivided; "fsaverage3" and
            "fsaverage4" are its first vertices.
        hemisphere: "left" or "right"; None joins both, right after left, each in its own coordinates (so the two
            spheres, and the two flat maps, overlap).

    Raises:
        ValueError: unknown mesh, kind or hemisphere.
        ConnectionError: a folded surface of "fsaverage" or "fsaverage6" is in no cache and cannot be downloaded.

    >>> load_mesh("fsaverage5", "sphere", "left").points.shape
    (10242, 3)
    >>> int(load_mesh("fsaverage5", "sphere").faces.max())
    20483
    """
    _check_has_surfaces(mesh)
    _check(kind, SURFACES, "surface")
    if hemisphere is not None:
        _check(hemisphere, HEMISPHERES, "hemisphere")
    return _load_mesh(mesh, kind, hemisphere)


@lru_cache(maxsize=32)
def _load_mesh(mesh: str, kind: str, hemisphere: str | None) -> Mesh:
    if hemisphere is None:
        left, right = (_load_mesh(mesh, kind, side) for side in HEMISPHERES)
        return _read_only(
            np.concatenate([left.points, right.points]),
            np.concatenate([left.faces, right.faces + len(left.points)]),
        )
    if is_own(mesh):
        return _read_only(*read_own(mesh, kind, hemisphere))
    if mesh in _FINER and kind in ("sphere", "flat"):
        return _subdivided(kind, hemisphere, _FINER[mesh])
    if mesh in _COARSER:
        return _coarsened(kind, hemisphere, _COARSER[mesh])
    points, faces = _read_gifti(mesh, f"{SURFACES[kind]}_{hemisphere}")
    return _read_only(points, faces.astype(np.int64))


def load_mesh_at_hand(mesh: str, kind: str, hemisphere: str) -> Mesh:
    """As :func:`load_mesh`, without a download: a folded surface that is not at hand is that of fsaverage5, subdivided.

    A line says so once, and how to get the fine one. The vertices are the same, the folds between them are smoother.

    >>> load_mesh_at_hand("fsaverage5", "pial", "left").points.shape
    (10242, 3)
    """
    _check_has_surfaces(mesh)
    if mesh not in _FINER or kind in ("sphere", "flat") or _is_cached(mesh, f"{SURFACES[kind]}_{hemisphere}"):
        return load_mesh(mesh, kind, hemisphere)
    warn_once(
        f"coarse {mesh}",
        f"the folded surfaces of {mesh} are not in nilearn's folder, so those of fsaverage5 are drawn, subdivided; "
        f"nilearn.datasets.fetch_surf_fsaverage({mesh!r}) downloads them once.",
    )
    return _subdivided_at_hand(mesh, kind, hemisphere)


@lru_cache(maxsize=8)
def _subdivided_at_hand(mesh: str, kind: str, hemisphere: str) -> Mesh:
    return _subdivided(kind, hemisphere, _FINER[mesh])


def _is_cached(mesh: str, name: str) -> bool:
    from nilearn.datasets import get_data_dirs

    return any(Path(folder, mesh, f"{name}.gii.gz").is_file() for folder in get_data_dirs())


@lru_cache(maxsize=2)
def sulcal_depth(mesh: str = "fsaverage5") -> np.ndarray:
    """(n_mesh_vertices,) sulcal depth: positive in sulci, negative on gyri; left then right, read-only.

    That of a finer mesh is interpolated from fsaverage5, good for shading only.

    >>> sulcal_depth().shape
    (20484,)
    """
    _check_has_surfaces(mesh)
    if is_own(mesh):
        return read_depth(mesh)
    depths = [_read_gifti("fsaverage5", f"sulc_{side}")[0] for side in HEMISPHERES]
    for _, parents in _subdivisions()[: _FINER.get(mesh, 0)]:
        depths = [np.concatenate([depth, depth[parents].mean(axis=1)]) for depth in depths]
    depth = np.concatenate([depth[: VERTICES_PER_HEMISPHERE[mesh]] for depth in depths])
    depth.flags.writeable = False
    return depth


def sphere_coords(vertices: Tensor, mesh: str = "fsaverage5") -> Tensor:
    """(n, 3) float32 mm on the two spheres, laid side by side: the coordinates the selectors of FactorTopy read.

    The spheres of both hemispheres share one center. As in the original, the right one is shifted along x so that its
    lowest x lies 1.5 left x-ranges above the left one's: left spans -100..100, right 200..400.

    Args:
        vertices: (n,) integers over both hemispheres.
        mesh: "fsaverage5" or "fsaverage".

    >>> sphere_coords(torch.tensor([0, 10242]))
    tensor([[  0.,   0., 100.],
            [300.,   0., 100.]])
    """
    return torch.tensor(_side_by_side_spheres(mesh)[torch.as_tensor(vertices).cpu().numpy()])


@lru_cache(maxsize=2)
def _side_by_side_spheres(mesh: str) -> np.ndarray:
    left, right = (load_mesh(mesh, "sphere", side).points for side in HEMISPHERES)
    low, high = left[:, 0].min(), left[:, 0].max()
    shift = low + RIGHT_OFFSET * (high - low) - right[:, 0].min()
    return np.concatenate([left, right + np.array([shift, 0, 0], dtype=np.float32)])


def surface_space(vertices: Tensor, mesh: str = "fsaverage5", rois: Mapping[str, Tensor] | None = None) -> BrainSpace:
    """A surface space of these mesh vertices, with the sphere coordinates of :func:`sphere_coords`.

    Args:
        vertices: (n,) integers over both hemispheres, each at most once.
        mesh: "fsaverage5" or "fsaverage".
        rois: name -> (n,) bool.

    >>> surface_space(torch.arange(3)).coords.shape
    torch.Size([3, 3])
    """
    unplaced = BrainSpace(vertices=vertices, mesh=mesh, rois=rois or {})  # refuses vertices that are none
    return BrainSpace(
        coords=sphere_coords(unplaced.vertices, mesh), vertices=unplaced.vertices, mesh=mesh, rois=unplaced.rois
    )


def occipital_vertices(radius: float = 40.0, mesh: str = "fsaverage5") -> Tensor:
    """Vertices near the occipital poles, in rising order: a visual cortex for simulations.

    Args:
        radius: angle in degrees, on the sphere, from the most posterior vertex of the inflated surface.
        mesh: "fsaverage5" or "fsaverage".

    Returns:
        (n,) long over both hemispheres; only vertices the flat map shows.

    >>> len(occipital_vertices())
    2364
    """
    found = []
    for side, offset in zip(HEMISPHERES, (0, VERTICES_PER_HEMISPHERE[mesh]), strict=True):
        sphere = load_mesh(mesh, "sphere", side).points.astype(np.float64)
        sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
        pole = load_mesh("fsaverage5", "inflated", side).points[: len(sphere), 1].argmin()  # a vertex of each
        near = sphere @ sphere[pole] >= np.cos(np.radians(radius))
        shown = np.zeros(len(sphere), dtype=bool)
        shown[load_mesh(mesh, "flat", side).faces] = True
        found.append(np.flatnonzero(near & shown) + offset)
    return torch.from_numpy(np.concatenate(found))


def flat_triangles(inside: np.ndarray | Tensor, hemisphere: str, mesh: str = "fsaverage5") -> np.ndarray:
    """Triangles of the flat map whose three corners are inside, without the few that bridge a cut.

    Args:
        inside: (n_vertices,) bool, over the vertices of one hemisphere.
        hemisphere: "left" or "right".
        mesh: "fsaverage5" or "fsaverage".

    Returns:
        (n, 3) vertex indices within the hemisphere.

    >>> flat_triangles(np.ones(10242, dtype=bool), "left").shape[1]
    3
    """
    faces = _unstretched_faces(mesh, hemisphere)
    return faces[np.asarray(inside)[faces].all(axis=1)]


@lru_cache(maxsize=4)
def _unstretched_faces(mesh: str, hemisphere: str) -> np.ndarray:
    points, faces = load_mesh(mesh, "flat", hemisphere)
    corners = points[faces]
    edges = np.linalg.norm(corners - np.roll(corners, 1, axis=1), axis=2)
    return faces[edges.max(axis=1) <= STRETCHED * np.percentile(edges, 99)]


class Coarsening(NamedTuple):
    """A surface space brought to fsaverage5: ``space`` there, and which of its columns each fine voxel went to."""

    space: BrainSpace
    column: Tensor

    def mean(self, values: Tensor) -> Tensor:
        """(n_fine, ...) -> (n_coarse, ...): means over the fine voxels of a column that are not NaN."""
        values = torch.as_tensor(values).detach().cpu().float()
        known = ~values.isnan()
        total = torch.zeros(self.space.n_voxels, *values.shape[1:]).index_add_(0, self.column, values.nan_to_num())
        return total / torch.zeros_like(total).index_add_(0, self.column, known.float())  # 0 / 0: nothing known, NaN


def to_fsaverage5(space: BrainSpace) -> Coarsening:
    """The same cortex on fsaverage5: each vertex of a finer mesh goes to the nearest fsaverage5 vertex on the sphere.

    The first 10,242 vertices of fsaverage *are* those of fsaverage5, so every one of them goes to itself; about 16 fine
    vertices meet in each coarse one. An ROI owns a coarse vertex where at least half of its fine voxels do. A space on
    fsaverage5 comes back as it is.

    Raises:
        ValueError: the space has no surface.

    >>> fine = surface_space(torch.tensor([5, 9, 163842]), "fsaverage")
    >>> coarse = to_fsaverage5(fine)
    >>> coarse.space.vertices.tolist(), coarse.mean(torch.tensor([1., 2., 3.])).tolist()
    ([5, 9, 10242], [1.0, 2.0, 3.0])
    """
    if space.mesh == "fsaverage5":
        return Coarsening(space, torch.arange(space.n_voxels))
    if space.mesh is None:
        raise ValueError(f"{space!r} has no surface: it needs vertices and mesh.")
    if is_own(space.mesh):
        coarse = [load_mesh("fsaverage5", "sphere", side).points for side in HEMISPHERES]
        home = torch.from_numpy(nearest_vertices(space.mesh, coarse))[space.vertices]
    elif space.mesh not in _FINER:
        raise ValueError(f"{space!r} cannot be brought to fsaverage5: only fsaverage6 and fsaverage are finer.")
    else:  # vertices of fsaverage6 are the first ones of fsaverage
        home = _nearest_coarse_vertex()[space.vertices % VERTICES_PER_HEMISPHERE[space.mesh]]
    vertices, column = (home + space.hemisphere * VERTICES_PER_HEMISPHERE["fsaverage5"]).unique(return_inverse=True)
    bare = Coarsening(BrainSpace.free(len(vertices)), column)
    rois = {name: bare.mean(mask.float()) >= 0.5 for name, mask in space.rois.items()}
    return Coarsening(surface_space(vertices, "fsaverage5", rois), column)


@lru_cache(maxsize=1)
def _nearest_coarse_vertex() -> Tensor:
    """(163842,) nearest fsaverage5 vertex of every fsaverage vertex of one hemisphere."""
    from scipy.spatial import cKDTree

    coarse = load_mesh("fsaverage5", "sphere", "left").points
    return torch.from_numpy(cKDTree(coarse).query(load_mesh("fsaverage", "sphere", "left").points)[1])


@lru_cache(maxsize=1)
def _subdivisions() -> list[tuple[np.ndarray, np.ndarray]]:
    """Faces and parents (see :func:`subdivide`) of the two steps from fsaverage5 to fsaverage.

    The order in which FreeSurfer numbers new vertices and triangles was read off fsaverage5: applied from the
    icosahedron on, it gives back the triangles of every level, and the points to the 0.01 mm of the file's rounding.
    """
    points, faces = load_mesh("fsaverage5", "sphere", "left")  # both hemispheres share their triangles
    first = subdivide(faces, len(points))
    return [first, subdivide(first[0], len(points) + len(first[1]))]


def _coarsened(kind: str, hemisphere: str, steps: int) -> Mesh:
    points, shown = load_mesh("fsaverage5", kind, hemisphere)
    faces = load_mesh("fsaverage5", "sphere", hemisphere).faces
    kept = np.isin(np.sort(faces) @ [1, 10**5, 10**10], np.sort(shown) @ [1, 10**5, 10**10])
    for _ in range(steps):  # undoes subdivide: a triangle's own child first, three others after
        own, others = np.split(faces, [len(faces) // 4])
        faces = np.stack([own[:, 0], others[2::3, 1], others[::3, 2]], axis=1)
        kept = kept[: len(own)] & kept[len(own) :].reshape(-1, 3).all(1)
    return _read_only(points[: faces.max() + 1], faces[kept])


def _subdivided(kind: str, hemisphere: str, steps: int) -> Mesh:
    points, kept = load_mesh("fsaverage5", kind, hemisphere)
    points = points.astype(np.float64)
    triangles = {tuple(sorted(face)) for face in kept.tolist()}
    every = load_mesh("fsaverage5", "sphere", "left").faces
    shown = np.array([tuple(sorted(face)) in triangles for face in every.tolist()])  # a flat map leaves some out
    for _, parents in _subdivisions()[:steps]:
        middle = points[parents].mean(axis=1)
        if kind == "sphere":
            middle *= 100 / np.linalg.norm(middle, axis=1, keepdims=True)
        points = np.concatenate([points, middle])
        shown = np.concatenate([shown, shown.repeat(3)])  # subdivide: one child of each, then three of each
    return _read_only(points.astype(np.float32), _subdivisions()[steps - 1][0][shown])


def subdivide(faces: np.ndarray, n_vertices: int) -> tuple[np.ndarray, np.ndarray]:
    """Each triangle cut in four at the middle of its edges, numbered as FreeSurfer numbers its icosahedra.

    Args:
        faces: (n, 3) triangles over ``n_vertices`` vertices.
        n_vertices: number of vertices; new ones count from here.

    Returns:
        faces: (4n, 3) triangles.
        parents: (n_new, 2) the two old vertices in whose middle each new vertex lies.

    >>> subdivide(np.array([[0, 1, 2]]), 3)[1].tolist()
    [[0, 2], [1, 2], [0, 1]]
    """
    a, b, c = faces.T
    edges = np.stack([a, c, b, c, a, b], axis=1).reshape(-1, 2)
    low, high = np.sort(edges, axis=1).T
    _, first, inverse = np.unique(low * n_vertices + high, return_index=True, return_inverse=True)
    rank = first.argsort().argsort()  # edges are numbered as they are first met
    ac, bc, ab = (n_vertices + rank[inverse]).reshape(-1, 3).T
    others = np.stack([ac, bc, c, ab, bc, ac, ab, b, bc], axis=1).reshape(-1, 3)
    return np.concatenate([np.stack([a, ab, ac], axis=1), others]), edges[np.sort(first)]


def _read_gifti(mesh: str, name: str) -> list[np.ndarray]:
    import nibabel

    # the wheel's own files, found without importing nilearn, which takes a second
    package = find_spec("nilearn")
    carried = (
        Path(package.submodule_search_locations[0], "datasets", "data", mesh, f"{name}.gii.gz") if package else None
    )
    path = carried if carried is not None and carried.is_file() else _fetch_surface(mesh, name)
    return [array.data for array in nibabel.load(path).darrays]


def _fetch_surface(mesh: str, name: str) -> Path:
    from nilearn.datasets import fetch_surf_fsaverage

    try:
        return Path(fetch_surf_fsaverage(mesh)[name])
    except OSError as error:  # requests' errors are OSErrors
        raise ConnectionError(
            f"{name} of {mesh} is not in nilearn's cache and could not be downloaded ({type(error).__name__}). Run "
            f"nilearn.datasets.fetch_surf_fsaverage({mesh!r}) where there is a network and copy ~/nilearn_data/{mesh} "
            "here, or set NILEARN_DATA. fsaverage5, and the sphere and flat map of fsaverage, need no download."
        ) from error


def _read_only(points: np.ndarray, faces: np.ndarray) -> Mesh:
    points, faces = points.copy(), faces.copy()
    points.flags.writeable = faces.flags.writeable = False
    return Mesh(points, faces)


def has_surfaces(mesh: str | None) -> bool:
    """Whether a mesh has a flat map and folded surfaces: fsaverage has, of fsLR no surface is carried.

    >>> has_surfaces("fsaverage6"), has_surfaces("fsLR32k")
    (True, False)
    """
    return mesh is not None and not mesh.startswith("fsLR")


def _check_has_surfaces(mesh: str) -> None:
    _check(mesh, VERTICES_PER_HEMISPHERE, "mesh")
    if not has_surfaces(mesh):
        raise ValueError(
            f"brainnet has no surfaces of {mesh}, which are published under terms of their own: its maps are written "
            "as files, which Connectome Workbench shows. What is to be drawn, bring to fsaverage first."
        )


def _check(name: str, known: Mapping[str, object] | tuple[str, ...], kind: str) -> None:
    if name not in known:
        near = nearest(name, known)
        hint = f" Did you mean {near!r}?" if near else ""
        raise ValueError(f"Unknown {kind} {name!r}.{hint} Known: {', '.join(known)}.")
