"""``clip:*``: the image towers of open_clip, and ``ModifiedCLIP``, the published backbone of FactorTopy."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from brainnet._checks import nearest, require, warn_once
from brainnet._registry import takes_options_of
from brainnet.backbone.facts.clip import LIBRARY, describe  # noqa: F401  (the table of networks asks for them)
from brainnet.backbone.families.timm import patch_size_of
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import choose_places, find_blocks
from brainnet.backbone.weights import (
    fit_weights,
    hub_addresses,
    load_weights,
    own_random_numbers,
    published_file,
    weights_path,
)
from brainnet.tokens import Preprocessing

# open_clip builds no tower without the other; these are thrown away.
SMALL_TEXT = {"context_length": 4, "vocab_size": 8, "width": 8, "heads": 1, "layers": 1}
SMALL_IMAGE = {"image_size": 8, "patch_size": 8, "width": 8, "head_width": 8, "layers": 1}


class CLIPBackbone(HookedBackbone):
    """Tokens of every block of a CLIP image tower.

    Vision transformers: layers ``"0"``, ``"1"``, ... are the residual blocks, the global token is the class token as
    it leaves that block (the last normalization and the projection are not applied). ResNets: layers ``"0"`` to
    ``"3"`` are the stages, the global token is the mean over space. ``"visual"`` is the joint embedding of image and
    text; modules of the tower are named as in open_clip (``"transformer.resblocks.5.attn"``, ``"ln_post"``).

    Args:
        variant: open_clip's name, such as ``"ViT-B-16"`` or ``"RN50"``.
        layers: names, patterns or indices; None takes all blocks or stages.
        weights: a file (the whole CLIP model's or the image tower's alone), ``"random"``, or open_clip's tag of
            published weights, ``"openai"``.
        seed: of random weights.
        quick_gelu: the activation OpenAI trained with, x * sigmoid(1.702 x). None takes what the published tag says;
            for a file it must be said where it differs from the variant's own (GELU, unless it ends in -quickgelu).
        preprocessing: by default the mean, SD, size and interpolation of the published weights.
        global_token: "class" or "mean", see :class:`HookedBackbone`.

    >>> backbone = CLIPBackbone("ViT-S-32-alt", weights="random", layers=[-1])
    >>> backbone.layers, backbone.preprocessing.interpolation
    (('11',), 'bicubic')
    """

    def __init__(
        self,
        variant: str = "ViT-B-16",
        *,
        layers: Iterable[str | int] | None = None,
        weights: str | Path = "openai",
        seed: int = 0,
        quick_gelu: bool | None = None,
        preprocessing: Preprocessing | None = None,
        global_token: str = "class",
    ):
        open_clip = require("open_clip", f"clip:{variant}", "open_clip_torch")
        tower, published, quick_gelu = tower_of("image", variant, weights, seed, quick_gelu)
        stages = _stages(tower)
        trunk = getattr(tower, "trunk", None)  # of timm
        is_transformer = hasattr(tower, "transformer")
        n_prefix = int(is_transformer) or getattr(trunk, "num_prefix_tokens", 0) or 0
        patch_size = tower.patch_size[0] if is_transformer else None if trunk is None else patch_size_of(trunk)
        super().__init__(
            tower,
            choose_places(tower, layers, {**stages, "visual": ""}, list(stages) or find_blocks(tower)),
            name=f"clip:{variant}",
            preprocessing=preprocessing or _preprocessing(open_clip, tower, published),
            prefix_tokens=n_prefix,
            class_token=n_prefix > (getattr(trunk, "num_reg_tokens", 0) or 0),
            patch_size=patch_size,
            sequence=("BNC" if tower.transformer.batch_first else "NBC") if is_transformer else None,
            global_token=global_token,
            fixed_steps=True,
            settings={"quick_gelu": quick_gelu},
        )


class ModifiedCLIP(CLIPBackbone):
    """The CLIP backbone FactorTopy was published with: ViT-B/16 of OpenAI, twelve layers ``"0"`` to ``"11"``.

    Images carry ImageNet's mean and SD, not CLIP's: the published encoders were fitted so. Every other ``clip:*``
    backbone uses CLIP's own statistics.

    Args:
        variant, layers, weights, seed, preprocessing: see :class:`CLIPBackbone`. ``weights="random"`` needs no file.
    """

    def __init__(
        self,
        variant: str = "ViT-B-16",
        *,
        layers: Iterable[str | int] | None = None,
        weights: str | Path = "openai",
        seed: int = 0,
        preprocessing: Preprocessing | None = None,
    ):
        super().__init__(
            variant,
            layers=layers,
            weights=weights,
            seed=seed,
            quick_gelu=True,
            preprocessing=preprocessing or Preprocessing(),
        )
        self.name = "ModifiedCLIP" if variant == "ViT-B-16" else f"ModifiedCLIP:{variant}"


@takes_options_of(CLIPBackbone)
def build(variant: str | None, **kwargs: Any) -> CLIPBackbone:
    """A CLIP image tower as a backbone; ``"clip"`` alone is ``"clip:ViT-B-16"``. See :class:`CLIPBackbone`."""
    return CLIPBackbone(variant or "ViT-B-16", **kwargs)


def variants() -> list[str]:
    """What can follow "clip:", with the tag of its weights after an equals sign."""
    open_clip = require("open_clip", "the clip family", "open_clip_torch")
    return [f"{name}={tag}" for name, tag in sorted(open_clip.list_pretrained())]


def knows(variant: str) -> bool:
    """Whether open_clip has the architecture, also where nobody publishes weights of it."""
    return variant in require("open_clip", "the clip family", "open_clip_torch").list_models()


def tower_of(
    side: str, variant: str, weights: str | Path, seed: int, quick_gelu: bool | None
) -> tuple[nn.Module, dict[str, Any], bool]:
    """A tower with its weights in it, what is published about them, and whether it uses QuickGELU.

    Args:
        side: "image" or "text".
        variant, weights, seed, quick_gelu: see :class:`CLIPBackbone`.
    """
    open_clip = require("open_clip", f"clip:{variant}", "open_clip_torch")
    known = open_clip.list_models()
    if variant not in known:
        close = nearest(variant, known)
        hint = f" Did you mean 'clip:{close}'?" if close else ""
        raise ValueError(f"open_clip has no model {variant!r}.{hint}")
    model = open_clip.get_model_config(variant)
    tags = open_clip.list_pretrained_tags_by_model(variant)
    file = weights_path(weights)
    named = file is None and weights != "random"
    if named and weights not in tags:
        names = f"Known: {', '.join(tags)}" if tags else "None are published"
        raise ValueError(f'clip:{variant} has no weights {weights!r}. {names}; or a file, or "random".')
    published = open_clip.get_pretrained_cfg(variant, weights if named else tags[0]) if tags else {}
    if quick_gelu is None:
        quick_gelu = bool((published if named else model).get("quick_gelu", False))
        if file is not None and not quick_gelu and "openai" in tags:
            warn_once(
                f"quick_gelu {variant}",
                f"clip:{variant} is built with GELU for the weights in {file.name}. If they are OpenAI's, say "
                "quick_gelu=True: with the wrong activation every token is off, and nothing else tells.",
            )
    if named:
        file = published_file("clip", variant, weights, _addresses(published))
    sizes = {"vision_cfg": model["vision_cfg"], "text_cfg": SMALL_TEXT}
    if side == "text":
        if "hf_model_name" in model["text_cfg"]:
            raise ValueError(
                f"the text tower of {variant} is {model['text_cfg']['hf_model_name']} of transformers, which open_clip "
                "has no copy of."
            )
        sizes = {"vision_cfg": SMALL_IMAGE, "text_cfg": model["text_cfg"]}
    with own_random_numbers(seed):
        both = (open_clip.CustomTextCLIP if side == "text" else open_clip.CLIP)(
            model["embed_dim"], **sizes, quick_gelu=quick_gelu
        )
    tower = both.text if side == "text" else both.visual
    if file is not None:
        fit_weights(tower, _of_side(side, load_weights(file)), file)
    return tower, published, quick_gelu


def _addresses(published: dict[str, Any]) -> list[str]:
    """Where a tag's file is: the hub first, whose files hold arrays alone."""
    repository, _, file = published.get("hf_hub", "").rpartition("/")
    files = [file] if file else ["open_clip_model.safetensors", "open_clip_pytorch_model.bin"]
    url = published.get("url", "")
    return (hub_addresses(repository, *files) if repository else []) + ([url] if url else [])


def _of_side(side: str, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """One tower's part of a whole CLIP model's weights; a file of nothing else is taken as it is."""
    parts = {"image": "visual.", "text": "text."}
    part = {name.removeprefix(parts[side]): v for name, v in state.items() if name.startswith(parts[side])}
    if part or side == "image":
        return part or state
    return {name: v for name, v in state.items() if not name.startswith(("visual.", "logit_"))}


def _stages(tower: nn.Module) -> dict[str, str]:
    """Layer name to module name: residual blocks of a transformer, stages of a ResNet."""
    if hasattr(tower, "transformer"):
        return {str(i): f"transformer.resblocks.{i}" for i in range(len(tower.transformer.resblocks))}
    if hasattr(tower, "layer4"):
        return {str(i): f"layer{i + 1}" for i in range(4)}
    trunk = getattr(tower, "trunk", None)  # of timm
    if hasattr(trunk, "patch_embed") and hasattr(trunk, "blocks"):
        return {str(i): f"trunk.blocks.{i}" for i in range(len(trunk.blocks))}
    return {}  # the default is what find_blocks finds


def _preprocessing(open_clip: Any, tower: nn.Module, published: dict[str, Any]) -> Preprocessing:
    """The image statistics published with the weights; OpenAI's where nothing else is."""
    size = tower.image_size if isinstance(tower.image_size, tuple | list) else (tower.image_size,) * 2
    return Preprocessing(
        tuple(size),
        tuple(published.get("mean", open_clip.OPENAI_DATASET_MEAN)),
        tuple(published.get("std", open_clip.OPENAI_DATASET_STD)),
        "bilinear" if published.get("interpolation") == "bilinear" else "bicubic",
    )
