"""Folded and inflated surfaces as pixels: what of the cortex is seen from each side, in the manner of a flat map.

A view is an orthographic projection of one hemisphere, all views of a picture to one scale. Of the triangles that lie
behind each other in a pixel the nearest is kept, so that a canvas of views is used as that of a flat map is.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from brainnet.plot._borders import border_segments, lines_through
from brainnet.plot._canvas import Border, Canvas, canvas_of, to_numpy
from brainnet.plot._colors import BLANK
from brainnet.plot._raster import rasterise
from brainnet.plot.scene import FLAT, SIDES, VIEWS, Scene
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace, Mesh, load_mesh_at_hand, sulcal_depth

SPACE = 7.0  # mm between two views
CAPTION = 15.0  # mm below a view, for its name
USUAL = 4.0  # inches of a map, where nobody says
HIDDEN = 2.0  # mm behind what is seen, from where on a line is hidden
RIM = 0.12  # of the light, below which the surface is seen too much from the side for lines
NARROWEST = 2.5  # mm from its border to the middle of a region that has room for its name


@dataclass(frozen=True, eq=False)
class View:
    """One hemisphere from one side.

    Args:
        place: (n_vertices, 2) mm on the canvas.
        depth: (n_vertices,) mm towards the camera.
        faces: (n, 3) triangles that face the camera.
        columns: (n_vertices,) the voxel of each vertex, -1 for none.
        box: left, right, bottom and top in mm.
    """

    place: np.ndarray
    depth: np.ndarray
    faces: np.ndarray
    columns: np.ndarray
    box: tuple[float, float, float, float]


@dataclass(frozen=True, eq=False)
class ViewCanvas(Canvas):
    """Pixels of views of a surface: a canvas that knows what stands before what.

    Args:
        views: the views on it.
        nearest: (height, width) depth of what is seen, -inf where there is nothing.
        light: (height, width) 1 where the surface faces the camera, towards 0 at its rim.
    """

    views: tuple[View, ...] = ()
    nearest: np.ndarray | None = None
    light: np.ndarray | None = None

    def border(self, mask: object) -> Border:
        """The seen parts of the border of a region (n_voxels,) bool, and a place for its name in each view."""
        from scipy.ndimage import distance_transform_edt

        mask = to_numpy(mask, bool)
        pixel = self.size[0] / self.shape[1]
        picture = np.nan_to_num(self.interpolate(mask.astype(float))) >= 0.5
        lines, centres, rooms = [], [], []
        for view in self.views:
            inside = (view.columns >= 0) & mask[view.columns]
            if not inside.any():
                continue
            lines += self._lines(view, inside)
            left, right, bottom, top = (int(edge / pixel) for edge in view.box)
            rows = slice(max(self.shape[0] - top - 1, 0), self.shape[0] - bottom + 1)
            part = np.pad(picture[rows, left : right + 1], 1)
            depth = distance_transform_edt(part)
            row, column = np.unravel_index(depth.argmax(), depth.shape)
            if depth[row, column] * pixel >= NARROWEST:
                x, y = (left + column - 0.5) * pixel, self.size[1] - (rows.start + row - 0.5) * pixel
                centres.append((x, y))
                rooms.append(float(depth[row, column]))
        return Border(lines, centres, rooms)

    def _lines(self, view: View, inside: np.ndarray) -> list[np.ndarray]:
        owner, ends = border_segments(view.faces, inside)
        if not len(owner):
            return []
        middle = view.place[view.faces[owner]].mean(axis=1)
        depth = view.depth[view.faces[owner]].mean(axis=1)
        pixel = self.size[0] / self.shape[1]
        column = np.clip((middle[:, 0] / pixel).astype(int), 0, self.shape[1] - 1)
        row = np.clip((self.shape[0] - middle[:, 1] / pixel).astype(int), 0, self.shape[0] - 1)
        ends = ends[(depth >= self.nearest[row, column] - HIDDEN) & (self.light[row, column] > RIM)]
        return lines_through(view.place, ends)


def canvas_for(space: BrainSpace, scene: Scene | str | None = None) -> Canvas | None:
    """The canvas of a scene; None is the flat map of a surface, the slices of a volume, and nothing of other spaces.

    Raises:
        ValueError: a scene of a space without a surface, or a hemisphere that holds no data.
    """
    if scene is None or space.mesh is None:
        if scene is not None:
            raise ValueError(f"{space!r} has no surface to look at; a volume is brought to one by space.to_cortex().")
        return canvas_of(space)
    scene = Scene.of(scene).at(USUAL)
    if scene.surface == FLAT:
        return canvas_of(space, scene.hemisphere, scene.pixels)
    return _view_canvas(space, scene)


def sides_of(space: BrainSpace, hemisphere: str | None) -> list[int]:
    """The hemispheres, 0 for left, that are asked for and hold data."""
    held = sorted(set(space.hemisphere.tolist()))
    if hemisphere is None:
        return held
    side = SIDES.index(hemisphere)
    if side not in held:
        raise ValueError(f"{space!r} holds no vertex of the {hemisphere} hemisphere.")
    return [side]


@lru_cache(maxsize=4)
def _view_canvas(space: BrainSpace, scene: Scene) -> ViewCanvas:
    n = VERTICES_PER_HEMISPHERE[space.mesh]
    sides = sides_of(space, scene.hemisphere)
    column_of = np.full(2 * n, -1)
    column_of[space.vertices.numpy()] = np.arange(space.n_voxels)
    meshes = {side: _solid(load_mesh_at_hand(space.mesh, scene.surface, SIDES[side])) for side in sides}
    one = len(sides) == 1
    across = min(4, len(scene.views)) if one else 2 if len(scene.views) < 4 else 4
    cells = [(side, view) for view in scene.views for side in sides]
    projected = [_projected(meshes[side], side, view) for side, view in cells]
    spans = np.array([np.ptp(place, axis=0) for place, _, _ in projected])
    rows = [list(range(start, min(start + across, len(cells)))) for start in range(0, len(cells), across)]
    widths = [max(spans[row[place], 0] for row in rows if place < len(row)) + SPACE for place in range(across)]
    heights = [max(spans[row, 1]) + CAPTION for row in rows]
    size = (sum(widths), sum(heights))
    pixel = size[0] / scene.pixels
    shape = (int(np.ceil(size[1] / pixel)), scene.pixels)
    size = (size[0], shape[0] * pixel)

    views, notes, pieces = [], [], []
    top = size[1]
    for row, height in zip(rows, heights, strict=True):
        for place, cell in enumerate(row):
            left, (side, name) = sum(widths[:place]), cells[cell]
            points, depth, faces = projected[cell]
            corner = (
                left + (widths[place] - spans[cell, 0]) / 2,
                top - (height - CAPTION + spans[cell, 1]) / 2,
            )
            points = points - points.min(axis=0) + corner
            columns = column_of[side * n : (side + 1) * n]
            box = (left, left + widths[place], top - height, top)
            views.append(View(points, depth, faces, columns, box))
            pixels, corners, weights = rasterise(points, faces, pixel, shape, box[:2], depth)
            sulci = (sulcal_depth(space.mesh)[side * n :][corners] * weights).sum(axis=1)
            towards = np.clip(meshes[side].normals @ _camera(side, name), 0, 1)
            facing = (towards[corners] * weights).sum(axis=1)
            pieces.append((pixels, columns[corners], weights, sulci, facing, (depth[corners] * weights).sum(axis=1)))
            notes += [
                (left / size[0] + 0.01, top / size[1], "LR"[side], "left", "top"),
                ((left + widths[place] / 2) / size[0], (top - height + CAPTION - 2) / size[1], name, "center", "top"),
            ]
        top -= height
    pixels, columns, weights, sulci, facing, near = (np.concatenate(part) for part in zip(*pieces, strict=True))
    in_space = ((columns >= 0) * weights).sum(axis=1) >= 0.5
    nearest = _picture(near, pixels, shape, -np.inf)
    return ViewCanvas(
        shape=shape, size=size, pixels=pixels[in_space], columns=columns[in_space], weights=weights[in_space],
        shade=_grey(pixels, sulci, facing, shape, scene.surface),
        points=_points(views, space.n_voxels, pixel, nearest), notes=tuple(notes), views=tuple(views), nearest=nearest,
        light=_picture(facing, pixels, shape, 1.0),
    )  # fmt: skip


class _Solid(NamedTuple):
    """A closed surface: its points, its triangles, and in each point the direction outwards, of unit length."""

    points: np.ndarray
    faces: np.ndarray
    normals: np.ndarray
    outwards: float  # 1 where the corners of a triangle run counter-clockwise as seen from outside, else -1


def _solid(mesh: Mesh) -> _Solid:
    points = mesh.points.astype(np.float64)
    a, b, c = (points[mesh.faces[:, corner]] for corner in range(3))
    normal = np.cross(b - a, c - a)
    outwards = float(np.sign(np.einsum("ij,ij->", a - points.mean(axis=0), normal)))
    order = mesh.faces.reshape(-1)
    total = np.stack([np.bincount(order, np.repeat(part, 3), len(points)) for part in normal.T], axis=1)
    return _Solid(points, mesh.faces, outwards * total / np.linalg.norm(total, axis=1).clip(1e-12)[:, None], outwards)


def _camera(side: int, view: str) -> np.ndarray:
    """Where the camera stands; lateral and medial are opposite in the two hemispheres."""
    camera = np.array(VIEWS[view][0], dtype=np.float64)
    return -camera if side == 1 and view in ("lateral", "medial") else camera


def _projected(solid: _Solid, side: int, view: str) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Points (n, 2) as seen, depths (n,) towards the camera, and the triangles that face it."""
    camera, up = _camera(side, view), np.array(VIEWS[view][1], dtype=np.float64)
    place = np.stack([solid.points @ np.cross(up, camera), solid.points @ up], axis=1)
    (ax, ay), (bx, by), (cx, cy) = (place[solid.faces[:, corner]].T for corner in range(3))
    area = (bx - ax) * (cy - ay) - (by - ay) * (cx - ax)
    return place, solid.points @ camera, solid.faces[area * solid.outwards > 0]


def _picture(values: np.ndarray, pixels: np.ndarray, shape: tuple[int, int], fill: float) -> np.ndarray:
    picture = np.full(shape[0] * shape[1], fill)
    picture[pixels] = values
    return picture.reshape(shape)


def _grey(
    pixels: np.ndarray, sulci: np.ndarray, facing: np.ndarray, shape: tuple[int, int], surface: str
) -> np.ndarray:
    """(height, width, 3): gyri light, sulci dark, under a light at the camera."""
    grey = 0.88 - 0.26 / (1 + np.exp(-6 * sulci))
    depth = 0.55 if surface in ("pial", "white") else 0.3
    shade = np.tile(BLANK, (shape[0] * shape[1], 1))
    shade[pixels] = (grey * (1 - depth * (1 - facing)))[:, None]
    return shade.reshape(*shape, 3)


def _points(views: list[View], n_voxels: int, pixel: float, nearest: np.ndarray) -> np.ndarray:
    """(n_voxels, 2) mm of each voxel in the first view that shows it, NaN for those that none does."""
    points, shape = np.full((n_voxels, 2), np.nan), nearest.shape
    for view in reversed(views):
        front = np.zeros(len(view.place), dtype=bool)
        front[view.faces] = True
        column = np.clip((view.place[:, 0] / pixel).astype(int), 0, shape[1] - 1)
        row = np.clip((shape[0] - view.place[:, 1] / pixel).astype(int), 0, shape[0] - 1)
        seen = front & (view.columns >= 0) & (view.depth >= nearest[row, column] - HIDDEN / 2)
        points[view.columns[seen]] = view.place[seen]
    return points
