from __future__ import annotations

import json
import shutil

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet.cli.fit import _report
from brainnet.config import load_config
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import TimeSeries, volume_tokens
from brainnet.plmodel import PLModel
from brainnet.run.fitting.prediction import load_model
from brainnet.run.fitting.training import fit
from brainnet.run.maps.run_maps import RunMaps
from brainnet.run.page.scenes import scenes_of
from brainnet.run.record.card import Clock, data_card
from brainnet.run.record.courses import delays_by_region
from brainnet.run.record.run_folder import redraw, scores_file, write_run
from brainnet.scores import pearson_r, r2
from brainnet.space import BrainSpace, sensor_space
from tests.run.conftest import CEILING, REGIONS
from tests.tables import unlisted_columns
from tests.toys import ToyBackbone, toy_config, toy_dataset, toys_registered


def test_scores_have_one_row_per_voxel_and_agree_with_the_saved_model(finished):
    out, _ = finished
    scores = pd.read_csv(out / "scores.csv")
    assert list(scores.columns[:4]) == ["voxel", "roi", "r2", "r"]
    model, data = load_model(out), toy_dataset()
    test = data.splits["test"]
    with torch.no_grad():
        prediction = model(torch.stack([data.image(int(i)) for i in test]))[0]
    expected = np.array([np.corrcoef(prediction[:, v], data.responses[test, v])[0, 1] for v in range(7)])
    assert np.allclose(scores["r"], expected, atol=0.02)


def test_the_card_says_where_numbers_come_from(finished):
    card = json.loads((finished[0] / "run.json").read_text())
    assert card["backbone"]["weights"] == "gain 1.0"
    assert card["splits"]["test"]["n"] == 15
    assert card["seed"] == 0
    assert {"torch", "brainnet", "python"} <= set(card["versions"])
    assert card["test"]["r"]["low"] <= card["test"]["r"]["mean"] <= card["test"]["r"]["high"]
    assert len(card["data"]["responses_sha256"]) == 64
    assert card["config"]["OPTIMIZER.LR"] == 0.01


def with_further_splits():
    """Six training images as sketches, six more as pictures nobody was shown, and two to which no voxel changes."""
    data = toy_dataset()
    train = data.splits["train"]
    data.splits.update(train=train[14:], sketches=train[:6], blank=train[12:14], **{"not shown": train[6:12]})
    data.responses[data.splits["blank"]] = 1.0
    data.responses[data.splits["not shown"]] = torch.nan
    data.further_ceilings = {"sketches": torch.full((7,), 0.5)}
    return data


def test_further_splits_are_scored_where_they_have_responses(toys, tmp_path, capsys):
    (tmp_path / "scores_old.csv").touch()
    with toys_registered(with_further_splits):
        metrics = fit(toy_config("TRAINER.MAX_EPOCHS", "5"), tmp_path, progress=False)
    assert {path.name for path in tmp_path.glob("scores*")} == {"scores.csv", "scores_sketches.csv"}
    assert metrics["further_splits"].keys() == {"sketches"}

    model, data = load_model(tmp_path), with_further_splits()
    rows = data.splits["sketches"]
    with torch.no_grad():
        prediction = model(torch.stack([data.image(int(i)) for i in rows]))[0]
    expected = np.array([np.corrcoef(prediction[:, v], data.responses[rows, v])[0, 1] for v in range(7)])
    found = pd.read_csv(tmp_path / "scores_sketches.csv")
    assert np.allclose(found["r"], expected, atol=0.02)
    assert np.allclose(found["ceiling_share"], found["r"] / 0.5)
    summary = metrics["further_splits"]["sketches"]
    assert summary["n_images"] == 6
    assert summary["all"]["r"]["mean"] == pytest.approx(found["r"].mean())
    assert summary["all"]["r"]["low"] <= summary["all"]["r"]["mean"] <= summary["all"]["r"]["high"]
    card = json.loads((tmp_path / "run.json").read_text())
    assert card["further_splits"]["sketches"] == summary["all"]
    _report(metrics, tmp_path, None)
    assert f"mean sketches r {found['r'].mean():.3f}" in capsys.readouterr().out


def test_selectors_travel_with_their_place(finished):
    with np.load(finished[0] / "selectors.npz", allow_pickle=False) as arrays:
        assert arrays["layer"].shape == (7, 3)
        assert np.allclose(arrays["layer"].sum(1), 1, atol=1e-5)
        assert arrays["at:coords"].shape == (7, 3)


def test_the_picture_can_be_drawn_again(finished):
    out, _ = finished
    before = (out / "maps.png").stat().st_mtime_ns
    assert redraw(out) == [out / "maps.png", out / "maps.svg"]
    assert (out / "maps.png").stat().st_mtime_ns > before


def test_the_share_of_the_window_is_drawn_beside_a_field(toys, tmp_path):
    fit(toy_config("MODEL.FIELD", "ridge", "TRAINER.MAX_EPOCHS", "1"), tmp_path / "run", progress=False)
    names = [path.name for path in redraw(tmp_path / "run")]
    assert names == ["maps.png", "maps.svg", "window_share.png", "window_share.svg"]
    with np.load(tmp_path / "run" / "selectors.npz", allow_pickle=False) as arrays:
        share = arrays["window_share"]
    assert share.shape == (7,)
    picture = (tmp_path / "run" / "window_share.svg").read_text()
    assert f"median {np.nanmedian(share):.2f}".replace("0.", ".") in picture
    assert json.loads((tmp_path / "run" / "run.json").read_text())["penalties_chosen_by"] == {"left_out": "image"}
    fit(toy_config("TRAINER.MAX_EPOCHS", "1"), tmp_path / "run", overwrite=True, progress=False)
    assert not list((tmp_path / "run").glob("window_share.*"))  # of another run


def test_the_card_says_that_runs_were_left_out(tmp_path):
    def with_runs():
        data = toy_dataset()
        data.groups = np.arange(len(data)) % 5
        return data

    cfg = toy_config("MODEL.FIELD", "ridge", "MODEL.CV_GROUPS", "dataset", "TRAINER.MAX_EPOCHS", "1")
    with toys_registered(with_runs):
        fit(cfg, tmp_path / "run", progress=False)
    card = json.loads((tmp_path / "run" / "run.json").read_text())
    assert card["penalties_chosen_by"] == {"left_out": "group", "n_groups": 5}
    with toys_registered(), pytest.raises(ValueError, match="MODEL.CV_GROUPS dataset"):
        fit(cfg, tmp_path / "other", progress=False)
    assert not (tmp_path / "other" / "config.yaml").exists()


def test_the_table_is_of_the_test_images(mapped):
    out, _, data, _, model = mapped
    table = pd.read_csv(out / "scores.csv")
    assert table["voxel"].tolist() == [1, 4, 7, 10, 13, 16, 19]
    assert table["roi"].tolist() == ["early", "early", "early;late", *["late"] * 4]
    index = data.splits["test"]
    with torch.no_grad():
        prediction = model(torch.stack([data.image(int(i)) for i in index]))[0]
    for name, score in (("r", pearson_r), ("r2", r2)):
        expected = score(prediction, data.responses[index]).numpy()
        expected[4] = np.nan
        np.testing.assert_allclose(table[name], expected, atol=0.01)
    np.testing.assert_allclose(table["ceiling"], CEILING)
    expected = np.where(CEILING >= 0.1, table["r"].to_numpy() / CEILING.numpy(), np.nan)
    np.testing.assert_allclose(table["ceiling_share"], expected, rtol=1e-5)


def test_means_are_of_their_region(mapped):
    out, metrics, _, _, _ = mapped
    table = pd.read_csv(out / "scores.csv")
    assert (metrics["n_test_images"], metrics["n_voxels"], metrics["n_unusable"]) == (15, 7, 1)
    for name, mask in {"all": torch.ones(7) > 0, **REGIONS}.items():
        part, row = table[mask.numpy()], metrics["test"][name]
        assert (row["n"], row["n_scored"]) == (len(part), part["r"].notna().sum())
        for score in ("r", "r2", "ceiling"):
            assert row[score]["mean"] == pytest.approx(part[score].mean(), nan_ok=True)
            assert row[score]["median"] == pytest.approx(part[score].median(), nan_ok=True)
        known = part[part["r"].notna() & part["ceiling"].notna()]
        ratio = known["r"].mean() / known["ceiling"].mean()
        assert row["ceiling_share"] == pytest.approx(ratio, nan_ok=True)
        if len(part):
            assert row["r"]["low"] < row["r"]["mean"] < row["r"]["high"]
    early, late = (metrics["test"][name]["r"] for name in ("early", "late"))
    assert early["high"] - early["low"] != pytest.approx(late["high"] - late["low"], rel=1e-3)


def test_shares_and_gains_are_those_of_the_training_images(mapped):
    out, _, data, gains, model = mapped
    module = PLModel(toy_config("SEED", "4"), ToyBackbone(), data=data)
    module.load_state_dict(model.state_dict())
    share = module.eval().contributions(data.splits["train"])
    selectors = gains["selectors"]
    torch.testing.assert_close(gains["layer_gain"], share.layer / selectors.layer, rtol=0.02, atol=0.01)
    expected = torch.cat([(1 - share.scale) / (1 - selectors.scale), share.scale / selectors.scale], 1)
    torch.testing.assert_close(gains["scale_gain"], expected, rtol=0.02, atol=0.01)
    with np.load(out / "selectors.npz", allow_pickle=False) as arrays:
        np.testing.assert_allclose(arrays["layer"], selectors.layer)
        np.testing.assert_allclose(arrays["layer_share"], share.layer, rtol=0.02, atol=0.01)
        np.testing.assert_allclose(arrays["at:vertices"], data.space.vertices)


def test_the_card_and_the_config_are_those_of_the_run(mapped):
    out, metrics, data, _, _ = mapped
    card = json.loads((out / "run.json").read_text())
    assert (card["seed"], load_config(out / "config.yaml").SEED) == (4, 4)
    assert card["test"]["r"]["mean"] == metrics["test"]["all"]["r"]["mean"]
    assert [card["splits"][name]["n"] for name in ("train", "val", "test")] == [len(r) for r in data.splits.values()]


def test_a_negative_control_is_drawn_without_fading(mapped, tmp_path, monkeypatch):
    """Nothing is predicted there: maps that fade with the score would be blank."""
    from brainnet import plot

    run = tmp_path / "run"
    shutil.copytree(mapped[0], run)
    seen = []

    def noted(*args, **options):
        seen.append(options)
        return plot.scores(options["scores"], options["space"])

    monkeypatch.setattr(plot, "selectors", noted)
    for shuffled in ("False", "True"):
        (run / "config.yaml").write_text(toy_config("DATASET.SHUFFLED", shuffled).dump())
        redraw(run)
    assert [options["fade"] for options in seen] == [True, False]
    assert "NEGATIVE CONTROL" in seen[1]["title"]


def test_a_folder_of_before_is_still_drawn_and_a_damaged_one_told(mapped, tmp_path):
    run = tmp_path / "run"
    shutil.copytree(mapped[0], run)
    table = pd.read_csv(run / "scores.csv")
    table.rename(columns={"ceiling": "noise_ceiling", "ceiling_share": "r_normalised"}).to_csv(run / "scores.csv")
    assert all(path.is_file() for path in redraw(run))
    (run / "selectors.npz").write_bytes((run / "selectors.npz").read_bytes()[:300])
    with pytest.raises(ValueError, match=r"selectors\.npz"):
        redraw(run)


def test_splits_of_similar_names_have_files_of_their_own():
    assert len({scores_file(split).lower() for split in ("a b", "a_b", "a-b", "a/b", "test")}) == 5


def test_sensors_over_time_have_their_names_in_the_table_and_their_own_figures(tmp_path):
    def over_time():
        data = toy_dataset(n_voxels=6, coords=False)
        data.space = sensor_space(["Oz", "Pz"], [0.0, 0.1, 0.2])
        return data

    with toys_registered(over_time):
        fit(toy_config("TRAINER.MAX_EPOCHS", "1"), tmp_path / "run", progress=False)
        table = pd.read_csv(tmp_path / "run" / "scores.csv")
        assert table["sensor"].tolist() == ["Oz"] * 3 + ["Pz"] * 3
        assert table["time"].tolist() == [0.0, 0.1, 0.2] * 2
        assert unlisted_columns(tmp_path / "run") == {}
        space = load_model(tmp_path / "run").space
        assert space.sensors == ("Oz", "Oz", "Oz", "Pz", "Pz", "Pz")
        assert space.times.tolist() == [0.0, 0.1, 0.2] * 2
        (tmp_path / "run" / "time.png").unlink()
        names = [path.name for path in redraw(tmp_path / "run")]
        drawn = ("maps", "time", "sensors", "time_layers")
        assert names == [f"{name}.{kind}" for name in drawn for kind in ("png", "svg")]
        text = (tmp_path / "run" / "time_layers.svg").read_text()
        assert "layer weight" in text
        assert (tmp_path / "run" / "time.png").is_file()
    with toys_registered():
        fit(toy_config("TRAINER.MAX_EPOCHS", "1"), tmp_path / "run", overwrite=True, progress=False)
        assert not list((tmp_path / "run").glob("time*"))  # of another run


def test_a_read_out_with_delays_leaves_its_latency(tmp_path):
    rng = np.random.default_rng(0)
    data = TimeSeries({"a": rng.normal(size=(60, 5)), "t": rng.normal(size=(60, 5))}, tr=2.0, test=["t"])
    store = volume_tokens(data, {"4": rng.normal(size=(120, 6))}, [0, 2])
    words = ["MODEL.READOUT", "delayed", "MODEL.OPTIONS", "{'delays': [0, 2]}", "MODEL.GRID", "(1,1)",
             "MODEL.TOPOLOGY", "free", "TOKENS.STANDARDIZE", "False"]  # fmt: skip
    model = PLModel(load_config(None, words), None, data=BrainDataModule(data, store), progress=False)
    with torch.no_grad():
        model.encoder.delay_selector[0, 1] = 30.0
    write_run(tmp_path, model, data_card("series", data), None, Clock(), {})
    with np.load(tmp_path / "selectors.npz") as arrays:
        np.testing.assert_allclose(arrays["delay"][:2], [[0, 1], [0.5, 0.5]], atol=1e-6)
        assert arrays["delays"].tolist() == [0, 2]
        assert arrays["tr"] == 2.0
    assert (tmp_path / "latency.png").is_file()
    assert "latency (s)" in (tmp_path / "latency.svg").read_text()
    look = RunMaps.read(tmp_path).looks["latency"]
    assert (look["vmin"], look["vmax"]) == (0.0, 4.0)  # the delays that were tried, whatever was found
    assert "share of each delay" in (tmp_path / "delays.svg").read_text()
    assert look["label"] == "latency (s)"


def test_weights_of_delays_are_those_of_the_voxels_that_are_predicted():
    delay = torch.tensor([[0.1, 0.9], [0.3, 0.7], [0.5, 0.5], [torch.nan, torch.nan]])
    r = torch.tensor([0.5, 0.3, 0.1, torch.nan])
    rois = {"A1": torch.tensor([True, False, True, True]), "V1": torch.tensor([False, False, True, True])}
    found = delays_by_region(delay, BrainSpace.free(4, rois), r)
    assert {name: part.tolist() for name, part in found.items()} == {"A1": [delay[0].tolist()]}
    found = delays_by_region(delay, BrainSpace.free(4), r)
    assert {name: len(part) for name, part in found.items()} == {"all voxels": 2}
    found = delays_by_region(delay, BrainSpace.free(4), 0 * r)  # nothing is predicted: all that have a number
    assert {name: len(part) for name, part in found.items()} == {"all voxels": 3}
    many = BrainSpace.free(4, {f"R{k}": rois["A1"] for k in range(9)})
    assert len(delays_by_region(delay, many, r)) == 6


def test_a_single_delay_is_no_map(tmp_path):
    rng = np.random.default_rng(0)
    data = TimeSeries({"a": rng.normal(size=(60, 5)), "t": rng.normal(size=(60, 5))}, tr=2.0, test=["t"])
    store = volume_tokens(data, {"4": rng.normal(size=(120, 6))}, [2])
    words = ["MODEL.READOUT", "delayed", "MODEL.OPTIONS", "{'delays': [2]}", "MODEL.GRID", "(1,1)",
             "MODEL.TOPOLOGY", "free", "TOKENS.STANDARDIZE", "False"]  # fmt: skip
    model = PLModel(load_config(None, words), None, data=BrainDataModule(data, store), progress=False)
    write_run(tmp_path, model, data_card("series", data), None, Clock(), {})
    assert not (tmp_path / "latency.png").exists()
    assert not (tmp_path / "delays.png").exists()
    assert "latency" not in RunMaps.read(tmp_path).maps
    assert "Latency" not in scenes_of(tmp_path)[0].maps
