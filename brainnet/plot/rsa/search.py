"""A searchlight at a glance: how high the best score is, and whose it is."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from brainnet.plot._canvas import canvas_of, to_numpy
from brainnet.plot._colors import DIVERGING, SEQUENTIAL, contrasting_colors
from brainnet.plot._figure import add_axes, color_bar, legend_below, new_figure, note_below, title_above
from brainnet.plot._marks import CORRECTED
from brainnet.plot._text import labels
from brainnet.plot.brain.surface import flatmap, slices
from brainnet.rsa import SearchlightMaps

if TYPE_CHECKING:
    from matplotlib.figure import Figure

LARGEST = 4.6  # inches of a map


def searchlight(
    maps: SearchlightMaps, *, alpha: float = 0.05, correction: str = "max", title: str | None = None
) -> Figure:
    """A figure of two maps: the highest score at each center, and the model that has it; the first alone for one model.

    Where permutations were run, maps are pale where the highest score is not significant. A contrast of two models is
    drawn on limits symmetric about 0.

    Args:
        maps: what ``rsa.searchlight`` found, on a surface or in a volume.
        alpha, correction: what counts as significant, as in ``SearchlightMaps.significant_best``.
        title: text above.

    Raises:
        ValueError: centers without a place on a brain.

    >>> import torch
    >>> from brainnet import rsa
    >>> from brainnet.space import BrainSpace
    >>> space = BrainSpace(mask=torch.ones(4, 4, 4, dtype=torch.bool), affine=torch.eye(4))
    >>> rng = torch.Generator().manual_seed(0)
    >>> models = rsa.RDMs(torch.rand(2, 28, generator=rng), names=("shape", "color"))
    >>> maps = rsa.searchlight(torch.randn(8, 64, generator=rng), models, rsa.spheres(space, 1.5))
    >>> [text.get_text() for text in searchlight(maps).axes[-1].get_legend().get_texts()]
    ['shape', 'color']
    """
    from matplotlib.patches import Patch

    canvas = canvas_of(maps.space)
    if canvas is None:
        raise ValueError(f"{maps.space!r} has no place on a brain: plot its scores as bars instead.")
    draw = flatmap if maps.space.mesh is not None else slices
    wide = min(LARGEST, LARGEST * canvas.aspect)
    tall = wide / canvas.aspect
    several = len(maps.models) > 1
    figure = new_figure(((2 * wide + 0.5) if several else wide + 0.2, tall + 1.15))
    opacity, note = None, ""
    if maps.best_test is not None:
        opacity = np.where(to_numpy(maps.significant_best(alpha, correction)) >= 0, 1.0, 0.25)
        note = f"Pale: p > {alpha:g}, {CORRECTED[correction]}"
    best = to_numpy(maps.best)
    score = np.where(best >= 0, np.nan_to_num(to_numpy(maps.score)).max(axis=0), np.nan)
    name = f"{maps.settings.get('method', '')} similarity".strip()
    known = score[np.isfinite(score)]
    low, high = (float(known.min()), float(known.max())) if len(known) else (0.0, 1.0)
    cmap = SEQUENTIAL
    if "contrast" in maps.settings:  # of either sign: white is no difference
        low, high = min(low, -high), max(high, -low)
        cmap, name = DIVERGING, f"difference in {name}"
    left = add_axes(figure, (0.1, 0.75, wide, tall))
    heading = "Highest score" if several else maps.models[0]
    draw(score, maps.space, ax=left, cmap=cmap, vmin=low, vmax=high, alpha=opacity, title=heading, colorbar=False)
    color_bar(add_axes(figure, (0.1 + 0.25 * wide, 0.42, 0.5 * wide, 0.1)), cmap, low, high, name)
    if several:
        colors = contrasting_colors(len(maps.models))
        rgb = np.where((best >= 0)[:, None], colors[best], np.nan)
        right = add_axes(figure, (0.4 + wide, 0.75, wide, tall))
        draw(rgb, maps.space, ax=right, alpha=opacity, title="Model with the highest score", colorbar=False)
        names = labels(maps.models)
        legend_below(right, [(Patch(color=color), name) for color, name in zip(colors, names, strict=True)])
    title_above(figure, title)
    note_below(figure, note)
    return figure
