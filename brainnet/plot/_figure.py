"""Pieces every figure is made of. Nothing here, or above, touches pyplot or the global settings of matplotlib.

A figure is laid out in inches: its axes first, then what stands around them. Names below and beside the axes, a legend,
a title and a note each enlarge the figure by the room they need; the axes keep their size.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import FAINT, INK, continuous_colors
from brainnet.plot._text import LINE, LONGEST_TITLE, label, labels_within, widest, wrapped

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.colors import Colormap
    from matplotlib.figure import Figure
    from matplotlib.legend import Legend

EDGE = 0.08  # inches of white around everything
TITLE_SIZE, NOTE_SIZE, LEGEND_SIZE = 10, 6.5, 7
LEGEND_ROW = 0.16  # inches
HANDLE = 0.36  # inches of a legend's mark and the space behind it


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


def box_of(ax: Axes) -> tuple[float, float, float, float]:
    """(left, bottom, width, height) of axes in inches; of axes inside others, too."""
    locate = ax.get_axes_locator()
    box = (locate(ax, None) if locate else ax.get_position()).transformed(ax.figure.transSubfigure)  # to pixels
    return tuple(pixels / ax.figure.dpi for pixels in (box.x0, box.y0, box.width, box.height))


# ---------------------------------------------------------------------- room around the axes


def grow(figure: Figure, left: float = 0.0, right: float = 0.0, bottom: float = 0.0, top: float = 0.0) -> None:
    """Adds inches at the sides of a figure; what is on it keeps its size, and its distance from the other sides."""
    left, right, bottom, top = (max(0.0, inches) for inches in (left, right, bottom, top))
    width, height = figure.get_size_inches()
    wide, tall = width + left + right, height + bottom + top
    figure.set_size_inches(wide, tall)
    for ax in figure.axes:
        box = ax.get_position(original=True)
        ax.set_position(
            ((box.x0 * width + left) / wide, (box.y0 * height + bottom) / tall,
             box.width * width / wide, box.height * height / tall)
        )  # fmt: skip
    for text in figure.texts:
        x, y = text.get_position()
        text.set_position(((x * width + left) / wide, (y * height + bottom) / tall))


def title_above(figure: Figure, title: str | None) -> None:
    """The title in the middle above everything, on as many lines as it takes; None or "" is no title."""
    if not title:
        return
    lines = wrapped(label(title, LONGEST_TITLE), TITLE_SIZE, figure.get_figwidth() - 2 * EDGE)
    grow(figure, top=len(lines) * TITLE_SIZE * LINE + EDGE)
    y = 1 - EDGE / figure.get_figheight()
    figure.text(0.5, y, "\n".join(lines), ha="center", va="top", fontsize=TITLE_SIZE, color=INK)


def note_below(figure: Figure, *sentences: str) -> None:
    """What the marks of a figure mean, small, below everything; empty sentences are left out."""
    text = " ".join(f"{sentence}." for sentence in sentences if sentence)
    if not text:
        return
    lines = wrapped(text, NOTE_SIZE, figure.get_figwidth() - 2 * EDGE)
    grow(figure, bottom=len(lines) * NOTE_SIZE * LINE + EDGE)
    width, height = figure.get_size_inches()
    figure.text(
        EDGE / width, EDGE / 2 / height, "\n".join(lines), ha="left", va="bottom", fontsize=NOTE_SIZE, color=FAINT,
        linespacing=1.2,
    )  # fmt: skip


def legend_above(ax: Axes, entries: Sequence[tuple[Any, str]], own: bool = True, raised: float = 0.0) -> Legend | None:
    """A legend above axes, in as many columns as fit the figure.

    Args:
        ax: axes the legend starts above, at their left side.
        entries: (mark, text) of each.
        own: whether the figure is ours to enlarge.
        raised: inches between the axes and the legend, as for a name of the panel.
    """
    if not entries:
        return None
    left, _, _, height = box_of(ax)
    one = HANDLE + widest((text for _, text in entries), LEGEND_SIZE) + 0.14
    if own:
        grow(ax.figure, right=left + one - ax.figure.get_figwidth())
    columns = max(1, min(len(entries), int((ax.figure.get_figwidth() - left - 0.02) / one)))
    if own:
        grow(ax.figure, top=LEGEND_ROW * -(-len(entries) // columns) + 0.04)
    return _legend(ax, entries, loc="lower left", bbox_to_anchor=(0, 1 + (0.02 + raised) / height), ncols=columns)


def legend_beside(ax: Axes, entries: Sequence[tuple[Any, str]], own: bool = True) -> Legend | None:
    """A legend to the right of axes; one that is taller than the figure gets more columns."""
    if not entries:
        return None
    left, bottom, width, height = box_of(ax)
    columns = max(1, -(-len(entries) * LEGEND_ROW // (height + bottom)))
    if own:
        one = HANDLE + widest((text for _, text in entries), LEGEND_SIZE) + 0.14
        grow(ax.figure, right=left + width + 0.08 + columns * one - ax.figure.get_figwidth())
    return _legend(ax, entries, loc="upper left", bbox_to_anchor=(1 + 0.06 / width, 1.01), ncols=int(columns))


def legend_below(ax: Axes, entries: Sequence[tuple[Any, str]]) -> Legend:
    """A legend below axes that have no ticks, in as many columns as are as wide as they."""
    _, bottom, width, height = box_of(ax)
    one = HANDLE + widest((text for _, text in entries), LEGEND_SIZE) + 0.14
    columns = max(1, min(len(entries), int(width / one)))
    grow(ax.figure, bottom=LEGEND_ROW * -(-len(entries) // columns) + 0.2 - bottom)
    return _legend(ax, entries, loc="upper center", bbox_to_anchor=(0.5, -0.12 / height), ncols=columns)


def _legend(ax: Axes, entries: Sequence[tuple[Any, str]], **place: Any) -> Legend:
    # matplotlib leaves out a label that begins with an underscore: the texts are set afterwards
    legend = ax.legend(
        [mark for mark, _ in entries], ["-"] * len(entries), fontsize=LEGEND_SIZE, frameon=False, labelcolor=INK,
        borderaxespad=0.1, borderpad=0.1, handlelength=1.8, handletextpad=0.6, columnspacing=1.2, labelspacing=0.35,
        **place,
    )  # fmt: skip
    for text, (_, meaning) in zip(legend.get_texts(), entries, strict=True):
        text.set_text(meaning)
    return legend


def name_columns(
    ax: Axes, places: Sequence[float], texts: Sequence[str], size: float = 7, own: bool = True, room: float = 0.0
) -> None:
    """Names below axes: level where they fit beside each other, slanted or upright where they do not.

    Args:
        ax: axes whose limits are set.
        places: of the names, along the axis.
        texts: the names; with a line break, the second line is a small remark.
        size: font size in points.
        own: whether the figure is ours to enlarge.
        room: inches below the axes that are free already.
    """
    if not len(places):
        ax.set_xticks([])
        return
    left, _, width, _ = box_of(ax)
    low, high = ax.get_xlim()
    step = width / abs(high - low) * (np.diff(sorted(places)).min() if len(places) > 1 else abs(high - low))
    longest = widest(texts, size)
    line = size * LINE
    if longest + 0.06 <= step or len(places) == 1:
        rotation, lines = 0, max(text.count("\n") + 1 for text in texts)
        below, ahead = lines * line, (longest - step) / 2
    else:
        texts = [text.replace("\n", ", ") for text in texts]
        longest = widest(texts, size)
        rotation = 40 if step > 1.3 * line else 90
        below = longest * np.sin(np.deg2rad(rotation)) + line
        ahead = longest * np.cos(np.deg2rad(rotation)) - step / 2 if rotation < 90 else 0.0
    every = max(1, int(np.ceil(line / step))) if rotation == 90 else 1
    kept = slice(None, None, every)
    style = {0: {}, 40: {"ha": "right", "rotation_mode": "anchor"}, 90: {}}[rotation]
    ax.set_xticks(list(places)[kept], list(texts)[kept], rotation=rotation, fontsize=size, **style)
    if own:
        first = left + (min(places) - low) / abs(high - low) * width - step / 2
        after = ax.figure.get_figwidth() - left - width
        grow(ax.figure, bottom=below + 0.1 - room, left=ahead - first + EDGE, right=(ahead - after) * (rotation == 0))


def name_rows(ax: Axes, texts: Sequence[str], size: float = 7, own: bool = True, extra: float = 0.0) -> None:
    """Names of rows 0, 1, ... to the left of axes; room is made for them, and for ``extra`` inches."""
    ax.set_yticks(range(len(texts)), texts, fontsize=size)
    if own:
        grow(ax.figure, left=widest(texts, size) + 0.08 + extra + EDGE - box_of(ax)[0])


# ---------------------------------------------------------------------- marks and scales


def color_bar(
    ax: Axes, cmap: str | Colormap, vmin: float, vmax: float, name: str | None = None, ticks: Mapping | None = None
) -> None:
    """Fills the axes with a horizontal color bar; ``ticks`` maps values to texts."""
    gradient = continuous_colors(np.linspace(vmin, vmax, 256)[None], cmap, vmin, vmax)
    span = (vmin, vmax) if vmax > vmin else (vmin - 0.5, vmin + 0.5)
    ax.imshow(gradient, extent=(*span, 0, 1), aspect="auto")
    digits = 2 - int(np.floor(np.log10(vmax - vmin))) if vmax > vmin else 6
    ticks = ticks or {value: f"{round(value, digits) + 0.0:g}" for value in np.linspace(vmin, vmax, 3).tolist()}
    ax.set_xticks(list(ticks), list(ticks.values()))
    style_legend(ax, name)


def patches(ax: Axes, colors: np.ndarray, names: Sequence[str], name: str | None = None) -> None:
    """Fills the axes with one named patch of color a row entry; names that would run together are left out."""
    ax.imshow(colors[None], extent=(0, len(colors), 0, 1), aspect="auto")
    name_cells(ax, names)
    for edge in range(1, len(colors)):
        ax.axvline(edge, color="white", linewidth=0.8)
    style_legend(ax, name)


def name_cells(ax: Axes, names: Sequence[str], start: float = 0.0) -> None:
    """Level names below cells of width 1 that fill axes from ``start`` on; every k-th where they are dense."""
    inches = box_of(ax)[2]
    texts = labels_within(names, 7, 0.5 * inches)
    cell, longest = inches / len(texts), widest(texts, 7) + 0.08
    wide = longest > max(2 * cell, 0.9)  # then the first one begins at its cell, as centered it would leave the figure
    shown = [*range(0, len(texts), max(1, int(np.ceil((1.5 if wide else 1.0) * longest / cell))))]
    ax.set_xticks([start + place + 0.5 for place in shown], [texts[place] for place in shown])
    if wide:
        ax.get_xticklabels()[0].set_horizontalalignment("left")


def style_legend(ax: Axes, name: str | None = None) -> None:
    """Thin frame, small text, no vertical axis."""
    ax.set_yticks([])
    ax.tick_params(axis="x", labelsize=7, length=2, width=0.5, pad=1.5, colors=INK)
    for spine in ax.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
    if name:
        room = max(1.5, 1.6 * box_of(ax)[2])
        ax.set_xlabel(labels_within([name], 7.5, room, 60)[0], fontsize=7.5, labelpad=2, color=INK)


def plain(ax: Axes, x_name: str, y_name: str) -> None:
    """Two spines, small text; a name of two lines keeps them."""
    ax.spines[["top", "right"]].set_visible(False)
    ax.spines[["left", "bottom"]].set(linewidth=0.6, color=FAINT)
    ax.tick_params(labelsize=7, length=2.5, width=0.5, colors=INK)
    _, _, width, height = box_of(ax)
    ax.set_xlabel(labels_within([x_name], 8, max(width + 0.2, 1.0), 60)[0], fontsize=8, color=INK, labelpad=2)
    lines = wrapped(label(y_name, LONGEST_TITLE), 8, max(height + 0.5, 1.0)) if y_name else [""]
    ax.set_ylabel("\n".join(lines[:2]), fontsize=8, color=INK, labelpad=3)
