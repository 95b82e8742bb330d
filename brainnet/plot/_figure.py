"""Pieces every figure is made of. Nothing here, or above, touches pyplot or the global settings of matplotlib."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._colors import FAINT, INK, continuous_colors

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure


LETTER = 0.06  # inches of a letter of 7 points, on average and with room to spare


def new_figure(size: tuple[float, float]) -> Figure:
    """An empty white figure of (width, height) inches that pyplot does not know and a notebook shows as a picture."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=size, facecolor="white")
    figure._repr_png_ = partial(_png, figure)
    return figure


def _png(figure: Figure) -> bytes:
    from io import BytesIO

    buffer = BytesIO()
    figure.savefig(buffer, format="png", dpi=110)
    return buffer.getvalue()


def add_axes(figure: Figure, box: tuple[float, float, float, float]) -> Axes:
    """Axes at (left, bottom, width, height) in inches."""
    width, height = figure.get_size_inches()
    left, bottom, across, up = box
    return figure.add_axes((left / width, bottom / height, across / width, up / height))


def color_bar(
    ax: Axes, cmap: str | Colormap, vmin: float, vmax: float, label: str | None = None, ticks: Mapping | None = None
) -> None:
    """Fills the axes with a horizontal color bar; ``ticks`` maps values to texts."""
    gradient = continuous_colors(np.linspace(vmin, vmax, 256)[None], cmap, vmin, vmax)
    span = (vmin, vmax) if vmax > vmin else (vmin - 0.5, vmin + 0.5)
    ax.imshow(gradient, extent=(*span, 0, 1), aspect="auto")
    digits = 2 - int(np.floor(np.log10(vmax - vmin))) if vmax > vmin else 6
    ticks = ticks or {value: f"{round(value, digits) + 0.0:g}" for value in np.linspace(vmin, vmax, 3).tolist()}
    ax.set_xticks(list(ticks), list(ticks.values()))
    style_legend(ax, label)


def patches(ax: Axes, colors: np.ndarray, names: list[str], label: str | None = None) -> None:
    """Fills the axes with one named patch of color a row entry."""
    ax.imshow(colors[None], extent=(0, len(colors), 0, 1), aspect="auto")
    locate = ax.get_axes_locator()  # of axes inside others
    inches = (locate(ax, None) if locate else ax.get_position()).width * ax.figure.get_figwidth()
    every = max(1, int(np.ceil(sum(len(name) + 1.5 for name in names) * LETTER / inches)))  # names that fit below
    shown = [*range(0, len(names), every)]
    ax.set_xticks([place + 0.5 for place in shown], [names[place] for place in shown])
    for edge in range(1, len(colors)):
        ax.axvline(edge, color="white", linewidth=0.8)
    style_legend(ax, label)


def style_legend(ax: Axes, label: str | None = None) -> None:
    """Thin frame, small text, no vertical axis."""
    ax.set_yticks([])
    ax.tick_params(axis="x", labelsize=7, length=2, width=0.5, pad=1.5, colors=INK)
    for spine in ax.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
    if label:
        ax.set_xlabel(label, fontsize=7.5, labelpad=2, color=INK)


def plain(ax: Axes, x_label: str, y_label: str) -> None:
    """Two spines, small text."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(linewidth=0.6, color=FAINT)
    ax.tick_params(labelsize=7, length=2.5, width=0.5, colors=INK)
    ax.set_xlabel(x_label, fontsize=8, color=INK, labelpad=2)
    ax.set_ylabel(y_label, fontsize=8, color=INK, labelpad=3)
