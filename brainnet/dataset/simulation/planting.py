"""Planted truth: smooth maps of layer, place, scale and channels over a patch of cortex, and the responses they make.

The idea: a voxel reads whitened principal components of a backbone's tokens through FactorTopy's own contraction, with
selectors that change smoothly over the cortex as they do in visual cortex. What a model then finds can be compared
with what was put in.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet.selection import Selectors, read_out
from brainnet.space import VERTICES_PER_HEMISPHERE, load_mesh
from brainnet.tokens import Tokens

N_COMPONENTS = 24  # with fewer, neighboring layers share more of the variance planted
N_CLUSTERS = 8
ROI_BANDS = {"V1": (0, 0.35), "V2": (0.35, 0.5), "V3": (0.5, 0.65), "V4": (0.65, 0.8), "IT": (0.8, 1.01)}
_IMAGES_AT_ONCE = 128


class PlantedTruth(NamedTuple):
    """What was put into a simulated subject; n = n_voxels.

    ``selectors``: place (n, 2), layer mix (n, L) and scale (n, 1). ``weights`` (n, 24): read-out of the whitened
    components; ``clusters`` (n,): which of 8 groups of channels a voxel belongs to. ``snr`` (n,): SD of the signal over
    SD of the noise of one presentation. ``signal`` (n_images, n): responses without noise.
    """

    selectors: Selectors
    weights: Tensor
    clusters: Tensor
    snr: Tensor
    signal: Tensor


class Patch(NamedTuple):
    """Where each vertex is in a patch around the occipital pole, in units of the patch's radius.

    ``distance`` (n,) from the pole, 0 to 1; ``up`` and ``lateral`` (n,), the same place in the plane that touches the
    sphere at the pole (mirrored, so that both hemispheres' axes mean the same); ``hemisphere`` (n,): 0 left, 1 right.
    """

    distance: np.ndarray
    up: np.ndarray
    lateral: np.ndarray
    hemisphere: np.ndarray


def patch_coordinates(vertices: Tensor, radius: float) -> Patch:
    """Place of fsaverage5 vertices relative to the most posterior vertex of their hemisphere.

    Args:
        vertices: (n,) over both hemispheres.
        radius: of the patch, degrees on the sphere.
    """
    n_hemisphere = VERTICES_PER_HEMISPHERE["fsaverage5"]
    hemisphere, index = np.divmod(vertices.numpy(), n_hemisphere)
    angle, up, lateral = (np.zeros(len(vertices)) for _ in range(3))
    for side, name in enumerate(("left", "right")):
        rows = hemisphere == side
        sphere = load_mesh("fsaverage5", "sphere", name).points.astype(np.float64)
        sphere /= np.linalg.norm(sphere, axis=1, keepdims=True)
        pole = sphere[load_mesh("fsaverage5", "inflated", name).points[:, 1].argmin()]
        points = sphere[index[rows]]
        north = np.array([0, 0, 1]) - pole[2] * pole
        north /= np.linalg.norm(north)
        out = np.cross(pole, north) * (1 if (np.cross(pole, north)[0] > 0) == (side == 1) else -1)
        angle[rows] = np.arccos((points @ pole).clip(-1, 1))
        direction = np.arctan2(points @ out, points @ north)
        up[rows], lateral[rows] = angle[rows] * np.cos(direction), angle[rows] * np.sin(direction)
    unit = np.radians(radius)
    return Patch(angle / unit, up / unit, lateral / unit, hemisphere)


def planted_selectors(patch: Patch, n_layers: int) -> Selectors:
    """Maps as visual cortex has them: later layers and larger scale with distance from the pole, contralateral places.

    The layer mix is a Gaussian (SD 0.6 layers) around a center that rises linearly from 0.1 to L - 1.1; the scale rises
    from 0.04 to 0.94; each hemisphere sees the other half of the image, and the vertical position reverses its
    direction along the cortex, as it does at the borders of visual areas. All places keep inside 7/8 of the image,
    where a bilinear sample loses no mass.
    """
    centre = 0.1 + (n_layers - 1.2) * patch.distance
    layer = np.exp(-((np.arange(n_layers) - centre[:, None]) ** 2) / (2 * 0.6**2))
    contralateral = np.where(patch.hemisphere == 0, 1, -1)
    x = contralateral * (0.4 + 0.3 * np.sin(np.pi * patch.lateral))
    y = 0.6 * np.sin(1.25 * np.pi * patch.up)  # dorsal cortex near the pole sees the lower half: y points down
    scale = 0.04 + 0.9 / (1 + np.exp(-(patch.distance - 0.65) / 0.12))
    return Selectors(
        torch.from_numpy(np.stack([x, y], axis=1)).float(),
        torch.from_numpy(layer / layer.sum(1, keepdims=True)).float(),
        torch.from_numpy(scale).float()[:, None],
    )


def planted_weights(patch: Patch, n_components: int, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """Read-out weights (n, n_components) of unit length, and the cluster (n,) each voxel belongs to.

    Clusters are Voronoi cells on the cortex, the same on both hemispheres; a cell's voxels share a prototype, each with
    35 % of jitter. Prototypes are orthogonal where there are as many components.
    """
    place = np.stack([patch.up, patch.lateral], axis=1)
    seeds = [generator.integers(len(place))]
    for _ in range(min(N_CLUSTERS, len(place)) - 1):  # far from one another, and not always the same
        gap = ((place[:, None] - place[seeds]) ** 2).sum(2).min(1)
        seeds.append(generator.choice(len(place), p=gap / gap.sum()) if gap.sum() else seeds[0])
    cluster = ((place[:, None] - place[seeds]) ** 2).sum(2).argmin(1)
    draw = generator.standard_normal((n_components, max(N_CLUSTERS, n_components)))
    prototypes = np.linalg.qr(draw)[0].T if n_components >= N_CLUSTERS else draw.T
    prototypes = prototypes / np.linalg.norm(prototypes, axis=1, keepdims=True)
    weights = prototypes[cluster] + 0.35 * generator.standard_normal((len(place), n_components)) / n_components**0.5
    weights /= np.linalg.norm(weights, axis=1, keepdims=True)
    return torch.from_numpy(weights).float(), torch.from_numpy(cluster)


def whitened_components(tokens: Tokens, train: Tensor, generator: np.random.Generator) -> tuple[Tensor, Tensor]:
    """The leading principal components of each layer's channels, whitened and randomly rotated.

    Statistics come from the training rows: local tokens have mean 0 and SD 1 over images and places, global tokens (the
    mean over places) mean 0 and SD 1 over images. Every layer has the same number of components, the smallest width
    where that is below 24.

    Returns:
        local: (n_images, L, k, H, W) float32.
        global_: (n_images, L, k) float32.
    """
    k = min(N_COMPONENTS, *(layer.shape[1] for layer in tokens.local.values()))
    local = []
    for layer in tokens.local.values():
        mean, projection = _whitening(layer, train, k)
        rotation = np.linalg.qr(generator.standard_normal((k, k)))[0]
        projection = (projection @ torch.from_numpy(rotation)).float()
        parts = [
            torch.einsum("bchw,ck->bkhw", layer[rows].float() - mean[:, None, None], projection)
            for rows in torch.arange(len(layer)).split(_IMAGES_AT_ONCE)
        ]
        local.append(torch.cat(parts))
    local = torch.stack(local, dim=1)
    global_ = local.mean((-2, -1))
    return local, (global_ - global_[train].mean(0)) / global_[train].std(0)


def _whitening(layer: Tensor, train: Tensor, k: int) -> tuple[Tensor, Tensor]:
    """Channel means (C,) and the map (C, k) to the leading components with unit variance, summed in float64."""
    total = torch.zeros(layer.shape[1], dtype=torch.float64)
    square = torch.zeros(layer.shape[1], layer.shape[1], dtype=torch.float64)
    # products are formed in float32 about a first estimate of the mean, so that little is canceled
    origin = layer[train[:_IMAGES_AT_ONCE]].float().mean((0, 2, 3))
    count = 0
    for rows in train.split(_IMAGES_AT_ONCE):
        part = (layer[rows].float() - origin[:, None, None]).transpose(0, 1).flatten(1)
        total += part.sum(1, dtype=torch.float64)
        square += (part @ part.T).double()
        count += part.shape[1]
    mean = total / count
    variance, axes = torch.linalg.eigh(square / count - mean[:, None] * mean)
    variance, axes = variance[-k:].flip(0), axes[:, -k:].flip(1)
    axes = axes * torch.sign(
        axes.gather(0, axes.abs().argmax(0, keepdim=True))
    )  # eigenvectors have no sign of their own
    if variance[-1] <= 1e-9 * variance[0]:
        raise ValueError(
            f"the tokens vary along fewer than {k} directions; a simulated subject needs a backbone, and images, "
            "that give richer ones."
        )
    return (mean + origin).float(), axes / variance.sqrt()


def planted_signal(
    local: Tensor, global_: Tensor, selectors: Selectors, weights: Tensor, voxels_at_once: int = 64
) -> Tensor:
    """Responses without noise, (n_images, n_voxels): FactorTopy's contraction, a few voxels at a time."""

    def parts() -> Iterator[Tensor]:
        for rows in torch.arange(len(weights)).split(voxels_at_once):
            space, layer, scale = (part[rows] for part in selectors)
            yield read_out(local, global_, layer, space, scale, weights[rows], head="sum")

    return torch.cat(list(parts()), dim=1)
