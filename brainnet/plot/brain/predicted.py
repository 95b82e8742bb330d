"""Predicted activity: images beside the maps of the responses that are predicted to them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from brainnet.plot._canvas import canvas_of, to_numpy
from brainnet.plot._colors import FAINT
from brainnet.plot._figure import add_axes, color_bar, new_figure, note_below, title_above
from brainnet.plot._pictures import pixels_of
from brainnet.plot._text import labels_within
from brainnet.plot.brain.surface import flatmap, slices
from brainnet.space import BrainSpace

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SIDE, TALL, WIDEST, GAP = 1.7, 2.5, 4.8, 0.12  # inches of an image, of a map at most, and between parts
PIXELS = 400
CMAP = "RdBu_r"


def predicted_limit(predicted: Any) -> float:
    """The value of the strongest color: few voxels are beyond it, so they do not pale all others.

    >>> predicted_limit([[-1.0, 0.5, float("nan")]]) > 0.9
    True
    """
    known = np.abs(to_numpy(predicted, np.float64))
    known = known[np.isfinite(known)]
    return max(float(np.quantile(known, 0.99)), 1e-6) if len(known) else 1.0


def predicted_maps(
    images: Sequence[Any],
    predicted: Any,
    space: BrainSpace,
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure with a row for each image: the image, and the map of the responses that are predicted to it.

    Args:
        images: n pictures, PIL or (H, W[, 3]).
        predicted: (n, n_voxels) responses; NaN is transparent. All maps have the same colors.
        space: a surface, or a volume.
        names: of the images.
        title: text above.

    Raises:
        ValueError: no image, other numbers of images, or a space without a place on a brain.

    >>> from brainnet.space import occipital_vertices, surface_space
    >>> space = surface_space(occipital_vertices(15))
    >>> len(predicted_maps([np.zeros((8, 8))], torch.randn(1, space.n_voxels), space).axes)
    3
    """
    values = torch.as_tensor(np.asarray(to_numpy(predicted), dtype=np.float32))
    if not len(images) == len(values) or not len(images):
        raise ValueError(f"{len(images)} images for {len(values)} maps; give as many, and at least one.")
    canvas = canvas_of(space)
    if canvas is None:
        raise ValueError(f"{space!r} has no place on a brain: there is no map to draw.")
    width = min(WIDEST, TALL * canvas.aspect)
    height = width / canvas.aspect
    row, below = max(SIDE, height) + 0.3, 0.75
    figure = new_figure((SIDE + width + 3 * GAP, below + len(images) * row))
    limit = predicted_limit(values)
    for place, image in enumerate(images):
        floor = below + (len(images) - 1 - place) * row
        ax = add_axes(figure, (GAP, floor + max(0, (height - SIDE) / 2), SIDE, SIDE))
        ax.imshow(pixels_of(image, PIXELS))
        ax.set_axis_off()
        if names is not None:
            ax.set_title(labels_within([names[place]], 6.5, SIDE)[0], fontsize=6.5, color=FAINT, pad=3)
        ax = add_axes(figure, (SIDE + 2 * GAP, floor + max(0, (SIDE - height) / 2), width, height))
        draw = flatmap if space.mesh else slices
        draw(values[place], space, ax=ax, cmap=CMAP, vmin=-limit, vmax=limit, colorbar=False, outlines=True)
    bar = add_axes(figure, (SIDE + 2 * GAP + 0.25 * width, 0.36, 0.5 * width, 0.1))
    color_bar(bar, CMAP, -limit, limit, "predicted response")
    title_above(figure, title)
    note_below(figure, "All maps have the same colors; 1 % of the values may lie beyond them")
    return figure
