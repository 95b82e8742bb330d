"""Pictures of RSA results: bars per ROI and model, layers by ROI, time courses, model time by brain time.

All read the tidy table of ``rsa.evaluate`` (or any DataFrame with its columns), draw what it says and compute nothing:
intervals are its ``low`` and ``high``, marks its ``p_corrected``, bands its noise ceilings. Models differ by hatch,
line and marker as well as by color, so that a figure survives grey print.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import FAINT, INK, SEQUENTIAL
from brainnet.plot._figure import LETTER, add_axes, color_bar, new_figure, plain
from brainnet.plot.geometry import MARKERS, _contrasting, _title

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "||||", "oo", "++++")
LINES = ("-", "--", ":", "-.")
CEILING = "0.88"
MOST_BRACKETS = 12
LEGEND_ROW = 0.16  # inches


def rsa_bars(
    evaluation: Any,
    *,
    differences: pd.DataFrame | None = None,
    alpha: float = 0.05,
    score_name: str | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of scores as bars, grouped by ROI, under their noise ceilings.

    A line on a bar is its interval, dots are subjects, an asterisk marks a corrected p below ``alpha``, a grey band
    spans the noise ceiling, and brackets join models that differ.

    Args:
        evaluation: an ``Evaluation``, or its table. Where a model has several layers, each is a bar.
        differences: the table of ``Evaluation.differences``; couples with corrected p below ``alpha`` get a bracket,
            the twelve clearest in each ROI.
        alpha: level of asterisks and brackets.
        score_name: label of the axis; by default the comparison's name.
        title: text above.

    Raises:
        ValueError: a table over time, or without the columns needed.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"roi": ["V1", "V1"], "model": ["a", "b"], "layer": "", "score": [0.3, 0.1]})
    >>> [float(bar.get_height()) for bar in rsa_bars(table).axes[0].patches]
    [0.3, 0.1]
    """
    table = _table_of(evaluation)
    _refuse_time(table, "rsa_bars", "rsa_time")
    bars = _bar_names(table)
    rois, keys = list(dict.fromkeys(table["roi"])), list(dict.fromkeys(bars))
    subjects = _subject_scores(evaluation)
    width = 0.84 / len(keys)
    inches = min(13.0, max(0.9 + len(rois) * (0.3 + 0.26 * len(keys)), 2.6))
    letters = max(len(roi) for roi in rois)
    # names (of 8 points) that would run into each other are slanted
    crowded = 8 / 7 * LETTER * (letters + 1) > (inches - 0.72) / len(rois)
    below = 0.42 + crowded * 0.5 * LETTER * letters
    figure = new_figure((inches + 0.1, 2.93 + below + (0.25 if title else 0)))
    if title:
        _title(figure, title)
    ax = add_axes(figure, (0.62, below, inches - 0.72, 2.45))
    colors = _contrasting(len(keys))
    tops = {}
    for place, roi in enumerate(rois):
        rows = table[table["roi"] == roi]
        _ceiling_band(ax, rows.iloc[0], place - 0.47, place + 0.47)
        for (_, row), key in zip(rows.iterrows(), bars[table["roi"] == roi], strict=True):
            number = keys.index(key)
            x = place + (number - (len(keys) - 1) / 2) * width
            ax.bar(
                x, row["score"], 0.9 * width, color=colors[number], edgecolor="white", hatch=HATCHES[number % 8],
                linewidth=0.0, label=None if place else key, zorder=2,
            )  # fmt: skip
            dots = subjects.get((roi, row["model"], row["layer"]), np.empty(0))
            if len(dots):
                jitter = (np.arange(len(dots)) / max(len(dots) - 1, 1) - 0.5) * 0.5 * width
                ax.plot(x + jitter, dots, "o", markersize=2.6, color="0.2", markeredgecolor="white",
                        markeredgewidth=0.4, zorder=3)  # fmt: skip
            top = _interval(ax, row, x)
            tops[place, number] = x, max([top, *dots], default=top)
    low, high = ax.get_ylim()
    step = 0.05 * (high - low)
    for (place, number), (x, top) in tops.items():
        row = table[(table["roi"] == rois[place]) & (bars == keys[number])].iloc[0]
        if _significant(row, alpha):
            ax.text(x, top + 0.1 * step, "*", ha="center", va="bottom", fontsize=9, color=INK)
            tops[place, number] = x, top + 1.2 * step
    if differences is not None:
        high = max(high, _brackets(ax, differences, rois, keys, tops, step, alpha))
    ax.axhline(0, color=FAINT, linewidth=0.6)
    ax.set(xlim=(-0.6, len(rois) - 0.4), ylim=(low, max(high, max(top for _, top in tops.values()) + 0.4 * step)))
    plain(ax, "", score_name or _score_name(table))
    ax.set_xticks(range(len(rois)), [roi or "brain" for roi in rois])
    if crowded:
        ax.set_xticks(ax.get_xticks(), ax.get_xticklabels(), rotation=30, ha="right", rotation_mode="anchor")
    ax.tick_params(axis="x", length=0, labelsize=8)
    _legend(ax, "noise ceiling" if "ceiling_upper" in table and table["ceiling_upper"].notna().any() else None)
    return figure


def rsa_layers(
    evaluation: Any, *, alpha: float = 0.05, columns: int = 4, score_name: str | None = None, title: str | None = None
) -> Figure:
    """A figure of scores over the layers of each model, one panel per ROI, with intervals and noise ceilings.

    Filled markers are significant at ``alpha`` (corrected), hollow ones are not.

    Args:
        evaluation: an ``Evaluation`` of models with layers, or its table; layers stay in its order.
        alpha: level.
        columns: panels in a row.
        score_name: label of the axis.
        title: text above.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"roi": "V1", "model": "net", "layer": ["1", "2"], "score": [0.1, 0.3]})
    >>> rsa_layers(table).axes[0].lines[1].get_ydata().tolist()
    [0.1, 0.3]
    """
    table = _table_of(evaluation)
    _refuse_time(table, "rsa_layers", "rsa_time")
    rois, models = (list(dict.fromkeys(table[name])) for name in ("roi", "model"))
    longest = max((table[table["model"] == model]["layer"].drop_duplicates().tolist() for model in models), key=len)
    figure, axes = _panels(len(rois), columns, (2.6, 1.9), title, foot=_names_foot(longest))
    colors = _contrasting(len(models))
    for ax, roi in zip(axes, rois, strict=True):
        rows = table[table["roi"] == roi]
        ax.axhline(0, color=FAINT, linewidth=0.6)
        for number, model in enumerate(models):
            some = rows[rows["model"] == model]
            # models of different depth share the axis from first to last layer
            x = np.linspace(0, len(longest) - 1, len(some)) if len(some) > 1 else np.array([0.0])
            _course(ax, x, some, colors[number], number, model, alpha, marked=True)
        _ceiling_band(ax, rows.iloc[0], -0.4, len(longest) - 0.6)
        ax.set_xlim(-0.4, len(longest) - 0.6)
        ax.set_title(roi, fontsize=8.5, color=INK, loc="left")
        plain(ax, "", "")
        every = max(1, int(np.ceil(len(longest) / 12)))
        same = all(len(rows[rows["model"] == model]) == len(longest) for model in models)
        names = [name if same else ("first" if i == 0 else "last" if i == len(longest) - 1 else "")
                 for i, name in enumerate(longest)]  # fmt: skip
        shown = range(0, len(longest), every) if same else [0, len(longest) - 1]
        ax.set_xticks(shown, [names[i] for i in shown], rotation=_rotation(longest))
    _finish(figure, axes, columns, score_name or _score_name(table), "layer", table, len(models))
    return figure


def rsa_time(
    evaluation: Any,
    *,
    alpha: float = 0.05,
    columns: int = 2,
    time_name: str = "time (s)",
    score_name: str | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of scores over time, one panel per ROI: intervals as bands, significance as bars below, grey ceilings.

    Args:
        evaluation: an ``Evaluation`` over time, or its table.
        alpha: level of the bars (corrected p).
        columns: panels in a row.
        time_name, score_name: labels of the axes.
        title: text above.

    Raises:
        ValueError: a table without times.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"roi": "V1", "model": "net", "layer": "", "time": [0.0, 0.1], "score": [0.1, 0.3]})
    >>> rsa_time(table).axes[0].lines[1].get_ydata().tolist()
    [0.1, 0.3]
    """
    table = _table_of(evaluation)
    if "time" not in table or table["time"].isna().all():
        raise ValueError("rsa_time draws scores over time, and this table has none; use rsa_bars or rsa_layers.")
    keys_of = _bar_names(table)
    rois, keys = list(dict.fromkeys(table["roi"])), list(dict.fromkeys(keys_of))
    columns = min(columns, len(rois))
    figure, axes = _panels(len(rois), columns, (3.9, 2.1), title, foot=0.45)
    colors = _contrasting(len(keys))
    for ax, roi in zip(axes, rois, strict=True):
        rows = table[table["roi"] == roi]
        times = np.array(sorted(rows["time"].unique()), dtype=float)
        ax.axhline(0, color=FAINT, linewidth=0.6)
        _ceiling_course(ax, rows)
        for number, key in enumerate(keys):
            some = rows[keys_of[rows.index] == key].sort_values("time")
            _course(ax, some["time"].to_numpy(float), some, colors[number], number, key, alpha, marked=False)
        _significance_bars(ax, rows, keys_of, keys, colors, times, alpha)
        if times[0] < 0 < times[-1]:
            ax.axvline(0, color=FAINT, linewidth=0.6, linestyle=":")
        ax.set_xlim(times[0], times[-1])
        ax.set_title(roi, fontsize=8.5, color=INK, loc="left")
        plain(ax, "", "")
    _finish(figure, axes, columns, score_name or _score_name(table), time_name, table, len(keys))
    return figure


def time_by_time(
    scores: Any,
    model_times: Sequence[float] | None = None,
    brain_times: Sequence[float] | None = None,
    *,
    significant: Any = None,
    model_name: str = "model time",
    brain_name: str = "brain time (s)",
    score_name: str = "similarity",
    title: str | None = None,
) -> Figure:
    """A figure of scores for every model time and brain time.

    Args:
        scores: (n_model_times, n_brain_times).
        model_times, brain_times: one per row and column; counted from 0 by default.
        significant: (n_model_times, n_brain_times) bool, outlined.
        model_name, brain_name, score_name: labels.
        title: text above.

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
    figure = new_figure((5.0, 3.3 + (0.25 if title else 0)))
    if title:
        _title(figure, title)
    ax = add_axes(figure, (0.62, 0.95, 4.2, 2.15))
    low, high = min(float(np.nanmin(scores)), 0.0), float(np.nanmax(scores))
    edges = [np.concatenate([[t[0] - s / 2], t + s / 2]) for t in (rows, columns) for s in [_spacing(t)]]
    ax.pcolormesh(edges[1], edges[0], scores, cmap=SEQUENTIAL, vmin=low, vmax=high, rasterized=True)
    if significant is not None:
        _outline_cells(ax, np.asarray(significant, dtype=bool), edges)
    if columns[0] < 0 < columns[-1]:
        ax.axvline(0, color="white", linewidth=0.8, linestyle=":")
    plain(ax, brain_name, model_name)
    bar = add_axes(figure, (0.62, 0.33, 1.8, 0.09))
    color_bar(bar, SEQUENTIAL, low, high, score_name)
    return figure


def rsa_parts(table: pd.DataFrame, *, alpha: float = 0.05, title: str | None = None) -> Figure:
    """A figure of how the R2 of an RDM regression divides: one stacked bar per ROI, parts below 0 under the line.

    A black line marks the total with its standard error; an asterisk in a unique part marks p below ``alpha``.

    Args:
        table: of ``RDMRegression.table()``, with a column "roi" where there are several.
        alpha: level of the asterisks (p as it stands in the table).
        title: text above.

    Raises:
        ValueError: a table without parts.

    >>> import pandas as pd
    >>> parts = {"part": ["total", "unique", "unique"], "sets": ["a + b", "a", "b"], "r2": [0.5, 0.3, 0.2]}
    >>> [float(bar.get_height()) for bar in rsa_parts(pd.DataFrame(parts)).axes[0].patches]
    [0.3, 0.2]
    """
    if not {"part", "sets", "r2"} <= set(getattr(table, "columns", ())):
        raise ValueError("expected the table of an RDMRegression, with the columns part, sets and r2.")
    table = table if "roi" in table else table.assign(roi="")
    rois = list(dict.fromkeys(table["roi"]))
    pieces = table[table["part"].isin(["unique", "shared"])]
    names = list(dict.fromkeys(zip(pieces["part"], pieces["sets"], strict=True)))
    across = max(1.6, 0.75 * len(rois))
    letters = max(len(sets) for _, sets in names) + 7
    figure = new_figure((0.75 + across + 0.35 + 0.075 * letters, 3.0 + (0.25 if title else 0)))
    if title:
        _title(figure, title)
    ax = add_axes(figure, (0.7, 0.4, across, 2.35))
    colors = _contrasting(len(names))
    for place, roi in enumerate(rois):
        rows = pieces[pieces["roi"] == roi].set_index(["part", "sets"])
        bottom = {True: 0.0, False: 0.0}
        for number, name in enumerate(names):
            row = rows.loc[name]
            height = float(row["r2"])
            base = bottom[height >= 0]
            ax.bar(place, height, 0.62, bottom=base, color=colors[number], hatch=HATCHES[number % 8], linewidth=0,
                   edgecolor="white", label=None if place else " ".join(name), zorder=2)  # fmt: skip
            bottom[height >= 0] += height
            if row.get("p", np.nan) < alpha:
                ax.text(place + 0.33, base + height / 2, "*", ha="left", va="center", fontsize=10, color=INK)
        total = table[(table["roi"] == roi) & (table["part"] == "total")].iloc[0]
        ax.plot([place - 0.4, place + 0.4], [total["r2"]] * 2, color="black", linewidth=1.4, zorder=4,
                label=None if place else "total")  # fmt: skip
        if np.isfinite(total.get("sem", np.nan)):
            ax.plot([place] * 2, [total["r2"] - total["sem"], total["r2"] + total["sem"]], color="black",
                    linewidth=1.0, zorder=4)  # fmt: skip
    ax.axhline(0, color=FAINT, linewidth=0.6)
    ax.set_xlim(-0.6, len(rois) - 0.4)
    plain(ax, "", "R2 on held-out conditions")
    ax.set_xticks(range(len(rois)), [roi or "brain" for roi in rois])
    ax.tick_params(axis="x", length=0, labelsize=8)
    ax.legend(fontsize=7, frameon=False, loc="upper left", bbox_to_anchor=(1.0, 1.03), labelcolor=INK, reverse=True)
    return figure


# ---- tables -------------------------------------------------------------------------------------------------------


def _table_of(evaluation: Any) -> pd.DataFrame:
    table = getattr(evaluation, "table", evaluation)
    missing = [name for name in ("roi", "model", "score") if name not in getattr(table, "columns", ())]
    if missing:
        raise ValueError(f"expected an Evaluation or its table, without {', '.join(missing)}: see rsa.evaluate().")
    table = table.reset_index(drop=True).copy()
    if "layer" not in table:
        table["layer"] = ""
    return table


def _refuse_time(table: pd.DataFrame, name: str, other: str) -> None:
    if "time" in table and table["time"].nunique() > 1:
        raise ValueError(f"{name} draws one score per ROI and model, but the table has several times; use {other}.")


def _bar_names(table: pd.DataFrame) -> Any:
    """(n_rows,) "model" where no model has several layers, else "model layer"."""
    if table.groupby("model")["layer"].nunique().max() == 1:
        return table["model"].astype(str)
    return (table["model"].astype(str) + " " + table["layer"].astype(str)).str.strip()


def _subject_scores(evaluation: Any) -> Mapping[tuple[str, str, str], np.ndarray]:
    if not hasattr(evaluation, "cells"):
        return {}
    return {
        (cell.roi, model, layer): cell.similarity[k].numpy()
        for cell in evaluation.cells
        for k, (model, layer) in enumerate(evaluation.models)
    }


def _score_name(table: pd.DataFrame) -> str:
    return f"{table.attrs['method']} similarity" if "method" in table.attrs else "score"


def _significant(row: Any, alpha: float) -> bool:
    return "p_corrected" in row and bool(row["p_corrected"] < alpha)


# ---- pieces -------------------------------------------------------------------------------------------------------


def _panels(
    count: int, columns: int, size: tuple[float, float], title: str | None, foot: float
) -> tuple[Figure, list[Axes]]:
    columns = min(count, columns)
    rows = -(-count // columns)
    cell = (size[0] + 0.42, size[1] + 0.28 + foot)
    head = 0.16 + (0.24 if title else 0)
    figure = new_figure((columns * cell[0] + 0.48, rows * cell[1] + head + 0.05))
    if title:
        _title(figure, title)
    axes = []
    for number in range(count):
        row, column = divmod(number, columns)
        box = (0.68 + column * cell[0], 0.05 + foot + (rows - 1 - row) * cell[1], *size)
        axes.append(add_axes(figure, box))
    return figure, axes


def _finish(
    figure: Figure, axes: list[Axes], columns: int, score_name: str, x_name: str, table: pd.DataFrame, n_keys: int
) -> None:
    """One vertical scale for all panels, labels on the outer ones, one legend above."""
    low, high = (pick(ax.get_ylim()[side] for ax in axes) for side, pick in ((0, min), (1, max)))
    for number, ax in enumerate(axes):
        ax.set_ylim(low, high)
        if number % columns == 0:
            ax.set_ylabel(score_name, fontsize=8, color=INK)
        if number >= len(axes) - columns:
            ax.set_xlabel(x_name, fontsize=8, color=INK)
    ceiling = "ceiling_upper" in table and table["ceiling_upper"].notna().any()
    if n_keys > 1 or ceiling:
        _legend(axes[0], "noise ceiling" if ceiling else None, raised=True)


def _legend(ax: Axes, ceiling: str | None, raised: bool = False) -> None:
    from matplotlib.patches import Patch

    handles = ax.get_legend_handles_labels()[0]
    handles = [handle for handle in handles if str(handle.get_label())]
    if ceiling:
        handles.append(Patch(color=CEILING, label=ceiling))
    if not handles:
        return
    width = ax.get_position().width * ax.figure.get_figwidth() if not raised else ax.figure.get_figwidth() - 0.8
    letters = max(len(str(handle.get_label())) for handle in handles)
    columns = max(1, int(width / (0.42 + 0.065 * letters)))
    if raised:
        _grow(ax.figure, LEGEND_ROW * (-(-len(handles) // columns) - 1))
    ax.legend(
        handles=handles, fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.1 if raised else 1.0),
        ncols=columns, borderaxespad=0.1, handlelength=1.8, labelcolor=INK, columnspacing=1.2,
    )  # fmt: skip


def _grow(figure: Figure, inches: float) -> None:
    """Adds room at the top; axes keep their place and size in inches, titles their distance from the top."""
    old = figure.get_figheight()
    share = old / (old + inches)
    figure.set_figheight(old + inches)
    for ax in figure.axes:
        left, bottom, width, height = ax.get_position().bounds
        ax.set_position((left, bottom * share, width, height * share))
    for text in figure.texts:
        text.set_y(1 - (1 - text.get_position()[1]) * share)


def _ceiling_band(ax: Axes, row: Any, left: float, right: float) -> None:
    """The noise ceiling as a grey box, no thinner than a line."""
    if "ceiling_upper" not in row or not np.isfinite(row["ceiling_upper"]):
        return
    low, high = row["ceiling_lower"], row["ceiling_upper"]
    ax.fill_between([left, right], [low] * 2, [high] * 2, color=CEILING, linewidth=0.8, zorder=0.5)


def _ceiling_course(ax: Axes, rows: pd.DataFrame) -> None:
    if "ceiling_upper" not in rows or rows["ceiling_upper"].isna().all():
        return
    course = rows.drop_duplicates("time").sort_values("time")
    times, low, high = (course[name].to_numpy(float) for name in ("time", "ceiling_lower", "ceiling_upper"))
    ax.fill_between(times, low, high, color=CEILING, linewidth=0, zorder=0.5)


def _interval(ax: Axes, row: Any, x: float) -> float:
    """Draws the interval of a bar; returns how high bar and interval reach."""
    if "low" not in row or not np.isfinite(row["low"]):
        return max(float(row["score"]), 0.0)
    ax.plot([x, x], [row["low"], row["high"]], color="0.1", linewidth=1.0, solid_capstyle="butt", zorder=4)
    return max(float(row["score"]), float(row["high"]), 0.0)


def _course(
    ax: Axes, x: np.ndarray, rows: pd.DataFrame, color: np.ndarray, number: int, name: str, alpha: float, marked: bool
) -> None:
    """One line with its interval; with markers, hollow where not significant."""
    score = rows["score"].to_numpy(float)
    if "low" in rows and rows["low"].notna().any():
        low, high = (rows[side].to_numpy(float) for side in ("low", "high"))
        ax.fill_between(x, low, high, color=color, alpha=0.18, linewidth=0, zorder=1)
    style = LINES[number % len(LINES)]
    marker = MARKERS[number % len(MARKERS)] if marked else None
    ax.plot(x, score, style, color=color, linewidth=1.4, marker=marker, markersize=4, label=name, zorder=3,
            markeredgewidth=0.9)  # fmt: skip
    if marked and "p_corrected" in rows:
        hollow = ~(rows["p_corrected"].to_numpy(float) < alpha)
        ax.plot(x[hollow], score[hollow], linestyle="", marker=marker, markersize=4, markerfacecolor="white",
                markeredgecolor=color, markeredgewidth=0.9, zorder=4)  # fmt: skip


def _significance_bars(
    ax: Axes, rows: pd.DataFrame, keys_of: Any, keys: list[str], colors: np.ndarray, times: np.ndarray, alpha: float
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
            ax.plot([time - step / 2, time + step / 2], [y, y], color=colors[number], linewidth=2.4,
                    solid_capstyle="butt", zorder=3)  # fmt: skip
    ax.set_ylim(low - (len(keys) + 0.4) * lane, high)


def _brackets(
    ax: Axes, differences: pd.DataFrame, rois: list[str], keys: list[str], tops: dict, step: float, alpha: float
) -> float:
    """Brackets over couples that differ, short ones low; returns how high they reach."""
    reached = -np.inf
    clear = differences[differences["p_corrected"] < alpha]
    for place, roi in enumerate(rois):
        rows = clear[clear["roi"] == roi].nsmallest(MOST_BRACKETS, "p_corrected")
        couples = []
        for _, row in rows.iterrows():
            models = [row[f"model_{side}"] for side in "ab"]
            layered = [f"{row[f'model_{side}']} {row[f'layer_{side}']}".strip() for side in "ab"]
            couples.append(sorted(keys.index(name) for name in (models if set(models) <= set(keys) else layered)))
        level_of = {number: top for (where, number), (_, top) in tops.items() if where == place}
        for first, second in sorted(couples, key=lambda pair: (pair[1] - pair[0], pair)):
            between = range(first, second + 1)
            y = max(level_of[i] for i in between if i in level_of) + 0.7 * step
            left, right = (tops[place, i][0] for i in (first, second))
            inset = 0.06 * (tops[place, second][0] - tops[place, first][0]) / max(second - first, 1)
            ax.plot([left + inset, left + inset, right - inset, right - inset], [y - 0.3 * step, y, y, y - 0.3 * step],
                    color=INK, linewidth=0.7, clip_on=False)  # fmt: skip
            for i in between:
                level_of[i] = y
            reached = max(reached, y + 0.5 * step)
    return reached


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


def _rotation(names: Sequence[str]) -> int:
    return 0 if sum(len(name) + 2 for name in names) <= 34 else 90


def _names_foot(names: Sequence[str]) -> float:
    """Inches that the names of layers need below the axis."""
    return 0.45 if _rotation(names) == 0 else 0.35 + 0.055 * max(map(len, names), default=0)
