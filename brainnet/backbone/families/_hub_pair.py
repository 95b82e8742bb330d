"""Networks of image and text of transformers, both sides at once: CLIP and its kin."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from brainnet._checks import check_word
from brainnet.backbone.families._hub import name_of
from brainnet.backbone.families._hub_text import text_backbone
from brainnet.backbone.sequences.pair import JOINT, PairBackbone

EMBEDDINGS = ("image_embeds", "text_embeds", JOINT)
OF_IMAGES = ("image_size", "preprocessing")
OF_TEXTS = ("steps", "length", "global_token")


def pair_backbone(
    transformers: Any, variant: str, config: Any, *, layers: Iterable[str | int] | None, **options: Any
) -> PairBackbone:
    """Both sides of a network; see ``build`` of the family transformers."""
    from brainnet.backbone.families.transformers import TransformersBackbone

    if isinstance(layers, str | int):
        layers = [layers]
    wanted = list(EMBEDDINGS if layers is None else layers)
    of_side: dict[str, list[str]] = {"image": [], "text": []}
    for layer in wanted:
        kind, dot, inner = str(layer).partition(".")
        if dot and kind in of_side:
            of_side[kind].append(inner)
        else:
            check_word("layer", str(layer), (*EMBEDDINGS, "image.0", "text.0"))
    for kind, inner in of_side.items():
        if JOINT in wanted or f"{kind}_embeds" in wanted or not inner:
            inner.append(f":{kind}_embeds")
    common = {name: options[name] for name in ("weights", "seed", "revision")}
    own = {kind: {name: options[name] for name in names if name in options}
           for kind, names in (("image", OF_IMAGES), ("text", OF_TEXTS))}  # fmt: skip
    sides = {
        "image": TransformersBackbone(variant, layers=of_side["image"], **common, **own["image"]),
        "text": text_backbone(transformers, variant, config, layers=of_side["text"], **common, **own["text"]),
    }
    return PairBackbone(sides, wanted, name=name_of(variant, config))
