"""The one contraction of FactorTopy: tokens of every layer, selected per voxel, times the voxel's weights.

For voxel n with layer mix a, place p, scale s and read-out weights w,
``y[b, n] = < w, sum_l a_l ((1 - s) window_p(local[b, l]) + s global[b, l]) > + bias``.
Several implementations compute exactly this and are interchangeable by name: ``reference`` says it in the
clearest way and serves as the others' oracle, ``cells`` is fast on any device, ``triton`` on a GPU. Nothing here
knows of parameters, coordinates or training.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

from brainnet._checks import check_word, warn_once
from brainnet._notebook import Bar, table_html
from brainnet._work import multiplies_bfloat16
from brainnet.selection.cells import read_cells
from brainnet.selection.windows import window_axes

MIN_WIDTH, MAX_WIDTH = 0.08, 3.0  # half-widths of the image: from a third of a token (8x8) to practically flat


class Selectors(NamedTuple):
    """Where in the network each voxel looks.

    ``space`` (n, 2) in [-1, 1]: column 0 is x (-1 left, 1 right), column 1 is y (-1 top, 1 bottom).
    ``layer`` (n, L), non-negative, sums to 1. ``scale`` (n, 1): 0 reads local tokens, 1 the global token.

    >>> found = Selectors(torch.tensor([[-1.0, 0.0]]), torch.tensor([[0.25, 0.75]]), torch.tensor([[0.125]]))
    >>> found.space.tolist(), found.layer.argmax(1).tolist()    # the left border of the image, mostly in layer 1
    ([[-1.0, 0.0]], [1])
    """

    space: Tensor
    layer: Tensor
    scale: Tensor

    def _repr_html_(self) -> str:
        """What a notebook shows: how many voxels read most of each layer, and where."""
        place, layer, scale = (part.detach().float().cpu() for part in self)
        chosen = layer.argmax(1).bincount(minlength=layer.shape[1]) / max(1, len(layer))
        mean = layer.mean(0)
        share_local = float((scale < 0.5).float().mean()) if len(scale) else float("nan")
        facts = [("voxels", len(scale)), ("layers", layer.shape[1]), ("share of voxels that read a place more than "
                 "the whole image", Bar(share_local)), ("share of voxels at the border of the image", Bar(
                     float((place.abs() > 0.95).any(1).float().mean()) if len(place) else float("nan")))]  # fmt: skip
        rows = [(k, Bar(share), float(weight)) for k, (share, weight) in enumerate(zip(chosen, mean, strict=True))]
        return table_html(
            "Selectors", facts, ("layer, from 0", "share of voxels that read it most", "mean weight"), rows
        )


def read_out(
    local: Tensor,
    global_: Tensor,
    layer: Tensor,
    position: Tensor,
    scale: Tensor,
    weight: Tensor,
    bias: Tensor | None = None,
    *,
    width: Tensor | None = None,
    head: str = "mean",
    implementation: str = "auto",
    precision: str = "fp32",
    keep_bytes: int = 2**28,
) -> Tensor:
    """Predictions (B, n_voxels) from tokens, the voxels' selectors and their read-out weights.

    Differentiable in every tensor argument. Any grid, square or not, and any number of voxels.

    Args:
        local: local tokens after the bottleneck, (B, L, D, H, W).
        global_: global tokens after the bottleneck, (B, L, D).
        layer: layer mix, (n_voxels, L); used as given, no normalization.
        position: x and y of the voxel's place, (n_voxels, 2); the image spans [-1, 1] on both axes.
        scale: (n_voxels, 1), 0 for local tokens, 1 for the global token.
        weight: read-out weights, (n_voxels, D).
        bias: (n_voxels,) or None.
        width: None samples one point: the four tokens around ``position``, bilinearly, and zero beyond the
            image, so that a place on the rim loses up to half (at a corner three quarters) of its mass. A
            tensor (n_voxels, 1) is the standard deviation of a Gaussian window in half-widths of the image
            (on both axes), normalized over the tokens' centers: exp(-d^2 / 2 width^2) / sum.
        head: "mean" divides the sum over the D channels by D, as the published weights expect; "sum" does not.
        implementation: "reference"; "cells", on any device; "triton", on a GPU and for points only; or "auto", which
            takes "triton" where it can and "cells" elsewhere.
        precision: "fp32" computes in the precision of the arguments. "bf16" rounds tokens, weights, mixes and what
            lies between to bfloat16 and keeps sums, results and the places in full precision: predictions less their
            bias, and gradients, then differ by 0.4 % of their norm. Places must never be rounded: they would cross
            from one token to the next, and their gradient was 19 % off. "auto" is "bf16" where the device multiplies
            it, else "fp32".
        keep_bytes: intermediates up to this size are kept for the backward pass; larger ones are computed again,
            for a third more time.

    Raises:
        ValueError: shapes that do not fit together, or an unknown head, implementation or precision.

    >>> local, global_ = torch.ones(1, 2, 3, 8, 8), torch.zeros(1, 2, 3)
    >>> half = torch.full((4, 2), 0.5)
    >>> read_out(local, global_, half, torch.zeros(4, 2), half[:, :1], torch.ones(4, 3))
    tensor([[0.5000, 0.5000, 0.5000, 0.5000]])
    """
    precision = arithmetic(precision, local.device)
    check_word("head", head, ("mean", "sum"))
    check_word("implementation", implementation, ("auto", "cells", "reference", "triton"))
    _check_shapes(local, global_, layer, position, scale, weight, bias, width)
    tensors = local, global_, layer, position, scale, weight
    if implementation == "auto":
        implementation = "triton" if width is None and _runs_triton(local, precision) else "cells"
    if implementation == "reference":
        summed = _reference(*tensors, width, precision)
    elif implementation == "cells":
        summed = read_cells(*tensors, width, precision, keep_bytes if torch.is_grad_enabled() else 0)
    else:
        if width is not None:
            raise ValueError("implementation='triton' samples points; a Gaussian window is fastest with 'cells'.")
        from brainnet.selection.triton import read_triton

        summed = read_triton(*tensors, precision)
    prediction = summed / weight.shape[1] if head == "mean" else summed
    return prediction if bias is None else prediction + bias


def arithmetic(precision: str, device: torch.device) -> str:
    """What "auto" means on a device, "fp32" or "bf16"; warns once where "bf16" was asked for and is slow.

    >>> arithmetic("fp32", torch.device("cpu"))
    'fp32'
    """
    check_word("precision", precision, ("fp32", "bf16", "auto"))
    if precision == "fp32":
        return precision
    fast = multiplies_bfloat16(device)
    if precision == "bf16" and not fast:
        warn_once(
            f"slow bf16 {device.type}",
            f"precision='bf16' on a device ({device}) that does not multiply bfloat16: it is several times slower than "
            "'fp32' there. 'auto' takes bf16 only where it is fast.",
        )
    return "bf16" if fast or precision == "bf16" else "fp32"


def _runs_triton(local: Tensor, precision: str) -> bool:
    if not local.is_cuda or find_spec("triton") is None:
        return False
    from brainnet.selection.triton import supports

    return supports(local.shape[1], local.shape[2], torch.bfloat16 if precision == "bf16" else local.dtype)


def _reference(local, global_, layer, position, scale, weight, width, precision) -> Tensor:
    """Every layer sampled for every voxel, then mixed, then read out: the definition, (B, n) before the head's 1/D."""
    if precision == "bf16":
        local, global_, weight = (t.bfloat16().to(t.dtype) for t in (local, global_, weight))
    selected = 0
    if width is None:
        places = position[None, :, None, :].expand(local.shape[0], -1, 1, 2)  # grid_sample reads x first, then y
    else:
        rows, columns = window_axes(position, width, local.shape[-2:])
    for index in range(local.shape[1]):
        if width is None:
            place = F.grid_sample(local[:, index], places, mode="bilinear", padding_mode="zeros", align_corners=False)
            place = place[..., 0].transpose(1, 2)  # (B, n, D)
        else:
            place = torch.einsum("bdhw,nh,nw->bnd", local[:, index], rows, columns)
        mixed = (1 - scale) * place + scale * global_[:, index, None]
        selected = selected + layer[:, index, None] * mixed
    return (selected * weight).sum(-1)


def _check_shapes(local, global_, layer, position, scale, weight, bias, width) -> None:
    if local.ndim != 5 or weight.ndim != 2:
        raise ValueError(
            f"local tokens must be (B, L, D, H, W) and weight (n_voxels, D); "
            f"got {tuple(local.shape)} and {tuple(weight.shape)}."
        )
    (batch, n_layers, depth), n_voxels = local.shape[:3], weight.shape[0]
    expected = {
        "global_": (global_, (batch, n_layers, depth)),
        "layer": (layer, (n_voxels, n_layers)),
        "position": (position, (n_voxels, 2)),
        "scale": (scale, (n_voxels, 1)),
        "weight": (weight, (n_voxels, depth)),
        "bias": (bias, (n_voxels,)),
        "width": (width, (n_voxels, 1)),
    }
    for name, (value, shape) in expected.items():
        if value is not None and tuple(value.shape) != shape:
            raise ValueError(
                f"{name} must be {shape} to fit local tokens {tuple(local.shape)} and weight {tuple(weight.shape)}; "
                f"got {tuple(value.shape)}."
            )
