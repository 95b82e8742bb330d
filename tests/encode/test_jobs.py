"""Finished jobs are kept as sealed files: damaged, swapped and foreign ones are made again, never believed."""

import itertools

import numpy as np
import pandas as pd
import pytest

from brainnet.dataset.base import ResponseDataset
from brainnet.encode import encode
from brainnet.ridge import RidgeCV
from brainnet.space import BrainSpace

N = 50
LAYERS = {name: np.random.default_rng(i).normal(size=(N, 4)) for i, name in enumerate(("early", "late"))}


@pytest.fixture
def dataset():
    y = LAYERS["late"][:, :2] + np.random.default_rng(5).normal(size=(N, 2))
    splits = {"train": range(30), "test": range(30, N)}
    return ResponseDataset([f"im{i}" for i in range(N)], y, BrainSpace.free(2), splits)


@pytest.fixture
def fits(monkeypatch):
    ran, fit = [], RidgeCV.fit
    monkeypatch.setattr(RidgeCV, "fit", lambda self, X, Y, groups=None: ran.append(1) or fit(self, X, Y, groups))
    return ran


def flipped(path):
    """One bit of a number in the middle."""
    content = bytearray(path.read_bytes())
    content[len(content) // 3] ^= 1
    path.write_bytes(content)


def replaced_by_an_archive_of_something_else(path):
    np.savez(path, selection=np.zeros(2))


@pytest.mark.parametrize(
    "damage",
    [flipped, replaced_by_an_archive_of_something_else, lambda path: path.write_bytes(path.read_bytes()[:300]),
     lambda path: path.write_bytes(b""), lambda path: path.write_bytes(b"\x80\x04junk")],
    ids=["flipped", "archive", "short", "empty", "junk"],
)  # fmt: skip
def test_a_damaged_file_is_made_again_alone(dataset, fits, tmp_path, damage):
    first = encode(LAYERS, dataset, out=tmp_path, n_resamples=2)
    damage(sorted((tmp_path / "jobs").glob("*.npz"))[0])
    again = encode(LAYERS, dataset, out=tmp_path, n_resamples=2)
    assert len(fits) == 3
    pd.testing.assert_frame_equal(first.table, again.table)


def test_swapped_files_are_made_again(dataset, fits, tmp_path):
    first = encode(LAYERS, dataset, out=tmp_path, n_resamples=2)
    a, b = sorted((tmp_path / "jobs").glob("*.npz"))
    contents = a.read_bytes(), b.read_bytes()
    for path, content in zip((b, a), contents, strict=True):
        path.write_bytes(content)
    again = encode(LAYERS, dataset, out=tmp_path, n_resamples=2)
    assert len(fits) == 4
    pd.testing.assert_frame_equal(first.table, again.table)


def test_predictions_damaged_after_they_were_found_whole_are_said(dataset, tmp_path):
    encoding = encode(LAYERS, dataset, out=tmp_path, n_resamples=2)
    for path in (tmp_path / "jobs").glob("*.npz"):
        flipped(path)
    with pytest.raises(ValueError, match="jobs"):
        encoding.voxel_scores(next(iter(encoding.fits)))


def test_no_file_is_left_half_written(dataset, tmp_path, monkeypatch):
    replaced = itertools.count()

    def stops(*_):
        if next(replaced) == 1:
            raise KeyboardInterrupt
        return replace(*_)

    import os

    replace = os.replace
    monkeypatch.setattr(os, "replace", stops)
    with pytest.raises(KeyboardInterrupt):
        encode(LAYERS, dataset, out=tmp_path, n_resamples=2)
    assert len(list((tmp_path / "jobs").iterdir())) == 1
