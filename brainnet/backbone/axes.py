"""Which axes of an output hold images, channels and places, and whether the steps of a network are fixed.

Nothing in a tensor says which of its axes are height and width. The modules that made it do: a convolution puts the
channels first, a linear layer puts them last, a permutation moves them, an activation leaves them where they were.
Where the modules do not say, the answer is "unknown", and the caller refuses: a wrong axis would give features of the
wrong thing.

A layout is a word with a letter per axis: B image, C channel, H and W place, T time, N place in a sequence.
"""

from __future__ import annotations

import copy
import weakref
from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor, nn

from brainnet.backbone.modules import part_of

FIRST = {3: "BCN", 4: "BCHW", 5: "BCTHW"}  # by number of axes
LAST = {3: "BNC", 4: "BHWC", 5: "BTHWC"}
MIXED = "mixed"  # a sequence whose places were mixed into something that is no place
CHANNELS_FIRST = (
    nn.modules.conv._ConvNd, nn.modules.batchnorm._NormBase, nn.modules.pooling._MaxPoolNd,
    nn.modules.pooling._AvgPoolNd, nn.modules.pooling._AdaptiveAvgPoolNd, nn.modules.pooling._AdaptiveMaxPoolNd,
    nn.modules.pooling._LPPoolNd, nn.GroupNorm, nn.LocalResponseNorm, nn.Upsample, nn.PixelShuffle, nn.PixelUnshuffle,
    nn.ChannelShuffle, nn.Dropout2d, nn.Dropout3d, nn.FractionalMaxPool2d, nn.MaxUnpool2d,
)  # fmt: skip
CHANNELS_LAST = (nn.Linear, nn.Bilinear, nn.Embedding, nn.RMSNorm)
SEQUENCES = (nn.MultiheadAttention, nn.RNNBase)  # say themselves where the images are
ELEMENTWISE = (
    nn.Identity, nn.Dropout, nn.AlphaDropout, nn.ReLU, nn.ReLU6, nn.LeakyReLU, nn.ELU, nn.CELU, nn.SELU, nn.GELU,
    nn.SiLU, nn.Mish, nn.Hardswish, nn.Hardsigmoid, nn.Hardtanh, nn.Sigmoid, nn.Tanh, nn.Softplus, nn.Softsign,
)  # fmt: skip
BY_NAME = {"WindowDepartition": FIRST, "WindowPartition": {4: MIXED}}  # of torchvision's MaxViT
ELEMENTWISE_NAMES = ("StochasticDepth", "DropPath", "LayerScale", "FrozenBatchNorm2d")
# networks whose sequences are not in the order of reading: a unit of places after the other
OUT_OF_ORDER = {"Hiera", "HieraModel", "HieraForImageClassification", "HieraBackbone"}


class LayoutTrace:
    """Follows the layout of feature maps and sequences through one pass, module by module.

    Call :meth:`enter` before and :meth:`leave` after every module; then ask :meth:`layout_of` for a tensor.

    Args:
        images: (B, 3, H, W) or (B, 3, T, H, W), what the pass begins with.
    """

    def __init__(self, images: Tensor):
        self._known: dict[int, tuple[weakref.ref, str]] = {}
        self._seen: list[tuple[tuple[int, ...], str]] = []  # shape and layout of all whose layout is known
        self._entries: list[int] = []
        self._n_images = len(images)
        self._note(images, FIRST[images.ndim])

    def enter(self, module: nn.Module, args: tuple) -> None:
        """A module begins."""
        self._entries.append(len(self._seen))

    def leave(self, module: nn.Module, args: tuple, output: Any) -> None:
        """A module has given its output."""
        inside = self._seen[self._entries.pop() :]
        output = part_of(output)
        if not isinstance(output, Tensor) or output.ndim not in LAST:
            return
        before = next((one for one in args if isinstance(one, Tensor)), None)
        layout = self._by_kind(module, before, output)
        if layout is None:
            layout = self.layout_of(output, inside or None, before)
        if layout is not None:
            self._note(output, layout)

    def layout_of(
        self, values: Tensor, inside: list[tuple[tuple[int, ...], str]] | None = None, before: Tensor | None = None
    ) -> str | None:
        """The layout of a tensor: that of the same tensor, or what its shape says beside the last known one.

        Args:
            values: the tensor.
            inside: known tensors to compare with; None for the input ``before``, or for all that were seen.
            before: what the module was given.
        """
        if (found := self._exact(values)) is not None:
            return found
        if inside is None and isinstance(before, Tensor) and before.ndim in LAST:
            layout = self._exact(before)
            if layout == MIXED:
                return MIXED
            if layout is None:
                layout = beside(tuple(before.shape), *self._last(before.ndim))
            return None if layout is None else beside(tuple(values.shape), tuple(before.shape), layout)
        return beside(tuple(values.shape), *(inside or self._seen)[-1])

    def has_places(self, n: int) -> bool:
        """Whether so many tokens are as many as a map seen so far has places, or a quarter, or as square patches."""
        maps = {_count(_channels_and_places(shape, layout)[1]) for shape, layout in self._seen if len(shape) > 3}
        pixels = _count(_channels_and_places(*self._seen[0])[1])
        return n in maps or 4 * n in maps or (pixels / n) ** 0.5 % 1 == 0

    def _by_kind(self, module: nn.Module, before: Tensor | None, output: Tensor) -> str | None:
        rank = output.ndim
        if isinstance(module, CHANNELS_FIRST):
            return FIRST[rank]
        if type(module).__name__ in BY_NAME:
            return BY_NAME[type(module).__name__].get(rank)
        if isinstance(module, SEQUENCES):
            return "BNC" if module.batch_first else "NBC"
        if before is not None and (isinstance(module, ELEMENTWISE) or type(module).__name__ in ELEMENTWISE_NAMES):
            return self.layout_of(before)
        plain_norm = isinstance(module, nn.LayerNorm) and type(module).forward is nn.LayerNorm.forward
        if isinstance(module, CHANNELS_LAST) or (plain_norm and len(module.normalized_shape) == 1):
            return self._of_last_axis(before, output)
        if type(module).__name__ == "Permute" and hasattr(module, "dims") and rank == 4:
            moved = {(0, 2, 3, 1): ("BCHW", "BHWC"), (0, 3, 1, 2): ("BHWC", "BCHW")}.get(tuple(module.dims))
            known = None if before is None else self._exact(before)
            return moved[1] if moved is not None and known in (None, moved[0]) else None
        return None

    def _of_last_axis(self, before: Tensor | None, output: Tensor) -> str | None:
        """Of a module that works along the last axis, which holds the channels unless the tensor was turned before."""
        if before is None or before.ndim != output.ndim:
            return LAST[output.ndim]
        known = self._exact(before)
        if known == MIXED and output.ndim == 4:
            return MIXED
        shape, last = tuple(before.shape), self._seen[-1]
        if output.ndim == 3:
            turned = known or beside(shape, *self._last(3))
            if turned in ("BCN", MIXED):
                same = output.shape == before.shape
                back = tuple(output.shape[2:]) == _channels_and_places(*self._last(3))[1]
                return turned if same else "BCN" if back else MIXED
            return turned or self._batch_axis(output)
        if output.ndim == 4 and known is None and len(last[0]) == 3:
            return None  # heads and places of an attention: no map
        return LAST[output.ndim]

    def _batch_axis(self, output: Tensor) -> str | None:
        """The layout of a sequence with channels last: where as many entries are as there are images."""
        first, second = (size == self._n_images for size in output.shape[:2])
        return None if first and second and self._n_images > 1 else "NBC" if second and not first else LAST[3]

    def _last(self, rank: int) -> tuple[tuple[int, ...], str]:
        """The last known tensor whose places are whole; one of as many axes, where there is one."""
        whole = [one for one in self._seen if one[1] != MIXED]
        return next((one for one in reversed(whole) if len(one[0]) == rank), whole[-1])

    def _exact(self, values: Tensor) -> str | None:
        reference, layout = self._known.get(id(values), (None, None))
        return layout if reference is not None and reference() is values else None

    def _note(self, values: Tensor, layout: str) -> None:
        self._known[id(values)] = weakref.ref(values), layout
        self._seen.append((tuple(values.shape), layout))


def beside(shape: tuple[int, ...], other: tuple[int, ...], layout: str) -> str | None:
    """The layout of a tensor that came of another one by operations that no module did; None where shapes do not say.

    >>> beside((2, 7, 7, 64), (2, 64, 7, 7), "BCHW"), beside((2, 49, 64), (2, 64, 7, 7), "BCHW")
    ('BHWC', 'BNC')
    """
    if layout == MIXED or len(shape) not in LAST:
        return None
    if len(shape) == 3 and len(other) == 3:
        return _sequence_beside(shape, other, layout)
    channels, places = _channels_and_places(other, layout)
    here = [(one[len(shape)], _channels_and_places(shape, one[len(shape)])) for one in (FIRST, LAST)]
    if len(shape) != len(other):  # a map became a sequence or the other way round; prefix tokens may have come or gone
        if len(shape) == 3:
            here.append(("NBC", _channels_and_places(shape, "NBC")))
        fits = [name for name, (own, size) in here if own == channels and abs(_count(size) - _count(places)) < 8]
        fits = [name for name in fits if shape[name.index("B")] == other[layout.index("B")]] or fits
        return fits[0] if len(fits) == 1 else None
    if layout == LAST[len(shape)]:
        here.reverse()
    (same, agrees), (turned, turns) = here
    agrees = agrees[0] == channels, agrees[1] == places
    turns = turns[0] == channels, turns[1] == places
    if sum(agrees) > sum(turns):
        return same
    return turned if sum(turns) > sum(agrees) and all(turns) else None


def _sequence_beside(shape: tuple[int, ...], other: tuple[int, ...], layout: str) -> str | None:
    sizes = dict(zip(layout, other, strict=True))
    fits = {
        one: sum(size == sizes[axis] for axis, size in zip(one, shape, strict=True)) for one in ("BNC", "BCN", "NBC")
    }
    best = max(fits.values())
    found = [one for one, n in fits.items() if n == best]
    return found[0] if len(found) == 1 and best >= 2 else None  # as many places as channels, or as images


def _channels_and_places(shape: tuple[int, ...], layout: str) -> tuple[int, tuple[int, ...]]:
    at = dict(zip(layout, shape, strict=True))
    return at["C"], tuple(size for axis, size in zip(layout, shape, strict=True) if axis not in "BC")


def _count(places: tuple[int, ...]) -> int:
    return int(torch.Size(places).numel())


def of_other_heights(images: Tensor) -> Iterator[Tensor]:
    """Images with fewer rows, then with more: what takes the one may refuse the other.

    >>> [tuple(other.shape) for other in of_other_heights(torch.zeros(1, 3, 128, 128))]
    [(1, 3, 96, 128), (1, 3, 160, 128)]
    """
    height = images.shape[-2]
    step = height - (height * 3 // 4 if height < 64 else height * 3 // 4 // 32 * 32)
    yield images[..., : height - step, :]
    yield torch.cat([images, images[..., :step, :]], -2)


def has_grid(n_tokens: int, image_size: tuple[int, int], patch_size: int | None) -> bool:
    """Whether so many tokens make a grid of the image's aspect."""
    try:
        return n_tokens > 0 and fits_aspect(token_grid(n_tokens, image_size, patch_size), image_size)
    except ValueError:
        return False


def token_grid(n_tokens: int, image_size: tuple[int, int], patch_size: int | None = None) -> tuple[int, int]:
    """Height and width of the grid that ``n_tokens`` square patches make on an image.

    >>> token_grid(196, (224, 224)), token_grid(8, (64, 128))
    ((14, 14), (2, 4))
    """
    height, width = image_size
    if patch_size is None:
        rows = max(1, round((n_tokens * height / width) ** 0.5))
        grid = rows, n_tokens // rows
    else:
        grid = height // patch_size, width // patch_size
    if grid[0] * grid[1] != n_tokens:
        raise ValueError(
            f"{n_tokens} tokens make no grid on an image of {height} x {width} pixels. Are there class or register "
            "tokens among them? Say how many, prefix_tokens=, and if need be the side of a patch, patch_size=."
        )
    return grid


def fits_aspect(grid: tuple[int, int], image_size: tuple[int, int]) -> bool:
    """Whether a map has the image's aspect, to within a place: one at the edge may hang over.

    >>> fits_aspect((7, 4), (224, 100)), fits_aspect((49, 64), (224, 224))
    (True, False)
    """
    (rows, columns), (height, width) = grid, image_size
    return rows == columns == 1 or abs(rows * width - columns * height) < max(height, width)


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
