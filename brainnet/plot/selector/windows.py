"""Windows in pictures: how much of each voxel its window explains, beside what the rest of the image adds."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._canvas import canvas_of, to_numpy
from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, continuous_colors
from brainnet.plot._figure import add_axes, color_bar, new_figure, note_below, plain, title_above
from brainnet.plot.brain.surface import regions as named_regions
from brainnet.plot.selector._unplaced import histogram
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

MAP_WIDTH = 5.4  # inches, at most
SIDE = 2.3  # inches of the other panels
BASE = 0.75  # inches below them, for the color bar
NAME = "share of the window"


def window_share(
    share: Tensor,
    space: BrainSpace,
    *,
    position: Tensor | None = None,
    width: Tensor | None = None,
    alpha: Tensor | None = None,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of the share that a voxel's window has in what is explained: a map, the windows, and how common it is.

    1 means that the window explains all that is explained, 0 that the whole image does. The map is there for voxels on
    a surface or in a volume, the windows where their positions are given.

    Args:
        share: (n_voxels,) as ``window_share_`` of :class:`brainnet.ridge.MixedWindowRidgeCV`; beyond 0 and 1 the color
            is that of the end; NaN voxels are left out.
        space: where the voxels are.
        position: (n_voxels, 2) of the windows, in half-widths from the image's center.
        width: (n_voxels, 1) or (n_voxels,) standard deviations of the windows, in half-widths.
        alpha: (n_voxels,) opacity of the map in 0..1, for instance to fade what is predicted badly.
        outlines: regions to outline: True for all of the space, their names, or name -> (n_voxels,) bool.
        title: text above.

    Raises:
        ValueError: something has another length than the space.

    >>> import torch
    >>> figure = window_share(torch.tensor([0.2, 0.9, 0.8]), BrainSpace.free(3))
    >>> figure.axes[0].get_title(loc="left")
    'median .80 of 3 voxels'
    """
    values = to_numpy(share).astype(float)
    places = None if position is None else to_numpy(position)
    spread = None if width is None else to_numpy(width).reshape(-1)
    for name, given in (("share", values), ("position", places), ("width", spread)):
        if given is not None and (len(given) != space.n_voxels or given.ndim != (2 if name == "position" else 1)):
            raise ValueError(f"{name} has shape {given.shape}, but there are {space.n_voxels} voxels.")
    known = np.isfinite(values)
    canvas = canvas_of(space)
    side = SIDE if places is not None else 0.0
    if canvas is None:
        figure = new_figure((SIDE + (side + 0.75 if side else 0) + 0.9, SIDE + 1.0))
        below, beside = (0.6, BASE), (SIDE + 1.25, BASE)
    else:  # the map, with the other panels above each other at its right
        map_width = min(MAP_WIDTH, MAP_WIDTH * canvas.aspect)
        map_height = map_width / canvas.aspect
        tall = max(map_height, SIDE + (side + 0.7 if side else 0))
        figure = new_figure((map_width + SIDE + 1.1, tall + 1.0))
        below, beside = (map_width + 0.8, BASE), (map_width + 0.8, BASE + SIDE + 0.7)
        ax = add_axes(figure, (0.1, BASE + (tall - map_height) / 2, map_width, map_height))
        canvas.paint(ax, continuous_colors(canvas.interpolate(values), SEQUENTIAL, 0, 1), alpha)
        for name, mask in named_regions(outlines, space).items():
            canvas.border(mask).draw(ax, name)
    _common(add_axes(figure, (*below, SIDE, SIDE)), values[known])
    if places is not None:
        _windows(add_axes(figure, (*beside, side, side)), values, places, spread)
    color_bar(add_axes(figure, (below[0], 0.3, SIDE, 0.1)), SEQUENTIAL, 0, 1, NAME)
    title_above(figure, title)
    missing = int((~known).sum())
    note_below(figure, f"{missing:,} of {len(values):,} voxels are not predicted and left out" if missing else "")
    return figure


def _common(ax: Axes, values: np.ndarray) -> None:
    histogram(ax, values, (0.0, 1.0), "", limits=(0.0, 1.0))
    middle = f"median {np.median(values):.2f}".replace("0.", ".") if len(values) else "no share"
    ax.set_title(f"{middle} of {len(values):,} voxels", fontsize=8, color=INK, loc="left")


def _windows(ax: Axes, values: np.ndarray, places: np.ndarray, spread: np.ndarray | None) -> None:
    """Each voxel's window in the image: a point, and where they are few a circle of one standard deviation."""
    from matplotlib.collections import EllipseCollection

    shown = np.flatnonzero(np.isfinite(values) & np.isfinite(places).all(1))
    shown = shown[np.argsort(-values[shown], kind="stable")]  # the few that read the whole image on top
    colors = continuous_colors(values[shown], SEQUENTIAL, 0, 1)
    many = len(shown) > 300
    if spread is not None and not many:
        diameter = 2 * spread[shown]
        ax.add_collection(
            EllipseCollection(
                diameter, diameter, np.zeros(len(shown)), units="xy", offsets=places[shown],
                offset_transform=ax.transData, facecolors="none", edgecolors=colors, linewidths=0.7,
                alpha=0.6,
            )
        )  # fmt: skip
    ax.scatter(*places[shown].T, s=4 if many else 12, c=colors, linewidths=0, rasterized=many, zorder=3)
    ax.set(xlim=(-1, 1), ylim=(1, -1), aspect="equal")  # y grows downwards, as in the image
    ax.set_xticks([-1, 0, 1], ["left", "0", "right"])
    ax.set_yticks([-1, 0, 1], ["top", "0", "bottom"])
    plain(ax, "", "")
    ax.spines[["top", "right"]].set(visible=True, linewidth=0.6, color=FAINT)
    ax.set_title("windows in the image", fontsize=8, color=INK, loc="left")
