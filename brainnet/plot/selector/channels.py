"""What channels mean, in pictures: where a region's top channels lie in images, and which images drive it most."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._canvas import to_numpy
from brainnet.plot._colors import FAINT, INK
from brainnet.plot._figure import add_axes, new_figure, note_below, title_above
from brainnet.plot._pictures import pixels_of
from brainnet.plot._text import LONGEST_TITLE, label, labels_within

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TILE, EDGE, NAMES = 0.95, 0.06, 1.25  # inches of a picture, between pictures, and of the names of rows
PIXELS = 400  # of a side, at most
CHANNELS = ("#E41A1C", "#1A9850", "#377EB8")  # red, green and blue, as they are mixed


def channel_images(
    images: Sequence[Any],
    rgb: Any,
    maps: Any,
    explained: Sequence[float],
    *,
    names: Sequence[str] | None = None,
    title: str | None = None,
) -> Figure:
    """A figure of images above the maps of a region's three top channels: together as a color, and each alone.

    Args:
        images: n pictures, PIL or (H, W[, 3]).
        rgb: (n, h, w, 3) in 0..1, see :func:`brainnet.model.as_colours`.
        maps: (n, 3, h, w), see :func:`brainnet.model.project`; each is drawn from its 5th to its 95th percentile.
        explained: share of the region's weights along each.
        names: of the images.
        title: text above.

    Raises:
        ValueError: other numbers of images.

    >>> figure = channel_images([np.zeros((8, 8))] * 2, np.zeros((2, 4, 4, 3)), np.zeros((2, 3, 4, 4)), [0.5, 0.2, 0.1])
    >>> len(figure.axes)
    10
    """
    rgb, maps = to_numpy(rgb), to_numpy(maps)
    if not len(images) == len(rgb) == len(maps):
        raise ValueError(f"{len(images)} images for {len(rgb)} colored maps and {len(maps)} maps.")
    rows = ["image", "all three"] + [f"channel {place + 1}: {share:.0%}" for place, share in enumerate(explained)]
    figure = new_figure((NAMES + len(images) * (TILE + EDGE) + EDGE, len(rows) * (TILE + EDGE) + 0.3))
    limits = [np.percentile(maps[:, place], (5, 95)) for place in range(maps.shape[1])]
    for column, image in enumerate(images):
        picture = pixels_of(image, PIXELS)
        for row in range(len(rows)):
            left = NAMES + column * (TILE + EDGE)
            ax = add_axes(figure, (left, (len(rows) - 1 - row) * (TILE + EDGE) + EDGE, TILE, TILE))
            ax.set_axis_off()
            extent = (0, 1, 0, 1)
            if row == 0:
                ax.imshow(picture, extent=extent)
            elif row == 1:
                ax.imshow(rgb[column], extent=extent, interpolation="bilinear")
            else:
                low, high = limits[row - 2]
                ax.imshow(maps[column, row - 2], extent=extent, cmap="gray", vmin=low, vmax=max(high, low + 1e-12),
                          interpolation="bilinear")  # fmt: skip
            if row == 0 and names is not None:
                ax.set_title(labels_within([names[column]], 6, TILE)[0], fontsize=6, color=FAINT, pad=2)
    _name_rows(figure, rows, [INK, INK, *CHANNELS])
    title_above(figure, title)
    note_below(
        figure,
        "1, 2, 3: the channels that the region reads most, with their share of its read-out weights",
        "All three: as red, green and blue",
        "Bright: raises the region's mean response",
        "Channels describe a trained map, and another training may find others",
    )
    return figure


@dataclass(frozen=True)
class Ranking:
    """The images with the highest and lowest response of a region or a voxel.

    Args:
        name: of the region or voxel.
        best, worst: pictures, the most extreme first.
        best_values, worst_values: their responses.
        detail: a remark below the name.
    """

    name: str
    best: Sequence[Any]
    worst: Sequence[Any]
    best_values: Sequence[float]
    worst_values: Sequence[float]
    detail: str = ""


def best_images(rankings: Sequence[Ranking], *, unit: str = "SD", title: str | None = None, note: str = "") -> Figure:
    """A figure with a row for each region or voxel: its best images on the left, its worst on the right.

    Args:
        rankings: at least one.
        unit: of the responses.
        title: text above.
        note: a sentence below, without its full stop.

    Raises:
        ValueError: nothing to draw.

    >>> one = Ranking("FFA", [np.zeros((8, 8))], [np.ones((8, 8))], [2.0], [-1.5])
    >>> len(best_images([one]).axes)
    2
    """
    if not rankings:
        raise ValueError("rankings is empty: there is nothing to draw.")
    most = max(len(one.best) for one in rankings)
    half, unit = most * (TILE + EDGE), label(unit, 12)
    gap, line = 0.25, 0.17
    row_height = TILE + line + EDGE
    figure = new_figure((NAMES + 2 * half + gap, len(rankings) * row_height + 0.3))
    width, height = figure.get_size_inches()
    for left, text in ((NAMES, "highest predicted response"), (NAMES + half + gap, "lowest predicted response")):
        figure.text(left / width, 1 - 0.07 / height, text, fontsize=8.5, weight="bold", color=INK, va="top")
    for row, one in enumerate(rankings):
        floor = (len(rankings) - 1 - row) * row_height + EDGE + line
        for start, pictures, values in (
            (NAMES, one.best, one.best_values),
            (NAMES + half + gap, one.worst, one.worst_values),
        ):
            for column, (picture, value) in enumerate(zip(pictures, values, strict=True)):
                ax = add_axes(figure, (start + column * (TILE + EDGE), floor, TILE, TILE))
                ax.imshow(pixels_of(picture, PIXELS), extent=(0, 1, 0, 1))
                ax.set_axis_off()
                ax.text(0.5, -0.03, f"{value:+.2f} {unit}", transform=ax.transAxes, fontsize=6.5, color=FAINT,
                        ha="center", va="top")  # fmt: skip
        for text, size, color, below in ((one.name, 8, INK, 0.0), (one.detail, 6.5, FAINT, 0.17)):
            shown = labels_within([text], size, NAMES - 0.15)[0] if text else ""
            figure.text(
                0.08 / width, (floor + TILE / 2 - below) / height, shown, fontsize=size, color=color, va="center"
            )
    title_above(figure, title)
    note_below(figure, label(note, LONGEST_TITLE))
    return figure


def _name_rows(figure: Figure, names: Sequence[str], colors: Sequence[str]) -> None:
    width, height = figure.get_size_inches()
    for row, (name, color) in enumerate(zip(names, colors, strict=False)):
        middle = (len(names) - 1 - row) * (TILE + EDGE) + EDGE + TILE / 2
        figure.text(0.08 / width, middle / height, name, fontsize=8, color=color, va="center")
