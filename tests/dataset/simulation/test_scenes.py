"""Generated pictures."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.dataset.simulation import scenes
from brainnet.dataset.simulation.scenes import dead_leaves, photo_crop, scene


@pytest.mark.parametrize(
    "draw", [dead_leaves, lambda g, n: photo_crop(g, n, "train"), lambda g, n: scene(g, n, "test")]
)
def test_pictures_follow_from_the_generator_alone(draw):
    first, again, other = (draw(np.random.default_rng(seed), 64) for seed in (1, 1, 2))
    assert first.shape == (64, 64, 3)
    assert first.dtype == np.uint8
    assert np.array_equal(first, again)
    assert not np.array_equal(first, other)


def test_test_crops_share_no_pixel_with_training_crops(monkeypatch):
    """Two photographs, red left of the border and green right of it."""
    photo = np.zeros((427, 640, 3), dtype=np.uint8)
    photo[:, :448], photo[:, 448:] = 100, 200
    monkeypatch.setattr(scenes, "photographs", lambda: (photo, photo))
    for part, level in (("train", 100), ("test", 200)):
        seen = {value for i in range(50) for value in np.unique(photo_crop(np.random.default_rng(i), 32, part))}
        assert seen == {level}


def test_three_pictures_in_ten_are_photographs(monkeypatch):
    monkeypatch.setattr(scenes, "photo_crop", lambda *_: "photo")
    monkeypatch.setattr(scenes, "dead_leaves", lambda *_: "leaves")
    drawn = [scene(np.random.default_rng(i), 8, "train") for i in range(1000)]
    assert drawn.count("photo") == pytest.approx(300, abs=60)  # four standard deviations


def test_leaves_cover_the_ground():
    """Leaf 0 is the ground: a mean cover of six leaves leaves exp(-6) of it."""
    bare = []
    for i in range(20):
        generator = np.random.default_rng(i)
        area = 2 * np.log(10) / (1 / 6.4**2 - 1 / 64**2)  # mean squared radius at density r^-3
        n_leaves = int(scenes.LEAVES_PER_AREA * (1.5 * 128) ** 2 / (np.pi * area))
        radius = (6.4**-2 - generator.random(n_leaves) * (6.4**-2 - 64**-2)) ** -0.5
        assert np.mean(radius**2) == pytest.approx(area, rel=0.5)
        bare.append((scenes._leaf_of_pixels(generator, 128, radius) == 0).mean())
    assert np.mean(bare) < 0.05


@pytest.mark.parametrize("size", [1, 16, 50])
@pytest.mark.parametrize("n_leaves", [1, 2, 40])
def test_every_pixel_shows_the_last_leaf_over_it(size, n_leaves):
    for seed in range(8):
        radius = np.random.default_rng(seed).uniform(size / 20, size / 2, n_leaves)
        found = scenes._leaf_of_pixels(np.random.default_rng(seed), size, radius)
        draw = np.random.default_rng(seed)
        centre, is_disc = draw.uniform(-0.25 * size, 1.25 * size, (2, n_leaves)), draw.random(n_leaves) < 0.5
        angle, aspect = draw.uniform(0, np.pi, n_leaves), draw.uniform(0.4, 1, n_leaves)
        expected = np.zeros((size, size), int)
        for k in range(n_leaves):
            offset = np.arange(size)[None, :] - centre[0, k] + 1j * (np.arange(size)[:, None] - centre[1, k])
            sides = offset * np.exp(-1j * angle[k]) * abs(1 + 1j * aspect[k]) / radius[k]  # 1 and aspect at the sides
            in_rectangle = (abs(sides.real) <= 1) & (abs(sides.imag) <= aspect[k])
            expected[abs(offset) <= radius[k] if is_disc[k] else in_rectangle] = k
        assert np.array_equal(found, expected)
