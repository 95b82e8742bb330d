"""Which kind of stimuli a backbone reads: images where nothing else is said."""

from __future__ import annotations

import sys
from typing import Any

from brainnet._registry import options_of
from brainnet.backbone.base import split_weights
from brainnet.backbone.catalogue import BACKBONES


def kind_read_by(backbone: Any, **options: Any) -> str:
    """The kind that a backbone reads: "image", "text", "sound", "video" or "pair". One given by name is not built.

    A backbone says it by an attribute ``reads``, a family by ``reads`` beside its ``build``: a word, or a function of
    the variant and of options.

    Args:
        backbone: an object with ``get_tokens``, or "family:variant".
        options: of the family.

    >>> kind_read_by("torchvision:resnet50"), kind_read_by("clip_text:ViT-B-16"), kind_read_by("video:timm:vit")
    ('image', 'text', 'video')
    """
    if not isinstance(backbone, str):
        return getattr(backbone, "reads", "image")
    name = split_weights(backbone)[0]
    factory = BACKBONES.factory(name)
    if name.partition(":")[0] not in BACKBONES:  # the user's own file
        return getattr(factory, "reads", "image")
    asked = getattr(sys.modules[factory.__module__], "reads", "image")
    if not callable(asked):
        return asked
    taken = options_of(asked)
    known = {option: value for option, value in options.items() if taken is None or option in taken}
    return asked(name.partition(":")[2] or None, **known)
