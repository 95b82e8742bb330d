"""Many networks beside each other: their scores, what properties explain of these, and depths of best layers."""

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
    from matplotlib.axes import Axes
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

    >>> import pandas as pd
    >>> rows = [["V1", "clip", 0.4, 0.3, 0.5, 1], ["V1", "dino", 0.2, 0.1, 0.3, 2]]
    >>> ranking = pd.DataFrame(rows, columns=["roi", "model", "mean", "low", "high", "rank_low"])
    >>> [float(line.get_xdata()[0]) for line in model_ranking(ranking).axes[0].lines[:2]]    # in color, and in grey
    [0.4, 0.2]
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
        ax.locator_params(axis="x", nbins=5)  # more numbers such as -0.025 would touch
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

    >>> import pandas as pd
    >>> rows = [["V1", "clip", 0.4], ["IT", "clip", 0.5], ["V1", "dino", 0.2], ["IT", "dino", 0.3]]
    >>> figure = model_regions(pd.DataFrame(rows, columns=["roi", "model", "mean"]))
    >>> figure.axes[0].images[0].get_array().tolist()    # a row for each network, a column for each region
    [[0.4, 0.5], [0.2, 0.3]]
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
    _write_values(ax, values, (low + high) / 2)
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

    >>> import pandas as pd
    >>> rows = [["V1", "clip", 0.4, 0.3, 0.5], ["V1", "dino", 0.2, 0.1, 0.3]]
    >>> ranking = pd.DataFrame(rows, columns=["roi", "model", "mean", "low", "high"])
    >>> model_property(ranking, {"clip": 86e6, "dino": 22e6}, "parameters").axes[0].get_xlabel()
    'parameters'
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


def model_effects(effects: pd.DataFrame, *, title: str | None = None) -> Figure:
    """A figure of what each property of networks explains of their scores, a panel for each region.

    A bar is the share that a property explains beside all others, a hollow mark what it explains by itself.

    Args:
        effects: rows with ``roi``, ``property``, ``partial_r2``, ``r2_alone``, ``p_corrected`` and ``n_models``.
        title: text above.

    Raises:
        ValueError: no rows.

    >>> import pandas as pd
    >>> effects = {"roi": "V1", "property": ["size", "data"], "partial_r2": [0.3, 0.1], "r2_alone": [0.4, 0.2]}
    >>> figure = model_effects(pd.DataFrame({**effects, "p_corrected": [0.01, 0.5], "n_models": 30}))
    >>> sorted(float(bar.get_width()) for bar in figure.axes[0].patches)
    [0.1, 0.3]
    """
    if not len(effects):
        raise ValueError("there are no rows to draw.")
    regions, names = (list(dict.fromkeys(effects[column])) for column in ("roi", "property"))
    tall, step = ROW * 1.3 * len(names) + 0.1, WIDE * 0.75
    figure = new_figure((len(regions) * (step + 0.25) + 0.2, tall + 0.75))
    for k, roi in enumerate(regions):
        ax = add_axes(figure, (0.1 + k * (step + 0.25), 0.45, step, tall))
        rows = effects[effects["roi"] == roi].drop_duplicates("property").set_index("property").reindex(names)
        sure = (rows["p_corrected"] < 0.05).to_numpy()
        places = np.arange(len(names))
        partial, alone = (rows[name].to_numpy(float) for name in ("partial_r2", "r2_alone"))
        for which, color in ((sure, "#0072B2"), (~sure, "0.75")):
            ax.barh(places[which], np.nan_to_num(partial[which]), 0.6, color=color)
        ax.plot(alone, places, "o", markersize=4, markerfacecolor="none", markeredgecolor=INK, markeredgewidth=0.8,
                clip_on=False)  # fmt: skip
        ax.set_xlim(0, 1)
        ax.set_ylim(len(names) - 0.5, -0.5)
        plain(ax, "share explained", "")
        ax.set_title(labels_within([roi], 8, step)[0], fontsize=8, color=INK)
        ax.set_xticks([0, 0.5, 1], ["0", "0.5", "1"])
        ax.set_yticks([])
    name_rows(figure.axes[0], labels(names))
    title_above(figure, title)
    numbers = effects["n_models"]
    some = f"{numbers.min()} to {numbers.max()}" if numbers.min() < numbers.max() else f"{numbers.min()}"
    note_below(
        figure,
        f"Bars: the share of the differences between {some} networks that a property explains beside the others, "
        "blue where its corrected p < 0.05",
        "Circles: what it explains by itself",
        "No bar: the other properties say the same" if effects["partial_r2"].isna().any() else "",
    )
    return figure


def model_depths(layers: pd.DataFrame, correspondence: pd.DataFrame | None = None, *, title: str | None = None
                 ) -> Figure:  # fmt: skip
    """A figure of how deep in each network its best layer for each region lies, as a matrix.

    Networks are in the order of the score of their best layers. White has no score.

    Args:
        layers: rows with ``roi``, ``model``, ``depth``, 0 for the first layer of a network and 1 for its last, and
            ``mean``; regions in their order along the stream.
        correspondence: rows with ``model`` and ``rho``, the rank correlation of the places of regions and of their
            best layers; written behind each row.
        title: text above.

    Raises:
        ValueError: no row has a score and a depth.

    >>> import pandas as pd
    >>> rows = [["V1", "clip", 0.0, 0.4], ["V1", "clip", 1.0, 0.2], ["IT", "clip", 0.0, 0.1], ["IT", "clip", 1.0, 0.5]]
    >>> figure = model_depths(pd.DataFrame(rows, columns=["roi", "model", "depth", "mean"]))
    >>> figure.axes[0].images[0].get_array().tolist()    # V1 is best at the first layer, IT at the last
    [[0.0, 1.0]]
    """
    known = layers.dropna(subset=["mean", "depth"])
    if not len(known):
        raise ValueError("there are no rows to draw.")
    best = known.loc[known.groupby(["model", "roi"], sort=False)["mean"].idxmax()]
    regions, models, n_more = _chosen(best)
    depth = best.pivot_table(index="model", columns="roi", values="depth", sort=False)
    depth = depth.reindex(index=models, columns=regions).to_numpy(float)
    cell, rho = 0.42, {}
    if correspondence is not None:
        rho = correspondence.dropna(subset=["rho"]).set_index("model")["rho"].to_dict()
    wide, tall = max(cell * len(regions), 0.9), ROW * len(models)
    figure = new_figure((wide + 0.9, tall + 0.8))
    ax = add_axes(figure, (0.1, 0.15, wide, tall))
    bar = add_axes(figure, (0.1, 0.15 + tall + 0.4, min(wide, 1.8), 0.1))
    color_bar(bar, SEQUENTIAL, 0, 1, "depth of the best layer")
    ax.imshow(depth, cmap=SEQUENTIAL, vmin=0, vmax=1, aspect="auto", interpolation="nearest")
    _write_values(ax, depth, 0.5)
    if rho:
        for row, model in enumerate(models):
            text = f"{rho[model]:.2f}" if model in rho else "–"
            ax.text(len(regions) - 0.4, row, text, ha="left", va="center", fontsize=6, color=INK)
        ax.text(len(regions) - 0.4, -0.7, "order", ha="left", va="bottom", fontsize=6, color=FAINT)
    name_columns(ax, range(len(regions)), labels(regions))
    name_rows(ax, labels(models))
    title_above(figure, title)
    note_below(
        figure,
        "0 is the first layer of a network, 1 its last",
        "Order: rank correlation of regions and the depth of their best layers" if rho else "",
        f"{n_more} further networks are in the table" if n_more else "",
    )
    return figure


def _write_values(ax: Axes, values: np.ndarray, middle: float) -> None:
    """The numbers of a matrix in its cells, which lose their ticks and frame."""
    for i, j in zip(*np.nonzero(np.isfinite(values)), strict=True):
        text = f"{values[i, j]:.2f}".replace("0.", ".")
        ax.text(j, i, text, ha="center", va="center", fontsize=6, color="black" if values[i, j] > middle else "white")
    ax.tick_params(length=0)
    for spine in ax.spines.values():
        spine.set_visible(False)


def _chosen(ranking: pd.DataFrame) -> tuple[list[str], list[str], int]:
    """Regions; networks by their mean over regions, the best first; and how many are left out."""
    if not len(ranking):
        raise ValueError("there are no rows to draw.")
    mean = ranking.groupby("model", sort=False)["mean"].mean().sort_values(ascending=False, kind="stable")
    return list(dict.fromkeys(ranking["roi"])), list(mean.index[:MOST]), max(0, len(mean) - MOST)
