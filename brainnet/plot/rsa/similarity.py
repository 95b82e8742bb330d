"""Pictures of how alike things are, every one beside every other: models, and layers of models."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import FAINT, INK, SEQUENTIAL
from brainnet.plot._figure import (
    EDGE,
    add_axes,
    box_of,
    color_bar,
    grow,
    name_columns,
    name_rows,
    new_figure,
    note_below,
    title_above,
)
from brainnet.plot._text import LINE, labels, named, widest, width_of
from brainnet.rsa import RDMs, compare
from brainnet.rsa.rdms import as_rdms

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

NUMBERED = 24  # rows up to which a cell holds its number
CELL, WIDEST = 0.34, 8.2  # inches of a cell with a number, and of a matrix without
GROUP_SIZE = 7.5  # points of the name of a model with several layers


def model_similarity(
    models: RDMs | Any, *, method: str = "spearman", sort: bool = False, title: str | None = None, **options: Any
) -> Figure:
    """A figure of how similar every RDM is to every other, as a matrix with its numbers.

    Args:
        models: two or more RDMs.
        method: a comparison, see ``COMPARISONS``.
        sort: bring alike models together (leaf order of average linkage).
        title: text above.
        **options: of the comparison.

    >>> import torch
    >>> figure = model_similarity(torch.rand(3, 28, generator=torch.Generator().manual_seed(0)))
    >>> [text.get_text() for text in figure.axes[0].texts][:2]
    ['1', '-.12']
    """
    models = as_rdms(models)
    values = compare(models, models, method, **options).double().cpu().numpy()
    names = list(models.names)
    if sort and len(models) > 2:
        order = alike_together(values)
        values, names = values[np.ix_(order, order)], [names[i] for i in order]
    return _heat_map(values, [""] * len(names), names, f"{method} similarity", title)


def similarity_matrix(
    table: pd.DataFrame, *, scale: str | None = None, sort: bool = False, title: str | None = None
) -> Figure:
    """A figure of the matrix that :func:`brainnet.compare_models` gives: layers of models, all beside all.

    Layers of one model stand together between white lines, under its name.

    Args:
        table: square; rows and columns are layers, or couples (model, layer).
        scale: what the numbers are; by default what ``table.attrs["scale"]`` says.
        sort: bring alike layers together (leaf order of average linkage), whosever they are.
        title: text above.

    Raises:
        ValueError: a table whose rows are not its columns.

    >>> import pandas as pd
    >>> rows = pd.MultiIndex.from_tuples([("a", "1"), ("b", "1")], names=["model", "layer"])
    >>> figure = similarity_matrix(pd.DataFrame([[1.0, 0.5], [0.5, 1.0]], rows, rows))
    >>> [text.get_text() for text in figure.axes[0].texts]
    ['1', '.50', '.50', '1']
    >>> [name.get_text() for name in figure.axes[0].get_yticklabels()]
    ['a 1', 'b 1']
    """
    if not table.index.equals(table.columns):
        raise ValueError("expected a square table, with the same models and layers in its rows and in its columns.")
    values = table.to_numpy(dtype=float)
    keys = [tuple(map(str, key)) if isinstance(key, tuple) else ("", str(key)) for key in table.index]
    if sort and len(keys) > 2:
        order = alike_together(values)
        values, keys = values[np.ix_(order, order)], [keys[i] for i in order]
    groups, names = [key[0] for key in keys], [" ".join(key[1:]) for key in keys]
    return _heat_map(values, groups, names, scale or table.attrs.get("scale", "similarity"), title)


def alike_together(values: np.ndarray) -> list[int]:
    """An order in which alike rows of a matrix of similarities stand together: the leaves of average linkage.

    >>> alike_together(np.array([[1, 0, 0.9], [0, 1, 0], [0.9, 0, 1]]))
    [1, 2, 0]
    """
    from scipy.cluster.hierarchy import leaves_list, linkage

    upper = values[np.triu_indices(len(values), 1)]
    highest = np.nanmax(values)
    distances = np.nan_to_num(np.maximum(highest - upper, 0), nan=highest)
    return leaves_list(linkage(distances, "average", optimal_ordering=True)).tolist()


def _heat_map(values: np.ndarray, groups: Sequence[str], names: Sequence[str], scale: str, title: str | None) -> Figure:
    """A square matrix with its names and a color bar.

    Args:
        values: (n, n), at most 1.
        groups: of each row, "" where it has none.
        names: of each row.
        scale: name of the numbers.
        title: text above.
    """
    from matplotlib import colormaps

    n = len(values)
    cell = CELL if n <= NUMBERED else WIDEST / n
    figure = new_figure((n * cell + 0.2, n * cell + 0.2))
    ax = add_axes(figure, (0.1, 0.1, n * cell, n * cell))
    known = values[np.isfinite(values)]
    low = min(0.0, float(known.min())) if len(known) else 0.0
    ax.imshow(np.ma.masked_invalid(values), cmap=colormaps[SEQUENTIAL].with_extremes(bad="0.82"), vmin=low, vmax=1.0)
    for i, j in np.ndindex(n, n) if n <= NUMBERED else ():
        ink = "0.1" if not (values[i, j] - low) / (1 - low) <= 0.55 else "white"
        ax.text(j, i, _short(values[i, j]), ha="center", va="center", fontsize=6.5, color=ink)
    ax.spines[:].set_visible(False)
    ax.tick_params(length=0, pad=3, colors=INK)
    _name_sides(ax, groups, names, cell)
    grow(figure, bottom=0.55, right=2.1 - figure.get_figwidth())
    left, _, width, _ = box_of(ax)
    color_bar(add_axes(figure, (left, 0.33, max(1.0, min(1.8, width)), 0.08)), SEQUENTIAL, low, 1.0, scale)
    title_above(figure, title)
    note_below(figure, "Gray: undefined, as of a layer that is the same for all images" if len(known) < n * n else "")
    return figure


def _name_sides(ax: Axes, groups: Sequence[str], names: Sequence[str], cell: float) -> None:
    """Names of rows and columns; groups have theirs outside of them where each is as long as its name."""
    letters = min(7, max(3.5, 60 * cell))
    spans = [(group, len(list(rows))) for group, rows in groupby(groups)]
    for edge in np.cumsum([size for _, size in spans])[:-1] if len(spans) > 1 else ():
        ax.axhline(edge - 0.5, color="white", linewidth=1.2)
        ax.axvline(edge - 0.5, color="white", linewidth=1.2)
    outside = _names_outside(spans, cell) if len(spans) < len(names) else None
    if outside is None:
        texts = labels(f"{group} {name}".strip() for group, name in zip(groups, names, strict=True))
    else:
        texts = labels(named(names, "layer"))
    name_rows(ax, texts, letters)
    name_columns(ax, range(len(texts)), texts, letters)
    if outside is not None:
        _name_groups(ax, outside, [size for _, size in spans], letters, texts)


def _names_outside(spans: Sequence[tuple[str, int]], cell: float) -> list[str] | None:
    """The name of each group, without its family where that makes it fit; None where one does not fit."""
    texts = labels(group for group, _ in spans)
    short = labels(group.rpartition(":")[2] for group, _ in spans)
    found = [
        next((one for one in (text, brief) if width_of(one, GROUP_SIZE) <= size * cell), "")
        for text, brief, (_, size) in zip(texts, short, spans, strict=True)
    ]
    return found if all(found) and len(set(found)) == len(found) else None


def _name_groups(ax: Axes, groups: Sequence[str], sizes: Sequence[int], letters: float, texts: Sequence[str]) -> None:
    """A line and a name along the rows of each group, outside of the rows' own names, and so below the columns."""
    n, inches = sum(sizes), box_of(ax)[2]
    longest = widest(texts, letters)
    slant = np.deg2rad(ax.get_xticklabels()[0].get_rotation())
    left, below = longest + 0.12, longest * np.sin(slant) + letters * LINE + 0.1
    grow(ax.figure, left=0.24, bottom=max(0.0, below + 0.24 + EDGE - box_of(ax)[1]))
    line = {"transform": ax.transAxes, "clip_on": False, "color": FAINT, "linewidth": 0.8}
    style = {"transform": ax.transAxes, "fontsize": GROUP_SIZE, "color": INK}
    start = 0
    for group, size in zip(groups, sizes, strict=True):
        ends, middle = np.array([start + 0.15, start + size - 0.15]) / n, (start + size / 2) / n
        ax.plot([-left / inches] * 2, 1 - ends, **line)
        ax.plot(ends, [-below / inches] * 2, **line)
        ax.text(-(left + 0.04) / inches, 1 - middle, group, rotation=90, ha="right", va="center", **style)
        ax.text(middle, -(below + 0.04) / inches, group, ha="center", va="top", **style)
        start += size


def _short(value: float) -> str:
    """A correlation without its leading zero."""
    return "1" if value >= 0.995 else "" if np.isnan(value) else f"{round(value, 2) + 0.0:.2f}".replace("0.", ".", 1)
