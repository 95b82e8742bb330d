"""The weights of a fit, kept so that new images can be predicted without the data set and without the estimator.

Whatever the method, a linear fit is kept in one form: for each layer the center of its features and a matrix, and the
prediction at the centers. Penalties, standardisation and the mix of layers are inside these numbers. Features lose
their center before they are multiplied, so that features with a large offset lose no digits.

    center:<layer>  (n_features,)             mean over the training images
    coef:<layer>    (n_features, n_voxels)
    intercept       (n_voxels,)               prediction at the centers; NaN for a voxel that could not be fitted
    position, width (n_voxels, 2 and 1)       of a method that reads each voxel's own window of the token maps: then a
    scale           ()                        layer's features are the window's mean, mixed with the global token
    grid            (2,)                      of a method that reads whole token maps: then a layer's features are its
                                              flattened map, and its center is zero
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._work import says_progress, size
from brainnet.encode.reading import reads_of
from brainnet.ridge import MixedWindowRidgeCV, WindowRidgeCV

Weights = Mapping[str, np.ndarray]
LARGEST = 4 << 30  # bytes of the weights of one fit
CHECKED = 32  # training images on which kept weights must predict what the estimator does


def weights_of(estimator: Any, read: Any, layers: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """The weights of a fitted estimator, see above; None where it is not linear, or does not give them.

    Args:
        estimator: fitted; linear ones give ``coef_``, (n_voxels, n_features), or layer -> such an array.
        read: what it was fitted to: features, layer -> features, or a function that gives batches of tokens.
        layers: the names of the layers, of a lone one too.

    >>> from brainnet.ridge import RidgeCV
    >>> x = torch.randn(20, 3, generator=torch.Generator().manual_seed(0))
    >>> weights = weights_of(RidgeCV([1e-3]).fit(x, x[:, :1] + 2), x, ("late",))
    >>> {name: array.shape for name, array in weights.items()}
    {'center:late': (3,), 'coef:late': (3, 1), 'intercept': (1,)}
    >>> predict_with(weights, ("late",), {"late": torch.zeros(1, 3)}).round(decimals=2)
    tensor([[2.]])
    """
    if reads_of(estimator) == "tokens":
        return _of_windows(estimator)
    spaces = read if isinstance(read, Mapping) else {layers[0]: read}
    coef = _coefficients(estimator, layers)
    if coef is None:
        return None
    centers = {layer: torch.as_tensor(x).mean(0, dtype=torch.float64).float() for layer, x in spaces.items()}
    at_centers = {layer: center[None] for layer, center in centers.items()}
    start = torch.as_tensor(estimator.predict(at_centers if read is spaces else at_centers[layers[0]])).reshape(1, -1)
    weights = {f"center:{layer}": centers[layer].numpy() for layer in layers}
    weights |= {f"coef:{layer}": coef[layer].float().cpu().contiguous().numpy() for layer in layers}
    weights["intercept"] = start[0].float().cpu().numpy()
    some = {layer: x[:CHECKED] for layer, x in spaces.items()}
    expected = torch.as_tensor(estimator.predict(some if read is spaces else some[layers[0]])).reshape(
        -1, start.shape[1]
    )
    found, expected = predict_with(weights, layers, some), expected.float().cpu()
    tolerance = 1e-3 * float((expected - start.float().cpu()).abs().nan_to_num().amax()) + 1e-6
    return weights if torch.allclose(found, expected, rtol=1e-3, atol=tolerance, equal_nan=True) else None


def _coefficients(estimator: Any, layers: tuple[str, ...]) -> dict[str, Tensor] | None:
    """Layer -> (n_features, n_voxels)."""
    given = getattr(estimator, "coef_", None)
    if isinstance(given, Mapping):
        return {layer: torch.as_tensor(given[layer]).T for layer in layers}
    if given is not None and len(layers) == 1:
        return {layers[0]: torch.atleast_2d(torch.as_tensor(given)).T}
    parts, shares = getattr(estimator, "estimators_", None), getattr(estimator, "weights_", None)
    if isinstance(parts, Mapping) and shares is not None and all(hasattr(part, "coef_") for part in parts.values()):
        # a mix of predictions: the mix of their weights
        return {
            layer: torch.atleast_2d(torch.as_tensor(parts[layer].coef_)).T * torch.as_tensor(share)
            for layer, share in zip(parts, shares, strict=True)
        }
    return None


def _of_windows(estimator: Any) -> dict[str, np.ndarray] | None:
    if isinstance(estimator, MixedWindowRidgeCV):
        return _of_maps(estimator)
    if not isinstance(estimator, WindowRidgeCV):
        return None
    weights = {f"coef:{layer}": coef.float().T.contiguous().numpy() for layer, coef in estimator.coef_.items()}
    kept = {"intercept": estimator.intercept_, "position": estimator.position_, "width": estimator.width_}
    weights |= {name: value.float().numpy() for name, value in kept.items()}
    return weights | {"scale": np.float32(estimator.scale)}


def _of_maps(estimator: MixedWindowRidgeCV) -> dict[str, np.ndarray] | None:
    """A weight for every token; None where that is more than ``LARGEST`` bytes."""
    n_voxels = len(estimator.position_)
    if 4 * n_voxels * sum(width * math.prod(estimator.grid_) for width in estimator.widths_in_.values()) > LARGEST:
        says_progress.info("weights of %s for %d voxels are more than %s and are not kept.", type(estimator).__name__,
                           n_voxels, size(LARGEST))  # fmt: skip
        return None
    maps = estimator.weights(torch.arange(n_voxels))
    weights = {f"coef:{k}": v.flatten(1).float().T.cpu().contiguous().numpy() for k, v in maps.items()}
    return weights | {"intercept": estimator.intercept_.float().cpu().numpy(), "grid": np.array(estimator.grid_)}


def reads_maps(weights: Weights) -> bool:
    """Whether the weights read token maps, not rows of features."""
    return "position" in weights or "grid" in weights


def predict_with(weights: Weights, layers: tuple[str, ...], read: Any) -> Tensor:
    """(n_images, n_voxels) float32, predicted by kept weights.

    Args:
        weights: of :func:`weights_of`.
        layers: their layers.
        read: layer -> features (n_images, n_features); of windows a function that gives batches of tokens.

    Raises:
        ValueError: features of another width than those of the fit; names the layer.
    """
    intercept = torch.from_numpy(np.asarray(weights["intercept"]))
    if "grid" in weights:
        return _predict_maps(weights, layers, read)
    if reads_maps(weights):
        model = WindowRidgeCV(scale=float(weights["scale"]))
        model.coef_ = {layer: torch.from_numpy(weights[f"coef:{layer}"]).T for layer in layers}
        model.intercept_ = intercept
        model.position_, model.width_ = (torch.from_numpy(weights[name]) for name in ("position", "width"))
        return model.predict(read)
    rows: Tensor | None = None
    for layer in layers:
        features, center = torch.as_tensor(read[layer]).float(), torch.from_numpy(weights[f"center:{layer}"])
        if features.shape[1:] != center.shape:
            raise ValueError(
                f"layer {layer!r} has {features.shape[1]} features and the weights are of {len(center)} features."
            )
        part = (features - center) @ torch.from_numpy(weights[f"coef:{layer}"])
        rows = part if rows is None else rows + part
    assert rows is not None, "a fit reads at least one layer"
    return rows + intercept


def _predict_maps(weights: Weights, layers: tuple[str, ...], read: Any) -> Tensor:
    rows = []
    for batch in read():
        row = torch.from_numpy(np.asarray(weights["intercept"])).double()
        for layer in layers:
            coef, tokens = torch.from_numpy(np.asarray(weights[f"coef:{layer}"])), batch.local[layer].flatten(1)
            if tokens.shape[1] != len(coef):
                raise ValueError(
                    f"layer {layer!r} has {tokens.shape[1]} tokens times channels and the weights are of {len(coef)}."
                )
            row = row + tokens.double() @ coef.double()  # many terms, and a mean far from zero
        rows.append(row.float())
    return torch.cat(rows)
