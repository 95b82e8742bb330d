"""Sounds as samples of one rate."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.backbone.families._hub_sound import receptive_field
from brainnet.backbone.sequences.sound import WaveReader, Waves
from brainnet.stimuli import Sound

NOISE = np.random.default_rng(0).normal(0.3, 2, 800).astype(np.float32)


def test_samples_are_taken_as_they_are_or_standardized():
    assert np.array_equal(Waves(16000)(Sound(NOISE, 16000)), NOISE)
    found = Waves(16000, standardize=True)(NOISE)
    assert found.mean().item() == pytest.approx(0, abs=1e-5)
    assert found.std(correction=0).item() == pytest.approx(1, abs=1e-4)
    assert Waves(16000)(Sound(NOISE, 8000)).shape == (1600,)


def test_limits_are_said():
    with pytest.raises(ValueError, match=r"799 samples .*800"):
        Waves(16000, least=800)(NOISE[:799])
    with pytest.raises(ValueError, match=r"0.05 s, .*0.04"):
        Waves(16000, most=640)(NOISE)
    with pytest.raises(TypeError, match=r"shape \(2, 400\)"):
        Waves(16000)(NOISE.reshape(2, 400))
    with pytest.warns(UserWarning, match="silent"):
        Waves(16000)(np.full(800, 0.5, np.float32))


def test_sounds_that_last_equally_long_are_run_together():
    reader = WaveReader(Waves(16000))
    items = [torch.ones(4), torch.ones(3), 2 * torch.ones(4)]
    groups = list(reader.groups(reader.collate(items)))
    assert [(list(rows), part.shape) for rows, part in groups] == [([0, 2], (2, 4)), ([1], (1, 3))]
    assert not any(part.isnan().any() for _, part in groups)
    with pytest.raises(ValueError, match="int64"):
        list(reader.groups(torch.ones(2, 3, dtype=torch.long)))


def test_what_a_stack_of_convolutions_sees(rng):
    kernels, strides = (10, 4, 3), (5, 4, 2)
    least = receptive_field(kernels, strides)
    stack = torch.nn.Sequential(*(torch.nn.Conv1d(1, 1, k, s) for k, s in zip(kernels, strides, strict=True)))
    assert stack(torch.randn(1, 1, least, generator=rng)).shape[-1] == 1
    with pytest.raises(RuntimeError):
        stack(torch.randn(1, 1, least - 1, generator=rng))
