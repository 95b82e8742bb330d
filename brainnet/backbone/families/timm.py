"""``timm:*``: the networks of timm at their own stages, with the image statistics their weights carry."""

from __future__ import annotations

import inspect
import sys
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from brainnet._checks import nearest, require
from brainnet._registry import takes_options_of
from brainnet.backbone.facts.timm import LIBRARY, describe  # noqa: F401  (the table of networks asks for them)
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import Place, choose_places, find_blocks
from brainnet.backbone.weights import (
    fit_weights,
    hub_addresses,
    load_weights,
    own_random_numbers,
    published_file,
    weights_path,
)
from brainnet.tokens import Preprocessing, Tokens


class TimmTokens(HookedBackbone):
    """Tokens of a ready network of timm, at its stages and at any of its modules.

    Args:
        network: as ``timm.create_model`` gives it.
        layers: see :class:`TimmBackbone`.
        name, preprocessing, settings, global_token: see :class:`HookedBackbone`.
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Iterable[str | int] | None = None,
        *,
        name: str,
        preprocessing: Preprocessing,
        global_token: str = "class",
        settings: Mapping[str, Any] | None = None,
    ):
        stages = {}
        if hasattr(network, "forward_intermediates"):
            stages = {str(i): Place("", key=f"stage.{i}") for i in range(len(network.feature_info))}
        further = {"logits": Place(""), **_attention_maps(network)}
        chosen = choose_places(network, layers, {**stages, **further}, list(stages) or find_blocks(network))
        self_stages = {layer: int(layer) for layer, place in chosen.items() if place == stages.get(layer)}
        places = {layer: place for layer, place in chosen.items() if layer not in self_stages}
        for place in places.values():
            if place.layout == "BANN":  # the fused form never has the weights
                network.get_submodule(place.module.rpartition(".")[0]).fused_attn = False
        n_prefix, n_registers = (getattr(network, f"num_{kind}_tokens", 0) or 0 for kind in ("prefix", "reg"))
        super().__init__(
            network,
            places,
            name=name,
            preprocessing=preprocessing,
            prefix_tokens=n_prefix,
            class_token=n_prefix > n_registers,
            global_token=global_token,
            patch_size=patch_size_of(network),
            fixed_steps=True,
            settings=settings,
        )
        self.layers = tuple(chosen)
        self.stages = self_stages
        self.runs_whole = bool(self_stages)
        self.gives_prefix = (
            bool(stages)
            and n_prefix > 0  # some of timm's networks fail where there is none to give
            and "return_prefix_tokens" in inspect.signature(network.forward_intermediates).parameters
        )

    def run_network(self, images: Tensor) -> Any:
        """One pass; with stages among the layers it gives (logits, outputs of the stages)."""
        if not self.stages:
            return self.network(images)
        last, outputs = self._intermediates(images, intermediates_only=False)
        return self.network.forward_head(last), outputs

    def compute_tokens(self, images: Tensor) -> Tokens:
        """Tokens of the chosen layers; of stages alone, the network stops after the last of them."""
        if not self.stages:
            return super().compute_tokens(images)
        if self.places:
            capture = self._run(images)
            capture.learn()
            found, outputs = dict(capture.tokens), capture.output[1]
        else:
            found, outputs = {}, self._intermediates(images, intermediates_only=True, stop_early=True)
        for index, output in zip(sorted(self.stages.values()), outputs, strict=True):
            local, prefix = output if isinstance(output, tuple) else (output, None)
            local = local.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
            found[str(index)] = local, self.global_of(local, prefix)
        return Tokens({k: found[k][0] for k in self.layers}, {k: found[k][1] for k in self.layers})

    def _intermediates(self, images: Tensor, **options: bool) -> Any:
        if self.gives_prefix:
            options["return_prefix_tokens"] = True
        indices = sorted(self.stages.values())
        return self.network.forward_intermediates(images, indices=indices, output_fmt="NCHW", **options)


class TimmBackbone(TimmTokens):
    """Tokens of a timm network's blocks or stages, and of any module.

    Layers are ``"0"``, ``"1"``, ...: every block of a transformer, every stage of a convolutional network, before the
    last normalization; then any module by name (``"blocks.5.attn"``, ``"norm"``, ``"attn_pool"``), the ``"logits"``,
    and ``"attention.5"``, the weights with which block 5 of a transformer looks at each patch: a channel per head, from
    the class token where there is one, else the mean over all patches. The global token is the class token where there
    is one, else the mean over space; registers and distillation tokens are dropped.

    Args:
        variant: timm's name, with or without the tag of its weights: ``"vit_small_patch14_dinov2"``,
            ``"resnet50.a1_in1k"``.
        layers: names, patterns or indices; None takes all blocks or stages.
        weights: a file, ``"random"``, ``"default"`` (those timm prefers), or another tag of published weights.
        seed: of random weights.
        image_size: height and width in pixels, or one number for both; by default what the weights were trained
            with. A network of fixed size is built for the given one.
        preprocessing: by default the size, mean, SD and interpolation its weights were tested with, of the whole image:
            their center crop would hide what the viewer saw and move every position.
        global_token: "class", "mean" or "registers", see :class:`HookedBackbone`.
        options: for ``timm.create_model``.

    >>> backbone = TimmBackbone("resnet10t", weights="random", image_size=64)
    >>> [tuple(v.shape[1:]) for v in backbone.get_tokens(torch.zeros(1, 3, 64, 64)).local.values()][-1]
    (512, 2, 2)
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
        **options: Any,
    ):
        timm = require("timm", f"timm:{variant}")
        file = weights_path(weights)
        named = file is None and weights != "random"
        name = _full_name(timm, variant, weights if named else None)
        size = (image_size, image_size) if isinstance(image_size, int) else image_size
        if size is not None and timm.get_pretrained_cfg(name).fixed_input_size:
            options = {"img_size": size, **options}
        with own_random_numbers(seed):
            network = timm.create_model(name, pretrained=False, **options)
        if named:
            file = published_weights(name, network.pretrained_cfg)
        if file is not None:
            state = load_weights(file)
            heads = _classifiers(network)
            layers = [layers] if isinstance(layers, str | int) else layers if layers is None else list(layers)
            seen = [layer for layer in layers or () if isinstance(layer, str)]
            if "logits" in seen or any(f"{layer}.".startswith(tuple(heads)) for layer in seen):
                heads = []  # they are asked for, so the file must have them
            fit_weights(network, native_names(network, state), file, optional=heads)
        super().__init__(
            network,
            layers,
            name=f"timm:{name}",
            preprocessing=preprocessing or _preprocessing(timm, network, size),
            global_token=global_token,
            settings=options,
        )


@takes_options_of(TimmBackbone)
def build(variant: str | None, **kwargs: Any) -> TimmBackbone:
    """A timm network as a backbone; see :class:`TimmBackbone`."""
    if variant is None:
        raise ValueError("name one of timm's networks, for example 'timm:vit_small_patch14_dinov2'")
    return TimmBackbone(variant, **kwargs)


def variants() -> list[str]:
    """What can follow "timm:", with the tag of its weights; a name without tag takes timm's default."""
    return require("timm", "the timm family").list_pretrained()


def knows(variant: str) -> bool:
    """Whether timm has the architecture, also where nobody publishes weights of it."""
    return require("timm", "the timm family").is_model(variant.partition(".")[0])


def _full_name(timm: Any, variant: str, weights: str | Path | None) -> str:
    """The network's name with the tag of the wanted weights, once both are known to timm."""
    architecture, _, tag = variant.partition(".")
    if not timm.is_model(architecture):
        close = nearest(architecture, timm.list_models())
        hint = f" Did you mean 'timm:{close}'?" if close else ""
        raise ValueError(f"timm has no model {architecture!r}.{hint}")
    if weights is None:
        return variant
    tag = tag if weights == "default" else str(weights)
    tags = [name.partition(".")[2] for name in timm.list_pretrained(f"{architecture}.*")]
    if not tags or (tag and tag not in tags):
        known = f"Known: {', '.join(tags)}" if tags else "None are published"
        raise ValueError(f'timm:{architecture} has no weights {tag or weights!r}. {known}; or a file, or "random".')
    return f"{architecture}.{tag}" if tag else architecture


def published_weights(name: str, published: dict[str, Any]) -> Path:
    """The file of the weights that timm publishes, from what it says of them."""
    architecture, _, tag = name.partition(".")
    repository, url = published.get("hf_hub_id"), published.get("url")
    files = [published.get("hf_hub_filename") or "model.safetensors", "pytorch_model.bin"]
    addresses = (hub_addresses(repository, *files) if repository else []) + ([url] if url else [])
    return published_file("timm", architecture, tag or published.get("tag") or "default", addresses)


def _attention_maps(network: nn.Module) -> dict[str, Place]:
    """A layer per block of a transformer whose attention can be had."""
    blocks = getattr(network, "blocks", ())
    attentions = [getattr(block, "attn", None) for block in blocks] if isinstance(blocks, nn.Sequential) else []
    if not attentions or not all(hasattr(one, "fused_attn") and hasattr(one, "attn_drop") for one in attentions):
        return {}
    return {f"attention.{i}": Place(f"blocks.{i}.attn.attn_drop", layout="BANN") for i in range(len(attentions))}


def patch_size_of(network: nn.Module) -> int | None:
    """Pixels along a patch's side, of a transformer whose blocks all have the same patches."""
    reductions = {entry.get("reduction") for entry in getattr(network, "feature_info", ()) if isinstance(entry, dict)}
    size = getattr(getattr(network, "patch_embed", None), "patch_size", None)
    size = (size, size) if isinstance(size, int) else size  # a number in XCiT
    return size[0] if size and len(reductions) == 1 and size[0] == size[1] else None


def native_names(network: nn.Module, state: dict[str, Tensor]) -> dict[str, Tensor]:
    """Weights under timm's names: those of the original authors' files are translated by timm itself."""
    own = network.state_dict()
    if all(name in state and state[name].shape == value.shape for name, value in own.items()):
        return state
    translate = getattr(sys.modules[type(network).__module__], "checkpoint_filter_fn", None)
    return translate(state, network) if translate else state


def _classifiers(network: nn.Module) -> list[str]:
    names = network.pretrained_cfg.get("classifier") or ()
    return [f"{name}." for name in ([names] if isinstance(names, str) else names)]


def _preprocessing(timm: Any, network: nn.Module, size: tuple[int, int] | None) -> Preprocessing:
    given = timm.data.resolve_model_data_config(network)
    interpolation = given["interpolation"] if given["interpolation"] in ("bilinear", "bicubic") else "bicubic"
    return Preprocessing(tuple(size or given["input_size"][1:]), given["mean"], given["std"], interpolation)
