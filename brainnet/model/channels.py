"""Which channels voxels read: clusters of read-out weights over the brain, and a region's top channels in the image.

Voxels whose weights point the same way read the same mixture of channels, however strongly. Both questions are answered
in the space of the weights, (n_voxels, D): nothing of size voxels x voxels is ever made. Weights are known only up to
what the bottleneck can undo, so clusters describe a fitted model; this module does not claim that they are the brain's.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from brainnet._checks import warn_once
from brainnet.tokens import Tokens, resize_map

CHUNK = 4096  # rows whose similarities to all centroids are held at a time


def cluster_channels(
    weight: Tensor,
    n_clusters: int = 20,
    *,
    covariance: Tensor | None = None,
    n_centroids: int = 1000,
    max_iterations: int = 25,
    seed: int = 0,
) -> Tensor:
    """The channel cluster of each voxel, (n_voxels,) integers; neighboring numbers mark similar clusters.

    Cosine k-means to many small groups, then Ward's method on their centers, each with the weight of its voxels, until
    exactly ``n_clusters`` are left. Clusters are numbered along the leaves of their dendrogram, ordered so that
    neighbors are alike, from the end with the larger cluster: a color map then shows similarity.

    Args:
        weight: read-out weights, (n_voxels, D). Only directions count, not lengths.
        n_clusters: how many; fewer come out where fewer distinct directions exist, with a warning.
        covariance: (D, D) of the bottlenecked tokens; voxels are then compared by the correlation of what they read
            rather than by the angle of their weights.
        n_centroids: groups of the first step.
        max_iterations: of k-means; it stops earlier when at most one voxel in a thousand moves.
        seed: of the first centers.

    Returns:
        Labels 0 .. n_clusters - 1 on the CPU; -1 for voxels whose weights are all zero or not finite.

    Memory is bounded by a few copies of ``weight`` and 4096 x ``n_centroids`` similarities.

    References: Dhillon & Modha (2001), Machine Learning 42 (cosine k-means); Bahmani et al. (2012), PVLDB 5(7) (first
    centers drawn in rounds); Ward (1963), JASA 58; Bar-Joseph et al. (2001), Bioinformatics 17 (order of leaves).

    >>> angle = torch.tensor([0.0, 0.01, 1.6, 1.61, 3.1])
    >>> cluster_channels(torch.stack([angle.cos(), angle.sin()], 1), n_clusters=3).tolist()
    [0, 0, 1, 1, 2]
    """
    if weight.ndim != 2:
        raise ValueError(f"weight is (n_voxels, D), got {tuple(weight.shape)}")
    if n_clusters < 1:
        raise ValueError(f"n_clusters is at least 1, got {n_clusters}")
    rows = _in_metric(weight.detach().float().cpu(), covariance)
    length = rows.norm(dim=1)
    usable = torch.isfinite(length) & (length > 0)
    labels = torch.full((len(weight),), -1)
    if not usable.any():
        return labels
    rows = rows[usable] / length[usable, None]

    generator = torch.Generator().manual_seed(seed)
    centres = _first_centres(rows, max(n_clusters, min(n_centroids, len(rows))), generator)
    group, centres = _cosine_kmeans(rows, centres, max_iterations)
    if len(centres) < n_clusters:
        warn_once("few-directions", f"{len(centres)} clusters instead of {n_clusters}: no more weights differ.")
    cluster, means = _weighted_ward(centres, torch.bincount(group, minlength=len(centres)), n_clusters)
    cluster = cluster[group]
    labels[usable] = _rank_along_leaves(means, torch.bincount(cluster))[cluster]
    return labels


def _in_metric(weight: Tensor, covariance: Tensor | None) -> Tensor:
    """Rows whose inner products are the covariances of what the voxels read."""
    if covariance is None:
        return weight
    if covariance.shape != (weight.shape[1],) * 2:
        raise ValueError(f"covariance is (D, D) with D = {weight.shape[1]}, got {tuple(covariance.shape)}")
    values, vectors = torch.linalg.eigh(covariance.detach().double().cpu())
    return weight @ (vectors * values.clamp_min(0).sqrt()).float()


def _first_centres(rows: Tensor, k: int, generator: torch.Generator) -> Tensor:
    """Up to k distinct rows, far ones first: k-means++, its draws gathered into rounds of one matrix product each."""
    chosen = torch.randint(len(rows), (1,), generator=generator)
    distance = 1 - rows @ rows[chosen[0]]
    while len(chosen) < k:
        distance[distance < 1e-6] = 0  # float32: rows this near are the same
        candidates = int((distance > 0).sum())
        if not candidates:
            break
        n_drawn = min(k - len(chosen), candidates, max(1, k // 50))
        drawn = torch.multinomial(distance, n_drawn, generator=generator)
        chosen = torch.cat([chosen, drawn])
        distance = torch.minimum(distance, 1 - (rows @ rows[drawn].T).amax(1))
    return rows[chosen]


def _cosine_kmeans(rows: Tensor, centres: Tensor, max_iterations: int) -> tuple[Tensor, Tensor]:
    """Group of each row (n,), and the mean of the unit rows of each group that has any (k, D)."""
    group = torch.full((len(rows),), -1)
    for _ in range(max_iterations):
        before, group = group, torch.cat([(part @ centres.T).argmax(1) for part in rows.split(CHUNK)])
        sums = torch.zeros_like(centres).index_add_(0, group, rows)
        length = sums.norm(dim=1, keepdim=True)
        centres = torch.where(length > 0, sums / length.clamp_min(1e-12), centres)  # an empty group keeps its place
        if int((group != before).sum()) <= len(rows) // 1000:
            break
    used, group, count = group.unique(return_inverse=True, return_counts=True)
    return group, torch.zeros(len(used), rows.shape[1]).index_add_(0, group, rows) / count[:, None]


def _weighted_ward(centres: Tensor, count: Tensor, n_clusters: int) -> tuple[Tensor, Tensor]:
    """Cluster of each center (k,), and the cluster means: Ward's merges, a center weighing as much as its voxels.

    With all counts one this is Ward's method as usual; without the counts, a group of one odd voxel would weigh as much
    as one of hundreds, and end as a cluster of its own.
    """
    means, count = centres.double(), count.double()
    member = torch.arange(len(means))
    # cost of a merge: the growth of the summed squared distance to the mean
    square = (means[:, None] - means[None]).square().sum(2) if len(means) <= 64 else torch.cdist(means, means).square()
    cost = square * (count[:, None] * count) / (count[:, None] + count)
    cost.fill_diagonal_(torch.inf)
    for _ in range(len(means) - n_clusters):
        a, b = divmod(int(np.argmin(cost.numpy())), len(means))  # a fifth of the time of torch's
        total = count[a] + count[b]
        means[a] = (count[a] * means[a] + count[b] * means[b]) / total
        count[a], count[b] = total, 0
        member[member == b] = a
        cost[b], cost[:, b] = torch.inf, torch.inf
        fresh = (means - means[a]).square().sum(1) * (count * total) / (count + total)
        fresh[(count == 0) | (torch.arange(len(means)) == a)] = torch.inf
        cost[a], cost[:, a] = fresh, fresh
    kept, member = member.unique(return_inverse=True)
    return member, means[kept]


def _rank_along_leaves(means: Tensor, count: Tensor) -> Tensor:
    """Place of each cluster in an order where neighbors are alike, the larger end first."""
    if len(means) < 3:
        return count.argsort(descending=True, stable=True).argsort()
    from scipy.cluster.hierarchy import leaves_list, linkage

    leaves = torch.from_numpy(leaves_list(linkage(means.numpy(), "ward", optimal_ordering=True)).copy()).long()
    if count[leaves[0]] < count[leaves[-1]]:
        leaves = leaves.flip(0)
    return leaves.argsort()


class ChannelDirections(NamedTuple):
    """A region's leading mixtures of channels.

    Attributes:
        directions: layer -> (n, C_layer); the maps of :func:`project` are tokens times these, summed over layers.
        components: (n, D) the same in the space of the weights, of unit length.
        explained: (n,) share of the region's summed squared weights (with a covariance: of what it reads) along each.
    """

    directions: dict[str, Tensor]
    components: Tensor
    explained: Tensor


def top_channels(
    weight: Tensor,
    roi: Tensor,
    bottleneck: Mapping[str, Tensor],
    layer: Tensor,
    n: int = 3,
    *,
    covariance: Tensor | None = None,
) -> ChannelDirections:
    """The n mixtures of channels that a region reads most, as directions in the space of the tokens.

    They are the leading principal axes (about zero: what all voxels share counts) of the region's weights, carried back
    through each layer's bottleneck with the region's mean layer selection. A positive value in a map raises the
    region's mean response: signs are not left to chance.

    Args:
        weight: read-out weights, (n_voxels, D).
        roi: the region, (n_voxels,) bool or voxel indices.
        bottleneck: layer -> (D, C_layer) or (D, C_layer, 1, 1), in the order of the columns of ``layer``.
        layer: layer selectors, (n_voxels, n_layers).
        n: number of directions, at most the region's voxels and D.
        covariance: (D, D) of the bottlenecked tokens; axes are then those of what the region reads.

    Raises:
        ValueError: an empty region, shapes that disagree, or more directions than there are.

    >>> weight = torch.tensor([[2.0, 0.0], [1.0, 0.0], [0.0, 3.0]])    # three voxels read two channels
    >>> roi = torch.tensor([True, True, False])
    >>> found = top_channels(weight, roi, {"conv": torch.eye(2)}, torch.ones(3, 1), n=1)
    >>> found.directions["conv"].tolist(), found.explained.tolist()
    ([[1.0, 0.0]], [1.0])
    """
    if layer.shape != (len(weight), len(bottleneck)):
        raise ValueError(f"layer is (n_voxels, n_layers) = {(len(weight), len(bottleneck))}, got {tuple(layer.shape)}")
    weight, layer = weight.detach().cpu(), layer.detach().float().cpu()
    region = weight[roi.cpu()].float()
    most = min(region.shape)
    if not 1 <= n <= most:
        raise ValueError(
            f"the region has {len(region)} voxels with weights of {weight.shape[1]}: n is 1 to {most}, got {n}"
        )
    left, scale, _ = torch.linalg.svd(_in_metric(region, covariance), full_matrices=False)
    components = F.normalize(left.T @ region, dim=1)[:n]  # mixtures of the voxels' own weights, whatever the metric
    drive = (components @ region.T).mean(1)
    components = components * torch.where(drive < 0, -1.0, 1.0)[:, None]
    mixture = layer[roi.cpu()].mean(0)
    directions = {}
    for share, (name, matrix) in zip(mixture, bottleneck.items(), strict=True):
        matrix = matrix.detach().float().cpu().flatten(1)
        if matrix.shape[0] != weight.shape[1]:
            raise ValueError(
                f"bottleneck of layer {name!r} gives {matrix.shape[0]} channels, weight has {weight.shape[1]}"
            )
        directions[name] = share * (components @ matrix)
    return ChannelDirections(directions, components, (scale.square() / scale.square().sum())[:n])


def project(tokens: Tokens, directions: Mapping[str, Tensor]) -> Tensor:
    """Maps over the image of how far local tokens lie along each direction, (B, n, H, W).

    Args:
        tokens: as the model reads them (after its token transform, if it has one). Their own grid gives the sharpest
            maps; layers on smaller grids are interpolated to the largest.
        directions: layer -> (n, C_layer), see :func:`top_channels`.

    Raises:
        ValueError: a layer is missing.

    >>> tokens = Tokens({"conv": torch.arange(8.0).view(1, 2, 2, 2)}, {"conv": torch.zeros(1, 2)})
    >>> project(tokens, {"conv": torch.tensor([[0.0, 1.0]])})[0, 0]
    tensor([[4., 5.],
            [6., 7.]])
    """
    missing = set(directions) - set(tokens.local)
    if missing:
        raise ValueError(
            f"directions need layers {', '.join(sorted(missing))}; the tokens have {', '.join(tokens.local)}"
        )
    grid = max(tuple(tokens.local[name].shape[-2:]) for name in directions)
    maps = 0
    for name, direction in directions.items():
        local = tokens.local[name].float()
        maps = maps + resize_map(torch.einsum("bchw,nc->bnhw", local, direction.to(local.device)), grid)
    return maps


def as_colours(maps: Tensor, percentiles: tuple[float, float] = (5, 95), joint: bool = False) -> Tensor:
    """Three maps per image as red, green and blue in [0, 1], (B, H, W, 3).

    Args:
        maps: (B, 3, H, W), all images that are to be compared.
        percentiles: of the values over all images that become 0 and 1.
        joint: one range for the three maps, which keeps their relative strengths, instead of one each.

    >>> maps = torch.arange(5.0).view(1, 1, 1, 5).expand(1, 3, 1, 5)
    >>> as_colours(maps, percentiles=(0, 100))[0, 0, :, 0].tolist()    # red, from left to right
    [0.0, 0.25, 0.5, 0.75, 1.0]
    """
    if maps.ndim != 4 or maps.shape[1] != 3:
        raise ValueError(f"maps are (B, 3, H, W), got {tuple(maps.shape)}")
    values = maps.transpose(0, 1).reshape(1 if joint else 3, -1).double().cpu()
    limits = torch.from_numpy(_percentiles(values.numpy(), percentiles)).to(maps)
    low, high = limits[0].view(-1, 1, 1), limits[1].view(-1, 1, 1)
    return ((maps - low) / (high - low).clamp_min(1e-12)).clamp(0, 1).permute(0, 2, 3, 1)


def _percentiles(values, percentiles):
    import numpy as np  # torch.quantile refuses more than 16 million values

    return np.percentile(values, percentiles, axis=1)


def matched_clusters(labels: Tensor, reference: Tensor) -> Tensor:
    """The same clusters under the numbers of those that hold the same voxels in another run, so that colors agree.

    Clusters are paired one to one so that as many voxels as possible have the same number in both (Kuhn 1955, Naval
    Research Logistics 2). Those without a partner are numbered after all that the reference has.

    Args:
        labels: (n_voxels,) whole numbers, -1 for none.
        reference: (n_voxels,) those of the other run.

    Raises:
        ValueError: other voxels.

    >>> matched_clusters(torch.tensor([0, 0, 1, 2, -1]), torch.tensor([1, 1, 0, 0, 0])).tolist()
    [1, 1, 0, 2, -1]
    """
    from scipy.optimize import linear_sum_assignment

    if labels.shape != reference.shape or labels.ndim != 1:
        raise ValueError(
            f"labels {tuple(labels.shape)} and reference {tuple(reference.shape)} are of other voxels: clusters are "
            "matched over the same ones."
        )
    labels, reference = labels.long().cpu(), reference.long().cpu()
    names, theirs = (of[of >= 0].unique() for of in (labels, reference))
    counts = np.array([[int(((labels == a) & (reference == b)).sum()) for b in theirs] for a in names])
    pairs = zip(*linear_sum_assignment(-counts), strict=True) if counts.size else ()
    new = {int(names[row]): int(theirs[column]) for row, column in pairs if counts[row, column]}
    following = int(theirs.max()) + 1 if len(theirs) else 0
    for name in names.tolist():
        if name not in new:
            new[name], following = following, following + 1
    table = torch.full((int(labels.max()) + 2 if len(labels) else 1,), -1)
    for name, number in new.items():
        table[name] = number
    return table[labels]  # -1 reads the last entry, which is -1
