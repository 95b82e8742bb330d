"""The layers of a network that can be chosen: the command ``brainnet layers``."""

from __future__ import annotations

from typing import Any

from brainnet._registry import options_of
from brainnet.backbone import BACKBONES
from brainnet.backbone.adjusted import adjusted_of
from brainnet.backbone.survey import ModuleRow, survey
from brainnet.tokens import Backbone


def list_layers(
    backbone: str | Backbone, *, like: str = "", image_size: tuple[int, int] | None = None, **network: Any
) -> tuple[tuple[str, ...], list[ModuleRow]]:
    """The layers a network gives by default, and every module that can be one.

    Args:
        backbone: "family:variant", which is built with random weights unless others are named
            ("family:variant=weights"): shapes do not depend on them; or a backbone of brainnet.
        like: only modules whose name or class contains this.
        image_size: height and width in pixels; by default those of the network's own preprocessing.
        network: options for the family.

    Raises:
        ValueError: an object of one's own, which shows no modules; or no module is like ``like``.

    >>> default, rows = list_layers("torchvision:squeezenet1_0", like="features.3")
    >>> default[:2], rows[0].name, rows[0].kind, rows[0].tokens    # channels, height and width
    (('features.3', 'features.4'), 'features.3', 'Fire', (128, 54, 54))
    """
    if isinstance(backbone, str):
        known = options_of(BACKBONES.factory(backbone.partition("=")[0]))
        if "=" not in backbone and (known is None or "weights" in known):
            network.setdefault("weights", "random")
        backbone = adjusted_of(backbone, image_size=image_size, **network)
    if not hasattr(backbone, "parameters"):
        raise ValueError(f"{type(backbone).__name__} is an object of your own, whose modules brainnet does not see.")
    rows = survey(backbone, image_size)
    found = [row for row in rows if like.lower() in f"{row.name} {row.kind}".lower()]
    if not found:
        raise ValueError(f"none of the {len(rows)} modules of {backbone.name} is like {like!r}.")
    return tuple(backbone.layers), found
