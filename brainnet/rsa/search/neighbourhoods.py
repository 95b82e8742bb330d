"""Neighborhoods: which voxels a searchlight sees from each of its centers.

Spheres in a volume, discs on a cortical mesh, or lists of the caller's own (sensors, parcels). All are kept as one
flat list of members and where each center's share begins, so a whole brain of them costs four bytes a member.

The one rule: only voxels of the space are members. A sphere at the edge of the mask is smaller, never fuller of air.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np

from brainnet.space import HEMISPHERES, VERTICES_PER_HEMISPHERE, BrainSpace, load_mesh

UNITS = ("mm", "voxels")
AT_ONCE = 2**24  # entries of a temporary
ROUNDING = 1 + 1e-6  # a neighbor at exactly the radius is inside, whatever an oblique affine does to its last digit


@dataclass(frozen=True, eq=False)
class Neighbourhoods:
    """Members of each searchlight, as columns of a space.

    Args:
        space: the space whose columns are meant.
        centres: (n_centres,) the column each neighborhood belongs to; results are drawn there.
        starts: (n_centres + 1,) where each center's members begin in ``members``, and the end.
        members: (sum of sizes,) int32 columns, rising within a neighborhood.
        kind: what they are, for files and titles ("spheres of 6 mm").

    >>> lists = Neighbourhoods.from_lists([[0, 1], [1, 2, 3]], BrainSpace.free(4), centres=[0, 2])
    >>> lists.sizes.tolist(), lists[1].tolist()
    ([2, 3], [1, 2, 3])
    """

    space: BrainSpace
    centres: np.ndarray
    starts: np.ndarray
    members: np.ndarray
    kind: str = "own neighborhoods"

    @classmethod
    def from_lists(
        cls, lists: Iterable[Sequence[int]], space: BrainSpace, centres: Sequence[int] | None = None, kind: str = ""
    ) -> Neighbourhoods:
        """Neighborhoods given one by one.

        Args:
            lists: the member columns of each.
            space: the space they belong to; ``BrainSpace.free(n)`` for sensors.
            centres: the column each is drawn at; by default the first, second, ... column.
            kind: what they are.

        Raises:
            ValueError: empty neighborhoods, columns outside the space or named twice, a wrong number of centers.
        """
        lists = [np.asarray(one) for one in lists]
        if not lists:
            raise ValueError("no neighborhoods were given: a searchlight needs at least one center.")
        for i, one in enumerate(lists):
            if one.ndim != 1 or one.size == 0 or one.dtype.kind not in "iu":
                raise ValueError(f"neighborhood {i} must be a non-empty list of columns, got {one.dtype} {one.shape}.")
            if one.min() < 0 or one.max() >= space.n_voxels or len(np.unique(one)) < len(one):
                raise ValueError(f"neighborhood {i} must name each column of 0..{space.n_voxels - 1} at most once.")
        centres = np.arange(len(lists)) if centres is None else np.asarray(centres)
        if len(centres) != len(lists) or centres.max() >= space.n_voxels or len(np.unique(centres)) < len(centres):
            raise ValueError(
                f"{len(lists)} neighborhoods need as many different centers among {space.n_voxels} columns,"
                f" got {len(centres)}."
            )
        return cls._pack([np.sort(one) for one in lists], centres, space, kind or "own neighborhoods")

    @classmethod
    def _pack(
        cls, lists: list[np.ndarray], centres: np.ndarray, space: BrainSpace, kind: str, min_size: int = 1
    ) -> Neighbourhoods:
        kept = [i for i, one in enumerate(lists) if len(one) >= min_size]
        if not kept:
            largest = max(map(len, lists), default=0)
            raise ValueError(
                f"no center has {min_size} voxels in its reach (the most is {largest}); enlarge the neighborhood or"
                " lower min_size."
            )
        sizes = [len(lists[i]) for i in kept]
        members = np.concatenate([lists[i] for i in kept]).astype(np.int32)
        starts = np.concatenate([[0], np.cumsum(sizes)])
        return cls(space, np.asarray(centres)[kept].astype(np.int64), starts, members, kind)

    @property
    def sizes(self) -> np.ndarray:
        """(n_centres,) number of voxels in each."""
        return np.diff(self.starts)

    def __len__(self) -> int:
        return len(self.centres)

    def __getitem__(self, position: int) -> np.ndarray:
        """Columns of one neighborhood, by its position among the centers."""
        return self.members[self.starts[position] : self.starts[position + 1]]

    def __repr__(self) -> str:
        low, middle, high = np.percentile(self.sizes, (0, 50, 100)).astype(int)
        return f"Neighbourhoods({len(self)} centers, {self.kind}, {low} to {high} voxels, median {middle})"

    def blocks_of_equal_size(self, positions: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
        """Positions with equally many members, and those members (n, size): such patterns stack into one array."""
        sizes = self.sizes[positions]
        for size in np.unique(sizes):
            block = positions[sizes == size]
            yield block, self.members[self.starts[block][:, None] + np.arange(size)]


def spheres(
    space: BrainSpace,
    radius: float,
    unit: str = "mm",
    *,
    min_size: int = 10,
    centres: Any = None,
) -> Neighbourhoods:
    """Voxels within ``radius`` of each center and inside the mask; a voxel at exactly the radius is inside.

    Args:
        space: a volume (mask and affine).
        radius: in ``unit``.
        unit: "mm", where voxels need not be cubes nor axes aligned, or "voxels" along the axes of the grid.
        min_size: centers with fewer voxels are left out; an RDM over very few voxels is noise.
        centres: columns, or an (n_voxels,) mask, at which to center; every voxel by default.

    Raises:
        ValueError: the space is no volume, or no center has ``min_size`` voxels.

    >>> import torch
    >>> space = BrainSpace(mask=torch.ones(5, 5, 5).bool(), affine=2 * torch.eye(4).double())
    >>> spheres(space, 2.0, min_size=7)
    Neighbourhoods(27 centers, spheres of 2 mm, 7 to 7 voxels, median 7)
    """
    if space.mask is None:
        raise ValueError(f"{space!r} is no volume: spheres need a mask and an affine; on a surface use discs().")
    if unit not in UNITS:
        raise ValueError(f"unit must be 'mm' or 'voxels', got {unit!r}.")
    if not radius > 0:
        raise ValueError(f"radius must be above 0 {unit}, got {radius}.")
    metric = space.affine.numpy()[:3, :3] if unit == "mm" else np.eye(3)
    offsets = _ball(metric, radius * ROUNDING)
    shape = np.array(space.mask.shape)
    margin = np.abs(offsets).max(0)
    column_of = np.full(tuple(shape + 2 * margin), -1, dtype=np.int32)  # the margin lets a sphere leave the volume
    places = np.stack(np.unravel_index(space.volume_index.numpy(), tuple(shape)), axis=1) + margin
    column_of[tuple(places.T)] = np.arange(space.n_voxels)
    steps = np.ravel_multi_index(tuple((offsets + margin).T), column_of.shape)
    steps = steps - np.ravel_multi_index(tuple(margin), column_of.shape)
    at = np.ravel_multi_index(tuple(places.T), column_of.shape)
    chosen = _chosen(space, centres)
    flat, lists = column_of.ravel(), []
    for start in range(0, len(chosen), max(1, AT_ONCE // len(steps))):
        block = chosen[start : start + max(1, AT_ONCE // len(steps))]
        found = flat[at[block][:, None] + steps]
        lists += [np.sort(row[row >= 0]) for row in found]
    return Neighbourhoods._pack(lists, chosen, space, f"spheres of {radius:g} {unit}", min_size)


def discs(
    space: BrainSpace,
    radius: float | None = None,
    k: int | None = None,
    *,
    surface: str = "midthickness",
    min_size: int = 10,
    centres: Any = None,
) -> Neighbourhoods:
    """Vertices near each center along the cortex: within ``radius`` mm, or the ``k`` nearest, itself included.

    Distances run along the edges of the mesh and straight across pairs of adjacent triangles, about 2 % longer than
    true geodesics. Discs never cross to the other hemisphere.

    Args:
        space: a surface (vertices and mesh).
        radius: in mm along ``surface``.
        k: number of vertices instead; a hemisphere of the space with fewer than ``k`` gives all it has.
        surface: the mesh on which to measure: "midthickness" (half-way between white and pial), "white", "pial",
            "inflated" or "sphere".
        min_size: centers with fewer vertices are left out.
        centres: columns, or an (n_voxels,) mask, at which to center; every vertex by default.

    Raises:
        ValueError: the space is no surface, neither or both of ``radius`` and ``k``, no center with ``min_size``.

    >>> import torch
    >>> space = BrainSpace(vertices=torch.arange(10242), mesh="fsaverage5")
    >>> discs(space, k=20, centres=[0, 5])
    Neighbourhoods(2 centers, discs of 20 vertices, 20 to 20 voxels, median 20)
    """
    if space.mesh is None:
        raise ValueError(f"{space!r} is no surface: discs need vertices and a mesh; in a volume use spheres().")
    if (radius is None) == (k is None):
        raise ValueError(f"give either radius= in mm or k= vertices, got radius={radius}, k={k}.")
    if (k if radius is None else radius) <= 0:
        raise ValueError(f"radius and k must be above 0, got radius={radius}, k={k}.")
    n_hemisphere = VERTICES_PER_HEMISPHERE[space.mesh]
    chosen, vertices = _chosen(space, centres), space.vertices.numpy()
    lists: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(chosen)
    for side, name in enumerate(HEMISPHERES):
        inside = np.flatnonzero(vertices // n_hemisphere == side)  # columns of this hemisphere
        places = np.flatnonzero(vertices[chosen] // n_hemisphere == side)
        if not len(places):
            continue
        graph = _geodesic_graph(space.mesh, surface, name)
        sources, targets = vertices[chosen[places]] % n_hemisphere, vertices[inside] % n_hemisphere
        found = _within(graph, sources, targets, radius) if k is None else _nearest(graph, sources, targets, k)
        for place, one in zip(places, found, strict=True):
            lists[place] = np.sort(inside[one])
    kind = f"discs of {radius:g} mm" if k is None else f"discs of {k} vertices"
    return Neighbourhoods._pack(lists, chosen, space, kind, min_size)


# ---- pieces -------------------------------------------------------------------------------------------------------


def _chosen(space: BrainSpace, centres: Any) -> np.ndarray:
    if centres is None:
        return np.arange(space.n_voxels)
    chosen = np.asarray(centres)
    if chosen.dtype == bool:
        if chosen.shape != (space.n_voxels,):
            raise ValueError(f"a mask of centers must be ({space.n_voxels},), got {chosen.shape}.")
        return np.flatnonzero(chosen)
    if chosen.ndim != 1 or chosen.dtype.kind not in "iu" or not len(chosen):
        raise ValueError(f"centres must be a non-empty list of columns or a mask, got {chosen.dtype} {chosen.shape}.")
    if chosen.min() < 0 or chosen.max() >= space.n_voxels or len(np.unique(chosen)) < len(chosen):
        raise ValueError(f"centres must name columns of 0..{space.n_voxels - 1}, each at most once.")
    return chosen


def _ball(metric: np.ndarray, radius: float) -> np.ndarray:
    """Grid steps (n, 3) no longer than ``radius`` after ``metric`` (3, 3) maps them to lengths."""
    reach = np.ceil(radius * np.linalg.norm(np.linalg.inv(metric), axis=1)).astype(int)
    grid = np.stack(np.meshgrid(*(np.arange(-r, r + 1) for r in reach), indexing="ij"), axis=-1).reshape(-1, 3)
    return grid[np.linalg.norm(grid @ metric.T, axis=1) <= radius]


@lru_cache(maxsize=4)
def _geodesic_graph(mesh: str, surface: str, hemisphere: str) -> Any:
    """Lengths between vertices that share an edge, and across the two triangles that share one (unfolded)."""
    if surface == "midthickness":
        white, pial = (load_mesh(mesh, kind, hemisphere) for kind in ("white", "pial"))
        points, faces = (white.points.astype(np.float64) + pial.points) / 2, white.faces
    else:
        points, faces = load_mesh(mesh, surface, hemisphere)
        points = points.astype(np.float64)
    return geodesic_graph(points, faces)


def geodesic_graph(points: np.ndarray, faces: np.ndarray) -> Any:
    """Sparse symmetric (n, n) step lengths on a triangle mesh: its edges, and straight lines over two triangles.

    The second kind unfolds each pair of adjacent triangles into a plane and joins their far corners where the line
    crosses the shared edge. It halves the detour that edges alone would force on a path.

    Args:
        points: (n, 3) in mm.
        faces: (n_faces, 3) indices.
    """
    from scipy.sparse import csr_array

    corners = np.concatenate([faces, faces[:, [1, 2, 0]], faces[:, [2, 0, 1]]])  # edge a-b and the corner c opposite
    a, b = np.sort(corners[:, :2], axis=1).T
    order = np.lexsort((b, a))
    a, b, c = a[order], b[order], corners[order, 2]
    shared = np.flatnonzero((a[1:] == a[:-1]) & (b[1:] == b[:-1]))  # each inner edge stands twice in a row
    first, second = np.setdiff1d(np.arange(len(a)), shared + 1), shared
    edges = np.linalg.norm(points[a[first]] - points[b[first]], axis=1)

    base = points[b[second]] - points[a[second]]
    length = np.linalg.norm(base, axis=1)
    along, away = [], []
    for corner in (c[second], c[second + 1]):
        side = points[corner] - points[a[second]]
        x = (side * base).sum(1) / length
        along.append(x)
        away.append(np.sqrt(np.maximum((side**2).sum(1) - x**2, 0)))
    crossing = along[0] + (along[1] - along[0]) * away[0] / (away[0] + away[1])
    straight = (crossing > 0) & (crossing < length)
    across = np.hypot(along[0] - along[1], away[0] + away[1])[straight]

    rows = np.concatenate([a[first], c[second][straight]])
    columns = np.concatenate([b[first], c[second + 1][straight]])
    lengths = np.concatenate([edges, across])
    n = len(points)
    half = csr_array((lengths, (rows, columns)), shape=(n, n))
    return half.maximum(half.T)


def _within(graph: Any, sources: np.ndarray, targets: np.ndarray, radius: float) -> list[np.ndarray]:
    found = []
    for distance in _distances(graph, sources, radius * ROUNDING):
        found += [np.flatnonzero(row <= radius * ROUNDING) for row in distance[:, targets]]
    return found


def _nearest(graph: Any, sources: np.ndarray, targets: np.ndarray, k: int) -> list[np.ndarray]:
    """Positions in ``targets`` of the k nearest to every source; the search widens until there are enough."""
    k = min(k, len(targets))
    found: list[np.ndarray] = [np.empty(0, dtype=np.int64)] * len(sources)
    waiting, limit = np.arange(len(sources)), 0.7 * np.sqrt(k) * np.median(graph.data)
    while len(waiting):
        unfinished, start = [], 0
        for distance in _distances(graph, sources[waiting], limit):
            near = distance[:, targets]
            for position, row in zip(waiting[start : start + len(near)], near, strict=True):
                if np.isfinite(row).sum() >= k or limit == np.inf:
                    reached = np.flatnonzero(np.isfinite(row))
                    found[position] = reached[np.argsort(row[reached], kind="stable")[:k]]
                else:
                    unfinished.append(position)
            start += len(near)
        waiting = np.array(unfinished, dtype=np.int64)
        limit = 1.4 * limit if limit < 1000 else np.inf  # beyond a meter only islands of the mesh are left
    return found


def _distances(graph: Any, sources: np.ndarray, limit: float) -> Iterator[np.ndarray]:
    """Shortest paths (block, n_vertices) from blocks of sources; infinite beyond the limit."""
    from scipy.sparse.csgraph import dijkstra

    step = max(1, AT_ONCE // (8 * graph.shape[0]))
    for start in range(0, len(sources), step):
        yield dijkstra(graph, directed=False, indices=sources[start : start + step], limit=limit)
