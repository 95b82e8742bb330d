"""Pictures of conditions: laid out on a plane by their distances, and as a tree.

Conditions are named by their pictures where there are any, by their groups where they form some.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import FAINT, INK, contrasting_colors
from brainnet.plot._figure import add_axes, grow, legend_above, new_figure, note_below, plain, title_above
from brainnet.plot._pictures import MARKERS, THUMBNAIL, group_entries, hang, one_each, pixels_of
from brainnet.plot._text import labels, widest
from brainnet.rsa import RDMs
from brainnet.rsa.rdms import as_rdms

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

TALL = 2.2  # inches of a tree
MIXED = (0.45, 0.45, 0.45)  # of branches over several groups


def condition_map(
    rdm: RDMs | Any,
    *,
    images: Sequence[Any] | None = None,
    groups: Sequence[str] | None = None,
    size: float = 4.2,
    title: str | None = None,
) -> Figure:
    """A figure of conditions laid out so that distances on paper follow one RDM (multidimensional scaling).

    The layout minimizes squared errors of distance (SMACOF) from the classical solution, so it is the same each time;
    the figure says how much of the RDM it shows.

    Args:
        rdm: one RDM without NaN.
        images: one per condition, drawn at their places; otherwise points, or names for at most 40 conditions.
        groups: the group of each condition, as color and marker (frame, with images).
        size: inches of the square.
        title: text above.

    Raises:
        ValueError: several RDMs, an RDM with NaN, or images or groups that are not one per condition.

    >>> import torch
    >>> corners = torch.tensor([[0.0, 0.0], [3.0, 0.0], [0.0, 4.0]])
    >>> condition_map(torch.cdist(corners, corners)).axes[0].texts[-1].get_text()
    'correlation with the RDM: 1.00'
    """
    rdm = _single(rdm, "condition_map")
    n = rdm.n_conditions
    images, groups = one_each(images, n, "images"), one_each(groups, n, "groups")
    places = planar_layout(rdm.to_square()[0].double().cpu().numpy())
    ax = add_axes(new_figure((size, size + 0.06)), (0.1, 0.22, size - 0.2, size - 0.2))
    kinds = list(dict.fromkeys(groups)) if groups is not None else [""]
    colors = contrasting_colors(len(kinds))
    kind_of = np.zeros(n, dtype=int) if groups is None else np.array([kinds.index(group) for group in groups])
    for kind in range(len(kinds)):
        ax.scatter(
            *places[kind_of == kind].T, s=26, color=colors[kind], marker=MARKERS[kind % len(MARKERS)],
            edgecolors="white", linewidths=0.5, zorder=3, alpha=0.0 if images is not None else 1.0,
        )  # fmt: skip
    if images is not None:
        width = float(np.clip(0.55 * (size - 0.2) / np.sqrt(n), THUMBNAIL, 0.6))
        for place, image, kind in zip(places, images, kind_of, strict=True):
            _picture(ax, image, place, width, colors[kind] if groups is not None else None)
    reach = np.abs(places).max() * 1.12 or 1.0
    ax.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal", xticks=[], yticks=[])
    if images is None and groups is None and n <= 40:
        for place, name in zip(places, labels(rdm.conditions or range(1, n + 1)), strict=True):
            left = place[0] > 0.4 * reach  # a name at the right side stands to the left of its point
            ax.annotate(name, place, (-3 if left else 3, 3), textcoords="offset points", fontsize=6, color=INK,
                        ha="right" if left else "left")  # fmt: skip
    ax.spines[:].set(color="0.85", linewidth=0.6)
    shown = np.corrcoef(_distances(places), rdm.values[0].double().cpu().numpy())[0, 1] if n > 2 else 1.0
    ax.text(1.0, -0.015, f"correlation with the RDM: {shown:.2f}", transform=ax.transAxes, fontsize=6.5, ha="right",
            va="top", color=FAINT)  # fmt: skip
    legend_above(ax, group_entries(kinds) if len(kinds) > 1 else [])
    title_above(ax.figure, title)
    return ax.figure


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

    Raises:
        ValueError: several RDMs, an RDM with NaN, or images or groups that are not one per condition.

    >>> import torch
    >>> figure = tree(torch.rand(15, generator=torch.Generator().manual_seed(0)))
    >>> len(figure.axes[0].collections[0].get_segments())    # one fork fewer than conditions
    5
    """
    from scipy.cluster.hierarchy import dendrogram
    from scipy.cluster.hierarchy import linkage as link

    rdm = _single(rdm, "tree")
    n = rdm.n_conditions
    images, groups = one_each(images, n, "images"), one_each(groups, n, "groups")
    links = link(rdm.values[0].double().cpu().numpy(), linkage)
    drawn = dendrogram(links, no_plot=True)
    width = float(np.clip(0.2 * n, 4.0, 13.0))
    ax = add_axes(new_figure((width + 0.7, TALL + 0.18)), (0.6, 0.06, width, TALL))
    kinds = list(dict.fromkeys(groups)) if groups is not None else []
    _branches(ax, drawn, links, groups, kinds)
    ax.set(xlim=(-0.6, n - 0.4), ylim=(0, links[:, 2].max() * 1.04 or 1.0))
    plain(ax, "", f"dissimilarity ({linkage} linkage)")
    ax.spines["bottom"].set_visible(False)
    leaves = drawn["leaves"]
    if images is None:
        names = labels(rdm.conditions or range(1, n + 1))
        ax.set_xticks(range(n), [names[leaf] for leaf in leaves], rotation=90, fontsize=6, color=INK)
        ax.tick_params(axis="x", length=0, pad=5)
        grow(ax.figure, bottom=widest(names, 6) + 0.1)
    else:
        ax.set_xticks([])
        _leaf_pictures(ax, [images[leaf] for leaf in leaves], width)
    for place, leaf in enumerate(leaves if kinds else ()):
        kind = kinds.index(groups[leaf])
        ax.plot(place, 0, MARKERS[kind % len(MARKERS)], color=contrasting_colors(len(kinds))[kind], markersize=4.5,
                clip_on=False, markeredgewidth=0, zorder=4)  # fmt: skip
    legend_above(ax, group_entries(kinds))
    title_above(ax.figure, title)
    note_below(ax.figure, "Branches within one group have its color" if kinds else "")
    return ax.figure


def _single(rdm: RDMs | Any, name: str) -> RDMs:
    rdm = as_rdms(rdm)
    if len(rdm) != 1:
        raise ValueError(f"{name} draws one RDM, got {len(rdm)}; choose one, as in rdms['V1'].")
    if not rdm.values.isfinite().all():
        raise ValueError("the RDM holds NaN; drop its undefined conditions with .subset() before drawing it.")
    return rdm


def _branches(
    ax: Axes, drawn: dict[str, Any], links: np.ndarray, groups: Sequence[str] | None, kinds: Sequence[str]
) -> None:
    """The forks of a tree, those over leaves of one group in its color."""
    from matplotlib.collections import LineCollection

    segments = [
        np.stack([(np.array(x) - 5) / 10, y], axis=1) for x, y in zip(drawn["icoord"], drawn["dcoord"], strict=True)
    ]
    paint = [(0.3, 0.3, 0.3)]
    if groups is not None:
        colors = dict(zip(kinds, contrasting_colors(len(kinds)), strict=True))
        at_height: dict[float, set] = {}
        for height, kind in zip(links[:, 2], _groups_below(links, groups), strict=True):
            at_height.setdefault(round(float(height), 9), set()).add(kind)
        held = [at_height[round(float(max(y)), 9)] for y in drawn["dcoord"]]
        paint = [colors.get(next(iter(some)), MIXED) if len(some) == 1 else MIXED for some in held]
    ax.add_collection(LineCollection(segments, colors=paint, linewidths=1.0, capstyle="round"))


def planar_layout(square: np.ndarray, steps: int = 300) -> np.ndarray:
    """(n, 2) places whose distances follow the matrix (n, n) with least squared error, from the classical solution.

    Reference: de Leeuw (1977), majorization (SMACOF); Torgerson (1952), classical scaling.

    >>> places = planar_layout(np.array([[0, 3, 4], [3, 0, 5], [4, 5, 0.0]]))
    >>> np.linalg.norm(places[1] - places[2]).round(6).item()
    5.0
    """
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


def _leaf_pictures(ax: Axes, images: Sequence[Any], width: float) -> None:
    """Pictures below the leaves, in lanes where a leaf is narrower than a picture that can be recognized."""
    n = len(images)
    lanes = max(1, int(np.ceil(THUMBNAIL / (width / n))))
    reach = width / n * lanes if lanes > 1 else min(max(THUMBNAIL, width / n), 0.5)  # inches of a picture
    size = 0.94 * reach
    for i, image in enumerate(images):
        x = (i + 0.6) / (n + 0.2) * width
        y = -0.08 - (i % lanes + 0.5) * reach
        hang(ax, image, ((x - size / 2) / width, (y - size / 2) / TALL, size / width, size / TALL))
    grow(ax.figure, bottom=lanes * reach + 0.1)


def _picture(ax: Axes, image: Any, place: np.ndarray, width: float, frame: Any) -> None:
    from matplotlib.offsetbox import AnnotationBbox, OffsetImage

    pixels = pixels_of(image, 160)
    box = OffsetImage(pixels, zoom=width * 72 / max(pixels.shape[:2]))
    edge = {"edgecolor": frame, "linewidth": 1.4} if frame is not None else {"edgecolor": "white", "linewidth": 0.5}
    ax.add_artist(AnnotationBbox(box, place, pad=0.1, bboxprops=edge, zorder=4))
