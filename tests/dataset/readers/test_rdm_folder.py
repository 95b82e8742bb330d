"""Folders of pictures and RDM files in the shapes that Net2Brain packs, and wrong ones."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.io import savemat

from brainnet.dataset.readers._rdm_folder import read_subjects, region_of
from brainnet.dataset.readers.bonner2017 import Bonner2017
from brainnet.dataset.readers.images78 import Images78
from tests.dataset.readers.things_eeg_folder import write_pictures


def square(*shape, n, seed=0):
    """Symmetric matrices (*shape, n, n) with a zero diagonal."""
    values = np.random.default_rng(seed).uniform(size=(*shape, n, n))
    values = values + values.swapaxes(-1, -2)
    values[..., np.arange(n), np.arange(n)] = 0
    return values


def write_set(root, n=78, pictures="images_78", rdms="rdms_78", n_people=5):
    """Pictures and two regions; returns the matrices."""
    write_pictures(root / pictures, [f"image_{k + 1:02d}.jpg" for k in range(n)], size=8)
    (root / rdms).mkdir(parents=True)
    found = {region: square(n_people, n=n, seed=seed) for seed, region in enumerate(("EVC", "IT"))}
    np.savez(root / rdms / "fmri_EVC_RDMs.npz", Net_RDM=found["EVC"])
    np.savez(root / rdms / "fmri_IT_RDMs.npz", arr_0=found["IT"])
    (root / rdms / "noise_ceiling_log.json").write_text("{}")  # Net2Brain leaves it there
    return found


@pytest.mark.parametrize(
    ("pictures", "rdms"),
    [("images_78", "rdms_78"), ("78images/stimuli_data", "78images/brain_data"), ("stimuli_data", "brain_data")],
)
def test_each_layout_is_found(tmp_path, pictures, rdms):
    written = write_set(tmp_path, pictures=pictures, rdms=rdms)
    data = Images78(tmp_path)
    assert list(data.rdms) == ["EVC", "IT"]
    for region, rdms in data.rdms.items():
        np.testing.assert_allclose(rdms.to_square(), written[region])
        assert list(rdms.axes) == ["subject"]
    assert data.image_ids[:2] == ["image_01", "image_02"]
    assert list(Images78(tmp_path, regions=["IT"]).rdms) == ["IT"]
    with pytest.raises(ValueError, match="'V1'.*EVC, IT"):
        Images78(tmp_path, regions=["V1"])


def test_files_in_any_format_are_read_as_people(tmp_path):
    values = square(4, n=6)
    np.save(tmp_path / "a.npy", values)
    savemat(tmp_path / "b.mat", {"fmri_RDMs": values})
    savemat(tmp_path / "c.mat", {"rdms": values.transpose(1, 2, 0)})  # people last, as in MATLAB
    for name in ("a.npy", "b.mat", "c.mat"):
        found = read_subjects(tmp_path / name, 6)
        np.testing.assert_allclose(found.to_square(), values)
        assert list(found.axes) == ["subject"]
    np.save(tmp_path / "meg.npy", square(4, 3, n=6))
    assert read_subjects(tmp_path / "meg.npy", 6).axes == {"subject": tuple("0123"), "time": tuple("012")}
    assert region_of("ROI_RDMs.npz") == "ROI"


@pytest.mark.parametrize("kind", ["missing", "truncated", "emptied", "other number", "asymmetric", "too many axes"])
def test_a_wrong_file_is_one_line_that_names_it(tmp_path, kind):
    write_set(tmp_path)
    path = tmp_path / "rdms_78/fmri_IT_RDMs.npz"
    if kind == "missing":
        for one in path.parent.glob("*.npz"):
            one.unlink()
    elif kind in ("truncated", "emptied"):
        path.write_bytes(path.read_bytes()[: 300 * (kind == "truncated")])
    else:
        wrong = {"other number": square(5, n=77), "asymmetric": np.random.default_rng(0).uniform(size=(5, 78, 78)),
                 "too many axes": square(2, 2, 2, n=78)}[kind]  # fmt: skip
        np.savez(path, arr_0=wrong)
    with pytest.raises((ValueError, FileNotFoundError)) as refused:
        Images78(tmp_path)
    assert ("rdms_78" if kind == "missing" else "fmri_IT_RDMs.npz") in str(refused.value)
    assert "\n" not in str(refused.value)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda values: values[:-1], "of different numbers of people, EVC of 5, IT of 4"),
        (lambda values: np.where(values > 1.9, np.nan, values), r"fmri_IT_RDMs.npz is NaN in \d+ of 15,015"),
        (lambda values: values.astype(np.int16), "fmri_IT_RDMs.npz holds whole numbers alone"),
    ],
)
def test_what_may_be_meant_is_told(tmp_path, change, words):
    values = write_set(tmp_path)["IT"]
    np.savez(tmp_path / "rdms_78/fmri_IT_RDMs.npz", arr_0=change(values))
    with pytest.warns(UserWarning, match=words):
        Images78(tmp_path)


def test_a_region_that_is_not_there_is_told(tmp_path):
    write_set(tmp_path)
    (tmp_path / "rdms_78/fmri_EVC_RDMs.npz").unlink()
    with pytest.warns(UserWarning, match="no RDMs of EVC in .*rdms_78: expected are EVC, IT"):
        assert list(Images78(tmp_path).rdms) == ["IT"]


def test_another_number_of_pictures_and_no_folders_are_one_line(tmp_path):
    with pytest.raises(FileNotFoundError, match="images_78 with rdms_78.*nothing"):
        Images78(tmp_path)
    write_set(tmp_path)
    (tmp_path / "images_78/image_03.jpg").unlink()
    with pytest.raises(ValueError, match="77 pictures; expected 78"):
        Images78(tmp_path)


def test_scenes_have_two_studies(tmp_path):
    first = write_set(tmp_path, 50, "bonner_pnas2017/stimuli_data", "bonner_pnas2017/brain_data")
    live = tmp_path / "bonner_pnas2017/brain_data_live_study"
    live.mkdir()
    np.save(live / "PPA.npy", square(3, n=50, seed=9))
    data = Bonner2017(tmp_path)
    np.testing.assert_allclose(data.rdms["EVC"].to_square(), first["EVC"])
    other = Bonner2017(tmp_path / "bonner_pnas2017", study="live_study")
    assert {region: len(rdms) for region, rdms in other.rdms.items()} == {"PPA": 3}
    with pytest.raises(ValueError, match="'live_study'"):
        Bonner2017(tmp_path, study="life_study")
