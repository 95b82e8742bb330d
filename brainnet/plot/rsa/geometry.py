"""Pictures of RDMs themselves, as matrices.

Dissimilarity is dark where small, on a scale whose lightness rises evenly, so that a matrix prints in gray as it looks
on screen. Conditions are named by their pictures where there are any, by their groups where they form some.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import FAINT, INK, SEQUENTIAL
from brainnet.plot._figure import (
    add_axes,
    color_bar,
    grow,
    name_rows,
    new_figure,
    note_below,
    title_above,
)
from brainnet.plot._pictures import THUMBNAIL, hang, one_each
from brainnet.plot._text import labels, labels_within, named, widest, width_of
from brainnet.rsa import RDMs
from brainnet.rsa.rdms import as_rdms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

LEGIBLE = 0.08  # inches a line of the smallest text needs


def rdms(
    matrices: RDMs | Any,
    *,
    images: Sequence[Any] | None = None,
    groups: Sequence[str] | None = None,
    ranked: bool = True,
    columns: int | None = None,
    size: float | None = None,
    kind: str = "RDM",
    title: str | None = None,
) -> Figure:
    """A figure of RDMs as matrices, one panel each, on one color scale.

    Args:
        matrices: up to about twenty RDMs over the same conditions.
        images: one per condition, PIL or (H, W[, 3]) arrays; shown along the sides, staggered where they are many.
        groups: the group of each condition; conditions are brought together by group, named and separated by lines.
        ranked: color by percentile of dissimilarity within each RDM rather than by its value.
        columns: panels in a row.
        size: inches of a panel; by default 2.6, or 3.4 with images.
        kind: what the RDMs are, in front of names that are bare numbers: "layer" makes "layer 3" of "3".
        title: text above.

    Raises:
        ValueError: images or groups that are not one per condition.

    >>> import torch
    >>> figure = rdms(torch.rand(2, 28, generator=torch.Generator().manual_seed(0)))
    >>> len(figure.axes)    # two matrices and a color bar
    3
    """
    found = as_rdms(matrices)
    n, count = found.n_conditions, len(found)
    images, groups = one_each(images, n, "images"), one_each(groups, n, "groups")
    if groups is not None:
        order = np.argsort([list(dict.fromkeys(groups)).index(group) for group in groups], kind="stable")
        found, groups = found.reorder(order.tolist()), [groups[i] for i in order]
        images = None if images is None else [images[i] for i in order]
    squares = (percentiles(found) if ranked else found).to_square(float("nan")).cpu().numpy()
    size = size or (2.6 if images is None else 3.4)
    columns = -(-count // -(-count // 4)) if columns is None else min(columns, count)  # rows of equal length
    rows = -(-count // columns)
    cell = (size + 0.25, size + 0.32)  # rows and columns are the same in every panel: named on the outer ones alone
    figure = new_figure((columns * cell[0], rows * cell[1] + 0.55))
    shown = squares[np.isfinite(squares)]
    low, high = (min(0.0, float(shown.min())), float(shown.max())) if len(shown) and not ranked else (0.0, 100.0)
    panels = []
    for number, square in enumerate(squares):
        row, column = divmod(number, columns)
        ax = add_axes(figure, (0.1 + column * cell[0], 0.55 + (rows - 1 - row) * cell[1], size, size))
        _matrix(ax, square, low, high)
        panels.append(ax)
    bar = add_axes(figure, (0.1, 0.32, min(size, 2.2), 0.08))
    unit = "percentile of dissimilarity" if ranked else f"{found.metric} distance"
    color_bar(bar, SEQUENTIAL, low, high, unit, {0: "0", 50: "50", 100: "100"} if ranked else None)
    strip = _picture_strips(panels, images, columns, size)
    names = labels_within(named(found.names, kind), 8, size + 0.15, 60)
    for number, (ax, name) in enumerate(zip(panels, names, strict=True)):
        ax.annotate(name, (0, 1), (0, 72 * (strip * (number < columns)) + 4), xycoords="axes fraction",
                    textcoords="offset points", fontsize=8, color=INK)  # fmt: skip
    _side_names(panels[::columns], found, images, groups, size)
    title_above(figure, title)
    empty = np.isnan(squares[:, ~np.eye(n, dtype=bool)]).any()
    note_below(figure, "Gray off the diagonal: undefined dissimilarities" if empty else "")
    return figure


def percentiles(found: RDMs) -> RDMs:
    """RDMs with dissimilarities as percentiles, 0 for the smallest and 100 for the largest of each.

    >>> import torch
    >>> percentiles(RDMs(torch.tensor([5.0, 9.0, 7.0]))).values.tolist()
    [[0.0, 100.0, 50.0]]
    """
    ranks = found.rank()
    known = (~ranks.values.isnan()).sum(1, keepdim=True)
    values = 100 * (ranks.values - 1) / (known - 1).clamp(min=1)
    return RDMs(values, "percentile", found.names, found.conditions)


def _matrix(ax: Axes, square: np.ndarray, low: float, high: float) -> None:
    from matplotlib import colormaps

    cmap = colormaps[SEQUENTIAL].with_extremes(bad="0.82")  # the diagonal, and pairs that are undefined
    ax.imshow(np.ma.masked_invalid(square), cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(linewidth=0.5, color=FAINT)


def _side_names(
    outer: list[Axes], found: RDMs, images: Sequence[Any] | None, groups: Sequence[str] | None, size: float
) -> None:
    """Names of groups or of conditions, as far as they fit, to the left of the panels of the first column."""
    n = found.n_conditions
    if groups is not None:
        for ax in outer if images is None else ():
            _group_names(ax, groups, size)
        for ax in outer[0].figure.axes[:-1]:
            _group_lines(ax, groups)
    elif images is None and found.conditions is not None and size / n >= LEGIBLE:
        names = labels(found.conditions)
        for ax in outer:
            name_rows(ax, names, 5.5)
            ax.tick_params(axis="y", length=0, pad=2, colors=INK)


def _group_lines(ax: Axes, groups: Sequence[str]) -> None:
    for edge in (i for i in range(1, len(groups)) if groups[i] != groups[i - 1]):
        ax.axhline(edge - 0.5, color="white", linewidth=1.0)
        ax.axvline(edge - 0.5, color="white", linewidth=1.0)


def _group_names(ax: Axes, groups: Sequence[str], size: float) -> None:
    """Names beside their rows: upright where all are shorter than their rows, else level if rows are tall enough."""
    n = len(groups)
    starts = [0, *(i for i in range(1, n) if groups[i] != groups[i - 1]), n]
    texts = labels(groups[start] for start in starts[:-1])
    spans = [(stop - start) * size / n for start, stop in pairwise(starts)]
    upright = all(width_of(text, 6.5) <= span for text, span in zip(texts, spans, strict=True))
    if not upright and min(spans) < LEGIBLE + 0.02:
        return
    for text, (start, stop) in zip(texts, pairwise(starts), strict=True):
        ax.text(-0.02 * n - 0.5, (start + stop - 1) / 2, text, rotation=90 if upright else 0, ha="right", va="center",
                fontsize=6.5, color=INK)  # fmt: skip
    room = 0.1 if upright else widest(texts, 6.5)
    grow(ax.figure, left=room + 0.12 + 0.02 * size - ax.get_position().x0 * ax.figure.get_figwidth())


def _picture_strips(panels: list[Axes], images: Sequence[Any] | None, columns: int, size: float) -> float:
    """Pictures along the outer sides of the panels, in lanes where a cell is too small for one; inches of a strip."""
    if images is None:
        return 0.0
    n = len(images)
    lanes = max(1, int(np.ceil(THUMBNAIL / (size / n))))
    reach = size / n * lanes  # inches of a picture: as many cells as there are lanes
    strip = lanes * reach + 0.08
    grow(panels[0].figure, left=strip, top=strip)
    for number, ax in enumerate(panels):
        for i, image in enumerate(images):
            centre, away = (i + 0.5) / n, (0.04 + (lanes - i % lanes - 0.5) * reach) / size
            places = [(-away, 1 - centre)] * (number % columns == 0) + [(centre, 1 + away)] * (number < columns)
            for x, y in places:
                hang(ax, image, (x - reach / size / 2, y - reach / size / 2, reach / size, reach / size))
    return strip
