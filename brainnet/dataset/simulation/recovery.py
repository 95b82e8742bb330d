"""How much of planted selectors a model found, each number beside what a constant guess would score.

One number flatters: argmax accuracy rises while the mix of layers gets worse, correlations over both hemispheres are
carried by their opposite signs. So there are several, and a line that says what no fit can tell.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor

from brainnet.selection import Selectors

LOCAL = 0.3  # a voxel planted beyond this scale hardly depends on its place
NOT_IDENTIFIABLE = (
    "No fit can tell these apart: a layer with a large weight from one with large read-out weights, which "
    '"gain-corrected" allows for; channels, as two trainings can choose different ones that predict equally well; '
    "and the places of voxels that read the whole image. Neighboring layers of expansion:small share 50 to 85 % of "
    "their variance, so that a neighboring layer is the error to expect."
)


def recovery(
    planted: Selectors,
    found: Selectors,
    hemisphere: Tensor,
    layer_gain: Tensor | None = None,
    scale_gain: Tensor | None = None,
) -> dict[str, Any]:
    """Agreement of two sets of selectors, as nested dicts of plain numbers (they go into a JSON file as they are).

    Args:
        planted: the truth.
        found: a model's.
        hemisphere: (n_voxels,) 0 left, 1 right.
        layer_gain: (n_voxels, L) or (L,): SD over images of a voxel's prediction, had each layer all the weight. Shares
            are multiplied by it and normalized again: what a layer contributes rather than its weight.
        scale_gain: (n_voxels, 2) or (2,): the same of the local and the global token.

    Returns:
        metric -> {"raw", "constant_guess"} and, where a gain was given, "gain_corrected". Metrics: ``layer_accuracy``
        (argmax), ``layer_within_one``, ``layer_centre_mae`` (in layers) and ``layer_centre_r``; ``scale_mae`` and
        ``scale_r``; for the voxels planted local (scale < 0.3), in half-widths of the image: ``position_rms``,
        ``position_median``, and ``position_x_r``, ``position_y_r``, means over the correlations within hemispheres. A
        correlation with a constant is 0. Then ``n_voxels``, ``n_local`` and ``not_identifiable``.

    >>> n = torch.arange(12.0)
    >>> truth = Selectors(torch.stack([n, -n], 1) / 12, torch.eye(3).repeat(4, 1), (n % 5)[:, None] / 5)
    >>> recovery(truth, truth, (n > 5).long())["layer_accuracy"]
    {'raw': 1.0, 'constant_guess': 0.3333333432674408}
    """
    for name, true, guess in zip(Selectors._fields, planted, found, strict=True):
        if true.shape != guess.shape:
            raise ValueError(f"{name} selectors found are {tuple(guess.shape)}, the planted ones {tuple(true.shape)}.")
    planted, found = (Selectors(*(part.detach().cpu().float() for part in s)) for s in (planted, found))
    hemisphere = hemisphere.cpu()
    versions = {"raw": found}
    if layer_gain is not None or scale_gain is not None:
        versions["gain_corrected"] = gain_corrected(found, layer_gain, scale_gain)
    local = planted.scale[:, 0] < LOCAL
    guess = _constant_guess(planted, local)
    result: dict[str, Any] = {}
    for version, selectors in {**versions, "constant_guess": guess}.items():
        for metric, value in _layer_scores(planted, selectors).items():
            result.setdefault(metric, {})[version] = value
        for metric, value in _scale_scores(planted, selectors).items():
            result.setdefault(metric, {})[version] = value
        if version != "gain_corrected":  # no gain moves a place
            for metric, value in _position_scores(planted.space, selectors.space, hemisphere, local).items():
                result.setdefault(metric, {})[version] = value
    # the best constant for argmax is another one than for the center
    commonest = torch.bincount(planted.layer.argmax(1)).float()
    n = len(planted.layer)
    result["layer_accuracy"]["constant_guess"] = float(commonest.max() / n)
    within = torch.nn.functional.pad(commonest, (1, 1)).unfold(0, 3, 1).sum(1)
    result["layer_within_one"]["constant_guess"] = float(within.max() / n)
    return result | {"n_voxels": n, "n_local": int(local.sum()), "not_identifiable": NOT_IDENTIFIABLE}


def gain_corrected(found: Selectors, layer_gain: Tensor | None, scale_gain: Tensor | None) -> Selectors:
    """What layers and scales contribute; one without any weight contributes nothing, though its gain is 0 / 0."""
    layer, scale = found.layer, found.scale
    if layer_gain is not None:
        layer = (layer * layer_gain.detach().cpu().float()).nan_to_num(0.0)
        layer = layer / layer.sum(1, keepdim=True)
    if scale_gain is not None:
        parts = (torch.cat([1 - scale, scale], dim=1) * scale_gain.detach().cpu().float()).nan_to_num(0.0)
        scale = parts[:, 1:] / parts.sum(1, keepdim=True)
    return Selectors(found.space, layer, scale)


def _constant_guess(planted: Selectors, local: Tensor) -> Selectors:
    """The same for every voxel: mean place of the local ones, median layer center and scale."""
    n, n_layers = planted.layer.shape
    centre = float(_centre(planted.layer).median())
    below = min(int(centre), n_layers - 1)
    layer = torch.zeros(n_layers)
    layer[below] = 1 - (centre - below)
    if below + 1 < n_layers:
        layer[below + 1] = centre - below
    place = planted.space[local].mean(0) if local.any() else planted.space.mean(0)
    return Selectors(place.expand(n, 2), layer.expand(n, -1), planted.scale.median().expand(n, 1))


def _centre(layer: Tensor) -> Tensor:
    return layer @ torch.arange(layer.shape[1], dtype=layer.dtype)


def _layer_scores(planted: Selectors, found: Selectors) -> dict[str, float]:
    off = (planted.layer.argmax(1) - found.layer.argmax(1)).abs()
    true, guess = _centre(planted.layer), _centre(found.layer)
    return {
        "layer_accuracy": float((off == 0).float().mean()),
        "layer_within_one": float((off <= 1).float().mean()),
        "layer_centre_mae": float((true - guess).abs().mean()),
        "layer_centre_r": _r(guess, true),
    }


def _scale_scores(planted: Selectors, found: Selectors) -> dict[str, float]:
    true, guess = planted.scale[:, 0], found.scale[:, 0]
    return {"scale_mae": float((true - guess).abs().mean()), "scale_r": _r(guess, true)}


def _position_scores(true: Tensor, guess: Tensor, hemisphere: Tensor, local: Tensor) -> dict[str, float]:
    error = (true - guess)[local].norm(dim=1)
    sides = [local & (hemisphere == side) for side in (0, 1)]
    sides = [rows for rows in sides if int(rows.sum()) > 2]

    def r_within(axis: int) -> float:
        values = [_r(guess[rows, axis], true[rows, axis]) for rows in sides]
        return sum(values) / len(values) if values else float("nan")

    return {
        "position_rms": float(error.square().mean().sqrt()),
        "position_median": float(error.median()) if len(error) else float("nan"),
        "position_x_r": r_within(0),
        "position_y_r": r_within(1),
    }


def _r(guess: Tensor, true: Tensor) -> float:
    """Pearson r; 0 where the guess is constant."""
    guess, true = guess.double() - guess.double().mean(), true.double() - true.double().mean()
    norm = guess.norm() * true.norm()
    # a constant in float32 leaves rounding behind: far below any real map's spread
    return float(guess @ true / norm) if guess.abs().max() > 1e-6 and norm > 0 else 0.0
