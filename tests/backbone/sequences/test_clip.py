"""Frames of clips as a network sees them, and how time is taken together."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.backbone.sequences.clip import ClipReader, Frames, aggregated
from brainnet.stimuli import Clips
from brainnet.tokens import Preprocessing

PICTURE = Preprocessing((8, 8), (0,) * 3, (1,) * 3)


def clip(n=10):
    return np.stack([np.full((8, 8, 3), 20 * k, np.uint8) for k in range(n)])


def test_frames_are_evenly_spaced():
    own = Clips(clip()[None])[0]
    images = [Image.fromarray(frame) for frame in clip()]
    for given in (own, images):
        found = Frames(5, PICTURE)(given)
        assert found.shape == (5, 3, 8, 8)
        assert (found[:, 0, 0, 0] * 255).round().tolist() == [20, 60, 100, 140, 180]
    assert Frames(4, PICTURE)(images[:1]).shape == (4, 3, 8, 8)
    assert Frames(4, PICTURE).size == (8, 8)


def test_what_is_no_clip_is_refused():
    for wrong, error in (([], ValueError), ("film.mp4", TypeError), (5, TypeError)):
        with pytest.raises(error):
            Frames(2, PICTURE)(wrong)
    for n in (0, 2.0, True):
        with pytest.raises(ValueError, match="n_frames"):
            Frames(n, PICTURE)


def test_places_of_both_orders(rng):
    steps = torch.randn(3, 4, 2, generator=rng)  # steps, places, channels
    frames = Frames(3, PICTURE)
    step_by_step = ClipReader(frames, "x", (2, 2, 3)).place(steps.flatten(0, 1)[None], torch.zeros(1))
    place_by_place = ClipReader(frames, "x", (2, 2, 3), time_inside=True).place(
        steps.transpose(0, 1).flatten(0, 1)[None], torch.zeros(1)
    )
    expected = steps.permute(2, 0, 1)
    assert torch.equal(step_by_step[0].local, expected)
    assert torch.equal(place_by_place[0].local, expected)
    with pytest.raises(ValueError, match="11 places"):
        ClipReader(frames, "x", (2, 2, 3)).place(torch.zeros(1, 11, 2), torch.zeros(1))


def test_time_is_taken_together_or_left(rng):
    steps = torch.randn(2, 3, 5, generator=rng)
    assert torch.equal(aggregated("a", steps, "mean")["a"], steps.mean(1))
    assert torch.equal(aggregated("a", steps, "max")["a"], steps.amax(1))
    found = aggregated("a", steps, "all")
    assert list(found) == ["a.t0", "a.t1", "a.t2"]
    assert torch.equal(found["a.t2"], steps[:, 2])
