"""Backbones: networks that turn images into tokens.

``build_backbone("family:variant")`` makes one; ``HookedBackbone`` makes one of any PyTorch network; a plain object
with ``get_tokens(images)`` is one. Heavy packages are imported by the family that needs them, when it is used.
"""

from brainnet.backbone.base import FrozenBackbone, backbone_of, build_backbone
from brainnet.backbone.catalogue import BACKBONES
from brainnet.backbone.families.expansion import Expansion5L
from brainnet.backbone.families.original import (
    ModifiedCLIP,
    ModifiedDINO,
    ModifiedDiNOv2,
    ModifiedImgNet,
    ModifiedMAE,
    ModifiedMoCov3,
    ModifiedSAM,
)
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.weights import load_weights

__all__ = [
    "BACKBONES",
    "backbone_of",
    "build_backbone",
    "Expansion5L",
    "FrozenBackbone",
    "HookedBackbone",
    "load_weights",
    "ModifiedCLIP",
    "ModifiedDINO",
    "ModifiedDiNOv2",
    "ModifiedImgNet",
    "ModifiedMAE",
    "ModifiedMoCov3",
    "ModifiedSAM",
]
