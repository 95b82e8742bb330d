"""``torchvision:*``: the networks of torchvision, at any of their modules.

Classification, segmentation, detection, optical flow and video. A photograph is the input of all: detectors get it
without their own resizing, networks of video as a clip that stands still, those of optical flow as both frames.
"""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any

from torch import Tensor, nn

from brainnet._checks import nearest, require
from brainnet.backbone.facts.torchvision import LIBRARY, describe  # noqa: F401  (the table of networks asks for them)
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import CLASSIFIERS, Place, choose_places, find_blocks
from brainnet.backbone.weights import fit_weights, load_weights, own_random_numbers, published_file, weights_path
from brainnet.tokens import Preprocessing

FRAMES = 16  # of a clip; the number most networks of video were trained with
QUANTIZED = "quantized_"


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
        layers: module names (``"features.3"``, ``"layer4.1.relu"``) or patterns of them, ``"logits"``, or indices into
            the default choice: the network's repeated blocks (Fire, Bottleneck, EncoderBlock, ...), or where it has
            none its activations; of a detector those of its body.
        weights: a file, ``"random"``, or a published name: ``"default"``, ``"IMAGENET1K_V1"``, ...
        seed: of random weights.
        preprocessing: by default the mean, SD, size and interpolation the weights were trained with, on the whole
            image: a center crop would cut off what the viewer saw and shift every position.

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
    if variant.startswith(QUANTIZED):
        raise ValueError(f"torchvision:{variant} computes with integers; brainnet has its float twin, "
                         f"'torchvision:{variant.removeprefix(QUANTIZED)}'.")  # fmt: skip
    kind, published = _kind_of(models, variant), list(models.get_model_weights(variant))
    tag, state, source = _find_weights(models, variant, weights, published)
    described = tag or (published and models.get_model_weights(variant).DEFAULT)
    with own_random_numbers(seed):
        network = models.get_model(variant, weights=None, **_arguments(models, variant, tag))
    chosen = choose_places(network, layers, {"logits": ""}, _default(kind, network))
    if state is not None:
        seen = [place.module for place in chosen.values()]  # "" is the whole network, with its classifier
        unseen = [f"{name}." for name in CLASSIFIERS if "" not in seen and not any(p.startswith(name) for p in seen)]
        fit_weights(network, modern_names(state), source, optional=unseen)
    is_transformer = isinstance(network, models.VisionTransformer)
    return TorchvisionBackbone(
        network,
        chosen,
        kind=kind,
        name=f"torchvision:{variant}",
        preprocessing=preprocessing or _preprocessing(kind, network, described),
        prefix_tokens=int(is_transformer or isinstance(network, models.video.MViT)),
        patch_size=network.patch_size if is_transformer else None,
        frames=FRAMES // 2 if kind == "video" else None,
        fixed_steps=True,
    )


class TorchvisionBackbone(HookedBackbone):
    """A network of torchvision that is given photographs.

    Args:
        network, layers, options: see :class:`HookedBackbone`.
        kind: "image", "detection", "flow" or "video": how a photograph becomes its input.
    """

    def __init__(self, network: nn.Module, layers: Mapping[str, Place], *, kind: str, **options: Any):
        super().__init__(network, layers, **options)
        self.kind, self.clip_frames = kind, FRAMES
        if kind == "detection":  # a photograph comes normalized, and in the size wanted
            network.transform.image_mean, network.transform.image_std = [0.0] * 3, [1.0] * 3
            network.transform.size_divisible = 1

    def run_network(self, images: Tensor) -> Any:
        """One pass over photographs."""
        if self.kind == "detection":
            self.network.transform.fixed_size = tuple(images.shape[:1:-1])  # width, height: as they are
            return self.network(list(images))
        if self.kind == "flow":
            return self.network(images, images)
        if self.kind == "video" and images.ndim == 5:  # a clip, as the family video gives it
            return self.network(images)
        if self.kind == "video":
            return self.network(images[:, :, None].expand(-1, -1, FRAMES, -1, -1))
        return self.network(images)


def variants() -> list[str]:
    """What can follow "torchvision:"."""
    models = require("torchvision", "the torchvision family").models
    return [name for name in models.list_models() if not name.startswith(QUANTIZED)]


def _kind_of(models: Any, variant: str) -> str:
    modules = {"detection": models.detection, "flow": models.optical_flow, "video": models.video}
    return next((kind for kind, module in modules.items() if variant in models.list_models(module)), "image")


def _default(kind: str, network: nn.Module) -> list[str]:
    """The blocks where the image's tokens are: of a detector its body, of optical flow what reads one frame."""
    part = {"detection": "backbone", "flow": "context_encoder"}.get(kind)
    return find_blocks(network) if part is None else [f"{part}.{name}" for name in find_blocks(getattr(network, part))]


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
        if entry.meta.get("categories"):
            arguments["num_classes"] = len(entry.meta["categories"])
        if "aux_loss" in parameters:
            arguments["aux_loss"] = True
        if variant.startswith("vit_"):
            arguments["image_size"] = entry.meta["min_size"][0]
    return arguments


def _preprocessing(kind: str, network: nn.Module, entry: Any) -> Preprocessing:
    """The image statistics of published weights; torchvision's own defaults where there are none."""
    if kind == "detection":
        body = network.transform
        side = body.fixed_size or (body.min_size[-1],) * 2
        return Preprocessing(tuple(side)[::-1], tuple(body.image_mean), tuple(body.image_std))
    if kind == "flow":  # pixels from -1 to 1
        return Preprocessing((224, 224), (0.5,) * 3, (0.5,) * 3)
    if not entry:
        return Preprocessing()
    transform = entry.transforms()
    size = getattr(transform, "crop_size", None) or getattr(transform, "resize_size", None) or [224]
    size = (size[0], size[-1])
    interpolation = str(getattr(transform.interpolation, "value", "bilinear"))
    return Preprocessing(size, tuple(transform.mean), tuple(transform.std), interpolation)


def modern_names(state: dict[str, Tensor]) -> dict[str, Tensor]:
    """DenseNet's published files still write ``norm.1`` for ``norm1``."""
    legacy = re.compile(
        r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$"
    )
    return {legacy.sub(r"\1\2", name): value for name, value in state.items()}
