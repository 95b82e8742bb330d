"""Layers in pictures: the mean score of each, and which one scores best in every voxel."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._canvas import Canvas, canvas_of, to_numpy
from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, continuous_colors, contrasting_colors, layer_colors
from brainnet.plot._figure import (
    EDGE,
    add_axes,
    box_of,
    color_bar,
    grow,
    legend_beside,
    name_columns,
    name_rows,
    new_figure,
    note_below,
    patches,
    plain,
    title_above,
)
from brainnet.plot._tables import today
from brainnet.plot._text import label, labels
from brainnet.plot.brain.surface import regions as named_regions
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from torch import Tensor

MOST_LINES = 8  # ROIs that lines can show; more become a matrix
MOST_BANDS = 2  # intervals that can lie on each other as bands; more become a line at each point
MOST_ROWS = 400  # of a picture of voxels, three inches tall


def layers(
    table: DataFrame,
    *,
    score: str = "r",
    split: str = "test",
    rois: Sequence[str] = ("all",),
    ordered: bool = True,
    resampled: str = "images",
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of the mean score by layer, a line per ROI with its 95 % interval, controls dashed and without.

    More than eight ROIs become a matrix of mean scores, with a dot on the best layer of each ROI and no controls.

    Methods that read every layer at once, and the layer chosen on training images, stand to the right as points. A
    dotted line is the mean noise ceiling, where the table has it.

    Args:
        table: rows of :class:`brainnet.encode.Encoding`'s table of one model and one subject.
        score: "r" or "r2".
        split: whose images.
        rois: which ROIs, "all" being every voxel.
        ordered: whether the layers are depths of one network; feature spaces without an order are not joined by lines.
        resampled: what the intervals drew, such as "blocks of volumes".
        ax: axes to draw on; by default a new figure.
        title: text above.

    Raises:
        ValueError: the table holds several models or subjects, or no row of that score, split and ROI.

    >>> import pandas as pd
    >>> fit = {"model": "net", "subject": "one", "method": "ridge", "control": "", "split": "test", "roi": "all"}
    >>> scores = {"score": "r", "layer": ["1", "2"], "mean": [0.2, 0.4], "low": [0.1, 0.3], "high": [0.3, 0.5]}
    >>> layers(pd.DataFrame({**fit, **scores})).axes[0].lines[0].get_ydata().tolist()
    [0.2, 0.4]
    """
    rows, ceilings = _chosen_rows(today(table), score, split, rois)
    single = rows[~rows["layer"].isin(["best", "all"])]
    others = rows[rows["layer"].isin(["best", "all"]) & (rows["control"] == "")]
    names = list(dict.fromkeys(single["layer"]))
    methods = list(dict.fromkeys(_method_name(row) for _, row in others.iterrows()))
    if len(rois) > MOST_LINES and ax is None:
        return _layer_matrix(single, others, list(rois), names, methods, score, title)
    own = ax is None
    if own:
        across = min(12.0, max(2.6, 0.5 * (len(names) + len(methods))))
        ax = add_axes(new_figure((0.7 + across + EDGE, 2.3)), (0.7, 0.1, across, 2.1))
    bands = ordered and len(rois) <= MOST_BANDS and single["method"].nunique() == 1
    entries = []
    for number, roi in enumerate(rois):
        color = contrasting_colors(len(rois))[number]
        shift = 0.0 if bands else 0.5 * ((number + 0.5) / len(rois) - 0.5)
        entries += _layer_lines(ax, single[single["roi"] == roi], names, color, shift, bands, ordered)
        for _, row in others[others["roi"] == roi].iterrows():
            x = len(names) + 0.4 + methods.index(_method_name(row)) + 0.6 * ((number + 0.5) / len(rois) - 0.5)
            ax.plot([x, x], [row["low"], row["high"]], color=color, linewidth=1.0)
            ax.plot([x], [row["mean"]], "D", color=color, markersize=4)
        if roi in ceilings:
            ax.axhline(ceilings[roi], color=color, linewidth=1.2, linestyle=":")
    entries += _meanings(single, bool(len(ceilings)), ordered)
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", f"mean {score}")
    ax.set_xlim(-0.6, len(names) + len(methods) - (0.0 if methods else 0.4))
    places = [*range(len(names)), *(len(names) + 0.4 + place for place in range(len(methods)))]
    name_columns(ax, places, [*labels(names), *labels(methods)], own=own)
    legend_beside(ax, entries, own)
    if own:
        title_above(ax.figure, title)
        mark = "Bands, and lines on diamonds" if bands and methods else "Bands" if bands else "Vertical lines"
        note_below(ax.figure, f"{mark}: 95 % interval of the mean, {resampled} resampled")
    elif title:
        ax.set_title(label(title, 80), fontsize=10, color=INK, loc="left")
    return ax.figure


def _chosen_rows(table: DataFrame, score: str, split: str, rois: Sequence[str]) -> tuple[DataFrame, Any]:
    """The rows of fits, and the mean noise ceiling by ROI."""
    rows = table[(table["score"] == score) & (table["split"] == split) & table["roi"].isin(list(rois))]
    if not len(rows):
        raise ValueError(f"the table has no rows of score {score!r}, split {split!r} and ROIs {list(rois)}.")
    ceilings = rows[rows["method"] == "noise ceiling"].set_index("roi")["mean"].dropna()
    rows = rows[rows["method"] != "noise ceiling"]
    for column in ("model", "subject"):
        if rows[column].nunique() > 1:
            raise ValueError(f"the table holds several {column}s, {sorted(set(rows[column]))}: choose the rows of one.")
    return rows, ceilings


def _layer_lines(
    ax: Axes, rows: DataFrame, names: list[str], color: np.ndarray, shift: float, bands: bool, ordered: bool
) -> list[tuple[Any, str]]:
    """The scores of one ROI: a line for each method and control; returns the entries of the legend."""
    entries = []
    styles = _styles(rows)
    several = rows["method"].nunique() > 1
    for (method, control), line in rows.groupby(["method", "control"], sort=False):
        x = np.array([names.index(layer) for layer in line["layer"]]) + shift
        (drawn,) = ax.plot(
            x, line["mean"], ls=styles[control] if ordered else "", color=color, lw=0.9 if control else 1.4,
            marker="o", markersize=2 if control else 3, markerfacecolor="white" if control else color,
        )  # fmt: skip
        if control:
            continue
        if bands:
            ax.fill_between(x, line["low"], line["high"], color=color, alpha=0.15, linewidth=0)
        else:
            ax.vlines(x, line["low"], line["high"], color=color, linewidth=0.8)
        entries.append((drawn, label(f"{line['roi'].iloc[0]} {method if several else ''}".strip())))
    return entries


def _styles(rows: DataFrame) -> dict[str, Any]:
    controls = [name for name in dict.fromkeys(rows["control"]) if name]
    return dict(zip(["", *controls], ["-", "--", "-.", (0, (1, 1))], strict=False))


def _meanings(rows: DataFrame, ceiling: bool, ordered: bool) -> list[tuple[Any, str]]:
    """What dashes and dots stand for, for the legend."""
    from matplotlib.lines import Line2D

    marks = [
        (Line2D([], [], ls=style if ordered else "", color=INK, lw=0.9, marker="o", markersize=2,
                markerfacecolor="white"), label(control))
        for control, style in _styles(rows).items() if control
    ]  # fmt: skip
    return marks + [(Line2D([], [], color=INK, linewidth=1.2, linestyle=":"), "noise ceiling")] * ceiling


def _layer_matrix(
    single: DataFrame, others: DataFrame, rois: list[str], names: list[str], methods: list[str], score: str,
    title: str | None,
) -> Figure:  # fmt: skip
    """Many ROIs: a row each, a column per layer and method, colors for scores; a dot on each row's best layer."""
    table = np.full((len(rois), len(names) + len(methods)), np.nan)
    for rows, columns in ((single[single["control"] == ""], names), (others, methods)):
        for _, row in rows.iterrows():
            column = columns.index(row["layer"] if columns is names else _method_name(row))
            table[rois.index(row["roi"]), column + len(names) * (columns is methods)] = row["mean"]
    height, across = 0.17 * len(rois), max(1.6, 0.42 * table.shape[1])
    figure = new_figure((across + 0.2, height + 0.2))
    ax = add_axes(figure, (0.1, 0.1, across, height))
    low, high = min(0.0, float(np.nanmin(table))), float(np.nanmax(table))
    ax.imshow(np.nan_to_num(continuous_colors(table, SEQUENTIAL, low, high), nan=1.0), aspect="auto")
    for place, row in enumerate(table[:, : len(names)]):
        if np.isfinite(row).any():
            ax.plot(
                np.nanargmax(row), place, "o", color="white", markeredgecolor=INK, markersize=3, markeredgewidth=0.5
            )
    ax.axvline(len(names) - 0.5, color="white", linewidth=2)
    plain(ax, "", "")
    name_rows(ax, labels(rois))
    name_columns(ax, range(table.shape[1]), [*labels(names), *labels(methods)])
    _bar_below(figure, ax, low, high, f"mean {score}")
    title_above(figure, title)
    note_below(figure, "Dot: the best layer of the ROI" if names else "")
    return figure


def best_layer(
    layer_scores: Mapping[str, Tensor],
    space: BrainSpace,
    *,
    floor: float = 0.0,
    alpha: Tensor | None = None,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of the layer that scores best in each voxel, on the cortex or in slices, later layers lighter.

    Give scores on training images: a best layer that is chosen by test scores is partly chosen by their noise. Voxels
    without a place become a picture of all their scores, sorted by best layer, relative to the best of each voxel: a
    pale row is a voxel whose layers score alike.

    Args:
        layer_scores: layer -> (n_voxels,) scores, in the network's order; a voxel that is NaN in all has no layer.
        space: where the voxels are.
        floor: a voxel whose best score is not above it is predicted by no layer, and has none.
        alpha: (n_voxels,) opacity in 0..1, for instance to fade what is predicted badly; not used without a place.
        outlines: regions to outline: True for all of the space, their names, or name -> (n_voxels,) bool.
        title: text above.

    Raises:
        ValueError: no layers, or scores of another length than the space.

    >>> import torch
    >>> scores = {"early": torch.tensor([0.4, 0.1]), "late": torch.tensor([0.2, 0.3])}
    >>> figure = best_layer(scores, BrainSpace.free(2))
    >>> figure.axes[0].get_title(loc="left")
    'best layer of 2 voxels'
    """
    names = list(layer_scores)
    values = [to_numpy(score) for score in layer_scores.values()]
    for name, score in zip(names, values, strict=True):
        if score.shape != (space.n_voxels,):
            raise ValueError(f"{name} has shape {score.shape}, expected ({space.n_voxels},).")
    if not names:
        raise ValueError("layer_scores names no layers.")
    values = np.where(np.isnan(values), -np.inf, values)
    even = (values == values[0]).all(0) & (len(values) > 1)  # as of a voxel that no layer predicts: none is the best
    best = np.where((values.max(0) <= floor) | even, -1, values.argmax(0))
    canvas = canvas_of(space)
    known = int((best >= 0).sum())
    if canvas is None:
        figure = _unplaced_by_layer(values, best, names)
    else:
        figure = _layer_map(canvas, best, names, alpha, named_regions(outlines, space))
    title_above(figure, title)
    left_out = f"of {len(best):,}; the others have no layer that scores above {floor:g}"
    note_below(figure, f"{known:,} voxels {left_out}" if known < len(best) else "")
    return figure


def _layer_map(
    canvas: Canvas, best: np.ndarray, names: list[str], alpha: Tensor | None, outlines: Mapping[str, Tensor]
) -> Figure:
    width = min(6.2, 6.5 * canvas.aspect)
    height = width / canvas.aspect
    figure = new_figure((width + 0.3, 0.8 + height + EDGE))
    ax = add_axes(figure, (0.15, 0.8, width, height))
    colors = layer_colors(len(names))
    votes = canvas.vote(best)
    canvas.paint(ax, np.where((votes >= 0)[..., None], colors[votes], np.nan), alpha)
    for name, mask in outlines.items():
        canvas.border(mask).draw(ax, name)
    patches(add_axes(figure, (0.15 + 0.1 * width, 0.37, 0.8 * width, 0.15)), colors, names, "best layer")
    return figure


def _unplaced_by_layer(values: np.ndarray, best: np.ndarray, names: list[str]) -> Figure:
    """How many voxels each layer fits best, above every voxel's scores relative to its best."""
    known = best >= 0
    top = values.max(0)
    order = np.flatnonzero(known)[np.lexsort((-top[known], best[known]))]
    gap = np.where(np.isneginf(values), np.nan, values - np.where(known, top, 0))[:, order].T  # (n_voxels, n_layers)
    n_voxels, n_layers = gap.shape
    width, tall = max(2.6, 0.42 * n_layers), 3.0
    figure = new_figure((width + 0.78, tall + 1.5))
    ax = add_axes(figure, (0.7, tall + 0.2, width, 0.9))
    heat = add_axes(figure, (0.7, 0.1, width, tall))
    counts = np.bincount(best[known], minlength=n_layers)
    ax.bar(np.arange(n_layers), counts, 0.8, color=layer_colors(n_layers))
    for place, count in enumerate(counts):
        ax.text(place, count, f"{count:,}", ha="center", va="bottom", fontsize=6.5, color=INK)
    ax.set(xlim=(-0.5, n_layers - 0.5), ylim=(0, 1.2 * max(counts.max(), 1)), xticks=[])
    ax.yaxis.get_major_locator().set_params(integer=True, nbins=3)
    plain(ax, "", "voxels")
    ax.set_title(f"best layer of {n_voxels:,} voxels", fontsize=8, color=INK, loc="left", pad=8)
    worst = gap[np.isfinite(gap).any(1)]
    lowest = min(-0.01, float(np.median(np.nanmin(worst, axis=1)))) if len(worst) else -1.0  # a typical voxel's range
    shown = np.nan_to_num(continuous_colors(gap, SEQUENTIAL, lowest, 0.0), nan=1.0)
    if n_voxels > MOST_ROWS:  # neighbors averaged here, as matplotlib would blur across layers too
        edges = np.linspace(0, n_voxels, MOST_ROWS + 1).astype(int)[1:-1]
        shown = np.stack([rows.mean(0) for rows in np.split(shown, edges)])
    if n_voxels:
        heat.imshow(shown, extent=(-0.5, n_layers - 0.5, n_voxels, 0), aspect="auto", interpolation="nearest")
    heat.yaxis.get_major_locator().set_params(integer=True)
    plain(heat, "", "voxels, sorted by best layer")
    heat.set_xlim(-0.5, n_layers - 0.5)
    name_columns(heat, range(n_layers), labels(names))
    _bar_below(figure, heat, lowest, 0.0, "training score less the voxel's best")
    return figure


def _bar_below(figure: Figure, ax: Axes, low: float, high: float, name: str) -> None:
    """A color bar below axes and their names."""
    grow(figure, bottom=0.62)
    left, _, width, _ = box_of(ax)
    across = max(1.5, 0.6 * width)
    color_bar(add_axes(figure, (left + (width - across) / 2, 0.38, across, 0.1)), SEQUENTIAL, low, high, name)


def _method_name(row: Mapping) -> str:
    return f"best: {row['chosen_layer']}" if row["layer"] == "best" else str(row["method"])
