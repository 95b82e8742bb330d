"""The selectors one by one: each layer's weights, what of the image a region covers, and how certain the choice is."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._canvas import to_numpy
from brainnet.plot._colors import FAINT, INK, layer_entropy
from brainnet.plot._figure import (
    add_axes,
    box_of,
    color_bar,
    name_columns,
    name_rows,
    new_figure,
    note_below,
    title_above,
)
from brainnet.plot._pictures import pixels_of
from brainnet.plot._text import labels, labels_within, named
from brainnet.plot.brain.folded import cortex_maps
from brainnet.plot.scene import Scene
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

WEIGHTS = "inferno"  # of layer weights
COVERED, CENTER = "Blues", "#D55E00"
SIDE = 1.35  # inches of a square that stands for the image
POINTS = 64  # of a coverage, on a side
LOCAL = 0.5  # scale below which a voxel reads its place more than the whole image
FEW = 400  # voxels of a region whose places are all drawn


def layer_weights(
    layer: Tensor,
    space: BrainSpace,
    names: Sequence[str] | None = None,
    *,
    scene: Scene | str = "flat",
    alpha: Tensor | None = None,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure with a map for each layer, of its weight in every voxel, all on one scale from 0.

    Args:
        layer: (n_voxels, n_layers) weights, each row summing to 1.
        space: a surface, or a volume in MNI coordinates.
        names: of the layers.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`.
        alpha: (n_voxels,) opacity, as by score.
        outlines: regions to outline.
        title: text above.

    Raises:
        ValueError: a space without a place on a brain, or other lengths.

    >>> import torch
    >>> from brainnet.space import occipital_vertices, surface_space
    >>> space = surface_space(occipital_vertices(10))
    >>> layer = torch.full((space.n_voxels, 2), 0.5)
    >>> [text.get_text() for text in layer_weights(layer, space, ["early", "late"]).texts]
    ['early', 'late']
    """
    layer = to_numpy(layer)
    names = _names(names, layer.shape[1])
    columns = max(2, min(4, int(np.ceil(np.sqrt(len(names))))))
    top = float(np.nanmax(layer, initial=0.0)) or 1.0
    look = {"cmap": WEIGHTS, "vmin": 0.0, "vmax": top, "label": "weight of the layer"}
    titles = named(names, "layer")
    return cortex_maps(
        {name: layer[:, place] for place, name in enumerate(titles)}, space, scene,
        looks=dict.fromkeys(titles, look), shared=True, columns=columns, alpha=alpha, outlines=outlines, title=title,
        width=1.9 * columns + 1.0,
    )  # fmt: skip


def layer_profile(
    layer: Tensor, space: BrainSpace, names: Sequence[str] | None = None, *, title: str | None = None
) -> Figure:
    """A figure of the mean layer weights of each region: a row for each, with its mean depth as a dot.

    Args:
        layer: (n_voxels, n_layers) weights; NaN voxels are left out.
        space: whose regions are shown, and all voxels.
        names: of the layers.
        title: text above.

    >>> import torch
    >>> profile = layer_profile(torch.eye(3), BrainSpace.free(3, {"V1": torch.tensor([True, False, False])}))
    >>> profile.axes[0].images[0].get_array().shape
    (2, 3)
    """
    layer = to_numpy(layer)
    names = _names(names, layer.shape[1])
    known = np.isfinite(layer).all(axis=1)
    regions = _regions(space, known)
    mean = np.stack([layer[mask].mean(axis=0) for mask in regions.values()])
    depth = mean @ np.arange(len(names))
    across, up = min(8.0, max(2.4, 0.42 * len(names))), 0.27 * len(regions)
    figure = new_figure((across + 0.3, up + 0.8))
    ax = add_axes(figure, (0.1, 0.6, across, up))
    top = float(mean.max())
    ax.imshow(mean, aspect="auto", cmap=WEIGHTS, vmin=0, vmax=top, interpolation="nearest")
    ax.plot(depth, np.arange(len(regions)), "o", color="white", markeredgecolor="black", markersize=4.5, linewidth=0)
    ax.tick_params(length=0, labelcolor=INK)
    for spine in ax.spines.values():
        spine.set(linewidth=0.5, color=FAINT)
    name_columns(ax, range(len(names)), labels(names))
    name_rows(ax, [f"{name} ({mask.sum():,})" for name, mask in zip(labels(regions), regions.values(), strict=True)])
    left, bottom, width, _ = box_of(ax)
    bar = add_axes(figure, (left + 0.25 * width, max(bottom - 0.62, 0.32), 0.5 * width, 0.09))
    color_bar(bar, WEIGHTS, 0.0, top, "mean weight")
    title_above(figure, title)
    note_below(figure, "Dot: mean depth of the region, the layers weighted", "In brackets: voxels")
    return figure


def field_coverage(
    position: Tensor,
    space: BrainSpace,
    width: Tensor | None = None,
    scale: Tensor | None = None,
    *,
    scores: Tensor | None = None,
    least_score: float = 0.1,
    image: Any = None,
    title: str | None = None,
) -> Figure:
    """A figure of what each region covers of the image: how near some voxel's window comes to every place of it.

    The coverage of a place is the highest value there of the windows of all voxels, each 1 at its center, as for
    population receptive fields. Voxels that read the whole image rather than a place (scale of 0.5 and more) are left
    out and counted.

    Args:
        position: (n_voxels, 2) in [-1, 1], x to the right, y downwards.
        space: whose regions are shown, and all voxels.
        width: (n_voxels,) or (n_voxels, 1) standard deviation of each window, in half-widths of the image; None draws
            places alone and takes .1.
        scale: (n_voxels,) or (n_voxels, 1), 0 local to 1 global.
        scores: (n_voxels,); voxels below ``least_score`` are left out.
        least_score: see ``scores``.
        image: an example drawn beneath, PIL or (H, W, 3).
        title: text above.

    >>> import torch
    >>> figure = field_coverage(torch.zeros(4, 2), BrainSpace.free(4))
    >>> round(float(figure.axes[0].images[-1].get_array().max()), 2)
    0.98
    """
    position = to_numpy(position)
    sizes = np.full(len(position), 0.1) if width is None else to_numpy(width).reshape(-1)
    known = np.isfinite(position).all(axis=1) & np.isfinite(sizes)
    if scores is not None:
        known &= np.nan_to_num(to_numpy(scores), nan=-np.inf) >= least_score
    regions = _regions(space, known)
    local = np.ones(len(position), bool) if scale is None else to_numpy(scale).reshape(-1) < LOCAL
    columns = min(len(regions), 6)
    rows = -(-len(regions) // columns)
    step = (SIDE + 0.16, SIDE + 0.34)
    figure = new_figure((columns * step[0] + 0.1, rows * step[1] + 0.55))
    for number, (name, mask) in enumerate(regions.items()):
        row, column = divmod(number, columns)
        ax = add_axes(figure, (0.1 + column * step[0], 0.5 + (rows - 1 - row) * step[1], SIDE, SIDE))
        inside = mask & local
        _coverage(ax, position[inside], sizes[inside], width is not None, image)
        ax.set_title(labels_within([name], 8, SIDE)[0], fontsize=8, color=INK, loc="left", pad=2)
        left_out = int(mask.sum() - inside.sum())
        if not inside.any():
            ax.text(0, 0, "the whole image", fontsize=7, color=FAINT, ha="center", va="center")
        text = f"{inside.sum():,}" + (f", {left_out:,} global" if left_out else "")
        ax.text(1, 1.015, text, transform=ax.transAxes, fontsize=5.5, color=FAINT, ha="right", va="bottom")
    bar = add_axes(figure, (0.1 + 0.1 * SIDE, 0.33, 0.8 * SIDE, 0.08))
    color_bar(bar, COVERED, 0.0, 1.0, "coverage")
    title_above(figure, title)
    weak = "" if scores is None else f"Voxels with a score below {least_score:g} are left out"
    note_below(
        figure, "The frame is the image", "Dots: centers of windows", "" if width is None else
        "Circle: the median window, one standard deviation", "Numbers: voxels that read a place, and the whole image",
        weak,
    )  # fmt: skip
    return figure


def _coverage(ax: Axes, places: np.ndarray, sizes: np.ndarray, circle: bool, image: Any) -> None:
    from matplotlib.patches import Circle

    grid = (np.arange(POINTS) + 0.5) * 2 / POINTS - 1
    covered = np.zeros((POINTS, POINTS))
    for start in range(0, len(places), 512):
        part, size = places[start : start + 512], sizes[start : start + 512, None].clip(1e-3)
        x, y = (np.exp(-((grid - part[:, axis, None]) ** 2) / (2 * size**2)) for axis in (0, 1))
        covered = np.maximum(covered, (y[:, :, None] * x[:, None, :]).max(axis=0))
    if image is not None:
        ax.imshow(pixels_of(image, 400), extent=(-1, 1, 1, -1))
    ax.imshow(covered, extent=(-1, 1, 1, -1), cmap=COVERED, vmin=0, vmax=1, alpha=None if image is None else 0.6)
    shown = places[:: max(1, len(places) // FEW)]
    ax.plot(*shown.T, ".", color=CENTER, markersize=1.8, markeredgewidth=0, alpha=0.8)
    if circle and len(places):
        center = (float(np.median(places[:, 0])), float(np.median(places[:, 1])))
        ax.add_patch(Circle(center, float(np.median(sizes)), fill=False, color=CENTER, linewidth=1.0))
    ax.set(xlim=(-1, 1), ylim=(1, -1), xticks=[], yticks=[])
    for spine in ax.spines.values():
        spine.set(linewidth=0.5, color=FAINT)


def certainty(
    runs: Mapping[str, tuple[Tensor, Tensor]],
    space: BrainSpace,
    *,
    scene: Scene | str = "flat",
    alpha: Tensor | None = None,
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of how certain layers and places are: the entropy of the weights, and their spread over trainings.

    Args:
        runs: name -> layer weights (n_voxels, n_layers) and places (n_voxels, 2) of a training; of several, as with
            other seeds, their spread is drawn too.
        space: a surface, or a volume in MNI coordinates.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`.
        alpha: (n_voxels,) opacity, as by score.
        outlines: regions to outline.
        title: text above.
    """
    maps, looks = certainty_maps(runs), {}
    looks[ENTROPY] = {"vmin": 0.0, "vmax": 1.0, "cmap": "cividis_r", "label": "0 one layer, 1 all alike"}
    looks[SPREAD_OF_DEPTH] = {"vmin": 0.0, "cmap": "cividis_r", "label": "SD over runs, share of the depth"}
    looks[SPREAD_OF_PLACE] = {"vmin": 0.0, "cmap": "cividis_r", "label": "SD over runs, half-widths of the image"}
    note = f"Spread over {len(runs)} runs" if len(runs) > 1 else "Give several runs to see the spread between them"
    return cortex_maps(maps, space, scene, looks=looks, columns=len(maps), alpha=alpha, outlines=outlines, title=title,
                       note=note, width=3.2 * len(maps) + 0.5)  # fmt: skip


ENTROPY, SPREAD_OF_DEPTH, SPREAD_OF_PLACE = "entropy of layers", "spread of depth", "spread of place"


def certainty_maps(runs: Mapping[str, tuple[Any, Any]]) -> dict[str, np.ndarray]:
    """Name -> (n_voxels,) of :func:`certainty`: entropy 0..1; spread of depth 0..1 and of place in half-widths.

    >>> one, two = (np.array([[1.0, 0.0]]), np.zeros((1, 2))), (np.array([[0.0, 1.0]]), np.ones((1, 2)))
    >>> {name: round(float(of[0]), 2) for name, of in certainty_maps({"a": one, "b": two}).items()}
    {'entropy of layers': 0.0, 'spread of depth': 0.5, 'spread of place': 0.71}
    """
    layers = [to_numpy(layer) for layer, _ in runs.values()]
    maps = {ENTROPY: np.mean([layer_entropy(layer) for layer in layers], axis=0)}
    if len(runs) > 1:
        places = np.stack([to_numpy(place) for _, place in runs.values()])
        maps[SPREAD_OF_DEPTH] = np.std([depth_of(layer) for layer in layers], axis=0)
        maps[SPREAD_OF_PLACE] = np.sqrt(places.var(axis=0).sum(axis=1))
    return maps


def depth_of(layer: Any) -> np.ndarray:
    """(n_voxels,) mean depth of layer weights (n_voxels, n_layers): 0 the first layer, 1 the last one.

    >>> depth_of(np.array([[1.0, 0, 0], [0, 0.5, 0.5]])).tolist()
    [0.0, 0.75]
    """
    layer = to_numpy(layer)
    return layer @ np.linspace(0, 1, layer.shape[1]) if layer.shape[1] > 1 else 0.0 * layer[:, 0]


def _names(names: Sequence[str] | None, n_layers: int) -> list[str]:
    names = [str(place + 1) for place in range(n_layers)] if names is None else [str(name) for name in names]
    if len(names) != n_layers:
        raise ValueError(f"{len(names)} names for {n_layers} layers.")
    return names


def _regions(space: BrainSpace, known: np.ndarray) -> dict[str, np.ndarray]:
    """All voxels and every region, of known voxels; those without any are left out."""
    found = {"all": known} | {name: mask.numpy() & known for name, mask in space.rois.items()}
    found = {name: mask for name, mask in found.items() if mask.any()}
    if not found:
        raise ValueError("no voxel is known: there is nothing to draw.")
    return found
