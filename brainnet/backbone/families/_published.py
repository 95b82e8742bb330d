"""Networks of torchvision's own architectures with weights that other authors published."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from brainnet._checks import check_word, require
from brainnet.backbone.families.torchvision import TorchvisionBackbone, modern_names
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
        model: torchvision's name of the architecture.
        address: of the file.
        prefix: what the names of this network begin with, where the file holds others.
        without: beginnings of names to leave out: heads that are no part of the architecture.
        options: of the architecture.
    """

    model: str
    address: str
    prefix: str = ""
    without: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}


def build_published(
    family: str,
    table: Mapping[str, Published],
    variant: str | None,
    *,
    layers: Iterable[str | int] | None,
    weights: str | Path,
    seed: int,
    preprocessing: Preprocessing | None,
) -> TorchvisionBackbone:
    """A network of a table; the arguments are those of the families' ``build``."""
    if variant is None:
        raise ValueError(f"name a network of the family: {', '.join(f'{family}:{name}' for name in table)}")
    check_word(f"{family} network", variant, table)
    entry = table[variant]
    models = require("torchvision", f"{family}:{variant}").models
    if weights == "default":
        file = published_file(family, variant, "default", [entry.address])
    else:
        file = chosen_file(weights, f"{family}:{variant}", ["default"])
    with own_random_numbers(seed):
        network = models.get_model(entry.model, weights=None, **entry.options)
    chosen = choose_places(network, layers, {"logits": ""}, find_blocks(network))
    if file is not None:
        state = part_of_weights(modern_names(load_weights(file)), entry.prefix, entry.without)
        seen = [place.module for place in chosen.values()]  # "" is the whole network, with its classifier
        unseen = [f"{name}." for name in CLASSIFIERS if "" not in seen and not any(p.startswith(name) for p in seen)]
        fit_weights(network, state, file, optional=unseen)
    return TorchvisionBackbone(
        network,
        chosen,
        kind="image",
        name=f"{family}:{variant}",
        preprocessing=preprocessing or Preprocessing(),
        fixed_steps=True,
    )
