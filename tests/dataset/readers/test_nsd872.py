"""Net2Brain's bundle of the shared images of NSD: rows by file name, regions as in the challenge."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from brainnet.dataset import DATASETS, BrainDataset
from brainnet.dataset.readers.nsd872 import NSD872
from tests.dataset.readers.algonauts_folder import write_algonauts_folder


def write_nsd872(root, n_subjects=1):
    """The bundle, from folders of the challenge."""
    made = []
    for n in range(1, n_subjects + 1):
        part = write_algonauts_folder(root / f"made{n}", seed=n)
        folder = root / f"subj{n:02d}"
        shutil.copytree(part.root / "training_split/training_fmri", folder / "fmri")
        shutil.copytree(part.root / "roi_masks", folder / "rois")
        if n == 1:
            shutil.copytree(part.root / "training_split/training_images", root / "images")
            made_ids = [path.stem for path in sorted((root / "images").iterdir())]
        shutil.rmtree(part.root)
        made.append(part)
    return made, made_ids


def test_responses_regions_and_ids(tmp_path):
    made, names = write_nsd872(tmp_path, 2)
    data = [NSD872(tmp_path, n) for n in (1, 2)]
    for one, part in zip(data, made, strict=True):
        assert np.allclose(one.responses, part.responses)
        assert one.space.vertices.tolist() == part.vertices.tolist()
        assert np.array_equal(one.space.rois["V4"], part.labels["prf-visualrois"] == 7)
    assert data[0].image_ids == [f"nsd-{name[-5:]}" for name in names] == data[1].image_ids
    assert data[0].signature() == data[1].signature()
    assert all(torch.equal(data[0].splits[name], rows) for name, rows in data[1].splits.items())
    assert [data[0].load_image(n).getpixel((0, 0))[0] for n in range(12)] == list(range(12))


def test_it_is_the_challenge_in_another_layout(tmp_path):
    part = write_algonauts_folder(tmp_path / "other", seed=1)
    write_nsd872(tmp_path / "bundle")
    one, other = NSD872(tmp_path / "bundle"), BrainDataset(part.root)
    assert torch.equal(one.responses, other.responses)
    assert list(one.space.rois) == list(other.space.rois)
    assert type(DATASETS["nsd872"].from_settings(str(tmp_path / "bundle"), 3, val=2)) is NSD872


DAMAGES = {
    "no responses": (lambda r: (r / "subj01/fmri/lh_training_fmri.npy").unlink(), FileNotFoundError, r"lh\*\.npy"),
    "two files": (lambda r: np.save(r / "subj01/fmri/lh_b.npy", np.ones((2, 2))), ValueError, "lh_b.npy and"),
    "no photographs": (lambda r: shutil.rmtree(r / "images"), FileNotFoundError, "images"),
    "a photograph less": (lambda r: next((r / "images").iterdir()).unlink(), ValueError, "11 photographs"),
    "responses truncated": (
        lambda r: (r / "subj01/fmri/rh_training_fmri.npy").write_bytes(b"\x93NUMPY"), ValueError, "rh_training_fmri"),
    "rows that differ": (lambda r: np.save(r / "subj01/fmri/rh_training_fmri.npy", np.ones((3, 25))), ValueError,
                         "rh_training_fmri.npy 3"),
    "labels of others": (lambda r: np.save(r / "subj01/rois/lh.streams_challenge_space.npy", np.ones(4)), ValueError,
                         "lh.streams_challenge_space"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file(tmp_path, name):
    write_nsd872(tmp_path)
    damage, error, words = DAMAGES[name]
    damage(tmp_path)
    with pytest.raises(error, match=words) as refused:
        NSD872(tmp_path)
    assert "\n" not in str(refused.value)


def test_the_subjects_are_eight(tmp_path):
    with pytest.raises(ValueError, match="1, 2, 3, 4, 5, 6, 7, 8"):
        NSD872(tmp_path, 9)
