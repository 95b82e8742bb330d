"""The archive of the challenge: what is written passes the check, and one wrong thing at a time does not."""

from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest
import torch

from brainnet.dataset.submission import Sizes, check_submission, sizes_of, write_submission
from tests.dataset.readers.algonauts_folder import write_algonauts_folder

SUBJECTS = ("subj01", "subj02")


@pytest.fixture
def folders(tmp_path):
    for n, name in enumerate(SUBJECTS):
        write_algonauts_folder(tmp_path / name, n_left=5 + n, n_right=4, n_test_images=3, mesh=None, size=8, seed=n)
    return {name: tmp_path / name for name in SUBJECTS}


@pytest.fixture
def predictions():
    generator = np.random.default_rng(0)
    return {"subj01": generator.normal(size=(3, 9)), "subj02": torch.from_numpy(generator.normal(size=(3, 10)))}


def members(path):
    with zipfile.ZipFile(path) as archive:
        return {name: np.load(io.BytesIO(archive.read(name))) for name in archive.namelist()}


def test_predictions_are_parted_by_hemisphere_and_pass_the_check(tmp_path, folders, predictions):
    path = write_submission(tmp_path / "out.zip", predictions, folders)
    found = members(path)
    assert sorted(found) == [f"{s}/{side}_pred_test.npy" for s in SUBJECTS for side in ("lh", "rh")]
    assert all(values.dtype == np.float32 for values in found.values())
    np.testing.assert_array_equal(found["subj01/lh_pred_test.npy"], predictions["subj01"][:, :5].astype(np.float32))
    np.testing.assert_array_equal(found["subj02/rh_pred_test.npy"], predictions["subj02"][:, 6:].float())
    assert check_submission(path, folders, SUBJECTS) == {"subj01": Sizes(3, 5, 4), "subj02": Sizes(3, 6, 4)}
    again = write_submission(tmp_path / "again.zip", predictions, folders)
    assert again.read_bytes() == path.read_bytes()
    with pytest.raises(ValueError, match=r"out\.zip has no subj03/lh_pred_test\.npy"):
        check_submission(path)


def test_folders_of_predict_are_taken_where_their_images_are_the_test_images(tmp_path, folders, predictions):
    from brainnet.stimuli import Images

    made = tmp_path / "predicted"
    made.mkdir()
    np.save(made / "predictions.npy", predictions["subj01"])
    ids = Images(folders["subj01"] / "test_split/test_images").ids
    (made / "images.txt").write_text("\n".join(ids) + "\n")
    given = {"subj01": made, "subj02": predictions["subj02"]}
    path = write_submission(tmp_path / "out.zip", given, folders)
    assert path.read_bytes() == write_submission(tmp_path / "a.zip", predictions, folders).read_bytes()
    (made / "images.txt").write_text("\n".join(ids[::-1]) + "\n")
    with pytest.raises(ValueError, match=r"images\.txt names other images"):
        write_submission(tmp_path / "out.zip", given, folders)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda p: p | {"subj01": p["subj01"][:2]}, r"subj01 have shape \(2, 9\); expected \(3, 9\)"),
        (lambda p: p | {"subj01": p["subj01"] * np.nan}, "subj01 hold 27 numbers that are not finite, in 9 columns"),
        (lambda p: {**p, "subj07": p["subj01"]}, "no folder of the challenge for 'subj07'"),
        (lambda p: {}, "no predictions"),
    ],
)
def test_predictions_that_do_not_fit_leave_no_file(tmp_path, folders, predictions, change, words):
    with pytest.raises(ValueError, match=words):
        write_submission(tmp_path / "out.zip", change(predictions), folders)
    assert not (tmp_path / "out.zip").exists()


def _rewritten(path, change):
    found = change(members(path))
    with zipfile.ZipFile(path, "w") as archive:
        for name, values in found.items():
            content = io.BytesIO()
            np.save(content, values)
            archive.writestr(name, content.getvalue())


L1, R1 = "subj01/lh_pred_test.npy", "subj01/rh_pred_test.npy"
WRONG = {
    "a file missing": (lambda m: {n: v for n, v in m.items() if n != R1}, f"has no {R1}"),
    "a file too much": (lambda m: {**m, "notes.npy": m[L1]}, "holds notes.npy"),
    "a folder too deep": (lambda m: {f"out/{n}": v for n, v in m.items()}, "a folder too deep"),
    "double precision": (lambda m: {**m, L1: m[L1].astype(float)}, "lh_pred_test.npy holds float64"),
    "one row": (lambda m: {**m, L1: m[L1][0]}, r"holds float32 of shape \(5,\)"),
    "rows that differ": (lambda m: {**m, L1: m[L1][:2]}, "2 rows on the left and 3 on the right"),
    "other vertices": (
        lambda m: {**m, L1: m[L1][:, :4]},
        "4 left and 4 right vertices; expected 3 photographs, 5 left",
    ),
    "holes": (lambda m: {**m, L1: m[L1] * np.inf}, "not finite"),
    "objects": (lambda m: {**m, L1: np.array([{}], dtype=object)}, "never loaded"),
}


@pytest.mark.parametrize("name", WRONG)
def test_one_wrong_thing_is_one_line(tmp_path, folders, predictions, name):
    path = write_submission(tmp_path / "out.zip", predictions, folders)
    change, words = WRONG[name]
    _rewritten(path, change)
    with pytest.raises(ValueError, match=words) as refused:
        check_submission(path, folders, SUBJECTS)
    assert "\n" not in str(refused.value)


def test_what_is_no_archive_is_named(tmp_path):
    (tmp_path / "out.zip").write_bytes(b"PK no archive")
    with pytest.raises(ValueError, match=r"out\.zip"):
        check_submission(tmp_path / "out.zip")
    with pytest.raises(FileNotFoundError, match=r"nothing\.zip"):
        check_submission(tmp_path / "nothing.zip")
    with pytest.raises(FileNotFoundError, match="lh_training_fmri"):
        sizes_of(tmp_path)
    with pytest.raises(ValueError, match=r"takes a \.zip file"):
        write_submission(tmp_path / "out.tar", {}, {})
