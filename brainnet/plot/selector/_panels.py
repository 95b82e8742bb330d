"""The panels of the maps of FactorTopy: each a picture of one selector, its legend, and the words that explain it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._canvas import Canvas
from brainnet.plot._colors import (
    DIVERGING,
    FAINT,
    INK,
    SEQUENTIAL,
    cluster_colors,
    continuous_colors,
    darken,
    layer_colors,
    layer_entropy,
    position_colors,
)
from brainnet.plot._figure import add_axes, color_bar, name_cells, patches, style_legend
from brainnet.plot.selector._unplaced import summary
from brainnet.plot.selector.places import Places

if TYPE_CHECKING:
    from matplotlib.figure import Figure


@dataclass(frozen=True)
class Panel:
    """One map: its title, a line that explains it, its colors pixel by pixel, and its legend."""

    title: str
    meaning: str
    picture: Callable[[Canvas], np.ndarray]
    legend: Callable[[Figure, tuple[float, float, float, float]], None]
    fades: bool = True


def layer_panel(layer: np.ndarray, names: list[str]) -> Panel:
    """The layer of largest weight of each voxel, from layer weights (n_voxels, n_layers)."""
    colors = layer_colors(len(names))
    best = np.where(np.isnan(layer).any(axis=1), -1, np.nan_to_num(layer).argmax(axis=1))

    def picture(canvas: Canvas) -> np.ndarray:
        votes, entropy = canvas.vote(best), canvas.interpolate(layer_entropy(layer))
        return np.where((votes >= 0)[..., None], darken(colors[votes], entropy), np.nan)

    def legend(figure: Figure, box: tuple[float, float, float, float]) -> None:
        left, bottom, across, up = box
        ax = add_axes(figure, (left + 0.20 * across, bottom + 0.35 * up, 0.60 * across, 0.40 * up))
        shades = darken(colors[None], np.linspace(0, 1, 128)[:, None])
        ax.imshow(shades, extent=(0, len(names), 0, 1), aspect="auto", interpolation="nearest")
        name_cells(ax, names)
        style_legend(ax)
        for height, text in ((1, "one layer"), (0, "spread")):
            ax.text(-0.03, height, text, transform=ax.transAxes, fontsize=6.5, ha="right", color=INK,
                    va="top" if height else "bottom")  # fmt: skip

    return Panel("Layer", "largest weight; darker where weights are spread", picture, legend)


def space_panel(position: np.ndarray, places: Places) -> Panel:
    """The place (n_voxels, 2) of each voxel, or its moment, which is the first of the two numbers."""
    if places.in_time:
        moment, name = (position[:, 0] + 1) / 2, f"time in the {places.reads}"
        return _bar_panel("Time within", places.meaning, moment, SEQUENTIAL, (0, 1), name, {0: "start", 1: "end"})

    def legend(figure: Figure, box: tuple[float, float, float, float]) -> None:
        left, bottom, across, up = box
        side = 0.56 * up
        ax = add_axes(figure, (left + (across - side) / 2, bottom + 0.17 * up, side, side))
        x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
        ax.imshow(position_colors(np.stack([x, y], axis=-1)), extent=(-1, 1, 1, -1))
        ax.set(xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set(linewidth=0.5, color=FAINT)
        at = ((-0.07, 0.5, "right", "center"), (1.07, 0.5, "left", "center"), (0.5, 1.03, "center", "bottom"),
              (0.5, -0.04, "center", "top"))  # fmt: skip
        for text, (x_place, y_place, align, vertical) in zip(places.borders, at, strict=True):
            ax.text(x_place, y_place, text, transform=ax.transAxes, fontsize=6.5, ha=align, va=vertical, color=INK)

    return Panel("Space", places.meaning, lambda canvas: position_colors(canvas.interpolate(position)), legend)


def scale_panel(scale: np.ndarray, places: Places) -> Panel:
    """The scale (n_voxels, 1) of each voxel, from local to global."""
    ticks = {0: "local 0", 0.5: "0.5", 1: "1 global"}
    return _bar_panel("Scale", f"one place, or {places.whole}", scale[:, 0], DIVERGING, (0, 1), "scale", ticks)


def score_panel(scores: np.ndarray, limits: tuple[float, float], name: str) -> Panel:
    """The score (n_voxels,) of each voxel; it never fades."""
    return _bar_panel("Score", summary(scores), scores, SEQUENTIAL, limits, name, None, fades=False)


def _bar_panel(
    title: str,
    meaning: str,
    values: np.ndarray,
    cmap: str,
    limits: tuple[float, float],
    name: str,
    ticks: Mapping[float, str] | None,
    fades: bool = True,
) -> Panel:
    def legend(figure: Figure, box: tuple[float, float, float, float]) -> None:
        left, bottom, across, up = box
        ax = add_axes(figure, (left + 0.22 * across, bottom + 0.55 * up, 0.56 * across, 0.16 * up))
        color_bar(ax, cmap, *limits, name=name, ticks=ticks)

    def picture(canvas: Canvas) -> np.ndarray:
        return continuous_colors(canvas.interpolate(values), cmap, *limits)

    return Panel(title, meaning, picture, legend, fades)


def cluster_panel(clusters: np.ndarray) -> Panel:
    """The channel cluster (n_voxels,) of each voxel."""
    clusters = clusters.astype(np.int64)
    n_clusters = max(int(clusters.max()) + 1, 1)
    colors = cluster_colors(n_clusters)

    def picture(canvas: Canvas) -> np.ndarray:
        votes = canvas.vote(clusters)
        return np.where((votes >= 0)[..., None], colors[votes], np.nan)

    def legend(figure: Figure, box: tuple[float, float, float, float]) -> None:
        left, bottom, across, up = box
        ax = add_axes(figure, (left + 0.14 * across, bottom + 0.55 * up, 0.72 * across, 0.16 * up))
        patches(ax, colors, [str(number) for number in range(1, n_clusters + 1)], "cluster of read-out weights")

    return Panel("Channels", "voxels that read alike share a color", picture, legend)
