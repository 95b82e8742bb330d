"""Time series in pictures: when voxels answer, how much each delay counts, predictions beside responses, runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._canvas import to_numpy
from brainnet.plot._colors import FAINT, INK, contrasting_colors
from brainnet.plot._figure import add_axes, legend_above, new_figure, note_below, plain, title_above
from brainnet.plot._text import label, labels, labels_within
from brainnet.plot.brain.surface import flatmap, slices
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LATENCY_COLORS = "viridis"
FEWEST_COLUMNS, MOST_COLUMNS = 3.4, 9.0  # inches


def latency(
    delay: Any,
    delays: Sequence[int],
    space: BrainSpace,
    *,
    tr: float = 1.0,
    alpha: Any = None,
    title: str | None = None,
) -> Figure:
    """A figure of the mean delay of each voxel: a map where voxels have a place on a brain, else their distribution.

    Args:
        delay: (n_voxels, n_delays) how much each voxel reads each delay, see
            :class:`brainnet.model.DelayedFactorTopy`. Rows need not sum to 1; negative numbers count by their size.
        delays: in volumes.
        space: where the voxels are.
        tr: seconds from one volume to the next; 1 leaves the axis in volumes.
        alpha: (n_voxels,) opacity, for instance of the score: a voxel that nothing predicts has no latency. Where
            there is no map, voxels of less than 1 are counted apart.
        title: text above.

    Raises:
        ValueError: other numbers of voxels or delays.

    >>> latency(np.eye(3), [1, 2, 3], BrainSpace.free(3), tr=2.0).axes[0].get_xlabel()
    'latency (s)'
    """
    values = mean_delay(delay, delays) * tr
    if len(values) != space.n_voxels:
        raise ValueError(f"delay is of {len(values)} voxels, and the space of {space.n_voxels}.")
    name = "latency (s)" if tr != 1 else "latency (volumes)"
    low, high = min(delays) * tr, max(delays) * tr
    if space.mesh is not None or space.mask is not None:
        draw = flatmap if space.mesh is not None else slices
        import torch

        return draw(
            torch.from_numpy(values), space, cmap=LATENCY_COLORS, vmin=low, vmax=high, alpha=alpha, title=title,
            label=name,
        )  # fmt: skip
    figure = new_figure((3.6, 2.4))
    ax = add_axes(figure, (0.6, 0.5, 2.85, 1.75))
    opaque = np.ones(len(values), bool) if alpha is None else to_numpy(alpha) >= 1
    parts = [values[part & np.isfinite(values)] for part in (opaque, ~opaque)]
    ax.hist(parts, np.linspace(low, high, 21), stacked=True, color=[contrasting_colors(1)[0], FAINT])
    ax.yaxis.get_major_locator().set_params(integer=True)
    plain(ax, name, "voxels")
    title_above(figure, title)
    note_below(figure, "" if opaque.all() else "Gray: voxels with a low score, whose latency means little")
    return figure


def mean_delay(delay: Any, delays: Sequence[int]) -> np.ndarray:
    """(n_voxels,) the mean delay in volumes, NaN of a voxel that reads none.

    >>> mean_delay([[0.5, 0.5], [0.0, 2.0]], [1, 3]).tolist()
    [2.0, 3.0]
    """
    weights = np.abs(np.asarray(to_numpy(delay), dtype=float))
    if weights.ndim != 2 or weights.shape[1] != len(delays):
        raise ValueError(f"delay must be (n_voxels, {len(delays)}), a column for each delay, got {weights.shape}.")
    total = weights.sum(1)
    return np.divide(weights @ np.asarray(delays, float), total, out=np.full(len(total), np.nan), where=total > 0)


def delay_weights(
    weights: Mapping[str, Any],
    delays: Sequence[int],
    *,
    tr: float = 1.0,
    name: str = "weight",
    title: str | None = None,
) -> Figure:
    """A figure of how much each delay counts, a line for each group of voxels: the response to a short event.

    Args:
        weights: name -> (n_voxels, n_delays) of the voxels of a region, or (n_delays,) of one voxel; read are shares
            of delays, or the size of a ridge's weights at each delay (:meth:`brainnet.series.Delayer.by_delay`).
        delays: in volumes.
        tr: seconds from one volume to the next; 1 leaves the axis in volumes.
        name: of the weights, with their unit.
        title: text above.

    Bands are the standard error over voxels.

    >>> delay_weights({"A1": [[0.1, 0.7, 0.2]]}, [1, 2, 3], tr=2.0).axes[0].lines[1].get_ydata().tolist()
    [0.1, 0.7, 0.2]
    """
    if not weights:
        raise ValueError("weights name no group of voxels.")
    figure = new_figure((FEWEST_COLUMNS, 2.3))
    ax = add_axes(figure, (0.65, 0.5, 2.6, 1.75))
    order = np.argsort(delays)
    x = np.asarray(delays, float)[order] * tr
    ax.axhline(0, color=FAINT, linewidth=0.6)
    marks, bands = [], False
    for (group, values), color in zip(weights.items(), contrasting_colors(len(weights)), strict=True):
        values = np.atleast_2d(np.asarray(to_numpy(values), dtype=float))
        if values.shape[1] != len(delays):
            raise ValueError(f"{group!r} has {values.shape[1]} columns, and there are {len(delays)} delays.")
        values = values[:, order]
        mean = np.nanmean(values, axis=0)
        marks.append((ax.plot(x, mean, color=color, marker="o", markersize=3, linewidth=1.3)[0], group))
        if len(values) > 1:
            error = np.nanstd(values, axis=0, ddof=1) / np.sqrt(len(values))
            ax.fill_between(x, mean - error, mean + error, color=color, alpha=0.2, linewidth=0)
            bands = True
    ax.set_xticks(x)
    plain(ax, "delay (s)" if tr != 1 else "delay (volumes)", name)
    if any(weights):
        legend_above(ax, list(zip([mark for mark, _ in marks], labels([g for _, g in marks]), strict=True)))
    title_above(figure, title)
    note_below(figure, "Bands: standard error over voxels" if bands else "")
    return figure


def predicted_course(
    prediction: Any, response: Any, *, tr: float | None = None, start: float = 0.0, ceiling: float | None = None,
    voxel: str = "", unit: str = "", title: str | None = None,
) -> Figure:  # fmt: skip
    """A figure of what was predicted of a voxel beside what was measured, over one run.

    Args:
        prediction, response: (n_times,) of one voxel in one run, in the units of the response. Both are drawn as they
            are: a prediction is smaller than its response wherever there is noise.
        tr: seconds from one volume to the next; None counts volumes.
        start: seconds at which the first volume begins, or its number.
        ceiling: estimate of the r of a perfect model, written beside the r, which can be larger.
        voxel: its name.
        unit: of the response, such as "SD".
        title: text above.

    >>> predicted_course([0.0, 1.0, 0.5], [0.1, 0.9, 0.7], tr=2.0).axes[0].lines[2].get_xdata().tolist()
    [0.0, 2.0, 4.0]
    """
    p, y = (np.asarray(to_numpy(x), dtype=float).reshape(-1) for x in (prediction, response))
    if p.shape != y.shape or len(p) < 2:
        raise ValueError(f"prediction and response must be of the same two volumes or more, got {len(p)} and {len(y)}.")
    seconds = start + np.arange(len(p)) * (1 if tr is None else tr)
    figure = new_figure((min(MOST_COLUMNS, max(FEWEST_COLUMNS + 1, 1.2 + len(p) * 0.03)), 1.95))
    ax = add_axes(figure, (0.65, 0.5, figure.get_figwidth() - 0.8, 1.4))
    ax.axhline(0, color=FAINT, linewidth=0.6)
    measured = ax.plot(seconds, y, color=FAINT, linewidth=1.0)[0]
    predicted = ax.plot(seconds, p, color=contrasting_colors(1)[0], linewidth=1.4)[0]
    ax.set_xlim(seconds[0], seconds[-1])
    known = np.isfinite(p) & np.isfinite(y)
    spread = p[known].std() * y[known].std() if known.sum() > 1 else 0.0
    r = ((p[known] - p[known].mean()) * (y[known] - y[known].mean())).mean() / spread if spread > 0 else np.nan
    plain(ax, "volume" if tr is None else "time (s)", f"response ({unit})" if unit else "response")
    said = f"predicted, r = {r:.2f}" + ("" if ceiling is None else f" (noise ceiling {ceiling:.2f})")
    legend_above(ax, [(measured, label(f"measured{f' in {voxel}' if voxel else ''}", 40)), (predicted, said)])
    title_above(figure, title)
    return figure


def scores_over_runs(
    scores: Mapping[str, Mapping[str, Any]], *, score_name: str = "r", title: str | None = None
) -> Figure:
    """A figure of the score of every run that was left out, a line for each model: whether one run carries the result.

    Args:
        scores: model -> run -> a score, or (n_voxels,) scores, of which the mean is drawn.
        score_name: name of the axis.
        title: text above.

    Raises:
        ValueError: models that were scored on other runs.

    >>> scores_over_runs({"words": {"r1": 0.1, "r2": 0.3}}).axes[0].lines[1].get_ydata().tolist()
    [0.1, 0.3]
    """
    runs = list(next(iter(scores.values()), {}))
    if not runs:
        raise ValueError("scores name no run.")
    for model, by_run in scores.items():
        if list(by_run) != runs:
            raise ValueError(f"{model!r} was scored on the runs {list(by_run)}, others on {runs}.")
    figure = new_figure((min(MOST_COLUMNS, max(FEWEST_COLUMNS, 1.0 + 0.35 * len(runs))), 2.3))
    slanted = len(runs) > 4
    bottom = 0.75 if slanted else 0.4  # of names below
    ax = add_axes(figure, (0.65, bottom, figure.get_figwidth() - 0.8, 2.25 - bottom))
    ax.axhline(0, color=FAINT, linewidth=0.6)
    marks = []
    for (model, by_run), color in zip(scores.items(), contrasting_colors(len(scores)), strict=True):
        mean = [float(np.nanmean(np.asarray(to_numpy(value), dtype=float))) for value in by_run.values()]
        marks.append((ax.plot(range(len(runs)), mean, color=color, marker="o", markersize=4, linewidth=0.8)[0], model))
        ax.axhline(float(np.nanmean(mean)), color=color, linewidth=0.8, linestyle=":")
    ax.set_xlim(-0.5, len(runs) - 0.5)
    inches = 0.9 if slanted else ax.get_position().width * figure.get_figwidth() / len(runs) - 0.05
    texts = labels_within(runs, 7, inches)
    ax.set_xticks(range(len(runs)), texts, rotation=45 if slanted else 0, ha="right" if slanted else "center",
                  fontsize=7, color=INK)  # fmt: skip
    plain(ax, "", score_name)
    if len(scores) > 1:
        legend_above(ax, list(zip([mark for mark, _ in marks], labels([m for _, m in marks]), strict=True)))
    title_above(figure, title)
    note_below(figure, "Dotted: mean over runs")
    return figure
