"""``places365:*``: networks trained to tell 365 kinds of scenes, with the weights of the data set's authors (CC BY).

Reference: Zhou et al. (2018), Places: a 10 million image database for scene recognition, IEEE TPAMI 40(6), 1452-1464.
"""

from __future__ import annotations

from typing import Any

from brainnet._registry import takes_options_of
from brainnet.backbone.families._published import Published, build_published
from brainnet.backbone.hooks import HookedBackbone

ADDRESS = "http://places2.csail.mit.edu/models_places365/{}_places365.pth.tar"
TABLE = {
    name: Published(name, ADDRESS.format(name), options={"num_classes": 365})
    for name in ("alexnet", "resnet18", "resnet50", "densenet161")
}


@takes_options_of(build_published)
def build(variant: str | None, **options: Any) -> HookedBackbone:
    """A network trained on Places365: "alexnet", "resnet18", "resnet50" or "densenet161".

    ``options`` are those of ``build_published``: layers, weights, seed, preprocessing.
    """
    return build_published("places365", TABLE, variant, **options)


def variants() -> list[str]:
    """What can follow "places365:"."""
    return list(TABLE)


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_classifiers

    return list(describe_classifiers({name: one.address for name, one in TABLE.items()}, "places365", "cc-by-4.0"))
