"""Many networks beside each other: ranked in each region, as a matrix of regions, and against a property."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, contrasting_colors
from brainnet.plot._figure import (
    add_axes,
    color_bar,
    legend_beside,
    name_columns,
    name_rows,
    new_figure,
    note_below,
    plain,
    title_above,
)
from brainnet.plot._text import label, labels, labels_within

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.figure import Figure

MOST = 40  # networks of a figure that names each; of more, the best ones
ROW, WIDE = 0.19, 2.4  # inches of a row with a name, and of a panel


def model_ranking(ranking: pd.DataFrame, *, title: str | None = None, score_name: str = "score") -> Figure:
    """A figure of the score of each network with its interval, a panel for each region, the best network first.

    Networks that may be the best one, since none is surely better, are drawn in color.

    Args:
        ranking: rows with ``roi``, ``model``, ``mean``, ``low``, ``high``, ``rank_low`` and, where it is known,
            ``ceiling``.
        title: text above.
        score_name: of the axis.

    Raises:
        ValueError: no rows.
    """
    regions, models, n_more = _chosen(ranking)
    tall = ROW * len(models) + 0.1
    figure = new_figure((len(regions) * (WIDE + 0.25) + 0.2, tall + 0.9))
    for k, roi in enumerate(regions):
        ax = add_axes(figure, (0.1 + k * (WIDE + 0.25), 0.6, WIDE, tall))
        rows = ranking[ranking["roi"] == roi].drop_duplicates("model").set_index("model").reindex(models)
        mean, low, high = (rows[name].to_numpy(float) for name in ("mean", "low", "high"))
        places = np.arange(len(models))
        best = (rows["rank_low"] == 1).to_numpy()
        for which, color in ((best, "#0072B2"), (~best, FAINT)):
            ax.hlines(places[which], low[which], high[which], color=color, linewidth=1.2)
            ax.plot(mean[which], places[which], "o", color=color, markersize=4)
        if "ceiling" in rows and rows["ceiling"].notna().any():
            ax.axvline(float(rows["ceiling"].mean()), color="#c0392b", linewidth=1, linestyle="--")
        ax.axvline(0, color="0.8", linewidth=0.8, zorder=0)
        ax.set_ylim(len(models) - 0.5, -0.5)
        plain(ax, label(score_name), "")
        ax.set_title(labels_within([roi], 8, WIDE)[0], fontsize=8, color=INK)
        ax.tick_params(labelsize=7)
        ax.set_yticks([])
    name_rows(figure.axes[0], labels(models))
    title_above(figure, title)
    ceiling = "ceiling" in ranking and ranking["ceiling"].notna().any()
    note_below(
        figure,
        "Lines are 95 % intervals. Blue: no network is surely better (corrected p < 0.05)",
        "Dashed: the noise ceiling" if ceiling else "",
        f"{n_more} further networks are in the table" if n_more else "",
    )
    return figure


def model_regions(ranking: pd.DataFrame, *, title: str | None = None, score_name: str = "score") -> Figure:
    """A figure of the scores of networks in regions as a matrix, the best network first; white has no score.

    Args:
        ranking: rows with ``roi``, ``model`` and ``mean``.
        title, score_name: as of :func:`model_ranking`.

    Raises:
        ValueError: no rows.
    """
    regions, models, n_more = _chosen(ranking)
    values = ranking.pivot_table(index="model", columns="roi", values="mean", sort=False)
    values = values.reindex(index=models, columns=regions).to_numpy(float)
    cell = 0.42
    wide, tall = max(cell * len(regions), 0.9), ROW * len(models)
    figure = new_figure((wide + 0.5, tall + 1.25))
    ax = add_axes(figure, (0.1, 0.6, wide, tall))
    known = values[np.isfinite(values)]
    low, high = (min(0.0, float(known.min())), float(known.max())) if len(known) else (0.0, 1.0)
    high = high if high > low else low + 1
    color_bar(add_axes(figure, (0.1, 0.6 + tall + 0.4, min(wide, 1.8), 0.1)), SEQUENTIAL, low, high, score_name)
    ax.imshow(values, cmap=SEQUENTIAL, vmin=low, vmax=high, aspect="auto", interpolation="nearest")
    middle = (low + high) / 2
    for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True):
        color = "black" if values[i, j] > middle else "white"
        text = f"{values[i, j]:.2f}".replace("0.", ".")
        ax.text(j, i, text, ha="center", va="center", fontsize=6, color=color)
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)
    name_columns(ax, range(len(regions)), labels(regions))
    name_rows(ax, labels(models))
    title_above(figure, title)
    note_below(figure, f"{n_more} further networks are in the table" if n_more else "")
    return figure


def model_property(
    ranking: pd.DataFrame, values: Mapping[str, float], name: str, *, title: str | None = None, logarithmic: bool = True
) -> Figure:
    """A figure of scores against a property of the networks, a color for each region.

    Args:
        ranking: rows with ``roi``, ``model``, ``mean``, ``low`` and ``high``.
        values: model -> the property; NaN leaves a network out.
        name: of the property.
        title: text above.
        logarithmic: whether the property's axis is.

    Raises:
        ValueError: no rows.
    """
    from matplotlib.ticker import EngFormatter, LogLocator, NullFormatter

    if not len(ranking):
        raise ValueError("there are no rows to draw.")
    regions = list(dict.fromkeys(ranking["roi"]))
    figure = new_figure((4.6, 3.4))
    ax = add_axes(figure, (0.6, 0.55, 3.4, 2.6))
    marks = []
    for roi, color in zip(regions, contrasting_colors(len(regions)), strict=True):
        rows = ranking[ranking["roi"] == roi]
        x = np.array([values.get(model, np.nan) for model in rows["model"]], float)
        known = np.isfinite(x) & ((x > 0) | (not logarithmic))
        mean, low, high = (rows[key].to_numpy(float)[known] for key in ("mean", "low", "high"))
        ax.vlines(x[known], low, high, color=[color], linewidth=0.8, alpha=0.5)
        marks.append((ax.plot(x[known], mean, "o", color=color, markersize=4)[0], label(roi)))
    if logarithmic:
        ax.set_xscale("log")
        ax.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5)))
        ax.xaxis.set_major_formatter(EngFormatter(sep=""))  # 20M: the usual one writes formulas
        ax.xaxis.set_minor_formatter(NullFormatter())
    plain(ax, label(name), "score")
    ax.tick_params(labelsize=7)
    legend_beside(ax, marks)
    title_above(figure, title)
    note_below(figure, "Lines are 95 % intervals")
    return figure


def _chosen(ranking: pd.DataFrame) -> tuple[list[str], list[str], int]:
    """Regions; networks by their mean over regions, the best first; and how many are left out."""
    if not len(ranking):
        raise ValueError("there are no rows to draw.")
    mean = ranking.groupby("model", sort=False)["mean"].mean().sort_values(ascending=False, kind="stable")
    return list(dict.fromkeys(ranking["roi"])), list(mean.index[:MOST]), max(0, len(mean) - MOST)
