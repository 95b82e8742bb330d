"""Networks of known architectures with weights that other authors published, and those that cannot be had."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

from torch import Tensor, nn

from brainnet._checks import check_word, require
from brainnet.backbone.families.torchvision import modern_names
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import CLASSIFIERS, choose_places, find_blocks
from brainnet.backbone.weights import (
    chosen_file,
    fit_weights,
    load_weights,
    own_random_numbers,
    part_of_weights,
    published_file,
)
from brainnet.tokens import Preprocessing


class Published(NamedTuple):
    """Where a network's published weights are and what they are called there.

    Args:
        model: torchvision's name of the architecture, or a function that builds the network.
        address: of the file.
        prefix: what the names of this network begin with, where the file holds others.
        without: beginnings of names to leave out: heads that are no part of the architecture.
        options: of the architecture.
        translate: from the file's names to the network's, where they differ otherwise: (network, weights) -> weights.
        stages: names of layers and the module of each, all of them taken by default; without any it is the blocks.
        whole: the name of the layer that is the network's output.
        preprocessing: how a photograph becomes its input.
        prefix_tokens: class token and registers, of the sequences that have them.
    """

    model: str | Callable[..., nn.Module]
    address: str
    prefix: str = ""
    without: tuple[str, ...] = ()
    options: Mapping[str, Any] = {}
    translate: Callable[[nn.Module, dict[str, Tensor]], dict[str, Tensor]] | None = None
    stages: Mapping[str, str] = {}
    whole: str = "logits"
    preprocessing: Preprocessing = Preprocessing()
    prefix_tokens: int = 0


def build_published(
    family: str,
    table: Mapping[str, Published],
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> HookedBackbone:
    """A network of a table.

    Args:
        family, table, variant: which.
        layers: names of modules or patterns of them, ``"logits"``, or indices into the default choice, its blocks.
        weights: "default" (those published), a file, or "random".
        seed: of random weights.
        preprocessing: by default the whole image as the weights were trained with, of most at 224 pixels with
            ImageNet's mean and SD.
    """
    if variant is None:
        raise ValueError(f"name a network of the family: {', '.join(f'{family}:{name}' for name in table)}")
    check_word(f"{family} network", variant, table)
    entry = table[variant]
    if weights == "default":
        file = published_file(family, variant, "default", [entry.address])
    else:
        file = chosen_file(weights, f"{family}:{variant}", ["default"])
    with own_random_numbers(seed):
        if isinstance(entry.model, str):
            models = require("torchvision", f"{family}:{variant}").models
            network = models.get_model(entry.model, weights=None, **entry.options)
        else:
            network = entry.model(**entry.options)
    default = list(entry.stages) or find_blocks(network)
    chosen = choose_places(network, layers, {**entry.stages, entry.whole: ""}, default)
    if file is not None:
        state = part_of_weights(modern_names(load_weights(file)), entry.prefix, entry.without)
        if entry.translate is not None:
            state = entry.translate(network, state)
        seen = [place.module for place in chosen.values()]  # "" is the whole network, with its classifier
        unseen = [f"{name}." for name in CLASSIFIERS if "" not in seen and not any(p.startswith(name) for p in seen)]
        fit_weights(network, state, file, optional=unseen)
    return HookedBackbone(
        network,
        chosen,
        name=f"{family}:{variant}",
        preprocessing=preprocessing or entry.preprocessing,
        prefix_tokens=entry.prefix_tokens,
        fixed_steps=True,
    )


# What a person may look for, and why brainnet does not have it.
_KERAS = "its weights are Keras files, for which no file of PyTorch is published"
_OWN_CODE = "its weights need the authors' own code, which brainnet does not run"
UNAVAILABLE: dict[str, str] = {
    **{f"harmonization:{name}": f"{_KERAS} (Harmonization of serre-lab)" for name in (
        "ViT_B16", "VGG16", "ResNet50V2", "EfficientNetB0", "LeViT_small", "tiny_ConvNeXT", "tiny_MaxViT")},
    "ecoset:vNet": "its weights are TensorFlow's, and no file of PyTorch was published; ecoset has five others",
    "keras.applications": f"{_KERAS}; torchvision and timm have the same architectures with weights of their own",
    "BYOL resnet50": "its weights are pickled JAX arrays; ssl has SimSiam, Barlow Twins and VICReg instead",
    "SimCLR resnet50 of Google": "its weights are TensorFlow's, to be converted by the user; ssl:simclr_resnet50 is "
                                 "SimCLR as trained by VISSL",
    "Colorization resnet50 of VISSL": "its weights are converted from Caffe2, and how their images were scaled is not "
                                      "published with them; taskonomy:colorization is another",
    "VGGFace2 resnet50": "its weights are pickled modules, and pickled code is never run; transformers and timm have "
                         "no copy",
    "Places365 resnet18, whole": "pickled modules (whole_*.pth.tar), and pickled code is never run; places365:resnet18 "
                                 "is the same network",
    "SceneParsing of Net2Brain": f"{_OWN_CODE}; torchvision and transformers have networks of segmentation",
    "YOLOv5": f"{_OWN_CODE} (torch.hub, AGPL); torchvision has Faster R-CNN, RetinaNet, FCOS and SSD, transformers "
              "DETR and YOLOS",
    "U-Net of brain segmentation": f"{_OWN_CODE} (torch.hub)",
    "Panoptic segmentation of Detectron2": f"{_OWN_CODE}; transformers has Mask2Former, MaskFormer and DETR with heads "
                                           "for it: transformers:facebook/mask2former-swin-tiny-coco-panoptic",
    "MMAction2": f"{_OWN_CODE}; torchvision has R3D, MC3, R(2+1)D, S3D, MViT and Video Swin, transformers VideoMAE and "
                 "TimeSformer",
    "PANNs": "networks of sound, which brainnet does not read yet",
    "VOneNet": f"{_OWN_CODE} (GPL), and it adds noise to every pass",
    "DreamSim": "its weights are adapters (LoRA) inside an archive, beside copies of networks in a layout of its own, "
                "which has not been checked; ssl:dino_vitb16 and clip:ViT-B-16 are what it was made from",
    "blur-trained networks": "how their weights are laid out is not published",
    "iBOT": f"{_OWN_CODE}; ssl has DINO and MAE, transformers MSN and data2vec",
}  # fmt: skip
