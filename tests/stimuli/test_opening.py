"""Stimuli by what a network reads."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.stimuli import Clips, Images, Sounds, Texts, kind_of, stimuli_of

PIXELS = np.zeros((2, 8, 8, 3), np.uint8)


def test_each_kind_opens_its_own():
    assert isinstance(stimuli_of(PIXELS), Images)
    assert isinstance(stimuli_of(["a"], "text"), Texts)
    assert isinstance(stimuli_of([[0.5]], "sound", rate=9), Sounds)
    assert isinstance(stimuli_of(PIXELS[None], "video"), Clips)


def test_a_set_is_itself_and_one_of_another_kind_is_refused():
    texts = Texts(["a"])
    assert stimuli_of(texts, "text") is texts
    assert kind_of(texts) == "text"
    assert kind_of(object()) == "image"
    with pytest.raises(ValueError, match="kind text, .*reads videos"):
        stimuli_of(texts, "video")
    with pytest.raises(ValueError, match="text, sound, video"):
        stimuli_of(texts, "smell")


def test_a_data_set_is_of_the_kind_of_its_stimuli():
    class Data:
        images, image_ids, image = Texts(["a"]), ["0"], None

    assert stimuli_of(Data, "text") is Data
    with pytest.raises(ValueError, match="kind text"):
        stimuli_of(Data, "image")


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match="no texts at .*away"):
        stimuli_of(tmp_path / "away", "text")
