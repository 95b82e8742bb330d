"""``original:*``: the backbones FactorTopy was published with, as their encoders expect them (ImageNet statistics)."""

from __future__ import annotations

from typing import Any

from brainnet._registry import Registry, takes_options_of
from brainnet.backbone.families.clip import ModifiedCLIP

ORIGINALS = Registry("original backbone")
ORIGINALS.register("clip")(ModifiedCLIP)


def variants() -> list[str]:
    """What can follow "original:"."""
    return ORIGINALS.names()


@takes_options_of(ModifiedCLIP)
def build(variant: str | None, **kwargs: Any):
    """A backbone of the original FactorTopy, with ImageNet's mean and SD; ``"original"`` alone is ``"original:clip"``.

    >>> build("clip", weights="random", layers=[0]).preprocessing.mean
    (0.485, 0.456, 0.406)
    """
    return ORIGINALS[variant or "clip"](**kwargs)
