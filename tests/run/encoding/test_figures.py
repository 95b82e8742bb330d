"""The figures of an encoding: which are drawn, under which names, and the numbers beside them."""

import re

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import pytest
import torch

from brainnet import plot
from brainnet.dataset.base import ResponseDataset
from brainnet.encode import ALL_LAYERS, BEST_LAYER, Encoding, Fit, FitKey
from brainnet.run.encoding.figures import draw
from brainnet.space import BrainSpace, sensor_space

VOXELS, LAYERS = 6, ("conv/1", "conv2")
SPLITS = {"train": range(40), "test": range(40, 60), "sketches": range(60, 80)}


@pytest.fixture(scope="module")
def encoding():
    """Two networks, ridge and banded ridge, the shuffled control; one voxel under the floor, one without score."""
    rng = np.random.default_rng(0)
    responses = rng.normal(size=(80, VOXELS))
    responses[:, 5] = 1.0
    rois = {"V1": torch.arange(VOXELS) < 2, "V4": torch.arange(VOXELS) >= 2}
    ceiling = np.array([0.05, 0.5, 0.6, 0.7, 0.8, 0.9])
    data = ResponseDataset([str(i) for i in range(80)], responses, BrainSpace.free(VOXELS, rois), SPLITS,
                           noise_ceiling=ceiling)  # fmt: skip
    encoding = Encoding({"s/1": data}, n_resamples=5)
    for model in ("net:a", "net:b"):
        for control in ("", "shuffled"):
            selection = torch.tensor([0.5, 0.02, 0.3, 0.4, 0.1, torch.nan], dtype=torch.float64)
            for layer, score in zip(LAYERS, (selection, 0.05 + 0 * selection), strict=True):
                encoding.add(FitKey(model, "s/1", "ridge", layer, control), fit(rng, responses, score))
            encoding.add(FitKey(model, "s/1", "ridge", BEST_LAYER, control), fit(rng, responses, selection), LAYERS[0])
            encoding.add(FitKey(model, "s/1", "banded", ALL_LAYERS, control), fit(rng, responses, selection, True))
    return encoding


def fit(rng, responses, selection, banded=False):
    rows = {split: list(SPLITS[split]) for split in ("test", "sketches")}
    made = {k: torch.from_numpy(responses[r] + rng.normal(size=(20, VOXELS))).float() for k, r in rows.items()}
    shares = rng.normal(size=(2, VOXELS))
    shares[:, 5] = np.nan
    details = {"spaces": np.array(LAYERS), "r2_split_test": shares} if banded else {}
    return Fit(made, selection, details)


@pytest.fixture
def drawn(encoding, tmp_path, monkeypatch):
    """Name -> numbers of each figure, and name of a plot -> the calls it got."""
    calls = {}
    for name in ("scores", "layers", "best_layer", "joint_histogram", "variance_split"):

        def record(*args, name=name, **options):
            calls.setdefault(name, []).append((args, options))
            return plt.Figure()

        monkeypatch.setattr(plot, name, record)
    paths = draw(encoding, tmp_path, progress=False)
    assert all(path.is_file() and path.with_suffix(".svg").is_file() for path in paths)
    plain = {path: re.sub(r"_[0-9a-f]{6}(?=_|$)", "", path.stem) for path in paths}  # without digests of odd names
    return {name: pd.read_csv(path.with_suffix(".csv")) for path, name in plain.items()}, calls


def test_every_figure_is_drawn_once_under_a_name_of_its_own(drawn):
    numbers, _ = drawn
    pairs = ("net-a-banded", "net-b-ridge", "net-b-banded")
    assert set(numbers) == {
        "scores_s-1", "scores_s-1_sketches", "ceiling_share_s-1",
        *(f"{kind}_s-1_{net}" for kind in ("best_layer", "layers", "variance") for net in ("net-a", "net-b")),
        *(f"layers_s-1_{net}_sketches" for net in ("net-a", "net-b")),
        *(f"joint_s-1_net-a-ridge_{pair}{split}" for pair in pairs for split in ("", "_sketches")),
    }  # fmt: skip


def test_bars_are_of_headline_fits_without_controls_and_beside_their_ceiling(drawn, encoding):
    numbers, calls = drawn
    bars = numbers["scores_s-1"].set_index(["method", "roi"])
    assert list(dict.fromkeys(bars.index.get_level_values(0))) == [
        "net:a ridge", "net:a banded", "net:b ridge", "net:b banded",
    ]  # fmt: skip
    r = encoding.voxel_scores(FitKey("net:b", "s/1", "ridge", BEST_LAYER))
    row = bars.loc[("net:b ridge", "V4")]
    known = r[2:5].numpy()
    assert row[["mean", "n_voxels"]].tolist() == pytest.approx([known.mean(), 3])
    assert row[["quartile_1", "quartile_3"]].tolist() == pytest.approx(np.percentile(known, [25, 75]))
    assert row["ceiling"] == pytest.approx(np.mean([0.6, 0.7, 0.8, 0.9]))
    shares = numbers["ceiling_share_s-1"].set_index(["method", "roi"]).loc[("net:b ridge", "V1")]
    assert shares[["mean", "n_voxels"]].tolist() == pytest.approx([r[1].item() / 0.5, 1])  # one is under the floor
    options = [options for _, options in calls["scores"]]
    assert [o["title"] for o in options] == ["s/1", "s/1", "s/1, split sketches"]
    assert [o["score_name"] for o in options] == ["r", "r / noise ceiling", "r"]
    assert options[0]["noise_ceiling"][0] == pytest.approx(0.05)
    table = encoding.table.set_index(["model", "method", "control", "roi", "split", "score"])
    expected = table.loc[[("net:b", "banded", "", "V4", "test", "r")], ["low", "high"]].iloc[0]
    assert options[0]["intervals"]["net:b banded"]["V4"] == pytest.approx(tuple(expected))
    assert (options[1]["noise_ceiling"] == 1).all()
    assert options[2]["noise_ceiling"] is None


def test_layers_are_of_one_network_with_its_controls_and_the_ceiling(drawn):
    numbers, calls = drawn
    rows = numbers["layers_s-1_net-b"].fillna("")
    assert set(rows["model"]) == {"net:b", ""}
    assert set(rows["control"]) == {"", "shuffled"}
    assert "noise ceiling" in set(rows["method"])
    assert set(rows["score"]) == {"r"}
    assert set(rows["split"]) == {"test"}
    assert [options["title"] for _, options in calls["layers"]] == [
        "s/1, net:a", "s/1, net:b", "s/1, net:a, split sketches", "s/1, net:b, split sketches",
    ]  # fmt: skip
    assert calls["layers"][0][1]["rois"] == ["all", "V1", "V4"]


def test_the_best_layer_of_each_voxel_is_written_and_fades_with_its_score(drawn):
    numbers, calls = drawn
    best = numbers["best_layer_s-1_net-a"].fillna("")
    assert best["best_layer"].tolist() == ["conv/1", "conv2", "conv/1", "conv/1", "conv/1", ""]
    assert best["voxel"].tolist() == list(range(VOXELS))
    assert best["training_score_conv/1"].tolist()[:5] == [0.5, 0.02, 0.3, 0.4, 0.1]
    assert best["training_score_conv2"].tolist()[:5] == [0.05] * 5
    options = calls["best_layer"][0][1]
    assert options["alpha"].tolist() == pytest.approx([1, 0.5, 1, 1, 1, 0.12])
    assert options["title"] == "s/1, net:a"


def test_joint_histograms_hold_every_fit_against_the_first(drawn, encoding):
    numbers, calls = drawn
    pair = numbers["joint_s-1_net-a-ridge_net-b-banded_sketches"]
    keys = {"net:a ridge": FitKey("net:a", "s/1", "ridge", BEST_LAYER),
            "net:b banded": FitKey("net:b", "s/1", "banded", ALL_LAYERS)}  # fmt: skip
    assert list(pair) == list(keys)
    for name, key in keys.items():
        np.testing.assert_allclose(pair[name], encoding.voxel_scores(key, "sketches"))
    (first, second), options = calls["joint_histogram"][-1]
    np.testing.assert_allclose(first, pair["net:a ridge"])
    np.testing.assert_allclose(second, pair["net:b banded"])
    assert options == {"names": tuple(keys), "score_name": "r", "title": "s/1, split sketches"}


def test_the_split_of_variance_is_a_mean_of_known_voxels(drawn, encoding):
    numbers, calls = drawn
    rows = numbers["variance_s-1_net-a"].set_index(["roi", "space"])
    parts = encoding.fits[FitKey("net:a", "s/1", "banded", ALL_LAYERS)].details["r2_split_test"]
    assert rows.loc[("V4", "conv2")].tolist() == pytest.approx([parts[1, 2:5].mean(), 3])
    (given, _), options = calls["variance_split"][0]
    assert list(given) == list(LAYERS)
    assert options == {"ordered": True, "title": "s/1, net:a"}


def test_names_that_differ_in_letters_no_file_keeps_are_counted(encoding, tmp_path):
    data = encoding.subjects["s/1"]
    twins = Encoding({"S:1": data, "s/1": data}, n_resamples=5)
    for subject in twins.subjects:
        key = FitKey("net", subject, "banded", ALL_LAYERS)
        twins.add(key, fit(np.random.default_rng(0), data.responses.numpy(), torch.zeros(VOXELS)))
    names = [path.stem.lower() for path in draw(twins, tmp_path, progress=False)]
    assert len(set(names)) == len(names) == 6


def test_sensors_over_time_have_courses_and_a_map(tmp_path):
    rng = np.random.default_rng(0)
    responses, space = rng.normal(size=(80, 6)), sensor_space(["Oz", "Pz"], [0.0, 0.1, 0.2])
    data = ResponseDataset([str(i) for i in range(80)], responses, space, SPLITS, noise_ceiling=np.full(6, 0.7))
    encoding = Encoding({"s1": data}, n_resamples=5)
    for method in ("ridge", "banded"):
        encoding.add(FitKey("net", "s1", method, ALL_LAYERS), fit(rng, responses, torch.full((6,), torch.nan)))
    draw(encoding, tmp_path, progress=False)
    assert not list(tmp_path.glob("time_layers*"))  # neither method read layers one by one
    for name, columns in (("time", ["ridge", "banded"]), ("sensors", ["ridge"])):
        table = pd.read_csv(tmp_path / f"{name}_s1.csv")
        assert list(table) == ["sensor", "time", *columns]
        assert table["sensor"].tolist() == ["Oz"] * 3 + ["Pz"] * 3
        expected = encoding.voxel_scores(FitKey("net", "s1", "ridge", ALL_LAYERS))
        np.testing.assert_allclose(table["ridge"], expected)
        assert (tmp_path / f"{name}_s1.png").is_file()
    for layer in LAYERS:
        encoding.add(FitKey("net", "s1", "ridge", layer), fit(rng, responses, torch.full((6,), torch.nan)))
    draw(encoding, tmp_path / "again", progress=False)
    table = pd.read_csv(next((tmp_path / "again").glob("time_layers_s1_net*.csv")))
    assert list(table) == ["sensor", "time", *LAYERS]
    np.testing.assert_allclose(table[LAYERS[1]], encoding.voxel_scores(FitKey("net", "s1", "ridge", LAYERS[1])))
    encoding.save(tmp_path / "saved")
    path = next((tmp_path / "saved" / "voxels").glob("*ridge*.npz"))
    with np.load(path, allow_pickle=False) as arrays:
        assert arrays["sensor"].tolist() == ["Oz"] * 3 + ["Pz"] * 3
        assert arrays["time"].tolist() == [0.0, 0.1, 0.2] * 2
