"""Masks are laid over exactly their pixels, each in the color that the legend gives its category."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from brainnet import plot


def drawn(figure) -> list[np.ndarray]:
    return [np.asarray(ax.images[0].get_array()) for ax in figure.axes]


@pytest.fixture
def picture():
    return np.random.default_rng(0).integers(0, 256, (20, 30, 3), dtype=np.uint8)


@pytest.fixture
def pixels():
    found = np.zeros((3, 20, 30), bool)
    found[0, 2:18, 2:20] = found[1, 5:9, 5:9] = found[2, 5:9, 22:28] = True
    return found


def test_pixels_outside_the_masks_stay_and_those_inside_take_the_color(picture, pixels):
    figure = plot.masks(Image.fromarray(picture), pixels, ["dog", "person", "dog"])
    plain, over = drawn(figure)
    assert np.array_equal(plain, picture)
    outside = ~pixels.any(0)
    assert np.allclose(over[outside], picture[outside] / 255)
    colors = {text.get_text(): np.array(patch.get_facecolor()[:3]) for text, patch in _legend(figure)}
    assert list(colors) == ["dog × 2", "person"]
    for place, name in ((0, "dog × 2"), (1, "person"), (2, "dog × 2")):
        inside = pixels[place] & ~pixels[:place:-1].any(0) if place == 2 else pixels[place]
        rows, columns = np.nonzero(inside)
        edge = over[rows[0], columns[0]]  # the outline is the color itself
        assert np.allclose(edge, colors[name])
    within = (slice(6, 8), slice(6, 8))  # of the person, who is smaller than the dog around
    assert np.allclose(over[within], 0.45 * picture[within] / 255 + 0.55 * colors["person"])


def _legend(figure):
    legend = figure.axes[1].get_legend()
    return zip(legend.get_texts(), legend.get_patches(), strict=True)


def test_captions_stand_below_and_a_picture_without_things_has_no_legend(picture):
    captions = ["A dog.", "A very long caption " * 8]
    figure = plot.masks(picture / 255, np.zeros((0, 20, 30)), [], captions=captions, title="nsd-02950")
    text = figure.texts[0].get_text()
    assert text.replace("\n", " ") == f"{captions[0]} {captions[1].strip()}"
    assert figure.axes[1].get_legend() is None
    bottom = min(ax.get_position().y0 for ax in figure.axes)
    figure.draw_without_rendering()
    assert figure.texts[0].get_window_extent().y1 <= bottom * figure.bbox.height


@pytest.mark.parametrize(("shape", "names"), [((1, 20, 29), ["a"]), ((20, 30), ["a"]), ((2, 20, 30), ["a"])])
def test_masks_of_another_picture_are_refused(picture, shape, names):
    with pytest.raises(ValueError, match="masks"):
        plot.masks(picture, np.zeros(shape), names)
