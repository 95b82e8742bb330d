"""The weights of a fit, kept so that new images can be predicted without the data set and without the estimator.

Whatever the method, a linear fit is kept in one form: for each layer the center of its features and a matrix, and the
prediction at the centers. Penalties, standardization and the mix of layers are inside these numbers. Features lose
their center before they are multiplied, so that features with a large offset lose no digits.

    center:<layer>  (n_features,)             mean over the training images
    coef:<layer>    (n_features, n_voxels)
    intercept       (n_voxels,)               prediction at the centers; NaN for a voxel that could not be fitted
    position, width (n_voxels, 2 and 1)       of a method that reads each voxel's own window of the token maps: then a
    scale           ()                        layer's features are the window's mean, mixed with the global token
    pool            text                      "flatten" of a method that reads whole token maps; else as in the encoding
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._work import says_progress, size
from brainnet.encode.reading import reads_of
from brainnet.ridge import WindowRidgeCV
from brainnet.ridge.token_maps import pool
from brainnet.selection import gaussian_windows
from brainnet.tokens import Tokens

Weights = Mapping[str, np.ndarray]
LARGEST = 4 << 30  # bytes of the weights of one fit that reads whole token maps
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
        return _of_windows(estimator) or _of_maps(estimator, read, layers)
    if reads_of(estimator) not in ("features", "spaces"):
        return None
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
    return weights if _agree(predict_with(weights, layers, some), expected.float().cpu(), start[0]) else None


def _agree(found: Tensor, expected: Tensor, start: Tensor) -> bool:
    """Whether predictions (n_images, n_voxels) are the same, to a thousandth of how far they go from ``start``."""
    tolerance = 1e-3 * float((expected - start.float().cpu()).abs().nan_to_num().amax()) + 1e-6
    return torch.allclose(found, expected, rtol=1e-3, atol=tolerance, equal_nan=True)


def _coefficients(estimator: Any, layers: tuple[str, ...]) -> dict[str, Tensor] | None:
    """Layer -> (n_features, n_voxels)."""
    given = getattr(estimator, "coef_", None)
    if isinstance(given, Mapping):
        return {layer: torch.as_tensor(given[layer]).T for layer in layers}
    if given is not None and len(layers) == 1:
        return {layers[0]: torch.atleast_2d(torch.as_tensor(given)).T}
    parts, shares = getattr(estimator, "estimators_", None), getattr(estimator, "weights_", None)
    if isinstance(parts, Mapping) and list(parts) == list(layers) and all(hasattr(p, "coef_") for p in parts.values()):
        # a mix of predictions: the mix of their weights
        return {
            layer: torch.atleast_2d(torch.as_tensor(parts[layer].coef_)).T * torch.as_tensor(share)
            for layer, share in zip(parts, shares, strict=True)
        }
    return None


def _of_windows(estimator: Any) -> dict[str, np.ndarray] | None:
    if not isinstance(estimator, WindowRidgeCV):
        return None
    weights = {f"coef:{layer}": coef.float().T.contiguous().numpy() for layer, coef in estimator.coef_.items()}
    kept = {"intercept": estimator.intercept_, "position": estimator.position_, "width": estimator.width_}
    weights |= {name: value.float().numpy() for name, value in kept.items()}
    return weights | {"scale": np.float32(estimator.scale)}


def _read_by_windows(weights: Weights, layers: tuple[str, ...], batch: Tokens) -> Tensor:
    """(B, n_voxels) what each voxel's window of a batch of token maps adds to its intercept."""
    places = torch.from_numpy(np.concatenate([weights["position"], weights["width"]], axis=1))
    chosen, which = places.unique(dim=0, return_inverse=True)
    windows = gaussian_windows(chosen, batch.local[layers[0]].shape[-2:])
    row = torch.zeros(len(batch.local[layers[0]]), len(places))
    for layer in layers:
        coef = torch.from_numpy(weights[f"coef:{layer}"])
        for index, pooled in enumerate(pool(batch, layer, windows, float(weights["scale"]))):
            voxels = which == index
            row[:, voxels] += pooled @ coef[:, voxels]
    return row


def _of_maps(estimator: Any, read: Any, layers: tuple[str, ...]) -> dict[str, np.ndarray] | None:
    """Of an estimator that gives the weight of every token: ``weights(voxels)``, layer -> (n_voxels, C, H, W)."""
    if not hasattr(estimator, "weights"):
        return None
    sums: dict[str, Tensor] = {}
    n_images = 0
    for batch in read():
        n_images += len(batch.local[layers[0]])
        sums = {k: sums.get(k, 0) + batch.local[k].sum(0, dtype=torch.float64).cpu() for k in layers}
    centers = {layer: (total / n_images).float() for layer, total in sums.items()}
    intercept = torch.as_tensor(estimator.predict({layer: center[None] for layer, center in centers.items()}))[0]
    n_bytes = 4 * len(intercept) * sum(center.numel() for center in centers.values())
    if n_bytes > LARGEST:
        says_progress.info("weights of %d voxels would take %s and are not kept.", len(intercept), size(n_bytes))
        return None
    found = estimator.weights(torch.arange(len(intercept)))
    weights = {f"center:{layer}": center.flatten().numpy() for layer, center in centers.items()}
    weights |= {f"coef:{layer}": found[layer].flatten(1).T.float().cpu().contiguous().numpy() for layer in layers}
    weights |= {"intercept": intercept.float().cpu().numpy(), "pool": np.array("flatten")}
    some = next(iter(read())).map(lambda values: values[:CHECKED])
    expected = torch.as_tensor(estimator.predict(lambda: iter([some]))).float().cpu()
    predicted = predict_with(weights, layers, {layer: some.features(layer, "flatten") for layer in layers})
    return weights if _agree(predicted, expected, intercept) else None


def reads_windows(weights: Weights) -> bool:
    """Whether the weights read token maps, not rows of features."""
    return "position" in weights


def predict_with(weights: Weights, layers: tuple[str, ...], read: Any) -> Tensor:
    """(n_images, n_voxels) float32, predicted by kept weights.

    Args:
        weights: of :func:`weights_of`.
        layers: their layers.
        read: layer -> features (n_images, n_features); of windows a function that gives batches of tokens.

    Raises:
        ValueError: features of another width than those of the fit; names the layer.

    >>> coef, none = np.array([[1.0], [2.0]], np.float32), np.zeros(2, np.float32)
    >>> weights = {"center:fc": none, "coef:fc": coef, "intercept": np.array([0.5], np.float32)}
    >>> predict_with(weights, ("fc",), {"fc": torch.tensor([[1.0, 1.0], [0.0, 2.0]])}).tolist()
    [[3.5], [4.5]]
    """
    intercept = torch.from_numpy(np.asarray(weights["intercept"]))
    if reads_windows(weights):
        return torch.cat([_read_by_windows(weights, layers, batch) + intercept for batch in read()])
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
