"""How the tokens of one image lie in a row of numbers, and how a row becomes what is stored."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import torch
from torch import Tensor

from brainnet.tokens import Tokens

DTYPES = {"float16": torch.float16, "bfloat16": torch.bfloat16, "float32": torch.float32}
FP16_MAX = 65504.0
FP16_SMALL = 2.0**-3  # a layer whose largest value is below this would lose its smaller ones to fp16's subnormals


@dataclass(frozen=True)
class Layout:
    """Where each layer lies in a row: (positions, width) blocks one after another, the global token last in each.

    >>> Layout(("0", "1"), (2, 3), ((1, 1), (1, 2))).spans
    {'0': (0, 4), '1': (4, 13)}
    """

    layers: tuple[str, ...]
    layer_widths: tuple[int, ...]
    grids: tuple[tuple[int, int], ...]  # height and width of each layer's token map

    @classmethod
    def of(cls, tokens: Tokens) -> Layout:
        """The layout of these tokens."""
        shapes = [tuple(values.shape) for values in tokens.local.values()]
        return cls(tokens.layers, tuple(shape[1] for shape in shapes), tuple(shape[-2:] for shape in shapes))

    def alone(self, layer: str) -> Layout:
        """The layout of one of the layers by itself."""
        place = self.layers.index(layer)
        return Layout((layer,), (self.layer_widths[place],), (self.grids[place],))

    @cached_property
    def positions(self) -> tuple[int, ...]:
        """Tokens of each layer, local and global."""
        return tuple(height * width + 1 for height, width in self.grids)

    @cached_property
    def row(self) -> int:
        """Numbers per image."""
        return sum(n * width for n, width in zip(self.positions, self.layer_widths, strict=True))

    @cached_property
    def spans(self) -> dict[str, tuple[int, int]]:
        """First and one-past-last column of each layer in a row."""
        spans, start = {}, 0
        for layer, n, width in zip(self.layers, self.positions, self.layer_widths, strict=True):
            spans[layer] = (start, start := start + n * width)
        return spans

    def pack(self, tokens: Tokens, rows: Tensor) -> None:
        """Writes a batch of tokens into ``rows`` (B, row)."""
        for (layer, (start, stop)), width, grid in zip(self.spans.items(), self.layer_widths, self.grids, strict=True):
            local, global_ = tokens.local[layer], tokens.global_[layer]
            if local.shape[1:] != (width, *grid) or global_.shape[1:] != (width,):
                raise ValueError(
                    f"tokens of layer {layer!r} must be {(width, *grid)} and {(width,)} for every image, as they "
                    f"were for the first; got {tuple(local.shape[1:])} and {tuple(global_.shape[1:])}."
                )
            block = rows[:, start:stop].unflatten(1, (-1, width))
            block[:, :-1].copy_(local.flatten(2).transpose(1, 2))
            block[:, -1].copy_(global_)

    def unpack(self, rows: Tensor) -> Tokens:
        """Tokens as views of ``rows`` (B, row), whose numbers lie side by side."""
        n, step = len(rows), rows.stride(0)
        local, global_ = {}, {}
        for (layer, (start, stop)), channels, (height, width) in zip(
            self.spans.items(), self.layer_widths, self.grids, strict=True
        ):
            # one call a view: slices, their folding and a permutation of 12 layers take longer than a row's copy
            first, last = rows.storage_offset() + start, rows.storage_offset() + stop - channels
            local[layer] = rows.as_strided((n, channels, height, width), (step, 1, width * channels, channels), first)
            global_[layer] = rows.as_strided((n, channels), (step, 1), last)
        return Tokens(local, global_)


def encode(rows: Tensor, layout: Layout, dtype: torch.dtype, ids: list[str]) -> tuple[Tensor, list[float]]:
    """A chunk of rows (B, row) as it is stored, and the power of two each layer was divided by.

    Raises:
        ValueError: a value is NaN or infinite; names the layer and the first image.
    """
    # amax and amin carry NaN through, and cost a quarter of a norm
    blocks = [rows[:, start:stop] for start, stop in layout.spans.values()]
    peaks = torch.stack([torch.maximum(block.amax(1), -block.amin(1)) for block in blocks], 1).cpu()
    broken = ~torch.isfinite(peaks)
    if broken.any():
        image, layer = (int(i) for i in broken.nonzero()[0])
        raise ValueError(
            f"tokens of layer {layout.layers[layer]!r} are not finite (NaN or infinity) for image {ids[image]!r}, the "
            f"first of {int(broken.any(1).sum())} in this chunk. Look at it, or run the backbone in float32."
        )
    if dtype != torch.float16:
        return rows.to("cpu", dtype), [1.0] * len(layout.layers)
    peak = peaks.amax(0)
    fits = (peak == 0) | ((peak >= FP16_SMALL) & (peak <= FP16_MAX))
    exponent = (torch.frexp(peak).exponent - 15).clamp_min(-126)  # brings the peak to [2^14, 2^15)
    scales = torch.where(fits, torch.ones_like(peak), torch.ldexp(torch.ones_like(peak), exponent))
    for scale, block in zip(scales.tolist(), blocks, strict=True):
        if scale != 1:
            block.div_(scale)
    return rows.to(dtype).cpu(), scales.tolist()


def dtype_name(dtype: torch.dtype) -> str:
    """The name under which a manifest knows a dtype.

    Raises:
        ValueError: no dtype that a store keeps.
    """
    names = {value: name for name, value in DTYPES.items()}
    if dtype not in names:
        raise ValueError(f"a token store keeps torch.{', torch.'.join(DTYPES)}; got {dtype}")
    return names[dtype]
