"""Tokens: what a backbone gives for a batch of images, and the transform that standardizes them.

A layer has a map of local tokens, (B, C, H, W), and one global token, (B, C). This room refuses to know of brains,
files or training.
"""

from brainnet.tokens.tokens import (
    IMAGENET_MEAN,
    IMAGENET_SD,
    POOLS,
    RESIZE_MODES,
    Backbone,
    Preprocessing,
    Tokens,
    check_tokens,
    resize_map,
)
from brainnet.tokens.transform import RunningMoments, TokenTransform

__all__ = [
    "IMAGENET_MEAN",
    "IMAGENET_SD",
    "POOLS",
    "RESIZE_MODES",
    "Backbone",
    "Preprocessing",
    "Tokens",
    "check_tokens",
    "resize_map",
    "RunningMoments",
    "TokenTransform",
]
