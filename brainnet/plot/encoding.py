"""Encoding scores in pictures: by region with their ceiling, by layer, best layers, two models, split of R2."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._canvas import Canvas, canvas_of, to_numpy
from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, cluster_colors, continuous_colors, layer_colors
from brainnet.plot._figure import add_axes, color_bar, new_figure, patches, plain
from brainnet.plot.surface import regions as named_regions
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend
    from pandas import DataFrame
    from torch import Tensor


MOST_LINES = 8  # ROIs that lines can show; more become a matrix
SPREAD = "thin line on a bar: middle half of the voxels"
MOST_ROWS = 400  # of a picture of units, three inches tall
FEW_VOXELS = 200  # fewer are points: a histogram of them is mostly cells of one


def scores(
    scores: Tensor | Mapping[str, Tensor],
    space: BrainSpace,
    *,
    noise_ceiling: Tensor | None = None,
    ax: Axes | None = None,
    score_name: str = "r",
    title: str | None = None,
) -> Figure:
    """A figure of the mean score in each ROI and over all voxels, as bars beside their noise ceiling.

    The thin line on a bar spans the middle half of the voxels: their spread, not an error of the mean. Voxels that are
    NaN are left out of bar and ceiling alike; below each region stands how many have a score.

    Args:
        scores: (n_voxels,) scores, or model name -> (n_voxels,) for a bar each.
        space: whose ROIs to show.
        noise_ceiling: (n_voxels,) on the scale of the scores.
        ax: axes to draw on; by default a new figure.
        score_name: label of the axis.
        title: text above.

    Raises:
        ValueError: scores or ceiling have another length than the space.

    >>> import torch
    >>> figure = scores(torch.tensor([0.2, 0.6]), BrainSpace.free(2, {"V1": torch.tensor([True, False])}))
    >>> [round(float(bar.get_height()), 2) for bar in figure.axes[0].patches]
    [0.4, 0.2]
    """
    models = scores if isinstance(scores, Mapping) else {"": scores}
    models = {name: to_numpy(values) for name, values in models.items()}
    ceiling = None if noise_ceiling is None else to_numpy(noise_ceiling)
    for name, values in (*models.items(), *([] if ceiling is None else [("noise_ceiling", ceiling)])):
        if values.shape != (space.n_voxels,):
            raise ValueError(f"{name or 'scores'} has shape {values.shape}, expected ({space.n_voxels},).")
    regions = {"all": np.ones(space.n_voxels, dtype=bool)} | {name: mask.numpy() for name, mask in space.rois.items()}
    regions = {name: mask for name, mask in regions.items() if mask.any()}
    if ax is None:
        across = min(14.0, max(3.4, 1.6 + 0.28 * len(regions) * (len(models) + 1)))
        columns = max(1, int((across - 0.8) / 1.15))  # about so many legend entries fit beside each other
        legend_height = 0.17 * -(-(len(models) + (ceiling is not None)) // columns)
        below = 0.62 if len(regions) <= 16 else 1.12
        figure = new_figure((across, below + 2.13 + legend_height + 0.25 * (title is not None)))
        ax = add_axes(figure, (0.62, below, across - 0.8, 2.0))
        figure.text(0.62 / across, 0.06 / figure.get_figheight(), SPREAD, fontsize=6, color=FAINT)
    else:
        columns = 4
    width = 0.8 / len(models)
    colors = np.roll(cluster_colors(max(len(models), 8)), 4, axis=0)  # blue and orange first
    for number, (name, values) in enumerate(models.items()):
        for place, known in _finite(values, regions):
            x = place - 0.4 + (number + 0.5) * width
            label = name if name and not place else None
            ax.bar(x, known.mean(), width=0.92 * width, color=colors[number], label=label)
            middle = np.percentile(known, [25, 75])
            ax.plot([x, x], middle, color="white", linewidth=2.0)  # else lost on a dark bar
            ax.plot([x, x], middle, color=INK, linewidth=0.8)
    for place, known in _finite(ceiling, regions) if ceiling is not None else ():
        label = None if place else "mean noise ceiling"
        ax.plot([place - 0.45, place + 0.45], [known.mean()] * 2, color=INK, linewidth=1.2, linestyle=":", label=label)
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", score_name)
    scored = np.isfinite(list(models.values())).any(0)
    names = [f"{name}\n{(mask & scored).sum():,}" for name, mask in regions.items()]
    ax.set_xticks(range(len(regions)), names, rotation=0 if len(regions) <= 16 else 90)
    ax.set_xlim(-0.6, len(regions) - 0.4)
    legend = None
    if ceiling is not None or any(models):
        legend = _legend_above(ax, columns)
    _title_above(ax, title, legend)
    return ax.figure


def layers(
    table: DataFrame,
    *,
    score: str = "r",
    split: str = "test",
    rois: Sequence[str] = ("all",),
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
        ax: axes to draw on; by default a new figure.
        title: text above.

    Raises:
        ValueError: the table holds several models or subjects, or no row of that score, split and ROI.
    """
    rows = table[(table["score"] == score) & (table["split"] == split) & table["roi"].isin(list(rois))]
    if not len(rows):
        raise ValueError(f"the table has no rows of score {score!r}, split {split!r} and ROIs {list(rois)}.")
    ceilings = rows[rows["method"] == "noise ceiling"].set_index("roi")["mean"].dropna()
    rows = rows[rows["method"] != "noise ceiling"]
    for column in ("model", "subject"):
        if rows[column].nunique() > 1:
            raise ValueError(f"the table holds several {column}s, {sorted(set(rows[column]))}: choose the rows of one.")
    single = rows[~rows["layer"].isin(["best", "all"])]
    names = list(dict.fromkeys(single["layer"]))
    others = rows[rows["layer"].isin(["best", "all"]) & (rows["control"] == "")]
    labels = list(dict.fromkeys(_method_label(row) for _, row in others.iterrows()))
    if len(rois) > MOST_LINES and ax is None:
        return _layer_matrix(single, others, rois, names, labels, score, title)
    controls = [name for name in dict.fromkeys(single["control"]) if name]
    styles = dict(zip(["", *controls], ["-", "--", "-.", (0, (1, 1))], strict=False))
    if ax is None:
        across = min(12.0, 0.8 + 0.5 * (len(names) + len(labels)))
        figure = new_figure((0.7 + across + 1.35, 3.3))
        ax = add_axes(figure, (0.7, 0.85, across, 2.1))
    colors = np.roll(cluster_colors(max(len(rois), 8)), 4, axis=0)
    for number, roi in enumerate(rois):
        for (method, control), line in single[single["roi"] == roi].groupby(["method", "control"], sort=False):
            x = [names.index(layer) for layer in line["layer"]]
            label = None if control else " ".join(filter(None, [roi, method if single["method"].nunique() > 1 else ""]))
            ax.plot(x, line["mean"], ls=styles[control], color=colors[number], lw=0.9 if control else 1.4, marker="o",
                    markersize=2 if control else 3, label=label)  # fmt: skip
            if not control:
                ax.fill_between(x, line["lower"], line["upper"], color=colors[number], alpha=0.15, linewidth=0)
        for _, row in others[others["roi"] == roi].iterrows():
            x = len(names) + 0.4 + labels.index(_method_label(row)) + 0.12 * (number - (len(rois) - 1) / 2)
            ax.plot([x, x], [row["lower"], row["upper"]], color=colors[number], linewidth=1.0)
            ax.plot([x], [row["mean"]], "D", color=colors[number], markersize=4)
        if roi in ceilings:
            ax.axhline(ceilings[roi], color=colors[number], linewidth=1.2, linestyle=":")
    for control in controls:
        ax.plot([], [], ls=styles[control], color=INK, lw=0.9, marker="o", markersize=2, label=control)
    if len(ceilings):
        ax.plot([], [], color=INK, linewidth=1.2, linestyle=":", label="noise ceiling")
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", f"mean {score}")
    ticks = [*range(len(names)), *(len(names) + 0.4 + place for place in range(len(labels)))]
    ax.set_xticks(ticks, [*names, *labels], rotation=30, ha="right", rotation_mode="anchor")
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03), labelcolor=INK)
    if title:
        ax.set_title(title, fontsize=10, color=INK, loc="left")
    return ax.figure


def _layer_matrix(
    single: DataFrame, others: DataFrame, rois: Sequence[str], names: list[str], labels: list[str], score: str,
    title: str | None,
) -> Figure:  # fmt: skip
    """Many ROIs: a row each, a column per layer and method, colors for scores; a dot on each row's best layer."""
    table = np.full((len(rois), len(names) + len(labels)), np.nan)
    for rows, columns in ((single[single["control"] == ""], names), (others, labels)):
        for _, row in rows.iterrows():
            column = columns.index(row["layer"] if columns is names else _method_label(row))
            table[rois.index(row["roi"]), column + len(names) * (columns is labels)] = row["mean"]
    height, across = 0.17 * len(rois), 0.42 * table.shape[1]
    figure = new_figure((across + 1.5, height + 1.75))
    ax = add_axes(figure, (1.25, 1.35, across, height))
    low, high = min(0.0, float(np.nanmin(table))), float(np.nanmax(table))
    ax.imshow(np.nan_to_num(continuous_colors(table, SEQUENTIAL, low, high), nan=1.0), aspect="auto")
    for place, row in enumerate(table[:, : len(names)]):
        if np.isfinite(row).any():
            ax.plot(
                np.nanargmax(row), place, "o", color="white", markeredgecolor=INK, markersize=3, markeredgewidth=0.5
            )
    ax.axvline(len(names) - 0.5, color="white", linewidth=2)
    plain(ax, "", "")
    ax.set_yticks(range(len(rois)), rois)
    ax.set_xticks(range(table.shape[1]), [*names, *labels], rotation=45, ha="right", rotation_mode="anchor")
    color_bar(add_axes(figure, (1.25 + 0.2 * across, 0.36, 0.6 * across, 0.1)), SEQUENTIAL, low, high, f"mean {score}")
    if title:
        ax.set_title(title, fontsize=10, color=INK, loc="left")
    return figure


def best_layer(
    layer_scores: Mapping[str, Tensor],
    space: BrainSpace,
    *,
    alpha: Tensor | None = None,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of the layer that scores best in each voxel, on the cortex or in slices, later layers lighter.

    Give scores on training images: a best layer that is chosen by test scores is partly chosen by their noise. Units
    without a place become a picture of all their scores, sorted by best layer, relative to the best of each unit: a
    pale row is a unit whose layers score alike.

    Args:
        layer_scores: layer -> (n_voxels,) scores, in the network's order; a voxel that is NaN in all has no layer.
        space: where the voxels are.
        alpha: (n_voxels,) opacity in 0..1, for instance to fade what is predicted badly; not used without a place.
        outlines: regions to outline: True for all of the space, their names, or name -> (n_voxels,) bool.
        title: text above.

    Raises:
        ValueError: no layers, or scores of another length than the space.

    >>> import torch
    >>> scores = {"early": torch.tensor([0.4, 0.1]), "late": torch.tensor([0.2, 0.3])}
    >>> figure = best_layer(scores, BrainSpace.free(2))
    >>> figure.axes[0].get_title(loc="left")
    'best layer of 2 units'
    """
    names = list(layer_scores)
    values = [to_numpy(score) for score in layer_scores.values()]
    for name, score in zip(names, values, strict=True):
        if score.shape != (space.n_voxels,):
            raise ValueError(f"{name} has shape {score.shape}, expected ({space.n_voxels},).")
    if not names:
        raise ValueError("layer_scores names no layers.")
    values = np.where(np.isnan(values), -np.inf, values)
    even = (values == values[0]).all(0) & (len(values) > 1)  # as of a unit that no layer predicts: none is the best
    best = np.where(np.isneginf(values).all(0) | even, -1, values.argmax(0))
    canvas = canvas_of(space)
    if canvas is None:
        return _units_by_layer(values, best, names, title)
    return _layer_map(canvas, best, names, alpha, named_regions(outlines, space), title)


def _layer_map(
    canvas: Canvas,
    best: np.ndarray,
    names: list[str],
    alpha: Tensor | None,
    outlines: Mapping[str, Tensor],
    title: str | None,
) -> Figure:
    width = min(6.2, 6.5 * canvas.aspect)
    height, above = width / canvas.aspect, 0.1 + 0.3 * (title is not None)
    figure = new_figure((width + 0.3, 0.8 + height + above))
    ax = add_axes(figure, (0.15, 0.8, width, height))
    colors = layer_colors(len(names))
    votes = canvas.vote(best)
    canvas.paint(ax, np.where((votes >= 0)[..., None], colors[votes], np.nan), alpha)
    for name, mask in outlines.items():
        canvas.border(mask).draw(ax, name)
    if title:
        ax.set_title(title, fontsize=10, color=INK)
    patches(add_axes(figure, (0.15 + 0.15 * width, 0.37, 0.7 * width, 0.15)), colors, names, "best layer")
    return figure


def _units_by_layer(values: np.ndarray, best: np.ndarray, names: list[str], title: str | None) -> Figure:
    """How many units each layer fits best, above every unit's scores relative to its best."""
    known = best >= 0
    top = values.max(0)
    order = np.flatnonzero(known)[np.lexsort((-top[known], best[known]))]
    gap = np.where(np.isneginf(values), np.nan, values - np.where(known, top, 0))[:, order].T  # (n_units, n_layers)
    n_units, n_layers = gap.shape
    width, tall = max(2.6, 0.42 * n_layers), 3.0
    figure = new_figure((width + 1.0, tall + 2.55 + 0.3 * (title is not None)))
    counts = np.bincount(best[known], minlength=n_layers)
    ax = add_axes(figure, (0.7, tall + 1.3, width, 0.9))
    ax.bar(np.arange(n_layers), counts, 0.8, color=layer_colors(n_layers))
    for place, count in enumerate(counts):
        ax.text(place, count, f"{count:,}", ha="center", va="bottom", fontsize=6.5, color=INK)
    ax.set_xlim(-0.5, n_layers - 0.5)
    ax.set_xticks([])
    plain(ax, "", "units")
    ax.set_title(f"best layer of {n_units:,} units", fontsize=8, color=INK, loc="left", pad=8)
    heat = add_axes(figure, (0.7, 1.2, width, tall))
    worst = gap[np.isfinite(gap).any(1)]
    lowest = min(-0.01, float(np.median(np.nanmin(worst, axis=1)))) if len(worst) else -1.0  # a typical unit's range
    shown = continuous_colors(gap, SEQUENTIAL, lowest, 0.0)
    shown = np.nan_to_num(shown, nan=1.0)
    if n_units > MOST_ROWS:  # neighbours averaged here, as matplotlib would blur across layers too
        edges = np.linspace(0, n_units, MOST_ROWS + 1).astype(int)[1:-1]
        shown = np.stack([rows.mean(0) for rows in np.split(shown, edges)])
    if n_units:
        heat.imshow(shown, extent=(-0.5, n_layers - 0.5, n_units, 0), aspect="auto", interpolation="nearest")
    plain(heat, "", "units, sorted by best layer")
    heat.set_xticks(range(n_layers), names, rotation=45, ha="right")
    bar = add_axes(figure, (0.7 + 0.15 * width, 0.36, 0.7 * width, 0.1))
    color_bar(bar, SEQUENTIAL, lowest, 0.0, "training score less the unit's best")
    if title:
        figure.text(0.5, 1 - 0.08 / figure.get_figheight(), title, ha="center", va="top", fontsize=10, color=INK)
    return figure


def joint_histogram(
    a: Tensor,
    b: Tensor,
    *,
    names: tuple[str, str] = ("a", "b"),
    score_name: str = "",
    bins: int | None = None,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of two models' scores voxel by voxel: brighter where more are, above the diagonal b wins.

    Fewer than 200 voxels are drawn as points, unless bins are asked for.

    Args:
        a, b: (n_voxels,) scores; voxels that are NaN in either are left out.
        names: of the models.
        score_name: what the scores are, at both axes.
        bins: cells along each axis; by default 20 to 60, more for more voxels.
        ax: axes to draw on; by default a new figure.
        title: text above, such as the subject.

    >>> import torch
    >>> figure = joint_histogram(torch.tensor([0.1, 0.2, 0.3]), torch.tensor([0.2, 0.3, 0.1]))
    >>> figure.axes[0].get_title(loc="left")
    'b better in 67 % of 3 voxels'
    """
    a, b = to_numpy(a), to_numpy(b)
    if a.shape != b.shape or a.ndim != 1:
        raise ValueError(f"scores must be two of (n_voxels,), got {a.shape} and {b.shape}.")
    known = np.isfinite(a) & np.isfinite(b)
    a, b = a[known], b[known]
    if not len(a):
        raise ValueError("no voxel has both scores.")
    low, high = min(0.0, a.min(), b.min()), max(a.max(), b.max())
    if ax is None:
        ax = add_axes(new_figure((3.8, 3.75 + 0.2 * (title is not None))), (0.65, 0.69, 2.96, 2.8))
    if bins is None and len(a) < FEW_VOXELS:
        margin = 0.03 * (high - low) or 0.5
        low, high = low - margin, high + margin  # a point on the edge would be cut in half
        ax.scatter(a, b, s=9, color=cluster_colors(8)[4], alpha=0.7, linewidths=0, zorder=3)
        ax.set_xlim(low, high)
        ax.set_ylim(low, high)
        ax.set_aspect("equal")
    else:
        bins = int(np.clip(2 * np.sqrt(len(a)), 20, 60)) if bins is None else bins
        edges = np.linspace(low, high + 1e-9 * (high - low) + 1e-12, bins + 1)
        counts = np.histogram2d(a, b, bins=[edges, edges])[0].T
        shown = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan)
        ax.imshow(shown, origin="lower", extent=(low, high, low, high), cmap="viridis", aspect="equal", vmin=0)
        text = f"brighter: more voxels in a cell, at most {int(counts.max()):,}"
        ax.annotate(
            text, (0, 0), (0, -40), xycoords="axes fraction", textcoords="offset points", fontsize=6, color=FAINT
        )
    ax.plot([low, high], [low, high], color=INK, linewidth=0.8)
    better = 100 * float((b > a).mean())
    text = f"{names[1]} better in {better:.0f} % of {len(a):,} voxels"
    ax.set_title(text, fontsize=7, color=INK, loc="left")
    if title:
        ax.annotate(
            title, (0, 1), (0, 18), xycoords="axes fraction", textcoords="offset points", fontsize=10, color=INK
        )
    plain(ax, *(f"{name}, {score_name}" if score_name else name for name in names))
    return ax.figure


def variance_split(
    parts: Mapping[str, Tensor],
    space: BrainSpace,
    *,
    ordered: bool = False,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of how R2 divides over feature spaces in each ROI: stacked bars of means, negative parts below zero.

    Args:
        parts: name -> (n_voxels,), what each space adds to the R2: shares of banded ridge, or parts of a partition.
        space: whose ROIs to show.
        ordered: whether the spaces have an order, as layers do, which the colors then follow from dark to light.
        ax: axes to draw on; by default a new figure.
        title: text above.

    Raises:
        ValueError: a part has another length than the space.

    >>> import torch
    >>> figure = variance_split({"a": torch.tensor([0.2, 0.4]), "b": torch.tensor([0.1, 0.1])}, BrainSpace.free(2))
    >>> [round(float(bar.get_height()), 2) for bar in figure.axes[0].patches]
    [0.3, 0.1]
    """
    values = {name: to_numpy(part) for name, part in parts.items()}
    for name, part in values.items():
        if part.shape != (space.n_voxels,):
            raise ValueError(f"{name} has shape {part.shape}, expected ({space.n_voxels},).")
    known = np.isfinite(np.stack(list(values.values()))).all(0)
    regions = {"all": known} | {name: mask.numpy() & known for name, mask in space.rois.items()}
    regions = {name: mask for name, mask in regions.items() if mask.any()}
    if ax is None:
        across = min(12.0, 0.5 * max(3, len(regions)))
        figure = new_figure((0.7 + across + 1.35, 3.0))
        ax = add_axes(figure, (0.7, 0.6, across, 2.05))
    means = np.array([[part[mask].mean() for mask in regions.values()] for part in values.values()])
    colors = layer_colors(len(values)) if ordered or len(values) > 8 else cluster_colors(8)
    for number, (name, heights) in enumerate(zip(values, means, strict=True)):
        before = means[:number]
        base = np.where(heights >= 0, np.where(before > 0, before, 0).sum(0), np.where(before < 0, before, 0).sum(0))
        ax.bar(np.arange(len(regions)), heights, 0.7, bottom=base, color=colors[number], label=name)
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", "R2")
    ax.set_xticks(range(len(regions)), [f"{name}\n{mask.sum():,}" for name, mask in regions.items()])
    ax.legend(
        fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03), labelcolor=INK, reverse=True
    )  # as the bars are stacked
    if title:
        ax.set_title(title, fontsize=10, color=INK, loc="left")
    return ax.figure


def _legend_above(ax: Axes, columns: int) -> Legend:
    return ax.legend(
        fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(-0.01, 0.98), ncols=columns, labelcolor=INK,
        borderaxespad=0.2,
    )  # fmt: skip


def _title_above(ax: Axes, title: str | None, legend: Legend | None) -> None:
    """A title that stands above the legend."""
    if title:
        rows = 0 if legend is None else -(-len(legend.get_texts()) // max(1, legend._ncols))
        ax.set_title(title, fontsize=10, color=INK, loc="left", pad=6 + 12.5 * rows)


def _method_label(row: Mapping) -> str:
    return f"best: {row['chosen_layer']}" if row["layer"] == "best" else str(row["method"])


def _finite(values: np.ndarray, regions: Mapping[str, np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """The place of each region that has known values, and these."""
    known = [values[mask & np.isfinite(values)] for mask in regions.values()]
    return [(place, some) for place, some in enumerate(known) if len(some)]
