"""The panels of maps: each pixel in the color that the legend gives its value."""

from __future__ import annotations

import numpy as np
import pytest
from matplotlib.colors import to_rgb
from matplotlib.figure import Figure

from brainnet.plot._colors import cluster_colors, continuous_colors, layer_colors, position_colors
from brainnet.plot.selector._panels import cluster_panel, layer_panel, scale_panel, score_panel, space_panel
from brainnet.plot.selector.places import Places


class OnePixelEach:
    """A canvas on which each voxel is a pixel."""

    def interpolate(self, values):
        return np.asarray(values, dtype=float)

    def vote(self, labels):
        return np.asarray(labels)


def legend_of(panel):
    figure = Figure(figsize=(4, 2))
    panel.legend(figure, (0.0, 0.0, 3.5, 1.0))  # inches
    figure.canvas.draw()
    return figure


def words(figure) -> list[str]:
    texts = [t.get_text() for ax in figure.axes for t in (*ax.texts, *ax.get_xticklabels(), ax.xaxis.label, ax.title)]
    return [text for text in (*texts, *(t.get_text() for t in figure.texts)) if text]


def test_the_layer_of_largest_weight_gives_the_color_and_spread_darkens_it():
    layer = np.array([[1, 0, 0], [0, 0, 1], [0.4, 0.3, 0.3], [np.nan, 1, 0]])
    panel = layer_panel(layer, ["one", "two", "three"])
    pixels = panel.picture(OnePixelEach())
    colors = layer_colors(3)
    np.testing.assert_allclose(pixels[0], colors[0])
    np.testing.assert_allclose(pixels[1], colors[2])
    assert (pixels[2] < pixels[0]).any()
    assert (pixels[2] <= pixels[0] + 1e-9).all()
    assert np.isnan(pixels[3]).all()  # no color where there is no number
    assert {"one", "two", "three", "one layer", "spread"} <= set(words(legend_of(panel)))
    assert panel.fades


def test_the_place_in_the_image_gives_the_color():
    places = np.array([[-1.0, -1.0], [1.0, -1.0], [0.0, 0.0]])
    panel = space_panel(places, Places())
    np.testing.assert_allclose(panel.picture(OnePixelEach()), position_colors(places))
    figure = legend_of(panel)
    image = figure.axes[0].images[0]
    left, right, bottom, top = image.get_extent()
    assert (left, right) == (-1, 1)
    assert bottom > top  # y points down, as in the image
    np.testing.assert_allclose(np.asarray(image.get_array())[0, 0], position_colors(np.array([-1.0, -1.0])), atol=1e-6)
    assert "top of the image" in words(figure)


@pytest.mark.parametrize("limits", [(0.0, 1.0), (-0.2, 0.4)])
def test_scores_have_the_colors_of_their_limits_and_never_fade(limits):
    panel = score_panel(np.array([limits[0], sum(limits) / 2, limits[1] + 1]), limits, "r")
    pixels = panel.picture(OnePixelEach())
    np.testing.assert_allclose(pixels, continuous_colors(np.array([0, 0.5, 1.0]), "viridis", 0, 1), atol=0.01)
    assert not panel.fades
    assert "r" in words(legend_of(panel))


def test_the_scale_runs_from_local_to_global():
    panel = scale_panel(np.array([[0.0], [1.0]]), Places())
    near, far = panel.picture(OnePixelEach())
    assert np.abs(near - far).max() > 0.3
    assert {"local 0", "1 global"} <= set(words(legend_of(panel)))
    assert panel.fades


def test_clusters_keep_their_color_and_voxels_without_one_have_none():
    panel = cluster_panel(np.array([0.0, 2.0, -1.0]))
    pixels = panel.picture(OnePixelEach())
    np.testing.assert_allclose(pixels[:2], [to_rgb(c) for c in cluster_colors(3)[[0, 2]]])
    assert np.isnan(pixels[2]).all()
    assert {"1", "2", "3"} <= set(words(legend_of(panel)))
