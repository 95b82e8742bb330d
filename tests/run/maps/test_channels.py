from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image

from brainnet.run.fitting.prediction import load_model
from brainnet.run.maps.channels import channels, clusters_of
from tests.tables import unlisted_columns


def test_best_images_are_those_of_the_highest_predicted_response(mapped, tmp_path):
    run, _, data, _, _ = mapped
    paths = channels(run, ["early"], tmp_path / "out", n_images=4, progress=False)
    assert all(path.is_file() for path in paths)
    assert {path.name for path in paths} >= {"channels_early.png", "best_early.png", "clusters.png", "images.csv"}
    table = pd.read_csv(tmp_path / "out/images.csv", keep_default_na=False, dtype={"image": str})
    model = load_model(run)
    with torch.no_grad():
        images = torch.stack([data.image(i, model.preprocessing) for i in range(len(data))])
        predicted = model(images)[0]
    z = (predicted - predicted.mean(0)) / predicted.std(0)
    course = z[:, data.space.rois["early"]].mean(1)
    order = course.argsort(descending=True)
    rows = table[(table["voxel"] == "") & (table["order"] == "best")]
    assert rows["image"].tolist() == [data.image_ids[i] for i in order[:2]]
    np.testing.assert_allclose(rows["predicted"], course[order[:2]], atol=1e-4)
    worst = table[(table["voxel"] == "") & (table["order"] == "worst")]
    assert worst["image"].tolist() == [data.image_ids[i] for i in order.flip(0)[:2]]
    voxels = set(table["voxel"]) - {""}
    assert voxels <= {str(int(v)) for v in data.space.vertices[data.space.rois["early"]]}  # by their mesh vertices
    assert not unlisted_columns(tmp_path)


def test_the_same_command_gives_the_same_directions_and_other_images_can_be_given(mapped, tmp_path):
    folder = tmp_path / "new"
    folder.mkdir()
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"photo{i}.png")
    found = []
    for name in ("a", "b"):
        channels(mapped[0], ["late"], tmp_path / name, images=folder, n_images=2, progress=False)
        with np.load(tmp_path / name / "channels.npz") as arrays:
            found.append({key: arrays[key] for key in arrays.files})
        assert set(pd.read_csv(tmp_path / name / "images.csv")["image"]) <= {"photo0", "photo1", "photo2"}
    assert all(np.array_equal(found[0][key], found[1][key]) for key in found[0])
    weight = load_model(mapped[0]).encoder.weight.detach()
    trained = torch.tensor([0, 0, 1, 1, 0, 1, 1]) > 0  # of "late", without the voxel that trained on nothing
    drive = torch.from_numpy(found[0]["late/components"]) @ weight[trained].T
    assert (drive.mean(1) > 0).all()  # the sign is that which raises the region's mean response


def test_what_has_no_channels_is_refused(mapped, tmp_path):
    with pytest.raises(ValueError, match=r"Unknown ROI 'erly'.*early"):
        channels(mapped[0], ["erly"], tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="'none'"):
        channels(mapped[0], ["none"], tmp_path / "out", progress=False)
    with pytest.raises(FileNotFoundError):
        channels(tmp_path / "nowhere", [], tmp_path / "out", progress=False)
    with pytest.raises(ValueError, match="got 0"):
        channels(mapped[0], [], tmp_path / "out", n_images=0, progress=False)
    assert not (tmp_path / "out").exists()


def test_clusters_are_numbered_as_those_of_another_run(mapped, invoke, tmp_path):
    assert clusters_of(mapped[0]) is not None
    said = invoke("channels", mapped[0], "--roi", "early", "--n-images", 1, "--like", mapped[0], "--out",
                  tmp_path / "out", "--format", "png", "--quiet")  # fmt: skip
    assert "clusters.png" in said
    assert (tmp_path / "out/clusters.png").is_file()
    assert not list((tmp_path / "out").glob("*.svg"))
