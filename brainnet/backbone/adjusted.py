"""A precision and an image size for any backbone, also where its family has no option for them."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import replace
from typing import Any

import torch
from torch import nn

from brainnet._checks import check_word
from brainnet._registry import options_of
from brainnet.backbone.catalogue import BACKBONES

PRECISIONS = {"fp32": torch.float32, "bf16": torch.bfloat16, "fp16": torch.float16}


def build_adjusted(name: str, **options: Any) -> Any:
    """The backbone ``name`` with options of its family, of which two work everywhere.

    Args:
        name: "family:variant", or "FILE.py:NAME".
        options: of the family. ``precision`` ("fp32", "bf16", "fp16") and ``image_size`` (height and width in pixels,
            or one number for both) are put on from outside where the family does not take them: the network is cast,
            and its preprocessing gives images of that size.

    Raises:
        ValueError: an unknown name, option or precision, or an image size that is not one or two numbers from 1.

    >>> build_adjusted("torchvision:squeezenet1_0", weights="random", image_size=(96, 128)).preprocessing.size
    (96, 128)
    """
    taken = options_of(BACKBONES.factory(name))
    if "image_size" in options:
        options["image_size"] = _size(options["image_size"])
    outside = () if taken is None else {"precision", "image_size"} - taken
    here = {option: options.pop(option) for option in outside if option in options}
    check_word("precision", here.get("precision", "fp32"), PRECISIONS)
    backbone = BACKBONES.build(name, **options)
    if "image_size" in here:
        before = getattr(backbone, "preprocessing", None)
        if before is None:
            raise ValueError(f"{name} says nothing of its preprocessing, so its image size cannot be changed.")
        backbone.preprocessing = replace(before, size=here["image_size"])
    if "precision" in here and isinstance(backbone, nn.Module):
        backbone.to(PRECISIONS[here["precision"]])
    return backbone


def adjusted_of(text: str, layers: Iterable[str | int] | None = None, **options: Any) -> Any:
    """:func:`build_adjusted` of one word of a command line, "family:variant" or "family:variant=weights".

    Options that are None are left out.
    """
    name, _, weights = text.partition("=")
    choices = {"layers": None if layers is None else list(layers), "weights": weights or None, **options}
    return build_adjusted(name, **{choice: value for choice, value in choices.items() if value is not None})


def _size(given: Any) -> tuple[int, int]:
    size = (given, given) if isinstance(given, int) else tuple(given)
    if len(size) != 2 or not all(isinstance(side, int) and side >= 1 for side in size):
        raise ValueError(f"an image size is a height and a width in pixels, from 1; got {given!r}.")
    return size
