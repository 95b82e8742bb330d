"""Pictures with what is known of their parts: masks laid over a photograph, by category, with its captions."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._colors import INK, contrasting_colors
from brainnet.plot._figure import EDGE, add_axes, grow, legend_beside, new_figure, title_above
from brainnet.plot._pictures import pixels_of
from brainnet.plot._text import LINE, label, labels, wrapped

if TYPE_CHECKING:
    from matplotlib.figure import Figure

TINT = 0.55  # share of a mask's color in a pixel
CAPTION_SIZE = 7.5  # points
LONGEST_CAPTION = 300  # letters


def masks(
    image: Any,
    pixels: Any,
    names: Sequence[str],
    *,
    captions: Sequence[str] = (),
    size: float = 2.8,
    title: str | None = None,
) -> Figure:
    """A figure of a photograph, the same with masks laid over it in the colors of their categories, and its captions.

    Args:
        image: a ``PIL.Image``, or pixels (H, W, 3) as bytes or in 0..1.
        pixels: (n, H, W) bool, where each thing is. Smaller things are drawn over larger ones.
        names: category of each; things of one category share a color.
        captions: sentences that stand below.
        size: inches of the height of the photograph.
        title: text above.

    Raises:
        ValueError: masks of another size than the photograph, or names that are not one per mask.

    >>> figure = masks(np.zeros((4, 6, 3)), np.ones((2, 4, 6), bool), ["dog", "dog"], captions=["Two dogs."])
    >>> [text.get_text() for text in figure.axes[1].get_legend().get_texts()]
    ['dog × 2']
    """
    shown, pixels, names = pixels_of(image, 1 << 16), np.asarray(pixels).astype(bool), [str(name) for name in names]
    height, width = shown.shape[:2]
    if pixels.ndim != 3 or pixels.shape[1:] != (height, width):
        raise ValueError(f"masks must be (n, {height}, {width}), as the photograph is, got shape {pixels.shape}.")
    if len(names) != len(pixels):
        raise ValueError(f"names must be one per mask: got {len(names)} for {len(pixels)} masks.")
    across = size * width / height
    figure = new_figure((2 * across + 3 * EDGE, size + 2 * EDGE))
    plain = add_axes(figure, (EDGE, EDGE, across, size))
    over = add_axes(figure, (across + 2 * EDGE, EDGE, across, size))
    counts = Counter(names)  # in the order in which they come
    colors = dict(zip(counts, contrasting_colors(len(counts)), strict=True))
    for ax, drawn in ((plain, shown), (over, _tinted(shown, pixels, [colors[name] for name in names]))):
        ax.imshow(drawn, interpolation="antialiased")
        ax.set_axis_off()
    legend_beside(over, _entries(counts, colors))
    _captions_below(figure, captions)
    title_above(figure, title)
    return figure


def _tinted(shown: np.ndarray, pixels: np.ndarray, colors: Sequence[np.ndarray]) -> np.ndarray:
    """The picture (H, W, 3) in 0..1 with each mask in its color, and a line of it around."""
    drawn = shown / 255.0
    for place in np.argsort(-pixels.sum((1, 2)), kind="stable"):
        inside = pixels[place]
        within = inside.copy()  # without the pixels at the outline
        for axis, step in ((0, 1), (0, -1), (1, 1), (1, -1)):
            within &= np.roll(inside, step, axis)
        drawn[inside] = (1 - TINT) * (shown[inside] / 255.0) + TINT * colors[place]
        drawn[inside & ~within] = colors[place]
    return drawn


def _entries(counts: Counter, colors: dict[str, np.ndarray]) -> list[tuple[Any, str]]:
    from matplotlib.patches import Patch

    texts = labels(counts)
    return [
        (Patch(color=colors[name]), f"{text} × {counts[name]}" if counts[name] > 1 else text)
        for name, text in zip(counts, texts, strict=True)
    ]


def _captions_below(figure: Figure, captions: Sequence[str]) -> None:
    """Each caption on lines of its own, as wide as the figure."""
    width = figure.get_figwidth() - 2 * EDGE
    lines = [line for text in captions for line in wrapped(label(text, LONGEST_CAPTION), CAPTION_SIZE, width)]
    if not lines:
        return
    grow(figure, bottom=len(lines) * CAPTION_SIZE * 1.35 * LINE / 1.2 + EDGE)
    figure.text(
        EDGE / figure.get_figwidth(), EDGE / figure.get_figheight(), "\n".join(lines), ha="left", va="bottom",
        fontsize=CAPTION_SIZE, color=INK, linespacing=1.35,
    )  # fmt: skip
