"""The maps of FactorTopy: which layer, place in the image, scale and channels predict each voxel, and how well.

Color limits are fixed (layers first to last, scale 0 to 1, score 0 to 1 unless told otherwise), so that the maps of a
model trained on shuffled responses look as flat as they are.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from functools import partial
from itertools import cycle
from typing import TYPE_CHECKING

import numpy as np

from brainnet._checks import check_word
from brainnet.plot._canvas import Canvas, to_numpy
from brainnet.plot._colors import (
    FAINT,
    INK,
)
from brainnet.plot._figure import (
    add_axes,
    grow,
    new_figure,
    note_below,
    plain,
    title_above,
)
from brainnet.plot._text import LONGEST_TITLE, label
from brainnet.plot.brain.drawing import draw_borders
from brainnet.plot.brain.surface import regions
from brainnet.plot.brain.views import canvas_for
from brainnet.plot.scene import Scene
from brainnet.plot.selector._panels import Panel, cluster_panel, layer_panel, scale_panel, score_panel, space_panel
from brainnet.plot.selector._unplaced import Style, ceiling_scatter, histogram, unplaced_figure
from brainnet.plot.selector.places import Places
from brainnet.selection import Selectors
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from torch import Tensor

FADE = (0.0, 0.2)  # a map is all but transparent where the score is at the first, opaque from the second on
FAINTEST = 0.12
PANELS = ("layer", "space", "scale", "channels")
PANEL_WIDTH = 3.5
HEADER, LEGEND, EDGE, CURVES = 0.42, 0.98, 0.12, 1.9  # inches


def selectors(
    chosen: Selectors,
    space: BrainSpace,
    *,
    scores: Tensor | None = None,
    noise_ceiling: Tensor | None = None,
    clusters: Tensor | None = None,
    width: Tensor | None = None,
    layer_names: Sequence[str] | None = None,
    title: str | None = None,
    fade: bool = True,
    leave_out: Collection[str] = (),
    note: str | None = None,
    score_limits: tuple[float, float] = (0.0, 1.0),
    score_name: str = "r",
    outlines: bool | Iterable[str] | Mapping[str, Tensor] | None = None,
    scene: Scene | str | None = None,
    places: Places | None = None,
) -> Figure:
    """One figure of all that was learned about every voxel, each map with its legend.

    *Layer*: the layer of largest weight, darker the more evenly the weights are spread. *Space*: the color of the
    place in the image. *Scale*: local to global. *Score* and *channels*, where given. Surface spaces become flat maps,
    volume spaces slices; voxels without a place a sorted picture of layer weights, positions, scales and scores.

    Args:
        chosen: the selectors: space (n, 2) in [-1, 1], layer (n, n_layers), scale (n, 1).
        space: where the n voxels are.
        scores: (n,) test or validation scores.
        noise_ceiling: (n,) the largest score a perfect model would reach, on the scale of ``scores``.
        clusters: (n,) integers, the channel cluster of each voxel; -1 for none.
        width: (n, 1) or (n,) width of a Gaussian window, image half-width = 1; drawn for voxels without a place.
        layer_names: one for each layer, by default 1, 2, ...
        title: text above.
        fade: whether maps fade where the score falls below 0.2; needs ``scores``. A shuffled control has no scores, so
            draw it with False, to see that its selectors are flat, and draw the map beside it by the same rule.
        leave_out: any of "layer", "space", "scale" and "channels" whose panels mean nothing, as "layer", "scale" and
            "channels" do where training started from ridge; what is left out is said below.
        note: why they are left out.
        score_limits: scores of the lowest and highest color.
        score_name: what the score is, at its color bar.
        outlines: regions to outline: True for all of the space, their names, or name -> (n,) bool.
        scene: a surface by its name, or a :class:`~brainnet.plot.scene.Scene`; None is the flat map.
        places: what places are places of; None is an image.

    Returns:
        A matplotlib figure, unknown to pyplot: ``figure.savefig(...)``.

    Raises:
        ValueError: something has another length than the space, or no panel is left.

    >>> import torch
    >>> from brainnet.space import occipital_vertices, surface_space
    >>> space = surface_space(occipital_vertices(15))
    >>> n = space.n_voxels
    >>> chosen = Selectors(torch.zeros(n, 2), torch.full((n, 4), 0.25), torch.full((n, 1), 0.5))
    >>> figure = selectors(chosen, space, scores=torch.full((n,), 0.4))
    >>> [text.get_text() for text in figure.texts if text.get_weight() == "bold"]
    ['Layer', 'Space', 'Scale', 'Score']
    """
    chosen = _checked(chosen, space.n_voxels)
    for word in leave_out:
        check_word("panel", word, PANELS)
    kept = [word for word in PANELS if word not in leave_out]
    given = {"scores": scores, "noise_ceiling": noise_ceiling, "clusters": clusters, "width": width}
    given = {name: _column(value, space.n_voxels, name) for name, value in given.items() if value is not None}
    if "noise_ceiling" in given and np.isnan(given["noise_ceiling"]).all():
        del given["noise_ceiling"]
    names = _layer_names(layer_names, chosen.layer.shape[1])
    canvas = canvas_for(space, scene)
    if "channels" in leave_out:
        given.pop("clusters", None)
    drawn_without = [_left_out(leave_out, note)]
    style = Style(names, score_limits, score_name, kept, places or Places())
    if canvas is None:
        figure = unplaced_figure(chosen, given, style)
    else:
        if fade and "scores" in given:
            drawn_without.append(f"Maps fade where the score is below {FADE[1]:g}")
        elif "scores" in given:
            drawn_without.append("Maps are drawn alike whatever the score: none of them fades")
        figure = _map_figure(canvas, chosen, given, style, fade, regions(outlines, space))
    title_above(figure, title)
    note_below(figure, *drawn_without)
    return figure


def _map_figure(
    canvas: Canvas,
    chosen: Selectors,
    given: Mapping[str, np.ndarray],
    style: Style,
    fade: bool,
    outlines: Mapping[str, Tensor],
) -> Figure:
    """The panels that are kept, on the cortex or in slices, and graphs of the scores in the places that are left."""
    panels = _selector_panels(chosen, style)
    if "scores" in given:
        panels.append(score_panel(given["scores"], style.score_limits, style.score_name))
    if "clusters" in given:
        panels.append(cluster_panel(given["clusters"]))
    if not panels:
        raise ValueError("every panel is left out: keep one of " + ", ".join(PANELS) + ", or give scores.")
    graphs = {}
    if "scores" in given and "noise_ceiling" in given:
        graphs["Score against noise ceiling"] = partial(
            ceiling_scatter, scores=given["scores"], ceiling=given["noise_ceiling"], name=style.score_name
        )
    if "scores" in given and len(panels) + len(graphs) == 5:  # fills the sixth place
        low = float(given["scores"][np.isfinite(given["scores"])].min(initial=0.0))
        graphs["Scores"] = partial(
            histogram,
            values=given["scores"],
            span=(low, 1.0),
            name=style.score_name,
            limits=style.score_limits,
        )
    alpha = _opacity(given["scores"]) if fade and "scores" in given else None
    return _panels_figure(canvas, panels, alpha, outlines, graphs)


def training(
    history: Sequence[Mapping[str, float]],
    chosen: Selectors,
    space: BrainSpace,
    *,
    scores: Tensor | None = None,
    layer_names: Sequence[str] | None = None,
    fade: bool = True,
    leave_out: Collection[str] = (),
    places: Places | None = None,
) -> Figure:
    """A figure of the learning curves so far, above the maps as they are now.

    Args:
        history: one mapping an epoch, with "epoch" and any of "train_loss", "val_loss", "val_r", "val_r2".
        chosen: as for :func:`selectors`.
        space: where the voxels are.
        scores: (n,) validation scores; the maps fade where they are low.
        layer_names: one for each layer.
        fade, leave_out, places: as for :func:`selectors`.

    Raises:
        ValueError: something has another length than the space.

    >>> import torch
    >>> history = [{"epoch": 0, "train_loss": 0.5, "val_r": 0.1}, {"epoch": 1, "train_loss": 0.4, "val_r": 0.2}]
    >>> chosen = Selectors(torch.zeros(9, 2), torch.full((9, 2), 0.5), torch.full((9, 1), 0.5))
    >>> figure = training(history, chosen, BrainSpace.free(9))
    >>> {ax.get_ylabel(): ax.lines[0].get_ydata().tolist() for ax in figure.axes[-2:]}
    {'loss': [0.5, 0.4], 'score': [0.1, 0.2]}
    """
    chosen = _checked(chosen, space.n_voxels)
    for word in leave_out:
        check_word("panel", word, PANELS)
    kept = [word for word in PANELS if word not in leave_out]
    names = _layer_names(layer_names, chosen.layer.shape[1])
    given = {} if scores is None else {"scores": _column(scores, space.n_voxels, "scores")}
    canvas = canvas_for(space)
    style = Style(names, (0.0, 1.0), "validation r", kept, places or Places())
    if canvas is None:
        figure = unplaced_figure(chosen, given, style)
    else:
        alpha = _opacity(given["scores"]) if given and fade else None
        figure = _panels_figure(canvas, _selector_panels(chosen, style), alpha, {}, {})
    faded = f"Maps fade where the score is below {FADE[1]:g}" if given and fade and canvas is not None else ""
    note_below(figure, faded, _left_out(leave_out, None))
    _draw_curves(figure, history)
    return figure


# ---------------------------------------------------------------------- what is drawn


def _left_out(words: Collection[str], why: str | None) -> str:
    """The sentence on panels that are left out, "" where there are none."""
    if not words:
        return ""
    listed = [word for word in PANELS if word in words]
    text = listed[0] if len(listed) == 1 else f"{', '.join(listed[:-1])} and {listed[-1]}"
    return f"{text.capitalize()} left out{f': {label(why, LONGEST_TITLE)}' if why else ''}".rstrip(".")


def _selector_panels(chosen: Selectors, style: Style) -> list[Panel]:
    """The panels of layer, space and scale that are kept."""
    return [
        panel
        for word, panel in (
            ("layer", layer_panel(chosen.layer, style.layer_names)),
            ("space", space_panel(chosen.space, style.places)),
            ("scale", scale_panel(chosen.scale, style.places)),
        )
        if word in style.kept
    ]


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


# ---------------------------------------------------------------------- figures


def _panels_figure(
    canvas: Canvas,
    panels: list[Panel],
    alpha: np.ndarray | None,
    outlines: Mapping[str, Tensor],
    graphs: Mapping[str, Callable[[Axes], None]],
) -> Figure:
    n_cells = len(panels) + len(graphs)
    across = n_cells if n_cells <= 3 else 2 if n_cells == 4 else 3
    down = int(np.ceil(n_cells / across))
    map_height = PANEL_WIDTH / canvas.aspect
    cell_height = HEADER + map_height + LEGEND
    figure = new_figure((across * (PANEL_WIDTH + EDGE) + EDGE, down * cell_height + EDGE))
    borders = {name: canvas.border(mask) for name, mask in outlines.items()}
    for cell in range(n_cells):
        row, column = divmod(cell, across)
        left = EDGE + column * (PANEL_WIDTH + EDGE)
        floor = EDGE / 2 + (down - 1 - row) * cell_height
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
        draw_borders(ax, canvas, borders)
        panel.legend(figure, (left, floor, PANEL_WIDTH, LEGEND))
    return figure


def _header(figure: Figure, left: float, top: float, title: str, meaning: str) -> None:
    width, height = figure.get_size_inches()
    figure.text(left / width, (top - 0.06) / height, title, fontsize=10, weight="bold", color=INK, va="top")
    figure.text(left / width, (top - 0.24) / height, meaning, fontsize=7.5, color=FAINT, va="top")


def _draw_curves(figure: Figure, history: Sequence[Mapping[str, float]]) -> None:
    """Losses on the left and scores on the right, in a band above everything."""
    grow(figure, top=CURVES)
    width, height = figure.get_size_inches()
    half = width / 2
    rows = [(row.get("epoch", number), row) for number, row in enumerate(history)]
    keys = sorted({key for row in history for key in row} - {"epoch"})
    groups = (("loss", [key for key in keys if "loss" in key]), ("score", [key for key in keys if "loss" not in key]))
    colors = ("#0072B2", "#D55E00", "#009E73", "#CC79A7", "#505050")
    for side, (kind, names) in enumerate(groups):
        ax = add_axes(figure, (side * half + 0.65, height - CURVES + 0.5, half - 0.9, CURVES - 0.65))
        for name, color in zip(names, cycle(colors), strict=False):
            epochs, values = zip(*((epoch, row[name]) for epoch, row in rows if name in row), strict=True)
            ax.plot(epochs, values, color=color, linewidth=1.4, marker="o" if len(values) < 30 else "", markersize=3,
                    label=label(f"{name.replace('_', ' ')} {values[-1]:.3g}"))  # fmt: skip
        if names:
            ax.legend(fontsize=7.5, frameon=False, loc=("upper right", "lower right")[side], labelcolor=INK)
        ax.set_xlim(-0.3, max(1, *(epoch for epoch, _ in rows)) + 0.3 if rows else 1.3)
        ax.xaxis.get_major_locator().set_params(integer=True)
        plain(ax, "epoch", kind)
