"""One wrong file of BOLD Moments at a time is one line that names it."""

from __future__ import annotations

import shutil

import numpy as np
import pytest

pytest.importorskip("av", reason="frames of videos are read by av")

from brainnet.dataset.readers.boldmoments import BoldMoments
from tests.dataset.readers.moments_folder import dump, folder_of, write_moments
from tests.dataset.readers.test_pickles import Calls


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_moments(tmp_path_factory.mktemp("moments"))


TEST = "prepared_betas/sub-01_organized_betas_task-test_normalized.pkl"
VALUES, NAMES = np.zeros((4, 10, 12)), ["vid1001", "vid1002", "vid1003", "vid1004"]


def put(name, content):
    return lambda folder: dump(folder / name, content)


def cut(name, keep):
    return lambda folder: (folder / name).write_bytes((folder / name).read_bytes()[:keep])


DAMAGES = {
    "no betas": (lambda folder: (folder / TEST).unlink(), FileNotFoundError, "task-test_normalized"),
    "betas truncated": (cut(TEST, 900), ValueError, "task-test_normalized"),
    "betas emptied": (cut(TEST, 0), ValueError, "task-test_normalized"),
    "an array alone": (put(TEST, VALUES), ValueError, r"holds an array of shape \(4, 10, 12\)"),
    "other repeats": (put(TEST, (VALUES[:, :3], NAMES)), ValueError, r"\(4, 3, 12\); expected \(any, 10, 12\)"),
    "other voxels": (put(TEST, (VALUES[..., :9], NAMES)), ValueError, r"has shape \(4, 10, 9\)"),
    "whole numbers": (put(TEST, (VALUES.astype(np.int16), NAMES)), ValueError, "holds int16"),
    "fewer names": (put(TEST, (VALUES, NAMES[:3])), ValueError, "of 4 videos and the names of 3"),
    "a name twice": (put(TEST, (VALUES, [*NAMES[:3], "vid1001"])), ValueError, "names a video twice"),
    "another name": (put(TEST, (VALUES, [*NAMES[:3], "1004"])), ValueError, "names a video '1004'"),
    "a training video": (put(TEST, (VALUES, [*NAMES[:3], "vid0003"])), ValueError, "'vid0003' is in both files"),
    "a pickle that calls": (put(TEST, (VALUES, NAMES, Calls(print, "called"))), ValueError, "it names builtins.print"),
    "a region outside": (put("ROIs/ROI-lEBA_indices.pkl", [None, np.array([[12]])]), ValueError, "ROI-lEBA_indices"),
    "a region of words": (put("ROIs/ROI-lEBA_indices.pkl", {"a": 1}), ValueError, "holds dict of 1"),
    "a ceiling of others": (put("prepared_betas/sub-01_noiseceiling_task-test_n-10.pkl", np.ones(9)), ValueError,
                            "expected 12 numbers"),
    "a ceiling beyond 100": (put("prepared_betas/sub-01_noiseceiling_task-test_n-10.pkl", np.full(12, 101.0)),
                             ValueError, "holds 101 to 101"),
    "no regions": (lambda folder: shutil.rmtree(folder / "ROIs"), ValueError, "Unknown region 'BMDgeneral'"),
    "a video missing": (lambda folder: (folder.parents[4] / "stimuli/test/1003.mp4").unlink(), FileNotFoundError,
                        "1003.mp4"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file(planted, tmp_path, name):
    shutil.copytree(planted.root, tmp_path / "moments")
    damage, error, words = DAMAGES[name]
    damage(folder_of(tmp_path / "moments"))
    with pytest.raises(error, match=words) as refused:
        BoldMoments(tmp_path / "moments")
    assert "\n" not in str(refused.value)


def test_more_than_fits_into_memory_is_refused(planted, monkeypatch):
    monkeypatch.setattr("brainnet.dataset.readers._checked.free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match="choose a smaller region"):
        BoldMoments(planted.root)
