"""Features in files: every format gives its rows to the right images, and says what it lacks."""

from __future__ import annotations

import json
import logging

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from scipy.io import savemat

from brainnet.run.feature_files import read_features

NAMES = [f"im{i}" for i in (3, 1, 2, 0)]
ROWS = np.arange(12, dtype=np.float32).reshape(4, 3) / 7
WANTED = ["im0", "im1", "im2", "im3"]
IN_ORDER = ROWS[[3, 1, 2, 0]]


def write_npz(folder):
    np.savez(folder / "late.npz", late=ROWS, image_ids=np.array(NAMES))
    return folder / "late.npz"


def write_entries(folder):
    np.savez(folder / "late.npz", **dict(zip(NAMES, ROWS, strict=True)))
    return folder / "late.npz"


def write_npy(folder):
    np.save(folder / "late.npy", ROWS)
    (folder / "images.txt").write_text("\n".join(f"set/{name}.jpg" for name in NAMES))
    return folder


def write_csv(folder):
    pd.DataFrame(ROWS, index=pd.Index(NAMES, name="image")).to_csv(folder / "late.csv")
    return folder / "late.csv"


def write_csv_without_header(folder):
    pd.DataFrame(ROWS, index=NAMES).to_csv(folder / "late.csv", header=False)
    return folder / "late.csv"


def write_h5(folder):
    with h5py.File(folder / "late.h5", "w") as file:
        file["features"], file["images"] = ROWS.reshape(4, 3, 1), NAMES
    return folder / "late.h5"


def write_mat(folder):
    savemat(folder / "late.mat", {"features": ROWS, "images": np.array(NAMES, dtype=object)})
    return folder / "late.mat"


def write_pt(folder):
    torch.save({"features": torch.from_numpy(ROWS), "images": NAMES}, folder / "late.pt")
    return folder / "late.pt"


WRITERS = [write_npz, write_entries, write_npy, write_csv, write_csv_without_header, write_h5, write_mat, write_pt]


@pytest.mark.parametrize("write", WRITERS)
def test_every_format_gives_its_rows_to_the_right_images(write, tmp_path):
    found = read_features(write(tmp_path), set(WANTED)).of(WANTED)
    assert list(found) == ["late", "image_ids"]
    assert found["image_ids"] == WANTED
    assert found["late"].shape == (4, 3)
    np.testing.assert_allclose(found["late"][:], IN_ORDER, rtol=1e-6)
    np.testing.assert_allclose(found["late"][np.array([2, 0])], IN_ORDER[[2, 0]], rtol=1e-6)
    few = read_features(write(tmp_path), set(WANTED)).of(["im2"])["late"]  # of one subject among several
    np.testing.assert_allclose(few[:], ROWS[2:3], rtol=1e-6)


def test_rows_without_names_are_taken_by_order_and_a_line_says_so(tmp_path, caplog):
    np.save(tmp_path / "late.npy", ROWS)
    with caplog.at_level(logging.INFO, logger="brainnet.progress"):
        found = read_features(tmp_path).of(WANTED)["late"]
    np.testing.assert_array_equal(found[:], ROWS)
    assert "no names" in caplog.text
    assert str(tmp_path) in caplog.text
    with pytest.raises(ValueError, match=r"4 rows for the 3 images of subj01"):
        read_features(tmp_path).of(WANTED[:3], "subj01")


def test_row_numbers_and_numbers_alone_are_no_names(tmp_path):
    pd.DataFrame(ROWS).to_csv(tmp_path / "a.csv")  # with an index that pandas made
    pd.DataFrame(ROWS).to_csv(tmp_path / "b.csv", index=False)
    np.savetxt(tmp_path / "c.csv", ROWS, delimiter=",")
    found = read_features(tmp_path)
    assert found.ids is None
    for layer in "abc":
        np.testing.assert_allclose(found.of(WANTED)[layer][:], ROWS, rtol=1e-6)


def test_names_that_look_like_numbers_stay_as_they_are(tmp_path):
    pd.DataFrame(ROWS, index=pd.Index(["007", "07", "nan", "1e3"], name="image")).to_csv(tmp_path / "a.csv")
    assert read_features(tmp_path).ids == ["007", "07", "nan", "1e3"]


def test_what_is_missing_or_ambiguous_is_named(tmp_path):
    path = write_npz(tmp_path)
    with pytest.raises(ValueError, match=r"lack 1 of the 2 images of subj01, the first is 'im44'\. Did you mean"):
        read_features(path).of(["im0", "im44"], "subj01")
    np.savez(tmp_path / "twice.npz", x=ROWS, ids=np.array(["a", "a", "b", "c"]))
    with pytest.raises(ValueError, match="several rows .* are called 'a'"):
        read_features(tmp_path / "twice.npz").of(["a", "b"])
    np.savez(tmp_path / "short.npz", x=ROWS, ids=np.array(["a", "b"]))
    with pytest.raises(ValueError, match="2 names for the 4 rows"):
        read_features(tmp_path / "short.npz")
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_features(tmp_path / "nothing")
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"\.npy"):
        read_features(tmp_path / "empty")
    (tmp_path / "late.npy").write_bytes(b"no array")
    with pytest.raises(ValueError, match=r"late\.npy"):
        read_features(tmp_path / "late.npy")
    (tmp_path / "notes.txt").write_text("1 2")
    with pytest.raises(ValueError, match=r"notes\.txt"):
        read_features(tmp_path / "notes.txt")


def test_layers_of_other_images_are_refused(tmp_path):
    write_npz(tmp_path)
    np.savez(tmp_path / "early.npz", early=ROWS, image_ids=np.array(NAMES[::-1]))
    with pytest.raises(ValueError, match=r"'late' .* other images than 'early'"):
        read_features(tmp_path)
    np.savez(tmp_path / "early.npz", early=ROWS[:2], image_ids=np.array(NAMES[:2]))
    with pytest.raises(ValueError, match="different numbers of rows"):
        read_features(tmp_path)


def test_a_card_names_layers_but_no_files(tmp_path):
    np.save(tmp_path / "a-b_541e27.npy", ROWS)
    (tmp_path / "images.txt").write_text("\n".join(NAMES))
    card = {"kind": "extract", "source": {"backbone": "toy:net"}, "settings": {"layers": ["a b", "x"]},
            "files": ["a-b_541e27.npy", "../../etc/passwd"]}  # fmt: skip
    (tmp_path / "run.json").write_text(json.dumps(card))
    found = read_features(tmp_path)
    assert (found.label, list(found.layers)) == ("toy:net", ["a b"])
    (tmp_path / "run.json").write_text('{"kind": "extract", "settings": 3, "files": {}}')
    assert list(read_features(tmp_path).layers) == ["a-b_541e27"]


def test_several_layers_in_one_file_keep_their_names(tmp_path):
    np.savez(tmp_path / "net.npz", early=ROWS, late=ROWS * 2, images=np.array(NAMES), labels=np.arange(9.0))
    found = read_features(tmp_path / "net.npz").of(WANTED)
    assert [name for name in found if name != "image_ids"] == ["early", "late"]
