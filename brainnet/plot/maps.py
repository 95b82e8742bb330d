"""The maps of FactorTopy: which layer, place in the image, scale and channels predict each voxel, and how well.

Color limits are fixed (layers first to last, scale 0 to 1, score 0 to 1 unless told otherwise), so that the maps of a
model trained on shuffled responses look as flat as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._canvas import Canvas, canvas_of, to_numpy
from brainnet.plot._colors import (
    DIVERGING,
    FAINT,
    INK,
    SEQUENTIAL,
    cluster_colors,
    continuous_colors,
    darken,
    layer_colors,
    layer_entropy,
    position_colors,
)
from brainnet.plot._figure import add_axes, color_bar, new_figure, patches, plain, style_legend
from brainnet.plot._units import ceiling_scatter, histogram, summary, units_figure
from brainnet.plot.surface import regions
from brainnet.selection import Selectors
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

FADE = (0.0, 0.2)  # a map is all but transparent where the score is at the first, opaque from the second on
FAINTEST = 0.12
PANEL_WIDTH = 3.5
HEADER, LEGEND, EDGE, CURVES = 0.42, 0.98, 0.12, 1.9  # inches


@dataclass(frozen=True)
class _Panel:
    """One map: its title, a line that explains it, its colors pixel by pixel, and its legend."""

    title: str
    meaning: str
    picture: Callable[[Canvas], np.ndarray]
    legend: Callable[[Figure, tuple[float, float, float, float]], None]
    fades: bool = True


def selectors(
    selectors: Selectors,
    space: BrainSpace,
    *,
    scores: Tensor | None = None,
    noise_ceiling: Tensor | None = None,
    clusters: Tensor | None = None,
    width: Tensor | None = None,
    layer_names: Sequence[str] | None = None,
    title: str | None = None,
    alpha_by_score: bool = True,
    score_limits: tuple[float, float] = (0.0, 1.0),
    score_name: str = "r",
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
) -> Figure:
    """One figure of all that was learned about every voxel, each map with its legend.

    *Layer*: the layer of largest weight, darker the more evenly the weights are spread. *Space*: the color of the
    place in the image. *Scale*: local to global. *Score* and *channels*, where given. Surface spaces become flat maps,
    volume spaces slices; units without a place a sorted picture of layer weights, positions, scales and scores.

    Args:
        selectors: space (n, 2) in [-1, 1], layer (n, n_layers), scale (n, 1).
        space: where the n voxels are.
        scores: (n,) test or validation scores.
        noise_ceiling: (n,) the largest score a perfect model would reach, on the scale of ``scores``.
        clusters: (n,) integers, the channel cluster of each voxel; -1 for none.
        width: (n, 1) or (n,) width of a Gaussian window, image half-width = 1; drawn for units without a place.
        layer_names: one for each layer, by default 1, 2, ...
        title: text above.
        alpha_by_score: whether maps fade where the score falls below 0.2; needs ``scores``.
        score_limits: scores of the lowest and highest color.
        score_name: what the score is, at its color bar.
        outlines: regions to outline: True for all of the space, their names, or name -> (n,) bool.

    Returns:
        A matplotlib figure, unknown to pyplot: ``figure.savefig(...)``.

    Raises:
        ValueError: something has another length than the space.

    >>> import torch
    >>> from brainnet.space import occipital_vertices, surface_space
    >>> space = surface_space(occipital_vertices(15))
    >>> n = space.n_voxels
    >>> chosen = Selectors(torch.zeros(n, 2), torch.full((n, 4), 0.25), torch.full((n, 1), 0.5))
    >>> figure = selectors(chosen, space, scores=torch.full((n,), 0.4))
    >>> [text.get_text() for text in figure.texts if text.get_weight() == "bold"]
    ['Layer', 'Space', 'Scale', 'Score']
    """
    chosen = _checked(selectors, space.n_voxels)
    given = {"scores": scores, "noise_ceiling": noise_ceiling, "clusters": clusters, "width": width}
    given = {name: _column(value, space.n_voxels, name) for name, value in given.items() if value is not None}
    if "noise_ceiling" in given and np.isnan(given["noise_ceiling"]).all():
        del given["noise_ceiling"]
    names = _layer_names(layer_names, chosen.layer.shape[1])
    canvas = canvas_of(space)
    if canvas is None:
        return units_figure(chosen, given, names, title, score_limits, score_name)

    panels = [_layer_panel(chosen.layer, names), _space_panel(chosen.space), _scale_panel(chosen.scale)]
    if "scores" in given:
        panels.append(_score_panel(given["scores"], score_limits, score_name))
    if "clusters" in given:
        panels.append(_cluster_panel(given["clusters"]))
    graphs = {}
    if "scores" in given and "noise_ceiling" in given:
        graphs["Score against noise ceiling"] = partial(
            ceiling_scatter, scores=given["scores"], ceiling=given["noise_ceiling"], name=score_name
        )
    if "scores" in given and len(panels) + len(graphs) == 5:  # fills the sixth place
        low = float(given["scores"][np.isfinite(given["scores"])].min(initial=0.0))
        graphs["Scores"] = partial(
            histogram, values=given["scores"], span=(low, 1.0), label=score_name, what="voxels", limits=score_limits
        )
    alpha = _opacity(given["scores"]) if alpha_by_score and "scores" in given else None
    return _maps_figure(canvas, panels, alpha, title, regions(outlines, space), graphs)


def training(
    history: Sequence[Mapping[str, float]],
    selectors: Selectors,
    space: BrainSpace,
    *,
    scores: Tensor | None = None,
    layer_names: Sequence[str] | None = None,
) -> Figure:
    """A figure of the learning curves so far, above the maps as they are now.

    Args:
        history: one mapping an epoch, with "epoch" and any of "train_loss", "val_loss", "val_r", "val_r2".
        selectors: as for :func:`selectors`.
        space: where the voxels are.
        scores: (n,) validation scores; the maps fade where they are low.
        layer_names: one for each layer.
    """
    chosen = _checked(selectors, space.n_voxels)
    names = _layer_names(layer_names, chosen.layer.shape[1])
    given = {} if scores is None else {"scores": _column(scores, space.n_voxels, "scores")}
    canvas = canvas_of(space)
    if canvas is None:
        figure = units_figure(chosen, given, names, None, (0.0, 1.0), "validation r", head=CURVES)
    else:
        panels = [_layer_panel(chosen.layer, names), _space_panel(chosen.space), _scale_panel(chosen.scale)]
        alpha = _opacity(given["scores"]) if given else None
        figure = _maps_figure(canvas, panels, alpha, None, {}, {}, head=CURVES)
    _draw_curves(figure, history)
    return figure


# ---------------------------------------------------------------------- what is drawn


def _checked(selectors: Selectors, n_voxels: int) -> Selectors:
    space, layer, scale = (to_numpy(part) for part in selectors)
    scale = scale.reshape(len(scale), -1)
    shapes = (space.shape, layer.shape[:1], scale.shape)
    if shapes != ((n_voxels, 2), (n_voxels,), (n_voxels, 1)):
        raise ValueError(
            f"selectors are space {space.shape}, layer {layer.shape}, scale {scale.shape}; expected ({n_voxels}, 2), "
            f"({n_voxels}, n_layers) and ({n_voxels}, 1) for a space of {n_voxels} voxels."
        )
    return Selectors(space, layer, scale)


def _column(values: Tensor, n_voxels: int, name: str) -> np.ndarray:
    values = to_numpy(values)
    if values.shape not in ((n_voxels,), (n_voxels, 1)):
        raise ValueError(f"{name} has shape {values.shape}, expected ({n_voxels},), one for each voxel of the space.")
    return values.reshape(-1)


def _layer_names(names: Sequence[str] | None, n_layers: int) -> list[str]:
    if names is None:
        return [str(number) for number in range(1, n_layers + 1)]
    if len(names) != n_layers:
        raise ValueError(f"{len(names)} layer_names for selectors over {n_layers} layers.")
    return [str(name) for name in names]


def _opacity(scores: np.ndarray) -> np.ndarray:
    low, high = FADE
    return np.clip((scores - low) / (high - low), FAINTEST, 1)  # NaN stays NaN: an unscored voxel is transparent


def _layer_panel(layer: np.ndarray, names: list[str]) -> _Panel:
    colors = layer_colors(len(names))
    best = np.where(np.isnan(layer).any(axis=1), -1, np.nan_to_num(layer).argmax(axis=1))

    def picture(canvas: Canvas) -> np.ndarray:
        votes, entropy = canvas.vote(best), canvas.interpolate(layer_entropy(layer))
        return np.where((votes >= 0)[..., None], darken(colors[votes], entropy), np.nan)

    def legend(figure: Figure, box: tuple[float, float, float, float]) -> None:
        left, bottom, across, up = box
        ax = add_axes(figure, (left + 0.20 * across, bottom + 0.35 * up, 0.60 * across, 0.40 * up))
        shades = darken(colors[None], np.linspace(0, 1, 128)[:, None])
        ax.imshow(shades, extent=(0, len(names), 0, 1), aspect="auto", interpolation="nearest")
        every = max(1, int(np.ceil(sum(len(name) + 1.5 for name in names) / 34)))
        shown = [*range(0, len(names), every)]
        ax.set_xticks([place + 0.5 for place in shown], [names[place] for place in shown])
        style_legend(ax)
        for height, text in ((1, "one layer"), (0, "spread")):
            ax.text(-0.03, height, text, transform=ax.transAxes, fontsize=6.5, ha="right", color=INK,
                    va="top" if height else "bottom")  # fmt: skip

    return _Panel("Layer", "largest weight; darker where weights are spread", picture, legend)


def _space_panel(position: np.ndarray) -> _Panel:
    def legend(figure: Figure, box: tuple[float, float, float, float]) -> None:
        left, bottom, across, up = box
        side = 0.56 * up
        ax = add_axes(figure, (left + (across - side) / 2, bottom + 0.17 * up, side, side))
        x, y = np.meshgrid(np.linspace(-1, 1, 64), np.linspace(-1, 1, 64))
        ax.imshow(position_colors(np.stack([x, y], axis=-1)), extent=(-1, 1, 1, -1))
        ax.set(xticks=[], yticks=[])
        for spine in ax.spines.values():
            spine.set(linewidth=0.5, color=FAINT)
        for x_place, y_place, text, align, vertical in (
            (-0.07, 0.5, "left", "right", "center"),
            (1.07, 0.5, "right", "left", "center"),
            (0.5, 1.03, "top of the image", "center", "bottom"),
            (0.5, -0.04, "bottom", "center", "top"),
        ):
            ax.text(x_place, y_place, text, transform=ax.transAxes, fontsize=6.5, ha=align, va=vertical, color=INK)

    return _Panel("Space", "place in the image", lambda canvas: position_colors(canvas.interpolate(position)), legend)


def _scale_panel(scale: np.ndarray) -> _Panel:
    ticks = {0: "local 0", 0.5: "0.5", 1: "1 global"}
    return _bar_panel("Scale", "one place, or the whole image", scale[:, 0], DIVERGING, (0, 1), "scale", ticks)


def _score_panel(scores: np.ndarray, limits: tuple[float, float], name: str) -> _Panel:
    return _bar_panel("Score", summary(scores, "voxels"), scores, SEQUENTIAL, limits, name, None, fades=False)


def _bar_panel(
    title: str,
    meaning: str,
    values: np.ndarray,
    cmap: str,
    limits: tuple[float, float],
    label: str,
    ticks: Mapping[float, str] | None,
    fades: bool = True,
) -> _Panel:
    def legend(figure: Figure, box: tuple[float, float, float, float]) -> None:
        left, bottom, across, up = box
        ax = add_axes(figure, (left + 0.22 * across, bottom + 0.55 * up, 0.56 * across, 0.16 * up))
        color_bar(ax, cmap, *limits, label=label, ticks=ticks)

    def picture(canvas: Canvas) -> np.ndarray:
        return continuous_colors(canvas.interpolate(values), cmap, *limits)

    return _Panel(title, meaning, picture, legend, fades)


def _cluster_panel(clusters: np.ndarray) -> _Panel:
    clusters = clusters.astype(np.int64)
    n_clusters = max(int(clusters.max()) + 1, 1)
    colors = cluster_colors(n_clusters)

    def picture(canvas: Canvas) -> np.ndarray:
        votes = canvas.vote(clusters)
        return np.where((votes >= 0)[..., None], colors[votes], np.nan)

    def legend(figure: Figure, box: tuple[float, float, float, float]) -> None:
        left, bottom, across, up = box
        ax = add_axes(figure, (left + 0.14 * across, bottom + 0.55 * up, 0.72 * across, 0.16 * up))
        patches(ax, colors, [str(number) for number in range(1, n_clusters + 1)], "cluster of read-out weights")

    return _Panel("Channels", "voxels that read alike share a color", picture, legend)


# ---------------------------------------------------------------------- figures


def _maps_figure(
    canvas: Canvas,
    panels: list[_Panel],
    alpha: np.ndarray | None,
    title: str | None,
    regions: Mapping[str, Tensor],
    graphs: Mapping[str, Callable[[Axes], None]],
    head: float = 0.0,
) -> Figure:
    n_cells = len(panels) + len(graphs)
    across = n_cells if n_cells <= 3 else 2 if n_cells == 4 else 3
    down = int(np.ceil(n_cells / across))
    map_height = PANEL_WIDTH / canvas.aspect
    cell_height = HEADER + map_height + LEGEND
    top = head + (0.34 if title else 0.0)
    bottom = 0.22 if alpha is not None else 0.0
    width = across * (PANEL_WIDTH + EDGE) + EDGE
    figure = new_figure((width, down * cell_height + top + bottom + EDGE))
    height = figure.get_figheight()
    if title:
        figure.text(0.5, 1 - 0.10 / height, title, ha="center", va="top", fontsize=12, color=INK)
    borders = {name: canvas.border(mask) for name, mask in regions.items()}
    for cell in range(n_cells):
        row, column = divmod(cell, across)
        left = EDGE + column * (PANEL_WIDTH + EDGE)
        floor = bottom + EDGE / 2 + (down - 1 - row) * cell_height
        if cell >= len(panels):
            name, draw = list(graphs.items())[cell - len(panels)]
            _header(figure, left, floor + cell_height, name, "")
            box = (left + 0.55, floor + LEGEND * 0.75, PANEL_WIDTH - 0.9, cell_height - HEADER - LEGEND * 0.75 - 0.1)
            draw(add_axes(figure, box))
            continue
        panel = panels[cell]
        _header(figure, left, floor + cell_height, panel.title, panel.meaning)
        ax = add_axes(figure, (left, floor + LEGEND, PANEL_WIDTH, map_height))
        canvas.paint(ax, panel.picture(canvas), alpha if panel.fades else None, directions=cell == 0)
        for name, border in borders.items():
            border.draw(ax, name)
        panel.legend(figure, (left, floor, PANEL_WIDTH, LEGEND))
    if alpha is not None:
        figure.text(
            EDGE / width, 0.07 / height, f"Maps fade where the score is below {FADE[1]:g}.", fontsize=7, color=FAINT
        )
    return figure


def _header(figure: Figure, left: float, top: float, title: str, meaning: str) -> None:
    width, height = figure.get_size_inches()
    figure.text(left / width, (top - 0.06) / height, title, fontsize=10, weight="bold", color=INK, va="top")
    figure.text(left / width, (top - 0.24) / height, meaning, fontsize=7.5, color=FAINT, va="top")


def _draw_curves(figure: Figure, history: Sequence[Mapping[str, float]]) -> None:
    """Losses on the left and scores on the right of the band that was left free at the top."""
    width, height = figure.get_size_inches()
    half = width / 2
    rows = [(row.get("epoch", number), row) for number, row in enumerate(history)]
    keys = sorted({key for row in history for key in row} - {"epoch"})
    groups = (("loss", [key for key in keys if "loss" in key]), ("score", [key for key in keys if "loss" not in key]))
    colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#505050")
    for side, (label, names) in enumerate(groups):
        ax = add_axes(figure, (side * half + 0.65, height - CURVES + 0.5, half - 0.9, CURVES - 0.65))
        for name, color in zip(names, colors, strict=False):
            epochs, values = zip(*((epoch, row[name]) for epoch, row in rows if name in row), strict=True)
            ax.plot(epochs, values, color=color, linewidth=1.4, marker="o" if len(values) < 30 else "", markersize=3,
                    label=f"{name.replace('_', ' ')} {values[-1]:.3g}")  # fmt: skip
        if names:
            ax.legend(fontsize=7.5, frameon=False, loc=("upper right", "lower right")[side], labelcolor=INK)
        ax.set_xlim(-0.3, max(1, *(epoch for epoch, _ in rows)) + 0.3 if rows else 1.3)
        ax.xaxis.get_major_locator().set_params(integer=True)
        plain(ax, "epoch", label)
