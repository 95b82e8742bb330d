"""What the figures of RDMs and of conditions share: pictures of conditions, groups, and their checks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import contrasting_colors
from brainnet.plot._text import labels

if TYPE_CHECKING:
    from matplotlib.axes import Axes

MARKERS = ("o", "s", "^", "D", "v", "P", "X", "*")
THUMBNAIL = 0.17  # inches below which a picture says nothing


def one_each(items: Sequence[Any] | None, n: int, what: str) -> list[Any] | None:
    """The items as a list, refused where they are not one per condition; None stays None."""
    if items is not None and len(items) != n:
        raise ValueError(f"{what} must be one per condition: got {len(items)} for {n} conditions.")
    return None if items is None else list(items)


def pixels_of(image: Any, most: int) -> np.ndarray:
    """(H, W, 3) bytes of a picture, no larger than ``most`` on a side."""
    from PIL import Image

    if not isinstance(image, Image.Image):
        array = np.asarray(image)
        array = (255 * array.clip(0, 1)).astype(np.uint8) if array.dtype.kind == "f" else array.astype(np.uint8)
        image = Image.fromarray(array)
    image = image.convert("RGB")
    image.thumbnail((max(most, 16),) * 2)
    return np.asarray(image)


def group_entries(kinds: Sequence[str]) -> list[tuple[Any, str]]:
    """What a legend says of groups: color and marker of each."""
    from matplotlib.lines import Line2D

    colors = contrasting_colors(len(kinds))
    return [
        (Line2D([], [], linestyle="", marker=MARKERS[i % len(MARKERS)], color=colors[i], markersize=5), text)
        for i, text in enumerate(labels(kinds))
    ]


def hang(ax: Axes, image: Any, box: tuple[float, float, float, float]) -> None:
    """A picture in axes of its own, at (left, bottom, width, height) in fractions of other axes."""
    width, _ = ax.figure.get_size_inches()
    inset = ax.inset_axes(box)
    inset.imshow(pixels_of(image, 2 * int(box[2] * ax.get_position().width * width * 150)), interpolation="antialiased")
    inset.set_axis_off()
