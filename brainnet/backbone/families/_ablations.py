"""The expansion network with one of its parts taken away: its last convolution, or the order of places before it.

What else its authors took away are options of ``expansion``: ``widths=(256, 256, 256, 3000)`` (no expansion), and
``nonlinearity=["relu"] * 4 + ["none"]`` or ``"none"``.

Reference: Kazemian, Elmoznino & Bonner (2025), Convolutional architectures are cortex-aligned de novo.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainnet.backbone.families.expansion import KERNELS, NONLINEARITIES, Expansion
from brainnet.backbone.weights import chosen_file, fit_weights, load_weights, own_random_numbers

NARROW = 256  # channels of layers 2 to 4 of both


class LinearReadout(Expansion):
    """``lrp``: a random linear layer over all places of layer 4 stands for layer 5, whose map is one place.

    Args:
        features: of the linear layer.
        side: pixels along the side of the square input.
        weights, seed, options: see :class:`Expansion`.
    """

    def __init__(self, features: int, side: int, *, weights: str | Path = "random", seed: int = 42, **options: Any):
        file = chosen_file(weights, "untrained:lrp")
        self.n_features = features
        super().__init__((NARROW,) * 3 + (1,), seed=seed, **options)
        del self.filters_5
        with own_random_numbers(seed):
            self.linear = nn.Linear(NARROW * side_of_layer_4(side) ** 2, features)
        if file is not None:
            fit_weights(self, load_weights(file), file)
        self.freeze()

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Number of channels of each layer."""
        return tuple((3 * len(self.bank), *(NARROW,) * 3, self.n_features)[int(layer) - 1] for layer in self.layers)

    def _layer(self, number: int, x: Tensor) -> Tensor:
        if number < 5:
            return super()._layer(number, x)
        return NONLINEARITIES[self.nonlinearities[4]](self.linear(x.flatten(1)))[:, :, None, None]


class WithoutPlaces(Expansion):
    """``no_sp``: rows and columns of the map of layer 4 change places before layer 5 sees it.

    The published code draws the order anew at each pass, so that an image's features depend on its batch. Here it
    follows from the seed and is the same for all images of a size.
    """

    def __init__(self, features: int, *, seed: int = 42, **options: Any):
        self.seed = seed
        super().__init__((NARROW,) * 3 + (features,), seed=seed, **options)

    def _layer(self, number: int, x: Tensor) -> Tensor:
        if number == 5:
            order = torch.Generator().manual_seed(self.seed)
            rows, columns = (torch.randperm(size, generator=order).to(x.device) for size in x.shape[-2:])
            x = x[:, :, rows][:, :, :, columns]
        return super()._layer(number, x)


def side_of_layer_4(side: int) -> int:
    """Places along the side of layer 4's map.

    >>> side_of_layer_4(224)
    11
    """
    side += 2 * (KERNELS[0] // 2 - 1)
    for kernel in KERNELS[:4]:
        side = (side - kernel + 1) // 2
    return side
