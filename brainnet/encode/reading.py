"""What a fit reads of some images: features of one layer, features of all layers, token maps, or whichever it asks for.

``reads`` of an estimator says which. "images" gives the :class:`Reading` itself, of which an estimator that is made of
others takes parts, and reads them in several ways.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.store import TokenStore
from brainnet.tokens import Tokens

READS = ("features", "spaces", "tokens", "images")


def reads_of(estimator: Any) -> str:
    """What an estimator is given to read, see ``READS``; "features" where it says nothing."""
    return getattr(estimator, "reads", "features")


def reads_tokens(estimator: Any) -> bool:
    """Whether an estimator, or one that it is made of, reads token maps."""
    return reads_of(estimator) == "tokens" or any(map(reads_tokens, parts_of(estimator).values()))


def parts_of(estimator: Any) -> Mapping[str, Any]:
    """Name -> estimator of one that is made of others over the same images; else nothing."""
    return estimator.methods if reads_of(estimator) == "images" else {}


@dataclass(frozen=True, eq=False)
class Reading:
    """Some images of one network.

    Args:
        source: a :class:`TokenStore`, or layer -> (n, n_features).
        layers: those that are read.
        pool: how a store's tokens become features.
        index: (n_images,) rows of the source.
    """

    source: TokenStore | Mapping[str, Any]
    layers: tuple[str, ...]
    pool: str
    index: Tensor

    def __len__(self) -> int:
        return len(self.index)

    def part(self, rows: Tensor) -> Reading:
        """Some of the images, in the order of ``rows``."""
        return replace(self, index=self.index[rows])

    def as_(self, reads: str, layer: str | None = None) -> Any:
        """The images as one of ``READS``; "features" are of ``layer``, by default of the first one.

        Raises:
            ValueError: token maps, where there are features only.
        """
        if reads == "images":
            return self
        if reads == "tokens":
            return self._batches()
        if reads == "spaces":
            return {name: self._features(name) for name in self.layers}
        return self._features(self.layers[0] if layer is None else layer)

    def _features(self, layer: str) -> Tensor:
        if isinstance(self.source, TokenStore):
            return self.source.features(layer, self.pool, self.index)
        return torch.as_tensor(np.asarray(self.source[layer][self.index.numpy()]))

    def _batches(self) -> Callable[[], Iterator[Tokens]]:
        """A function that gives batches of tokens of the layers."""
        if not isinstance(self.source, TokenStore):
            raise ValueError("token maps are asked for, but there are only features: give a TokenStore.")

        def batches() -> Iterator[Tokens]:
            for local, global_ in self.source.batches(self.index):
                yield Tokens({k: local[k] for k in self.layers}, {k: global_[k] for k in self.layers})

        return batches
