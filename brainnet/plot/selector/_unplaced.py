"""Selectors of voxels that have no place on a brain: recorded neurons, electrodes, units of a network."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, cluster_colors, continuous_colors, layer_colors
from brainnet.plot._figure import add_axes, color_bar, name_cells, new_figure, note_below, patches, plain
from brainnet.plot._text import label
from brainnet.plot.selector.places import Places
from brainnet.selection import Selectors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

WEIGHTS = "magma"
ROW_HEIGHT, COLUMN_WIDTH = 2.35, 2.6  # inches of a small plot
HEAT_WIDTH = 3.1
LEFT, GUTTER, FLOOR, HEADER = 0.55, 0.85, 0.75, 0.40


class Style(NamedTuple):
    """How selectors are drawn.

    Args:
        layer_names: one for each layer.
        score_limits: scores of the lowest and highest color.
        score_name: what the score is.
        kept: any of "layer", "space" and "scale", which to draw.
        places: what places are.
    """

    layer_names: list[str]
    score_limits: tuple[float, float]
    score_name: str
    kept: Collection[str]
    places: Places


def unplaced_figure(selectors: Selectors, given: Mapping[str, np.ndarray], style: Style) -> Figure:
    """Layer weights of all voxels, sorted; their positions in the image; how scale and score are spread.

    Voxels of which a selector is NaN are left out, and counted below.

    Args:
        selectors: arrays (n, 2), (n, n_layers), (n, 1).
        given: any of "scores", "noise_ceiling", "width", "clusters", each (n,).
        style: names, limits and what to draw.
    """
    known = np.isfinite(np.concatenate(selectors, axis=1)).all(axis=1)
    selectors = Selectors(*(part[known] for part in selectors))
    given = {name: values[known] for name, values in given.items()}
    with_layers = "layer" in style.kept
    cells = _cells(selectors, given, style)
    columns = -(-len(cells) // 2)
    tall = 2 * ROW_HEIGHT + FLOOR + HEADER
    first = LEFT + (HEAT_WIDTH + GUTTER) * with_layers
    width = first + columns * COLUMN_WIDTH + max(columns - 1, 0) * GUTTER + 0.25
    figure = new_figure((width, tall + FLOOR + HEADER))
    if with_layers:
        _header(figure, LEFT, FLOOR + tall, "Layer", "weights; voxels sorted by the center of their weights")
        heat = add_axes(figure, (LEFT, FLOOR, HEAT_WIDTH, tall))
        bar = add_axes(figure, (LEFT + 0.25 * HEAT_WIDTH, 0.30, 0.5 * HEAT_WIDTH, 0.09))
        _layer_weights(heat, bar, selectors.layer, style.layer_names, given.get("clusters"))
    for number, (name, meaning, draw) in enumerate(cells):
        left = first + number // 2 * (COLUMN_WIDTH + GUTTER)
        bottom = FLOOR + (1 - number % 2) * (ROW_HEIGHT + FLOOR + HEADER)
        _header(figure, left, bottom + ROW_HEIGHT, name, meaning)
        draw(add_axes(figure, (left, bottom, COLUMN_WIDTH, ROW_HEIGHT)))
    missing = int((~known).sum())
    note_below(figure, f"Left out: {missing:,} of {len(known):,} voxels, which have no selectors" if missing else "")
    return figure


def _cells(selectors: Selectors, given: Mapping[str, np.ndarray], style: Style) -> list[tuple[str, str, Any]]:
    """(title, meaning, how to draw it) of the small plots, column by column."""
    scores, name, limits = given.get("scores"), style.score_name, style.score_limits
    layers = style.layer_names if "layer" in style.kept else None
    cells = []
    if "space" in style.kept and style.places.in_time:
        draw = partial(histogram, values=(selectors.space[:, 0] + 1) / 2, span=(0.0, 1.0), name="0 start, 1 end")
        cells.append(("Time within", style.places.meaning, draw))
    elif "space" in style.kept:
        colored = "color: layer of largest weight" if layers else ""
        colored = colored if scores is None else f"color: {label(name, 14)}"
        circles = "circle: window, one SD" if "width" in given else ""
        meaning = "; ".join(filter(None, [style.places.meaning, colored, circles]))
        draw = partial(_positions, selectors=selectors, names=layers, scores=scores, width=given.get("width"),
                       limits=limits, borders=style.places.borders)  # fmt: skip
        cells.append(("Space", meaning, draw))
    if "scale" in style.kept:
        draw = partial(histogram, values=selectors.scale[:, 0], span=(0.0, 1.0), name="scale")
        cells.append(("Scale", f"0: one place, 1: {style.places.whole}", draw))
    if scores is None:
        return cells
    low = float(scores[np.isfinite(scores)].min(initial=0.0))
    ceiling = given.get("noise_ceiling")
    draw = partial(histogram, values=scores, span=(low, 1.0), name=name, ceiling=ceiling, limits=limits)
    cells.append(("Score", summary(scores), draw))
    if ceiling is not None:
        draw = partial(ceiling_scatter, scores=scores, ceiling=ceiling, name=name)
        cells.append(("Score against noise ceiling", "", draw))
    elif layers:
        draw = partial(_score_by_layer, layer=selectors.layer, scores=scores, names=layers, name=name)
        cells.append(("Score against layer", "", draw))
    return cells


def _header(figure: Figure, left: float, top: float, title: str, meaning: str) -> None:
    width, height = figure.get_size_inches()
    figure.text(left / width, (top + 0.34) / height, title, fontsize=10, weight="bold", color=INK, va="top")
    figure.text(left / width, (top + 0.17) / height, meaning, fontsize=7, color=FAINT, va="top")


def summary(scores: np.ndarray) -> str:
    """One line on the scores (n_voxels,): mean, median, and of how many they are.

    >>> summary(np.array([0.2, np.nan, 0.4]))
    'mean 0.30, median 0.30 of 2 voxels'
    """
    known = scores[np.isfinite(scores)]
    if not len(known):
        return "unknown for all voxels"
    return f"mean {known.mean():.2f}, median {np.median(known):.2f} of {len(known):,} voxels"


def layer_centre(layer: np.ndarray) -> np.ndarray:
    """(n,) mean layer number, from 1, under the layer weights (n, n_layers).

    >>> layer_centre(np.array([[0.0, 0.5, 0.5]])).tolist()
    [2.5]
    """
    return layer @ np.arange(1.0, layer.shape[1] + 1)


def _layer_weights(heat: Axes, bar: Axes, layer: np.ndarray, names: list[str], clusters: np.ndarray | None) -> None:
    n_voxels, n_layers = layer.shape
    if not n_voxels:
        heat.text(0.5, 0.5, "no voxel has selectors", transform=heat.transAxes, ha="center", color=FAINT, fontsize=8)
        heat.set(xticks=[], yticks=[])
        bar.set_axis_off()
        return
    order = layer_centre(layer).argsort(kind="stable")
    top = min(1.0, 3 / n_layers)  # a rule, not the data: even weights are a third of the bar on every figure
    heat.imshow(
        continuous_colors(layer[order], WEIGHTS, 0, top), extent=(0.5, n_layers + 0.5, n_voxels, 0),
        aspect="auto",
        interpolation="nearest" if n_voxels <= 400 else "antialiased",
    )  # fmt: skip
    heat.set_xlim(0.5, n_layers + 0.5)
    name_cells(heat, names, 0.5)
    plain(heat, "", "voxel")
    if clusters is not None:
        labels = clusters.astype(np.int64)[order]
        colors = cluster_colors(max(int(labels.max()) + 1, 1))
        strip = heat.inset_axes((1.015, 0, 0.035, 1))
        rgb = np.where((labels >= 0)[:, None], colors[labels], 1.0)
        strip.imshow(rgb[:, None], aspect="auto", interpolation="nearest")
        strip.set_axis_off()
        heat.text(1.06, 1, "cluster", transform=heat.transAxes, fontsize=6.5, rotation=90, va="top", color=FAINT)
    ticks = {0: "0", 1 / n_layers: "even", top: "1" if top == 1 else f"≥ {top:.2g}"}
    color_bar(bar, WEIGHTS, 0, top, ticks=ticks if n_layers > 1 else None)


def _positions(
    ax: Axes,
    selectors: Selectors,
    names: list[str] | None,
    scores: np.ndarray | None,
    width: np.ndarray | None,
    limits: tuple[float, float],
    borders: tuple[str, str, str, str],
) -> None:
    from matplotlib.colors import to_rgb

    x, y = selectors.space.T
    if scores is None and names is None:
        colors, order = np.tile(to_rgb("#0072B2"), (len(x), 1)), np.arange(len(x))
    elif scores is None:
        colors = layer_colors(selectors.layer.shape[1])[np.nan_to_num(selectors.layer).argmax(axis=1)]
        order = np.arange(len(x))
    else:
        colors = np.nan_to_num(continuous_colors(scores, SEQUENTIAL, *limits), nan=0.8)
        order = np.nan_to_num(scores, nan=-2).argsort(kind="stable")  # the well predicted on top
    if width is not None:
        from matplotlib.collections import EllipseCollection

        diameter = 2 * width[order]
        ax.add_collection(
            EllipseCollection(
                diameter, diameter, np.zeros(len(x)), units="xy", offsets=selectors.space[order],
                offset_transform=ax.transData, facecolors="none", edgecolors=colors[order],
                linewidths=0.6, alpha=min(0.6, max(25 / max(len(x), 1), 0.05)), rasterized=len(x) > 2000,
            )
        )  # fmt: skip
    ax.scatter(x[order], y[order], s=14 if len(x) <= 500 else 5, c=colors[order], linewidths=0.3, edgecolors="white",
               rasterized=len(x) > 2000, zorder=3)  # fmt: skip
    ax.set(xlim=(-1, 1), ylim=(1, -1), aspect="equal", anchor="W")  # y grows downwards, as in the image
    left, right, top, bottom = borders
    for tick, align in zip(ax.set_xticks([-1, 0, 1], [left, "0", right]), ("left", "center", "right"), strict=True):
        tick.label1.set_horizontalalignment(align)
    ax.set_yticks([-1, 0, 1], [top.split()[0], "0", bottom])
    ax.tick_params(labelsize=7, length=2.5, width=0.5, colors=INK)
    for spine in ax.spines.values():
        spine.set(linewidth=0.6, color=FAINT)
    if scores is not None:
        color_bar(ax.inset_axes((0.25, -0.17, 0.5, 0.035)), SEQUENTIAL, *limits)
    elif names is not None:
        patches(ax.inset_axes((0.25, -0.17, 0.5, 0.035)), layer_colors(len(names)), names)


def histogram(
    ax: Axes,
    values: np.ndarray,
    span: tuple[float, float],
    name: str,
    ceiling: np.ndarray | None = None,
    limits: tuple[float, float] | None = None,
) -> None:
    """How many voxels have which value (n,), in the colors of the score where ``limits`` are given."""
    values = values[np.isfinite(values)]
    counts, edges = np.histogram(values.clip(*span), bins=25, range=span)
    middle = (edges[1:] + edges[:-1]) / 2
    colors = "0.6" if limits is None else continuous_colors(middle, SEQUENTIAL, *limits)
    ax.bar(middle, counts, width=np.diff(edges), color=colors, edgecolor="white", linewidth=0.4)
    if ceiling is not None:
        ceiling = ceiling[np.isfinite(ceiling)]
        top = max(counts.max(), 1)
        ax.plot(ceiling, np.full(len(ceiling), 1.08 * top), "|", color=INK, markersize=5, markeredgewidth=0.5)
        ax.text(span[1], 1.15 * top, "noise ceiling of the voxels", fontsize=6.5, color=INK, ha="right", va="center")
        ax.set_ylim(0, 1.21 * top)
    ax.set_xlim(*span)
    ax.yaxis.get_major_locator().set_params(integer=True)  # half a voxel is no count
    plain(ax, name, "voxels")


def ceiling_scatter(ax: Axes, scores: np.ndarray, ceiling: np.ndarray, name: str) -> None:
    """Scores (n,) against noise ceilings (n,), with the line that a perfect model would reach."""
    known = np.isfinite(scores) & np.isfinite(ceiling)
    ax.plot([0, 1], [0, 1], color=FAINT, linewidth=0.8, linestyle="--")
    many = len(scores) > 300
    ax.scatter(ceiling[known], scores[known], s=4 if many else 12, color="#0072B2", alpha=0.25 if many else 0.7,
               linewidths=0, rasterized=many)  # fmt: skip
    ax.set(xlim=(0, 1), ylim=(min(0.0, float(scores[known].min(initial=0))) - 0.02, 1))
    if known.any() and ceiling[known].mean() > 0:
        share = scores[known].mean() / ceiling[known].mean()
        ax.text(0.03, 0.98, f"mean score / mean ceiling = {share:.2f}", transform=ax.transAxes, fontsize=7.5, va="top",
                color=INK)  # fmt: skip
    plain(ax, "noise ceiling", name)


def _score_by_layer(ax: Axes, layer: np.ndarray, scores: np.ndarray, names: list[str], name: str) -> None:
    many = len(scores) > 300
    ax.scatter(layer_centre(layer), scores, s=4 if many else 12, color="#0072B2", alpha=0.25 if many else 0.7,
               linewidths=0, rasterized=many)  # fmt: skip
    ax.set_xlim(0.7, len(names) + 0.3)
    name_cells(ax, names, 0.5)  # as below the weights: a layer may be called "0"
    last = ax.get_xticklabels()[-1]
    if len(last.get_text()) > 4:  # centered it would leave the figure
        last.set_horizontalalignment("right")
    plain(ax, "center of the layer weights", name)
