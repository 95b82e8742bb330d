"""How a map is drawn on a canvas: numbers, categories or colors, with what explains their colors."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._canvas import NAME_SIZE, Border, Canvas, to_numpy, write_name
from brainnet.plot._colors import SEQUENTIAL, cluster_colors, continuous_colors
from brainnet.plot._figure import box_of, color_bar, patches
from brainnet.plot._text import LINE, widest
from brainnet.plot._text import label as short
from brainnet.space import VERTICES_PER_HEMISPHERE, BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap

_LENGTHS = {"": 1.0, "in": 1.0, "cm": 1 / 2.54, "mm": 1 / 25.4}
_LEAST_WIDTH = 1.0  # inches
_BELOW_THRESHOLD = "0.8"
_DARKEST = 0.7  # of a color's light, which a rim under full relief loses


@dataclass(frozen=True)
class Look:
    """How values become colors.

    Args:
        cmap: matplotlib color map of numbers.
        vmin, vmax: values of the lowest and highest color; None takes those of the values.
        threshold: numbers nearer to 0 than this are left out.
        label: name and unit of the values, at their legend.
        categories: names of the whole numbers 0, 1, ...
        colors: of the categories, (n_categories, 3).
        relief: see :class:`~brainnet.plot.scene.Scene`.
    """

    cmap: str | Colormap | None = None
    vmin: float | None = None
    vmax: float | None = None
    threshold: float | None = None
    label: str | None = None
    categories: Sequence[str] | None = None
    colors: np.ndarray | None = None
    relief: float = 0.0


def checked_values(values: Any, space: BrainSpace) -> np.ndarray:
    """(n_voxels,) numbers or whole numbers, or (n_voxels, 3 or 4) colors; others are refused with what they would fit.

    Raises:
        ValueError: another shape.
    """
    values = to_numpy(values)
    n = space.n_voxels
    if len(values.shape) in (1, 2) and len(values) == n and values.shape[1:] in ((), (3,), (4,)):
        return values
    hint = ""
    if values.ndim and len(values) != n:
        for mesh, per_side in VERTICES_PER_HEMISPHERE.items():
            for count, which in ((2 * per_side, "both hemispheres"), (per_side, "one hemisphere")):
                if len(values) == count:
                    hint = f" They would fit {which} of {mesh}: surface_space(vertices, {mesh!r})."
    raise ValueError(f"values have shape {values.shape}, expected ({n},) or, for colors, ({n}, 3) or ({n}, 4).{hint}")


def draw_map(
    ax: Axes, canvas: Canvas, values: np.ndarray, look: Look, alpha: Any = None, directions: bool = True
) -> Callable[[Axes], None] | None:
    """Draws values on axes; returns what fills other axes with their legend, None where they are colors."""
    legend: Callable[[Axes], None] | None = None
    exact = False
    if values.ndim == 2:
        rgb = canvas.interpolate(values[:, :3])
        if values.shape[1] == 4:
            alpha = values[:, 3] if alpha is None else values[:, 3] * to_numpy(alpha)
    elif values.dtype.kind in "iub":
        rgb, legend = _categories(canvas, values.astype(np.int64), look)
        exact = True
    else:
        low, high = limits_of(values, look)
        if look.threshold:
            values = np.where(np.abs(values) < look.threshold, np.nan, values)
        rgb = continuous_colors(canvas.interpolate(values), look.cmap or SEQUENTIAL, low, high)
        legend = partial(_bar, look=look, low=low, high=high)
    light = getattr(canvas, "light", None)
    if look.relief and light is not None:
        rgb = rgb * (1 - _DARKEST * look.relief * (1 - light))[..., None]
    canvas.paint(ax, rgb, alpha, directions, exact)
    return legend


def limits_of(values: np.ndarray, look: Look) -> tuple[float, float]:
    """The values of the lowest and highest color.

    Raises:
        ValueError: a limit that is not finite, or a lowest above a highest.
    """
    for name, value in (("vmin", look.vmin), ("vmax", look.vmax)):
        if value is not None and not np.isfinite(value):
            raise ValueError(f"{name} must be a finite number, got {value}.")
    if look.vmin is not None and look.vmax is not None and look.vmin > look.vmax:
        raise ValueError(f"vmin is {look.vmin:g}, above vmax, {look.vmax:g}; exchange them.")
    known = values[np.isfinite(values)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    return (low if look.vmin is None else look.vmin, high if look.vmax is None else look.vmax)


def _bar(ax: Axes, look: Look, low: float, high: float) -> None:
    color_bar(ax, look.cmap or SEQUENTIAL, low, high, look.label)
    if look.threshold:
        ax.axvspan(max(low, -look.threshold), min(high, look.threshold), color=_BELOW_THRESHOLD, linewidth=0)


def _categories(canvas: Canvas, values: np.ndarray, look: Look) -> tuple[np.ndarray, Callable[[Axes], None]]:
    count = max(int(values.max(initial=-1)) + 1, len(look.categories or ()), 1)
    colors = cluster_colors(count) if look.colors is None else np.asarray(look.colors, dtype=np.float64)[:, :3]
    if len(colors) < count:
        raise ValueError(f"{len(colors)} colors for categories 0 to {count - 1}.")
    if look.categories is not None and len(look.categories) < count:
        raise ValueError(f"{len(look.categories)} names for categories 0 to {count - 1}.")
    votes = canvas.vote(values)
    rgb = np.where((votes >= 0)[..., None], colors[votes], np.nan)
    present = np.unique(values[values >= 0])
    names = [str(one) if look.categories is None else str(look.categories[one]) for one in present]
    if not len(present):
        present, names = np.arange(1), ["none"]
    return rgb, partial(patches, colors=colors[present], names=names, name=look.label)


def inches(width: float | str) -> float:
    """A width in inches, or a text with its unit: in, cm or mm.

    Raises:
        ValueError: no number, another unit, or less than an inch.

    >>> round(inches("85 mm"), 2), inches(3.5)
    (3.35, 3.5)
    """
    found = re.fullmatch(r"\s*([0-9.]+)\s*([a-z]*)\s*", str(width))
    try:
        value = round(float(found[1]) * _LENGTHS[found[2]], 9)  # a pixel less would be drawn of 1.99... inches
    except (TypeError, ValueError, KeyError):
        raise ValueError(
            f"a width is a number of inches, or a text such as '85mm' or '3.5in'; got {width!r}."
        ) from None
    if not _LEAST_WIDTH <= value <= 100:
        raise ValueError(f"a width is 1 to 100 inches, got {value:g} ({width!r}).")
    return value


def draw_borders(
    ax: Axes,
    canvas: Canvas,
    borders: Mapping[str, Border],
    color: Any = "black",
    width: float = 0.8,
    names: bool = True,
) -> bool:
    """Draws borders and those of their names that do not run into each other; says whether some were left out.

    Where all names begin with that of one atlas, as in "Wang2015.V1v", it is not written. A region with more room
    comes first.

    Args:
        ax: axes that the canvas has painted.
        canvas: of the picture.
        borders: region -> border on that canvas.
        color: one for all, or region -> color.
        width: of the lines, in points.
        names: whether to write them.
    """
    colors = {name: color.get(name, "black") if isinstance(color, Mapping) else color for name in borders}
    for name, border in borders.items():
        border.draw(ax, None, colors[name], width, halo=True)
    if not names:
        return False
    fronts = {name.partition(".")[0] for name in borders}
    shared = len(fronts) == 1 and all("." in name for name in borders)
    an_inch = canvas.size[0] / box_of(ax)[2]
    tall, taken, left_out = NAME_SIZE * LINE * an_inch, [], False
    places = [
        (room, name, *centre)
        for name, border in borders.items()
        for centre, room in zip(border.centres, border.rooms, strict=True)
    ]
    for _, name, x, y in sorted(places, key=lambda place: -place[0]):
        text = short(name.partition(".")[2] if shared else name)
        half = widest([text], NAME_SIZE) * an_inch / 2
        x = min(max(x, half), canvas.size[0] - half)
        if any(abs(x - other) < half + width and abs(y - height) < tall for other, width, height in taken):
            left_out = True
            continue
        taken.append((x, half, y))
        write_name(ax, x, y, text, colors[name])
    return left_out
