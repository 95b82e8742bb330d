"""``video:*``: any network of images, which sees clips frame by frame; and torchvision's networks of videos, in motion.

The name of the other network follows: ``"video:torchvision:resnet50"``, ``"video:clip:ViT-B-16=openai"``.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import asdict
from pathlib import Path
from typing import Any

from brainnet.backbone.base import backbone_of
from brainnet.backbone.networks import check_known, networks_of
from brainnet.backbone.sequences.clip import FramesBackbone

reads = "video"  # the kind of its stimuli
FRAMES = 8  # of a clip that a network of images sees


def build(
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path | None = None,
    seed: int | None = None,
    preprocessing: Any = None,
    n_frames: int | None = None,
    agg_frames: str = "mean",
) -> FramesBackbone:
    """A network that sees clips.

    Args:
        variant: the name of a network of images, or of torchvision's of videos.
        layers, weights, seed, preprocessing: of that network.
        n_frames: frames that are seen of every clip, evenly spaced; 8, or as many as a network of videos takes.
        agg_frames: "mean" or "max" over frames, or "all": a layer for each frame.

    >>> backbone = build("expansion:small", layers=["2"], n_frames=3, agg_frames="all")
    >>> backbone.layers
    ('2.t0', '2.t1', '2.t2')
    """
    if not variant:
        raise ValueError("name the network that is to see clips, for example 'video:torchvision:resnet50'.")
    backbone = backbone_of(variant, layers, weights=weights, seed=seed, preprocessing=preprocessing)
    kind = getattr(backbone, "reads", "image")
    if kind != "image":
        raise ValueError(f"{variant} reads {kind}s already: name it without 'video:'.")
    moves = getattr(backbone, "kind", "") == "video"
    if moves and n_frames is None:
        n_frames = backbone.clip_frames
    return FramesBackbone(backbone, FRAMES if n_frames is None else n_frames, agg_frames, moves)


def variants() -> list[str]:
    """Networks of videos that can follow "video:"; any network of images can, too."""
    return [
        f"torchvision:{name}=KINETICS400_V1" for name in ("r3d_18", "mc3_18", "r2plus1d_18", "mvit_v2_s", "swin3d_t")
    ]


def knows(variant: str) -> bool:
    """Whether it is the name of a network of images or of videos.

    Raises:
        ValueError: it is not; names the nearest.
    """
    check_known(variant)
    return True


def describe() -> list[dict[str, Any]]:
    """What the table of networks says of each: what it says of the network by itself."""
    known = {network.name: asdict(network) for network in networks_of("torchvision")}
    return [
        {
            "variant": name,
            **{column: value for column, value in known[name].items() if column not in ("name", "family")},
            "reads": reads,
        }
        for name in variants()
    ]
