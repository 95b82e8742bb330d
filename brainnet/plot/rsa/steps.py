"""Model time by brain time in lines: the score of the best step over time, and the similarity over lags."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import FAINT, contrasting_colors
from brainnet.plot._figure import add_axes, legend_above, new_figure, note_below, plain, title_above
from brainnet.plot._text import labels

if TYPE_CHECKING:
    from matplotlib.figure import Figure

WIDTH = 4.4  # inches


def best_steps(
    table: Any, *, alpha: float = 0.05, time_name: str = "time (s)", score_name: str = "similarity",
    title: str | None = None,
) -> Figure:  # fmt: skip
    """A figure of the score of the best model step at every brain time, and below it which step that is.

    Args:
        table: of :meth:`brainnet.rsa.ModelTimeRSA.table`: time, score, layer, step; sem and p_max where they are
            known.
        alpha: level; steps of times that are significant are filled.
        time_name, score_name: names of the axes, with their units.
        title: text above.

    Raises:
        ValueError: a table without these columns.

    >>> import pandas as pd
    >>> table = pd.DataFrame({"time": [0.0, 0.1], "score": [0.0, 0.3], "layer": "net", "step": [1, 0]})
    >>> best_steps(table).axes[1].lines[0].get_ydata().tolist()
    [1, 0]
    """
    missing = [name for name in ("time", "score", "layer", "step") if name not in table]
    if missing:
        raise ValueError(f"the table has no column {missing[0]!r}; expected that of ModelTimeRSA.table().")
    table = table.sort_values("time")
    times, score = table["time"].to_numpy(float), table["score"].to_numpy(float)
    figure = new_figure((WIDTH + 0.85, 3.3))
    top = add_axes(figure, (0.7, 1.65, WIDTH, 1.5))
    below = add_axes(figure, (0.7, 0.5, WIDTH, 0.95))
    top.axhline(0, color=FAINT, linewidth=0.6)
    sem = table["sem"].to_numpy(float) if "sem" in table else np.full(len(table), np.nan)
    banded = bool(np.isfinite(sem).any())
    if banded:
        top.fill_between(times, score - sem, score + sem, color=FAINT, alpha=0.35, linewidth=0)
    top.plot(times, score, color="black", linewidth=1.4)
    tested = "p_max" in table and bool(table["p_max"].notna().any())
    sure = table["p_max"].to_numpy(float) < alpha if tested else np.ones(len(table), dtype=bool)
    layers = list(dict.fromkeys(table["layer"]))
    marks = []
    for layer, color in zip(layers, contrasting_colors(len(layers)), strict=True):
        own = (table["layer"] == layer).to_numpy()
        style = {"linestyle": "", "marker": "o", "markersize": 4, "markeredgewidth": 0.9, "color": color}
        steps = table["step"].to_numpy()
        marks.append(below.plot(times[own & sure], steps[own & sure], **style)[0])
        below.plot(times[own & ~sure], steps[own & ~sure], **{**style, "markerfacecolor": "white"})
    for ax in (top, below):
        if times[0] < 0 < times[-1]:
            ax.axvline(0, color=FAINT, linewidth=0.6, linestyle=":")
        if len(times) > 1:
            margin = (times[-1] - times[0]) / 40
            ax.set_xlim(times[0] - margin, times[-1] + margin)
    top.tick_params(labelbottom=False)
    below.set_ylim(-0.5, max(float(table["step"].max()), 0.0) + 0.5)
    below.yaxis.get_major_locator().set_params(integer=True)
    plain(top, "", score_name)
    plain(below, time_name, "best step")
    if len(layers) > 1:
        legend_above(top, list(zip(marks, labels(layers), strict=True)))
    title_above(figure, title)
    note_below(
        figure,
        "Band: standard error over subjects" if banded else "",
        f"Filled: p < {alpha:g}, corrected over times; hollow: not" if tested else "",
    )
    return figure


def lags(table: Any, *, score_name: str = "similarity", title: str | None = None) -> Figure:
    """A figure of the similarity of model and brain over the time that the brain is behind, a line for each model.

    Args:
        table: of :func:`brainnet.rsa.by_lag`: lag in seconds and similarity; with a column "layer" a line for each.
        score_name: name of the axis.
        title: text above.

    A dot marks the lag of the highest similarity, among those of many pairs where the table has their number ``n``:
    lags at both ends are means of few pairs, and vary more.

    >>> import pandas as pd
    >>> lags(pd.DataFrame({"lag": [0.0, 0.5], "similarity": [0.1, 0.4]})).axes[0].get_xlabel()
    'lag (s): brain time minus model time'
    """
    by_layer = dict(list(table.groupby("layer", sort=False))) if "layer" in table else {"": table}
    figure = new_figure((WIDTH + 0.85, 2.6))
    ax = add_axes(figure, (0.7, 0.5, WIDTH, 1.9))
    ax.axhline(0, color=FAINT, linewidth=0.6)
    ax.axvline(0, color=FAINT, linewidth=0.6, linestyle=":")
    marks = []
    for some, color in zip(by_layer.values(), contrasting_colors(len(by_layer)), strict=True):
        some = some.sort_values("lag")
        marks.append(ax.plot(some["lag"], some["similarity"], color=color, linewidth=1.4)[0])
        often = some[some["n"] >= some["n"].max() / 2] if "n" in some else some
        if often["similarity"].notna().any():
            best = often.loc[often["similarity"].idxmax()]
            ax.plot([best["lag"]], [best["similarity"]], color=color, marker="o", markersize=4, linestyle="")
    plain(ax, "lag (s): brain time minus model time", score_name)
    if len(by_layer) > 1:
        legend_above(ax, list(zip(marks, labels(list(by_layer)), strict=True)))
    title_above(figure, title)
    return figure
