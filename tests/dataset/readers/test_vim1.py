"""vim-1 read from files in its layout: axes told by length, regions, voxels with holes, photographs."""

from __future__ import annotations

import h5py
import numpy as np
import pytest
import torch
from scipy.io import savemat

from brainnet.dataset.readers.vim1 import REGIONS, Vim1
from tests.dataset.readers.fmri_folders import write_vim1


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_vim1(tmp_path_factory.mktemp("vim1"))


def test_responses_and_regions_without_voxels_that_have_holes(planted):
    known = np.isfinite(planted.values).all(0)
    for subject in (1, 2):
        data = Vim1(planted.root, subject)
        assert data.n_left_out == 2
        np.testing.assert_allclose(data.responses, planted.values[:, known] * subject, rtol=1e-6)
    assert list(data.space.rois) == list(REGIONS)
    for label, name in enumerate(REGIONS, 1):
        np.testing.assert_array_equal(data.space.rois[name], (planted.more["labels"] == label)[known])
    part = Vim1(planted.root, region="V1+LatOcc")
    inside = torch.from_numpy(np.isin(planted.more["labels"], (1, 7))[known])
    assert torch.equal(part.responses, Vim1(planted.root).responses[:, inside])


def test_validation_photographs_of_the_publication_are_the_test_images(planted):
    data = Vim1(planted.root, val=2)
    assert [data.image_ids[i] for i in data.splits["test"]] == [f"val{n:04d}" for n in range(1, 6)]
    assert [len(rows) for rows in data.splits.values()] == [12, 2, 5]
    assert data.noise_ceiling is None


def test_photographs_are_stretched_alike(planted):
    data = Vim1(planted.root)
    low, high = planted.more["pixels"].min(), planted.more["pixels"].max()
    for row in (0, 15):
        image = np.asarray(data.load_image(row))
        expected = (planted.more["pixels"][row] - low) / (high - low) * 255
        assert image.shape == (128, 128, 3)
        np.testing.assert_allclose(image[..., 1], expected, atol=0.51)
        assert (image[..., :1] == image).all()


def test_either_order_of_axes_is_read(planted, tmp_path):
    write_vim1(tmp_path)
    with h5py.File(tmp_path / "EstimatedResponses.mat", "r+") as file:
        for name in ("dataTrnS1", "dataValS1", "roiS1"):
            values = file[name][()].T
            del file[name]
            file[name] = values
    assert torch.equal(Vim1(tmp_path).responses, Vim1(planted.root).responses)


def _change(name, change):
    def damage(root):
        with h5py.File(root / "EstimatedResponses.mat", "r+") as file:
            values = file[name][()]
            del file[name]
            if change is not None:
                file[name] = change(values)

    return damage


def _cut(name, keep):
    return lambda root: (root / name).write_bytes((root / name).read_bytes()[:keep])


DAMAGES = {
    "no responses": (lambda r: (r / "EstimatedResponses.mat").unlink(), FileNotFoundError, "EstimatedResponses"),
    "responses truncated": (_cut("EstimatedResponses.mat", 500), ValueError, "EstimatedResponses"),
    "responses emptied": (_cut("EstimatedResponses.mat", 0), ValueError, "EstimatedResponses"),
    "an entry missing": (_change("roiS1", None), ValueError, "it has no roiS1"),
    "fewer photographs": (_change("dataValS1", lambda a: a[:4]), ValueError, r"has shape \(4, 18\); expected 5"),
    "fewer voxels": (_change("dataTrnS1", lambda a: a[:, :9]), ValueError, r"has shape \(14, 9\)"),
    "whole numbers": (_change("dataTrnS1", lambda a: np.nan_to_num(a).astype(np.int16)), ValueError, "int16"),
    "NaN alone": (_change("dataTrnS1", lambda a: np.full_like(a, np.nan)), ValueError, "every voxel of subject 1"),
    "an unknown label": (_change("roiS1", lambda a: a + 5), ValueError, "labels from 0 to 7"),
    "no photographs": (lambda r: (r / "Stimuli.mat").unlink(), FileNotFoundError, "Stimuli.mat"),
    "photographs truncated": (_cut("Stimuli.mat", 900), ValueError, "Stimuli.mat"),
    "photographs flat": (lambda r: savemat(r / "Stimuli.mat", {"stimTrn": np.ones((14, 9))}), ValueError,
                         r"stimTrn has shape \(14, 9\)"),
    "photographs of two kinds": (
        lambda r: savemat(r / "Stimuli.mat", {"stimTrn": np.ones((14, 8, 8)), "stimVal": np.ones((5, 8, 8), np.int16)}),
        ValueError, "Stimuli.mat: stimTrn holds float64 and stimVal int16; expected one kind"),
    "other names": (lambda r: savemat(r / "Stimuli.mat", {"x": np.ones(3)}), ValueError, "has no stimTrn; it has x"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file(tmp_path, name):
    write_vim1(tmp_path)
    damage, error, words = DAMAGES[name]
    damage(tmp_path)
    with pytest.raises(error, match=words) as refused:
        Vim1(tmp_path)
    assert "\n" not in str(refused.value)
