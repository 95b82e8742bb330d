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

import brainnet
from brainnet.run.extraction.extraction import FORMATS
from brainnet.run.extraction.feature_files import read_features

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
    (tmp_path / "notes.md").write_text("1 2")
    with pytest.raises(ValueError, match=r"notes\.md"):
        read_features(tmp_path / "notes.md")


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


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".mat"])
def test_features_larger_than_memory_are_read_in_parts(tmp_path, suffix):
    n, width = 200_000, 100_000  # 80 GB of zeros, which take no room in the file
    with h5py.File(tmp_path / f"late{suffix}", "w") as file:
        features = file.create_dataset("features", (width, n) if suffix == ".mat" else (n, width), "f4")
        rows = (slice(None, 100), 7) if suffix == ".mat" else (7, slice(None, 100))
        features[rows] = np.arange(100)
    (tmp_path / "images.txt").write_text("\n".join(map(str, range(n))))
    found = read_features(tmp_path).of(["9", "7"])["late"]
    assert found.shape == (2, width)
    np.testing.assert_array_equal(found[:][:, :101], [[0] * 101, [*range(100), 0]])


def test_tensors_of_an_old_file_and_of_other_precision_are_read(tmp_path):
    torch.save({"features": torch.from_numpy(ROWS).bfloat16(), "images": NAMES}, tmp_path / "late.pt",
               _use_new_zipfile_serialization=False)  # fmt: skip
    np.testing.assert_allclose(read_features(tmp_path / "late.pt").of(WANTED)["late"][:], IN_ORDER, atol=0.01)


# ---------------------------------------------------------------------- what extract and other tools write


@pytest.fixture
def pictures(tmp_path):
    from PIL import Image

    (tmp_path / "pictures").mkdir()
    for i in (0, 1, 2, 10):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / "pictures" / f"im{i}.png")
    return tmp_path / "pictures"


@pytest.mark.parametrize("file_format", FORMATS)
def test_every_format_of_extract_is_read_and_no_flipped_byte_is_believed(tmp_path, pictures, file_format):
    how = {"layers": ["2", "a/b"], "pool": "mean", "progress": False}
    network = Pair()
    truth = brainnet.extract(network, pictures, **how)
    written = brainnet.extract(network, pictures, tmp_path / "out", format=file_format, **how)
    files = read_features(tmp_path / "out")
    assert files.label == "Pair"
    assert list(files.layers) == ["2", "a/b"]
    assert files.ids == ["im0", "im1", "im2", "im10"]
    found = files.of(["im10", "im0"])
    for layer in how["layers"]:
        np.testing.assert_allclose(found[layer][:], truth[layer][[3, 0]], rtol=1e-6)
    target = written["a/b"]
    target = next(path for path in sorted(target.rglob("*")) if path.is_file()) if target.is_dir() else target
    raw = bytearray(target.read_bytes())
    raw[-3] ^= 1
    target.write_bytes(raw)
    with pytest.raises(ValueError, match="damaged"):
        read_features(tmp_path / "out")


class Pair:
    def get_tokens(self, images):
        local = {"2": images[:, :, ::7, ::5], "a/b": images[:, 1:, ::50, ::50]}
        return local, {name: values.mean((2, 3)) for name, values in local.items()}


def test_text_beside_features_is_no_layer(tmp_path):
    np.save(tmp_path / "late.npy", ROWS)
    (tmp_path / "README.txt").write_text("read me")
    assert list(read_features(tmp_path).layers) == ["late"]
    (tmp_path / "late.npy").unlink()
    with pytest.raises(ValueError, match=r"README\.txt"):
        read_features(tmp_path)


def test_steps_beside_features_are_no_layer(tmp_path, pictures):
    brainnet.extract(Pair(), pictures, tmp_path / "out", format="npz", reduce="pca:2", progress=False)
    assert {layer: rows.shape for layer, rows in read_features(tmp_path / "out").layers.items()} == {
        "2": (4, 2), "a/b": (4, 2),
    }  # fmt: skip


THINGSVISION = ("npy", "mat", "pt", "hdf5", "txt", "low_memory", "split", "split hdf5", "split mat")


@pytest.mark.parametrize("kind", THINGSVISION)
def test_the_files_of_thingsvision_are_read(tmp_path, kind):
    (tmp_path / "file_names.txt").write_text("".join(f"/data/set/{name}.jpg\n" for name in NAMES))
    bare = [f"/data/set/{name}" for name in NAMES]
    if kind == "npy":
        np.save(tmp_path / "features.npy", ROWS)
    elif kind == "mat":
        savemat(tmp_path / "features.mat", dict(zip(bare, ROWS, strict=True)))
    elif kind == "pt":
        torch.save(torch.from_numpy(ROWS), tmp_path / "features.pt")
    elif kind == "hdf5":
        with h5py.File(tmp_path / "features.hdf5", "w") as file:
            file["features"] = ROWS
    elif kind == "txt":
        np.savetxt(tmp_path / "features.txt", ROWS)
    elif kind == "low_memory":
        for module in ("conv1", "fc"):
            (tmp_path / module).mkdir()
            for first in (0, 2):
                np.save(tmp_path / module / f"features_{first}-{first + 2}.npy", ROWS[first : first + 2])
    elif kind == "split":
        for part in (0, 1):
            np.save(tmp_path / f"features_{part + 1:02d}.npy", ROWS[2 * part : 2 * part + 2])
    elif kind == "split hdf5":
        with h5py.File(tmp_path / "features.hdf5", "w") as file:
            file["features_01"], file["features_02"] = ROWS[:1], ROWS[1:]
    elif kind == "split mat":
        for part in (0, 1):
            rows = slice(2 * part, 2 * part + 2)
            savemat(tmp_path / f"features_{part + 1:02d}.mat", dict(zip(bare[rows], ROWS[rows], strict=True)))
    files = read_features(tmp_path)
    for layer in files.layers:
        np.testing.assert_allclose(files.of(WANTED)[layer][:], IN_ORDER, rtol=1e-6)
    assert list(files.layers) == (["conv1", "fc"] if kind == "low_memory" else list(files.layers)[:1])
    if kind == "low_memory":
        np.testing.assert_allclose(read_features(tmp_path / "fc").of(WANTED)["fc"][:], IN_ORDER, rtol=1e-6)
