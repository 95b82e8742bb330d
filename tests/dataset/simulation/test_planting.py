"""What is planted: maps as they are described, components that are white, and responses by FactorTopy's contraction."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset.simulation.planting import (
    N_CLUSTERS,
    Patch,
    patch_coordinates,
    planted_selectors,
    planted_signal,
    planted_weights,
    whitened_components,
)
from brainnet.selection import Selectors, read_out
from brainnet.space import VERTICES_PER_HEMISPHERE, load_mesh, occipital_vertices
from brainnet.tokens import Tokens


@pytest.fixture(scope="module")
def patch():
    return patch_coordinates(occipital_vertices(40.0), 40.0)


def line(n: int = 101) -> Patch:
    """Vertices along a line from the pole to the patch's rim, all on the left."""
    along = np.linspace(0, 1, n)
    return Patch(along, along, 0 * along, np.zeros(n, dtype=int))


def test_a_patch_is_measured_from_the_most_posterior_vertex(patch):
    assert patch.distance.min() == 0  # the pole itself
    assert patch.distance.max() <= 1
    np.testing.assert_allclose(np.hypot(patch.up, patch.lateral), patch.distance, atol=1e-12)
    assert set(patch.hemisphere) == {0, 1}


@pytest.mark.parametrize("side", [0, 1])
def test_lateral_means_the_same_in_both_hemispheres(patch, side):
    """Away from the midline is positive, and up is up, in the mesh's own millimetres (x to the right, z up)."""
    vertices = occipital_vertices(40.0).numpy()
    here = patch.hemisphere == side
    points = load_mesh("fsaverage5", "sphere", ("left", "right")[side]).points
    points = points[vertices[here] - side * VERTICES_PER_HEMISPHERE["fsaverage5"]]
    outward = points[:, 0] * (1 if side else -1)
    assert np.corrcoef(patch.lateral[here], outward)[0, 1] > 0.9
    assert np.corrcoef(patch.up[here], points[:, 2])[0, 1] > 0.9


def test_maps_follow_the_distance_from_the_pole():
    chosen = planted_selectors(line(), n_layers=5)
    torch.testing.assert_close(chosen.layer.sum(1), torch.ones(101))
    centre = chosen.layer @ torch.arange(5.0)
    assert (centre.diff() > 0).all()  # later layers farther out
    assert chosen.layer[0].argmax() == 0
    assert chosen.layer[-1].argmax() == 4
    assert (chosen.scale[:, 0].diff() > 0).all()
    assert chosen.scale[0] < 0.06
    assert chosen.scale[-1] > 0.87
    assert chosen.space.abs().max() < 7 / 8  # where a bilinear sample of 8 tokens loses no mass


def test_each_hemisphere_sees_the_other_half_of_the_image(patch):
    chosen = planted_selectors(patch, 3)
    left = torch.from_numpy(patch.hemisphere == 0)
    assert (chosen.space[left, 0] > 0).all()
    assert (chosen.space[~left, 0] < 0).all()


@pytest.mark.parametrize("n_components", [24, 3])
def test_voxels_of_a_cluster_read_alike(patch, n_components):
    weights, clusters = planted_weights(patch, n_components, np.random.default_rng(0))
    torch.testing.assert_close(weights.norm(dim=1), torch.ones(len(weights)))
    assert set(clusters.tolist()) == set(range(N_CLUSTERS))
    alike = weights @ weights.T
    same = clusters[:, None] == clusters
    assert alike[same].mean() > 0.85  # 1 / (1 + 0.35 ** 2) = 0.89
    if n_components >= N_CLUSTERS:  # prototypes are orthogonal
        assert alike[~same].mean().abs() < 0.05
    again, _ = planted_weights(patch, n_components, np.random.default_rng(0))
    assert torch.equal(weights, again)


@pytest.fixture
def tokens(rng):
    """Two layers of 6 and 4 channels, correlated, on a grid that is not square, with a large mean."""
    local = {name: torch.randn(40, c, 3, 2, generator=rng) for name, c in (("a", 6), ("b", 4))}
    mixing = {name: torch.randn(v.shape[1], v.shape[1], generator=rng) for name, v in local.items()}
    local = {name: torch.einsum("bchw,cd->bdhw", v, mixing[name]) + 50 for name, v in local.items()}
    return Tokens(local, {name: v.mean((2, 3)) for name, v in local.items()})


def test_components_are_white_over_the_training_images_alone(tokens):
    train = torch.arange(30)
    local, global_ = whitened_components(tokens, train, np.random.default_rng(0))
    assert local.shape == (40, 2, 4, 3, 2)  # as many components as the smallest layer has channels
    for layer in range(2):
        rows = local[train, layer].double().movedim(1, -1).reshape(-1, 4)
        torch.testing.assert_close(rows.mean(0), torch.zeros(4).double(), rtol=0, atol=1e-4)
        torch.testing.assert_close(rows.T @ rows / len(rows), torch.eye(4).double(), rtol=0, atol=1e-3)
    torch.testing.assert_close(global_[train].std(0), torch.ones(2, 4))
    others = tokens.map(lambda v: torch.cat([v[:30], v[30:] * 3]))  # test images are given other tokens
    changed, _ = whitened_components(others, train, np.random.default_rng(0))
    assert torch.equal(changed[:30], local[:30])


def test_tokens_of_too_few_directions_are_refused(tokens):
    flat = tokens.map(lambda v: v[:, :1].expand_as(v).clone())
    with pytest.raises(ValueError, match="4 directions"):
        whitened_components(flat, torch.arange(30), np.random.default_rng(0))


def test_responses_are_the_contraction_of_each_voxel_alone(tokens, rng):
    local, global_ = whitened_components(tokens, torch.arange(30), np.random.default_rng(0))
    chosen = Selectors(torch.rand(5, 2, generator=rng) - 0.5, torch.rand(5, 2, generator=rng), torch.rand(5, 1))
    weights = torch.randn(5, 4, generator=rng)
    whole = planted_signal(local, global_, chosen, weights)
    torch.testing.assert_close(whole, planted_signal(local, global_, chosen, weights, voxels_at_once=2))
    torch.testing.assert_close(
        whole,
        read_out(local, global_, chosen.layer, chosen.space, chosen.scale, weights, head="sum",
                 implementation="reference"),
    )  # fmt: skip
