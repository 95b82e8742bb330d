"""Encoding scores in pictures: by ROI beside their ceiling, two models voxel by voxel, how R2 divides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._canvas import to_numpy
from brainnet.plot._colors import FAINT, INK, contrasting_colors, layer_colors
from brainnet.plot._figure import (
    EDGE,
    add_axes,
    legend_above,
    legend_beside,
    name_columns,
    new_figure,
    note_below,
    plain,
    title_above,
)
from brainnet.plot._text import label, labels
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

FEW_VOXELS = 200  # fewer are points: a histogram of them is mostly cells of one
Intervals = Mapping[str, tuple[float, float]]  # ROI -> (low, high)


def scores(
    values: Tensor | Mapping[str, Tensor],
    space: BrainSpace,
    *,
    noise_ceiling: Tensor | None = None,
    intervals: Intervals | Mapping[str, Intervals] | None = None,
    interval_name: str = "95 % interval of the mean",
    ax: Axes | None = None,
    score_name: str = "r",
    title: str | None = None,
) -> Figure:
    """A figure of the mean score in each ROI and over all voxels, as bars beside their noise ceiling.

    Voxels that are NaN are left out of bar and ceiling alike; below each ROI stands how many have a score.

    Args:
        values: (n_voxels,) scores, or model name -> (n_voxels,) for a bar each.
        space: whose ROIs to show.
        noise_ceiling: (n_voxels,) on the scale of the scores.
        intervals: ROI -> (low, high), or model name -> ROI -> (low, high), drawn as lines on the bars; the ROI of all
            voxels is "all". They are the caller's, since voxels of one brain are no independent samples: resample
            images, as the table of ``encode`` does. Without them bars have no lines.
        interval_name: what the intervals are.
        ax: axes to draw on; by default a new figure.
        score_name: name of the axis.
        title: text above.

    Raises:
        ValueError: scores or ceiling have another length than the space.

    >>> import torch
    >>> figure = scores(torch.tensor([0.2, 0.6]), BrainSpace.free(2, {"V1": torch.tensor([True, False])}))
    >>> [round(float(bar.get_height()), 2) for bar in figure.axes[0].patches]
    [0.4, 0.2]
    """
    from matplotlib.lines import Line2D

    models = dict(values) if isinstance(values, Mapping) else {"": values}
    models = {name: to_numpy(some) for name, some in models.items()}
    ceiling = None if noise_ceiling is None else to_numpy(noise_ceiling)
    _check_lengths(models | ({} if ceiling is None else {"noise_ceiling": ceiling}), space)
    intervals = intervals or {}
    if not all(isinstance(some, Mapping) for some in intervals.values()):
        intervals = {"": intervals}
    regions = {"all": np.ones(space.n_voxels, dtype=bool)} | {name: mask.numpy() for name, mask in space.rois.items()}
    regions = {name: mask for name, mask in regions.items() if mask.any()}
    own = ax is None
    if own:
        across = min(13.2, max(2.6, 0.8 + 0.28 * len(regions) * (len(models) + 1)))
        ax = add_axes(new_figure((0.62 + across + EDGE, 2.16)), (0.62, 0.1, across, 2.0))
    entries = _score_bars(ax, models, regions, intervals)
    for place, known in _finite(ceiling, regions) if ceiling is not None else ():
        ax.plot([place - 0.45, place + 0.45], [known.mean()] * 2, color=INK, linewidth=1.2, linestyle=":")
    if ceiling is not None:
        entries.append((Line2D([], [], color=INK, linewidth=1.2, linestyle=":"), "mean noise ceiling"))
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", score_name)
    ax.set_xlim(-0.6, len(regions) - 0.4)
    scored = np.isfinite(list(models.values())).any(0)
    counts = [(mask & scored).sum() for mask in regions.values()]
    names = [f"{name}\n{count:,}" for name, count in zip(labels(regions), counts, strict=True)]
    name_columns(ax, range(len(regions)), names, own=own)
    legend_above(ax, entries, own)
    _finish(ax, own, title, f"Line on a bar: {label(interval_name, 120)}" if any(intervals.values()) else "")
    return ax.figure


def _score_bars(
    ax: Axes,
    models: Mapping[str, np.ndarray],
    regions: Mapping[str, np.ndarray],
    intervals: Mapping[str, Intervals],
) -> list[tuple[object, str]]:
    """A bar for each model and ROI, and its interval; returns what the legend says of them."""
    from matplotlib.patches import Patch

    width = 0.8 / max(len(models), 1)
    colors = contrasting_colors(len(models))
    rois = list(regions)
    for number, (name, values) in enumerate(models.items()):
        for place, known in _finite(values, regions):
            x = place - 0.4 + (number + 0.5) * width
            ax.bar(x, known.mean(), width=0.92 * width, color=colors[number])
            ends = intervals.get(name, {}).get(rois[place])
            if ends is not None and np.isfinite(ends).all():
                ax.plot([x, x], ends, color="white", linewidth=2.2, solid_capstyle="butt")  # else lost on a dark bar
                ax.plot([x, x], ends, color="0.1", linewidth=1.0, solid_capstyle="butt")
    names = labels(models)
    return [(Patch(color=colors[number]), text) for number, text in enumerate(names) if text]


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
    own = ax is None
    if own:
        ax = add_axes(new_figure((3.8, 3.65)), (0.72, 0.55, 2.8, 2.8))
    note = ""
    if bins is None and len(a) < FEW_VOXELS:
        margin = 0.03 * (high - low) or 0.5
        low, high = low - margin, high + margin  # a point on the edge would be cut in half
        ax.scatter(a, b, s=9, color=contrasting_colors(1)[0], alpha=0.7, linewidths=0, zorder=3)
        ax.set(xlim=(low, high), ylim=(low, high), aspect="equal")
    else:
        bins = int(np.clip(2 * np.sqrt(len(a)), 20, 60)) if bins is None else bins
        edges = np.linspace(low, high + 1e-9 * (high - low) + 1e-12, bins + 1)
        counts = np.histogram2d(a, b, bins=[edges, edges])[0].T
        shown = np.where(counts > 0, np.log10(np.maximum(counts, 1)), np.nan)
        ax.imshow(shown, origin="lower", extent=(low, high, low, high), cmap="viridis", aspect="equal", vmin=0)
        note = f"Brighter: more voxels in a cell, at most {int(counts.max()):,}"
    ax.plot([low, high], [low, high], color=INK, linewidth=0.8)
    second = labels(names)[1]
    better = 100 * float((b > a).mean())
    ax.set_title(f"{second} better in {better:.0f} % of {len(a):,} voxels", fontsize=7, color=INK, loc="left")
    plain(ax, *(f"{name}, {score_name}" if score_name else name for name in names))
    _finish(ax, own, title, note)
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
    _check_lengths(values, space)
    known = np.isfinite(np.stack(list(values.values()))).all(0)
    regions = {"all": known} | {name: mask.numpy() & known for name, mask in space.rois.items()}
    regions = {name: mask for name, mask in regions.items() if mask.any()}
    own = ax is None
    if own:
        across = min(12.0, 0.5 * max(3, len(regions)))
        ax = add_axes(new_figure((0.7 + across + EDGE, 2.2)), (0.7, 0.1, across, 2.05))
    means = np.array([[part[mask].mean() for mask in regions.values()] for part in values.values()])
    colors = layer_colors(len(values)) if ordered else contrasting_colors(len(values))
    entries = []
    for number, (name, heights) in enumerate(zip(labels(values), means, strict=True)):
        before = means[:number]
        base = np.where(heights >= 0, np.where(before > 0, before, 0).sum(0), np.where(before < 0, before, 0).sum(0))
        bars = ax.bar(np.arange(len(regions)), heights, 0.7, bottom=base, color=colors[number])
        entries.insert(0, (bars, name))  # as the bars are stacked
    ax.axhline(0, color=FAINT, linewidth=0.6)
    plain(ax, "", "R2")
    ax.set_xlim(-0.6, max(len(regions), 1) - 0.4)
    counts = [mask.sum() for mask in regions.values()]
    names = [f"{name}\n{count:,}" for name, count in zip(labels(regions), counts, strict=True)]
    name_columns(ax, range(len(regions)), names, own=own)
    legend_beside(ax, entries, own)
    _finish(ax, own, title, "" if regions else "No voxel has all parts")
    return ax.figure


def _finish(ax: Axes, own: bool, title: str | None, *notes: str) -> None:
    """Title and notes: of the whole figure where it is ours, else above the axes."""
    if own:
        title_above(ax.figure, title)
        note_below(ax.figure, *notes)
    elif title:
        ax.annotate(
            label(title, 80), (0, 1), (0, 18), xycoords="axes fraction", textcoords="offset points", fontsize=10,
            color=INK,
        )  # fmt: skip


def _check_lengths(values: Mapping[str, np.ndarray], space: BrainSpace) -> None:
    for name, some in values.items():
        if some.shape != (space.n_voxels,):
            raise ValueError(f"{name or 'scores'} has shape {some.shape}, expected ({space.n_voxels},).")


def _finite(values: np.ndarray, regions: Mapping[str, np.ndarray]) -> list[tuple[int, np.ndarray]]:
    """The place of each region that has known values, and these."""
    known = [values[mask & np.isfinite(values)] for mask in regions.values()]
    return [(place, some) for place, some in enumerate(known) if len(some)]
