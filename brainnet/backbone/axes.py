"""Which axis of a four-dimensional output holds the channels, and whether the steps of a network are fixed.

Nothing in a tensor says which of its axes are height and width. The modules that made it do: a convolution puts the
channels first, a linear layer puts them last, a permutation moves them, an activation leaves them where they were.
Where the modules do not say, the answer is "unknown", and the caller refuses: a wrong axis would give features of the
wrong thing.
"""

from __future__ import annotations

import copy
import weakref
from typing import Any

import torch
from torch import Tensor, nn

FIRST, LAST = "BCHW", "BHWC"
CHANNELS_FIRST = (
    nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._LPPoolNd, nn.GroupNorm, nn.LocalResponseNorm, nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle,
    nn.ChannelShuffle, nn.Dropout2d, nn.FractionalMaxPool2d, nn.MaxUnpool2d,
)  # fmt: skip
CHANNELS_LAST = (nn.Linear, nn.Bilinear, nn.Embedding)
ELEMENTWISE = (
    nn.Identity, nn.Dropout, nn.AlphaDropout, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign,
)  # fmt: skip
BY_NAME = {"WindowDepartition": FIRST, "WindowPartition": LAST}  # of torchvision's MaxViT
ELEMENTWISE_NAMES = ("StochasticDepth", "DropPath", "LayerScale", "FrozenBatchNorm2d")


def first_tensor(output: Any) -> Any:
    """The tensor of a module's output: itself, or the first one of a tuple or list; else the output as it is."""
    if isinstance(output, tuple | list):
        return next((part for part in output if isinstance(part, Tensor)), output)
    return output


class LayoutTrace:
    """Follows the layout of feature maps through one pass, module by module.

    Call :meth:`enter` before and :meth:`leave` after every module; then ask :meth:`layout_of` for a tensor.

    Args:
        images: (B, 3, H, W), what the pass begins with.
    """

    def __init__(self, images: Tensor):
        self._known: dict[int, tuple[weakref.ref, str]] = {}
        self._seen: list[tuple[tuple[int, ...], str]] = []  # shape and layout of every map whose layout is known
        self._entries: list[int] = []
        self._note(images, FIRST)

    def enter(self, module: nn.Module, args: tuple) -> None:
        """A module begins."""
        self._entries.append(len(self._seen))

    def leave(self, module: nn.Module, args: tuple, output: Any) -> None:
        """A module has given its output."""
        inside = self._seen[self._entries.pop() :]
        output = first_tensor(output)
        if not isinstance(output, Tensor) or output.ndim != 4:
            return
        before = next((one for one in args if isinstance(one, Tensor)), None)
        layout = self._by_kind(module, before)
        if layout is None:
            layout = self.layout_of(output, inside or None, before)
        if layout is not None:
            self._note(output, layout)

    def layout_of(
        self, values: Tensor, inside: list[tuple[tuple[int, ...], str]] | None = None, before: Tensor | None = None
    ) -> str | None:
        """The layout of a feature map: that of the same tensor, or what its shape says beside the last known map.

        Args:
            values: the map.
            inside: known maps to compare with; None for the input ``before``, or for all that were seen.
            before: what the module was given.
        """
        if (found := self._exact(values)) is not None:
            return found
        if inside is None and isinstance(before, Tensor) and before.ndim == 4:
            layout = self._exact(before)
            if layout is None:
                layout = _beside(tuple(before.shape), *self._seen[-1])
            return None if layout is None else _beside(tuple(values.shape), tuple(before.shape), layout)
        return _beside(tuple(values.shape), *(inside or self._seen)[-1])

    def _by_kind(self, module: nn.Module, before: Tensor | None) -> str | None:
        if isinstance(module, CHANNELS_FIRST):
            return FIRST
        if type(module).__name__ in BY_NAME:
            return BY_NAME[type(module).__name__]
        if before is not None and (isinstance(module, ELEMENTWISE) or type(module).__name__ in ELEMENTWISE_NAMES):
            return self.layout_of(before)
        plain_norm = isinstance(module, nn.LayerNorm) and type(module).forward is nn.LayerNorm.forward
        if isinstance(module, CHANNELS_LAST) or (plain_norm and len(module.normalized_shape) == 1):
            return LAST
        if type(module).__name__ == "Permute" and hasattr(module, "dims"):
            moved = {(0, 2, 3, 1): (FIRST, LAST), (0, 3, 1, 2): (LAST, FIRST)}.get(tuple(module.dims))
            known = None if before is None else self._exact(before)
            return moved[1] if moved is not None and known in (None, moved[0]) else None
        return None

    def _exact(self, values: Tensor) -> str | None:
        reference, layout = self._known.get(id(values), (None, None))
        return layout if reference is not None and reference() is values else None

    def _note(self, values: Tensor, layout: str) -> None:
        self._known[id(values)] = weakref.ref(values), layout
        self._seen.append((tuple(values.shape), layout))


def _beside(shape: tuple[int, ...], other: tuple[int, ...], layout: str) -> str | None:
    """The layout of a map that came of another one by operations that no module did; None where shapes do not say."""
    here, there = (_channels_and_size(one, layout) for one in (shape, other))
    turned = _channels_and_size(shape, LAST if layout == FIRST else FIRST)
    agrees = here[0] == there[0], here[1] == there[1]
    turns = turned[0] == there[0], turned[1] == there[1]
    if sum(agrees) > sum(turns):
        return layout
    return (LAST if layout == FIRST else FIRST) if sum(turns) > sum(agrees) and all(turns) else None


def _channels_and_size(shape: tuple[int, ...], layout: str) -> tuple[int, tuple[int, int]]:
    return (shape[1], shape[2:]) if layout == FIRST else (shape[3], shape[1:3])


def has_fixed_steps(network: nn.Module) -> bool:
    """Whether a network certainly takes the same steps for all images: its code can be traced without any of them.

    False also where tracing fails for another reason. The network itself is left alone: a twin is traced, which shares
    its numbers.

    >>> has_fixed_steps(nn.Sequential(nn.Conv2d(3, 2, 1), nn.ReLU()))
    True
    """
    shared = {id(values): values for values in (*network.parameters(), *network.buffers())}
    try:
        torch.fx.Tracer().trace(copy.deepcopy(network, shared))
    except Exception:  # whatever user code raises on meeting a symbol in place of a tensor
        return False
    return True
