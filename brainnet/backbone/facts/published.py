"""What the authors of single networks published of them: their data, their method, their license.

A function gives the records of one family of brainnet's own; the family hands over where its weights are.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from brainnet.backbone.facts.torchvision import digest_in

Facts = dict[str, Any]  # of one network, see `brainnet.backbone.networks.ask_family`
# how a network of `ssl` or `original` learned: method, training set, license of the weights
METHODS = {
    "simclr": ("simclr", "imagenet-1k", "mit"),
    "mocov1": ("moco-v1", "imagenet-1k", "cc-by-nc-4.0"),
    "mocov2": ("moco-v2", "imagenet-1k", "cc-by-nc-4.0"),
    "mocov3": ("moco-v3", "imagenet-1k", "cc-by-nc-4.0"),
    "swav": ("swav", "imagenet-1k", "cc-by-nc-4.0"),
    "deepclusterv2": ("deepcluster-v2", "imagenet-1k", "cc-by-nc-4.0"),
    "barlowtwins": ("barlow-twins", "imagenet-1k", "mit"),
    "vicreg": ("vicreg", "imagenet-1k", "mit"),
    "simsiam": ("simsiam", "imagenet-1k", "cc-by-nc-4.0"),
    "dino": ("dino", "imagenet-1k", "apache-2.0"),
    "dinov2": ("dino-v2", "lvd-142m", "apache-2.0"),
    "mae": ("mae", "imagenet-1k", "cc-by-nc-4.0"),
    "jigsaw": ("jigsaw", "imagenet-1k", "mit"),
    "rotnet": ("rotnet", "imagenet-1k", "mit"),
    "npid": ("npid", "imagenet-1k", "mit"),
    "npid++": ("npid", "imagenet-1k", "mit"),
    "pirl": ("pirl", "imagenet-1k", "mit"),
    "clip": ("clip", "openai-wit", "mit"),
    "sam": ("mae, segment-anything", "sa-1b", "apache-2.0"),
    "imgnet": ("supervised", "imagenet-22k, imagenet-1k", "apache-2.0"),
}
TASKS = {"clip": "image-text matching", "sam": "promptable segmentation", "imgnet": "classification"}
_META, _TIMM = "https://dl.fbaipublicfiles.com", "https://huggingface.co/timm"
# the same of the vision transformers of both: architecture and address of the weights, by size
TRANSFORMERS = {
    "dino": ("vit_{}_patch16", _META + "/dino/dino_{1}_pretrain/dino_{1}_pretrain.pth"),
    "dinov2": ("vit_{}_patch14", _TIMM + "/vit_{}_patch14_dinov2.lvd142m"),
    "mae": ("vit_{}_patch16", _META + "/mae/pretrain/mae_pretrain_vit_{}.pth"),
    "mocov3": ("vit_{}_patch16", _META + "/moco-v3/vit-{2}-300ep/vit-{2}-300ep.pth.tar"),
    "clip": ("vit_{}_patch16", _TIMM + "/vit_base_patch16_clip_224.openai"),
    "sam": ("vit_{}_patch16", _META + "/segment_anything/sam_{3}.pth"),
    "imgnet": ("vit_{}_patch16", _TIMM + "/vit_{}_patch16_224"),
}
_DINO = {"small": "deitsmall16", "small8": "deitsmall8", "base": "vitbase16", "base8": "vitbase8"}
_SAM = {"base": "vit_b_01ec64", "large": "vit_l_0b3195", "huge": "vit_h_4b8939"}
UNTRAINED = {"task": "none", "training_set": "none", "method": "untrained"}
# of torchvision's names of architectures
_SERIES = {"alexnet": "alexnet", "resnet": "resnet", "vgg": "vgg", "densenet": "densenet", "inception": "inception"}


def describe_classifiers(addresses: Mapping[str, str], training_set: str, license: str) -> Iterator[Facts]:
    """Networks in torchvision's architectures that learned to classify the images of another data set.

    Args:
        addresses: of the weights, by the name of the architecture.
        training_set, license: of all of them.
    """
    for name, address in addresses.items():
        yield {"variant": name, **_of_torchvision(name), "task": "classification", "training_set": training_set,
               "method": "supervised", "image_size": 224, "license": license, "source": address}  # fmt: skip


def describe_self_supervised(addresses: Mapping[str, str], sizes: Mapping[str, str]) -> Iterator[Facts]:
    """Networks whose names are ``method_architecture``.

    Args:
        addresses: of the weights, by the names of the networks that the family builds itself.
        sizes: "base", "large", ..., by the names of those that ``original`` builds too.
    """
    for name, address in addresses.items():
        method, _, architecture = name.partition("_")
        facts = (
            _of_torchvision("resnet50")
            if architecture.startswith("resnet")
            else {"architecture": architecture, "series": architecture.partition("_")[0], "kind": "transformer"}
        )
        yield {"variant": name, **facts, "image_size": 224, "source": address, **_learned(method)}
    for name, size in sizes.items():
        method = name.partition("_")[0]
        yield {"variant": name, **_transformer(method, size), **_learned(method)}


def describe_encoders(addresses: Mapping[str, str]) -> Iterator[Facts]:
    """The encoders of Taskonomy; addresses of the weights, which end in their SHA-256, by task."""
    for task, address in addresses.items():
        yield {"variant": task, "architecture": "taskonomy_encoder", "series": "resnet", "kind": "convolution",
               "task": task.replace("_", " "), "training_set": "taskonomy", "method": "supervised", "image_size": 256,
               "license": "mit", "source": address, "digest": digest_in(address)}  # fmt: skip


def describe_tuned(addresses: Mapping[str, str]) -> Iterator[Facts]:
    """The networks of DreamSim; addresses of their archives by variant, ``"clip_vitb32"``."""
    for variant, address in addresses.items():
        patch = re.search(r"vitb(\d+)", variant)
        yield {"variant": variant, "architecture": f"vit_base_patch{patch[1]}" if patch else "dreamsim_ensemble",
               "series": "vision_transformer", "kind": "transformer", "task": "image similarity",
               "training_set": "nights", "method": "dreamsim", "image_size": 224, "license": "mit",
               "source": address}  # fmt: skip


def describe_originals(variants: Iterable[str]) -> Iterator[Facts]:
    """The backbones of Brain Decodes Deep Nets, ``"mae"`` (the B size), ``"mae-large"``, ..."""
    for variant in variants:
        method, _, size = variant.partition("-")
        yield {"variant": variant, **_transformer(method, size or "base"), **_learned(method)}


def _transformer(method: str, size: str) -> dict[str, Any]:
    """A vision transformer of ``TRANSFORMERS``."""
    architecture, address = TRANSFORMERS[method]
    if size.endswith("8"):
        architecture = architecture.replace("patch16", "patch8")
    if method == "mae" and size == "huge":
        architecture = architecture.replace("patch16", "patch14")
    return {
        "architecture": architecture.format(size.rstrip("8")),
        "series": "vision_transformer",
        "kind": "transformer",
        "image_size": 1024 if method == "sam" else 224,
        "source": address.replace("{}", size).format(None, _DINO.get(size), size[0], _SAM.get(size)),
    }


def describe_cornets(addresses: Mapping[str, str]) -> Iterator[Facts]:
    """The CORnets; addresses of the weights by variant, ``"z"``."""
    for variant, address in addresses.items():
        yield {"variant": variant, "architecture": f"cornet_{variant}", "series": "cornet",
               "kind": "convolution" if variant == "z" else "recurrent", "task": "classification",
               "training_set": "imagenet-1k", "method": "supervised", "image_size": 224, "license": "gpl-3.0",
               "source": address, "digest": digest_in(address)}  # fmt: skip


def describe_untrained(kinds: Mapping[str, str], series: str, image_size: int | Mapping[str, int]) -> Iterator[Facts]:
    """Networks with random weights; their kind by variant."""
    for variant, kind in kinds.items():
        size = image_size if isinstance(image_size, int) else image_size[variant]
        yield {"variant": variant, "series": series, "kind": kind, "image_size": size, **UNTRAINED}


def _of_torchvision(architecture: str) -> dict[str, str]:
    series = next(series for start, series in _SERIES.items() if architecture.startswith(start))
    return {"architecture": architecture, "series": series, "kind": "convolution"}


def _learned(name: str) -> dict[str, str]:
    method, training_set, license = METHODS[name]
    return {"task": TASKS.get(name, "representation"), "training_set": training_set, "method": method,
            "license": license}  # fmt: skip
