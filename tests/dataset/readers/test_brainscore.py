"""Recordings in Brain-Score's files: what netCDF assemblies and tables of stimuli hold, and wrong ones."""

from __future__ import annotations

import shutil

import h5py
import numpy as np
import pytest
import torch

from brainnet.config import load_config
from brainnet.dataset import DATASETS
from brainnet.dataset.readers import _brainscore as files
from brainnet.dataset.readers.brainscore import BrainScore
from brainnet.plmodel import build_dataset
from brainnet.scores import ceiling_from_ncsnr, ncsnr
from tests.dataset.readers.brainscore_folder import write_assembly, write_brainscore

pytest.importorskip("netCDF4")


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_brainscore(tmp_path_factory.mktemp("recordings") / "data", n_bins=5)


@pytest.fixture
def copied(planted, tmp_path):
    shutil.copytree(planted.root, tmp_path / "data")
    return tmp_path / "data"


def read(root, **options):
    return BrainScore(root, progress=False, **options)


def by_hand(planted, bins=slice(None)):
    """Id -> (n_presentations, n_neuroids), mean over time bins."""
    counts = planted.counts[:, :, bins].mean(2).T
    return {planted.ids[place]: counts[planted.shown == place] for place in range(len(planted.ids))}


def test_responses_are_the_means_of_each_stimulus(planted):
    data, expected = read(planted.root), by_hand(planted)
    assert set(data.image_ids) == set(planted.ids)
    np.testing.assert_allclose(data.responses, [expected[one].mean(0) for one in data.image_ids], atol=1e-6)
    assert data.space.sensors[0] == "Chabo_L_M_0"
    assert data.space.times is None
    assert {name: mask.tolist() for name, mask in data.space.rois.items()} == {
        name: (of == name).tolist() for of in (planted.region, planted.animal) for name in dict.fromkeys(of.tolist())
    }
    some = [expected[data.image_ids[row]] for row in range(len(data))]
    padded = np.stack([np.pad(x, ((0, 4 - len(x)), (0, 0)), constant_values=np.nan) for x in some])
    ratio = ncsnr(padded)
    torch.testing.assert_close(data.trials[0].ncsnr, ratio, rtol=1e-3, atol=1e-3)
    assert data.n_repeats == 4
    if all(len(some[row]) == 4 for row in data.splits["test"]):
        np.testing.assert_allclose(data.noise_ceiling, ceiling_from_ncsnr(ratio, 4).r, atol=1e-3)


@pytest.mark.parametrize(
    ("dims", "id_name", "zipped"),
    [(("presentation", "neuroid", "time_bin"), "stimulus_id", False),
     (("time_bin", "presentation", "neuroid"), "image_id", True)],
)  # fmt: skip
def test_the_order_of_dimensions_does_not_matter(planted, tmp_path, dims, id_name, zipped):
    other = write_brainscore(tmp_path / "data", n_bins=5, dims=dims, id_name=id_name, zipped=zipped)
    one, two = read(planted.root), read(other.root)
    assert torch.equal(one.responses, two.responses)
    assert one.image_ids == two.image_ids
    assert one.space.sensors == two.space.sensors
    assert torch.equal(one.image(3), two.image(3))


def test_how_many_presentations_are_read_at_a_time_does_not_matter(planted, monkeypatch):
    whole = read(planted.root).responses
    monkeypatch.setattr(files, "BLOCK", 6 * 5 * 7)
    torch.testing.assert_close(read(planted.root).responses, whole)


def test_a_picture_is_the_one_its_id_has_in_the_table(planted, tmp_path):
    from PIL import Image

    from tests.dataset.readers.things_eeg_folder import write_pictures

    data = read(planted.root)
    write_pictures(tmp_path, [*planted.files, "unseen.png"])
    for row in (0, 7):
        file = planted.files[planted.ids.index(data.image_ids[row])]
        with Image.open(tmp_path / file) as picture:
            assert np.array_equal(data.load_image(row), picture.convert("RGB"))
    n = planted.ids.index(data.image_ids[4])
    assert data.stimuli["object_name"][4] == f"object{n % 3}"


def test_neuroids_and_times_can_be_chosen(planted):
    data = read(planted.root, where={"region": "IT", "animal": ["Tito"]}, window=(0.08, 0.11))
    expected = by_hand(planted, slice(1, 4))
    inside = (planted.region == "IT") & (planted.animal == "Tito")
    means = np.stack([expected[one].mean(0)[inside] for one in data.image_ids])
    np.testing.assert_allclose(data.responses, means, atol=1e-6)
    course = read(planted.root, over_time=True, average=2)
    np.testing.assert_allclose(course.space.time_points, [0.08, 0.1])
    found = course.space.to_sensors(course.responses)
    for place, bins in enumerate((slice(0, 2), slice(2, 4))):
        means = np.stack([by_hand(planted, bins)[one].mean(0) for one in course.image_ids])
        np.testing.assert_allclose(found[..., place], means, atol=1e-6)
    assert course.rdms_over_time(rows="train").axes["time"] == ("0.08", "0.1")


def test_missing_presentations_do_not_count(tmp_path):
    planted = write_brainscore(tmp_path / "data")
    with h5py.File(planted.root / "assy_dicarlo_MajajHong2015_public.nc", "r+") as file:
        array = file["dicarlo.MajajHong2015.public"]
        of_first = np.flatnonzero(planted.shown == 0)
        array[2, of_first[0], 0] = np.nan
    data = read(planted.root)
    row = data.image_ids.index(planted.ids[0])
    expected = planted.counts[2, of_first[1:], 0].mean()
    np.testing.assert_allclose(data.responses[row, 2], expected, rtol=1e-5)
    assert data.trials[0].n_missing == 1


NC, CSV, ZIP = "assy_dicarlo_MajajHong2015_public.nc", "image_dicarlo_hvm-public.csv", "image_dicarlo_hvm-public.zip"


@pytest.mark.parametrize("kind", ["missing", "truncated", "emptied", "another kind"])
@pytest.mark.parametrize("name", [NC, CSV, ZIP])
def test_a_wrong_file_is_one_line(copied, kind, name):
    path = copied / name
    if kind == "missing":
        path.unlink()
    else:
        whole = path.read_bytes()
        path.write_bytes(
            {"truncated": whole[: len(whole) // 2], "emptied": b"", "another kind": b"CDF\1" + 99 * b"x"}[kind]
        )
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        read(copied)
    assert "\n" not in str(refused.value)
    assert str(copied) in str(refused.value)


@pytest.mark.parametrize(
    ("coords", "dims", "words"),
    [
        ({"region": ("neuroid", ["V4"] * 3)}, ("neuroid", "presentation"), "stimulus_id or image_id among region"),
        ({"image_id": ("presentation", list("abcd"))}, ("neuroid", "other", "presentation"), "neuroid, other, presen"),
        ({"image_id": ("presentation", list("abcd"))}, ("neuroid", "presentation"), "'a'"),
    ],
)
def test_an_assembly_of_another_kind_is_one_line(copied, coords, dims, words):
    shape = {"neuroid": 3, "presentation": 4, "other": 2}
    write_assembly(copied / NC, np.zeros([shape[dim] for dim in dims]), dims, coords)
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read(copied)


def test_two_arrays_or_two_files_are_not_chosen_between(copied):
    shutil.copy(copied / NC, copied / "assy_other.nc")
    with pytest.raises(ValueError, match=f"2 assemblies: {NC}, assy_other.nc"):
        read(copied)
    assert len(read(copied, file="assy_other.nc")) == 20
    with h5py.File(copied / NC, "r+") as file:
        file["second"] = np.zeros((3, 4))
    with pytest.raises(ValueError, match="2 arrays.*second"):
        read(copied, file=NC)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"where": {"regoin": "IT"}}, "Did you mean 'region'"), ({"where": {"region": "V1"}}, "IT, V4"),
     ({"where": {"neuroid_id": "Chabo_L_M_0", "region": "IT"}}, "all at once"), ({"window": (5, 6)}, "0 of 5"),
     ({"file": "none.nc"}, "none.nc"), ({"stimuli": "none.csv"}, "none.csv")],
)  # fmt: skip
def test_wrong_options_are_one_line(planted, options, words):
    with pytest.raises((ValueError, FileNotFoundError), match=words):
        read(planted.root, **options)


def test_it_is_built_from_a_config_by_name(planted):
    words = ["DATASET.NAME", "brainscore", "DATASET.DATA_DIR", str(planted.root),
             "DATASET.OPTIONS", "{'where': {'region': 'IT'}, 'over_time': True}"]  # fmt: skip
    data = build_dataset(load_config(None, words))
    assert type(data) is DATASETS["brainscore"]
    assert data.n_voxels == 4 * 5
