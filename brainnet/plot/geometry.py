"""Pictures of RDMs themselves: matrices, maps of conditions, trees, and how models resemble one another.

Dissimilarity is dark where small, on a scale whose lightness rises evenly, so that a matrix prints in grey as it looks
on screen. Conditions are named by their pictures where there are any, by their groups where they form some.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import FAINT, INK, SEQUENTIAL, cluster_colors
from brainnet.plot._figure import add_axes, color_bar, new_figure
from brainnet.rsa import RDMs, compare
from brainnet.rsa.rdms import as_rdms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
LEGIBLE = 0.11  # inches a line of small text needs
THUMBNAIL = 0.17  # inches below which a picture says nothing


def rdms(
    rdms: RDMs | Any,
    *,
    images: Sequence[Any] | None = None,
    groups: Sequence[str] | None = None,
    ranked: bool = True,
    columns: int | None = None,
    size: float | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of RDMs as matrices, one panel each, on one color scale.

    Args:
        rdms: up to about twenty RDMs over the same conditions.
        images: one per condition, PIL or (H, W[, 3]) arrays; shown along the sides, staggered where they are many.
        groups: the group of each condition; conditions are brought together by group, named and separated by lines.
        ranked: color by percentile of dissimilarity within each RDM rather than by its value.
        columns: panels in a row.
        size: inches of a panel; by default 2.6, or 3.4 with images.
        title: text above.

    Raises:
        ValueError: images or groups that are not one per condition.

    >>> import torch
    >>> figure = rdms(torch.rand(2, 28, generator=torch.Generator().manual_seed(0)))
    >>> len(figure.axes)    # two matrices and a color bar
    3
    """
    rdms = as_rdms(rdms)
    n = rdms.n_conditions
    images, groups = _one_each(images, n, "images"), _one_each(groups, n, "groups")
    if groups is not None:
        order = np.argsort([list(dict.fromkeys(groups)).index(group) for group in groups], kind="stable")
        rdms, groups = rdms.reorder(order.tolist()), [groups[i] for i in order]
        images = None if images is None else [images[i] for i in order]
    squares = (percentiles(rdms) if ranked else rdms).to_square(float("nan")).cpu().numpy()
    size = size or (2.6 if images is None else 3.4)
    names = _condition_names(rdms, images, groups, size)
    count = len(rdms)
    columns = -(-count // -(-count // 4)) if columns is None else columns  # at most four, rows of equal length
    rows = -(-count // columns)
    lanes = 0 if images is None else max(1, int(np.ceil(THUMBNAIL / (size / n))))
    reach = size / n * lanes  # inches of a picture: as many cells as there are lanes
    strip = lanes * reach + 0.08 if lanes else 0.0
    side = max(strip, _text_width(names, 5.5) if names else 0.0, 0.20 if groups else 0.0)
    cell = (size + 0.25, size + 0.32)  # rows and columns are the same in every panel: named on the outer ones alone
    head = (0.32 if title else 0.06) + strip
    figure = new_figure((columns * cell[0] + side + 0.1, rows * cell[1] + 0.55 + head))
    if title:
        _title(figure, title)
    shown = squares[np.isfinite(squares)]
    low, high = (0.0, 100.0) if ranked else (min(0.0, float(shown.min())), float(shown.max()))
    for number, (name, square) in enumerate(zip(rdms.names, squares, strict=True)):
        row, column = divmod(number, columns)
        left = 0.08 + column * cell[0] + side
        bottom = 0.55 + (rows - 1 - row) * cell[1]
        ax = add_axes(figure, (left, bottom, size, size))
        _matrix(ax, square, low, high)
        ax.text(0, size + (strip if row == 0 else 0) + 0.07, name, transform=_inches(ax), fontsize=8, color=INK)
        if groups is not None:
            _group_lines(ax, groups, named=column == 0 and images is None)
        if images is not None:
            _thumbnails(ax, images, lanes, reach, size, left=column == 0, above=row == 0)
        elif names and column == 0:
            ax.set_yticks(range(n), names, fontsize=5.5, color=INK)
            ax.tick_params(axis="y", length=0, pad=2)
    bar = add_axes(figure, (0.08 + side, 0.32, min(size, 2.2), 0.08))
    ticks = {0: "0", 50: "50", 100: "100"} if ranked else None
    unit = "percentile of dissimilarity" if ranked else f"{rdms.metric} distance"
    color_bar(bar, SEQUENTIAL, low, high, unit, ticks)
    return figure


def condition_map(
    rdm: RDMs | Any,
    *,
    images: Sequence[Any] | None = None,
    groups: Sequence[str] | None = None,
    size: float = 4.2,
    title: str | None = None,
) -> Figure:
    """A figure of conditions laid out so that distances on paper follow one RDM (multidimensional scaling).

    The layout minimises squared errors of distance (SMACOF) from the classical solution, so it is the same each time;
    the figure says how much of the RDM it shows.

    Args:
        rdm: one RDM without NaN.
        images: one per condition, drawn at their places; otherwise points, or names for at most 40 conditions.
        groups: the group of each condition, as color and marker (frame, with images).
        size: inches of the square.
        title: text above.

    >>> import torch
    >>> corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    >>> condition_map(torch.cdist(corners, corners)).axes[0].texts[-1].get_text()
    'correlation with the RDM: 1.00'
    """
    rdm = as_rdms(rdm)
    if len(rdm) != 1:
        raise ValueError(f"condition_map draws one RDM, got {len(rdm)}; choose one, as in rdms['V1'].")
    n = rdm.n_conditions
    images, groups = _one_each(images, n, "images"), _one_each(groups, n, "groups")
    places = planar_layout(rdm.to_square()[0].double().cpu().numpy())
    head = (0.3 if title else 0.06) + (0.2 if groups is not None else 0.0)
    figure = new_figure((size, size + head))
    ax = add_axes(figure, (0.1, 0.22, size - 0.2, size - 0.2))
    if title:
        _title(figure, title)
    kinds = list(dict.fromkeys(groups)) if groups is not None else [""]
    colors = _contrasting(len(kinds))
    kind_of = np.zeros(n, dtype=int) if groups is None else np.array([kinds.index(group) for group in groups])
    for kind, name in enumerate(kinds):
        some = places[kind_of == kind]
        ax.scatter(
            *some.T, s=26, color=colors[kind], marker=MARKERS[kind % len(MARKERS)], edgecolors="white",
            linewidths=0.5, label=name, zorder=3, alpha=0.0 if images is not None else 1.0,
        )  # fmt: skip
    if images is not None:
        width = float(np.clip(0.55 * (size - 0.2) / np.sqrt(n), THUMBNAIL, 0.6))
        for place, image, kind in zip(places, images, kind_of, strict=True):
            _picture(ax, image, place, width, colors[kind] if groups is not None else None)
    elif groups is None and n <= 40:
        for place, name in zip(places, rdm.conditions or map(str, range(1, n + 1)), strict=True):
            ax.annotate(name, place, (3, 3), textcoords="offset points", fontsize=6, color=INK)
    if len(kinds) > 1:
        _legend_of_kinds(ax, kinds, colors)
    reach = np.abs(places).max() * 1.12
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    ax.spines[:].set(color="0.85", linewidth=0.6)
    shown = np.corrcoef(_distances(places), rdm.values[0].double().cpu().numpy())[0, 1] if n > 2 else 1.0
    ax.text(1.0, -0.015, f"correlation with the RDM: {shown:.2f}", transform=ax.transAxes, fontsize=6.5, ha="right",
            va="top", color=FAINT)  # fmt: skip
    return figure


def tree(
    rdm: RDMs | Any,
    *,
    images: Sequence[Any] | None = None,
    groups: Sequence[str] | None = None,
    linkage: str = "average",
    title: str | None = None,
) -> Figure:
    """A figure of conditions as a tree: which are alike, and which groups of them are (a dendrogram).

    Args:
        rdm: one RDM without NaN.
        images: one per condition, below the leaves.
        groups: the group of each condition; leaves are colored, and branches within one group take its color.
        linkage: "average", "complete", "single" or "ward", as scipy.
        title: text above.

    >>> import torch
    >>> figure = tree(torch.rand(15, generator=torch.Generator().manual_seed(0)))
    >>> len(figure.axes[0].collections[0].get_segments())    # one fork fewer than conditions
    5
    """
    from matplotlib.collections import LineCollection
    from scipy.cluster.hierarchy import dendrogram
    from scipy.cluster.hierarchy import linkage as link

    rdm = as_rdms(rdm)
    if len(rdm) != 1:
        raise ValueError(f"tree draws one RDM, got {len(rdm)}; choose one, as in rdms['V1'].")
    n = rdm.n_conditions
    images, groups = _one_each(images, n, "images"), _one_each(groups, n, "groups")
    links = link(rdm.values[0].double().cpu().numpy(), linkage)
    drawn = dendrogram(links, no_plot=True)
    leaves = drawn["leaves"]
    width = float(np.clip(0.2 * n, 4.0, 13.0))
    lanes = 0 if images is None else max(1, int(np.ceil(THUMBNAIL / (width / n))))
    names = list(rdm.conditions or map(str, range(1, n + 1)))
    reach = width / n * lanes if lanes > 1 else min(max(THUMBNAIL, width / n), 0.5)  # inches of a picture
    foot = lanes * reach + 0.1 if lanes else _text_width(names, 6) + 0.05
    head = 0.35 if title else 0.12
    keyed = 0.2 if groups is not None else 0.0
    figure = new_figure((width + 0.7, 2.2 + foot + head + keyed + 0.06))
    if title:
        _title(figure, title)
    ax = add_axes(figure, (0.6, foot + 0.06, width, 2.2))
    kinds = list(dict.fromkeys(groups)) if groups is not None else []
    colors = dict(zip(kinds, _contrasting(len(kinds)), strict=True))
    below = _groups_below(links, groups) if groups is not None else None
    segments, paint = [], []
    for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True):
        segments.append(np.stack([(np.array(x) - 5) / 10, y], axis=1))
    if below is not None:
        heights = {round(float(h), 9): set() for h in links[:, 2]}
        for height, kind in zip(links[:, 2], below, strict=True):
            heights[round(float(height), 9)].add(kind)
        for y in drawn["dcoord"]:
            kind = heights[round(float(max(y)), 9)]
            only = next(iter(kind)) if len(kind) == 1 else None
            paint.append(colors.get(only, (0.45, 0.45, 0.45)))
    ax.add_collection(LineCollection(segments, colors=paint or [(0.3, 0.3, 0.3)], linewidths=1.0, capstyle="round"))
    ax.set(xlim=(-0.6, n - 0.4), ylim=(0, links[:, 2].max() * 1.04))
    ax.spines[["top", "right", "bottom"]].set_visible(False)
    ax.spines["left"].set(linewidth=0.6, color=FAINT)
    ax.tick_params(axis="y", labelsize=7, length=2.5, width=0.5, colors=INK)
    ax.set_ylabel(f"dissimilarity ({linkage} linkage)", fontsize=7.5, color=INK)
    if images is None:
        ax.set_xticks(range(n), [names[leaf] for leaf in leaves], rotation=90, fontsize=6, color=INK)
        ax.tick_params(axis="x", length=0, pad=3)
    else:
        ax.set_xticks([])
        _leaf_pictures(ax, [images[leaf] for leaf in leaves], lanes, reach, width)
    if kinds:
        for place, leaf in enumerate(leaves):
            kind = groups[leaf]
            ax.plot(place, 0, MARKERS[kinds.index(kind) % len(MARKERS)], color=colors[kind], markersize=4.5,
                    clip_on=False, markeredgewidth=0, zorder=4)  # fmt: skip
        _legend_of_kinds(ax, kinds, np.array([colors[kind] for kind in kinds]))
    return figure


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
        from scipy.cluster.hierarchy import leaves_list
        from scipy.cluster.hierarchy import linkage as link

        upper = np.triu_indices(len(values), 1)
        order = leaves_list(link(np.maximum(values.max() - values[upper], 0), "average", optimal_ordering=True))
        values, names = values[np.ix_(order, order)], [names[i] for i in order]
    n = len(values)
    cell = 0.34 if n <= 24 else 8.2 / n
    side, head = _text_width(names, 7) + 0.15, (0.4 if title else 0.12)
    figure = new_figure((side + n * cell + 0.2, head + n * cell + side + 0.5))
    if title:
        _title(figure, title)
    ax = add_axes(figure, (side, side + 0.5, n * cell, n * cell))
    low = min(0.0, float(np.nanmin(values)))
    ax.imshow(values, cmap=SEQUENTIAL, vmin=low, vmax=1.0)
    if n <= 24:
        for i, j in np.ndindex(n, n):
            ink = "0.1" if (values[i, j] - low) / (1 - low) > 0.55 else "white"
            ax.text(j, i, _short(values[i, j]), ha="center", va="center", fontsize=6.5, color=ink)
    ax.set_xticks(range(n), names, rotation=90)
    ax.set_yticks(range(n), names)
    ax.tick_params(labelsize=7 if n <= 24 else max(3.5, 60 * cell), length=0, pad=3, colors=INK)
    ax.spines[:].set_visible(False)
    bar = add_axes(figure, (side, 0.33, min(1.8, n * cell), 0.08))
    color_bar(bar, SEQUENTIAL, low, 1.0, f"{method} similarity")
    return figure


# ---- numbers ------------------------------------------------------------------------------------------------------


def percentiles(rdms: RDMs) -> RDMs:
    """RDMs with dissimilarities as percentiles, 0 for the smallest and 100 for the largest of each.

    >>> import torch
    >>> percentiles(RDMs(torch.tensor([5.0, 9.0, 7.0]))).values.tolist()
    [[0.0, 100.0, 50.0]]
    """
    ranks = rdms.rank()
    known = (~ranks.values.isnan()).sum(1, keepdim=True)
    values = 100 * (ranks.values - 1) / (known - 1).clamp(min=1)
    return RDMs(values, "percentile", rdms.names, rdms.conditions)


def planar_layout(square: np.ndarray, steps: int = 300) -> np.ndarray:
    """(n, 2) places whose distances follow the matrix (n, n) with least squared error, from the classical solution.

    Reference: de Leeuw (1977), majorisation (SMACOF); Torgerson (1952), classical scaling.

    >>> places = planar_layout(np.array([[0, 3, 4], [3, 0, 5], [4, 5, 0.0]]))
    >>> np.linalg.norm(places[1] - places[2]).round(6).item()
    5.0
    """
    if not np.isfinite(square).all():
        raise ValueError("the RDM holds NaN; drop its undefined conditions with .subset() before drawing it.")
    n = len(square)
    target = np.maximum(square, 0)  # cross-validated distances may lie below 0
    centring = np.eye(n) - 1 / n
    values, vectors = np.linalg.eigh(-0.5 * centring @ target**2 @ centring)
    top = np.argsort(values)[::-1][:2]
    places = vectors[:, top] * np.sqrt(np.maximum(values[top], 1e-12))
    for _ in range(steps):
        distance = np.linalg.norm(places[:, None] - places[None], axis=2)
        ratio = np.divide(target, distance, out=np.zeros_like(target), where=distance > 1e-12)
        guttman = -ratio
        guttman[np.diag_indices(n)] = ratio.sum(1)
        moved = guttman @ places / n
        if np.abs(moved - places).max() < 1e-9 * (np.abs(places).max() + 1e-300):
            break
        places = moved
    return places - places.mean(0)


def _distances(places: np.ndarray) -> np.ndarray:
    rows, columns = np.triu_indices(len(places), 1)
    return np.linalg.norm(places[rows] - places[columns], axis=1)


def _groups_below(links: np.ndarray, groups: Sequence[str]) -> list[str | None]:
    """The group all leaves under each fork share, None for mixed ones."""
    kind: list[str | None] = list(groups)
    for left, right in links[:, :2].astype(int):
        kind.append(kind[left] if kind[left] == kind[right] else None)
    return kind[len(groups) :]


# ---- pieces -------------------------------------------------------------------------------------------------------


def _one_each(items: Sequence[Any] | None, n: int, what: str) -> list[Any] | None:
    if items is not None and len(items) != n:
        raise ValueError(f"{what} must be one per condition: got {len(items)} for {n} conditions.")
    return None if items is None else list(items)


def _condition_names(rdms: RDMs, images: Any, groups: Any, size: float) -> list[str] | None:
    """Names that fit beside the rows, or None."""
    if rdms.conditions is None or images is not None or groups is not None or size / rdms.n_conditions < 0.08:
        return None
    return list(rdms.conditions)


def _matrix(ax: Axes, square: np.ndarray, low: float, high: float) -> None:
    from matplotlib import colormaps

    cmap = colormaps[SEQUENTIAL].with_extremes(bad="0.82")  # the diagonal, and pairs that are undefined
    ax.imshow(np.ma.masked_invalid(square), cmap=cmap, vmin=low, vmax=high, interpolation="nearest")
    ax.set(xticks=[], yticks=[])
    ax.spines[:].set(linewidth=0.5, color=FAINT)


def _group_lines(ax: Axes, groups: Sequence[str], named: bool) -> None:
    n = len(groups)
    starts = [0, *(i for i in range(1, n) if groups[i] != groups[i - 1]), n]
    for edge in starts[1:-1]:
        ax.axhline(edge - 0.5, color="white", linewidth=1.0)
        ax.axvline(edge - 0.5, color="white", linewidth=1.0)
    for start, stop in pairwise(starts):
        middle = (start + stop - 1) / 2
        if named:
            ax.text(-0.02 * n - 0.5, middle, groups[start], rotation=90, ha="right", va="center", fontsize=6.5,
                    color=INK)  # fmt: skip


def _thumbnails(
    ax: Axes, images: Sequence[Any], lanes: int, reach: float, size: float, left: bool, above: bool
) -> None:
    """Pictures along the left or the upper side, in lanes where a cell is too small for one."""
    n = len(images)
    for i, image in enumerate(images):
        lane = i % lanes
        centre = (i + 0.5) * size / n
        offset = 0.04 + (lanes - lane - 0.5) * reach
        places = ([(-offset, size - centre)] if left else []) + ([(centre, size + offset)] if above else [])
        for x, y in places:
            inset = ax.inset_axes(
                ((x - reach / 2) / size, (y - reach / 2) / size, reach / size, reach / size), transform=ax.transAxes
            )
            inset.imshow(_pixels(image, 2 * int(reach * 150)), interpolation="antialiased")
            inset.set_axis_off()


def _leaf_pictures(ax: Axes, images: Sequence[Any], lanes: int, reach: float, width: float) -> None:
    n, height = len(images), 2.2
    for i, image in enumerate(images):
        x = (i + 0.6) / (n + 0.2) * width
        y = -0.08 - (i % lanes + 0.5) * reach
        size = 0.94 * reach
        inset = ax.inset_axes(((x - size / 2) / width, (y - size / 2) / height, size / width, size / height))
        inset.imshow(_pixels(image, 2 * int(reach * 150)))
        inset.set_axis_off()


def _picture(ax: Axes, image: Any, place: np.ndarray, width: float, frame: Any) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    pixels = _pixels(image, 160)
    box = OffsetImage(pixels, zoom=width * 72 / max(pixels.shape[:2]))
    edge = {"edgecolor": frame, "linewidth": 1.4} if frame is not None else {"edgecolor": "white", "linewidth": 0.5}
    ax.add_artist(AnnotationBbox(box, place, pad=0.1, bboxprops=edge, zorder=4))


def _pixels(image: Any, most: int) -> np.ndarray:
    """(H, W, 3) bytes of a picture, no larger than ``most`` on a side."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        array = (255 * array.clip(0, 1)).astype(np.uint8) if array.dtype.kind == "f" else array.astype(np.uint8)
        image = Image.fromarray(array)
    image = image.convert("RGB")
    image.thumbnail((max(most, 16),) * 2)
    return np.asarray(image)


def _legend_of_kinds(ax: Axes, kinds: Sequence[str], colors: np.ndarray) -> None:
    from matplotlib.lines import Line2D

    handles = [
        Line2D([], [], linestyle="", marker=MARKERS[i % len(MARKERS)], color=colors[i], markersize=5, label=str(kind))
        for i, kind in enumerate(kinds)
    ]
    ax.legend(handles=handles, fontsize=7, frameon=False, loc="lower left", bbox_to_anchor=(0, 1.0), ncols=len(kinds),
              borderaxespad=0.1, handletextpad=0.1, columnspacing=1.0, labelcolor=INK)  # fmt: skip


def _contrasting(count: int) -> np.ndarray:
    """Colors of categories, blue and orange first."""
    return np.roll(cluster_colors(max(count, 8)), 4, axis=0)[:count] if count <= 8 else cluster_colors(count)


def _inches(ax: Axes) -> Any:
    """A transform from inches, counted from the lower left corner of the axes."""
    from matplotlib.transforms import Affine2D, Bbox

    figure = ax.figure
    corner = Bbox(ax.get_position()).p0
    width, height = figure.get_size_inches()
    return Affine2D().scale(1 / width, 1 / height).translate(*corner) + figure.transFigure


def _title(figure: Figure, title: str) -> None:
    figure.text(0.5, 1 - 0.08 / figure.get_figheight(), title, ha="center", va="top", fontsize=10, color=INK)


def _text_width(names: Sequence[str], fontsize: float) -> float:
    """Inches of the longest name, nearly."""
    return max(map(len, names), default=0) * fontsize * 0.0078 + 0.08


def _short(value: float) -> str:
    """A correlation without its leading zero."""
    return "1" if value >= 0.995 else f"{value:.2f}".replace("0.", ".", 1)
