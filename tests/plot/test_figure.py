"""Pieces of figures."""

import itertools

import numpy as np
import pytest

from brainnet.plot._figure import add_axes, box_of, new_figure, patches


@pytest.mark.parametrize("inside", [False, True])
@pytest.mark.parametrize(("n", "shown"), [(5, 5), (40, 10)])
def test_patches_are_named_as_far_as_names_fit(n, shown, inside):
    figure = new_figure((6, 2))
    ax = (
        figure.add_axes((0, 0, 1, 1)).inset_axes((0, 0.5, 4.5 / 6, 0.1))
        if inside
        else add_axes(figure, (0, 1, 4.5, 0.2))
    )
    patches(ax, np.zeros((n, 3)), [f"features.{k}" for k in range(n)])
    labels = ax.get_xticklabels()
    assert shown - 4 <= len(labels) <= shown
    figure.draw_without_rendering()
    boxes = [label.get_window_extent() for label in labels]
    assert all(a.x1 < b.x0 for a, b in itertools.pairwise(boxes))


def test_axes_of_a_part_of_a_figure_have_their_place_in_the_whole():
    whole = new_figure((8, 3))
    right = whole.subfigures(1, 2)[1]
    assert box_of(right.add_axes((0.5, 0, 0.5, 1))) == pytest.approx((6, 0, 2, 3))
    assert box_of(whole.add_axes((0.5, 0, 0.5, 1))) == pytest.approx((4, 0, 4, 3))
