"""Masks of the things in a photograph: from COCO's polygons and run lengths to pixels, and on to a map of labels.

A pixel is inside where its center is: the pixel in row 2 and column 5 has its center at x 5.5, y 2.5. So a polygon
whose corners are whole numbers covers exactly the pixels between them.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np


@dataclass(frozen=True)
class Masks:
    """The things in one photograph.

    Args:
        pixels: (n, H, W) bool, where each thing is.
        names: category of each, such as "person".
        category_ids: number of each category in COCO, 1 to 90.
        ids: of each thing's annotation in COCO.
        crowds: a region of many things that were not told apart.

    >>> pixels = np.zeros((2, 2, 4), bool)
    >>> pixels[0, :, :2] = pixels[1, 0, 1:] = True
    >>> masks = Masks(pixels, ("dog", "ball"), (18, 37), (7, 8), (False, False))
    >>> masks.of("ball").sum().item(), masks.by_category().tolist()    # the smaller ball lies on the dog
    (3, [[18, 37, 37, 37], [18, 18, 0, 0]])
    """

    pixels: np.ndarray
    names: tuple[str, ...]
    category_ids: tuple[int, ...]
    ids: tuple[int, ...]
    crowds: tuple[bool, ...]

    def __len__(self) -> int:
        return len(self.pixels)

    def of(self, name: str) -> np.ndarray:
        """(H, W) bool, where things of a category are; nowhere for a category that is not in the picture."""
        return self.pixels[[one == name for one in self.names]].any(0)

    def by_category(self) -> np.ndarray:
        """(H, W) uint8: the number of the category in COCO, 0 where nothing was marked; smaller things lie on top."""
        return self._painted(self.category_ids, np.uint8)

    def by_instance(self) -> np.ndarray:
        """(H, W) uint16: 1 for the first thing, ..., n for the last, 0 for none; smaller things lie on top."""
        return self._painted(range(1, len(self) + 1), np.uint16)

    def _painted(self, labels: Sequence[int], kind: type) -> np.ndarray:
        painted = np.zeros(self.pixels.shape[1:], kind)
        areas = self.pixels.sum((1, 2))
        for place in sorted(range(len(self)), key=lambda i: (not self.crowds[i], -areas[i])):
            painted[self.pixels[place]] = labels[place]
        return painted


def mask_of(segmentation: Any, height: int, width: int) -> np.ndarray:
    """(H, W) bool of the field ``segmentation`` of a COCO annotation.

    Args:
        segmentation: a list of polygons [x, y, x, y, ...], of which the thing is the union; or {"counts", "size"}.
        height: of the photograph, in pixels.
        width: of the photograph, in pixels.

    Raises:
        ValueError: neither, or of another size.
    """
    if isinstance(segmentation, Mapping):
        if list(segmentation.get("size", ())) != [height, width]:
            raise ValueError(f"run lengths are of size {segmentation.get('size')}, expected {[height, width]}.")
        return from_runs(segmentation.get("counts", ()), height, width)
    if not isinstance(segmentation, list):
        raise ValueError(f"a segmentation is a list of polygons or run lengths, got {type(segmentation).__name__}.")
    inside = np.zeros((height, width), bool)
    for polygon in segmentation:
        inside |= filled(polygon, height, width)
    return inside


def filled(polygon: Sequence[float], height: int, width: int) -> np.ndarray:
    """(H, W) bool, the pixels whose centers are inside a polygon; what it crosses twice is outside again.

    Args:
        polygon: corners as x, y, x, y, ... in pixels from the upper left corner of the picture.
        height: of the picture.
        width: of the picture.

    Raises:
        ValueError: an odd number of coordinates, or one that is not finite.

    >>> filled([1, 0, 3, 0, 3, 2, 1, 2], 3, 4).astype(int).tolist()
    [[0, 1, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    """
    corners = np.asarray(polygon, float)
    if corners.ndim != 1 or len(corners) % 2 or not np.isfinite(corners).all():
        raise ValueError("a polygon is a list x, y, x, y, ... of finite numbers.")
    x, y = corners.reshape(-1, 2).T
    crossings = np.zeros((height, width + 1), np.int32)  # of each row, in which column its inside and outside change
    for x1, y1, x2, y2 in zip(x, y, np.roll(x, 1), np.roll(y, 1), strict=True):
        if y1 == y2:
            continue
        first, last = np.ceil(np.clip([min(y1, y2) - 0.5, max(y1, y2) - 0.5], 0, height)).astype(int)
        rows = np.arange(first, last)
        at = x1 + (rows + 0.5 - y1) * (x2 - x1) / (y2 - y1)
        crossings[rows, np.ceil(np.clip(at - 0.5, 0, width)).astype(int)] += 1
    return np.cumsum(crossings[:, :width], axis=1) % 2 == 1


def from_runs(counts: Sequence[int] | str | bytes, height: int, width: int) -> np.ndarray:
    """(H, W) bool from run lengths: pixels outside, inside, outside, ... down the first column, then the next.

    Args:
        counts: the lengths, or COCO's text of them.
        height: of the picture.
        width: of the picture.

    Raises:
        ValueError: they are not as many as there are pixels, or one is negative.

    >>> from_runs([1, 2, 1], 2, 2).astype(int).tolist()
    [[0, 1], [1, 0]]
    """
    runs = np.asarray(_runs_of_text(counts) if isinstance(counts, str | bytes) else counts, np.int64)
    if (runs < 0).any() or runs.sum() != height * width:
        raise ValueError(f"run lengths are of {int(runs.sum())} pixels; the picture has {height} x {width}.")
    return np.repeat(np.arange(len(runs)) % 2 == 1, runs).reshape(width, height).T


def _runs_of_text(text: str | bytes) -> list[int]:
    """COCO's text of run lengths: six bits a letter, one of which says that the number goes on; then differences."""
    runs: list[int] = []
    number, shift = 0, 0
    for letter in text.encode("ascii") if isinstance(text, str) else text:
        bits = letter - 48
        if not 0 <= bits < 64:
            raise ValueError(f"{chr(letter)!r} is no letter of run lengths.")
        number |= (bits & 31) << shift
        shift += 5
        if bits & 32:
            continue
        if bits & 16:
            number -= 1 << shift
        runs.append(number + (runs[-2] if len(runs) > 2 else 0))
        number, shift = 0, 0
    return runs
