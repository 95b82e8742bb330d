"""``untrained:*``: the networks that the expansion network was compared with, all with random weights.

``fully_connected`` has the widths of the expansion network and no places; ``vit`` has places and no convolutions that
widen. The networks between them are options of ``expansion``: ``bank="random"``, ``nonlinearity="none"``, ``widths``.

Reference: Kazemian, Elmoznino & Bonner (2025), Convolutional architectures are cortex-aligned de novo.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable
from functools import partial
from pathlib import Path

import torch
from torch import Tensor, nn

from brainnet._checks import check_word, require
from brainnet.backbone.base import square_side
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import choose_places
from brainnet.backbone.weights import chosen_file, fit_weights, load_weights, own_random_numbers
from brainnet.tokens import Preprocessing

WIDTHS = (108, 1000, 3000, 5000)  # of the layers before the last
SIDE, PATCH, VIT_WIDTH, VIT_DEPTH, VIT_HEADS = 224, 16, 768, 11, 12


def build(
    variant: str | None,
    *,
    features: int | None = None,
    widths: Iterable[int] = WIDTHS,
    image_size: int | tuple[int, int] = SIDE,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "random",
    seed: int = 42,
    preprocessing: Preprocessing | None = None,
) -> HookedBackbone:
    """An untrained network.

    Args:
        variant: "fully_connected" (five linear layers, ReLU after each; layers ``"1"`` to ``"5"``) or "vit" (eleven
            blocks of a ViT-B/16, layers ``"0"`` to ``"10"``, and the linear layer ``"expansion"`` behind them).
        features: width of the last layer. Published sweeps: 108, 1080, 10800, ... (fully_connected, default 108), 12,
            60, 600, 6000 (vit, default 12).
        widths: of the layers before the last one, of "fully_connected".
        image_size: pixels along the side of the square input, a multiple of 16 for "vit".
        layers: names or indices of layers, or names of modules; None takes all.
        weights: "random", or a file with this network's own arrays.
        seed: of the weights, which are those that torch draws by default.
        preprocessing: by default the whole image at that size with ImageNet's mean and SD.

    >>> backbone = build("fully_connected", widths=(8, 8, 8, 8), image_size=16)
    >>> backbone.layers, backbone.layer_widths
    (('1', '2', '3', '4', '5'), (8, 8, 8, 8, 108))
    """
    check_word("untrained network", variant or "", KINDS)
    image_size = square_side(image_size, f"untrained:{variant}")
    file = chosen_file(weights, f"untrained:{variant}")
    with own_random_numbers(seed):
        if variant == "vit":
            network: nn.Module = UntrainedViT(features or 12, image_size)
            stages = {**{str(i): f"blocks.{i}" for i in range(VIT_DEPTH)}, "expansion": "expansion"}
        else:
            network = fully_connected((*widths, features or 108), 3 * image_size**2)
            stages = {str(i): f"nonlin{i}" for i in range(1, len(tuple(network)) // 2 + 1)}
    if file is not None:
        fit_weights(network, load_weights(file), file)
    is_vit = variant == "vit"
    return HookedBackbone(
        network,
        choose_places(network, layers, stages),
        name=f"untrained:{variant}",
        preprocessing=preprocessing or Preprocessing((image_size, image_size)),
        prefix_tokens=int(is_vit),
        patch_size=PATCH if is_vit else None,
        sequence="BNC" if is_vit else None,
        fixed_steps=True,
    )


def fully_connected(widths: Iterable[int], n_inputs: int) -> nn.Sequential:
    """Linear layers with a ReLU after each, over the flattened image."""
    parts: OrderedDict[str, nn.Module] = OrderedDict(flatten=nn.Flatten())
    for number, width in enumerate(widths, 1):
        parts[f"linear{number}"] = nn.Linear(n_inputs, width)
        parts[f"nonlin{number}"] = nn.ReLU()
        n_inputs = width
    return nn.Sequential(parts)


class UntrainedViT(nn.Module):
    """Eleven blocks of a ViT-B/16 and one linear layer; class token and positions are zeros, as published.

    Args:
        features: width of the last, linear layer.
        image_size: pixels along the side of the square input.
    """

    def __init__(self, features: int, image_size: int):
        super().__init__()
        block = require("timm.models.vision_transformer", "untrained:vit", "timm").Block
        n_places = (image_size // PATCH) ** 2
        self.patches = nn.Conv2d(3, VIT_WIDTH, PATCH, PATCH)
        self.class_token = nn.Parameter(torch.zeros(1, 1, VIT_WIDTH))
        self.positions = nn.Parameter(torch.zeros(1, 1 + n_places, VIT_WIDTH))
        norm = partial(nn.LayerNorm, eps=1e-6)
        self.blocks = nn.ModuleList(
            block(VIT_WIDTH, VIT_HEADS, qkv_bias=True, norm_layer=norm) for _ in range(VIT_DEPTH)
        )
        self.expansion = nn.Linear(VIT_WIDTH, features)

    def forward(self, images: Tensor) -> Tensor:
        """The sequence (B, 1 + N, features)."""
        x = self.patches(images).flatten(2).transpose(1, 2)
        x = torch.cat([self.class_token.expand(len(x), -1, -1), x], 1) + self.positions
        for block in self.blocks:
            x = block(x)
        return self.expansion(x)


KINDS = ("fully_connected", "vit")


def variants() -> list[str]:
    """What can follow "untrained:"."""
    return list(KINDS)


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_untrained

    return list(describe_untrained({"fully_connected": "mlp", "vit": "transformer"}, "untrained", SIDE))
