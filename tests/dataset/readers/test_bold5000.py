"""BOLD5000 read from folders in its layout: planted betas by region or volume, sessions, repeated photographs."""

from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch

from brainnet.dataset.readers.bold5000 import BOLD5000
from tests.dataset.readers.fmri_folders import write_bold5000


@pytest.fixture(scope="module")
def planted(tmp_path_factory):
    return write_bold5000(tmp_path_factory.mktemp("bold5000"))


def by_hand(made, standardize=True):
    values = made.values.copy()
    if standardize:
        for rows in np.split(np.arange(len(values)), [made.more["counts"][0]]):
            values[rows] = (values[rows] - values[rows].mean(0)) / values[rows].std(0)
    return {name: values[[one == name for one in made.names]].mean(0) for name in dict.fromkeys(made.names)}


@pytest.mark.parametrize("standardize", [True, False])
def test_responses_are_the_means_of_standardized_trials(planted, standardize):
    data = BOLD5000(planted.root, standardize=standardize, progress=False)
    expected = by_hand(planted, standardize)
    assert data.image_ids == [name.rsplit(".", 1)[0] for name in expected]
    np.testing.assert_allclose(data.responses, np.stack(list(expected.values())), atol=1e-5)
    assert data.trials.n_trials == 37


def test_repeated_photographs_are_the_test_images(planted):
    data = BOLD5000(planted.root, val=3, progress=False)
    assert {data.image_ids[i] for i in data.splits["test"]} == {"n0200_1", "kitchen1"}
    assert [len(rows) for rows in data.splits.values()] == [26, 3, 2]
    assert data.n_repeats == 4
    q = data.trials.ncsnr
    torch.testing.assert_close(data.noise_ceiling.double(), (q**2 / (q**2 + 1 / 4)).sqrt(), rtol=1e-5, atol=1e-6)
    assert set(data.groups) == {1, 2}


def test_names_may_begin_with_the_mark_of_windows(planted):
    first = BOLD5000(planted.root, progress=False)
    path = planted.root / "CSI1_imgnames.txt"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes().replace(b"\n", b"\r\n"))
    assert BOLD5000(planted.root, progress=False).image_ids == first.image_ids


def test_regions_and_their_halves(planted):
    whole = BOLD5000(planted.root, progress=False)
    assert list(whole.space.rois)[:6] == ["EarlyVis", "LOC", "OPA", "PPA", "RSC", "LHEarlyVis"]
    columns = planted.more["columns"]
    part = BOLD5000(planted.root, region="PPA+LHLOC", progress=False)
    order = sorted([*columns["LHLOC"], *columns["LHPPA"], *columns["RHPPA"]])
    torch.testing.assert_close(part.responses, whole.responses[:, order])
    assert part.space.rois["PPA"].tolist() == [False, False, True, True, True, True]


def test_volumes_hold_the_same_where_there_are_numbers(tmp_path):
    made = write_bold5000(tmp_path, kind="volumes")
    data = BOLD5000(tmp_path, betas="volumes", progress=False)
    expected = by_hand(made)
    np.testing.assert_allclose(data.responses, np.stack(list(expected.values())), atol=1e-5)
    np.testing.assert_array_equal(data.space.mask, made.more["inside"])
    with pytest.raises(ValueError, match="volumes have no regions"):
        BOLD5000(tmp_path, betas="volumes", region="PPA", progress=False)


def test_an_image_is_the_file_its_id_says(planted):
    data = BOLD5000(planted.root, progress=False)
    for row in (0, 7):
        assert data.load_image(row).getpixel((0, 0)) == (row, 100, 200)


def _save(name, change):
    def damage(root):
        path = root / f"BOLD5000_GLMsingle_ROI_betas/py/CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_allses_{name}.npy"
        np.save(path, change(np.load(path)))

    return damage


LISTS = "BOLD5000_Stimuli/Stimuli_Presentation_Lists"
DAMAGES = {
    "no names": (lambda r: (r / "CSI1_imgnames.txt").unlink(), FileNotFoundError, "CSI1_imgnames"),
    "names emptied": (lambda r: (r / "CSI1_imgnames.txt").write_text(""), ValueError, "names no photograph"),
    "names of fewer trials": (lambda r: (r / "CSI1_imgnames.txt").write_text("a.jpg\nb.jpg\n"), ValueError,
                              r"has shape \(37, 2\); expected \(2, voxels\)"),
    "no betas": (lambda r: shutil.rmtree(r / "BOLD5000_GLMsingle_ROI_betas"), FileNotFoundError, "allses_LHEarlyVis"),
    "half of a region": (lambda r: next(r.rglob("*RHPPA.npy")).unlink(), FileNotFoundError, "RHPPA.*other half of PPA"),
    "betas turned": (_save("LHPPA", lambda a: a.T), ValueError, r"LHPPA.npy has shape \(2, 37\)"),
    "whole numbers": (_save("LHPPA", lambda a: a.astype(int)), ValueError, "LHPPA.npy holds int64"),
    "objects": (_save("LHPPA", lambda a: np.array([{}], dtype=object)), ValueError, "never loaded"),
    "no lists": (lambda r: shutil.rmtree(r / LISTS), FileNotFoundError, "CSI1_sess01"),
    "a list missing": (lambda r: next((r / LISTS).rglob("*run02.txt")).unlink(), ValueError, "imgnames.txt has 37"),
    "no photographs": (lambda r: shutil.rmtree(r / "BOLD5000_Stimuli/Scene_Stimuli"), FileNotFoundError, "Presented"),
    "a photograph missing": (lambda r: next(r.rglob("kitchen1.jpg")).unlink(), FileNotFoundError, "kitchen1"),
}  # fmt: skip


@pytest.mark.parametrize("name", DAMAGES)
def test_one_wrong_file(planted, tmp_path, name):
    shutil.copytree(planted.root, tmp_path / "b")
    damage, error, words = DAMAGES[name]
    damage(tmp_path / "b")
    with pytest.raises(error, match=words) as refused:
        BOLD5000(tmp_path / "b", progress=False)
    assert "\n" not in str(refused.value)


def test_a_session_missing_or_truncated_is_named(tmp_path):
    write_bold5000(tmp_path, kind="volumes")
    second = tmp_path / "CSI1_GLMbetas-TYPED-FITHRF-GLMDENOISE-RR_ses-02.nii.gz"
    content = second.read_bytes()
    second.write_bytes(content[: len(content) // 2])
    with pytest.raises(ValueError, match=r"ses-02\.nii\.gz"):
        BOLD5000(tmp_path, betas="volumes", progress=False)
    second.unlink()
    with pytest.raises(ValueError, match="have 20 trials, and CSI1_imgnames.txt has 37"):
        BOLD5000(tmp_path, betas="volumes", progress=False)


@pytest.mark.parametrize(("options", "words"), [({"subject": 5}, "1, 2, 3, 4"), ({"version": "TYPED"}, "TYPED-FITHRF"),
                                                ({"region": "FFA"}, "Known: EarlyVis")])  # fmt: skip
def test_wrong_options_are_one_line(planted, options, words):
    with pytest.raises(ValueError, match=words):
        BOLD5000(planted.root, progress=False, **options)
