"""Features in files: the numbers of the store in every format, and nothing of another extraction beside them."""

from __future__ import annotations

import json

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from scipy.io import loadmat

from brainnet.backbone import build_backbone
from brainnet.run import extraction as run_extract
from brainnet.run.extraction import extract_features
from brainnet.run.rdms import write_rdms
from brainnet.store import TokenStore

READERS = {
    "npy": np.load,
    "csv": lambda path: pd.read_csv(path, index_col="image").to_numpy(),
    "h5": lambda path: h5py.File(path)["features"][:],
    "mat": lambda path: loadmat(path)["features"],
    "pt": lambda path: torch.load(path)["features"].numpy(),
}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(7):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{i + 5}.png")  # p10 comes after p9
    return folder


@pytest.fixture
def expected(pictures):
    def of(layer, pool):
        paths = [pictures / f"p{i + 5}.png" for i in range(7)]
        store = TokenStore.build(build_backbone("expansion:small"), paths, dtype=torch.float32, progress=False)
        return store.features(layer, pool).numpy()

    return of


@pytest.mark.parametrize("file_format", READERS)
def test_every_format_holds_the_features_of_the_store(pictures, expected, tmp_path, monkeypatch, file_format):
    monkeypatch.setattr(run_extract, "ROWS", 3)  # several parts
    out = tmp_path / "out"
    written = extract_features(
        pictures, out, "expansion:small", layers=["2", "4"], pool="both", file_format=file_format, progress=False
    )
    assert list(written) == ["2", "4"]
    for layer, path in written.items():
        np.testing.assert_allclose(READERS[file_format](path), expected(layer, "both"), rtol=1e-4, atol=1e-5)
    names = [f"p{i + 5}" for i in range(7)]
    assert (out / "images.txt").read_text().split() == names
    assert {path.name for path in out.iterdir()} == {f"2.{file_format}", f"4.{file_format}", "images.txt", "run.json"}
    if file_format == "csv":
        assert pd.read_csv(written["2"])["image"].tolist() == names
    if file_format == "h5":
        assert [name.decode() for name in h5py.File(written["2"])["images"]] == names


def test_rdms_of_the_files_are_those_of_the_pictures(pictures, tmp_path):
    extract_features(pictures, tmp_path / "features", "expansion:small", layers=["3", "5"], progress=False)
    of_files = write_rdms(tmp_path / "features", tmp_path / "a", progress=False)
    of_pictures = write_rdms(pictures, tmp_path / "b", backbone="expansion:small", layers=["3", "5"], progress=False)
    assert of_files.names == of_pictures.names
    assert list(of_files.conditions) == list(of_pictures.conditions) == [f"p{i + 5}" for i in range(7)]
    torch.testing.assert_close(of_files.values, of_pictures.values)


def test_an_interrupted_extraction_goes_on(pictures, tmp_path, monkeypatch):
    seen = []

    def stopping(path, parts, ids):
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setitem(run_extract.WRITERS, "npy", stopping)
        with pytest.raises(KeyboardInterrupt):
            extract_features(pictures, tmp_path / "out", "expansion:small", layers=["1"], progress=False)
    load = run_extract.Images.__getitem__
    monkeypatch.setattr(run_extract.Images, "__getitem__", lambda self, i: seen.append(i) or load(self, i))
    extract_features(pictures, tmp_path / "out", "expansion:small", layers=["1"], progress=False, batch_size=16)
    assert len(seen) == 7  # for the fingerprint; no picture was seen by the network again


def test_nothing_of_another_extraction_is_left_beside_a_new_one(pictures, tmp_path):
    out = tmp_path / "out"
    extract_features(pictures, out, "expansion:small", layers=["1", "2"], progress=False, keep_tokens=True)
    assert len(TokenStore.open(out / "tokens.bin")) == 7
    with pytest.raises(FileExistsError, match="--overwrite"):
        extract_features(pictures, out, "expansion:small", layers=["3"], progress=False)
    (out / "mine.npy").touch()
    extract_features(pictures, out, "expansion:small", layers=["3"], progress=False, overwrite=True)
    assert {path.name for path in out.iterdir()} == {"3.npy", "mine.npy", "images.txt", "run.json"}
    assert json.loads((out / "run.json").read_text())["settings"]["layers"] == ["3"]


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"file_format": "nyp"}, "Did you mean 'npy'"),
        ({"pool": "men"}, "Did you mean 'mean'"),
        ({"layers": ["9"]}, "Unknown layer '9'"),
    ],
)
def test_bad_input_is_one_line_and_leaves_nothing(pictures, tmp_path, settings, message):
    with pytest.raises(ValueError, match=message):
        extract_features(pictures, tmp_path / "out", "expansion:small", progress=False, **settings)
    assert not (tmp_path / "out").exists()


def test_an_unfinished_extraction_of_something_else_is_told(pictures, tmp_path):
    out = tmp_path / "out"
    extract_features(pictures, out, "expansion:small", layers=["1"], progress=False, keep_tokens=True)
    (out / "run.json").unlink()
    with pytest.raises(ValueError, match="another extraction"):
        extract_features(pictures, out, "expansion:small", layers=["2"], progress=False)
