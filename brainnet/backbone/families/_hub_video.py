"""Networks of video of transformers: VideoMAE, TimeSformer, ViViT, V-JEPA 2."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from brainnet.backbone.families._hub import loaded, name_of, one_number, preprocessing_of
from brainnet.backbone.sequences.clip import ClipBackbone, ClipReader, Frames
from brainnet.tokens import Preprocessing


def video_backbone(
    transformers: Any, variant: str, config: Any, *, layers: Iterable[str | int] | None, weights: str | Path, seed: int,
    revision: str, image_size: int | tuple[int, int] | None = None, preprocessing: Preprocessing | None = None,
    n_frames: int | None = None, agg_frames: str = "mean",
) -> ClipBackbone:  # fmt: skip
    """A network of videos; see ``build`` of the family transformers."""
    network = loaded(transformers, variant, config, weights, seed, revision, lambda whole: whole)
    config = network.config
    if preprocessing is None:
        side = image_size or one_number(getattr(config, "crop_size", None))
        preprocessing = preprocessing_of(transformers, variant, revision, config, side)
    frames = Frames(n_frames or _frames_of(config), preprocessing)
    reader = reader_of(config, frames)
    return ClipBackbone(network, reader, layers, name=name_of(variant, config), agg_frames=agg_frames)


def _frames_of(config: Any) -> int:
    return int(getattr(config, "num_frames", None) or getattr(config, "frames_per_clip", 16))


def reader_of(config: Any, frames: Frames) -> ClipReader:
    """How a network of these settings reads clips, and where the places of its tokens are in space and time."""
    kind = config.model_type
    if kind == "vivit":
        tubelet, patch = config.tubelet_size[0], config.tubelet_size[1]
    else:
        tubelet, patch = (1 if kind == "timesformer" else config.tubelet_size), one_number(config.patch_size)
    if frames.n_frames % tubelet:
        raise ValueError(f"n_frames is a multiple of {tubelet} for this network, got {frames.n_frames}.")
    height, width = frames.size
    grid = (height // patch, width // patch, frames.n_frames // tubelet)
    return ClipReader(
        frames,
        "pixel_values_videos" if kind == "vjepa2" else "pixel_values",
        grid,
        prefix=int(kind in ("timesformer", "vivit")),
        time_inside=kind == "timesformer",
        options={"skip_predictor": True} if kind == "vjepa2" else None,
    )
