"""Networks of sound of transformers: Whisper's encoder, wav2vec 2.0 and its kin, the Audio Spectrogram Transformer."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from torch import nn

from brainnet.backbone.families._hub import loaded, name_of
from brainnet.backbone.sequences.base import STEPS, SequenceBackbone
from brainnet.backbone.sequences.sound import SpectrogramReader, WaveReader, Waves

FRAME = 400  # samples of the first window of a spectrogram, 25 ms
HOP = 160  # from a window to the next, 10 ms
RATE = 16000


def sound_backbone(
    transformers: Any, variant: str, config: Any, *, layers: Iterable[str | int] | None, weights: str | Path, seed: int,
    revision: str, global_token: str | None = None, steps: int | str = STEPS,
) -> SequenceBackbone:  # fmt: skip
    """A network of sound; see ``build`` of the family transformers."""
    network = loaded(transformers, variant, config, weights, seed, revision, sound_part)
    if hasattr(network.config, "apply_spec_augment"):
        network.config.apply_spec_augment = False
    return SequenceBackbone(
        network,
        reader_of(network.config, _extractor(transformers, variant, revision, network.config)),
        layers,
        name=name_of(variant, config),
        steps=steps,
        global_token=global_token or "mean",
        settings={"extractor": network.config.model_type},
    )


def sound_part(network: nn.Module) -> nn.Module:
    """The part of a model that hears: of one that speaks too, the encoder."""
    if all(isinstance(getattr(network, side, None), nn.Module) for side in ("encoder", "decoder")):
        return network.encoder
    return network


def reader_of(config: Any, extractor: Any) -> WaveReader:
    """How a network of these settings reads sounds.

    Args:
        config: of a network of transformers.
        extractor: its feature extractor.
    """
    rate = extractor.sampling_rate
    if config.model_type == "whisper":
        per_place = 2 * extractor.hop_length  # the second convolution takes every other moment
        waves = Waves(rate, least=FRAME, most=extractor.n_samples)
        return SpectrogramReader(waves, extractor, "input_features", n_places=partial(_rounded_up, per_place))
    if config.model_type == "audio-spectrogram-transformer":
        frequencies = (config.num_mel_bins - config.patch_size) // config.frequency_stride + 1
        n_places = partial(_patches, config.patch_size, config.time_stride)
        least, most = FRAME, FRAME + HOP * (config.max_length - 1)
        return SpectrogramReader(Waves(rate, least, most), extractor, "input_values", (2, frequencies), n_places)
    if hasattr(config, "conv_kernel"):
        standardize = bool(getattr(extractor, "do_normalize", False))
        return WaveReader(Waves(rate, receptive_field(config.conv_kernel, config.conv_stride), standardize=standardize))
    if getattr(extractor, "model_input_names", ["input_values"])[0] == "input_features":
        return SpectrogramReader(Waves(rate, least=2 * FRAME), extractor, "input_features")
    return WaveReader(Waves(rate, least=FRAME, standardize=bool(getattr(extractor, "do_normalize", False))))


def receptive_field(kernels: Sequence[int], strides: Sequence[int]) -> int:
    """Samples that one place of a stack of convolutions sees, without padding.

    >>> receptive_field((10, 3, 3, 3, 3, 2, 2), (5, 2, 2, 2, 2, 2, 2))
    400
    """
    n = 1
    for kernel, stride in zip(reversed(kernels), reversed(strides), strict=True):
        n = (n - 1) * stride + kernel
    return n


def _rounded_up(per_place: int, n_samples: int) -> int:
    return -(-n_samples // per_place)


def _patches(side: int, stride: int, n_samples: int) -> int:
    """Patches in time of the frames of a sound; of one shorter than a patch it is one."""
    frames = 1 + (n_samples - FRAME) // HOP
    return max(1, (frames - side) // stride + 1)


def _extractor(transformers: Any, variant: str, revision: str, config: Any) -> Any:
    """The feature extractor beside a network, else the one of its kind."""
    try:
        return transformers.AutoFeatureExtractor.from_pretrained(variant, revision=revision)
    except (OSError, ValueError):
        if config.model_type == "whisper":
            chunk = 2 * config.max_source_positions * HOP // RATE
            return transformers.WhisperFeatureExtractor(feature_size=config.num_mel_bins, chunk_length=chunk)
        if config.model_type == "audio-spectrogram-transformer":
            return transformers.ASTFeatureExtractor(num_mel_bins=config.num_mel_bins, max_length=config.max_length)
        if not hasattr(config, "conv_kernel"):
            raise ValueError(
                f"transformers:{variant} has no feature extractor beside it, which says how a sound becomes its input."
            ) from None
        return transformers.Wav2Vec2FeatureExtractor(do_normalize=config.feat_extract_norm == "layer")
