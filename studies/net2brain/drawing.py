"""The figure of the study: layers against regions on both sets of images, and the parts of R2 over time."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

COLORS = ("#0072B2", "#D55E00")
STYLES = {"trained": "-", "random": ":"}


def draw(scores: pd.DataFrame, course: pd.DataFrame, planted: Mapping[str, Any]) -> Figure:
    """A figure with a panel for each region of each set, and one for the planted EEG and one for its control."""
    places = list(dict.fromkeys(zip(scores.images, scores.roi, strict=True)))
    figure = Figure(figsize=(9.6, 6.0), layout="constrained")
    upper, lower = figure.subfigures(2, 1, height_ratios=(1, 1))
    top = upper.subplots(1, len(places), sharey=True)
    for ax, (images, roi) in zip(top, places, strict=True):
        _panel(ax, scores[(scores.images == images) & (scores.roi == roi)], f"{images} images, {roi}")
    top[0].set_ylabel("Spearman with people's RDMs", fontsize=8)
    handles, names = top[0].get_legend_handles_labels()
    upper.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
    bottom = lower.subplots(1, 2, sharey=True)
    for ax, control, title in zip(
        bottom, ("", "shuffled"), ("simulated EEG", "the same, labels shuffled"), strict=True
    ):
        _course(ax, course[course.control == control], planted, title)
    low, high = bottom[0].get_ylim()
    bottom[0].set_ylim(low - 0.12 * (high - low), high)  # room for the squares, below all curves
    bottom[0].set_ylabel("R2 of decoded RDMs", fontsize=8)
    handles, names = bottom[0].get_legend_handles_labels()
    lower.legend(handles, names, loc="outside lower center", ncols=len(names), frameon=False, fontsize=8)
    return figure


def _panel(ax: Any, rows: pd.DataFrame, title: str) -> None:
    networks = list(dict.fromkeys(name.partition(",")[0] for name in rows.model))
    depth = np.linspace(0, 1, rows.groupby("model").size().max())
    for model, some in rows.groupby("model", sort=False):
        network, _, weights = model.partition(", ")
        color = COLORS[networks.index(network) % len(COLORS)]
        ax.plot(depth[: len(some)], some.score, STYLES[weights], color=color, label=model)
        ax.fill_between(depth[: len(some)], some.low, some.high, color=color, alpha=0.12, linewidth=0)
        sure = (some.p_corrected < 0.05).to_numpy()
        ax.plot(depth[: len(some)][sure], some.score[sure], "o", color=color, markersize=4)
        ax.plot(depth[: len(some)][~sure], some.score[~sure], "o", color=color, markersize=4, markerfacecolor="white")
    if {"ceiling_low", "ceiling_high"} <= set(rows):
        ax.axhspan(rows.ceiling_low.iloc[0], rows.ceiling_high.iloc[0], color="0.85", zorder=0, label="noise ceiling")
    ax.axhline(0, color="0.7", linewidth=0.7)
    ax.set_title(title, fontsize=9)
    ax.set_xlim(-0.08, 1.08)
    ax.set_xticks([0, 1], ["first", "last"], fontsize=8)
    ax.set_xlabel("layer", fontsize=8, labelpad=-6)
    ax.tick_params(axis="y", labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def _course(ax: Any, rows: pd.DataFrame, planted: Mapping[str, Any], title: str) -> None:
    for number, (name, (layer, peak, _)) in enumerate(planted.items()):
        color = COLORS[number % len(COLORS)]
        some = rows[(rows.part == "unique") & (rows.sets == name)]
        ax.plot(some.time, some.r2, color=color, label=f"unique to the {name} layer ({layer})")
        ax.fill_between(some.time, some.r2 - some["sem"], some.r2 + some["sem"], color=color, alpha=0.15, linewidth=0)
        ax.axvline(peak, color=color, linewidth=0.8, linestyle="--", label=f"planted peak, {name}")
    shared = rows[rows.part == "shared"]
    ax.plot(shared.time, shared.r2, color="0.45", linewidth=1, label="shared")
    for number, name in enumerate(planted):
        some = rows[(rows.part == "unique") & (rows.sets == name) & (rows.p_corrected < 0.05)]
        ax.plot(
            some.time, np.full(len(some), 0.08 - 0.04 * number), "s", color=COLORS[number], markersize=3,
            transform=ax.get_xaxis_transform(), label="_squares",
        )  # fmt: skip
    ax.axhline(0, color="0.7", linewidth=0.7)
    ax.axvline(0, color="0.7", linewidth=0.7)
    ax.set_title(title, fontsize=9)
    ax.set_xlabel("seconds after the image appeared", fontsize=8)
    ax.tick_params(labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)
