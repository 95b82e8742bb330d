"""Pictures of RDMs show the numbers they were given, in the order asked for."""

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.stats import rankdata

from brainnet import plot
from brainnet.rsa import RDMs


@pytest.fixture
def pair(rng):
    return RDMs(torch.rand(2, 15, generator=rng), names=("V1", "IT"), conditions=tuple("abcdef"))


def shown(ax):
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def test_matrices_show_percentiles_with_an_empty_diagonal(pair):
    figure = plot.rdms(pair)
    for ax, values in zip(figure.axes[:2], pair.values.numpy(), strict=True):
        picture = shown(ax)
        assert np.isnan(np.diag(picture)).all()
        expected = 100 * (rankdata(values) - 1) / 14
        np.testing.assert_allclose(picture[np.triu_indices(6, 1)], expected, atol=1e-4)
        np.testing.assert_array_equal(picture, picture.T)
    raw = shown(plot.rdms(pair, ranked=False).axes[1])
    np.testing.assert_allclose(raw[np.triu_indices(6, 1)], pair.values[1], atol=1e-6)


def test_groups_bring_conditions_together(pair):
    figure = plot.rdms(pair, groups=["x", "y", "x", "y", "x", "y"], ranked=False)
    order = [0, 2, 4, 1, 3, 5]
    expected = pair.reorder(order).to_square()[0].numpy()
    picture = shown(figure.axes[0])
    np.testing.assert_allclose(picture[0, 1:], expected[0, 1:])
    assert [text.get_text() for text in figure.axes[0].texts][-2:] == ["x", "y"]


def test_images_stand_beside_their_rows(pair):
    shades = [Image.new("RGB", (8, 8), (40 * i, 0, 0)) for i in range(6)]
    figure = plot.rdms(pair[0], images=shades)
    insets = figure.axes[0].child_axes
    left = sorted((ax for ax in insets if ax.get_position().x0 < figure.axes[0].get_position().x0),
                  key=lambda ax: -ax.get_position().y0)  # fmt: skip
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in left] == [0, 40, 80, 120, 160, 200]
    assert len(insets) == 12
    grouped = plot.rdms(pair[0], images=shades, groups=list("xyxyxy")).axes[0].child_axes
    left = sorted((ax for ax in grouped if ax.get_position().x0 < figure.axes[0].get_position().x0),
                  key=lambda ax: -ax.get_position().y0)  # fmt: skip
    assert [int(ax.images[0].get_array()[0, 0, 0]) for ax in left] == [0, 80, 160, 40, 120, 200]
    with pytest.raises(ValueError, match="one per condition: got 5 for 6"):
        plot.rdms(pair, images=shades[:5])
