"""How many parameters networks have, counted without memory for them."""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from dataclasses import replace

import torch

from brainnet.backbone.base import build_backbone
from brainnet.backbone.networks import Network

log = logging.getLogger(__name__)


def count_parameters(name: str) -> int:
    """Number of parameters of a network with random weights, built on torch's device "meta".

    >>> count_parameters("cornet:s")
    53416616
    """
    with warnings.catch_warnings(), torch.device("meta"):
        warnings.simplefilter("ignore")
        return sum(one.numel() for one in build_backbone(name, weights="random").parameters())


def with_parameters(networks: Iterable[Network]) -> tuple[list[Network], dict[str, str]]:
    """Networks with their number of parameters, and why others cannot be built, by name.

    One that already has its number, or that needs something which is not here, is taken as it is.
    """
    counted, refused = [], {}
    for network in networks:
        if network.parameters is None and not network.needs:
            try:
                network = replace(network, parameters=count_parameters(network.name))
            except Exception as error:  # whatever a library refuses
                refused[network.name] = f"{type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''}"
                continue
        counted.append(network)
    return counted, refused
