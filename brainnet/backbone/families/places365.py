"""``places365:*``: networks trained to tell 365 kinds of scenes, with the weights of the data set's authors (CC BY).

Reference: Zhou et al. (2018), Places: a 10 million image database for scene recognition, IEEE TPAMI 40(6), 1452-1464.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from brainnet.backbone.families._published import Published, build_published
from brainnet.backbone.hooks import HookedBackbone
from brainnet.tokens import Preprocessing

ADDRESS = "http://places2.csail.mit.edu/models_places365/{}_places365.pth.tar"
TABLE = {
    name: Published(name, ADDRESS.format(name), options={"num_classes": 365})
    for name in ("alexnet", "resnet18", "resnet50", "densenet161")
}


def build(
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> HookedBackbone:
    """A network trained on Places365.

    Args:
        variant: "alexnet", "resnet18", "resnet50" or "densenet161".
        layers: names of modules or patterns of them, ``"logits"``, or indices into the default choice, its blocks.
        weights: "default" (those published), a file, or "random".
        seed: of random weights.
        preprocessing: by default the whole image at 224 pixels with ImageNet's mean and SD.
    """
    return build_published(
        "places365", TABLE, variant, layers=layers, weights=weights, seed=seed, preprocessing=preprocessing
    )


def variants() -> list[str]:
    """What can follow "places365:"."""
    return list(TABLE)
