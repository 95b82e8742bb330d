"""The figure of the study: who ranks first, the table per region, and maps of layers side by side."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from matplotlib.cm import ScalarMappable
from matplotlib.colors import Normalize
from matplotlib.figure import Figure

from brainnet import plot
from brainnet.scores import pearson_r

COLUMNS = 4  # maps in a row
FIRST, OTHER, CHANCE = "#0072B2", "0.35", "#D55E00"


def draw(
    tables: Mapping[str, Any], networks: Mapping[str, Any], sizes: Mapping[str, Any], subject: Any, planted: str | None
) -> Figure:
    """A figure with the ranking, the scores per region, the maps of all networks and those of all sizes."""
    maps = {name: (_depth(one), _opacity(one)) for name, one in networks.items()}
    if planted:
        maps = {f"planted (in {planted})": (_depth_of(subject.truth.selectors.layer), None), **maps}
    rows = -(-len(maps) // COLUMNS)
    figure = Figure(figsize=(9.6, 3.6 + 1.6 * (rows + 1)), layout="constrained")
    grid = figure.add_gridspec(rows + 2, 1, height_ratios=[3.6, *(rows + 1) * [1.6]])
    above = grid[0].subgridspec(1, 2, width_ratios=(1.25, 1))
    _ranking(figure.add_subplot(above[0]), tables, subject, planted)
    _regions(figure.add_subplot(above[1]), tables["networks"])
    maps_of_sizes = {f"size {name}": (_depth(one), _opacity(one)) for name, one in sizes.items()}
    below = grid[1:].subgridspec(rows + 1, COLUMNS)
    axes = [figure.add_subplot(below[k // COLUMNS, k % COLUMNS]) for k in range(COLUMNS * (rows + 1))]
    for ax in axes:
        ax.axis("off")
    _maps(axes, maps, subject)
    _maps(axes[COLUMNS * rows :], maps_of_sizes, subject)
    bar = figure.colorbar(ScalarMappable(Normalize(0, 1), "viridis"), ax=axes, shrink=0.5, ticks=[0, 1], pad=0.01)
    bar.ax.set_yticklabels(["first\nlayer", "last\nlayer"], fontsize=7)
    return figure


def _depth(reading: Any) -> Any:
    return _depth_of(reading.selectors.layer)


def _depth_of(layer: Any) -> Any:
    """Mean depth of each voxel's layers: 0 is the first layer and 1 the last."""
    layer = layer.detach().float().cpu()
    return layer @ torch.linspace(0, 1, layer.shape[1])


def _opacity(reading: Any) -> Any:
    """Voxels that are predicted badly fade, from r = 0.3 downwards."""
    return (pearson_r(reading.predicted, reading.responses).nan_to_num() / 0.3).clamp(0, 1).float()


def _ranking(ax: Any, tables: Mapping[str, Any], subject: Any, planted: str | None) -> None:
    entries = [(name, scores["all"], tables["shuffled"][name]["all"]) for name, scores in tables["networks"].items()]
    entries.sort(key=lambda one: one[1][0])
    for place, (name, (mean, low, high), (chance, chance_low, chance_high)) in enumerate(entries):
        color = FIRST if name == planted else OTHER
        ax.plot([low, high], [place, place], color=color, linewidth=1.5)
        ax.plot(mean, place, "o", color=color, markersize=5)
        ax.plot([chance_low, chance_high], [place, place], color=CHANCE, linewidth=1.2)
        ax.plot(chance, place, "s", color=CHANCE, markersize=4)
    for place, (name, (mean, low, high)) in enumerate(
        ((f"size {name}", scores["all"]) for name, scores in reversed(tables["sizes"].items())),
        -len(tables["sizes"]) - 1,
    ):
        ax.plot([low, high], [place, place], color=OTHER, linewidth=1.5)
        ax.plot(mean, place, "o", color=OTHER, markersize=5, markerfacecolor="white")
        entries.append((name, None, None))
    places = [*range(len(tables["networks"])), *range(-len(tables["sizes"]) - 1, -1)]
    ax.set_yticks(places, [name for name, *_ in entries], fontsize=8)
    ax.axvline(0, color="0.7", linewidth=0.7)
    if subject.noise_ceiling is not None:
        ceiling = float(subject.noise_ceiling.nanmean())
        ax.axvline(ceiling, color="0.5", linestyle="--", linewidth=1)
        ax.text(ceiling, places[0], "noise ceiling ", fontsize=7, color="0.4", ha="right")
    for text, color, marker in (("planted", FIRST, "o"), ("others", OTHER, "o"), ("shuffled responses", CHANCE, "s")):
        if text != "planted" or planted:
            ax.plot([], [], marker, color=color, markersize=5, label=text)
    ax.legend(loc="center", frameon=False, fontsize=7.5, bbox_to_anchor=(0.42, 0.5))
    ax.set_xlabel("mean test r over voxels, 95 % interval over images", fontsize=8)
    ax.tick_params(axis="x", labelsize=8)
    ax.spines[["top", "right"]].set_visible(False)


def _regions(ax: Any, scores: Mapping[str, Any]) -> None:
    regions = [name for name in next(iter(scores.values())) if name != "all"]
    names = sorted(scores, key=lambda name: -scores[name]["all"][0])
    values = np.array([[scores[name][region][0] for region in regions] for name in names])
    ax.imshow(values, cmap="viridis", vmin=0, vmax=values.max(), aspect="auto")
    for i, j in np.ndindex(*values.shape):
        color = "black" if values[i, j] > 0.55 * values.max() else "white"
        ax.text(j, i, f"{values[i, j]:.2f}", ha="center", va="center", fontsize=7, color=color)
    ax.set_xticks(range(len(regions)), regions, fontsize=8)
    ax.set_yticks(range(len(names)), names, fontsize=8)
    ax.tick_params(length=0)
    ax.spines[:].set_visible(False)
    ax.set_title("mean test r in each region", fontsize=9)


def _maps(axes: Sequence[Any], maps: Mapping[str, Any], subject: Any) -> None:
    for ax, (name, (depth, alpha)) in zip(axes, maps.items(), strict=False):
        plot.flatmap(depth, subject.space, ax=ax, cmap="viridis", vmin=0, vmax=1, alpha=alpha, colorbar=False)
        for text in [text for text in ax.texts if len(text.get_text()) > 1]:  # directions, which have no room here
            text.remove()
        ax.set_title(name, fontsize=8)
