"""Generic Object Decoding and Deep Image Reconstruction read from tables as bdpy writes them."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
import torch

from brainnet.dataset.readers.god import GOD
from tests.dataset.readers.fmri_folders import write_god


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_god(tmp_path_factory.mktemp("god"))


def by_hand(made, standardize=False):
    values = made.values.copy()
    if standardize:
        runs = 10 * made.more["kinds"] + made.more["runs"]
        for run in np.unique(runs):
            rows = runs == run
            values[rows] = (values[rows] - values[rows].mean(0)) / values[rows].std(0)
    return {name: values[[one == name for one in made.names]].mean(0) for name in dict.fromkeys(made.names)}


@pytest.mark.parametrize("old", [False, True])
@pytest.mark.parametrize("study", ["god", "dir"])
@pytest.mark.parametrize("standardize", [False, True])
def test_responses_are_the_means_of_each_photographs_samples(tmp_path, study, standardize, old):
    made = write_god(tmp_path, study=study, old=old)
    data = GOD(tmp_path, study=study, standardize=standardize)
    expected = by_hand(made, standardize)
    assert data.image_ids == list(expected)
    np.testing.assert_allclose(data.responses, np.stack(list(expected.values())), atol=1e-5)


def test_test_photographs_are_the_test_images_and_imagery_is_not_read(planted):
    data = GOD(planted.root, val=2)
    assert {data.image_ids[i] for i in data.splits["test"]} == {"n02001000_1", "n02002000_2", "n02003000_3"}
    assert [len(rows) for rows in data.splits.values()] == [6, 2, 3]
    assert data.trials.n_trials == 23
    q = data.trials.ncsnr
    torch.testing.assert_close(data.noise_ceiling.double(), (q**2 / (q**2 + 1 / 5)).sqrt(), rtol=1e-5, atol=1e-6)
    assert data.groups[data.splits["train"]][0].startswith("training ")


def test_voxels_have_places_and_regions(planted):
    data = GOD(planted.root)
    np.testing.assert_allclose(data.space.coords, planted.more["places"].T, rtol=1e-6)
    assert list(data.space.rois) == ["V1", "FFA", "VC"]
    for row, name in enumerate(("V1", "FFA", "VC")):
        np.testing.assert_array_equal(data.space.rois[name], planted.more["flags"][row] == 1)
    part = GOD(planted.root, region="V1+FFA")
    torch.testing.assert_close(part.responses, data.responses[:, :6])
    np.testing.assert_allclose(part.space.coords, planted.more["places"].T[:6], rtol=1e-6)


def test_an_image_is_the_file_its_id_says(planted):
    data = GOD(planted.root)
    order = list(dict.fromkeys(planted.names))
    for row in (1, 9):
        assert data.load_image(row).getpixel((0, 0)) == (order.index(data.image_ids[row]), 100, 200)


def _change(key, change):
    def damage(root):
        with h5py.File(root / "Subject1.h5", "r+") as file:
            values = None if change is None else file[key][()]
            del file[key]
            if change is not None:
                file[key] = change(values)

    return damage


def _rename(old, new):
    return _change("metadata/key", lambda keys: np.array([new if key == old else key for key in keys]))


def _wrong_stimulus(table):
    table[3, -1] = np.nan
    return table


def _in_both(table):
    table[0, -1] = table[10, -1]
    return table


def _no_voxel(values):
    values[0] = np.nan  # of VoxelData
    return values


DAMAGES = {
    "no table": (lambda r: (r / "Subject1.h5").unlink(), FileNotFoundError, "Subject1"),
    "truncated": (lambda r: (r / "Subject1.h5").write_bytes((r / "Subject1.h5").read_bytes()[:700]), ValueError,
                  "Subject1"),
    "emptied": (lambda r: (r / "Subject1.h5").write_bytes(b""), ValueError, "Subject1"),
    "no metadata": (_change("metadata", None), ValueError, "no dataset and metadata"),
    "fewer columns": (_change("dataset", lambda a: a[:, :-1]), ValueError, r"a table of shape \(24, 11\)"),
    "no voxels": (_rename(b"VoxelData", b"Voxels"), ValueError, "no key 'VoxelData'"),
    "voxels marked by NaN": (_change("metadata/value", _no_voxel), ValueError, "no column is marked"),
    "metadata of whole numbers": (_change("metadata/value", lambda a: np.nan_to_num(a).astype(np.int16)), ValueError,
                                  "Subject1.h5 holds int16; its metadata are real numbers"),
    "no kinds": (_rename(b"DataType", b"Kind"), ValueError, "no key 'DataType'"),
    "no stimuli": (_rename(b"stimulus_id", b"stim"), ValueError, "no key 'stimulus_id'"),
    "a key twice": (_rename(b"Run", b"DataType"), ValueError, "the key 'DataType' twice"),
    "a stimulus that is none": (_change("dataset", _wrong_stimulus), ValueError, "holds the stimulus nan"),
    "an image of both": (_change("dataset", _in_both), ValueError, "is a training and a test image"),
    "no photographs": (lambda r: shutil.rmtree(r / "images"), FileNotFoundError, "on request"),
    "a photograph missing": (lambda r: next(r.rglob("n02001000_1.JPEG")).unlink(), FileNotFoundError, "n02001000_1"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file(planted, tmp_path, name):
    shutil.copytree(planted.root, tmp_path / "g")
    damage, error, words = DAMAGES[name]
    damage(tmp_path / "g")
    with pytest.raises(error, match=words) as refused:
        GOD(tmp_path / "g")
    assert "\n" not in str(refused.value)


def test_standardization_needs_runs(planted, tmp_path):
    shutil.copytree(planted.root, tmp_path / "g")
    _rename(b"Run", b"Other")(tmp_path / "g")
    assert GOD(tmp_path / "g").groups is None
    with pytest.raises(ValueError, match="no key 'Run'"):
        GOD(tmp_path / "g", standardize=True)


@pytest.mark.parametrize(("options", "words"), [({"subject": 6}, "1, 2, 3, 4, 5"), ({"study": "dri"}, "'dir'"),
                                                ({"subject": 4, "study": "dir"}, "1, 2, 3"),
                                                ({"region": "V4"}, "Known: V1")])  # fmt: skip
def test_wrong_options_are_one_line(planted, options, words):
    with pytest.raises(ValueError, match=words):
        GOD(planted.root, **options)
