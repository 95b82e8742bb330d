"""``torchvision:*``: any classification or segmentation network of torchvision, at any of its modules."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor

from brainnet._checks import nearest, require
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import CLASSIFIERS, choose_places
from brainnet.backbone.weights import fit_weights, load_weights, own_random_numbers, published_file, weights_path
from brainnet.tokens import Preprocessing


def build(
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> HookedBackbone:
    """A torchvision network as a backbone.

    Args:
        variant: torchvision's name, such as ``"squeezenet1_0"``, ``"resnet50"`` or ``"vit_b_16"``.
        layers: module names (``"features.3"``, ``"layer4.1.relu"``), or indices into the default choice: the
            network's repeated blocks (Fire, Bottleneck, EncoderBlock, ...), or where it has none its activations.
        weights: a file, ``"random"``, or a published name: ``"default"``, ``"IMAGENET1K_V1"``, ...
        seed: of random weights.
        preprocessing: by default the mean, SD, size and interpolation the weights were trained with, on the whole
            image: a centre crop would cut off what the viewer saw and shift every position.

    The global token is the class token of vision transformers, elsewhere the mean over space.

    >>> backbone = build("squeezenet1_0", weights="random", layers=range(3))
    >>> backbone.layers
    ('features.3', 'features.4', 'features.5')
    """
    models = require("torchvision", "the torchvision family").models
    known = models.list_models()
    if variant not in known:
        close = nearest(variant, known) if variant else None
        hint = f" Did you mean 'torchvision:{close}'?" if close else " For example 'torchvision:resnet50'."
        raise ValueError(f"torchvision has no model {variant!r}.{hint}")
    published = list(models.get_model_weights(variant))
    tag, state, source = _find_weights(models, variant, weights, published)
    described = tag or (published and models.get_model_weights(variant).DEFAULT)
    with own_random_numbers(seed):
        network = models.get_model(variant, weights=None, **_arguments(models, variant, tag))
    chosen = choose_places(network, layers)
    if state is not None:
        unseen = [f"{name}." for name in CLASSIFIERS if not any(layer.startswith(name) for layer in chosen)]
        fit_weights(network, _modern_names(state), source, optional=unseen)
    is_transformer = isinstance(network, models.VisionTransformer)
    return HookedBackbone(
        network,
        chosen,
        name=f"torchvision:{variant}",
        preprocessing=preprocessing or _preprocessing(described),
        prefix_tokens=int(is_transformer),
        patch_size=network.patch_size if is_transformer else None,
        fixed_steps=True,
    )


def variants() -> list[str]:
    """What can follow "torchvision:"."""
    return require("torchvision", "the torchvision family").models.list_models()


def _find_weights(models: Any, variant: str, weights: object, published: Sequence[Any]):
    """(published entry or None, state dict or None, where it came from)."""
    if weights == "random":
        return None, None, None
    file = weights_path(weights)
    if file is not None:
        return None, load_weights(file), file
    tags = {entry.name: entry for entry in published}
    tag = models.get_model_weights(variant).DEFAULT.name if published and weights == "default" else str(weights)
    if tag not in tags:
        raise ValueError(
            f"torchvision:{variant} has no weights {weights!r}. "
            f'Known: {", ".join(tags) or "none"}; or a file, or "random".'
        )
    entry = tags[tag]
    return entry, load_weights(published_file("torchvision", variant, tag, [entry.url])), entry.url


def _arguments(models: Any, variant: str, entry: Any) -> dict[str, Any]:
    """What the constructor must be told so that the weights fit and nothing is downloaded behind our back."""
    arguments: dict[str, Any] = {}
    parameters = inspect.signature(models.get_model_builder(variant)).parameters
    if "weights_backbone" in parameters:
        arguments["weights_backbone"] = None
    if variant in ("googlenet", "inception_v3"):  # their published weights expect another image scale
        arguments.update(aux_logits=True, transform_input=entry is not None, init_weights=entry is None)
    if entry is not None:
        if entry.meta["categories"]:
            arguments["num_classes"] = len(entry.meta["categories"])
        if "aux_loss" in parameters:
            arguments["aux_loss"] = True
        if variant.startswith("vit_"):
            arguments["image_size"] = entry.meta["min_size"][0]
    return arguments


def _preprocessing(entry: Any) -> Preprocessing:
    """The image statistics of published weights; torchvision's own defaults where there are none."""
    if not entry:
        return Preprocessing()
    transform = entry.transforms()
    size = getattr(transform, "crop_size", None) or getattr(transform, "resize_size", None) or [224]
    size = (size[0], size[-1])
    interpolation = str(getattr(transform.interpolation, "value", "bilinear"))
    return Preprocessing(size, tuple(transform.mean), tuple(transform.std), interpolation)


def _modern_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """DenseNet's published files still write ``norm.1`` for ``norm1``."""
    legacy = re.compile(
        r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$"
    )
    return {legacy.sub(r"\1\2", name): value for name, value in state.items()}
