"""Where on the paper each voxel lies: flat maps of the cortex, or slices of a volume, as one grid of pixels.

A canvas is computed once for a space; after that a map costs one gather. A pixel of a flat map mixes the vertices of
the triangle it lies in; a pixel of a slice is one voxel. The one idea: values are interpolated first and colored then,
so every color in a map is one of its legend, and missing values spread no further than half-way to their neighbors.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import torch

from brainnet.plot._borders import border_lines
from brainnet.plot._colors import BLANK, FAINT, INK
from brainnet.plot._raster import rasterise
from brainnet.plot._text import label
from brainnet.space import HEMISPHERES, BrainSpace, drawn_on, flat_triangles, has_surfaces, load_mesh
from brainnet.space.surface import sulcal_depth

PIXELS_WIDE = 800
MARGIN = 13.0  # mm of cortex shown around the data
OUTLINE_BLUR = 1.6  # mm; without it a border steps from triangle to triangle
GAP = 6.0  # mm between the hemispheres, or between slices
MOST_SLICES = 12
NAME_SIZE = 6.5  # points of the name of a region


class Sheet(NamedTuple):
    """The mesh under a flat map: where its vertices lie in mm, its triangles, and the voxel of each vertex or -1."""

    place: np.ndarray
    faces: np.ndarray
    columns: np.ndarray


@dataclass(frozen=True, eq=False)
class Canvas:
    """Pixels of a picture of one space.

    Args:
        shape: (height, width) in pixels.
        size: (width, height) in mm; pictures are drawn in these units, y upwards.
        pixels: (n,) places, in the flattened picture, of the pixels that belong to the space.
        columns: (n, k) voxels a pixel mixes, -1 for cortex outside the space.
        weights: (n, k) their weights, summing to 1; at least half goes to voxels of the space.
        shade: (height, width, 3) RGB of the brain beneath.
        points: (n_voxels, 2) where each voxel lies, NaN for those not shown.
        notes: (x, y, text, alignment, vertical alignment) in fractions of the picture.
    """

    shape: tuple[int, int]
    size: tuple[float, float]
    pixels: np.ndarray
    columns: np.ndarray
    weights: np.ndarray
    shade: np.ndarray
    points: np.ndarray
    notes: tuple[tuple[float, float, str, str, str], ...]
    sheets: tuple[Sheet, ...] = ()  # of a flat map; borders are lines across its edges
    rim: np.ndarray | None = None  # (n, 2, 2) lines around the voxels of every slice, in mm

    @property
    def aspect(self) -> float:
        """Width over height."""
        return self.size[0] / self.size[1]

    def interpolate(self, values: object) -> np.ndarray:
        """(height, width, ...) of values (n_voxels, ...): NaN outside, and nearer to missing than to known voxels."""
        values = to_numpy(values)
        flat = values.reshape(len(values), -1)
        known = (self.columns >= 0) & np.isfinite(flat).all(axis=1)[self.columns]
        weights = self.weights * known
        total = weights.sum(axis=1)
        mixed = np.einsum("nk,nkc->nc", weights, np.nan_to_num(flat, posinf=0, neginf=0)[self.columns])
        with np.errstate(invalid="ignore", divide="ignore"):
            mixed /= np.where(total >= 0.5, total, np.nan)[:, None]
        picture = np.full((self.shape[0] * self.shape[1], flat.shape[1]), np.nan)
        picture[self.pixels] = mixed
        return picture.reshape(*self.shape, *values.shape[1:])

    def vote(self, labels: object) -> np.ndarray:
        """(height, width) of integer labels (n_voxels,): the label with the largest weight, -1 outside."""
        labels = np.where(self.columns >= 0, to_numpy(labels, np.int64)[self.columns], -1)
        weights = self.weights * (labels >= 0)
        support = np.stack([(weights * (labels == one[:, None])).sum(axis=1) for one in labels.T], axis=1)
        winner = np.take_along_axis(labels, support.argmax(axis=1, keepdims=True), axis=1)[:, 0]
        picture = np.full(self.shape[0] * self.shape[1], -1)
        picture[self.pixels] = np.where(weights.sum(axis=1) >= 0.5, winner, -1)
        return picture.reshape(self.shape)

    def paint(
        self, ax: object, rgb: np.ndarray, alpha: object = None, directions: bool = True, exact: bool = False
    ) -> None:
        """Draws a picture (height, width, 3) over the shaded brain; NaN, and ``alpha`` below 1, let it through.

        Args:
            ax: matplotlib axes; its frame and ticks are taken away.
            rgb: colors in 0..1.
            alpha: (n_voxels,) opacity in 0..1; None is opaque.
            directions: whether to write more than left and right.
            exact: whether a figure of another resolution repeats pixels rather than mixes them, as categories ask.
        """
        opacity = (~np.isnan(rgb).any(axis=-1)).astype(float)
        if alpha is not None:
            opacity *= np.nan_to_num(np.clip(self.interpolate(alpha), 0, 1))
        opacity = opacity[..., None]
        blended = opacity * np.nan_to_num(rgb) + (1 - opacity) * self.shade
        ax.imshow(
            (255 * blended).round().astype(np.uint8),
            extent=(0, self.size[0], 0, self.size[1]),
            interpolation="nearest" if exact else None,
        )
        if self.rim is not None:
            from matplotlib.collections import LineCollection

            ax.add_collection(LineCollection(self.rim, colors=FAINT, linewidths=0.5, zorder=1.5), autolim=False)
        ax.set_axis_off()
        for x, y, text, align, vertical in self.notes:
            strong = len(text) == 1
            if strong or directions:
                ax.text(
                    x, y, text, transform=ax.transAxes, ha=align, va=vertical,
                    fontsize=9 if strong else 7, color=INK if strong else FAINT, weight="bold" if strong else "normal",
                )  # fmt: skip

    def border(self, mask: object) -> Border:
        """The smoothed border of a region (n_voxels,) bool, and its innermost point in each half of the picture.

        On a flat map it crosses the edges of the mesh between vertices inside and outside, in slices it follows pixels.
        """
        from contourpy import contour_generator
        from scipy.ndimage import distance_transform_edt, gaussian_filter

        height, width = self.shape
        inside = np.nan_to_num(self.interpolate(to_numpy(mask).astype(float)))
        inside = gaussian_filter(inside, OUTLINE_BLUR * width / self.size[0])
        x = (np.arange(width) + 0.5) * self.size[0] / width
        y = self.size[1] - (np.arange(height) + 0.5) * self.size[1] / height
        depth = distance_transform_edt(inside >= 0.5)
        centres, rooms = [], []
        for half in (slice(0, width // 2), slice(width // 2, width)):
            row, column = np.unravel_index(depth[:, half].argmax(), depth[:, half].shape)
            if depth[row, half.start + column] > 0:
                centres.append((x[half.start + column], y[row]))
                rooms.append(depth[row, half.start + column])
        if not self.sheets:
            return Border(contour_generator(x, y, inside).lines(0.5), centres, rooms)
        mask = to_numpy(mask, bool)
        lines = [
            line
            for place, faces, columns in self.sheets
            for line in border_lines(place, faces, (columns >= 0) & mask[columns])
        ]
        return Border(lines, centres, rooms)


@dataclass(frozen=True, eq=False)
class Border:
    """``lines``, each (n, 2), around a region, ``centres`` (x, y) for its name, in mm, and how deep inside they lie."""

    lines: list[np.ndarray]
    centres: list[tuple[float, float]]
    rooms: list[float]

    def draw(
        self, ax: object, name: str | None = None, color: object = "black", width: float = 0.8, halo: bool = False
    ) -> None:
        """Draws the border, and the name where given, on axes a canvas has painted.

        Args:
            ax: matplotlib axes.
            name: of the region.
            color: of the line and the name.
            width: of the line, in points.
            halo: a thin white line on both sides, which is seen on dark colors.
        """
        from matplotlib.collections import LineCollection
        from matplotlib.patheffects import withStroke

        effects = [withStroke(linewidth=width + 0.9, foreground="white", alpha=0.75)] if halo else None
        lines = LineCollection(self.lines, colors=color, linewidths=width, path_effects=effects, capstyle="round")
        ax.add_collection(lines, autolim=False)
        for x, y in self.centres if name else ():
            write_name(ax, x, y, label(name), color)


def write_name(ax: object, x: float, y: float, text: str, color: object = "black") -> None:
    """A small name on a map, with a white rim."""
    from matplotlib.patheffects import withStroke

    ax.text(
        x, y, text, fontsize=NAME_SIZE, color=color, ha="center", va="center",
        path_effects=[withStroke(linewidth=1.5, foreground="white")],
    )  # fmt: skip


def to_numpy(values: object, dtype: type | None = None) -> np.ndarray:
    """The array of a tensor on any device, or of anything array-like; floats become float64."""
    if isinstance(values, torch.Tensor):
        values = values.detach().cpu()
        values = (values.double() if values.is_floating_point() else values).numpy()
    values = np.asarray(values)
    return values.astype(dtype or (np.float64 if values.dtype.kind == "f" else values.dtype))


@lru_cache(maxsize=4)
def canvas_of(space: BrainSpace, hemisphere: str | None = None, pixels: int = PIXELS_WIDE) -> Canvas | None:
    """The flat map of a surface space, the slices of a volume space, None for a space with no place that can be drawn.

    Args:
        space: the voxels.
        hemisphere: "left" or "right" of a flat map; None shows both where they hold data.
        pixels: across a flat map.
    """
    if space.mesh is not None:
        return _flat_canvas(space, hemisphere, pixels) if has_surfaces(space.mesh) else None
    return _slice_canvas(space) if space.mask is not None else None


# ---------------------------------------------------------------------- flat maps


def _flat_canvas(space: BrainSpace, hemisphere: str | None, pixels_wide: int) -> Canvas:
    mesh, column_of = drawn_on(space)
    n = len(column_of) // 2
    triangles = [flat_triangles(np.ones(n, dtype=bool), side, mesh) for side in HEMISPHERES]
    flat = [load_mesh(mesh, "flat", side).points[:, :2].astype(np.float64) for side in HEMISPHERES]
    shown = []
    for side in (0, 1):
        on_map = np.zeros(n, dtype=bool)
        on_map[triangles[side]] = True
        shown.append(on_map & (column_of[side * n : (side + 1) * n] >= 0))
    asked = (0, 1) if hemisphere is None else (HEMISPHERES.index(hemisphere),)
    sides = [side for side in asked if shown[side].any()]
    if not sides:
        where = "" if hemisphere is None else f" of the {hemisphere} hemisphere"
        raise ValueError(
            f"none of the {space.n_voxels} voxels is on the flat map{where}: all lie on its cuts or medial wall."
        )

    around = {side: _surroundings(flat[side], triangles[side], shown[side]) for side in sides}
    low = {side: around[side].min(axis=0) - 1 for side in sides}
    high = {side: around[side].max(axis=0) + 1 for side in sides}
    bottom, top = min(low[side][1] for side in sides), max(high[side][1] for side in sides)
    widths = {side: high[side][0] - low[side][0] for side in sides}
    total = sum(widths.values()) + GAP * (len(sides) - 1)
    pixel = total / pixels_wide
    shape = (int(np.ceil((top - bottom) / pixel)), pixels_wide)

    points = np.full((space.n_voxels, 2), np.nan)
    pieces, sheets, left_edge = [], [], 0.0
    for side in sides:
        place = flat[side] - [low[side][0] - left_edge, bottom]  # mm from the lower left corner of the picture
        columns = column_of[side * n : (side + 1) * n]
        points[columns[shown[side]]] = place[shown[side]]
        sheets.append(Sheet(place, triangles[side], columns))
        window = (left_edge, left_edge + widths[side])
        pixels, corners, weights = rasterise(place, triangles[side], pixel, shape, window)
        depth = (sulcal_depth(mesh)[side * n :][corners] * weights).sum(axis=1)
        pieces.append((pixels, columns[corners], weights, depth))
        left_edge += widths[side] + GAP
    pixels, columns, weights, depth = (np.concatenate(part) for part in zip(*pieces, strict=True))
    in_space = ((columns >= 0) * weights).sum(axis=1) >= 0.5
    return Canvas(
        shape=shape,
        size=(pixels_wide * pixel, shape[0] * pixel),
        pixels=pixels[in_space],
        columns=columns[in_space],
        weights=weights[in_space],
        shade=_shaded_cortex(pixels, depth, in_space, shape, pixel),
        points=points,
        notes=_directions(sides, widths, total),
        sheets=tuple(sheets),
    )


def _surroundings(points: np.ndarray, triangles: np.ndarray, shown: np.ndarray) -> np.ndarray:
    """The points of the flat map within the margin of those shown."""
    from scipy.spatial import cKDTree

    on_map = points[np.unique(triangles)]
    return on_map[cKDTree(points[shown]).query(on_map, distance_upper_bound=MARGIN)[0] <= MARGIN]


def _shaded_cortex(
    pixels: np.ndarray, depth: np.ndarray, has_data: np.ndarray, shape: tuple[int, int], pixel: float
) -> np.ndarray:
    """(height, width, 3): sulci darker than gyri, fading into the paper at some distance from the data."""
    from scipy.ndimage import distance_transform_edt

    empty = np.ones(shape[0] * shape[1], dtype=bool)
    empty[pixels[has_data]] = False
    distance = distance_transform_edt(empty.reshape(shape)).reshape(-1)[pixels] * pixel  # mm
    opacity = np.clip(1.6 * (1 - distance / MARGIN), 0, 1)
    grey = 0.93 - 0.25 / (1 + np.exp(-6 * depth))
    shade = np.tile(BLANK, (shape[0] * shape[1], 1))
    shade[pixels] = (1 - opacity * (1 - grey))[:, None]
    return shade.reshape(*shape, 3)


def _directions(
    sides: list[int], widths: dict[int, float], total: float
) -> tuple[tuple[float, float, str, str, str], ...]:
    """L and R above, anterior and posterior below: the occipital ends of both flat maps face each other."""
    notes = []
    if 0 in sides:
        notes += [(0.0, 1.0, "L", "left", "top"), (0.0, -0.01, "← anterior", "left", "top")]
    if 1 in sides:
        notes += [(1.0, 1.0, "R", "right", "top"), (1.0, -0.01, "anterior →", "right", "top")]
    if len(sides) == 2:
        notes.append(((widths[0] + GAP / 2) / total, -0.01, "posterior", "center", "top"))
    else:
        side = (1.0, "posterior →", "right") if 0 in sides else (0.0, "← posterior", "left")
        notes.append((side[0], -0.01, *side[1:], "top"))
    return tuple(notes)


# ---------------------------------------------------------------------- slices


def _slice_canvas(space: BrainSpace) -> Canvas:
    """Axial slices from below to above, left on the left."""
    import nibabel

    index = np.full(space.mask.numel(), -1.0)
    index[space.volume_index.numpy()] = np.arange(space.n_voxels)
    image = nibabel.Nifti1Image(index.reshape(space.mask.shape), space.affine.numpy())
    image = nibabel.as_closest_canonical(image)  # x to the right, y forwards, z up
    volume = np.asarray(image.dataobj).astype(int)
    step = np.abs(nibabel.affines.voxel_sizes(image.affine))
    filled = np.argwhere(volume >= 0)
    (x0, y0, z0), (x1, y1, z1) = filled.min(axis=0), filled.max(axis=0) + 1
    levels = np.unique(np.linspace(z0, z1 - 1, min(MOST_SLICES, z1 - z0)).round().astype(int))
    across = int(np.ceil(np.sqrt(len(levels) * 1.3 * (y1 - y0) * step[1] / ((x1 - x0) * step[0]))))
    across = min(max(across, 1), len(levels))
    down = int(np.ceil(len(levels) / across))
    side_gap = int(np.ceil(GAP / step[0]))
    gap = int(np.ceil(0.055 * across * (x1 - x0 + side_gap) * step[0] / step[1]))  # room for a line of text
    tile = (y1 - y0 + gap, x1 - x0 + side_gap)
    mosaic = np.full((down * tile[0], across * tile[1]), -1)
    points = np.full((space.n_voxels, 2), np.nan)
    notes = []
    for number, level in enumerate(levels):
        row, column = divmod(number, across)
        top, left = row * tile[0] + gap, column * tile[1] + side_gap // 2
        piece = volume[x0:x1, y0:y1, level].T[::-1]  # rows from front to back
        mosaic[top : top + piece.shape[0], left : left + piece.shape[1]] = piece
        height = image.affine[2] @ [(x0 + x1) / 2, (y0 + y1) / 2, level, 1]
        middle = (left + piece.shape[1] / 2) / mosaic.shape[1]
        notes.append((middle, 1 - (top - 0.15 * gap) / mosaic.shape[0], f"z = {height:.0f} mm", "center", "bottom"))
    rows, columns = np.nonzero(mosaic >= 0)
    size = (mosaic.shape[1] * step[0], mosaic.shape[0] * step[1])
    points[mosaic[rows, columns]] = np.stack([(columns + 0.5) * step[0], size[1] - (rows + 0.5) * step[1]], axis=1)
    above = 1 - gap / mosaic.shape[0]
    notes += [(0.0, above, "L", "left", "bottom"), (1.0, above, "R", "right", "bottom")]
    pixels = np.flatnonzero(mosaic >= 0)
    shade = np.tile(BLANK, (mosaic.size, 1))
    shade[pixels] = 0.82
    return Canvas(
        shape=mosaic.shape,
        size=size,
        pixels=pixels,
        columns=mosaic.reshape(-1)[pixels][:, None],
        weights=np.ones((len(pixels), 1)),
        shade=shade.reshape(*mosaic.shape, 3),
        points=points,
        notes=tuple(notes),
        rim=_rim(mosaic >= 0, step, size[1]),
    )


def _rim(filled: np.ndarray, step: np.ndarray, top: float) -> np.ndarray:
    """(n, 2, 2) sides, in mm, at which a filled pixel of (height, width) meets an empty one."""
    padded = np.pad(filled, 1)
    row, column = np.nonzero(padded[1:, 1:-1] != padded[:-1, 1:-1])
    level = np.stack([np.stack([column, row], 1), np.stack([column + 1, row], 1)], 1)
    row, column = np.nonzero(padded[1:-1, 1:] != padded[1:-1, :-1])
    upright = np.stack([np.stack([column, row], 1), np.stack([column, row + 1], 1)], 1)
    return np.concatenate([level, upright]) * [step[0], -step[1]] + [0, top]
