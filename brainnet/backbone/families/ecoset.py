"""``ecoset:*``: networks trained on ecoset, 565 kinds of things that people name, in torchvision's architectures.

Reference: Mehrer et al. (2021), An ecologically motivated image dataset for deep learning yields better models of human
vision, PNAS 118(8), e2011417118.
"""

from __future__ import annotations

from typing import Any

from brainnet._registry import takes_options_of
from brainnet.backbone.families._published import Published, build_published
from brainnet.backbone.hooks import HookedBackbone

FILES = {"alexnet": "t6h3c", "resnet50": "gd9kn", "vgg16": "z5uf3", "vgg16_bn": "fe7s5", "inception_v3": "zn24d"}
TABLE = {
    name: Published(
        name,
        f"https://osf.io/{file}/download",
        options={"num_classes": 565, **({"init_weights": True} if name == "inception_v3" else {})},
    )
    for name, file in FILES.items()
}


@takes_options_of(build_published)
def build(variant: str | None, **options: Any) -> HookedBackbone:
    """A network trained on ecoset: "alexnet", "resnet50", "vgg16", "vgg16_bn" or "inception_v3".

    ``options`` are those of ``build_published``: layers, weights, seed, preprocessing.
    """
    return build_published("ecoset", TABLE, variant, **options)


def variants() -> list[str]:
    """What can follow "ecoset:"."""
    return list(TABLE)


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_classifiers

    return list(describe_classifiers({name: one.address for name, one in TABLE.items()}, "ecoset", ""))
