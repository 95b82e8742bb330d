import numpy as np
import pytest
import torch

from brainnet import plot
from brainnet.plot.selector.figures import certainty_maps, depth_of
from brainnet.space import BrainSpace, occipital_vertices, surface_space

SCENE = plot.Scene("sphere", ("posterior",), pixels=200)


@pytest.fixture(scope="module")
def patch():
    space = surface_space(occipital_vertices(15))
    return surface_space(space.vertices, "fsaverage5", {"left": space.hemisphere == 0, "none": space.hemisphere > 5})


def test_each_layer_has_a_map_on_one_scale(patch, rng):
    layer = torch.rand(patch.n_voxels, 5, generator=rng).softmax(1)
    figure = plot.layer_weights(layer, patch, list("abcde"), scene=SCENE, outlines=True, title="t")
    maps = [ax for ax in figure.axes if ax.images and len(ax.texts)]
    assert len(maps) == 5
    bars = [ax for ax in figure.axes if ax.get_xlabel()]
    assert len(bars) == 1
    assert bars[0].get_xlim() == pytest.approx((0, float(layer.max())))
    with pytest.raises(ValueError, match="2 names for 5 layers"):
        plot.layer_weights(layer, patch, ["a", "b"])


def test_a_profile_has_the_mean_of_each_region_and_its_depth(patch):
    layer = torch.zeros(patch.n_voxels, 3)
    layer[patch.hemisphere == 0, 0] = 1
    layer[patch.hemisphere == 1, 2] = 1
    layer[0] = torch.nan
    figure = plot.layer_profile(layer, patch)
    ax = figure.axes[0]
    drawn = np.asarray(ax.images[0].get_array())
    left = patch.rois["left"][1:].double().mean()
    assert np.allclose(drawn, [[left, 0, 1 - left], [1, 0, 0]])  # "none" has no voxel
    assert ax.lines[0].get_xdata() == pytest.approx([2 * (1 - float(left)), 0])
    with pytest.raises(ValueError, match="no voxel is known"):
        plot.layer_profile(torch.full((3, 2), torch.nan), BrainSpace.free(3))


def test_coverage_is_the_highest_window_and_leaves_global_voxels_out(patch):
    position = torch.zeros(patch.n_voxels, 2)
    position[:, 0] = -0.5  # to the left, in the middle
    scale = torch.zeros(patch.n_voxels)
    scale[::2] = 0.9
    position[::2] = 0.8
    figure = plot.field_coverage(position, patch, torch.full((patch.n_voxels, 1), 0.2), scale, title="t")
    covered = np.asarray(figure.axes[0].images[-1].get_array())
    row, column = np.unravel_index(covered.argmax(), covered.shape)
    assert (row, column) in {(31, 15), (31, 16), (32, 15), (32, 16)}
    grid = (np.arange(64) + 0.5) / 32 - 1
    expected = np.exp(-((grid[None] + 0.5) ** 2 + grid[:, None] ** 2) / (2 * 0.2**2))
    assert np.allclose(covered, expected, atol=1e-6)
    texts = [text.get_text() for text in figure.axes[0].texts]
    assert any("global" in text for text in texts)
    everything = plot.field_coverage(position, patch, scale=torch.ones(patch.n_voxels), image=np.zeros((8, 8, 3)))
    assert "the whole image" in [text.get_text() for text in everything.axes[0].texts]
    with pytest.raises(ValueError, match="no voxel is known"):
        plot.field_coverage(position, patch, scores=torch.zeros(patch.n_voxels))


def test_certainty_of_one_run_is_entropy_and_of_several_also_spread(patch):
    n = patch.n_voxels
    one = (torch.full((n, 2), 0.5), torch.zeros(n, 2))
    two = (torch.tensor([[0.0, 1.0]]).repeat(n, 1), torch.ones(n, 2))
    assert set(certainty_maps({"a": one})) == {"entropy of layers"}
    maps = certainty_maps({"a": one, "b": two})
    assert maps["entropy of layers"] == pytest.approx(np.full(n, 0.5))
    assert maps["spread of depth"] == pytest.approx(np.full(n, 0.25))
    assert maps["spread of place"] == pytest.approx(np.full(n, np.sqrt(0.5)))
    figure = plot.certainty({"a": one, "b": two}, patch, scene=SCENE)
    assert any("2 runs" in text.get_text() for text in figure.texts)
    assert depth_of(np.array([[1.0], [np.nan]]))[0] == 0
