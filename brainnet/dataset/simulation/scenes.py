"""Pictures for simulations: dead leaves, and crops of the two photographs scikit-learn carries.

Dead leaves (discs and rectangles that hide one another, many small and few large) share the edges, occlusions and scale
invariance of photographs. Every picture is drawn from a generator handed in, so it depends on nothing else.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from PIL import Image

TRAIN_SHARE = 0.7  # of a photograph's width; test crops come from the rest, so no pixel is shared
LEAVES_PER_AREA = 6.0  # mean number of leaves over a pixel: exp(-6), a quarter of a percent, shows the ground


def scene(generator: np.random.Generator, size: int, part: str, photo_share: float = 0.3) -> np.ndarray:
    """One picture, (size, size, 3) uint8: a photograph's crop with probability ``photo_share``, else dead leaves.

    Args:
        generator: where every choice comes from.
        size: side in pixels.
        part: "train" or "test", the part of a photograph crops come from.
        photo_share: probability of a crop.

    >>> scene(np.random.default_rng(0), 32, "train").shape
    (32, 32, 3)
    """
    return photo_crop(generator, size, part) if generator.random() < photo_share else dead_leaves(generator, size)


def dead_leaves(generator: np.random.Generator, size: int) -> np.ndarray:
    """Overlapping leaves with plain, grating or noise surfaces, (size, size, 3) uint8.

    Radii between size / 20 and size / 2: uniform in three pictures of ten, with density r^-3 (which makes a picture
    look alike at all scales) in the others.
    """
    least, most = size / 20, size / 2
    uniform = generator.random() < 0.3
    area = (most**3 - least**3) / (3 * (most - least)) if uniform else 2 * np.log(most / least) / (least**-2 - most**-2)
    # leaves may be centered outside by up to their radius, so they are strewn over a larger field than the picture
    n_leaves = int(LEAVES_PER_AREA * (1.5 * size) ** 2 / (np.pi * area)) + 2
    quantile = generator.random(n_leaves)
    if uniform:
        radius = least + (most - least) * quantile
    else:
        radius = (least**-2 - quantile * (least**-2 - most**-2)) ** -0.5
    leaf = _leaf_of_pixels(generator, size, radius)

    brightness, tint = generator.random((n_leaves, 1)), generator.normal(0, 0.15, (n_leaves, 3))
    picture = (brightness + tint).astype(np.float32)[leaf]
    surface = generator.random(n_leaves)
    grating = np.where(surface < 0.4, generator.uniform(0.05, 0.3, n_leaves), 0)
    noise = np.where(surface > 0.7, generator.uniform(0.03, 0.15, n_leaves), 0)
    angle, cycles = generator.uniform(0, np.pi, n_leaves), generator.uniform(4, 24, n_leaves)
    along_x = (2 * np.pi * cycles / size * np.cos(angle)).astype(np.float32)[leaf]
    along_y = (2 * np.pi * cycles / size * np.sin(angle)).astype(np.float32)[leaf]
    step = np.arange(size, dtype=np.float32)
    texture = grating.astype(np.float32)[leaf] * np.sin(along_x * step + along_y * step[:, None])
    texture += noise.astype(np.float32)[leaf] * generator.standard_normal((size, size), dtype=np.float32)
    picture += texture[..., None]
    return (picture.clip(0, 1) * 255).astype(np.uint8)


def _leaf_of_pixels(generator: np.random.Generator, size: int, radius: np.ndarray) -> np.ndarray:
    """(size, size) which leaf shows at each pixel; leaves are laid from back to front, all in one assignment."""
    n_leaves = len(radius)
    x, y = generator.uniform(-0.25 * size, 1.25 * size, (2, n_leaves))
    is_disc = generator.random(n_leaves) < 0.5
    angle, aspect = generator.uniform(0, np.pi, n_leaves), generator.uniform(0.4, 1, n_leaves)
    cos, sin = np.cos(angle), np.sin(angle)
    # a rectangle's half sides, of the same diagonal as the disc
    long, short = radius / np.hypot(1, aspect), radius * aspect / np.hypot(1, aspect)

    # a leaf covers one run of pixels in every row that it meets
    first, last = ((y + side).clip(0, size).astype(int) for side in (-radius, radius + 1))
    n_rows = np.where((x + radius + 1 >= 1) & (x - radius < size), last - first, 0)
    leaf = np.arange(n_leaves).repeat(n_rows)
    row = np.arange(len(leaf)) - (n_rows.cumsum() - n_rows - first)[leaf]
    dy = row - y[leaf]
    half = np.sqrt((radius[leaf] ** 2 - dy**2).clip(0))
    one, other = -dy * (sin / cos)[leaf], dy * (cos / sin)[leaf]  # midway between a rectangle's two pairs of sides
    low = np.maximum(one - (long / abs(cos))[leaf], other - (short / sin)[leaf])
    high = np.minimum(one + (long / abs(cos))[leaf], other + (short / sin)[leaf])
    left = np.ceil(x[leaf] + np.where(is_disc[leaf], -half, low)).clip(0, size).astype(int)
    right = np.floor(x[leaf] + np.where(is_disc[leaf], half, high) + 1).clip(0, size).astype(int)
    length = (right - left).clip(0)

    pixel = np.arange(length.sum()) + (row * size + left - (length.cumsum() - length)).repeat(length)
    shown = np.zeros(size * size, dtype=np.int32)
    shown[pixel] = leaf.repeat(length)  # of the leaves over a pixel the last, which is the front one, stays
    return shown.reshape(size, size)


def photo_crop(generator: np.random.Generator, size: int, part: str) -> np.ndarray:
    """A crop of one of two photographs, maybe mirrored, with its colors exchanged and its contrast changed.

    Args:
        generator: where every choice comes from.
        size: side in pixels of the result; the crop itself is 96 to 192 pixels wide.
        part: "train" takes the left 70 % of the photographs, anything else the right 30 %.
    """
    photo = photographs()[generator.integers(2)]
    height, width = photo.shape[:2]
    border = int(TRAIN_SHARE * width)
    first, last = (0, border) if part == "train" else (border, width)
    side = int(generator.integers(96, min(192, last - first) + 1))
    left, top = generator.integers(first, last - side + 1), generator.integers(0, height - side + 1)
    crop = Image.fromarray(photo[top : top + side, left : left + side]).resize((size, size), Image.Resampling.BILINEAR)
    pixels = np.asarray(crop, dtype=np.float32)[:, :: generator.choice([-1, 1])][..., generator.permutation(3)]
    middle = pixels.mean((0, 1))
    return (middle + generator.uniform(0.6, 1.4) * (pixels - middle)).clip(0, 255).astype(np.uint8)


@lru_cache(maxsize=1)
def photographs() -> tuple[np.ndarray, np.ndarray]:
    """A temple and a flower, (427, 640, 3) uint8 each, from scikit-learn's wheel."""
    from sklearn.datasets import load_sample_images

    first, second = load_sample_images().images
    return first, second
