"""Encoding scores in pictures: by region with their ceiling, by layer, of two models, and split over spaces."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._canvas import to_numpy
from brainnet.plot._colours import FAINT, INK, cluster_colours, layer_colours
from brainnet.plot._figure import new_figure, plain
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from pandas import DataFrame
    from torch import Tensor


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
    NaN are left out of bar and ceiling alike.

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
        figure = new_figure((min(14.0, 1.6 + 0.28 * len(regions) * (len(models) + 1)), 3.0))
        ax = figure.add_axes((0.62 / figure.get_figwidth(), 0.24, 1 - 0.8 / figure.get_figwidth(), 0.64))
    width = 0.8 / len(models)
    colours = np.roll(cluster_colours(max(len(models), 8)), 4, axis=0)  # blue and orange first
    for number, (name, values) in enumerate(models.items()):
        for place, known in _finite(values, regions):
            x = place - 0.4 + (number + 0.5) * width
            label = name if name and not place else None
            ax.bar(x, known.mean(), width=0.92 * width, color=colours[number], label=label)
            ax.plot([x, x], np.percentile(known, [25, 75]), color=INK, linewidth=0.8)
    for place, known in _finite(ceiling, regions) if ceiling is not None else ():
        label = None if place else "mean noise ceiling"
        ax.plot([place - 0.45, place + 0.45], [known.mean()] * 2, color=INK, linewidth=1.2, linestyle=":", label=label)
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", score_name)
    names = [f"{name}\n{mask.sum():,}" for name, mask in regions.items()]
    ax.set_xticks(range(len(regions)), names, rotation=0 if len(regions) <= 16 else 90)
    ax.set_xlim(-0.6, len(regions) - 0.4)
    if ceiling is not None or any(models):
        ax.legend(fontsize=7, frameon=False, loc="lower right", bbox_to_anchor=(1, 0.98), ncols=4, labelcolor=INK)
    if title:
        ax.set_title(title, fontsize=10, color=INK, loc="left")
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
    """A figure of the mean score by layer, a line per ROI with its 95 % interval, controls dashed.

    Methods that read every layer at once, and the layer chosen on training images, stand to the right as points.

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
    for column in ("model", "subject"):
        if rows[column].nunique() > 1:
            raise ValueError(f"the table holds several {column}s, {sorted(set(rows[column]))}: choose the rows of one.")
    single = rows[~rows["layer"].isin(["best", "all"])]
    names = list(dict.fromkeys(single["layer"]))
    others = rows[rows["layer"].isin(["best", "all"]) & (rows["control"] == "")]
    labels = list(dict.fromkeys(_method_label(row) for _, row in others.iterrows()))
    if ax is None:
        figure = new_figure((min(14.0, 2.2 + 0.5 * (len(names) + len(labels))), 3.2))
        ax = figure.add_axes((0.7 / figure.get_figwidth(), 0.27, 1 - 0.9 / figure.get_figwidth(), 0.54))
    colours = np.roll(cluster_colours(max(len(rois), 8)), 4, axis=0)
    for number, roi in enumerate(rois):
        for (method, control), line in single[single["roi"] == roi].groupby(["method", "control"], sort=False):
            x = [names.index(layer) for layer in line["layer"]]
            label = " ".join(filter(None, [roi, method if single["method"].nunique() > 1 else "", control]))
            style = "--" if control else "-"
            ax.plot(x, line["mean"], style, color=colours[number], linewidth=1.4, marker="o", markersize=3, label=label)
            ax.fill_between(x, line["lower"], line["upper"], color=colours[number], alpha=0.18, linewidth=0)
        for _, row in others[others["roi"] == roi].iterrows():
            x = len(names) + 0.4 + labels.index(_method_label(row)) + 0.12 * number
            ax.plot([x, x], [row["lower"], row["upper"]], color=colours[number], linewidth=1.0)
            ax.plot([x], [row["mean"]], "D", color=colours[number], markersize=4)
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", f"mean {score}")
    ticks = [*range(len(names)), *(len(names) + 0.4 + place for place in range(len(labels)))]
    ax.set_xticks(ticks, [*names, *labels], rotation=30, ha="right")
    ax.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=4, labelcolor=INK)
    if title:
        ax.set_title(title, fontsize=10, color=INK, loc="left", pad=20)  # above the legend
    return ax.figure


def joint_histogram(
    a: Tensor, b: Tensor, *, names: tuple[str, str] = ("a", "b"), bins: int = 60, ax: Axes | None = None
) -> Figure:
    """A figure of two models' scores voxel by voxel: brighter where more are, above the diagonal b wins.

    Args:
        a, b: (n_voxels,) scores; voxels that are NaN in either are left out.
        names: of the models.
        bins: cells along each axis.
        ax: axes to draw on; by default a new figure.

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
    edges = np.linspace(low, high + 1e-9 * (high - low) + 1e-12, bins + 1)
    counts = np.histogram2d(a, b, bins=[edges, edges])[0].T
    if ax is None:
        ax = new_figure((3.8, 3.6)).add_axes((0.17, 0.15, 0.78, 0.78))
    shown = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan)
    ax.imshow(shown, origin="lower", extent=(low, high, low, high), cmap="viridis", aspect="equal", vmin=0)
    ax.plot([low, high], [low, high], color=INK, linewidth=0.8)
    better = 100 * float((b > a).mean())
    text = f"{names[1]} better in {better:.0f} % of {len(a):,} voxels"
    ax.set_title(text, fontsize=7, color=INK, loc="left")
    plain(ax, names[0], names[1])
    return ax.figure


def variance_split(
    parts: Mapping[str, Tensor],
    space: BrainSpace,
    *,
    ax: Axes | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of how R2 divides over feature spaces in each ROI: stacked bars of means, negative parts below zero.

    Args:
        parts: name -> (n_voxels,), what each space adds to the R2: shares of banded ridge, or parts of a partition.
        space: whose ROIs to show.
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
        figure = new_figure((min(14.0, 1.8 + 0.5 * max(3, len(regions))), 3.2))
        ax = figure.add_axes((0.7 / figure.get_figwidth(), 0.2, 1 - 0.9 / figure.get_figwidth(), 0.58))
    means = np.array([[part[mask].mean() for mask in regions.values()] for part in values.values()])
    colours = layer_colours(len(values)) if len(values) > 8 else cluster_colours(8)
    for number, (name, heights) in enumerate(zip(values, means, strict=True)):
        before = means[:number]
        base = np.where(heights >= 0, np.where(before > 0, before, 0).sum(0), np.where(before < 0, before, 0).sum(0))
        ax.bar(np.arange(len(regions)), heights, 0.7, bottom=base, color=colours[number], label=name)
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", "R2")
    ax.set_xticks(range(len(regions)), [f"{name}\n{mask.sum():,}" for name, mask in regions.items()])
    ax.legend(fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 0.98), ncols=4, labelcolor=INK)
    if title:
        ax.set_title(title, fontsize=10, color=INK, loc="left", pad=20)  # above the legend
    return ax.figure


def _method_label(row: Mapping) -> str:
    return f"best: {row['chosen_layer']}" if row["layer"] == "best" else str(row["method"])


def _finite(values: np.ndarray, regions: Mapping[str, np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """The place of each region that has known values, and these."""
    known = [values[mask & np.isfinite(values)] for mask in regions.values()]
    return [(place, some) for place, some in enumerate(known) if len(some)]
