"""The words of the table of networks: other spellings of them, words for several at once, and what cannot be had.

Words are compared without regard to case and punctuation: "ImageNet 22K" is "imagenet-22k".
"""

from __future__ import annotations

import re
from collections.abc import Mapping

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
}  # fmt: skip

_DETECTRON = (
    "detectron2 is needed, which no package index has and which is compiled by hand. The family torchvision has "
    "detectors of the same kinds (names like 'rcnn'), and transformers panoptic and instance segmentation (names like "
    "'mask2former')."
)
_VISSL = (
    "VISSL published these ResNet-50s as conversions from Caffe2, and says nowhere in which order and scale they take "
    "their colors; with the wrong ones every token is off, and nothing tells."
)
_VIDEO = (
    "these networks of video belong to PyTorchVideo and MMAction, which brainnet does not read. The family torchvision "
    "has R3D, MC3, R(2+1)D, S3D, MViT and Video Swin (task 'video classification')."
)
_MODALITY = "a backbone of brainnet sees images; networks of sound are not read."
_KERAS = "the weights are published for Keras alone."

# what users of other tools look for in vain, and why; asked only where the table has no such network
ABSENT: Mapping[str, Mapping[str, str]] = {
    "task": {"audio classification": _MODALITY, "sound classification": _MODALITY},
    "trained_on": {
        "lvis": _DETECTRON,
        "pascal-voc": _DETECTRON,
        "cityscapes": _DETECTRON,
        "audioset": _MODALITY,
    },
    "method": {
        "clusterfit": _VISSL,
        "byol": "the weights are published for JAX alone.",
        "harmonization": _KERAS,
    },
    "architecture": {},
    "like": {
        "detectron": _DETECTRON,
        "panoptic_fpn": _DETECTRON,
        "cascade_mask_rcnn": _DETECTRON,
        "faster_rcnn_r_": _DETECTRON,
        "mask_rcnn_r_": _DETECTRON,
        "clusterfit": _VISSL,
        "slowfast": _VIDEO,
        "slow_r50": _VIDEO,
        "x3d": _VIDEO,
        "mmaction": _VIDEO,
        "panns": _MODALITY,
        "cnn14": _MODALITY,
        "yolov5": "YOLOv5 is code of torch.hub under the AGPL, and its weights are pickled together with that code, "
        "which brainnet never runs.",
        "unet": "the U-Net of torch.hub was trained on brain scans of four channels, not on images.",
        "vnet": "vNet is published for TensorFlow alone; the family ecoset has its data set in other architectures.",
        "harmoniz": _KERAS,
        "vgg_face": "the weights of VGGFace2 are pickled together with code, which brainnet never runs.",
        "vggface": "the weights of VGGFace2 are pickled together with code, which brainnet never runs.",
        "byol": "the weights of BYOL are published for JAX alone.",
    },
}


def plain(word: str) -> str:
    """A word without case and punctuation.

    >>> plain("ImageNet 22K")
    'imagenet22k'
    """
    return re.sub(r"[^a-z0-9.]", "", word.lower())
