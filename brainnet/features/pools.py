"""From tokens to rows: how each layer's map becomes features, and ensembles of layers that become one row.

A row is checked when it is made: a value that is NaN or infinite would spoil every mean and projection after it.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np
import torch

from brainnet._checks import check_word
from brainnet.tokens import POOLS, Tokens

OTHER_WORDS = {"native": "flatten", "grid": "flatten", "class": "global", "patches": "mean"}
ATTENTION = "attention"  # by the network itself; what it gives is a layer of its own
REGISTERS = "registers"  # their mean, which a backbone gives as its global token where it is asked to
GRID = (8, 8)  # of the word "grid" without a grid
ENSEMBLES = {"conv_ensemble": "Conv2d", "maxpool_ensemble": "MaxPool2d"}
LAST, SECOND_TO_LAST = 5.0, 3.0  # weights of the deepest two members, as THINGSvision's ensembles have them
MEMBER = re.compile(r"features\.\d+")


def pool_of(word: str, grid: tuple[int, int] | None) -> tuple[str, tuple[int, int] | None]:
    """The pool of ``brainnet.tokens.POOLS`` that a word means, or "attention" or "registers"; and the grid.

    >>> pool_of("native", None), pool_of("grid", None), pool_of("class", (4, 4))
    (('flatten', None), ('flatten', (8, 8)), ('global', (4, 4)))

    Raises:
        ValueError: an unknown word, or a grid that is no pair of numbers from 1.
    """
    check_word("pool", word, (*POOLS, *OTHER_WORDS, ATTENTION, REGISTERS))
    if grid is not None and (isinstance(grid, str) or len(grid) != 2 or min(grid) < 1):
        raise ValueError(f"grid is a pair (height, width) of numbers from 1, got {grid!r}.")
    return OTHER_WORDS.get(word, word), GRID if word == "grid" and grid is None else grid


def of_tokens(pool: str) -> str:
    """The pool of ``brainnet.tokens.POOLS`` that makes rows: what an attention pool gives is a row already.

    >>> of_tokens("attention"), of_tokens("registers"), of_tokens("mean")
    ('flatten', 'global', 'mean')
    """
    return {ATTENTION: "flatten", REGISTERS: "global"}.get(pool, pool)


def members_of(network: Any, ensemble: str) -> list[str]:
    """The layers of an ensemble: all convolutions, or all max-pools, among the modules ``features.<k>``.

    Raises:
        ValueError: the network has none, as only those like AlexNet and VGG have.

    >>> from torch import nn
    >>> network = nn.ModuleDict({"features": nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.Conv2d(4, 4, 3))})
    >>> members_of(network, "conv_ensemble")
    ['features.0', 'features.2']
    """
    modules = network.named_modules() if hasattr(network, "named_modules") else ()
    found = [name for name, one in modules if type(one).__name__ == ENSEMBLES[ensemble] and MEMBER.fullmatch(name)]
    if not found:
        raise ValueError(
            f"{ensemble} takes the modules features.<number> that are {ENSEMBLES[ensemble]}, as AlexNet and VGG have; "
            f"{type(network).__name__} has none. Name its layers."
        )
    return found


def ensemble_weights(members: Sequence[str]) -> dict[str, float]:
    """Member -> factor: 5 for the last, 3 for the one before it, 1 for the others.

    >>> ensemble_weights(["a", "b", "c"])
    {'a': 1.0, 'b': 3.0, 'c': 5.0}
    """
    weights = dict.fromkeys(members, 1.0)
    for place, weight in ((-2, SECOND_TO_LAST), (-1, LAST)):
        if len(members) >= -place:
            weights[members[place]] = weight
    return weights


def rows_of(
    tokens: Tokens, layers: Iterable[str], pool: str, ensembles: Mapping[str, Sequence[str]] | None = None
) -> dict[str, np.ndarray]:
    """Layer -> features (B, n_features), single precision.

    Args:
        tokens: of a batch.
        layers: names among those of the tokens, or of ``ensembles``.
        pool: one of ``brainnet.tokens.POOLS``, "attention" or "registers"; an ensemble takes the largest value of each
            channel whatever it says.
        ensembles: name -> its members, among the layers of the tokens.
    """
    found = {}
    for layer in layers:
        members = (ensembles or {}).get(layer)
        if members is None:
            features = tokens.features(layer, of_tokens(pool))
        else:
            weights = ensemble_weights(members)
            features = torch.cat([tokens.features(name, "max") * weights[name] for name in members], 1)
        found[layer] = features.detach().to("cpu", torch.float32).contiguous().numpy()
    return found


def refuse_infinite(rows: Mapping[str, np.ndarray], ids: Sequence[str]) -> None:
    """Refuses NaN and infinity.

    Raises:
        ValueError: names the layer and the first picture.
    """
    for layer, values in rows.items():
        if values.size and not (np.isfinite(values.max()) and np.isfinite(values.min())):  # NaN is both
            broken = ~np.isfinite(values).all(1)
            raise ValueError(
                f"features of layer {layer!r} are not finite (NaN or infinity) for image {ids[int(broken.argmax())]!r},"
                f" the first of {max(1, int(broken.sum()))} in this batch. Look at it, or run the network in float32."
            )
