"""Kept weights of an encoding: they predict in a fresh process as the fit did, and nothing damaged is believed."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
import sys

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet._files import slug
from brainnet.backbone import BACKBONES
from brainnet.dataset import ArrayDataset
from brainnet.encode import FitKey
from brainnet.run.encoding.weights import KeptFit, choose_fit, kept_fits
from brainnet.run.extraction.extraction import extract_features
from brainnet.run.fitting.prediction import predict
from brainnet.scores import pearson_r
from tests.run.encodings import Blur, pick, run_grid, save_subject

METHODS = ["ridge", "banded", "stacked", "window", "mixed"]


@pytest.fixture(autouse=True)
def networks():
    with BACKBONES.temporarily("toy", Blur):
        yield


@pytest.fixture(scope="module")
def encoded(tmp_path_factory):
    """An encoding of one subject that kept its weights, the test pictures in a folder, and the subject's data."""
    root = tmp_path_factory.mktemp("weights")
    data = ArrayDataset.from_folder(save_subject(root / "subj01", 1))
    (root / "new").mkdir()
    names = [data.image_ids[i] for i in data.splits["test"].tolist()]
    for name in names:
        shutil.copy(root / "subj01" / "images" / f"{name}.png", root / "new")
    with BACKBONES.temporarily("toy", Blur):
        run_grid(root / "subj01", root / "out", methods=METHODS, keep_weights=True, overrides=["SEED", "0"])
    return root, data


def r_of_predictions(path, data):
    names = (path.parent / "images.txt").read_text().split()
    rows = [data.image_ids.index(name) for name in names]
    return pearson_r(torch.from_numpy(np.load(path)), data.responses[rows])


@pytest.mark.parametrize(
    ("method", "layer"),
    [("ridge", "a"), ("ridge", "b"), ("banded", "all"), ("stacked", "all"), ("window", "all"), ("mixed", "all")],
)
def test_predictions_of_the_test_images_give_the_r_of_the_table(encoded, tmp_path, method, layer):
    root, data = encoded
    path = predict(root / "out", root / "new", tmp_path, method=method, layer=layer, batch_size=5, progress=False)
    found = r_of_predictions(path, data)
    with np.load(root / "out" / "voxels" / f"{slug('toy', 'subj01', method, layer, '')}.npz") as kept:
        # mixed predicts by kernels in single precision, which differ by more from sums over its weights
        np.testing.assert_allclose(found, kept["r_test"], atol=5e-6 if method == "mixed" else 1e-6)
    table = pd.read_csv(root / "out" / "encoding.csv").fillna({"control": ""})
    assert found.mean().item() == pytest.approx(pick(table, method=method, layer=layer)["mean"], abs=1e-6)


def test_a_fresh_process_predicts_without_the_data_set(tmp_path):
    folder = save_subject(tmp_path / "subj01", 1)
    data = ArrayDataset.from_folder(folder)
    overrides = ["BACKBONE.NAME", "expansion:small", "BACKBONE.OPTIONS.seed", "3"]
    run_grid(folder, tmp_path / "out", overrides=overrides, pool="mean", keep_weights=True)
    shutil.move(folder / "images", tmp_path / "pictures")
    shutil.rmtree(folder)
    shutil.rmtree(tmp_path / "out" / "jobs")
    words = ["predict", tmp_path / "out", tmp_path / "pictures", "--out", tmp_path / "found", "--quiet"]
    done = subprocess.run(
        [sys.executable, "-m", "brainnet", *map(str, words)], cwd="/", env=os.environ, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "encoding.csv").fillna({"control": ""})
    best = pick(table, method="ridge", layer="best")
    assert f"--layer {int(best['chosen_layer'])}" in " ".join(done.stderr.split())  # a line says by which fit
    found = pearson_r(
        torch.from_numpy(np.load(tmp_path / "found" / "predictions.npy"))[data.splits["test"]],
        data.responses[data.splits["test"]],
    )
    assert found.mean().item() == pytest.approx(best["mean"], abs=1e-6)


def test_the_best_fit_is_taken_unless_another_is_named(encoded, tmp_path, caplog):
    fits = kept_fits(encoded[0] / "out")
    assert {(one.key.method, one.key.layer) for one in fits} == {
        ("ridge", "a"), ("ridge", "b"), ("banded", "all"), ("stacked", "all"), ("window", "all"),
        ("mixed", "all"),
    }  # fmt: skip
    best = choose_fit(fits)
    assert best.r == max(one.r for one in fits if one.is_best_layer)
    assert choose_fit(fits, method="ridge").is_best_layer
    assert choose_fit(fits, method="ridge", layer="a").key.layer == "a"
    with caplog.at_level(logging.INFO, logger="brainnet.progress"):
        predict(encoded[0] / "out", encoded[0] / "new", tmp_path, progress=False)
    assert f"--method {best.key.method}" in caplog.text


def test_the_better_layer_on_test_images_is_not_taken_for_the_chosen_one():
    fits = [
        KeptFit(FitKey("n", "s", "ridge", layer), r, chosen)
        for layer, r, chosen in (("a", 0.5, True), ("b", 0.6, False))
    ]
    assert choose_fit(fits).key.layer == "a"
    other = KeptFit(FitKey("n", "other", "ridge", "a"), 0.1, True)
    with pytest.raises(ValueError, match="several subjects, s, other"):
        choose_fit([*fits, other])
    assert choose_fit([*fits, other], subject="other") is other
    with pytest.raises(ValueError, match=r"no weights of --layer c .* Known: a, b"):
        choose_fit(fits, layer="c")


def test_damaged_and_foreign_weights_are_refused(encoded, tmp_path):
    shutil.copytree(encoded[0] / "out", tmp_path / "out")
    paths = {path.name: path for path in (tmp_path / "out" / "weights").iterdir()}
    mine, other = (paths[f"{slug('toy', 'subj01', 'ridge', layer, '')}.npz"] for layer in "ab")

    def run():
        predict(tmp_path / "out", encoded[0] / "new", tmp_path / "p", method="ridge", layer="a", progress=False)

    whole = mine.read_bytes()
    mine.write_bytes(whole[:-100])
    with pytest.raises(ValueError, match=f"{mine.name} is damaged"):
        run()
    flipped = bytearray(whole)
    flipped[len(whole) // 2] ^= 1
    mine.write_bytes(flipped)
    with pytest.raises(ValueError, match=f"{mine.name} is damaged"):
        run()
    shutil.copy(other, mine)
    with pytest.raises(ValueError, match="another (fit|run)"):
        run()
    mine.unlink()
    with pytest.raises(FileNotFoundError):
        run()
    assert not (tmp_path / "p").exists()


def test_another_network_of_the_same_name_is_refused(encoded, tmp_path):
    with (
        BACKBONES.temporarily("toy", lambda variant=None, **options: Blur(variant, **options | {"weights": "new"})),
        pytest.raises(ValueError, match="toy is not the network of the fit: weights differ"),
    ):
        predict(encoded[0] / "out", encoded[0] / "new", tmp_path / "p", progress=False)


def test_weights_that_were_not_kept_are_said(encoded, tmp_path):
    run_grid(encoded[0] / "subj01", tmp_path / "plain", layers=["b"])
    assert not (tmp_path / "plain" / "weights").exists()
    with pytest.raises(FileNotFoundError, match="--keep-weights"):
        predict(tmp_path / "plain", encoded[0] / "new", tmp_path / "p", progress=False)
    run_grid(encoded[0] / "subj01", tmp_path / "plain", layers=["b"], keep_weights=True)  # finished jobs are run again
    assert len(kept_fits(tmp_path / "plain")) == 1
    run_grid(encoded[0] / "subj01", tmp_path / "plain", layers=["a"], keep_weights=True)
    assert [one.key.layer for one in kept_fits(tmp_path / "plain")] == ["a"]
    assert len(list((tmp_path / "plain" / "weights").iterdir())) == 1
    card = json.loads((tmp_path / "plain" / "run.json").read_text())
    (tmp_path / "plain" / "run.json").write_text(json.dumps(card | {"weights": [{"model": 3}]}))
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        kept_fits(tmp_path / "plain")


def test_a_method_of_ones_own_keeps_weights_where_it_is_linear(encoded, tmp_path, caplog):
    (tmp_path / "mine.py").write_text(
        "from sklearn.linear_model import Ridge\n"
        "class Linear(Ridge):\n    pass\n"
        "class Bent(Ridge):\n    def predict(self, X):\n        return super().predict(X) ** 2\n"
    )
    names = [f"{tmp_path / 'mine.py'}:{kind}" for kind in ("Linear", "Bent")]
    with caplog.at_level(logging.INFO, logger="brainnet.progress"):
        run_grid(encoded[0] / "subj01", tmp_path / "out", methods=names, layers=["b"], keep_weights=True)
    assert "no weights of Bent are kept" in caplog.text
    assert [one.key.method for one in kept_fits(tmp_path / "out")] == ["Linear"]
    path = predict(tmp_path / "out", encoded[0] / "new", tmp_path / "p", progress=False)
    table = pd.read_csv(tmp_path / "out" / "encoding.csv").fillna({"control": ""})
    found = r_of_predictions(path, encoded[1]).mean().item()
    assert found == pytest.approx(pick(table, method="Linear", layer="b")["mean"], abs=1e-6)


def test_features_in_files_give_the_table_of_their_network(encoded, tmp_path, monkeypatch):
    """The same grid and pooling give the same numbers, of tokens that half precision holds exactly."""
    plain = Blur.get_tokens

    def rounded(self, images):
        local, global_ = plain(self, images)
        local = {name: (maps * 64).round() / 64 for name, maps in local.items()}
        return local, {name: (values * 64).round() / 64 for name, values in global_.items()}

    monkeypatch.setattr(Blur, "get_tokens", rounded)
    root = encoded[0]
    extract_features(
        root / "subj01" / "images", tmp_path / "features", "toy", grid=(4, 4), file_format="h5", progress=False
    )
    grid = ["MODEL.GRID", "(4, 4)"]
    expected = run_grid(root / "subj01", tmp_path / "a", methods=["ridge", "banded", "stacked"], overrides=grid)
    Blur.built.clear()
    found = run_grid(
        root / "subj01", tmp_path / "b", methods=["ridge", "banded", "stacked"], features=[tmp_path / "features"]
    )
    assert not Blur.built  # no network was asked
    numbers = expected.table.select_dtypes("number").columns
    words = [name for name in expected.table.columns if name not in numbers]
    pd.testing.assert_frame_equal(found.table[words], expected.table[words])
    np.testing.assert_allclose(found.table[numbers], expected.table[numbers], atol=1e-6)
    both = run_grid(root / "subj01", tmp_path / "c", features=[tmp_path / "features"], backbones=["toy"])
    assert [key.model for key in both.headline()] == ["toy", "features"]
    run_grid(root / "subj01", tmp_path / "b", features=[tmp_path / "features"], keep_weights=True)
    with pytest.raises(ValueError, match="read features in files"):
        predict(tmp_path / "b", root / "new", tmp_path / "p", progress=False)


def test_what_features_in_files_cannot_do_is_said_before_any_work(encoded, tmp_path):
    np.save(tmp_path / "late.npy", np.zeros((3, 2)))
    for options, said in (
        ({"methods": ["window"]}, "--method window reads token maps"),
        ({"controls": ["random"]}, "--controls random"),
        ({"pool": "mean"}, "--pool mean"),
        ({}, "3 rows for the 80 images"),
        ({"layers": ["nine"]}, "no network has a layer 'nine'"),
    ):
        with pytest.raises(ValueError, match=said):
            run_grid(encoded[0] / "subj01", tmp_path / "out", features=[tmp_path / "late.npy"], **options)
    assert not (tmp_path / "out").exists()
