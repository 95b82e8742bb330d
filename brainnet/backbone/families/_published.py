"""Networks of known architectures with weights that other authors published."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from brainnet._checks import check_word, require
from brainnet.backbone.families.torchvision import modern_names
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import CLASSIFIERS, choose_places, find_blocks
from brainnet.backbone.weights import (
    chosen_file,
    fit_weights,
    load_weights,
    own_random_numbers,
    part_of_weights,
    published_file,
)
from brainnet.tokens import Preprocessing


class Published(NamedTuple):
    """Where a network's published weights are and what they are called there.

    Args:
        model: torchvision's name of the architecture, or a function that builds the network.
        address: of the file.
        prefix: what the names of this network begin with, where the file holds others.
        without: beginnings of names to leave out: heads that are no part of the architecture.
        options: of the architecture.
        translate: from the file's names to the network's, where they differ otherwise: (network, weights) -> weights.
        stages: names of layers and the module of each, all of them taken by default; without any it is the blocks.
        whole: the name of the layer that is the network's output.
        preprocessing: how a photograph becomes its input.
        prefix_tokens: class token and registers, of the sequences that have them.
    """

    model: str | Callable[..., nn.Module]
    address: str
    prefix: str = ""
    without: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    translate: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]] | None = None
    stages: Mapping[str, str] = {}
    whole: str = "logits"
    preprocessing: Preprocessing = Preprocessing()
    prefix_tokens: int = 0


def build_published(
    family: str,
    table: Mapping[str, Published],
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> HookedBackbone:
    """A network of a table.

    Args:
        family, table, variant: which.
        layers: names of modules or patterns of them, ``"logits"``, or indices into the default choice, its blocks.
        weights: "default" (those published), a file, or "random".
        seed: of random weights.
        preprocessing: by default the whole image as the weights were trained with, of most at 224 pixels with
            ImageNet's mean and SD.
    """
    if variant is None:
        raise ValueError(f"name a network of the family: {', '.join(f'{family}:{name}' for name in table)}")
    check_word(f"{family} network", variant, table)
    entry = table[variant]
    if weights == "default":
        file = published_file(family, variant, "default", [entry.address])
    else:
        file = chosen_file(weights, f"{family}:{variant}", ["default"])
    with own_random_numbers(seed):
        if isinstance(entry.model, str):
            models = require("torchvision", f"{family}:{variant}").models
            network = models.get_model(entry.model, weights=None, **entry.options)
        else:
            network = entry.model(**entry.options)
    default = list(entry.stages) or find_blocks(network)
    chosen = choose_places(network, layers, {**entry.stages, entry.whole: ""}, default)
    if file is not None:
        state = part_of_weights(modern_names(load_weights(file)), entry.prefix, entry.without)
        if entry.translate is not None:
            state = entry.translate(network, state)
        seen = [place.module for place in chosen.values()]  # "" is the whole network, with its classifier
        unseen = [f"{name}." for name in CLASSIFIERS if "" not in seen and not any(p.startswith(name) for p in seen)]
        fit_weights(network, state, file, optional=unseen)
    return HookedBackbone(
        network,
        chosen,
        name=f"{family}:{variant}",
        preprocessing=preprocessing or entry.preprocessing,
        prefix_tokens=entry.prefix_tokens,
        fixed_steps=True,
    )
