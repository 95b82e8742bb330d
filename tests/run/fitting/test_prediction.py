from __future__ import annotations

import shutil

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.plmodel import PLModel
from brainnet.run.extraction.feature_files import read_features
from brainnet.run.fitting.prediction import load_model, predict
from brainnet.run.record.runs import read_run


def test_predictions_of_new_images(finished, tmp_path, monkeypatch):
    folder = tmp_path / "new"
    folder.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{i}.png")
    path = predict(finished[0], folder, tmp_path / "out", batch_size=2, progress=False)
    found = np.load(path)
    assert (path.parent / "images.txt").read_text().split() == ["photo0", "photo1", "photo2"]
    model = load_model(finished[0])
    for row, i in zip(found, range(3), strict=True):
        with Image.open(folder / f"photo{i}.png") as photo, torch.no_grad():
            assert np.allclose(row, model(model.preprocessing(photo)[None])[0][0], atol=1e-5)

    damaged = shutil.copytree(folder, tmp_path / "damaged")
    (damaged / "photo1.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"photo1\.png"):
        predict(finished[0], damaged, tmp_path / "some", progress=False)
    assert not (tmp_path / "some").exists()
    some = np.load(predict(finished[0], damaged, tmp_path / "some", skip_bad=True, progress=False))
    np.testing.assert_allclose(some, found[[0, 2]], atol=1e-6)
    assert (tmp_path / "some/images.txt").read_text().split() == ["photo0", "photo2"]

    assert read_features(tmp_path / "out").ids == ["photo0", "photo1", "photo2"]
    again = predict(finished[0], folder, tmp_path / "out", progress=False)
    np.testing.assert_allclose(np.load(again), found, atol=1e-5)
    raw = bytearray(path.read_bytes())
    raw[-2] ^= 1
    path.write_bytes(raw)
    with pytest.raises(ValueError, match=r"predictions\.npy is damaged"):
        read_features(tmp_path / "out")
    found = np.load(path)

    def stop(self, images):
        raise KeyboardInterrupt

    monkeypatch.setattr(PLModel, "forward", stop)
    with pytest.raises(KeyboardInterrupt):
        predict(finished[0], folder, tmp_path / "out", progress=False)
    assert np.array_equal(np.load(path), found)  # a prediction that is not whole replaces none


def test_a_voxel_that_could_not_be_trained_predicts_nan(mapped, tmp_path):
    Image.new("RGB", (32, 32), (9, 99, 199)).save(tmp_path / "a.png")
    found = np.load(predict(mapped[0], [tmp_path / "a.png"], tmp_path / "out", progress=False))
    assert np.isnan(found).tolist() == [[False] * 4 + [True] + [False] * 2]
    data, model = mapped[2], mapped[4]
    with Image.open(tmp_path / "a.png") as photo, torch.no_grad():
        expected = model(data.preprocessing(photo)[None])[0][0]
    np.testing.assert_allclose(found[0, :4], expected[:4], atol=1e-5)


def test_predictions_in_the_folder_of_the_run_stand_in_its_card(finished, tmp_path):
    run = shutil.copytree(finished[0], tmp_path / "run")
    Image.new("RGB", (32, 32), (9, 99, 199)).save(tmp_path / "a.png")
    predict(run, [tmp_path / "a.png"], run, progress=False)
    _, card = read_run(run)
    assert card["kind"] == "fit"
    assert {"model.ckpt", "predictions.npy", "images.txt"} <= set(card["files"])


def test_pictures_that_were_left_out_are_listed_in_the_card(finished, tmp_path):
    """Of a folder of predictions, and of the folder of the run itself."""
    (tmp_path / "new").mkdir()
    Image.new("RGB", (32, 32), (9, 99, 199)).save(tmp_path / "new" / "a.png")
    (tmp_path / "new" / "b.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"b\.png"):
        predict(finished[0], tmp_path / "new", tmp_path / "out", progress=False)
    predict(finished[0], tmp_path / "new", tmp_path / "out", skip_bad=True, progress=False)
    assert list(read_run(tmp_path / "out")[1]["source"]["skipped"]) == ["b.png"]
    run = shutil.copytree(finished[0], tmp_path / "run")
    predict(run, tmp_path / "new", run, skip_bad=True, progress=False)
    card = read_run(run)[1]
    assert card["kind"] == "fit"
    assert list(card["predicted"]["skipped"]) == ["b.png"]
