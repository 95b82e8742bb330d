"""``ecoset:*``: networks trained on ecoset, 565 kinds of things that people name, in torchvision's architectures.

Reference: Mehrer et al. (2021), An ecologically motivated image dataset for deep learning yields better models of human
vision, PNAS 118(8), e2011417118.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from brainnet.backbone.families._published import Published, build_published
from brainnet.backbone.hooks import HookedBackbone
from brainnet.tokens import Preprocessing

FILES = {"alexnet": "t6h3c", "resnet50": "gd9kn", "vgg16": "z5uf3", "vgg16_bn": "fe7s5", "inception_v3": "zn24d"}
TABLE = {
    name: Published(
        name,
        f"https://osf.io/{file}/download",
        options={"num_classes": 565, **({"init_weights": True} if name == "inception_v3" else {})},
    )
    for name, file in FILES.items()
}


def build(
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> HookedBackbone:
    """A network trained on ecoset.

    Args:
        variant: "alexnet", "resnet50", "vgg16", "vgg16_bn" or "inception_v3".
        layers: names of modules or patterns of them, ``"logits"``, or indices into the default choice, its blocks.
        weights: "default" (those published), a file, or "random".
        seed: of random weights.
        preprocessing: by default the whole image at 224 pixels with ImageNet's mean and SD.
    """
    return build_published(
        "ecoset", TABLE, variant, layers=layers, weights=weights, seed=seed, preprocessing=preprocessing
    )


def variants() -> list[str]:
    """What can follow "ecoset:"."""
    return list(TABLE)
