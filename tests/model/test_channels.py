"""Channel clusters and top channels: planted groups are found, numbers are stable, memory stays small."""

from __future__ import annotations

import resource

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.cluster.hierarchy import fcluster, linkage
from sklearn.metrics import adjusted_rand_score

from brainnet.model import as_colours, cluster_channels, matched_clusters, project, top_channels
from brainnet.model.channels import _in_metric, _weighted_ward
from brainnet.tokens import Tokens


def planted(n_per_group=60, n_groups=8, dim=16, jitter=0.35, seed=0):
    rng = torch.Generator().manual_seed(seed)
    centres = torch.nn.functional.normalize(torch.randn(n_groups, dim, generator=rng), dim=1)
    truth = torch.arange(n_groups).repeat_interleave(n_per_group)
    truth = truth[torch.randperm(len(truth), generator=rng)]
    noise = torch.randn(len(truth), dim, generator=rng) * jitter / dim**0.5
    return centres[truth] + noise, truth, rng


# ------------------------------------------------------------------- clusters


@pytest.mark.parametrize("n_centroids", [1000, 100])  # Ward alone, and after k-means
def test_planted_groups_are_found(n_centroids):
    weight, truth, _ = planted()
    labels = cluster_channels(weight, n_clusters=8, n_centroids=n_centroids)
    assert adjusted_rand_score(truth, labels) > 0.99


def test_only_directions_count():
    weight, truth, rng = planted()
    gain = 10 ** (4 * torch.rand(len(weight), 1, generator=rng) - 2)
    assert adjusted_rand_score(truth, cluster_channels(weight * gain, n_clusters=8, n_centroids=100)) > 0.99
    opposite = cluster_channels(torch.cat([weight[truth == 0], -weight[truth == 0]]), n_clusters=2)
    assert opposite.bincount().tolist() == [60, 60]  # an opposite weight is as different as can be


@settings(max_examples=25)
@given(st.integers(20, 150), st.integers(1, 20), st.integers(2, 9), st.integers(0, 5))
def test_there_are_exactly_as_many_as_asked_for(n, n_clusters, dim, seed):
    weight = torch.randn(n, dim, generator=torch.Generator().manual_seed(seed))
    labels = cluster_channels(weight, n_clusters=n_clusters, n_centroids=40, seed=seed)
    assert labels.unique().tolist() == list(range(n_clusters))
    counts = labels.bincount()
    assert counts[0] >= counts[-1]
    assert torch.equal(labels, cluster_channels(weight, n_clusters=n_clusters, n_centroids=40, seed=seed))


def test_ward_equals_scipys_where_all_weigh_one(rng):
    points = torch.randn(70, 5, generator=rng)
    member, means = _weighted_ward(points, torch.ones(70), 9)
    scipys = fcluster(linkage(points.numpy(), "ward"), 9, "maxclust")
    assert adjusted_rand_score(scipys, member) == 1
    torch.testing.assert_close(means[3], points[member == 3].double().mean(0))


def test_ward_counts_voxels(rng):
    """Grouping equal points first must not change the result: a centre stands for its voxels."""
    points, count = torch.randn(12, 4, generator=rng), torch.tensor([1, 40, 3, 9, 1, 1, 60, 2, 5, 30, 1, 7])
    grouped, _ = _weighted_ward(points, count, 4)
    apart, _ = _weighted_ward(points.repeat_interleave(count, 0), torch.ones(int(count.sum())), 4)
    assert adjusted_rand_score(grouped.repeat_interleave(count), apart) == 1


def test_a_few_odd_voxels_do_not_use_up_the_clusters():
    weight, truth, rng = planted(n_per_group=200, n_groups=5)
    odd = torch.randn(10, 16, generator=rng)
    labels = cluster_channels(torch.cat([weight, odd]), n_clusters=5, n_centroids=60)
    assert adjusted_rand_score(truth, labels[: len(truth)]) > 0.99


def test_neighbouring_numbers_are_alike():
    angle = torch.linspace(0, torch.pi, 13)[torch.randperm(13, generator=torch.Generator().manual_seed(3))]
    weight = torch.stack([angle.cos(), angle.sin()], 1).repeat_interleave(20, 0)
    labels = cluster_channels(weight, n_clusters=13).view(13, 20)
    assert (labels == labels[:, :1]).all()
    order = angle[labels[:, 0].argsort()]
    assert torch.equal(order, order.sort().values) or torch.equal(order, order.sort(descending=True).values)


def test_covariance_compares_what_is_read(rng):
    # channels 0 and 1 always carry the same signal, so weights on either read the same
    weight = torch.eye(4)[[0, 1, 2, 3]].repeat_interleave(10, 0)
    covariance = torch.eye(4)
    covariance[0, 1] = covariance[1, 0] = 1
    labels = cluster_channels(weight, 3, covariance=covariance).view(4, 10)[:, 0]
    assert labels[0] == labels[1]
    assert len(labels.unique()) == 3
    root = torch.randn(4, 4, generator=rng)
    rows = _in_metric(weight, root @ root.T)
    torch.testing.assert_close(rows @ rows.T, (weight @ root) @ (weight @ root).T)
    with pytest.raises(ValueError, match="covariance"):
        cluster_channels(weight, 3, covariance=torch.eye(3))


def test_voxels_without_weights_have_no_cluster(rng):
    weight = torch.randn(30, 4, generator=rng)
    weight[3], weight[7, 1] = 0, torch.nan
    labels = cluster_channels(weight, 5)
    assert (labels == -1).nonzero().flatten().tolist() == [3, 7]
    assert cluster_channels(torch.zeros(4, 3), 2).tolist() == [-1] * 4


def test_fewer_directions_than_clusters_are_said(rng):
    weight = torch.eye(3).repeat(10, 1)
    with pytest.warns(UserWarning, match="3 clusters instead of 20"):
        labels = cluster_channels(weight)
    assert labels.unique().tolist() == [0, 1, 2]
    for wrong in ({"weight": weight[0]}, {"weight": weight, "n_clusters": 0}):
        with pytest.raises(ValueError, match=r"weight is|n_clusters is"):
            cluster_channels(**wrong)


@pytest.mark.slow
def test_a_whole_cortex_stays_in_memory(rng):
    weight = torch.randn(37_984, 128, generator=rng)
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    labels = cluster_channels(weight)
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before) * 1024  # Linux counts kilobytes
    assert grown < 500e6  # voxels x voxels would be 5.8 GB
    assert labels.unique().tolist() == list(range(20))


# --------------------------------------------------------------- top channels


@pytest.fixture
def region(rng):
    """A region of 40 voxels among 100 that read along two directions, the first more than the second."""
    n_voxels, dim = 100, 6
    axes = torch.linalg.qr(torch.randn(dim, 2, generator=rng)).Q.T
    roi = torch.arange(n_voxels) >= 60
    weight = torch.randn(n_voxels, dim, generator=rng)
    strength = torch.stack([3 + torch.rand(40, generator=rng), torch.linspace(-0.9, 1, 40)], 1)
    weight[roi] = strength @ axes
    bottleneck = {"a": torch.randn(dim, 5, 1, 1, generator=rng), "b": torch.randn(dim, 7, generator=rng)}
    layer = torch.rand(n_voxels, 2, generator=rng)
    return weight, roi, bottleneck, layer / layer.sum(1, keepdim=True), axes


def test_top_channels_are_the_planted_axes(region):
    weight, roi, bottleneck, layer, axes = region
    top = top_channels(weight, roi, bottleneck, layer, n=2)
    overlap = top.components @ axes.T
    # not exactly: the strengths along the two are not quite uncorrelated
    torch.testing.assert_close(overlap.diagonal().abs(), torch.ones(2), atol=2e-2, rtol=0)
    assert top.explained[0] > top.explained[1]
    assert top.explained.sum() == pytest.approx(1, abs=1e-5)
    by_index = top_channels(weight, roi.nonzero()[:, 0], bottleneck, layer, n=2)
    assert torch.equal(by_index.components, top.components)


def test_maps_are_the_regions_mean_drive(region, rng):
    """With one voxel, the map is its own local read-out at every place, up to the length of its weights."""
    weight, _, bottleneck, layer, _ = region
    tokens = Tokens(
        {"a": torch.randn(3, 5, 4, 4, generator=rng), "b": torch.randn(3, 7, 4, 4, generator=rng)},
        {"a": None, "b": None},
    )
    maps = project(tokens, top_channels(weight, torch.tensor([70]), bottleneck, layer, n=1).directions)
    wanted = sum(
        layer[70, i] * torch.einsum("bchw,dc,d->bhw", tokens.local[k], bottleneck[k].flatten(1), weight[70])
        for i, k in enumerate("ab")
    )
    torch.testing.assert_close(maps[:, 0], wanted / weight[70].norm())


def test_a_positive_map_raises_the_mean_response(region):
    weight, roi, bottleneck, layer, _ = region
    for sign in (1, -1):
        top = top_channels(sign * weight, roi, bottleneck, layer, n=2)
        assert ((sign * weight[roi] @ top.components.T).mean(0) > 0).all()


def test_a_metric_ranks_by_what_is_read(region):
    weight, roi, bottleneck, layer, axes = region
    loud = torch.eye(6) + 1000 * axes[1:].T @ axes[1:]  # tokens vary far more along the second axis
    top = top_channels(weight, roi, bottleneck, layer, n=1, covariance=loud)
    strength = weight[roi] @ axes[1]
    # the loud axis decides who goes with whom: the mixture is of voxels by how they read it
    expected = torch.nn.functional.normalize(strength @ weight[roi], dim=0)
    assert abs(top.components[0] @ expected) > 0.999


def test_layers_on_smaller_grids_are_interpolated(region, rng):
    weight, roi, bottleneck, layer, _ = region
    tokens = Tokens({"a": torch.ones(2, 5, 8, 6), "b": torch.ones(2, 7, 2, 2)}, {})
    maps = project(tokens, top_channels(weight, roi, bottleneck, layer).directions)
    assert maps.shape == (2, 3, 8, 6)
    torch.testing.assert_close(maps, maps[:, :, :1, :1].expand_as(maps))
    with pytest.raises(ValueError, match="need layers b"):
        project(Tokens({"a": torch.ones(2, 5, 2, 2)}, {}), {"a": torch.ones(1, 5), "b": torch.ones(1, 7)})


def test_what_cannot_be_is_refused(region):
    weight, roi, bottleneck, layer, _ = region
    with pytest.raises(ValueError, match="n_layers"):
        top_channels(weight, roi, bottleneck, layer[:, :1])
    with pytest.raises(ValueError, match="0 voxels"):
        top_channels(weight, torch.zeros(100, dtype=torch.bool), bottleneck, layer)
    with pytest.raises(ValueError, match="1 to 6, got 7"):
        top_channels(weight, roi, bottleneck, layer, n=7)
    with pytest.raises(ValueError, match="bottleneck of layer 'a'"):
        top_channels(weight, roi, {"a": torch.ones(5, 5), "b": torch.ones(6, 7)}, layer)


@pytest.mark.parametrize("joint", [False, True])
def test_colours_fill_their_range(rng, joint):
    maps = torch.randn(4, 3, 8, 8, generator=rng) * torch.tensor([1.0, 10.0, 100.0]).view(1, 3, 1, 1)
    colours = as_colours(maps, joint=joint)
    assert colours.shape == (4, 8, 8, 3)
    assert (colours.min(), colours.max()) == (0, 1)
    spread = colours.std((0, 1, 2))
    assert bool((spread > 0.2).all()) == (not joint)
    values = maps[:, 1].numpy()
    low, high = np.percentile(maps.numpy() if joint else values, (5, 95))
    np.testing.assert_allclose(colours[..., 1].numpy(), np.clip((values - low) / (high - low), 0, 1), atol=1e-5)
    with pytest.raises(ValueError, match=r"\(B, 3, H, W\)"):
        as_colours(maps[:, :2])


def test_clusters_matched_across_runs_keep_their_voxels_and_take_over_numbers(rng):
    reference = torch.randint(0, 6, (400,), generator=rng)
    order = torch.tensor([3, 5, 0, 1, 4, 2])
    shuffled = torch.where(torch.arange(400) % 50 == 0, 2, order[reference])  # eight voxels changed their cluster
    found = matched_clusters(shuffled, reference)
    assert (found == reference).float().mean() > 0.97
    assert torch.equal(found[:, None] == found, shuffled[:, None] == shuffled)
    more = matched_clusters(torch.arange(8), torch.zeros(8, dtype=torch.long))
    assert sorted(more.tolist()) == list(range(8))
    assert matched_clusters(torch.full((3,), -1), torch.tensor([0, 1, 2])).tolist() == [-1, -1, -1]
    assert matched_clusters(torch.tensor([0, 1]), torch.full((2,), -1)).tolist() == [0, 1]
    with pytest.raises(ValueError, match="other voxels"):
        matched_clusters(torch.zeros(3), torch.zeros(4))
