"""The cortex as it is looked at: inflated, folded or as a sphere, from any side, one map or several."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from brainnet.plot._canvas import to_numpy
from brainnet.plot._colors import INK
from brainnet.plot._figure import add_axes, new_figure, note_below, title_above
from brainnet.plot._text import LONGEST_TITLE, labels_within
from brainnet.plot._text import label as short
from brainnet.plot.brain.drawing import Look, checked_values, draw_borders, draw_map, inches, limits_of
from brainnet.plot.brain.surface import regions
from brainnet.plot.brain.views import canvas_for
from brainnet.plot.scene import Scene
from brainnet.scores import over_subjects
from brainnet.space import BrainSpace, to_cortex

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from torch import Tensor

WIDTH = 6.5  # inches of a figure
SIDE, BELOW, ABOVE = 0.1, 0.7, 0.24  # inches around a map: at its sides, below for a legend, above for its name


def cortex(
    values: Tensor,
    space: BrainSpace,
    scene: Scene | str = "inflated",
    *,
    ax: Axes | None = None,
    cmap: str | Colormap | None = None,
    vmin: float | None = None,
    vmax: float | None = None,
    threshold: float | None = None,
    alpha: Tensor | None = None,
    title: str | None = None,
    label: str | None = None,
    categories: Sequence[str] | None = None,
    colors: Any = None,
    colorbar: bool = True,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    outline_color: Any = "black",
    outline_width: float = 0.8,
    outline_names: bool = True,
    contour: Tensor | None = None,
    contour_label: str | None = None,
    width: float | str = WIDTH,
) -> Figure:
    """A figure of one map on a surface, from the sides that a scene names.

    Colors are those of the legend: no light falls on them unless the scene asks for relief. Categories are never mixed.

    Args:
        values: (n_voxels,) numbers; whole numbers are categories, with -1 for none; (n_voxels, 3 or 4) are RGB or RGBA
            in 0..1. NaN shows the cortex beneath.
        space: a surface, or a volume in MNI coordinates, which is brought to fsaverage5.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`.
        ax: axes to draw on; by default a new figure.
        cmap, vmin, vmax: color map, and the values of its lowest and highest color.
        threshold: numbers nearer to 0 than this are left out; the color bar is gray there.
        alpha: (n_voxels,) opacity in 0..1, as by score or certainty.
        title: text above.
        label: name and unit of the values.
        categories: names of the whole numbers 0, 1, ...
        colors: (n_categories, 3) of the categories.
        colorbar: whether to draw the legend.
        outlines: regions to outline: True for all, names or patterns, or name -> (n_voxels,) bool.
        outline_color: one color, or region -> color.
        outline_width: in points.
        outline_names: whether their names are written.
        contour: (n_voxels,) bool, as of significant voxels, around which a line is drawn.
        contour_label: what the line means, written below.
        width: of the figure, in inches, or a text such as "85mm".

    Raises:
        ValueError: values of another shape (names the mesh that they would fit), or a space without a place.

    >>> from brainnet.space import surface_space
    >>> space = surface_space(torch.arange(2 * 10242))
    >>> figure = cortex(space.coords[:, 2], space, Scene("inflated", ("lateral",), "left", pixels=200), width="90mm")
    >>> round(25.4 * figure.get_figwidth())
    90
    """
    scene = Scene.of(scene)
    values = checked_values(values, space)
    masks = {name: to_numpy(mask, bool) for name, mask in regions(outlines, space).items()}
    contour = None if contour is None else to_numpy(contour, bool)
    space, (values, alpha, contour), masks = _on_a_surface(space, (values, alpha, contour), masks)
    across = inches(width) - 2 * SIDE
    canvas = canvas_for(space, scene.at(across))
    look = Look(cmap, vmin, vmax, threshold, label, categories, colors, scene.relief)
    if ax is None:
        tall, below = across / canvas.aspect, 0.1 + (BELOW - 0.1) * colorbar
        figure = new_figure((inches(width), below + tall + 0.08))
        drawn = add_axes(figure, (SIDE, below, across, tall))
        bar = (SIDE + 0.28 * across, below - 0.3, 0.44 * across, 0.11)
    else:
        figure, drawn, bar = ax.figure, ax, None
        if title:
            ax.set_title(short(title, 60), fontsize=10, color=INK)
    legend = draw_map(drawn, canvas, values, look, alpha)
    borders = {name: canvas.border(mask) for name, mask in masks.items()}
    crowded = draw_borders(drawn, canvas, borders, outline_color, outline_width, outline_names)
    if contour is not None and contour.any():
        canvas.border(contour).draw(drawn, width=1.1, halo=True)
    if colorbar and legend is not None:
        legend(add_axes(figure, bar) if bar else drawn.inset_axes((0.28, -0.06, 0.44, 0.035)))
    if bar:
        title_above(figure, title)
        nothing = values.dtype.kind == "f" and not np.isfinite(values).any()
        note_below(
            figure, "No value is known" if nothing else "", _meaning(contour, contour_label),
            "Names of regions that would overlap are left out" if crowded else "",
        )  # fmt: skip
    return figure


def cortex_maps(
    maps: Mapping[str, Tensor],
    space: BrainSpace,
    scene: Scene | str = "inflated",
    *,
    looks: Mapping[str, Mapping[str, Any]] | None = None,
    shared: bool = False,
    columns: int = 2,
    alpha: Tensor | None = None,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    contours: Mapping[str, Tensor] | None = None,
    title: str | None = None,
    note: str = "",
    width: float | str = 7.5,
) -> Figure:
    """A figure of several maps of one space, each with its name and its legend.

    Args:
        maps: name -> values, as for :func:`cortex`.
        space: a surface, or a volume in MNI coordinates.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`.
        looks: name -> any of cmap, vmin, vmax, threshold, label, categories and colors, as for :func:`cortex`.
        shared: whether the maps, all of numbers, have one scale, from the least to the greatest value of all, and one
            legend.
        columns: maps in a row.
        alpha: (n_voxels,) opacity of all.
        outlines: regions to outline in all.
        contours: name -> (n_voxels,) bool, around which a line is drawn.
        title: text above.
        note: a sentence below, without its full stop.
        width: of the figure, in inches, or a text such as "180mm".

    Raises:
        ValueError: no map, or one of another shape.

    >>> from brainnet.space import surface_space
    >>> space = surface_space(torch.arange(10242))
    >>> maps = {"x": space.coords[:, 0], "y": space.coords[:, 1]}
    >>> len(cortex_maps(maps, space, Scene("sphere", ("lateral",), pixels=100)).axes)
    4
    """
    if not maps:
        raise ValueError("maps is empty: there is nothing to draw.")
    scene = Scene.of(scene)
    names, contours = list(maps), contours or {}
    arrays = [checked_values(maps[name], space) for name in names]
    lines = [to_numpy(contours[name], bool) if name in contours else None for name in names]
    masks = {name: to_numpy(mask, bool) for name, mask in regions(outlines, space).items()}
    space, (alpha, *rest), masks = _on_a_surface(space, (alpha, *arrays, *lines), masks)
    arrays, lines = rest[: len(names)], rest[len(names) :]
    columns = min(columns, len(names))
    across = (inches(width) - SIDE) / columns - SIDE
    canvas = canvas_for(space, scene.at(across))
    own = [Look(**dict((looks or {}).get(name, {})), relief=scene.relief) for name in names]
    if shared:
        numbers = [one for one in arrays if one.ndim == 1 and one.dtype.kind == "f"]
        low, high = limits_of(np.concatenate(numbers), Look()) if numbers else (0.0, 1.0)
        own = [
            replace(one, vmin=low if one.vmin is None else one.vmin, vmax=high if one.vmax is None else one.vmax)
            for one in own
        ]
    tall = across / canvas.aspect
    rows = -(-len(names) // columns)
    below = 0.2 if shared else BELOW
    cell, foot = ABOVE + tall + below, 0.5 * shared
    figure = new_figure((inches(width), rows * cell + foot + 0.05))
    borders = {name: canvas.border(mask) for name, mask in masks.items()}
    shown = labels_within(names, 10.5, across, 60)  # a bold letter of 9.5 points is as wide as one of 10.5
    for number, (values, look, line) in enumerate(zip(arrays, own, lines, strict=True)):
        row, column = divmod(number, columns)
        left, floor = SIDE + column * (across + SIDE), foot + (rows - 1 - row) * cell
        ax = add_axes(figure, (left, floor + below, across, tall))
        wide, high = figure.get_size_inches()
        figure.text(left / wide, (floor + below + tall + 0.05) / high, shown[number], fontsize=9.5, weight="bold",
                    color=INK, va="bottom")  # fmt: skip
        legend = draw_map(ax, canvas, values, look, alpha, directions=number == 0)
        draw_borders(ax, canvas, borders)
        if line is not None and line.any():
            canvas.border(line).draw(ax, width=1.1, halo=True)
        if legend is not None and not shared:
            legend(add_axes(figure, (left + 0.22 * across, floor + 0.4, 0.56 * across, 0.1)))
        elif legend is not None and number == 0:
            legend(add_axes(figure, (0.5 * (inches(width) - 2.4), 0.38, 2.4, 0.1)))
    title_above(figure, title)
    note_below(figure, short(note, LONGEST_TITLE))
    return figure


def group_maps(
    subjects: Tensor,
    space: BrainSpace,
    scene: Scene | str = "inflated",
    *,
    above: float = 0.0,
    label: str = "score",
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of scores over subjects: their mean, the share of subjects above a value, and t against that value.

    Args:
        subjects: (n_subjects, n_voxels) in one space; NaN where a subject has no score.
        space: a surface, or a volume in MNI coordinates.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`.
        above: the value that is asked for.
        label: name and unit of the scores.
        outlines: regions to outline.
        title: text above.
    """
    found = over_subjects(subjects, above)
    t = np.abs(to_numpy(found.t))
    most = float(np.percentile(t[np.isfinite(t)], 99)) if np.isfinite(t).any() else 1.0  # few voxels have a huge one
    maps = {"mean": found.mean, f"share of subjects above {above:g}": found.share, f"t against {above:g}": found.t}
    looks = [
        {"label": label},
        {"vmin": 0.0, "vmax": 1.0, "cmap": "cividis", "label": f"share of up to {int(found.n.max())} subjects"},
        {"vmin": -most, "vmax": most, "cmap": "RdBu_r", "label": "t over subjects"},
    ]
    return cortex_maps(
        maps,
        space,
        scene,
        looks=dict(zip(maps, looks, strict=True)),
        columns=3,
        outlines=outlines,
        title=title,
        width=10.5,
    )


def _meaning(contour: np.ndarray | None, label: str | None) -> str:
    if contour is None or not label:
        return ""
    return f"Line: {label}" if contour.any() else f"Nowhere: {label}"


def _on_a_surface(
    space: BrainSpace, parts: tuple[Any, ...], masks: Mapping[str, np.ndarray]
) -> tuple[BrainSpace, list[Any], dict[str, np.ndarray]]:
    """The same on fsaverage5 where the space is a volume: means of numbers and colors, majorities of categories."""
    if space.mesh is not None:
        return space, list(parts), dict(masks)
    if space.mask is None:
        raise ValueError(f"{space!r} has no place on a brain: a surface or a volume has.")
    seen = to_cortex(space)

    def moved(part: Any) -> Any:
        if part is None:
            return None
        part = to_numpy(part)
        if part.dtype.kind == "b":
            return to_numpy(seen.mean(torch.from_numpy(part.astype(float)))) >= 0.5
        if part.dtype.kind in "iu" and part.ndim == 1:
            return to_numpy(seen.majority(torch.from_numpy(part.astype(np.int64))))
        return to_numpy(seen.mean(torch.from_numpy(part.astype(float))))

    return seen.space, [moved(part) for part in parts], {name: moved(mask) for name, mask in masks.items()}
