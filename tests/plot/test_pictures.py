"""Pictures of conditions: one each, in their own colors, small enough, and groups told apart twice."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.figure import Figure
from PIL import Image

from brainnet.plot._pictures import MARKERS, group_entries, hang, one_each, pixels_of


def test_there_is_one_item_for_each_condition():
    assert one_each(None, 3, "pictures") is None
    assert one_each(("a", "b"), 2, "pictures") == ["a", "b"]
    with pytest.raises(ValueError, match="groups .* 2 for 3"):
        one_each(["a", "b"], 3, "groups")


def test_colors_are_the_same_from_whatever_a_picture_is():
    """Bytes, numbers from 0 to 1, or a picture, gray or with a palette."""
    colors = np.array([[[255, 0, 0], [0, 128, 255]]], dtype=np.uint8).repeat(2, 0)
    for image in (colors, colors / 255 + 1e-4, Image.fromarray(colors)):
        np.testing.assert_array_equal(pixels_of(image, 64), colors)
    gray = Image.fromarray(np.full((2, 2), 7, np.uint8))
    assert pixels_of(gray, 64).tolist() == [[[7, 7, 7]] * 2] * 2
    assert pixels_of(np.array([[[-0.5, 0.5, 2.0]]]), 64).tolist() == [[[0, 127, 255]]]  # beyond 0 and 1 it is cut


@pytest.mark.parametrize(("most", "shape"), [(50, (25, 50, 3)), (4, (8, 16, 3)), (500, (100, 200, 3))])
def test_pictures_shrink_and_never_grow(most, shape):
    given = Image.new("RGB", (200, 100))
    assert pixels_of(given, most).shape == shape
    assert given.size == (200, 100)  # the caller's own stays


def test_groups_differ_in_color_and_marker():
    entries = group_entries(["face", "house", "tool"])
    assert [text for _, text in entries] == ["face", "house", "tool"]
    assert [line.get_marker() for line, _ in entries] == list(MARKERS[:3])
    assert len({str(line.get_color()) for line, _ in entries}) == 3


def test_a_picture_hangs_where_it_is_told():
    figure = Figure(figsize=(4, 4))
    ax = figure.add_axes((0, 0, 1, 1))
    hang(ax, np.full((300, 300, 3), 9, np.uint8), (0.25, 0.5, 0.1, 0.2))
    figure.canvas.draw()
    (inset,) = ax.child_axes
    np.testing.assert_allclose(inset.get_position(original=True).bounds, (0.25, 0.5, 0.1, 0.2))
    assert inset.images[0].get_array().shape == (120, 120, 3)  # twice as many pixels as it has at 150 dpi
    assert not inset.axison
