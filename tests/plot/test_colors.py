import numpy as np
import pytest

from brainnet.plot._colors import (
    cluster_colors,
    color_map,
    continuous_colors,
    contrasting_colors,
    darken,
    layer_colors,
    layer_entropy,
    position_colors,
)


def luminance(rgb):
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    return linear @ [0.2126, 0.7152, 0.0722]


def as_seen_without_green(rgb):
    """Deuteranopia after Machado, Oliveira & Fernandes (2009)."""
    linear = np.where(rgb <= 0.04045, rgb / 12.92, ((rgb + 0.055) / 1.055) ** 2.4)
    matrix = [[0.367322, 0.860646, -0.227968], [0.280085, 0.672501, 0.047413], [-0.011820, 0.042940, 0.968881]]
    return (linear @ np.transpose(matrix)).clip(0, 1)


def test_positions_have_a_grey_centre_and_four_different_sides():
    centre, left, right, top, bottom = position_colors(np.array([[0, 0], [-1, 0], [1, 0], [0, -1], [0, 1.0]]))
    assert np.ptp(centre) < 1e-6
    assert left[2] > left[0]  # blue
    assert right[0] > right[2]  # yellow
    assert luminance(top) > luminance(centre) > luminance(bottom)  # also in grey print
    seen = as_seen_without_green(np.stack([left, right, top, bottom]))
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(4, 1)]
    assert distances.min() > 0.15
    assert np.isnan(position_colors(np.array([np.nan, 0.0]))).all()
    assert np.array_equal(position_colors(np.array([3.0, 0])), right)  # beyond the image is its edge


def test_position_colors_are_smooth_and_inside_the_gamut():
    x, y = np.meshgrid(np.linspace(-1, 1, 101), np.linspace(-1, 1, 101))
    rgb = position_colors(np.stack([x, y], axis=-1))
    assert rgb.min() >= 0
    assert rgb.max() <= 1
    assert np.abs(np.diff(rgb, axis=0)).max() < 0.08
    assert np.abs(np.diff(rgb, axis=1)).max() < 0.08


def test_layers_get_lighter_in_order():
    for n_layers in (2, 5, 12, 24):
        assert (np.diff(luminance(layer_colors(n_layers))) > 0).all()
    assert layer_colors(1).shape == (1, 3)


def test_entropy_has_no_nan_at_exact_zeros():
    layer = np.array([[1, 0, 0], [0, 0.5, 0.5], [1 / 3, 1 / 3, 1 / 3]])
    assert np.allclose(layer_entropy(layer), [0, np.log(2) / np.log(3), 1])
    assert layer_entropy(np.ones((2, 1))).tolist() == [0, 0]


def test_spread_weights_are_dark_and_sharp_ones_keep_their_color():
    colors = layer_colors(3)
    assert np.array_equal(darken(colors, np.zeros(3)), colors)
    assert darken(colors, np.ones(3)).max() < 0.13
    half = darken(colors, np.full(3, 0.5))
    assert (half > 0.9 * colors).all()


@pytest.mark.parametrize("n_clusters", [1, 7, 8, 9, 20, 21, 40, 60])
def test_every_cluster_has_its_own_color(n_clusters):
    colors = cluster_colors(n_clusters)
    assert colors.shape == (n_clusters, 3)
    assert len(np.unique(colors.round(4), axis=0)) == n_clusters


def test_numbers_beyond_the_limits_take_the_end_colors_and_nan_none():
    rgb = continuous_colors(np.array([-5.0, 0, 1, 9, np.nan]), "viridis", 0, 1)
    assert np.array_equal(rgb[0], rgb[1])
    assert np.array_equal(rgb[2], rgb[3])
    assert np.isnan(rgb[4]).all()
    assert np.isfinite(continuous_colors(np.ones(2), "viridis", 1, 1)).all()


@pytest.mark.parametrize("n_clusters", [20, 40])
def test_clusters_differ_for_readers_without_green(n_clusters):
    seen = as_seen_without_green(cluster_colors(n_clusters))
    distances = np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(n_clusters, 1)]
    assert distances.min() > 0.03  # those of tab20 come as near as .01


@pytest.mark.parametrize("n", [1, 3, 8, 9, 30])
def test_categories_differ_for_readers_without_green(n):
    colors = contrasting_colors(n)
    assert colors.shape == (n, 3)
    seen = as_seen_without_green(colors)
    assert np.linalg.norm(seen[:, None] - seen[None], axis=2)[np.triu_indices(n, 1)].min(initial=1) > 0.03


def test_areas_of_clusters_do_not_glare():
    """Colors of a rainbow span 1, those of categories drawn as lines up to 0.9."""
    assert np.ptp(cluster_colors(20), axis=1).max() < 0.6


def test_an_unknown_color_map_names_the_nearest():
    assert color_map("magma").name == "magma"
    assert color_map(color_map("magma")).name == "magma"
    with pytest.raises(ValueError, match="'magmaa'.*'magma'"):
        color_map("magmaa")
