"""``transformers:*``: networks of the transformers library, from the hub's name of a model or from a local folder.

Networks of images are here; those of texts, sounds and videos are built by the files beside it, ``_hub_text``,
``_hub_sound`` and ``_hub_video``, by what the settings of the network say that it reads.
"""

from __future__ import annotations

import inspect
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from contextlib import ExitStack
from importlib import import_module
from pathlib import Path
from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from brainnet._checks import require
from brainnet.backbone.facts.transformers import describe  # noqa: F401  (the table of networks asks for it)
from brainnet.backbone.families._hub import (
    check_kind,
    chosen_options,
    config_of,
    kind_of_config,
    loaded,
    name_of,
    one_number,
    preprocessing_of,
)
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import Place, choose_places, find_blocks, part_of
from brainnet.backbone.sequences.base import without_hooks
from brainnet.tokens import Preprocessing

EXTRA = "brainnet[transformers]"
STATES = ("hidden_states", "reshaped_hidden_states")
_FIRST_BLOCK = re.compile(r"(^|\.)(layers?|stages?|blocks?)\.0(\.|$)")
VISION = ("vision_model", "vision_encoder", "vision_tower")  # names of the image tower in a model of image and text
KNOWN = (  # a few of thousands, for `brainnet backbones transformers`
    "facebook/dinov2-base", "facebook/dinov2-with-registers-base", "facebook/dinov3-vits16-pretrain-lvd1689m",
    "facebook/vit-mae-base", "facebook/vit-msn-base", "facebook/data2vec-vision-base",
    "facebook/convnextv2-base-1k-224",
    "google/siglip-base-patch16-224", "google/siglip2-base-patch16-224", "google/vit-base-patch16-224",
    "kakaobrain/align-base", "microsoft/beit-base-patch16-224", "microsoft/resnet-50",
    "microsoft/swin-tiny-patch4-window7-224", "openai/clip-vit-base-patch16", "facebook/sam-vit-base",
)  # fmt: skip


class TransformersBackbone(HookedBackbone):
    """Tokens of a network of transformers: its hidden states, and any module.

    Layers ``"0"``, ``"1"``, ... are the outputs of its blocks or stages (the library's ``hidden_states`` 1, 2, ...);
    ``"embeddings"`` is what the first block is given (``hidden_states`` 0). Modules are named as in the network, and
    parts of its output as ``":last_hidden_state"`` (after the last normalization), ``":pooler_output"`` or
    ``":image_embeds"`` (the joint embedding of image and text). ``"attention.5"`` are the weights with which block 5
    looks at each patch, a channel per head. The global token is the class token where there is one, else the mean over
    space; registers are dropped.

    Args:
        variant: the hub's name of a model (``"facebook/dinov2-base"``), or a folder that ``save_pretrained`` wrote.
        layers: names, patterns or indices; None takes all blocks.
        weights: "default" (those of the name or folder), a file, or ``"random"``. Code that a repository brings is
            never run.
        seed: of random weights.
        image_size: height and width in pixels, or one number for both; by default what the model's image processor
            says.
        preprocessing: by default the processor's mean, SD and interpolation, of the whole image.
        global_token: "class", "mean" or "registers", see :class:`HookedBackbone`.
        revision: of the hub's repository: a branch, a tag or a commit.

    Raises:
        ConnectionError: the model is neither here nor can it be downloaded.
        ValueError: a model that takes no images.
    """

    def __init__(
        self,
        variant: str,
        *,
        layers: Iterable[str | int] | None = None,
        weights: str | Path = "default",
        seed: int = 0,
        image_size: int | tuple[int, int] | None = None,
        preprocessing: Preprocessing | None = None,
        global_token: str = "class",
        revision: str = "main",
    ):
        transformers = require("transformers", f"transformers:{variant}", EXTRA)
        config = config_of(transformers, variant, revision)
        network = _network(transformers, variant, config, weights, seed, revision)
        _check_takes_images(variant, network)
        preprocessing = preprocessing or preprocessing_of(transformers, variant, revision, network.config, image_size)
        states = _look(variant, network, preprocessing.size)
        blocks = {str(i): state.place for i, state in enumerate(states[_n_embeddings(states, network.config) :])}
        further = {"embeddings": states[0].place} if len(blocks) < len(states) else {}
        further |= _attention_maps(network.config, states, len(blocks))
        default = list(blocks) or [name for name in find_blocks(network) if not name.startswith("decoder")]
        chosen = choose_places(network, layers, {**blocks, **further}, default)
        self_attention = any(place.layout == "BANN" for place in chosen.values())
        if self_attention:
            network.set_attn_implementation("eager")  # the others never have the weights
        counts = {state.n_places for state in states}
        patch = one_number(getattr(network.config, "patch_size", None)) if len(counts) == 1 and all(counts) else None
        prefix = 0
        if patch is not None:
            prefix = max(0, counts.pop() - (preprocessing.size[0] // patch) * (preprocessing.size[1] // patch))
        super().__init__(
            network,
            chosen,
            name=name_of(variant, config),
            preprocessing=preprocessing,
            prefix_tokens=prefix,
            class_token=prefix > (getattr(network.config, "num_register_tokens", 0) or 0),
            global_token=global_token,
            patch_size=patch,
            fixed_steps=True,
        )
        self.sees_attention = self_attention
        self.keeps_states = any(place.key and place.key.startswith(STATES) for place in chosen.values())

    def run_network(self, images: Tensor) -> Any:
        """One pass, which keeps hidden states and attention where they are wanted."""
        wanted = {"output_attentions": self.sees_attention, "output_hidden_states": self.keeps_states}
        return _read_images(self.network, images, **{name: True for name, is_so in wanted.items() if is_so})

    def __getstate__(self) -> dict:
        """Everything but the hooks that the library has put on the network, which it puts on again."""
        return {**self.__dict__, "_modules": {**self._modules, "network": without_hooks(self.network)}}


def _read_images(network: nn.Module, images: Tensor, **options: Any) -> Any:
    """One pass over images (B, 3, H, W)."""
    if isinstance(network, ImageTower):
        return network(images, **options)
    taken = inspect.signature(network.forward).parameters
    if network.config.model_type == "vit_mae":
        # nothing is masked, and patches come in the order of growing noise: that of reading
        rows, columns = (side // network.config.patch_size for side in images.shape[-2:])
        options["noise"] = torch.arange(rows * columns, device=images.device).expand(len(images), -1)
    if images.shape[-2:] != _trained_size(network) and "interpolate_pos_encoding" in taken:
        options["interpolate_pos_encoding"] = True
    if "spatial_shapes" in taken:
        images, grid = _patches(images, network.config.patch_size)
        options["pixel_attention_mask"] = torch.ones(images.shape[:2], dtype=torch.long, device=images.device)
        options["spatial_shapes"] = torch.tensor([grid] * len(images), device=images.device)
    return network(pixel_values=images, **options)


def _patches(images: Tensor, side: int) -> tuple[Tensor, tuple[int, int]]:
    """Patches (B, N, side * side * 3), pixel by pixel, of a network that takes them so; and their grid."""
    rows, columns = (n // side for n in images.shape[-2:])
    cut = images[..., : rows * side, : columns * side].unflatten(3, (columns, side)).unflatten(2, (rows, side))
    return cut.permute(0, 2, 4, 3, 5, 1).flatten(3).flatten(1, 2), (rows, columns)


class ImageTower(nn.Module):
    """The image side of a model of image and text, with its projection into the joint space."""

    def __init__(self, tower: nn.Module, projection: nn.Module | None):
        super().__init__()
        self.tower, self.projection, self.config = tower, projection, tower.config
        self.main_input_name = "pixel_values"

    def forward(self, images: Tensor, **options: Any) -> Any:
        """The tower's output; what it pooled is projected too, as ``image_embeds``."""
        output = _read_images(self.tower, images, **options)
        if self.projection is not None and getattr(output, "pooler_output", None) is not None:
            output["image_embeds"] = self.projection(output.pooler_output)
        return output

    def set_attn_implementation(self, name: str) -> None:
        """Hands on to the tower."""
        self.tower.set_attn_implementation(name)


def build(
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    image_size: int | tuple[int, int] | None = None,
    preprocessing: Preprocessing | None = None,
    global_token: str | None = None,
    revision: str = "main",
    modality: str | None = None,
    steps: int | str | None = None,
    length: int | None = None,
    n_frames: int | None = None,
    agg_frames: str | None = None,
) -> Any:
    """A network of transformers, by the hub's name or a local folder, of whatever it reads.

    Args:
        variant, layers, weights, seed, revision: see :class:`TransformersBackbone`.
        image_size, preprocessing: of images and videos.
        global_token: of images "class" (the default), "mean" or "registers". Else "mean" (the default), "last" (the
            default of causal networks of text, and of the text side of CLIP) or "class".
        modality: "image", "text", "sound", "video"; None takes what the network reads. A model of image and text reads
            images by default, with "text" its text side, and with "pair" both.
        steps: of texts and sounds: the places in time to which each stimulus is averaged (8 by default); "all" keeps
            every place; "words" are the words of a text.
        length: of texts: the most word pieces; by default the context length of the network.
        n_frames: of videos: frames that are shown; by default as many as the network was trained with.
        agg_frames: of videos: "mean" (the default) or "max" over time, or "all": a layer for every step in time.

    Raises:
        ConnectionError: the network is neither here nor can it be downloaded.
        ValueError: an option of another kind, or a network that does not read what ``modality`` says.
    """
    if not variant:
        raise ValueError("name a model of the hub or a folder, for example 'transformers:facebook/dinov2-base'")
    transformers = require("transformers", f"transformers:{variant}", EXTRA)
    config = config_of(transformers, variant, revision)
    own = kind_of_config(transformers, config)
    kind = modality or own
    check_kind(variant, config, kind, own)
    given = {"image_size": image_size, "preprocessing": preprocessing, "global_token": global_token, "steps": steps,
             "length": length, "n_frames": n_frames, "agg_frames": agg_frames}  # fmt: skip
    options = chosen_options(f"transformers:{variant}", kind, given)
    options |= {"layers": layers, "weights": weights, "seed": seed, "revision": revision}
    if kind == "image":
        return TransformersBackbone(variant, **options)
    maker = getattr(import_module(f"brainnet.backbone.families._hub_{kind}"), f"{kind}_backbone")
    return maker(transformers, variant, config, **options)


def reads(variant: str | None, *, modality: str | None = None, revision: str = "main") -> str:
    """The kind of stimuli that a network reads."""
    if modality or not variant:
        return modality or "image"
    transformers = require("transformers", f"transformers:{variant}", EXTRA)
    config = config_of(transformers, variant, revision)
    return kind_of_config(transformers, config)


def variants() -> list[str]:
    """Some of what can follow "transformers:"; any model of the hub that takes images can."""
    return sorted(KNOWN)


def knows(variant: str) -> bool:
    """Whether a name can be one of a model of the hub, or the folder of one: every name can."""
    return True


def _network(transformers: Any, variant: str, config: Any, weights: str | Path, seed: int, revision: str) -> nn.Module:
    """The part of a model that sees images, with its weights."""
    if config.model_type == "vit_mae":
        config.mask_ratio = 0.0
    return loaded(transformers, variant, config, weights, seed, revision, _image_tower)


def _image_tower(network: nn.Module) -> nn.Module:
    """The part that sees images, of a model that reads text too."""
    name = next((name for name in VISION if isinstance(getattr(network, name, None), nn.Module)), None)
    if name is None or not hasattr(network.config, "vision_config"):
        return network
    siglip = network.config.model_type.startswith("siglip")  # whose head projects already
    return ImageTower(getattr(network, name), nn.Identity() if siglip else getattr(network, "visual_projection", None))


def _check_takes_images(variant: str, network: nn.Module) -> None:
    wanted = network.main_input_name
    if wanted != "pixel_values":
        raise ValueError(f"transformers:{variant} ({type(network).__name__}) takes {wanted}, and no images.")


class State(NamedTuple):
    """A hidden state: where it is taken, its number of places where it is a sequence (else 0), which module made it."""

    place: Place
    n_places: int
    maker: str


def _look(variant: str, network: nn.Module, size: tuple[int, int]) -> list[State]:
    """The hidden states of a network, from a pass over a blank image.

    A state that is the very output of a module which ran once is taken there, so that a pass may stop behind it.
    """
    like, kept, names = next(network.parameters()), [], {}
    first: dict[int, str] = {}
    runs = Counter()

    def keep(name: str, output: Any) -> None:
        runs[name] += 1
        kept.append(part_of(output))  # alive, so that no other tensor takes its place in memory
        names[id(kept[-1])] = name
        first.setdefault(id(kept[-1]), name)

    network.eval()
    with ExitStack() as hooks, torch.no_grad():
        for name, module in network.named_modules():
            if name:
                hook = module.register_forward_hook(lambda _, __, output, name=name: keep(name, output))
                hooks.callback(hook.remove)
        blank = torch.zeros(1, 3, *size, dtype=like.dtype, device=like.device)
        try:
            output = _read_images(network, blank, output_hidden_states=True)
        except (ValueError, TypeError, RuntimeError) as error:
            raise ValueError(
                f"transformers:{variant} ({type(network).__name__}) cannot be run on images of {size[0]} x {size[1]} "
                f"pixels alone: {error}"
            ) from error
    states = getattr(output, "hidden_states", None) or ()
    maps = getattr(output, "reshaped_hidden_states", None) or [None] * len(states)
    found = []
    for i, (state, reshaped) in enumerate(zip(states, maps, strict=True)):
        module, layout = names.get(id(state)), _layout_of(state, _width(network.config, i, len(states)))
        if reshaped is not None and state.ndim == 3:
            layout = "BCHW" if reshaped.shape[1] == state.shape[2] != reshaped.shape[3] else "BHWC"
            place = Place("", key=f"reshaped_hidden_states.{i}", layout=layout)
        elif module is not None and runs[module] == 1:
            place = Place(module, layout=layout)
        else:
            place = Place(
                "", key=f"hidden_states.{i}", layout=_layout_of(state, _width(network.config, i, len(states)))
            )
        found.append(State(place, state.shape[1] if state.ndim == 3 else 0, first.get(id(state), "")))
    return found


def _layout_of(state: Tensor, width: int | None) -> str | None:
    """The layout of a sequence; and of a map, where its width is that of one axis alone."""
    if state.ndim == 3:
        return "BNC"
    first, last = state.shape[1] == width, state.shape[3] == width
    return None if first == last else "BCHW" if first else "BHWC"


def _width(config: Any, i: int, n_states: int) -> int | None:
    """Number of channels of a hidden state, where the settings say it."""
    if widths := getattr(config, "hidden_sizes", None):
        return widths[max(0, i - max(0, n_states - len(widths)))] if n_states - len(widths) in (0, 1) else None
    return getattr(config, "hidden_size", None)


def _n_embeddings(states: Sequence[State], config: Any) -> int:
    """1 where the first hidden state is what the first block is given, 0 where it is what that block gives."""
    depths = getattr(config, "depths", None)
    by_a_block = bool(states) and _FIRST_BLOCK.search(states[0].maker) is not None
    return int(bool(states) and not by_a_block and len(states) != (len(depths) if depths else -1))


def _attention_maps(config: Any, states: Sequence[State], n_blocks: int) -> dict[str, Place]:
    """A layer per block of a transformer whose sequence has one length."""
    if not isinstance(getattr(config, "num_attention_heads", None), int) or not all(s.n_places for s in states):
        return {}
    return {f"attention.{i}": Place("", key=f"attentions.{i}", layout="BANN") for i in range(n_blocks)}


def _trained_size(network: nn.Module) -> tuple[int, int] | None:
    side = getattr(network.config, "image_size", None)
    return (side, side) if isinstance(side, int) else tuple(side) if side else None
