"""Pictures of predictions: a figure of the first images, and a page of all up to a bound."""

import shutil

import numpy as np
import pytest
from PIL import Image

from brainnet import plot
from brainnet.run.fitting.prediction import predict
from brainnet.run.maps.predicted_maps import MOST_IMAGES


@pytest.fixture
def photographs(tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    for k in range(3):
        pixels = np.random.default_rng(k).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{k}.png")
    return folder


@pytest.fixture
def scenes(monkeypatch):
    seen = []
    monkeypatch.setattr(plot, "page", lambda *scenes, **_: seen.extend(scenes) or "page")
    return seen


def test_the_first_map_of_the_page_is_what_was_predicted(mapped, photographs, scenes, tmp_path):
    path = predict(mapped[0], photographs, tmp_path / "out", progress=False, with_page=True)
    assert {"predicted.png", "predicted.svg", "predicted.html"} <= {one.name for one in path.parent.iterdir()}
    (scene,) = scenes
    assert list(scene.maps)[:2] == ["Predicted activity", "Layer"]
    np.testing.assert_array_equal(scene.maps["Predicted activity"].values, np.load(path).T)
    assert list(scene.images) == ["photo0", "photo1", "photo2"]
    predict(mapped[0], photographs, tmp_path / "out", progress=False)
    assert not (tmp_path / "out" / "predicted.html").exists()  # that of another prediction


def test_a_checkpoint_alone_has_its_predictions_only(mapped, photographs, scenes, tmp_path):
    (tmp_path / "alone").mkdir()
    shutil.copy(mapped[0] / "model.ckpt", tmp_path / "alone")
    predict(tmp_path / "alone" / "model.ckpt", photographs, tmp_path / "out", progress=False, with_page=True)
    assert list(scenes[0].maps) == ["Predicted activity"]


def test_voxels_without_a_place_are_predicted_and_not_drawn(finished, photographs, tmp_path):
    path = predict(finished[0], photographs, tmp_path / "out", progress=False, with_page=True)
    assert {one.name for one in path.parent.iterdir()} == {"predictions.npy", "images.txt", "run.json"}


def test_a_page_shows_no_more_images_than_its_bound(mapped, scenes, tmp_path):
    many = [tmp_path / f"{k:02}.png" for k in range(MOST_IMAGES + 2)]
    for k, path in enumerate(many):
        Image.new("RGB", (24, 24), (k, 99, 199)).save(path)
    path = predict(mapped[0], many, tmp_path / "out", progress=False, with_page=True)
    assert np.load(path).shape == (MOST_IMAGES + 2, 7)
    assert len(scenes[0].images) == scenes[0].maps["Predicted activity"].values.shape[1] == MOST_IMAGES
