"""Token maps of all layers, read batch by batch as often as needed, and never held all at once.

What reads them asks for one of two things: the tokens pooled in Gaussian windows, or the whole maps as columns of
features, some channels at a time. Both come for all images together, which is what kernels between images need.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from brainnet.selection import gaussian_windows
from brainnet.tokens import Tokens

_NUMBERS_AT_ONCE = 1 << 24  # of tokens held in memory, of which batches are cut


class TokenMaps:
    """Tokens of some images, layer -> (n_images, C, H, W), in batches that can be read again.

    Args:
        tokens: layer -> (n_images, C, H, W); or ``Tokens``; or a callable without arguments (or a list) that gives
            batches of ``Tokens``. A callable is called once per pass.

    Attributes:
        widths: layer -> number of channels.
        grid: H and W, the same in all layers.

    Raises:
        TypeError: something else.
        ValueError: no images, no layers, or layers on several grids.

    >>> maps = TokenMaps({"a": torch.zeros(5, 3, 2, 2)})
    >>> maps.widths, maps.grid
    ({'a': 3}, (2, 2))
    """

    def __init__(self, tokens: Any):
        if isinstance(tokens, Tokens):
            self._source: Any = tokens
        elif isinstance(tokens, Mapping):
            self._source = Tokens({k: torch.as_tensor(v) for k, v in tokens.items()}, {})
        elif callable(tokens) or isinstance(tokens, Sequence):
            self._source = tokens
        else:
            raise TypeError(
                "tokens must be layer -> (n, C, H, W), Tokens, a list of Tokens, or a callable that gives batches of "
                f"them; got {type(tokens).__name__}."
            )
        first = next(iter(self.batches()), None)
        if first is None or not first.local:
            raise ValueError("tokens hold no images or no layers.")
        grids = {tuple(v.shape[-2:]) for v in first.local.values()}
        if len(grids) != 1:
            raise ValueError(
                f"layers have grids {sorted(grids)}; resize them to one, for instance tokens.resize((8, 8))."
            )
        self.widths = {k: v.shape[1] for k, v in first.local.items()}
        self.grid: tuple[int, int] = grids.pop()

    def batches(self) -> Iterable[Tokens]:
        """One pass over the images, in order."""
        if not isinstance(self._source, Tokens):
            return self._source() if isinstance(self._source, Callable) else self._source
        local = self._source.local
        if not local:
            return ()
        size = max(1, _NUMBERS_AT_ONCE // sum(math.prod(v.shape[1:]) for v in local.values()))
        n_images = len(next(iter(local.values())))
        return (self._source.map(lambda v, i=i: v[i : i + size]) for i in range(0, n_images, size))

    def pooled(self, windows: Tensor, n_images: int, scale: float = 0.0) -> dict[str, Tensor]:
        """The tokens pooled in windows, layer -> (n_windows, n_images, C), in one pass.

        Args:
            windows: (n_windows, 3), see :func:`brainnet.selection.gaussian_windows`; the result has their dtype.
            n_images: how many there must be.
            scale: share of the global token in the pooled vector.

        Raises:
            ValueError: another number of images, or no global tokens at a scale above 0.
        """
        weights = gaussian_windows(windows, self.grid)
        pooled = {layer: windows.new_empty(len(windows), n_images, channels) for layer, channels in self.widths.items()}
        for rows, batch in self._placed(n_images):
            for layer, out in pooled.items():
                out[:, rows] = pool(batch, layer, weights, scale)
        return pooled

    def columns(self, n_images: int, at_once: int, like: Tensor) -> Iterator[tuple[str, slice, Tensor]]:
        """The whole maps as features: layer, which of its channels, and their (n_images, n_channels * H * W) tokens.

        Args:
            n_images: how many there must be.
            at_once: channels that one pass over the images reads and holds, of one layer or of several.
            like: gives the dtype and the device.
        """
        places = math.prod(self.grid)
        blocks: list[list[tuple[str, slice]]] = [[]]
        room = at_once
        for layer, width in self.widths.items():  # blocks span layers, so that narrow ones share a pass
            start = 0
            while start < width:
                if not room:
                    blocks.append([])
                    room = at_once
                stop = min(width, start + room)
                blocks[-1].append((layer, slice(start, stop)))
                room -= stop - start
                start = stop
        for block in blocks:
            read = [like.new_empty(n_images, (part.stop - part.start) * places) for _, part in block]
            for rows, batch in self._placed(n_images):
                for out, (layer, part) in zip(read, block, strict=True):
                    out[rows] = batch.local[layer][:, part].flatten(1).to(like)
            for (layer, part), values in zip(block, read, strict=True):
                yield layer, part, values

    def _placed(self, n_images: int) -> Iterator[tuple[slice, Tokens]]:
        """Batches with the rows they stand in, once there are as many images as there should be."""
        start = 0
        for batch in self.batches():
            stop = start + len(next(iter(batch.local.values())))
            if stop > n_images:
                raise ValueError(f"tokens hold more images than the {n_images} rows of responses.")
            yield slice(start, stop), batch
            start = stop
        if start != n_images:
            raise ValueError(f"tokens hold {start} images but responses have {n_images} rows.")

    def count(self) -> int:
        """Number of images, by one pass where they are not held in memory."""
        return sum(len(next(iter(batch.local.values()))) for batch in self.batches())


def pool(batch: Tokens, layer: str, weights: Tensor, scale: float = 0.0) -> Tensor:
    """(n_windows, B, C): the mean of a layer's tokens under weights (n_windows, H, W), mixed with the global token."""
    local = batch.local[layer].to(weights)
    pooled = torch.einsum("bcs,ws->wbc", local.flatten(2), weights.flatten(1))
    if scale:
        if layer not in batch.global_:
            raise ValueError(f"scale={scale} reads global tokens, but layer {layer!r} has none; use scale=0.")
        pooled = torch.lerp(pooled, batch.global_[layer].to(weights), scale)
    return pooled


def window_grid(centres: Sequence[float], widths: Sequence[float]) -> Tensor:
    """All pairs of centers at each width, (n_windows, 3) x, y and width, float64.

    >>> window_grid((-0.5, 0.5), (0.3,)).tolist()
    [[-0.5, -0.5, 0.3], [0.5, -0.5, 0.3], [-0.5, 0.5, 0.3], [0.5, 0.5, 0.3]]
    """
    places = [(x, y, width) for width in widths for y in centres for x in centres]
    return torch.tensor(places, dtype=torch.float64)
