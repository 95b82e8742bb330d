"""What a page is told of run folders: maps by name, their roles, and where the voxels are."""

import shutil
from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet._files import write_json
from brainnet.plot import page
from brainnet.rsa import SearchlightMaps
from brainnet.run.page.scenes import scenes_of
from brainnet.run.page.selector_maps import WEIGHTS, planted_scene
from brainnet.run.record.card import Clock, opening, put_card
from brainnet.scores import VoxelTest
from brainnet.space import surface_space
from tests.run.encodings import run_grid, save_subject


def test_a_fit_shows_its_selectors_and_scores(mapped):
    out, metrics, data, _, _ = mapped
    (scene,) = scenes_of(out)
    with np.load(out / "selectors.npz", allow_pickle=False) as arrays:
        np.testing.assert_array_equal(scene.maps["Space"].values, arrays["space"])
        np.testing.assert_array_equal(scene.maps["Layer"].values, arrays["layer"].argmax(1))
        np.testing.assert_array_equal(scene.maps["Scale"].values, arrays["scale"][:, 0])
        listed = scene.bars[WEIGHTS]
        np.testing.assert_array_equal(np.stack([scene.maps[name].values for name in listed], 1), arrays["layer"])
    scores = pd.read_csv(out / "scores.csv")
    np.testing.assert_allclose(scene.maps["Score"].values, scores["r"])
    np.testing.assert_allclose(scene.maps["Score / ceiling"].values, scores["ceiling_share"], rtol=1e-6)
    assert set(scene.space.rois) == set(data.space.rois)
    assert (scene.score, scene.ceiling, scene.scale, scene.window[0]) == ("Score", "Noise ceiling", "Scale", "Space")
    assert scene.facts["mean test r"].startswith(f"{metrics['test']['all']['r']['mean']:.3f}")
    assert page(scene).startswith("<!doctype html>")


def test_what_was_planted_stands_beside_what_was_found(mapped):
    out, _, data, _, _ = mapped
    (scene,) = scenes_of(out)
    planted = data.truth.selectors
    expected = {"Layer": planted.layer.argmax(1), "Space": planted.space, "Scale": planted.scale[:, 0]}
    truth = planted_scene(scene)
    assert set(truth.maps) == set(expected)
    for name, values in expected.items():
        beside = scene.maps[f"{name}, planted"]
        assert beside.group == "Planted"
        np.testing.assert_allclose(beside.values, values)
        np.testing.assert_allclose(truth.maps[name].values, values)
        for word in ("kind", "labels", "colors", "cmap", "vmin", "vmax"):
            assert getattr(truth.maps[name], word) == getattr(scene.maps[name], word)
    assert planted_scene(replace(scene, maps={"Layer": scene.maps["Layer"]})) is None


def test_an_encoding_shows_every_method_and_the_best_layer(tmp_path):
    save_subject(tmp_path / "data", 0)
    encoding = run_grid(tmp_path / "data", tmp_path / "out", methods=["ridge", "banded"])
    (scene,) = scenes_of(tmp_path / "out")
    keys = encoding.headline()
    for key in keys:
        np.testing.assert_allclose(scene.maps[f"r, {key.method}"].values, encoding.voxel_scores(key, "test"), rtol=1e-5)
    subject = next(iter(encoding.subjects))
    _, names = encoding.best_layers(keys[0].model, subject, "ridge")
    if "Layer" in scene.maps:
        assert [name.removeprefix("layer ") for name in scene.maps["Layer"].labels] == names
    winner = torch.stack([encoding.voxel_scores(key, "test") for key in keys]).nan_to_num(-torch.inf)
    expected = [keys[k].method if top > 0 else "" for top, k in zip(*winner.max(0), strict=True)]
    best = scene.maps["Best method"]
    assert [best.labels[k] if k >= 0 else "" for k in best.values] == expected
    assert scene.space.n_voxels == encoding.subjects[subject].n_voxels
    assert set(scene.space.rois) == set(encoding.subjects[subject].space.rois)
    (next(iter((tmp_path / "out" / "spaces").iterdir()))).unlink()
    with pytest.raises(FileNotFoundError, match="spaces"):
        scenes_of(tmp_path / "out")


def searched(folder, n=40):
    generator = torch.Generator().manual_seed(0)
    score = torch.rand(2, n, generator=generator) - 0.3
    p = torch.rand(2, n, generator=generator, dtype=torch.float64)
    test = VoxelTest(score, p, p, p)
    best = VoxelTest(score.amax(0), p[0], p[0], p[0])
    space = surface_space(torch.arange(n))
    maps = SearchlightMaps(
        ("a", "b"), score, test, score.argmax(0), (score[0] - score[1]).abs(), best, torch.full((n,), 9), space,
        {"method": "spearman"},
    )  # fmt: skip
    maps.save(folder)
    put_card(folder, opening("searchlight", ("numpy",)), Clock())
    return maps


def test_a_searchlight_shows_every_model_and_the_best_one(tmp_path):
    maps = searched(tmp_path)
    (scene,) = scenes_of(tmp_path)
    np.testing.assert_allclose(scene.maps["a"].values, maps.score[0])
    assert scene.maps["a"].vmin == -scene.maps["a"].vmax
    np.testing.assert_array_equal(scene.maps["Best model"].values, maps.best)
    np.testing.assert_array_equal(scene.maps["Best model, p < .05"].values, maps.significant_best())
    np.testing.assert_allclose(scene.maps["b, family-wise p"].values, maps.test.p_max[1], rtol=1e-6)
    assert page(scene).startswith("<!doctype html>")


def test_other_folders_are_refused(tmp_path):
    with pytest.raises(FileNotFoundError, match="run.json"):
        scenes_of(tmp_path)
    write_json(tmp_path / "run.json", {"kind": "extract", "command": "brainnet extract", "created": ""})
    with pytest.raises(ValueError, match="extract"):
        scenes_of(tmp_path)


def test_a_table_of_another_run_and_one_that_is_missing_are_told(mapped, tmp_path):
    run = shutil.copytree(mapped[0], tmp_path / "run")
    table = run / "scores.csv"
    table.write_text("\n".join(table.read_text().splitlines()[:3]))
    with pytest.raises(ValueError, match=r"scores\.csv is damaged or of another run"):
        scenes_of(run)
    table.unlink()
    with pytest.raises(FileNotFoundError, match=r"no scores\.csv"):
        scenes_of(run)
