"""Outlines become exactly the right pixels: polygons against a test of every centre, run lengths against a loop."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from matplotlib.path import Path as Outline

from brainnet.dataset.coco import Masks, filled, from_runs
from brainnet.dataset.coco.masks import mask_of

CORNERS = st.lists(st.tuples(st.floats(-3, 23), st.floats(-3, 18)), min_size=3, max_size=9)


@pytest.mark.parametrize(
    ("polygon", "rows", "columns"),
    [
        ([2, 1, 5, 1, 5, 4, 2, 4], slice(1, 4), slice(2, 5)), ([5, 4, 2, 4, 2, 1, 5, 1], slice(1, 4), slice(2, 5)),
        ([0, 0, 20, 0, 20, 15, 0, 15], slice(0, 15), slice(0, 20)),
        ([-9, -9, 99, -9, 99, 99, -9, 99], slice(0, 15), slice(0, 20)),
        ([2.4, 1.4, 5.4, 1.4, 5.4, 4.4, 2.4, 4.4], slice(1, 4), slice(2, 5)),
        ([2.6, 1.6, 5.6, 1.6, 5.6, 4.6, 2.6, 4.6], slice(2, 5), slice(3, 6)), ([3, 3, 3, 3], slice(0), slice(0)),
        ([], slice(0), slice(0)),
    ],
)  # fmt: skip
def test_a_rectangle_covers_the_pixels_whose_centres_it_holds(polygon, rows, columns):
    expected = np.zeros((15, 20), bool)
    expected[rows, columns] = True
    assert np.array_equal(filled(polygon, 15, 20), expected)


@settings(max_examples=60)
@given(CORNERS)
def test_a_pixel_is_inside_where_its_centre_is(corners):
    """Against matplotlib, one polygon at a time, for triangles: there inside means the same to everybody."""
    triangle = np.array(corners[:3])
    centres = np.stack(np.meshgrid(np.arange(20) + 0.5, np.arange(15) + 0.5), -1).reshape(-1, 2)
    inside = filled(triangle.ravel().tolist(), 15, 20).ravel()
    distance = np.min([_distance(centres, triangle[i], triangle[i - 1]) for i in range(3)], axis=0)
    sure = distance > 1e-6  # on the outline itself either is right
    assert np.array_equal(inside[sure], Outline(triangle).contains_points(centres)[sure])


def _distance(points, a, b):
    along = b - a
    length = along @ along
    t = np.clip((points - a) @ along / length, 0, 1) if length else np.zeros(len(points))
    return np.linalg.norm(points - a - t[:, None] * along, axis=1)


@given(st.floats(0, 20))
def test_neighbours_share_no_pixel_and_leave_none_out(cut):
    left = filled([0, 0, cut, 0, cut, 15, 0, 15], 15, 20)
    right = filled([cut, 0, 20, 0, 20, 15, cut, 15], 15, 20)
    assert not (left & right).any()
    assert (left | right).all()


@pytest.mark.parametrize("polygon", [[1, 2, 3], [0, 0, float("nan"), 1, 2, 2], [[0, 0], [1, 1], [2, 2]]])
def test_what_is_no_polygon_is_refused(polygon):
    with pytest.raises(ValueError, match="polygon"):
        filled(polygon, 5, 5)


def to_text(runs: list[int]) -> str:
    """COCO's text of run lengths, written from its description."""
    text = ""
    for place, run in enumerate(runs):
        number = run - (runs[place - 2] if place > 2 else 0)
        more = True
        while more:
            bits, number = number & 31, number >> 5
            more = not (number == 0 and not bits & 16) and not (number == -1 and bits & 16)
            text += chr(48 + (bits | (32 if more else 0)))
    return text


@settings(max_examples=60)
@given(st.lists(st.booleans(), min_size=12, max_size=400))
def test_run_lengths_go_down_the_columns(values):
    width = len(values) // 4
    mask = np.array(values[: 4 * width]).reshape(4, width)
    runs, last = [0], False
    for value in mask.T.ravel():
        if value != last:
            runs.append(0)
            last = value
        runs[-1] += 1
    assert np.array_equal(from_runs(runs, 4, width), mask)
    assert np.array_equal(from_runs(to_text(runs), 4, width), mask)
    assert np.array_equal(from_runs(to_text(runs).encode(), 4, width), mask)


def test_a_known_text_of_run_lengths():
    """As COCO's own program writes these masks."""
    mask = np.zeros((5, 6), bool)
    mask[1:3, 1:4] = True
    assert np.array_equal(from_runs("6230009", 5, 6), mask)
    mask = np.zeros((400, 3), bool)
    mask[50:350, 1] = mask[3:390, 2] = True
    assert np.array_equal(from_runs(b"R>\\9e1g2eN", 400, 3), mask)


@pytest.mark.parametrize(
    ("counts", "words"), [([1, 2], "3 pixels.*2 x 2"), ([5, -1], "2 x 2"), ("é", "ascii"), ("~", "'~'")]
)
def test_run_lengths_that_do_not_fit_are_refused(counts, words):
    with pytest.raises(ValueError, match=words):
        from_runs(counts, 2, 2)


def test_a_segmentation_is_the_union_of_its_parts():
    parts = mask_of([[0, 0, 2, 0, 2, 2, 0, 2], [1, 1, 4, 1, 4, 3, 1, 3]], 5, 5)
    expected = np.zeros((5, 5), bool)
    expected[:2, :2] = expected[1:3, 1:4] = True
    assert np.array_equal(parts, expected)
    assert not mask_of([], 5, 5).any()
    with pytest.raises(ValueError, match=r"\[5, 4\].*\[5, 5\]"):
        mask_of({"counts": [20], "size": [5, 4]}, 5, 5)
    with pytest.raises(ValueError, match="NoneType"):
        mask_of(None, 5, 5)


def test_smaller_things_lie_on_top_and_crowds_below():
    pixels = np.zeros((3, 4, 4), bool)
    pixels[0, 1:3, 1:3] = pixels[1, 1, 1] = pixels[2, 1:3, 1] = True
    masks = Masks(pixels, ("dog", "person", "person"), (18, 1, 1), (7, 8, 9), (False, False, True))
    assert masks.by_instance().tolist() == [[0, 0, 0, 0], [0, 2, 1, 0], [0, 1, 1, 0], [0, 0, 0, 0]]
    assert masks.by_category()[1].tolist() == [0, 1, 18, 0]
    assert np.array_equal(masks.of("person"), pixels[1] | pixels[2])
    assert not masks.of("cat").any()
    assert len(masks) == 3
