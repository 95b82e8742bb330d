"""Sounds for networks: samples at the network's own rate, as waves or as spectrograms.

Sounds that last equally long are run together, the others one after another, so that none is filled up. Networks whose
input has one length (Whisper, AST) are given it, as they were trained; the places behind a sound's end are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from brainnet._checks import warn_once
from brainnet.backbone.sequences.base import Placed, by_length
from brainnet.stimuli import Sound
from brainnet.stimuli.sounds import resampled


@dataclass(frozen=True)
class Waves:
    """A sound as samples (n,) float32 at one rate, see :func:`~brainnet.stimuli.sounds.resampled`.

    Args:
        rate: samples a second.
        least: the fewest samples of which a network gives a place.
        most: the most that it takes; None for any number.
        standardize: subtract the mean of the sound and divide by its SD, as some networks were trained.

    >>> Waves(16000)(Sound(np.zeros(441) + 0.5, 44100)).shape
    torch.Size([160])
    """

    rate: int
    least: int = 1
    most: int | None = None
    standardize: bool = False

    def __call__(self, sound: Sound | np.ndarray | Tensor) -> Tensor:
        """The samples of a :class:`~brainnet.stimuli.Sound`; an array (n,) is taken to have the network's rate.

        Raises:
            TypeError: no sound.
            ValueError: too short or too long a sound; says the limit.
        """
        if isinstance(sound, Sound):
            samples = resampled(sound, self.rate)
        elif isinstance(sound, np.ndarray | Tensor) and sound.ndim == 1:
            samples = np.asarray(sound)
        else:
            shape = f" of shape {tuple(sound.shape)}" if hasattr(sound, "shape") else ""
            raise TypeError(
                f"a network of sounds reads Sound objects or samples (n,), got {type(sound).__name__}{shape}."
            )
        samples = samples.astype(np.float32)
        n = len(samples)
        if n < self.least:
            raise ValueError(
                f"the sound has {n} sample{'s' * (n != 1)} at {self.rate} a second, and the network gives a place for "
                f"every {self.least} or more: leave it out, or take a longer window."
            )
        if self.most is not None and n > self.most:
            raise ValueError(
                f"the sound lasts {n / self.rate:.4g} s, and the network takes {self.most / self.rate:.4g} s: cut it, "
                f"Sounds(..., window={self.most / self.rate:g})."
            )
        if not np.isfinite(samples).all():
            raise ValueError("the sound has samples that are no finite numbers.")
        if samples.min() == samples.max():
            warn_once(
                f"silence {self} {n}",
                "a sound is silent (all its samples are equal): its features are those of silence.",
            )
        if self.standardize:
            samples = (samples - samples.mean()) / np.sqrt(samples.var() + 1e-7)
        return torch.from_numpy(np.ascontiguousarray(samples))


class WaveReader:
    """Reads sounds for a network that is given waves (B, n_samples) and gives a sequence (B, T, C).

    Args:
        waves: how a sound becomes samples.
    """

    reads = "sound"

    def __init__(self, waves: Waves):
        self.preprocessing = waves

    def collate(self, items: Sequence[Tensor]) -> Tensor:
        """(B, n_samples), with NaN behind the end of a sound."""
        return nn.utils.rnn.pad_sequence(list(items), True, math.nan)

    def groups(self, batch: Tensor) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Sounds that last equally long."""
        if batch.ndim != 2 or not batch.is_floating_point():
            raise ValueError(f"sounds are a list, or samples (B, n_samples); got {batch.dtype} {tuple(batch.shape)}.")
        for n, rows in by_length((~batch.isnan()).sum(1).tolist()).items():
            yield rows, batch[rows, :n]

    def run(self, network: nn.Module, part: Tensor) -> Any:
        """One pass over waves."""
        return network(part.to(_dtype(network)), output_hidden_states=True)

    def place(self, state: Tensor, part: Tensor) -> list[Placed]:
        """Every place of the sequence."""
        return [Placed(values.T[:, None]) for values in state]

    def example(self) -> Tensor:
        """A quarter of a second of noise."""
        n = max(self.preprocessing.least, self.preprocessing.rate // 4)
        return torch.randn(1, min(n, self.preprocessing.most or n), generator=torch.Generator().manual_seed(0))


class SpectrogramReader(WaveReader):
    """Reads sounds for a network that is given what a feature extractor of transformers makes of them.

    Args:
        waves: how a sound becomes samples.
        extractor: of transformers.
        entry: what the network's input is called, "input_features" or "input_values".
        shape: number of prefix tokens, and frequencies of the places (1 where a place is a moment).
        n_places: samples to the number of places in time that are of the sound; None where all are.
    """

    def __init__(self, waves: Waves, extractor: Any, entry: str, shape: tuple[int, int] = (0, 1), n_places: Any = None):
        super().__init__(waves)
        self.extractor, self.entry, self.shape, self.n_places = extractor, entry, shape, n_places

    def run(self, network: nn.Module, part: Tensor) -> Any:
        """One pass over spectrograms."""
        waves = [wave.float().cpu().numpy() for wave in part]
        found = self.extractor(waves, sampling_rate=self.preprocessing.rate, return_tensors="pt")
        values = found[self.entry].to(part.device, _dtype(network))
        return network(values, output_hidden_states=True)

    def place(self, state: Tensor, part: Tensor) -> list[Placed]:
        """The places of a sound's own moments, (C, F, T)."""
        n_prefix, n_frequencies = self.shape
        if (state.shape[1] - n_prefix) % n_frequencies:
            raise ValueError(f"its {state.shape[1]} places are no map of {n_frequencies} frequencies.")
        found = []
        for values in state:
            local = values[n_prefix:].T.unflatten(1, (n_frequencies, -1))
            own = local.shape[2] if self.n_places is None else min(local.shape[2], self.n_places(part.shape[1]))
            found.append(Placed(local[:, :, :own], values[0] if n_prefix else None))
        return found


def _dtype(network: nn.Module) -> torch.dtype:
    return next(value.dtype for value in network.parameters() if value.is_floating_point())
