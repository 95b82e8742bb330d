"""Kernels between images, of tokens pooled in windows and of whole token maps, with an equal share for every layer.

Every kernel is centered on the training images and has mean eigenvalue 1 there, and each layer that changes has the
same part of it. What a fit needs of the training tokens is read again rather than kept, so memory stays bounded.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brainnet.ridge.token_maps import TokenMaps

_COLUMNS_AT_ONCE = 8192  # of a product in the data's precision, before float64 takes over


class LayerFeatures(NamedTuple):
    """Training features (n_images, C) of a layer in one window, centered; their mean (C,); and the layer's gain."""

    centred: Tensor
    mean: Tensor
    gain: Tensor


class WindowKernels:
    """Kernels of the training images, and between other images and these.

    Args:
        maps: tokens of the training images.
        n_images: how many there are.
        windows: (n_windows, 3) x, y and width; gives the dtype and the device.
        memory: bytes for tokens and pooled features at once, and twice as many for kernels that are kept.
    """

    def __init__(self, maps: TokenMaps, n_images: int, windows: Tensor, memory: int):
        self.maps, self.n, self._windows, self._memory = maps, n_images, windows, memory
        self._kept: dict[int, Tensor] = {}
        self._keeps = len(windows) * n_images**2 * windows.dtype.itemsize <= 2 * memory
        self._whole_gains: dict[str, Tensor] = {}

    def windows(self, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Index and kernel (n, n) of each of these windows; one that is kept must not be changed."""
        yield from ((index, self._kept[index]) for index in indices if index in self._kept)
        for index, layers in self.features([index for index in indices if index not in self._kept]):
            kernel = sum(f.gain * (f.centred @ f.centred.T) for f in layers.values())
            if self._keeps:
                self._kept[index] = kernel
            yield index, kernel

    def forget(self) -> None:
        """Lets kept kernels go."""
        self._kept.clear()
        self._keeps = False

    def features(self, indices: Sequence[int]) -> Iterator[tuple[int, dict[str, LayerFeatures]]]:
        """Index and, by layer, training features of each of these windows."""
        for index, pooled, _ in self._pooled(indices, None, 0):
            yield index, self._centred(pooled)

    def between(self, new: TokenMaps, n_new: int, indices: Sequence[int]) -> Iterator[tuple[int, Tensor]]:
        """Index and kernel (n_new, n) of each of these windows, between other images and the training images."""
        for index, pooled, others in self._pooled(indices, new, n_new):
            layers = self._centred(pooled)
            yield index, sum(f.gain * ((others[k] - f.mean) @ f.centred.T) for k, f in layers.items())

    def whole(self) -> Tensor:
        """(n, n) kernel of the whole token maps."""
        kernels = {k: self._windows.new_zeros(self.n, self.n, dtype=torch.float64) for k in self.maps.widths}
        sizes = dict.fromkeys(kernels, self._windows.new_zeros((), dtype=torch.float64))
        for layer, _, features in self._columns(self.maps, self.n, 1):
            sizes[layer] = sizes[layer] + features.square().sum()
            features -= features.mean(0)
            for part in features.split(_COLUMNS_AT_ONCE, 1):
                kernels[layer] += part @ part.T
        traces = {k: kernel.trace() for k, kernel in kernels.items()}
        self._whole_gains = self._gains(traces, sizes)
        return sum(gain * kernels.pop(layer) for layer, gain in self._whole_gains.items()).to(self._windows)

    def whole_between(self, new: TokenMaps, n_new: int) -> Tensor:
        """(n_new, n) kernel of the whole token maps, between other images and the training images."""
        kernel = self._windows.new_zeros(n_new, self.n, dtype=torch.float64)
        ours, theirs = self._columns(self.maps, self.n, 2, n_new), self._columns(new, n_new, 2, self.n)
        for (layer, _, features), (_, _, others) in zip(ours, theirs, strict=True):
            mean = features.mean(0)
            features -= mean
            others -= mean
            for left, right in zip(others.split(_COLUMNS_AT_ONCE, 1), features.split(_COLUMNS_AT_ONCE, 1), strict=True):
                kernel += self._whole_gains[layer] * (left @ right.T).double()
        return kernel.to(self._windows)

    def whole_features(self) -> Iterator[tuple[str, slice, Tensor, Tensor]]:
        """Layer, channels, centered training tokens (n, n_channels * H * W) times the layer's gain, and their mean."""
        for layer, part, features in self._columns(self.maps, self.n, 1):
            mean = features.mean(0)
            yield layer, part, (features - mean).mul_(self._whole_gains[layer]), mean

    def _columns(self, maps: TokenMaps, n: int, n_sets: int, n_others: int = 0) -> Iterator[tuple[str, slice, Tensor]]:
        per_channel = (n + n_others) * math.prod(self.maps.grid) * self._windows.dtype.itemsize
        return maps.columns(n, max(1, self._memory // (2 * per_channel)), self._windows)

    def _pooled(
        self, indices: Sequence[int], new: TokenMaps | None, n_new: int
    ) -> Iterator[tuple[int, dict[str, Tensor], dict[str, Tensor]]]:
        """Index, and by layer the pooled tokens (n, C) of the training images and of others; blocks of windows."""
        size = (self.n + n_new) * sum(self.maps.widths.values()) * self._windows.dtype.itemsize
        for block in torch.as_tensor(indices, dtype=torch.long).split(max(1, self._memory // size)):
            windows = self._windows[block.to(self._windows.device)]
            ours = self.maps.pooled(windows, self.n)
            theirs = {} if new is None else new.pooled(windows, n_new)
            for place, index in enumerate(block.tolist()):
                yield index, {k: v[place] for k, v in ours.items()}, {k: v[place] for k, v in theirs.items()}

    def _centred(self, pooled: dict[str, Tensor]) -> dict[str, LayerFeatures]:
        means = {k: v.mean(0) for k, v in pooled.items()}
        centred = {k: v - means[k] for k, v in pooled.items()}
        traces = {k: v.square().sum() for k, v in centred.items()}
        gains = self._gains(traces, {k: v.square().sum() for k, v in pooled.items()})
        return {k: LayerFeatures(centred[k], means[k], gains[k]) for k in pooled}

    def _gains(self, traces: Mapping[str, Tensor], sizes: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """The gain of each layer: the traces of those that change are equal and add up to the number of images."""
        gains = unit_gains(traces, sizes, self._windows.dtype)
        share = self.n / max(1, sum(bool(gain > 0) for gain in gains.values()))
        return {k: share * gain for k, gain in gains.items()}


def unit_gains(traces: Mapping[str, Tensor], sizes: Mapping[str, Tensor], dtype: torch.dtype) -> dict[str, Tensor]:
    """The gain of each layer's kernel that makes its trace 1.

    A layer that never changes gets 0: what is left of it after centering is rounding, which must not be blown up.

    Args:
        traces: of the centered kernels.
        sizes: sums of squares of the features before centering.
        dtype: in which the features were centered.

    >>> two, nothing = torch.tensor(2.0), torch.tensor(0.0)
    >>> gains = unit_gains({"a": two, "b": nothing}, {"a": two, "b": two}, torch.float32)
    >>> gains["a"].item(), gains["b"].item()
    (0.5, 0.0)
    """
    rounding = (16 * torch.finfo(dtype).eps) ** 2
    return {k: 1 / trace if trace > rounding * sizes[k] else torch.zeros_like(trace) for k, trace in traces.items()}
