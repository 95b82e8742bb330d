"""RSA results as bars: scores per ROI and model, and how the R2 of an RDM regression divides."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from brainnet.plot._colors import FAINT, INK, contrasting_colors
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
from brainnet.plot._marks import (
    HATCHES,
    bar_names,
    ceiling_band,
    ceiling_entry,
    has_intervals,
    interval_name_of,
    refuse_time,
    score_name_of,
    significance_name_of,
    table_of,
    tests,
)
from brainnet.plot._tables import today
from brainnet.plot._text import labels

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MOST_BRACKETS = 12


class _Bar(NamedTuple):
    """One bar: the middle of it, how high it and its marks reach, and its row of the table."""

    x: float
    top: float
    row: Any


def rsa_bars(
    evaluation: Any,
    *,
    differences: pd.DataFrame | None = None,
    alpha: float = 0.05,
    score_name: str | None = None,
    interval_name: str | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of scores as bars, grouped by ROI, under their noise ceilings.

    A line on a bar is its interval, dots are subjects, an asterisk marks a corrected p below ``alpha``, a gray band
    spans the noise ceiling, and brackets join models that differ; a note below says so.

    Args:
        evaluation: an ``Evaluation``, or its table. Where a model has several layers, each is a bar.
        differences: the table of ``Evaluation.differences``; couples with corrected p below ``alpha`` get a bracket,
            the twelve clearest in each ROI.
        alpha: level of asterisks and brackets.
        score_name: name of the axis; by default the comparison's name.
        interval_name: what ``low`` and ``high`` are; by default the interval of the table's level.
        title: text above.

    Raises:
        ValueError: a table over time, or without the columns needed.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"roi": ["V1", "V1"], "model": ["a", "b"], "layer": "", "score": [0.3, 0.1]})
    >>> [float(bar.get_height()) for bar in rsa_bars(table).axes[0].patches]
    [0.3, 0.1]
    """
    table = table_of(evaluation)
    refuse_time(table, "rsa_bars", "rsa_time")
    names = bar_names(table)
    rois, keys = list(dict.fromkeys(table["roi"])), list(dict.fromkeys(names))
    inches = min(12.3, max(len(rois) * (0.3 + 0.26 * len(keys)), 1.8))
    ax = add_axes(new_figure((0.62 + inches + EDGE, 2.6)), (0.62, 0.1, inches, 2.45))
    subjects = _subject_scores(evaluation)
    bars = {}
    for place, roi in enumerate(rois):
        rows = table[table["roi"] == roi]
        ceiling_band(ax, rows.iloc[0], place - 0.47, place + 0.47)
        for (_, row), key in zip(rows.iterrows(), names[table["roi"] == roi], strict=True):
            bars[place, keys.index(key)] = _bar(ax, row, place, keys.index(key), len(keys), subjects)
    low, high = ax.get_ylim()
    step = 0.05 * (high - low)
    bars = {where: _star(ax, bar, step, alpha) for where, bar in bars.items()}
    if differences is not None:
        differences = today(differences)
        high = max(high, _brackets(ax, differences, rois, keys, bars, step, alpha))
    ax.axhline(0, color=FAINT, linewidth=0.6)
    tops = [bar.top for bar in bars.values() if np.isfinite(bar.top)]
    ax.set(xlim=(-0.6, len(rois) - 0.4), ylim=(low, max([high, *(top + 0.4 * step for top in tops)])))
    plain(ax, "", score_name or score_name_of(table))
    ax.tick_params(axis="x", length=0)
    name_columns(ax, range(len(rois)), labels(roi or "brain" for roi in rois), 8)
    legend_above(ax, _bar_entries(keys) + ceiling_entry(table))
    title_above(ax.figure, title)
    brackets = differences is not None and (differences["p_corrected"] < alpha).any()
    note_below(
        ax.figure,
        f"Line: {interval_name_of(table, interval_name)}" if has_intervals(table) else "",
        "Dots: subjects" if any(map(len, subjects.values())) else "",
        f"*:\xa0{significance_name_of(table, alpha)}" if tests(table) else "",
        f"Bracket: the models differ, {significance_name_of(differences, alpha)}" if brackets else "",
    )
    return ax.figure


def _bar(ax: Axes, row: Any, place: int, number: int, count: int, subjects: Mapping) -> _Bar:
    """Draws the bar of a row, its interval and its subjects."""
    width = 0.84 / count
    x = place + (number - (count - 1) / 2) * width
    score = float(row["score"])
    ax.bar(
        x, score, 0.9 * width, color=contrasting_colors(count)[number], edgecolor="white",
        hatch=HATCHES[number % len(HATCHES)], linewidth=0.0, zorder=2,
    )  # fmt: skip
    reached = [0.0, score]
    dots = subjects.get((row["roi"], row["model"], row["layer"]), np.empty(0))
    if len(dots):
        jitter = (np.arange(len(dots)) / max(len(dots) - 1, 1) - 0.5) * 0.5 * width
        ax.plot(x + jitter, dots, "o", markersize=2.6, color="0.2", markeredgecolor="white", markeredgewidth=0.4,
                zorder=3)  # fmt: skip
        reached += list(dots)
    if "low" in row and np.isfinite([row["low"], row["high"]]).all():
        ax.plot([x, x], [row["low"], row["high"]], color="0.1", linewidth=1.0, solid_capstyle="butt", zorder=4)
        reached.append(float(row["high"]))
    return _Bar(x, max(value for value in reached if np.isfinite(value)), row)


def _star(ax: Axes, bar: _Bar, step: float, alpha: float) -> _Bar:
    """An asterisk above a bar that is significant; the bar with the room this takes."""
    if not ("p_corrected" in bar.row and bar.row["p_corrected"] < alpha):
        return bar
    ax.text(bar.x, bar.top + 0.1 * step, "*", ha="center", va="bottom", fontsize=9, color=INK)
    return bar._replace(top=bar.top + 1.2 * step)


def _bar_entries(keys: list[str]) -> list[tuple[Any, str]]:
    from matplotlib.patches import Patch

    return [
        (Patch(facecolor=color, edgecolor="white", hatch=HATCHES[number % len(HATCHES)], linewidth=0), text)
        for number, (color, text) in enumerate(zip(contrasting_colors(len(keys)), labels(keys), strict=True))
    ]


def _subject_scores(evaluation: Any) -> Mapping[tuple[str, str, str], np.ndarray]:
    if not hasattr(evaluation, "cells"):
        return {}
    return {
        (cell.roi, model, layer): cell.scores[k].numpy()
        for cell in evaluation.cells
        for k, (model, layer) in enumerate(evaluation.models)
    }


def _brackets(
    ax: Axes, differences: pd.DataFrame, rois: list[str], keys: list[str], bars: Mapping[tuple[int, int], _Bar],
    step: float, alpha: float,
) -> float:  # fmt: skip
    """Brackets over couples that differ, short ones low; returns how high they reach."""
    reached = -np.inf
    clear = differences[differences["p_corrected"] < alpha]
    for place, roi in enumerate(rois):
        rows = clear[clear["roi"] == roi].nsmallest(MOST_BRACKETS, "p_corrected")
        level_of = {number: bar.top for (where, number), bar in bars.items() if where == place}
        for first, second in sorted(_couples(rows, keys), key=lambda pair: (pair[1] - pair[0], pair)):
            between = range(first, second + 1)
            y = max(level_of[i] for i in between if i in level_of) + 0.7 * step
            left, right = (bars[place, i].x for i in (first, second))
            inset = 0.06 * (right - left) / max(second - first, 1)
            ax.plot([left + inset, left + inset, right - inset, right - inset], [y - 0.3 * step, y, y, y - 0.3 * step],
                    color=INK, linewidth=0.7, clip_on=False)  # fmt: skip
            level_of |= dict.fromkeys(between, y)
            reached = max(reached, y + 0.5 * step)
    return reached


def _couples(rows: pd.DataFrame, keys: list[str]) -> list[list[int]]:
    """The two bars that each row compares, by number; rows carry models, or models with layers."""
    couples = []
    for _, row in rows.iterrows():
        models = [row[f"model_{side}"] for side in "ab"]
        layered = [f"{row[f'model_{side}']} {row[f'layer_{side}']}".strip() for side in "ab"]
        couples.append(sorted(keys.index(name) for name in (models if set(models) <= set(keys) else layered)))
    return couples


def rsa_parts(table: pd.DataFrame, *, alpha: float = 0.05, title: str | None = None) -> Figure:
    """A figure of how the R2 of an RDM regression divides: one stacked bar per ROI, parts below 0 under the line.

    A black line marks the total with its standard error; an asterisk beside a unique part above 0 marks p below
    ``alpha``.

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
    table = today(table)
    table = table if "roi" in table else table.assign(roi="")
    rois = list(dict.fromkeys(table["roi"]))
    pieces = table[table["part"].isin(["unique", "shared"])]
    names = list(dict.fromkeys(zip(pieces["part"], pieces["sets"], strict=True)))
    across = min(12.0, max(1.6, 0.75 * len(rois)))
    ax = add_axes(new_figure((0.7 + across + EDGE, 2.5)), (0.7, 0.1, across, 2.35))
    for place, roi in enumerate(rois):
        _stack(ax, pieces[pieces["roi"] == roi].set_index(["part", "sets"]), place, names, alpha)
        total = table[(table["roi"] == roi) & (table["part"] == "total")].iloc[0]
        (line,) = ax.plot([place - 0.4, place + 0.4], [total["r2"]] * 2, color="black", linewidth=1.4, zorder=4)
        if np.isfinite(total.get("sem", np.nan)):
            ax.plot([place] * 2, [total["r2"] - total["sem"], total["r2"] + total["sem"]], color="black",
                    linewidth=1.0, zorder=4)  # fmt: skip
    ax.axhline(0, color=FAINT, linewidth=0.6)
    ax.set_xlim(-0.6, len(rois) - 0.4)
    plain(ax, "", "R2 on held-out conditions")
    ax.tick_params(axis="x", length=0)
    name_columns(ax, range(len(rois)), labels(roi or "brain" for roi in rois), 8)
    stacked = _bar_entries([" ".join(name) for name in names])[::-1]  # as the bars are
    legend_beside(ax, [(line, "total"), *stacked])
    title_above(ax.figure, title)
    note_below(
        ax.figure,
        "Vertical line: standard error of the total" if "sem" in table and table["sem"].notna().any() else "",
        f"*:\xa0unique part above 0, p\xa0<\xa0{alpha:g}" if "p" in table and table["p"].notna().any() else "",
    )
    return ax.figure


def _stack(ax: Axes, rows: pd.DataFrame, place: int, names: list[tuple[str, str]], alpha: float) -> None:
    """The parts of one ROI on both sides of 0, with their asterisks."""
    reached = {True: 0.0, False: 0.0}
    colors = contrasting_colors(len(names))
    for number, name in enumerate(names):
        if name not in rows.index:
            continue
        row = rows.loc[name]
        height = float(row["r2"])
        base = reached[height >= 0]
        ax.bar(place, height, 0.62, bottom=base, color=colors[number], hatch=HATCHES[number % len(HATCHES)],
               linewidth=0, edgecolor="white", zorder=2)  # fmt: skip
        reached[height >= 0] += height
        if row.get("p", np.nan) < alpha and height > 0:
            ax.text(place + 0.33, base + height / 2, "*", ha="left", va="center", fontsize=10, color=INK)
