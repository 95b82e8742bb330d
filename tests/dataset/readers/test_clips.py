"""Videos as pictures: what is missing or no video is said by name."""

from __future__ import annotations

import pickle

import numpy as np
import pytest

pytest.importorskip("av", reason="frames of videos are read by av")

from brainnet.dataset.readers._clips import Clips
from tests.dataset.readers.moments_folder import write_video


def test_videos_that_are_missing_or_damaged_are_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"1 of 1 videos do not exist, the first is .*0007\.mp4"):
        Clips([tmp_path / "0007.mp4"], ["vid0007"])
    (tmp_path / "0007.mp4").write_bytes(b"no video")
    with pytest.raises(ValueError, match=r"0007\.mp4"):
        Clips([tmp_path / "0007.mp4"], ["vid0007"])[0]
    with pytest.raises(ValueError, match="Unknown frame 'last'"):
        Clips([], [], "last")


def test_they_travel_to_other_processes(tmp_path):
    write_video(tmp_path / "1.mp4", 1)
    clips = Clips([tmp_path / "1.mp4"], ["one"], "mean")
    again = pickle.loads(pickle.dumps(clips))
    assert np.array_equal(np.asarray(again[0]), np.asarray(clips[0]))
    assert again.signature() == clips.signature()
