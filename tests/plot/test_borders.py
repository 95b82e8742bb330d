import numpy as np
import pytest
from matplotlib.path import Path

from brainnet.plot._borders import border_lines, border_segments, joined, smoothed
from brainnet.space import load_mesh


def test_the_border_of_a_cap_is_one_closed_line_at_its_height():
    points, faces = load_mesh("fsaverage5", "sphere", "left")
    owner, ends = border_segments(faces, points[:, 2] > 50)
    keys, numbers = np.unique(ends.reshape(-1, 2), axis=0, return_inverse=True)
    lines = joined(numbers.reshape(-1, 2))
    assert len(lines) == 1
    assert lines[0][0] == lines[0][-1]
    assert len(lines[0]) == len(owner) + 1  # every segment once
    line = points[keys].mean(axis=1)[lines[0]]
    assert np.abs(line[:, 2] - 50).max() < 3  # an edge is 3.9 mm long at most
    flat = smoothed(line[:, :2])
    assert np.array_equal(flat[0], flat[-1])
    radius = np.linalg.norm(flat, axis=1)
    assert radius.std() < np.linalg.norm(line[:, :2], axis=1).std()


def test_open_lines_keep_their_ends_and_nothing_has_no_border():
    line = np.array([[0.0, 0], [1, 1], [2, 0], [3, 1]])
    assert np.array_equal(smoothed(line)[[0, -1]], line[[0, -1]])
    faces = np.array([[0, 1, 2]])
    assert len(border_segments(faces, np.zeros(3, bool))[0]) == 0
    assert len(border_segments(faces, np.ones(3, bool))[0]) == 0
    crossing = joined(np.array([[0, 1], [1, 2], [1, 3], [1, 4]]))  # four lines meet: none is lost
    assert sum(len(one) - 1 for one in crossing) == 4


def test_borders_on_a_sheet_are_closed_and_hold_the_region_alone():
    """A grid of triangles: one region touches its rim, the other does not."""
    side = 9
    x, y = np.meshgrid(np.arange(side), np.arange(side))
    place = np.stack([x, y], axis=-1).reshape(-1, 2).astype(float)
    corner = (y[:-1, :-1] * side + x[:-1, :-1]).reshape(-1, 1)
    faces = np.concatenate([corner + np.array(steps) for steps in ([0, 1, side], [1, side + 1, side])])
    corner_region = (place < 4).all(axis=1)
    far_region = (place > 5).all(axis=1) & (place < 8).all(axis=1)
    lines = border_lines(place, faces, corner_region | far_region)
    assert len(lines) == 2
    for line in lines:
        assert np.array_equal(line[0], line[-1])
    held = np.any([Path(line).contains_points(place) for line in lines], axis=0)
    off_the_rim = (place > 0).all(axis=1)
    assert np.array_equal(held[off_the_rim], (corner_region | far_region)[off_the_rim])
    low = min(lines, key=lambda line: line[:, 0].min())
    assert low.min() == pytest.approx(0, abs=0.15)  # along the rim
    assert border_lines(place, faces, np.zeros(side * side, bool)) == []
