"""RSA results in order: scores over the layers of a network, over time, and model time by brain time."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, contrasting_colors
from brainnet.plot._figure import (
    add_axes,
    color_bar,
    grow,
    legend_above,
    name_columns,
    new_figure,
    note_below,
    plain,
    title_above,
)
from brainnet.plot._marks import (
    LINES,
    bar_names,
    ceiling_band,
    ceiling_course,
    ceiling_entry,
    has_intervals,
    interval_name_of,
    refuse_time,
    score_name_of,
    significance_name_of,
    table_of,
    tests,
)
from brainnet.plot._pictures import MARKERS
from brainnet.plot._text import LINE, labels, labels_within, widest

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BANDS = 3  # intervals that can lie on each other; more are lines at the points of layers, and none over time
MOST_NAMES = 12  # layers named in a panel


def rsa_layers(
    evaluation: Any,
    *,
    alpha: float = 0.05,
    columns: int = 4,
    ordered: bool = True,
    score_name: str | None = None,
    interval_name: str | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of scores over the layers of each model, one panel per ROI, with intervals and noise ceilings.

    Filled markers are significant at ``alpha`` (corrected), hollow ones are not.

    Args:
        evaluation: an ``Evaluation`` of models with layers, or its table; layers stay in its order.
        alpha: level.
        columns: panels in a row.
        ordered: whether the layers are depths of a network; feature spaces without an order are not joined by lines.
        score_name: name of the axis.
        interval_name: what ``low`` and ``high`` are; by default the interval of the table's level.
        title: text above.

    Raises:
        ValueError: a table over time, or without the columns needed.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"roi": "V1", "model": "net", "layer": ["1", "2"], "score": [0.1, 0.3]})
    >>> rsa_layers(table).axes[0].lines[1].get_ydata().tolist()
    [0.1, 0.3]
    """
    table = table_of(evaluation)
    refuse_time(table, "rsa_layers", "rsa_time")
    rois, models = (list(dict.fromkeys(table[name])) for name in ("roi", "model"))
    longest = max((table[table["model"] == model]["layer"].drop_duplicates().tolist() for model in models), key=len)
    places, names = _named_layers(table, rois, models, longest)
    figure, axes = _panels(rois, columns, (2.6, 1.9), foot=_foot(names, 2.6 / len(longest)))
    bands = ordered and len(models) <= MOST_BANDS
    for ax, roi in zip(axes, rois, strict=True):
        rows = table[table["roi"] == roi]
        ax.axhline(0, color=FAINT, linewidth=0.6)
        for number, model in enumerate(models):
            some = rows[rows["model"] == model]
            # models of different depth share the axis from first to last layer
            x = np.linspace(0, len(longest) - 1, len(some)) if len(some) > 1 else np.array([0.0])
            x = x if bands else x + 0.4 * ((number + 0.5) / len(models) - 0.5)
            _course(ax, x, some, number, len(models), LINES[number % len(LINES)] if ordered else "", bands)
            _markers(ax, x, some, number, len(models), alpha)
        ceiling_band(ax, rows.iloc[0], -0.4, len(longest) - 0.6)
        ax.set_xlim(-0.4, len(longest) - 0.6)
        plain(ax, "", "")
        name_columns(ax, places, names, own=False)
    entries = _entries(labels(models), LINES if ordered else ("",), MARKERS) if any(models) else []
    _finish(figure, axes, columns, score_name or score_name_of(table), "layer", entries + ceiling_entry(table))
    title_above(figure, title)
    note_below(
        figure,
        f"{'Bands' if bands else 'Vertical lines'}: {interval_name_of(table, interval_name)}"
        if has_intervals(table) else "",
        f"Filled: {significance_name_of(table, alpha)}; hollow: not" if tests(table) else "",
    )  # fmt: skip
    return figure


def rsa_time(
    evaluation: Any,
    *,
    alpha: float = 0.05,
    columns: int = 2,
    time_name: str = "time (s)",
    score_name: str | None = None,
    interval_name: str | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of scores over time, one panel per ROI: intervals as bands, significance as bars below, gray ceilings.

    The intervals of more than three courses would cover each other, and are left out.

    Args:
        evaluation: an ``Evaluation`` over time, or its table.
        alpha: level of the bars (corrected p).
        columns: panels in a row.
        time_name: name of the time axis, with its unit.
        score_name: name of the score axis.
        interval_name: what ``low`` and ``high`` are; by default the interval of the table's level.
        title: text above.

    Raises:
        ValueError: a table without times.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"roi": "V1", "model": "net", "layer": "", "time": [0.0, 0.1], "score": [0.1, 0.3]})
    >>> rsa_time(table).axes[0].lines[1].get_ydata().tolist()
    [0.1, 0.3]
    """
    table = table_of(evaluation)
    if "time" not in table or table["time"].isna().all():
        raise ValueError("rsa_time draws scores over time, and this table has none; use rsa_bars or rsa_layers.")
    keys_of = bar_names(table)
    rois, keys = list(dict.fromkeys(table["roi"])), list(dict.fromkeys(keys_of))
    columns = min(columns, len(rois))
    figure, axes = _panels(rois, columns, (3.9, 2.1), foot=0.3)
    bands = len(keys) <= MOST_BANDS
    for ax, roi in zip(axes, rois, strict=True):
        rows = table[table["roi"] == roi]
        times = np.array(sorted(rows["time"].unique()), dtype=float)
        ax.axhline(0, color=FAINT, linewidth=0.6)
        ceiling_course(ax, rows)
        for number, key in enumerate(keys):
            some = rows[keys_of[rows.index] == key].sort_values("time")
            some = some if bands else some.drop(columns=["low", "high"], errors="ignore")
            _course(ax, some["time"].to_numpy(float), some, number, len(keys), LINES[number % len(LINES)], True)
        _significance_bars(ax, rows, keys_of, keys, times, alpha)
        if times[0] < 0 < times[-1]:
            ax.axvline(0, color=FAINT, linewidth=0.6, linestyle=":")
        if len(times) > 1:
            ax.set_xlim(times[0], times[-1])
        plain(ax, "", "")
    shown = bands and has_intervals(table)
    entries = _entries(labels(keys), LINES, ("",)) if any(keys) else []
    _finish(figure, axes, columns, score_name or score_name_of(table), time_name, entries + ceiling_entry(table))
    title_above(figure, title)
    note_below(
        figure,
        f"Bands: {interval_name_of(table, interval_name)}" if shown else "",
        "Intervals are left out, as those of so many courses cover each other"
        if has_intervals(table) and not shown
        else "",
        f"Bars below: {significance_name_of(table, alpha)}" if tests(table) else "",
    )
    return figure


def time_by_time(
    scores: Any,
    model_times: Sequence[float] | None = None,
    brain_times: Sequence[float] | None = None,
    *,
    significant: Any = None,
    model_name: str = "model time (steps)",
    brain_name: str = "brain time (s)",
    score_name: str = "similarity",
    title: str | None = None,
) -> Figure:
    """A figure of scores for every model time and brain time.

    Args:
        scores: (n_model_times, n_brain_times).
        model_times, brain_times: one per row and column; counted from 0 by default.
        significant: (n_model_times, n_brain_times) bool, outlined.
        model_name, brain_name, score_name: names of the axes, with their units, and of the colors.
        title: text above.

    Raises:
        ValueError: scores without rows and columns, or another number of times.

    >>> import torch
    >>> time_by_time(torch.rand(3, 5)).axes[0].get_xlabel()
    'brain time (s)'
    """
    scores = np.asarray(scores, dtype=float)
    if scores.ndim != 2:
        raise ValueError(f"scores must be (n_model_times, n_brain_times), got {scores.shape}.")
    rows, columns = (
        np.arange(n, dtype=float) if times is None else np.asarray(times, dtype=float)
        for times, n in zip((model_times, brain_times), scores.shape, strict=True)
    )
    if (len(rows), len(columns)) != scores.shape:
        raise ValueError(f"scores {scores.shape} need one time a row and a column, got {len(rows)} and {len(columns)}.")
    figure = new_figure((5.0, 3.2))
    ax = add_axes(figure, (0.62, 0.95, 4.2, 2.15))
    known = scores[np.isfinite(scores)]
    low, high = (min(float(known.min()), 0.0), float(known.max())) if len(known) else (0.0, 1.0)
    edges = [np.concatenate([[t[0] - s / 2], t + s / 2]) for t in (rows, columns) for s in [_spacing(t)]]
    ax.pcolormesh(edges[1], edges[0], scores, cmap=SEQUENTIAL, vmin=low, vmax=high, rasterized=True)
    if significant is not None:
        _outline_cells(ax, np.asarray(significant, dtype=bool), edges)
    if columns[0] < 0 < columns[-1]:
        ax.axvline(0, color="white", linewidth=0.8, linestyle=":")
    for axis, times in ((ax.yaxis, model_times), (ax.xaxis, brain_times)):
        if times is None:  # counted
            axis.get_major_locator().set_params(integer=True)
    plain(ax, brain_name, model_name)
    bar = add_axes(figure, (0.62, 0.33, 1.8, 0.09))
    color_bar(bar, SEQUENTIAL, low, high, score_name)
    title_above(figure, title)
    note_below(figure, "Black outline: significant" if significant is not None else "")
    return figure


# ---------------------------------------------------------------------- panels


def _panels(rois: Sequence[str], columns: int, size: tuple[float, float], foot: float) -> tuple[Figure, list[Axes]]:
    """Axes of one size for each ROI, named, with ``foot`` inches below each for its ticks."""
    columns = min(len(rois), columns)
    rows = -(-len(rois) // columns)
    cell = (size[0] + 0.42, size[1] + 0.28 + foot)
    figure = new_figure((columns * cell[0] + 0.48, rows * cell[1] + 0.05))
    axes = []
    for number, text in enumerate(labels_within(rois, 8.5, size[0] + 0.3, 60)):
        row, column = divmod(number, columns)
        ax = add_axes(figure, (0.68 + column * cell[0], 0.05 + foot + (rows - 1 - row) * cell[1], *size))
        ax.set_title(text, fontsize=8.5, color=INK, loc="left")
        axes.append(ax)
    return figure, axes


def _finish(
    figure: Figure, axes: list[Axes], columns: int, score_name: str, x_name: str, entries: list[tuple[Any, str]]
) -> None:
    """One vertical scale for all panels, names of axes on the outer ones, one legend above."""
    low, high = (pick(ax.get_ylim()[side] for ax in axes) for side, pick in ((0, min), (1, max)))
    for number, ax in enumerate(axes):
        ax.set_ylim(low, high)
        named = ax.get_xlabel(), ax.get_ylabel()
        plain(
            ax,
            x_name if number >= len(axes) - columns else named[0],
            score_name if number % columns == 0 else named[1],
        )
    grow(figure, bottom=0.17)
    legend_above(axes[0], entries, raised=0.2)


def _entries(texts: Sequence[str], lines: Sequence[str], markers: Sequence[str]) -> list[tuple[Any, str]]:
    from matplotlib.lines import Line2D

    return [
        (Line2D([], [], color=color, linestyle=lines[number % len(lines)], marker=markers[number % len(markers)],
                linewidth=1.4, markersize=4), text)
        for number, (color, text) in enumerate(zip(contrasting_colors(len(texts)), texts, strict=True))
    ]  # fmt: skip


def _named_layers(
    table: pd.DataFrame, rois: list[str], models: list[str], longest: list[str]
) -> tuple[list[int], list[str]]:
    """Places and names of layers along the axis: first and last alone where models differ in their number."""
    counts = table.groupby(["roi", "model"], sort=False).size()
    if (counts == len(longest)).all() and len(counts) == len(rois) * len(models):
        places = list(range(0, len(longest), max(1, -(-len(longest) // MOST_NAMES))))
        texts = labels(longest, 20)
        return places, [texts[place] for place in places]
    return ([0, len(longest) - 1], ["first", "last"]) if len(longest) > 1 else ([0], ["first"])


def _foot(names: Sequence[str], step: float) -> float:
    """Inches that names of layers take below a panel."""
    level = widest(names, 7) + 0.06 <= step or len(names) == 1
    return 0.2 if level else widest(names, 7) + 7 * LINE + 0.05


# ---------------------------------------------------------------------- marks


def _course(ax: Axes, x: np.ndarray, rows: pd.DataFrame, number: int, count: int, style: str, bands: bool) -> None:
    """One line with its interval: a band, or a line at each point."""
    color = contrasting_colors(count)[number]
    if has_intervals(rows):
        low, high = (rows[side].to_numpy(float) for side in ("low", "high"))
        if bands:
            ax.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0, zorder=1)
        else:
            ax.vlines(x, low, high, color=color, linewidth=0.8, zorder=1)
    ax.plot(x, rows["score"].to_numpy(float), linestyle=style, color=color, linewidth=1.4, zorder=3)


def _markers(ax: Axes, x: np.ndarray, rows: pd.DataFrame, number: int, count: int, alpha: float) -> None:
    """Markers on a course, hollow where it is not significant."""
    score, color = rows["score"].to_numpy(float), contrasting_colors(count)[number]
    style = {"linestyle": "", "marker": MARKERS[number % len(MARKERS)], "markersize": 4, "markeredgewidth": 0.9}
    hollow = np.zeros(len(score), dtype=bool)
    if "p_corrected" in rows:
        hollow = ~(rows["p_corrected"].to_numpy(float) < alpha)
    ax.plot(x[~hollow], score[~hollow], color=color, zorder=4, **style)
    ax.plot(x[hollow], score[hollow], markerfacecolor="white", markeredgecolor=color, zorder=4, **style)


def _significance_bars(
    ax: Axes, rows: pd.DataFrame, keys_of: pd.Series, keys: list[str], times: np.ndarray, alpha: float
) -> None:
    """One lane below the courses for each model, filled where its corrected p is below alpha."""
    if "p_corrected" not in rows:
        return
    low, high = ax.get_ylim()
    lane, step = 0.045 * (high - low), _spacing(times)
    for number, key in enumerate(keys):
        some = rows[keys_of[rows.index] == key]
        y = low - (number + 0.5) * lane
        for time in some["time"][some["p_corrected"] < alpha]:
            ax.plot([time - step / 2, time + step / 2], [y, y], color=contrasting_colors(len(keys))[number],
                    linewidth=2.4, solid_capstyle="butt", zorder=3)  # fmt: skip
    ax.set_ylim(low - (len(keys) + 0.4) * lane, high)


def _outline_cells(ax: Axes, mask: np.ndarray, edges: list[np.ndarray]) -> None:
    """Borders between cells that are significant and those that are not."""
    from matplotlib.collections import LineCollection

    padded = np.pad(mask, 1)
    rows, columns = edges
    horizontal = [
        [(columns[j], rows[i]), (columns[j + 1], rows[i])]
        for i, j in np.argwhere(padded[1:, 1:-1] != padded[:-1, 1:-1])
    ]
    vertical = [
        [(columns[j], rows[i]), (columns[j], rows[i + 1])]
        for i, j in np.argwhere(padded[1:-1, 1:] != padded[1:-1, :-1])
    ]
    ax.add_collection(LineCollection(horizontal + vertical, colors="black", linewidths=0.9, zorder=3))


def _spacing(times: np.ndarray) -> float:
    return float(np.median(np.diff(times))) if len(times) > 1 else 1.0
