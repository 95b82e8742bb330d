"""The words of the table of networks: other spellings of them, words for several at once, and what cannot be had.

Words are compared without regard to case and punctuation: "ImageNet 22K" is "imagenet-22k".
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping
from typing import NamedTuple

# another spelling: the word of the table; spellings are written as `plain` gives them
SPELLINGS: Mapping[str, Mapping[str, str]] = {
    "task": {
        "imageclassification": "classification",
        "objectclassification": "classification",
        "detection": "object detection",
        "segmentation": "semantic segmentation",
        "sceneparsing": "semantic segmentation",
        "poseestimation": "keypoint detection",
        "keypoints": "keypoint detection",
        "actionrecognition": "video classification",
        "flow": "optical flow",
        "depth": "depth estimation",
        "clip": "image-text matching",
        "selfsupervised": "representation",
        "selfsupervisedlearning": "representation",
        "representationlearning": "representation",
        "segmentanything": "promptable segmentation",
    },
    "trained_on": {
        "imagenet": "imagenet-1k",
        "in1k": "imagenet-1k",
        "ilsvrc2012": "imagenet-1k",
        "imagenet21k": "imagenet-22k",
        "in21k": "imagenet-22k",
        "in22k": "imagenet-22k",
        "in12k": "imagenet-12k",
        "mscoco": "coco",
        "places": "places365",
        "adek20k": "ade20k",
        "kinetics": "kinetics-400",
        "kinetics400": "kinetics-400",
        "voc": "pascal-voc",
        "openai": "openai-wit",
        "wit": "openai-wit",
        "yfcc": "yfcc-100m",
        "jft": "jft-300m",
        "nothing": "none",
    },
    "method": {
        "contrastivelanguageimagepretraining": "clip",
        "maskedautoencoder": "mae",
        "random": "untrained",
        "none": "untrained",
        "distilled": "distillation",
        "sam": "segment-anything",
    },
    "reads": {
        "images": "image",
        "pictures": "image",
        "texts": "text",
        "sentences": "text",
        "language": "text",
        "sounds": "sound",
        "audio": "sound",
        "speech": "sound",
        "videos": "video",
        "clips": "video",
        "pairs": "pair",
        "multimodal": "pair",
    },
    "architecture": {
        "convolutionalneuralnetwork": "convolution",
        "cnn": "convolution",
        "convolutional": "convolution",
        "visiontransformer": "transformer",
        "vit": "transformer",
    },
}

# a word for several words of the table
GROUPS: Mapping[str, Mapping[str, frozenset[str]]] = {
    "task": {
        "segmentation": frozenset({
            "semantic segmentation", "instance segmentation", "panoptic segmentation", "promptable segmentation",
        }),
        "various visual tasks": frozenset({  # as Net2Brain's taxonomy calls those of Taskonomy
            "autoencoding", "class object", "class scene", "colorization", "curvature", "denoising", "depth euclidean",
            "depth zbuffer", "edge occlusion", "edge texture", "egomotion", "fixated pose", "inpainting", "jigsaw",
            "keypoints2d", "keypoints3d", "nonfixated pose", "normal", "point matching", "reshading", "room layout",
            "segment semantic", "segment unsup2d", "segment unsup25d", "vanishing point",
        }),
    },
    "trained_on": {
        "laion": frozenset({"laion-400m", "laion-2b", "laion-5b", "laion-aesthetic"}),
        "metaclip": frozenset({"metaclip-400m", "metaclip-2.5b", "metaclip2-worldwide"}),
        "datacomp": frozenset({"datacomp-s", "datacomp-m", "datacomp-l", "datacomp-1b"}),
        "instagram": frozenset({"instagram-1b", "instagram-3.6b"}),
    },
    "method": {
        "moco": frozenset({"moco-v1", "moco-v2", "moco-v3"}),
        "deepcluster": frozenset({"deepcluster-v2"}),
        "deepcluser": frozenset({"deepcluster-v2"}),  # as Net2Brain's taxonomy writes it
        "contrastive": frozenset({"simclr", "moco-v1", "moco-v2", "moco-v3"}),
        "masked image modeling": frozenset({
            "mae", "fcmae", "mim", "beit", "beit-v2", "beit-v3", "data2vec", "jepa", "ijepa", "msn",
        }),
        "self-supervised": frozenset({
            "simclr", "moco-v1", "moco-v2", "moco-v3", "swav", "deepcluster-v2", "barlow-twins", "vicreg", "simsiam",
            "jigsaw", "rotnet", "npid", "pirl", "dino", "dino-v2", "dino-v3", "mae", "fcmae", "mim", "beit", "beit-v2",
            "beit-v3", "data2vec", "ijepa", "msn",
        }),
        "image-text": frozenset({
            "clip", "siglip", "siglip-2", "coca", "align", "perception-encoder", "aim-v2", "vision-language",
        }),
        "weakly supervised": frozenset({"weak-supervision", "semi-weak-supervision"}),
    },
    "architecture": {"multimodal": frozenset({"multimodal"})},
    "reads": {},
}  # fmt: skip


class Absent(NamedTuple):
    """Networks that people look for and brainnet does not have.

    Args:
        names: parts of what others call them.
        why: a sentence or two.
        words: of the other arguments of ``find_backbones``, those that ask for nothing else.
    """

    names: tuple[str, ...]
    why: str
    words: Mapping[str, tuple[str, ...]] = {}


_KERAS = "are published as files of Keras alone"
_OWN_CODE = "needs the authors' own code, which brainnet does not run"
_PICKLED = "pickled together with code, which brainnet never runs"

# asked only where the table has no such network
ABSENT: tuple[Absent, ...] = (
    Absent(
        ("detectron", "panoptic_fpn", "cascade_mask_rcnn", "faster_rcnn_r_", "mask_rcnn_r_"),
        "detectron2 is needed, which no package index has and which is compiled by hand. The family torchvision has "
        "detectors of the same kinds (names like 'rcnn'), and transformers panoptic and instance segmentation (names "
        "like 'mask2former': transformers:facebook/mask2former-swin-tiny-coco-panoptic).",
        {"trained_on": ("lvis", "pascal-voc", "cityscapes")},
    ),
    Absent(
        ("clusterfit", "colorization of vissl"),
        "VISSL published these ResNet-50s as conversions from Caffe2, and says nowhere in which order and scale they "
        "take their colors; with the wrong ones every token is off, and nothing tells. taskonomy:colorization is "
        "another network of that task.",
        {"method": ("clusterfit",)},
    ),
    Absent(
        ("slowfast", "slow_r50", "x3d", "mmaction"),
        "these networks of video belong to PyTorchVideo and MMAction, which brainnet does not read. The family "
        "torchvision has R3D, MC3, R(2+1)D, S3D, MViT and Video Swin (task 'video classification'), transformers "
        "VideoMAE and TimeSformer.",
    ),
    Absent(
        ("panns", "cnn14"),
        "their code is the authors' own. Networks of sound are in the families transformers (the Audio Spectrogram "
        "Transformer, wav2vec 2.0, Whisper) and silero.",
        {"task": ("sound classification",)},
    ),
    Absent(
        ("byol",),
        "the weights of BYOL are pickled arrays of JAX. ssl has SimSiam, Barlow Twins and VICReg instead.",
        {"method": ("byol",)},
    ),
    Absent(
        ("harmonization", "harmonized"),
        f"the weights of Harmonization (ViT_B16, VGG16, ResNet50V2, EfficientNetB0, LeViT_small, tiny_ConvNeXT and "
        f"tiny_MaxViT of serre-lab) {_KERAS}, whose layout nobody has checked against a network of PyTorch.",
        {"method": ("harmonization",)},
    ),
    Absent(
        ("keras.applications",),
        f"the weights of keras.applications {_KERAS}. The families torchvision and timm have the same architectures "
        "with weights of their own.",
    ),
    Absent(
        ("simclr of google",),
        "the weights are TensorFlow's, to be converted by the user. ssl:simclr_resnet50 is SimCLR as VISSL trained it.",
    ),
    Absent(
        ("vnet",),
        "vNet is published for TensorFlow alone. The family ecoset has its data set in five other architectures.",
    ),
    Absent(
        ("vggface",),
        f"the weights of VGGFace2 are {_PICKLED}. timm and transformers have no copy.",
    ),
    Absent(
        ("whole_resnet", "whole_alexnet", "whole_densenet"),
        f"the files whole_*.pth.tar of Places365 are modules {_PICKLED}. places365:resnet18 is the same network.",
    ),
    Absent(
        ("yolov5",),
        f"YOLOv5 is code of torch.hub under the AGPL, and its weights are {_PICKLED}. The family torchvision has "
        "Faster R-CNN, RetinaNet, FCOS and SSD, transformers DETR and YOLOS.",
    ),
    Absent(
        ("unet", "brain segmentation"),
        "the U-Net of torch.hub was trained on brain scans of four channels, not on images, and its code is its own.",
    ),
    Absent(
        ("sceneparsing",),
        f"SceneParsing of Net2Brain {_OWN_CODE}. The families torchvision and transformers have networks of "
        "segmentation.",
    ),
    Absent(("vonenet", "voneresnet", "vonecornet"), f"VOneNet {_OWN_CODE} (GPL), and it adds noise to every pass."),
    Absent(("blurtraining", "blur-trained"), "how the weights of the blur-trained networks are laid out is not told."),
    Absent(("ibot",), f"iBOT {_OWN_CODE}. ssl has DINO and MAE, transformers MSN and data2vec."),
)


def plain(word: str) -> str:
    """A word without case and punctuation.

    >>> plain("ImageNet 22K")
    'imagenet22k'
    """
    return re.sub(r"[^a-z0-9.]", "", word.lower())


def absent(argument: str) -> dict[str, str]:
    """What may be asked for by an argument of ``find_backbones`` and is not here, and why."""
    return {
        word: one.why for one in ABSENT for word in (one.names if argument == "like" else one.words.get(argument, ()))
    }


def why_absent(argument: str, words: Iterable[str]) -> str:
    """Why networks that other tools name are not here; "" where nothing is known of them.

    >>> why_absent("like", ["ibot"]).partition(" ")[0], why_absent("like", ["resnet50"])
    ('iBOT', '')
    """
    for word in map(plain, words):
        for name, why in absent(argument).items():
            if plain(name) in word or (argument == "like" and len(word) > 3 and word in plain(name)):
                return why
    return ""
