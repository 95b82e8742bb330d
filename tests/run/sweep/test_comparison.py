from __future__ import annotations

import json
import re

import numpy as np
import pandas as pd
import pytest

from brainnet._files import read_json
from brainnet.run.sweep.comparison import compare_sweep
from brainnet.run.sweep.sweep import run_sweep
from tests.run.sweep.toys import asked, network, subject


@pytest.fixture(scope="module")
def compared(tmp_path_factory):
    """Six networks, one of which is the source of a subject; and the tables."""
    out = tmp_path_factory.mktemp("compared")
    given = asked(
        backbones=[network(seed) for seed in range(6)], methods=["ridge"], controls=["shuffled", "random"],
        subjects={"s0": subject(0, source=3, n_images=160, noise=0.3, voxels=24)}, resamples=200,
        settings={"MODEL.GRID": [4, 4], "DATASET.DATA_DIR": ""},
    )  # fmt: skip
    run_sweep(given, out, progress=False)
    return out, compare_sweep(out, progress=False)


def test_the_planted_network_is_first_in_its_region_with_its_interval_apart(compared):
    ranking = compared[1]["ranking"]
    rows = ranking[(ranking["roi"] == "IT") & (ranking["control"] == "")]
    first, second = rows.iloc[0], rows.iloc[1]
    assert first["model"] == "net03"
    assert (first["rank_low"], first["rank_high"]) == (1, 1)
    assert first["low"] > second["high"]


def test_the_shuffled_control_ranks_nobody(compared):
    ranking = compared[1]["ranking"]
    rows = ranking[ranking["control"] == "shuffled"]
    assert (rows["rank_low"] == 1).all()
    assert (rows["rank_high"] == 6).all()


@pytest.mark.slow
def test_among_24_networks_the_planted_one_is_first_and_shuffled_responses_rank_nobody(tmp_path):
    given = asked(
        24, subjects={"s0": subject(0, source=17, n_images=800, noise=0.3, voxels=24)}, methods=["ridge"],
        resamples=300,
    )  # fmt: skip
    run_sweep(given, tmp_path, progress=False)
    ranking = compare_sweep(tmp_path, progress=False)["ranking"]
    rows = ranking[(ranking["roi"] == "IT") & (ranking["control"] == "")]
    assert rows.iloc[0]["model"] == "net17"
    assert (rows.iloc[0]["rank_low"], rows.iloc[0]["rank_high"]) == (1, 1)
    assert rows.iloc[0]["low"] > rows.iloc[1]["high"]
    shuffled = ranking[ranking["control"] == "shuffled"]
    assert (shuffled["rank_low"] == 1).all()
    assert (shuffled["rank_high"] == 24).all()


def test_the_source_is_better_than_its_random_twin(compared):
    controls = compared[1]["controls"]
    row = controls[(controls["model"] == "net03") & (controls["roi"] == "IT")].iloc[0]
    assert row["difference"] > 0
    assert row["p_corrected"] < 0.05


def test_the_layers_of_the_source_follow_its_regions(compared):
    layers = compared[1]["layers"]
    rows = layers[(layers["model"] == "net03") & (layers["control"] == "")]
    best = rows.loc[rows.groupby("roi")["mean"].idxmax()].set_index("roi")["depth"]
    assert best["V1"] == 0
    assert best["IT"] == 1


def test_every_couple_is_compared_once(compared):
    differences = compared[1]["differences"]
    rows = differences[(differences["roi"] == "V1") & (differences["control"] == "")]
    assert len(rows) == 15
    means = compared[1]["ranking"]
    means = means[(means["roi"] == "V1") & (means["control"] == "")].set_index("model")["mean"]
    np.testing.assert_allclose(rows["difference"], [means[a] - means[b] for a, b in
                                                    zip(rows["model_a"], rows["model_b"], strict=True)])  # fmt: skip


def test_tables_figures_and_page_are_in_the_folder(compared):
    folder = compared[0] / "comparison"
    for name, table in compared[1].items():
        assert len(pd.read_csv(folder / f"{name}.csv")) == len(table)
    files = {"ranking_ridge.png", "heat_ridge.svg", "depths_ridge.png", "comparison.html"}
    assert files <= {path.name for path in folder.iterdir()}


def test_a_sweep_of_which_nothing_is_done_cannot_be_compared(tmp_path):
    given = asked(backbones=[network(0, broken=True)], subjects=1, methods=["rsa"], controls=[])
    run_sweep(given, tmp_path, progress=False)
    with pytest.raises(ValueError, match="no cell"):
        compare_sweep(tmp_path)


def test_the_page_holds_the_scores_and_allows_no_connection(compared):
    page = (compared[0] / "comparison" / "comparison.html").read_text(encoding="utf-8")
    data = json.loads(re.search(r'<script type="application/json" id="data">(.*?)</script>', page)[1])
    assert data["scores"]["ridge|"]["net03"]["IT"]["places"] == "1"
    assert len(data["models"]) == 6
    assert "default-src 'none'" in page
    assert not re.search(r"https?://(?!www\.w3\.org/2000/svg)", page)


def test_networks_with_options_are_compared_with_each_other_and_broken_ones_named(tmp_path, caplog):
    given = asked(backbones=[network(0), network(1), network(2, broken=True)], subjects=1, methods=["rsa"], controls=[])
    run_sweep(given, tmp_path, progress=False)
    with caplog.at_level("INFO", "brainnet.progress"):
        compare_sweep(tmp_path, similarity="cka", progress=False)
    table = pd.read_csv(tmp_path / "comparison" / "similarity" / "similarity.csv")
    assert set(table["model_a"]) == {"net00", "net01"}
    assert len(table) == 6 * 6
    other = table[(table["model_a"] != table["model_b"]) & (table["layer_a"] == table["layer_b"])]
    assert (other["similarity"] < 0.99).all(), "both are the same network"
    card = read_json(tmp_path / "comparison" / "run.json")
    assert card["similarity"] == {"metric": "cka", "subject": "s0", "left_out": ["net02"]}
    assert "net02" in caplog.text
