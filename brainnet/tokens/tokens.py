"""Tokens: what a backbone gives for a batch of images, and nothing else.

Every layer has a map of *local* tokens, (B, C, H, W), and one *global* token, (B, C). Any object whose
``get_tokens(images)`` returns two dicts, layer name to tensor, is a backbone. This module refuses to know
anything of brains, files or training; nothing in it changes a tensor in place.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple, Protocol, runtime_checkable

import torch
from torch import Tensor
from torch.nn import functional as F

from brainnet._checks import check_word

POOLS = ("flatten", "mean", "max", "global", "both", "all")  # how a layer's tokens become one row of features
EXIF_ORIENTATION = 0x0112
RESIZE_MODES = ("mean", "shrink", "bilinear")
IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_SD = (0.229, 0.224, 0.225)


@runtime_checkable
class Backbone(Protocol):
    """Anything that turns images into tokens.

    It may also carry ``preprocessing`` (a :class:`Preprocessing`), ``layers``, ``layer_widths`` and
    ``fingerprint()``; brainnet uses them where they are there and does without where they are not. A backbone of other
    stimuli than images says in ``reads`` which ("text", "sound", "video"); its ``preprocessing`` makes a tensor of one,
    and its ``collate`` a batch of several.

    >>> class Pixels:
    ...     def get_tokens(self, images):
    ...         return {"pixels": images}, {"pixels": images.mean((2, 3))}
    >>> isinstance(Pixels(), Backbone), check_tokens(Pixels().get_tokens(torch.ones(2, 3, 8, 8)), batch_size=2).layers
    (True, ('pixels',))
    """

    def get_tokens(self, images: Tensor) -> tuple[dict[str, Tensor], dict[str, Tensor]]:
        """Local tokens (B, C, H, W) and global tokens (B, C) by layer, for images (B, 3, H, W)."""
        ...


@dataclass(frozen=True)
class Preprocessing:
    """A photograph as the tensor a backbone was trained on.

    Args:
        size: height and width in pixels of the result.
        mean, std: per RGB channel, on the scale where white is 1.
        interpolation: "bilinear" or "bicubic".
        crop: share of the shorter side kept in the center, in (0, 1]. At 1 the whole image is resized to
            ``size`` and its aspect is not kept, as the published FactorTopy weights saw their images.

    >>> from PIL import Image
    >>> Preprocessing(size=(8, 8))(Image.new("RGB", (20, 10))).shape
    torch.Size([3, 8, 8])
    """

    size: tuple[int, int] = (224, 224)
    mean: tuple[float, float, float] = IMAGENET_MEAN
    std: tuple[float, float, float] = IMAGENET_SD
    interpolation: str = "bilinear"
    crop: float = 1.0

    def __post_init__(self):
        if self.interpolation not in ("bilinear", "bicubic"):
            raise ValueError(f"interpolation is 'bilinear' or 'bicubic', got {self.interpolation!r}")
        if not 0 < self.crop <= 1:
            raise ValueError(f"crop is a share of the shorter side in (0, 1], got {self.crop}")
        for name in ("size", "mean", "std"):
            object.__setattr__(self, name, tuple(getattr(self, name)))

    def __call__(self, image: Any) -> Tensor:
        """The normalized image, (3, H, W) float32, of a PIL image of any mode and size, turned as its EXIF data say."""
        import numpy as np
        from PIL import Image, ImageOps

        if image.getexif().get(EXIF_ORIENTATION, 1) != 1:  # as of a telephone that was held upright
            image = ImageOps.exif_transpose(image)
        image = image if image.mode == "RGB" else image.convert("RGB")
        height, width = self.size
        box = None
        if self.crop < 1:
            # the center window that has the target's aspect and covers `crop` of the image's limiting side
            scale = self.crop * min(image.width / width, image.height / height)
            left, top = (image.width - scale * width) / 2, (image.height - scale * height) / 2
            box = (left, top, left + scale * width, top + scale * height)
        if image.size != (width, height) or box is not None:
            method = {"bilinear": Image.Resampling.BILINEAR, "bicubic": Image.Resampling.BICUBIC}[self.interpolation]
            image = image.resize((width, height), method, box=box)
        pixels = torch.from_numpy(np.array(image)).permute(2, 0, 1).float().div_(255)
        mean, std = (torch.tensor(v).view(3, 1, 1) for v in (self.mean, self.std))
        return pixels.sub_(mean).div_(std)


class Tokens(NamedTuple):
    """Local and global tokens by layer; unpacks like the plain pair users return.

    ``local[layer]`` is (B, C, H, W), ``global_[layer]`` is (B, C).

    >>> tokens = Tokens({"conv": torch.arange(8.0).view(1, 2, 2, 2)}, {"conv": torch.zeros(1, 2)})
    >>> tokens.layers, tokens.features("conv", "mean"), tokens.resize((1, 2)).local["conv"][0, 0]
    (('conv',), tensor([[1.5000, 5.5000]]), tensor([[1., 2.]]))
    """

    local: dict[str, Tensor]
    global_: dict[str, Tensor]

    @property
    def layers(self) -> tuple[str, ...]:
        """Layer names, in the order the backbone gave them."""
        return tuple(self.local)

    def map(self, function: Callable[[Tensor], Tensor]) -> Tokens:
        """New tokens with ``function`` applied to every tensor, local and global."""
        return Tokens(
            {k: function(v) for k, v in self.local.items()}, {k: function(v) for k, v in self.global_.items()}
        )

    def resize(self, grid: tuple[int, int], mode: str = "mean") -> Tokens:
        """New tokens whose local maps are ``grid`` = (height, width) in size.

        Args:
            grid: wanted height and width in tokens.
            mode: "mean" averages the tokens that fall into each cell, so that every token counts (a grid that
                must grow is interpolated); "shrink" does the same and never grows a map, which would repeat what it
                has: a map smaller than the grid keeps its size; "bilinear" samples the map at the cell centers without
                smoothing, as the original FactorTopy did: from a 64x64 map it reads only 6 % of the tokens.
        """
        return Tokens({k: resize_map(v, grid, mode) for k, v in self.local.items()}, dict(self.global_))

    def features(self, layer: str, pool: str = "mean") -> Tensor:
        """One row of features per image, (B, F).

        Args:
            layer: a layer's name.
            pool: "mean" or "max" over the local tokens (F = C), "global" (C), "flatten" (C*H*W), "both" (mean, then
                global), or "all" tokens one after another, the global one first, as a transformer has them
                ((1 + H*W) * C).
        """
        if layer not in self.local:
            raise ValueError(f"Unknown layer {layer!r}. Known: {', '.join(self.local)}")
        local, global_ = self.local[layer], self.global_[layer]
        pools = {
            "mean": lambda: local.mean((2, 3)),
            "max": lambda: local.amax((2, 3)),
            "global": lambda: global_,
            "flatten": lambda: local.flatten(1),
            "both": lambda: torch.cat([local.mean((2, 3)), global_], 1),
            "all": lambda: torch.cat([global_[:, None], local.flatten(2).transpose(1, 2)], 1).flatten(1),
        }
        check_word("pool", pool, POOLS)
        return pools[pool]()


def resize_map(tokens: Tensor, grid: tuple[int, int], mode: str = "mean") -> Tensor:
    """Token maps (B, C, H, W) on another grid, (B, C, h, w); the same tensor where the grid is right already.

    >>> resize_map(torch.arange(16.).view(1, 1, 4, 4), (2, 2))[0, 0]
    tensor([[ 2.5000,  4.5000],
            [10.5000, 12.5000]])
    """
    grid = (int(grid[0]), int(grid[1]))
    check_word("resize mode", mode, RESIZE_MODES)
    if min(grid) < 1:
        raise ValueError(f"a grid has a height and a width from 1, got {grid}.")
    if tokens.shape[-2:] == grid:
        return tokens
    if mode != "bilinear":
        shrunk = (min(grid[0], tokens.shape[-2]), min(grid[1], tokens.shape[-1]))
        tokens = F.adaptive_avg_pool2d(tokens, shrunk)
        if shrunk == grid or mode == "shrink":
            return tokens
    return F.interpolate(tokens, size=grid, mode="bilinear", align_corners=False)


def check_tokens(output: Any, batch_size: int, layers: Sequence[str] | None = None) -> Tokens:
    """What a backbone's ``get_tokens`` returned, as :class:`Tokens`, once its layers and shapes are right.

    Args:
        output: the returned pair of dicts.
        batch_size: how many images went in.
        layers: the layers expected; None accepts those that come. The result follows this order.

    Raises:
        TypeError: not a pair of dicts of tensors.
        ValueError: local and global layers differ, or a shape is not (B, C, H, W) or (B, C), or a layer is missing.

    >>> check_tokens(({"conv": torch.ones(2, 5)}, {"conv": torch.ones(2, 5)}), batch_size=2)
    Traceback (most recent call last):
    ValueError: local tokens of layer 'conv' must be (B, C, H, W) with B = 2, got (2, 5).
    """
    expected = "get_tokens(images) must return (local_tokens, global_tokens): two dicts, layer name -> tensor"
    if not isinstance(output, tuple) or len(output) != 2 or not all(isinstance(part, dict) for part in output):
        raise TypeError(f"{expected}; got {_describe(output)}.")
    local, global_ = output
    if set(local) != set(global_):
        raise ValueError(f"local tokens have layers {list(local)} but global tokens have {list(global_)}; {expected}.")
    if not local:
        raise ValueError(f"get_tokens returned no layers; {expected}.")
    for part, kind, shape in ((local, "local", "(B, C, H, W)"), (global_, "global", "(B, C)")):
        for name, value in part.items():
            if not isinstance(name, str) or not isinstance(value, Tensor):
                raise TypeError(f"{expected}; got {name!r}: {_describe(value)} among the {kind} tokens.")
            if value.ndim != shape.count(",") + 1 or value.shape[0] != batch_size:
                raise ValueError(
                    f"{kind} tokens of layer {name!r} must be {shape} with B = {batch_size}, got {tuple(value.shape)}."
                )
    layers = list(local) if layers is None else list(layers)
    if set(layers) - set(local):
        raise ValueError(
            f"tokens have layers {list(local)} but {layers} were expected. "
            "Choose layers among the former, or the backbone's layers= to match."
        )
    return Tokens({k: local[k] for k in layers}, {k: global_[k] for k in layers})


def _describe(value: Any) -> str:
    if isinstance(value, tuple | list):
        return f"{type(value).__name__} of {', '.join(type(v).__name__ for v in value) or 'nothing'}"
    return type(value).__name__
