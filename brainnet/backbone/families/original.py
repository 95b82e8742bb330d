"""``original:*``: the backbones FactorTopy was published with, as their encoders expect them, and DINO.

Every one carries ImageNet's mean and SD, whatever its own weights were trained with: the published encoders were fitted
so. Layers ``"0"``, ``"1"``, ... are the residual blocks, before the last normalization; the global token is the class
token, and of SAM, which has none, the mean over space. Any module can be named too.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainnet._checks import check_word, require
from brainnet._registry import Registry, check_options, takes_options_of
from brainnet.backbone.base import square_side
from brainnet.backbone.families.clip import ModifiedCLIP
from brainnet.backbone.families.timm import native_names, published_weights
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import choose_places
from brainnet.backbone.weights import (
    chosen_file,
    fit_weights,
    hub_addresses,
    load_weights,
    own_random_numbers,
    part_of_weights,
    published_file,
)
from brainnet.tokens import RESIZE_MODES, Preprocessing, Tokens

ORIGINALS = Registry("original backbone")
ORIGINALS.register("clip")(ModifiedCLIP)
META = "https://dl.fbaipublicfiles.com"


class Blocks(HookedBackbone):
    """Tokens of the blocks of a vision transformer whose sequence is class token, registers, patches.

    Args:
        network: with its blocks under ``blocks``.
        layers: indices or names of blocks, or names of modules; None takes all blocks.
        name: for fingerprints and messages.
        image_size: pixels along the side of the square input.
        patch_size: pixels along a patch's side.
        prefix_tokens: class token and registers.
        preprocessing, global_token, settings: see :class:`HookedBackbone`.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Iterable[str | int] | None,
        *,
        name: str,
        image_size: int,
        patch_size: int,
        prefix_tokens: int = 1,
        preprocessing: Preprocessing | None = None,
        global_token: str = "class",
        settings: Mapping[str, Any] | None = None,
    ):
        super().__init__(
            network,
            choose_places(network, layers, {str(i): f"blocks.{i}" for i in range(len(network.blocks))}),
            name=name,
            preprocessing=preprocessing or Preprocessing((image_size, image_size)),
            prefix_tokens=prefix_tokens,
            patch_size=patch_size,
            sequence="BNC" if prefix_tokens else None,
            global_token=global_token,
            fixed_steps=True,
            settings=settings,
        )


@ORIGINALS.register("dinov2")
class ModifiedDiNOv2(Blocks):
    """DINOv2: ViT-B/14 by default. The same tokens through timm and through ``torch.hub``.

    Args:
        size: "small", "base", "large" or "giant".
        layers: indices or names of blocks, or names of modules; None takes all blocks.
        weights: "default" (those published), a file in the layout of either library, or "random".
        seed: of random weights.
        registers: the variant with four registers, which are dropped from the tokens.
        source: "timm", or "hub" for the authors' own code through ``torch.hub``, which runs it.
        repository: for ``torch.hub``: a GitHub repository, or a folder with a copy of it.
        image_size: pixels along the side of the square input, a multiple of 14.
        preprocessing: by default the whole image at that size with ImageNet's mean and SD.
        global_token: "class", "mean" or "registers".

    >>> backbone = ModifiedDiNOv2("small", layers=[3, 11], weights="random", image_size=56)
    >>> backbone.get_tokens(torch.zeros(1, 3, 56, 56)).local["11"].shape    # patches of 14 pixels
    torch.Size([1, 384, 4, 4])
    """

    SIZES: ClassVar = {"small": ("s", {}), "base": ("b", {}), "large": ("l", {}), "giant": ("g", {})}

    def __init__(
        self,
        size: str = "base",
        *,
        layers: Iterable[str | int] | None = None,
        weights: str | Path = "default",
        seed: int = 0,
        registers: bool = False,
        source: str = "timm",
        repository: str | Path = "facebookresearch/dinov2",
        image_size: int | tuple[int, int] = 224,
        preprocessing: Preprocessing | None = None,
        global_token: str = "class",
    ):
        check_word("size", size, self.SIZES)
        image_size = square_side(image_size, type(self).__name__)
        check_word("source", source, ("timm", "hub"))
        extra = "_reg4" if registers else ""
        letter, options = self.SIZES[size]
        theirs = f"dinov2_vit{letter}14"
        ours = f"vit_{size}_patch14{extra}_dinov2"
        addresses = [f"{META}/dinov2/{theirs}/{theirs}{extra}_pretrain.pth"]
        if source == "timm":
            addresses = hub_addresses(f"timm/{ours}.lvd142m", "model.safetensors") + addresses
        file = _file("dinov2", f"{theirs}{extra}", weights, addresses)
        with own_random_numbers(seed):
            if source == "hub":
                network = _of_torch_hub(repository, f"{theirs}{'_reg' if registers else ''}")
            else:
                timm = require("timm", "ModifiedDiNOv2")
                network = timm.create_model(ours, img_size=image_size, num_classes=0, **options)
        if file is not None:
            state = load_weights(file)
            if source == "timm":
                state = state if registers else resized_positions(state, image_size // 14)
                state = native_names(network, state)
            fit_weights(network, state, file, optional=("mask_token",))
        super().__init__(
            network, layers, name=_name("ModifiedDiNOv2", size), image_size=image_size, patch_size=14,
            prefix_tokens=5 if registers else 1, preprocessing=preprocessing, global_token=global_token,
            settings={"registers": registers},
        )  # fmt: skip


class _OfTimm(Blocks):
    """A plain vision transformer of timm with weights of other authors."""

    SIZES: ClassVar[Mapping[str, tuple[str, str, dict[str, Any]]]]  # timm's name, address, options
    TITLE: str

    def __init__(
        self,
        size: str = "base",
        *,
        layers: Iterable[str | int] | None = None,
        weights: str | Path = "default",
        seed: int = 0,
        image_size: int | tuple[int, int] = 224,
        preprocessing: Preprocessing | None = None,
        global_token: str = "class",
    ):
        check_word("size", size, self.SIZES)
        image_size = square_side(image_size, type(self).__name__)
        model, address, options = self.SIZES[size]
        file = self._published(model, size, weights, address)
        with own_random_numbers(seed):
            network = require("timm", self.TITLE).create_model(model, img_size=image_size, num_classes=0, **options)
        if file is not None:
            state = native_names(network, self._translated(load_weights(file), image_size, network))
            fit_weights(network, state, file, optional=("head.", "fc_norm.", "decoder_", "mask_token"))
        super().__init__(
            network, layers, name=_name(self.TITLE, size), image_size=image_size,
            patch_size=network.patch_embed.patch_size[0], preprocessing=preprocessing, global_token=global_token,
        )  # fmt: skip

    def _published(self, model: str, size: str, weights: str | Path, address: str) -> Path | None:
        return _file(self.TITLE, size, weights, [address])

    def _translated(self, state: dict[str, Tensor], image_size: int, network: nn.Module) -> dict[str, Tensor]:
        return state


@ORIGINALS.register("mae")
class ModifiedMAE(_OfTimm):
    """The encoder of a masked autoencoder, on whole images: ViT-B/16 by default.

    Args:
        size: "base", "large" or "huge" (patches of 14 pixels).
        layers, weights, seed, image_size, preprocessing, global_token: see :class:`ModifiedDiNOv2`.
    """

    TITLE = "ModifiedMAE"
    SIZES: ClassVar = {
        size: (f"vit_{size}_patch{patch}_224", f"{META}/mae/pretrain/mae_pretrain_vit_{size}.pth", {})
        for size, patch in {"base": 16, "large": 16, "huge": 14}.items()
    }


@ORIGINALS.register("mocov3")
class ModifiedMoCov3(_OfTimm):
    """MoCo v3: ViT-B/16 by default.

    Args:
        size: "small" (twelve heads of 32 channels, unlike timm's own ViT-S) or "base".
        layers, weights, seed, image_size, preprocessing, global_token: see :class:`ModifiedDiNOv2`.
    """

    TITLE = "ModifiedMoCov3"
    SIZES: ClassVar = {
        size: (
            f"vit_{size}_patch16_224",
            f"{META}/moco-v3/vit-{size[0]}-300ep/vit-{size[0]}-300ep.pth.tar",
            {"num_heads": 12},
        )
        for size in ("small", "base")
    }

    def _translated(self, state: dict[str, Tensor], image_size: int, network: nn.Module) -> dict[str, Tensor]:
        return part_of_weights(state, "base_encoder.", without=("head",))


@ORIGINALS.register("imgnet")
class ModifiedImgNet(_OfTimm):
    """A vision transformer trained to classify ImageNet: timm's ViT-B/16 with its default weights.

    Args:
        size: "tiny", "small", "base" or "large".
        layers, weights, seed, image_size, preprocessing, global_token: see :class:`ModifiedDiNOv2`.
    """

    TITLE = "ModifiedImgNet"
    SIZES: ClassVar = {size: (f"vit_{size}_patch16_224", "", {}) for size in ("tiny", "small", "base", "large")}

    def _published(self, model: str, size: str, weights: str | Path, address: str) -> Path | None:
        if weights == "default":
            timm = require("timm", self.TITLE)
            return published_weights(model, timm.get_pretrained_cfg(model).to_dict())
        return _file(self.TITLE, size, weights, [])


@ORIGINALS.register("dino")
class ModifiedDINO(_OfTimm):
    """DINO, the first version: ViT-B/16 by default.

    Args:
        size: "small" or "base", with patches of 16 pixels; "small8" or "base8" with patches of 8.
        layers, weights, seed, image_size, preprocessing, global_token: see :class:`ModifiedDiNOv2`.
    """

    TITLE = "ModifiedDINO"
    SIZES: ClassVar = {
        f"{size}{'' if patch == 16 else patch}": (
            f"vit_{size}_patch{patch}_224",
            f"{META}/dino/dino_{long}{patch}_pretrain/dino_{long}{patch}_pretrain.pth",
            {},
        )
        for size, long in {"small": "deitsmall", "base": "vitbase"}.items()
        for patch in (16, 8)
    }

    def _translated(self, state: dict[str, Tensor], image_size: int, network: nn.Module) -> dict[str, Tensor]:
        state = part_of_weights(state, "backbone.", without=("head",))
        return resized_positions(state, image_size // network.patch_embed.patch_size[0])


@ORIGINALS.register("sam")
class ModifiedSAM(Blocks):
    """The image encoder of Segment Anything: ViT-B/16 at 1024 pixels by default, 64 x 64 tokens, no class token.

    The image is stretched to the square, as the original did. ``"neck"`` is the layer behind the blocks.

    Args:
        size: "base", "large" or "huge".
        layers: indices or names of blocks, or names of modules; None takes all blocks.
        weights: "default" (those published), a file (of the whole SAM or the encoder alone), or "random".
        seed: of random weights.
        image_size: pixels along the side of the square input, a multiple of 16.
        grid: None gives every token; (height, width) brings the maps to this grid at once, which keeps a token store
            small.
        resize: how: "mean" over the tokens of a cell, or "bilinear" samples without smoothing, as the original had
            them, which read 6 % of the tokens.
        preprocessing: by default the whole image at that size with ImageNet's mean and SD, which are SAM's own.
    """

    SIZES: ClassVar = {
        "base": ("vit_b_01ec64", 768, 12, 12, (2, 5, 8, 11)),
        "large": ("vit_l_0b3195", 1024, 24, 16, (5, 11, 17, 23)),
        "huge": ("vit_h_4b8939", 1280, 32, 16, (7, 15, 23, 31)),
    }

    def __init__(
        self,
        size: str = "base",
        *,
        layers: Iterable[str | int] | None = None,
        weights: str | Path = "default",
        seed: int = 0,
        image_size: int | tuple[int, int] = 1024,
        grid: tuple[int, int] | None = None,
        resize: str = "mean",
        preprocessing: Preprocessing | None = None,
    ):
        check_word("size", size, self.SIZES)
        image_size = square_side(image_size, type(self).__name__)
        check_word("resize mode", resize, RESIZE_MODES)
        modeling = require("segment_anything.modeling", "ModifiedSAM", "segment-anything")
        published, width, depth, heads, whole = self.SIZES[size]
        file = _file("sam", published, weights, [f"{META}/segment_anything/sam_{published}.pth"])
        with own_random_numbers(seed):
            network = modeling.ImageEncoderViT(
                depth=depth, embed_dim=width, num_heads=heads, global_attn_indexes=whole, window_size=14,
                use_rel_pos=True, qkv_bias=True, norm_layer=lambda width: nn.LayerNorm(width, eps=1e-6),
            )  # fmt: skip
        side = image_size // 16
        network.pos_embed = nn.Parameter(_resized(network.pos_embed.data, side))
        if file is not None:
            state = part_of_weights(load_weights(file), "image_encoder.")
            if "pos_embed" in state:
                state["pos_embed"] = _resized(state["pos_embed"], side)
            fit_weights(network, state, file)
        super().__init__(
            network, layers, name=_name("ModifiedSAM", size), image_size=image_size, patch_size=16, prefix_tokens=0,
            preprocessing=preprocessing, settings={} if grid is None else {"grid": tuple(grid), "resize": resize},
        )  # fmt: skip
        self.grid, self.resize = grid, resize

    def compute_tokens(self, images: Tensor) -> Tokens:
        """Tokens of the chosen layers, on the wanted grid."""
        tokens = super().compute_tokens(images)
        return tokens if self.grid is None else tokens.resize(self.grid, self.resize)


def _name(title: str, size: str) -> str:
    return title if size == "base" else f"{title}:{size}"


def _file(family: str, variant: str, weights: str | Path, addresses: list[str]) -> Path | None:
    """The file of the wanted weights; None where they are random."""
    if weights == "default":
        return published_file("original", family, variant, addresses)
    return chosen_file(weights, f"original:{family}", ["default"])


def _of_torch_hub(repository: str | Path, name: str) -> nn.Module:
    """A network of the authors' own code, with random weights."""
    folder = Path(repository).is_dir()
    try:
        return torch.hub.load(
            str(repository), name, source="local" if folder else "github", trust_repo=True, pretrained=False
        )
    except OSError as error:
        raise ConnectionError(
            f"torch.hub could not get {repository} ({error}). Give a folder with a copy of it, repository=..., or take "
            'source="timm", which needs no code from elsewhere and gives the same tokens.'
        ) from error


def resized_positions(state: dict[str, Tensor], side: int) -> dict[str, Tensor]:
    """Weights whose positions (1, 1 + n * n, C) fit a grid of ``side`` x ``side``, as DINO and DINOv2 resize them.

    Bicubic, without smoothing, by a factor of (side + 0.1) / n: another rule moves every token by some percent.
    """
    positions = state.get("pos_embed")
    if positions is None or positions.shape[1] == 1 + side**2:
        return state
    n = round((positions.shape[1] - 1) ** 0.5)
    patches = positions[:, 1:].unflatten(1, (n, n)).permute(0, 3, 1, 2)
    factor = (side + 0.1) / n
    patches = F.interpolate(patches.float(), scale_factor=(factor, factor), mode="bicubic")
    return {**state, "pos_embed": torch.cat([positions[:, :1], patches.flatten(2).transpose(1, 2)], 1)}


def _resized(positions: Tensor, side: int) -> Tensor:
    """SAM's positions (1, n, n, C) for a grid of another side: bicubic and smoothed."""
    if positions.shape[1] == side:
        return positions
    moved = positions.permute(0, 3, 1, 2).float()
    return F.interpolate(moved, (side, side), mode="bicubic", antialias=True).permute(0, 2, 3, 1).contiguous()


def variants() -> list[str]:
    """What can follow "original:"; the plain name is the B size."""
    sizes = {name: getattr(ORIGINALS[name], "SIZES", ("base",)) for name in ORIGINALS}
    return [name if size == "base" else f"{name}-{size}" for name in sizes for size in sizes[name]]


def knows(variant: str) -> bool:
    """Whether it is a name with a size, the size B by its name too: "dinov2-base"."""
    name, _, size = variant.partition("-")
    return name in ORIGINALS and size in ("", *getattr(ORIGINALS[name], "SIZES", ("base",)))


@takes_options_of(ModifiedSAM)
@takes_options_of(ModifiedDiNOv2)
@takes_options_of(ModifiedCLIP)
def build(variant: str | None, **kwargs: Any):
    """A backbone of the original FactorTopy, with ImageNet's mean and SD; ``"original"`` alone is ``"original:clip"``.

    The size follows the name: ``"original:dinov2-large"``.

    >>> build("clip", weights="random", layers=[0]).preprocessing.mean
    (0.485, 0.456, 0.406)
    """
    name, _, size = (variant or "clip").partition("-")
    factory = ORIGINALS[name]
    check_options(factory, kwargs, f"backbone 'original:{variant}'")
    return factory(size, **kwargs) if size else factory(**kwargs)


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_originals

    return list(describe_originals(variants()))
