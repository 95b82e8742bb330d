from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.figure import Figure

from brainnet.plot import Places
from brainnet.plot.scene import Scene
from brainnet.run.maps.run_maps import RunMaps, compare_maps, draw_map, draw_selectors, has_selectors, region_rows
from brainnet.space import BrainSpace
from tests.tables import unlisted_columns

SCENE = Scene("sphere", ("posterior",), pixels=100)


def test_a_run_knows_its_maps(mapped, tmp_path):
    found = RunMaps.read(mapped[0])
    chosen = mapped[4].get_selectors()
    assert torch.allclose(found.maps["scale"], chosen.scale[:, 0])
    assert torch.equal(found.maps["layer"], chosen.layer.argmax(1))
    assert set(found.maps) >= {"r", "ceiling", "ceiling_share", "depth", "entropy", "x", "y", "cluster"}
    assert set(found.looks) == set(found.maps)
    with pytest.raises(FileNotFoundError, match=r"selectors\.npz"):
        RunMaps.read(tmp_path)
    assert has_selectors(mapped[0])
    assert not has_selectors(tmp_path)


def test_places_of_a_sound_are_moments(mapped, monkeypatch):
    monkeypatch.setattr("brainnet.run.maps.run_maps.places_of", lambda reads, cfg: Places("sound", one_row=True))
    found = RunMaps.read(mapped[0])
    assert not {"y", "width"} & set(found.maps)
    assert found.looks["x"]["label"] == "time: start -1, end 1"
    assert "image" not in " ".join(str(look["label"]) for look in found.looks.values())


def test_one_map_is_drawn_at_the_size_asked_for(mapped, invoke, tmp_path):
    from PIL import Image

    invoke("plot", mapped[0], "--map", "depth", "--map", "layer", "--surface", "sphere", "--view", "posterior",
           "--width", "50.8mm", "--dpi", 100, "--out", tmp_path, "--format", "png", "--vmin", 0.2, "--roi",
           "early")  # fmt: skip
    assert sorted(path.name for path in tmp_path.iterdir()) == ["map_depth.png", "map_layer.png"]
    with Image.open(tmp_path / "map_depth.png") as picture:
        assert picture.width == 200
    with pytest.raises(ValueError, match=r"'depht'.*depth"):
        draw_map(mapped[0], "depht", tmp_path)
    with pytest.raises(ValueError, match="left"):
        Scene("pial", hemisphere="lft")


def test_runs_stand_side_by_side_with_their_difference(mapped, invoke, tmp_path):
    said = invoke("plot", mapped[0], mapped[0], "--out", tmp_path / "out", "--map", "depth", "--map", "cluster",
                  "--format", "png")  # fmt: skip
    assert {"comparison.png", "certainty.png", "regions.csv"} <= {path.name for path in (tmp_path / "out").iterdir()}
    assert "regions.csv" in said
    table = pd.read_csv(tmp_path / "out/regions.csv")
    assert table["run"].unique().tolist() == ["mapped (1)", "mapped (2)"]
    assert not unlisted_columns(tmp_path)
    assert (table["depth_spread"].dropna() == 0).all()
    scores = pd.read_csv(mapped[0] / "scores.csv")
    early = scores["roi"].str.split(";").apply(lambda names: "early" in names if isinstance(names, list) else False)
    row = table[(table["roi"] == "early") & (table["run"] == "mapped (1)")].iloc[0]
    assert row["r"] == pytest.approx(scores.loc[early, "r"].mean())
    assert row["n_voxels"] == early.sum()
    with pytest.raises(ValueError, match="two or more"):
        compare_maps([mapped[0]], tmp_path / "one")


def test_runs_over_other_voxels_are_compared_by_region_alone(mapped, finished, tmp_path, caplog):
    paths = compare_maps([mapped[0], finished[0]], tmp_path / "out", scene=SCENE, maps=["depth"])
    assert [path.name for path in paths] == ["regions.csv"]
    assert "no picture of the comparison: the voxels of these runs have no place on a surface" in caplog.text
    rows = region_rows([RunMaps.read(mapped[0])])
    assert np.isnan(rows[0]["depth_spread"])


def test_selectors_are_drawn_one_by_one(mapped, finished, invoke):
    names = {path.name for path in draw_selectors(mapped[0], SCENE)}
    assert names >= {"layer_profile.png", "coverage.png", "layer_weights.png", "certainty.png"}
    placeless = {path.name for path in draw_selectors(finished[0])}
    assert placeless >= {"layer_profile.png", "coverage.png"}
    said = invoke("plot", mapped[0], "--format", "png")
    assert "maps.png" in said
    assert "layer_weights.png" in said


def test_a_volume_shows_in_slices_how_certain_its_layers_are(mapped, tmp_path, monkeypatch):
    found = RunMaps.read(mapped[0])
    mask = torch.zeros(4, 4, 3).bool()
    mask.view(-1)[20:27] = True
    volume = BrainSpace(mask=mask, affine=torch.eye(4, dtype=torch.float64), rois=found.space.rois)
    monkeypatch.setattr(RunMaps, "read", lambda run: replace(found, space=volume))
    seen = []
    monkeypatch.setattr("brainnet.plot.slices", lambda values, *_, **__: seen.append(values) or Figure())
    assert {"certainty.png", "coverage.png"} <= {path.name for path in draw_selectors(tmp_path)}
    assert torch.equal(seen[0], found.maps["entropy"])
