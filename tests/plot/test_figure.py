"""Pieces of figures."""

import itertools

import numpy as np
import pytest

from brainnet.plot._figure import add_axes, new_figure, patches


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
