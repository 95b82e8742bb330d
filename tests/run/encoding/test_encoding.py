"""`brainnet encode` from settings to a folder: numbers, controls, trained runs beside ridge, resuming, refusals."""

from __future__ import annotations

import gc
import json
import shutil
import weakref
from contextlib import ExitStack

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from brainnet._work import Interrupted
from brainnet.backbone import BACKBONES
from brainnet.cli import app as cli
from brainnet.config import load_config
from brainnet.dataset import ArrayDataset
from brainnet.encode import FitKey, encode
from brainnet.ridge import MixedWindowRidgeCV, RidgeCV, WindowRidgeCV
from brainnet.run.encoding import encoding as run_encode
from brainnet.run.encoding.encoding import encode_subjects
from brainnet.run.encoding.networks import check_networks, plan_networks
from brainnet.run.fitting import training as runs
from brainnet.run.fitting.training import fit
from brainnet.run.record.claiming import claimed
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing
from tests.run.encodings import VOXELS, Blur, Unweighted, pick, run_grid, save_subject, settings


@pytest.fixture(autouse=True)
def toys(monkeypatch):
    monkeypatch.setattr(Blur, "built", [])
    with ExitStack() as stack:
        for name, kind in {"toy": Blur, "other": Blur, "plain": Unweighted}.items():
            stack.enter_context(BACKBONES.temporarily(name, kind))
        yield


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    root = tmp_path_factory.mktemp("subjects")
    return [save_subject(root / "subj01", 1), save_subject(root / "subj02", 2, repeats=False)]


@pytest.fixture(scope="module")
def finished(folders, tmp_path_factory):
    """One line for two subjects, three methods and both controls."""
    out = tmp_path_factory.mktemp("grid") / "encoding"
    with BACKBONES.temporarily("toy", Blur):
        words = ["encode", "DATASET.NAME", "array", "BACKBONE.NAME", "toy", "MODEL.GRID", "(8, 8)", "--method", "ridge",
                 "--method", "banded", "--method", "window", "--controls", "shuffled, random", "--resamples", "50",
                 "--subjects", f"DATASET.DATA_DIR={folders[0]},{folders[1]}", "--out", out, "--quiet"]  # fmt: skip
        result = CliRunner().invoke(cli.app, [str(word) for word in words])
    assert result.exit_code == 0, result.output + repr(result.exception)
    return out, result.output


def test_one_line_gives_the_numbers_of_encode(finished, folders):
    table = pd.read_csv(finished[0] / "encoding.csv", keep_default_na=False, na_values=["nan", ""])
    table[["model", "layer", "control", "chosen_layer"]] = table[["model", "layer", "control", "chosen_layer"]].fillna(
        ""
    )
    assert set(table["subject"]) == {"subj01", "subj02"}
    data = ArrayDataset.from_folder(folders[1])
    store = TokenStore.build(Blur(), data, grid=(8, 8), progress=False)
    expected = encode({"toy": store}, data, methods=["ridge", "banded", "window"], n_resamples=2).table
    for method, layer in (("ridge", "a"), ("ridge", "best"), ("banded", "all"), ("window", "all")):
        for roi in ("all", "V4"):
            found = pick(table, subject="subj02", method=method, layer=layer, roi=roi)
            assert found["mean"] == pytest.approx(pick(expected, method=method, layer=layer, roi=roi)["mean"], abs=1e-6)
            assert found["low"] < found["mean"] < found["high"]
    assert abs(pick(table, subject="subj01", method="window", control="shuffled")["mean"]) < 0.3  # 16 images, 6 voxels
    random, trained = (pick(table, subject="subj01", method="ridge", layer="b", control=c) for c in ("random", ""))
    assert random["mean"] != trained["mean"]
    assert 0.5 < pick(table, subject="subj01", method="noise ceiling", layer="")["mean"] < 1
    assert not ((table["subject"] == "subj02") & (table["method"] == "noise ceiling")).any()  # it has no repeats


def test_the_folder_holds_tables_maps_figures_and_card(finished):
    out, printed = finished
    card = json.loads((out / "run.json").read_text())
    assert card["kind"] == "encode"
    assert card["subjects"]["subj01"]["noise_ceiling"]["n_repeats"] == 4
    assert len(card["subjects"]["subj02"]["data"]["responses_sha256"]) == 64
    assert card["subjects"]["subj01"]["splits"]["test"]["n"] == 16
    assert card["backbones"]["toy"]["weights"] == "trained"
    assert card["random_twins"]["toy"]["weights"] == "random 0"
    assert {"torch", "himalaya", "brainnet"} <= set(card["versions"])
    assert {"data", "tokens", "fits", "tests"} <= set(card["time"])
    best = [row for row in card["scores"] if (row["subject"], row["method"], row["control"], row["score"]) ==
            ("subj01", "ridge", "", "r")]  # fmt: skip
    assert [row["layer"] for row in best] == ["best"]
    assert best[0]["low"] < best[0]["mean"] < best[0]["high"]
    assert f"{best[0]['mean']:.3f}" in printed
    assert "shuffled" in printed

    significance = pd.read_csv(out / "significance.csv").fillna({"control": ""})
    row = pick(significance.assign(score="r"), subject="subj01", method="window")
    assert row["n_tested"] == VOXELS
    assert row["n_fdr05"] >= 4
    voxels = [
        np.load(path, allow_pickle=False) for path in (out / "voxels").glob("toy_subj01_window_all_[0-9a-f]*.npz")
    ]
    tested = next(arrays for arrays in voxels if (arrays["p_fdr_r_test"] <= 0.05).sum() == row["n_fdr05"])
    assert {"r_test", "r2_test", "ceiling", "position", "p_max_r_test"} <= set(tested.files)

    differences = pd.read_csv(out / "differences.csv").fillna("")
    whole = differences[(differences["roi"] == "all") & (differences["subject"] == "subj01")]
    pairs = set(zip(whole["method_a"], whole["control_a"], whole["method_b"], whole["control_b"], strict=True))
    assert pairs == {("banded", "", "ridge", ""), ("window", "", "ridge", ""), ("window", "", "banded", ""),
                     ("ridge", "", "ridge", "random"), ("banded", "", "banded", "random"),
                     ("window", "", "window", "random")}  # fmt: skip
    assert len(list((out / "differences").iterdir())) == 12


def test_every_figure_has_its_numbers_beside_it(finished):
    out, _ = finished
    pictures = sorted((out / "figures").glob("*.png"))
    names = {path.stem for path in pictures}
    assert names == {
        *(f"{kind}_{subject}{network}" for subject in ("subj01", "subj02")
          for kind, network in (("scores", ""), ("layers", "_toy"), ("best_layer", "_toy"), ("variance", "_toy"),
                                ("joint", "_ridge_banded"), ("joint", "_ridge_window"))),
        "ceiling_share_subj01",
    }  # fmt: skip
    for path in pictures:
        assert path.with_suffix(".svg").is_file()
        assert len(pd.read_csv(path.with_suffix(".csv"))) > 1
        assert min(Image.open(path).size) > 250
    table = pd.read_csv(out / "encoding.csv").fillna({"control": ""})
    bars = pd.read_csv(out / "figures" / "scores_subj01.csv").set_index(["method", "roi"])
    assert bars.loc[("banded", "V4"), "mean"] == pytest.approx(
        pick(table, subject="subj01", method="banded", roi="V4")["mean"]
    )
    shares = pd.read_csv(out / "figures" / "ceiling_share_subj01.csv").set_index(["method", "roi"])
    assert shares.loc[("ridge", "all"), "mean"] == pytest.approx(
        pick(table, subject="subj01", method="ridge", layer="best")["ceiling_share"]
    )
    split = pd.read_csv(out / "figures" / "variance_subj01_toy.csv").set_index(["roi", "space"])["r2"]
    with np.load(next((out / "voxels").glob("toy_subj01_banded_all_??????.npz")), allow_pickle=False) as saved:
        names, parts = saved["spaces"].tolist(), saved["r2_split_test"]
    assert names == ["a", "b"]
    assert split.loc["V4"][names].to_numpy() == pytest.approx(parts[:, 2:].mean(1))


def test_the_same_call_goes_on_where_it_stopped(folders, tmp_path, monkeypatch):
    plain, fits = RidgeCV.fit, []

    def stops_at_the_second(self, X, Y, groups=None):
        fits.append(1)
        if len(fits) == 2:
            raise KeyboardInterrupt
        return plain(self, X, Y, groups)

    monkeypatch.setattr(RidgeCV, "fit", stops_at_the_second)
    store = ("TOKENS.STORE", str(tmp_path / "kept" / "tokens.bin"))
    with pytest.raises(Interrupted, match="the same command goes on in"):
        run_grid(folders[0], tmp_path / "out", overrides=store)
    assert not (tmp_path / "out" / "run.json").exists()
    again = run_grid(folders[0], tmp_path / "out", overrides=store)
    assert len(fits) == 3  # the first job was kept
    assert [backbone.calls for backbone in Blur.built][-1] == 0  # and so were the tokens
    assert (tmp_path / "kept" / "tokens.bin").is_file()
    assert not (tmp_path / "out" / "tokens").exists()
    monkeypatch.setattr(RidgeCV, "fit", plain)
    unbroken = run_grid(folders[0], tmp_path / "whole")
    pd.testing.assert_frame_equal(again.table, unbroken.table)


def test_a_second_call_into_a_folder_says_at_once_that_there_is_one(folders, tmp_path):
    with claimed(tmp_path, "encode"), pytest.raises(BlockingIOError, match="another process is writing"):
        run_grid(folders[0], tmp_path)
    assert not (tmp_path / "encoding.csv").exists()
    assert all(backbone.calls == 0 for backbone in Blur.built)
    run_grid(folders[0], tmp_path)
    assert (tmp_path / "run.json").is_file()


def test_networks_are_built_one_at_a_time_and_let_go(folders, tmp_path, monkeypatch):
    alive, most = weakref.WeakSet(), []

    class Watched(Blur):
        def __init__(self, variant=None, **options):
            gc.collect()
            most.append(len(alive))
            super().__init__(variant, **options)
            self.built.clear()
            alive.add(self)

    fitted = []

    def watched_fit(self, X, Y, groups=None):
        gc.collect()
        fitted.append(len(alive))
        return plain(self, X, Y, groups)

    plain = RidgeCV.fit
    monkeypatch.setattr(RidgeCV, "fit", watched_fit)
    with BACKBONES.temporarily("toy", Watched), BACKBONES.temporarily("other", Watched):
        run_grid(folders[0], tmp_path, backbones=["toy", "other"], layers=["b"], controls=["random"])
        assert max(most) <= 1  # the twin is checked beside its network, whose twin it must not be
        assert len(most) >= 4
        run_grid(folders[0], tmp_path / "lone", layers=["b"])
    assert fitted
    assert set(fitted) == {0}


def test_results_of_an_earlier_call_do_not_stay_behind(folders, tmp_path):
    run_grid(folders[0], tmp_path, methods=["ridge", "banded"])
    assert (tmp_path / "figures" / "variance_subj01_toy.png").is_file()
    run_grid(folders[0], tmp_path, methods=["ridge"], layers=["b"])
    assert not list(tmp_path.glob("*/*variance*"))
    assert not list(tmp_path.glob("voxels/*banded*"))
    assert not list(tmp_path.glob("voxels/*ridge_a*"))
    assert list(tmp_path.glob("jobs/*banded*"))  # the work is not thrown away


def test_processes_give_the_same_table(folders, tmp_path):
    one = run_grid(folders[0], tmp_path / "one", methods=["ridge", "window"])
    two = run_grid(folders[0], tmp_path / "two", methods=["ridge", "window"], n_jobs=2)
    pd.testing.assert_frame_equal(one.table, two.table)
    assert (tmp_path / "two" / "tokens" / "tokens.bin").is_file()  # mapped by both processes, not copied to them
    assert not (tmp_path / "one" / "tokens").exists()


def test_networks_stand_side_by_side(folders, tmp_path):
    encoding = run_grid(
        folders[0],
        tmp_path,
        backbones=["toy", "toy=random", "other=elsewhere.npz"],
        overrides=["BACKBONE.WEIGHTS", "my"],
    )
    assert [key.model for key in encoding.headline()] == ["toy=my", "toy=random", "other"]
    assert [backbone.weights for backbone in Blur.built[:3]] == ["my", "random 0", "elsewhere.npz"]
    assert len(list((tmp_path / "tokens").glob("*.bin"))) == 3
    assert len(list((tmp_path / "figures").glob("joint_subj01_toy-my-ridge_*_other-ridge_*.png"))) == 1
    assert len(list((tmp_path / "differences").iterdir())) == 3
    with pytest.raises(ValueError, match="--backbone names toy=my twice"):
        run_grid(folders[0], tmp_path, backbones=["toy=my", "toy=my"])


def test_each_network_takes_the_layers_it_has(folders, tmp_path, monkeypatch):
    with BACKBONES.temporarily("other", lambda variant: Blur(layers=("b", "c"))):
        encoding = run_grid(folders[0], tmp_path, backbones=["toy", "other"], layers=["a", "b"])
        layers = {(key.model, key.layer) for key in encoding.fits if key.layer != "best"}
        assert layers == {("toy", "a"), ("toy", "b"), ("other", "b")}
        with pytest.raises(ValueError, match="no network has a layer 'd': toy has a, b; other has b, c"):
            run_grid(folders[0], tmp_path, backbones=["toy", "other"], layers=["a", "d"])
        with pytest.raises(ValueError, match="other has none of the layers a; it has b, c"):
            run_grid(folders[0], tmp_path, backbones=["toy", "other"], layers=["a"])
        lone = run_grid(folders[0], tmp_path / "lone", layers=["z"])  # any module of a lone network
        assert {key.layer for key in lone.fits} == {"z", "best"}


def test_the_random_twin_is_the_same_network_with_seeded_weights(folders, tmp_path):
    tables = [
        run_grid(folders[0], tmp_path / name, controls=["random"], layers=["b"], seed=seed).table
        for name, seed in (("x", 1), ("y", 1), ("z", 2))
    ]
    means = [pick(table, layer="b", control="random")["mean"] for table in tables]
    assert means[0] == means[1] != means[2]
    data = ArrayDataset.from_folder(folders[0])
    store = TokenStore.build(Blur(weights="random", seed=1), data, grid=(8, 8), progress=False)
    assert pick(encode({"toy": store}, data, layers=["b"], n_resamples=2).table, layer="b")["mean"] == means[0]


def test_a_twin_keeps_activation_layers_and_image_statistics_of_its_network(tmp_path):
    """OpenAI's CLIP computes another GELU than the architecture's default, and centres images in its own way."""
    cfg = load_config(None, ["BACKBONE.NAME", "clip:ViT-S-32-alt"])
    from brainnet.backbone import build_backbone

    mine, plain = Preprocessing(size=(64, 64)), BACKBONES["clip"]
    trained = build_backbone(
        "clip:ViT-S-32-alt", weights="random", seed=5, quick_gelu=True, layers=["3"], preprocessing=mine
    )

    def published(variant, **options):  # as if the trained one came with published weights
        return plain(variant, **options) if options.get("weights") == "random" else trained

    with BACKBONES.temporarily("clip", published):
        (network,), _ = check_networks(plan_networks(cfg, ()), (), True, seed=1)
        twin = network.twin.build()
    assert twin.settings == {"quick_gelu": True}
    assert (twin.layers, twin.preprocessing) == (("3",), mine)
    assert twin.fingerprint()["weights"] != trained.fingerprint()["weights"]


@pytest.fixture(scope="module")
def trained(folders, tmp_path_factory):
    """A finished `brainnet fit` on the first subject."""
    out = tmp_path_factory.mktemp("fit") / "map"
    more = ["MODEL.BOTTLENECK_DIM", "4", "MODEL.WINDOW", "gaussian", "MODEL.START", "ridge", "MODEL.HEAD", "sum",
            "TOKENS.STANDARDIZE", "True", "RESPONSES.STANDARDIZE", "True", "TRAINER.MAX_EPOCHS", "1"]  # fmt: skip
    with BACKBONES.temporarily("toy", Blur):
        metrics = fit(settings(folders[0], *more), out, progress=False)
    return out, metrics


def test_a_trained_map_is_scored_in_the_same_table(trained, folders, tmp_path):
    run, metrics = trained
    encoding = run_grid(folders[0], tmp_path, runs=[run])
    found = pick(encoding.table, method="FactorTopy")
    assert (found["model"], found["layer"]) == ("toy", "all")
    assert found["mean"] == pytest.approx(metrics["test"]["all"]["r"]["mean"], abs=1e-6)
    assert pick(encoding.table, method="FactorTopy", roi="V4", score="r2")["mean"] == pytest.approx(
        metrics["test"]["V4"]["r2"]["mean"], abs=1e-6
    )
    assert [backbone.calls for backbone in Blur.built][-1] == 0  # the map read the tokens that are there already
    differences = pd.read_csv(tmp_path / "differences.csv")
    assert (differences["method_a"] == "FactorTopy").all()
    card = json.loads((tmp_path / "run.json").read_text())
    assert card["runs"][str(run)]["method"] == "FactorTopy"
    elsewhere = run_grid(folders[0], tmp_path / "grid", runs=[run], overrides=["MODEL.GRID", "(2, 2)"])
    assert pick(elsewhere.table, method="FactorTopy")["mean"] == pytest.approx(found["mean"], abs=0.01)  # via pictures


def test_voxels_that_could_not_be_trained_have_no_score(folders, tmp_path, monkeypatch):
    """A trained map predicts the mean of a voxel that never changes in training; that is no prediction."""
    data = ArrayDataset.from_folder(folders[0])
    data.responses[torch.cat([data.splits["train"], data.splits["val"]]), 2] = 1.0
    monkeypatch.setattr(runs, "build_dataset", lambda cfg, backbone: data)
    monkeypatch.setattr(run_encode, "build_dataset", lambda cfg, backbone: data)
    cfg = settings(folders[0], "TRAINER.MAX_EPOCHS", "1")
    fit(cfg, tmp_path / "run", progress=False)
    encoding = encode_subjects(cfg, tmp_path / "out", runs=[tmp_path / "run"], n_resamples=20, progress=False)
    learned = pick(encoding.table, method="FactorTopy", score="r", split="test", roi="all")
    assert (learned["n_voxels"], learned["n_excluded"]) == (VOXELS - 1, 1)


def test_runs_of_other_data_or_another_split_are_refused(trained, folders, tmp_path):
    run, _ = trained
    with pytest.raises(ValueError, match=r"trained on other data \(80 images, 6 voxels\) than .* subj02"):
        run_grid(folders[1], tmp_path, runs=[run])
    with pytest.raises(ValueError, match=r"data of subj01 but on another split \(test, train, val\)"):
        run_grid(folders[0], tmp_path, runs=[run], overrides=["SEED", "3"])
    with pytest.raises(FileNotFoundError, match="no finished run in"):
        run_grid(folders[0], tmp_path, runs=[tmp_path])
    with pytest.raises(FileExistsError, match="holds the results of `brainnet fit`"):
        run_grid(folders[0], run)
    assert not Blur.built or all(backbone.calls == 0 for backbone in Blur.built)  # said before any token was computed


def test_a_run_finds_its_split_among_several_and_runs_of_one_name_are_told_apart(trained, folders, tmp_path):
    run, metrics = trained
    places = [tmp_path / name / "map" for name in "xyz"]
    for place in places:
        shutil.copytree(run, place)
    encoding = run_grid(folders[0], tmp_path / "out", runs=places, subjects="SEED=3,0", layers=["b"])
    learned = [key for key in encoding.fits if key.method.startswith("FactorTopy")]
    assert [key.subject for key in learned] == ["0"] * 3
    assert len({key.method for key in learned}) == 3
    for key in learned:
        found = pick(encoding.table, method=key.method, subject="0")
        assert found["mean"] == pytest.approx(metrics["test"]["all"]["r"]["mean"], abs=1e-6)


@pytest.mark.parametrize("card", ["", "[]", "{}", '{"data": 3, "splits": {}}'])
def test_a_run_with_a_broken_card_is_one_line(trained, folders, tmp_path, card):
    run = tmp_path / "map"
    shutil.copytree(trained[0], run)
    (run / "run.json").write_text(card)
    with pytest.raises(ValueError, match="run.json") as caught:
        run_grid(folders[0], tmp_path / "out", runs=[run])
    assert "\n" not in str(caught.value)


def test_a_folder_with_results_of_another_kind_is_left_alone(folders, tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "rsa"}')
    with pytest.raises(FileExistsError, match="holds the results of `brainnet rsa`; choose another --out"):
        run_grid(folders[0], tmp_path)
    assert json.loads((tmp_path / "run.json").read_text()) == {"kind": "rsa"}


def test_what_a_call_killed_while_it_wrote_leaves_behind_does_not_stay(folders, tmp_path, monkeypatch):
    class Killed(BaseException):
        pass

    def killed(*_, **__):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(run_encode, "draw", killed)
        with pytest.raises(Killed):
            run_grid(folders[0], tmp_path, methods=["ridge", "banded"])
    assert list(tmp_path.glob("voxels/*banded*"))
    run_grid(folders[0], tmp_path, methods=["ridge"])
    assert not list(tmp_path.glob("voxels/*banded*"))
    assert not list(tmp_path.glob("differences/*banded*"))
    assert json.loads((tmp_path / "run.json").read_text())["scores"]


def test_subjects_whose_names_make_one_file_name_keep_figures_of_their_own(folders, tmp_path):
    for name, folder in (("s+1", folders[0]), ("s-1", folders[1])):
        shutil.copytree(folder, tmp_path / name)
    subjects = f"DATASET.DATA_DIR={tmp_path / 's+1'},{tmp_path / 's-1'}"
    run_grid(folders[0], tmp_path / "out", subjects=subjects)
    pictures = list((tmp_path / "out" / "figures").glob("scores_*.csv"))
    table = pd.read_csv(tmp_path / "out" / "encoding.csv")
    best = table[(table["layer"] == "best") & (table["roi"] == "all") & (table["score"] == "r")]["mean"]
    shown = [pd.read_csv(path).set_index("roi").loc["all", "mean"] for path in pictures]
    assert sorted(shown) == pytest.approx(sorted(best))


def test_further_splits_are_scored_and_drawn_under_their_names(folders, tmp_path):
    folder = tmp_path / "subject"
    shutil.copytree(folders[0], folder)
    names = ["train"] * 50 + ["test"] * 15 + ["sketches"] * 15
    lines = [f"im{i},{name}" for i, name in enumerate(names)]
    (folder / "splits.csv").write_text("\n".join(["image,split", *lines]))
    encoding = run_grid(folder, tmp_path / "out", methods=["ridge", "banded"])
    for method in ("ridge", "banded"):
        layer = "best" if method == "ridge" else "all"
        assert pick(encoding.table, method=method, layer=layer, split="sketches")["mean"] > 0.2
    names = {path.stem for path in (tmp_path / "out" / "figures").glob("*sketches.png")}
    assert names == {"scores_subject_sketches", "layers_subject_toy_sketches", "joint_subject_ridge_banded_sketches",
                     "variance_subject_toy_sketches", "ceiling_share_subject_sketches"}  # fmt: skip
    ceiling = pd.read_csv(tmp_path / "out" / "figures" / "scores_subject_sketches.csv")["ceiling"]
    assert ceiling[0] == pytest.approx(pick(encoding.table, method="noise ceiling", split="sketches")["mean"])
    assert ceiling[0] != pytest.approx(pick(encoding.table, method="noise ceiling")["mean"])
    assert "split sketches" in (tmp_path / "out" / "figures" / "scores_subject_sketches.svg").read_text()
    significance = pd.read_csv(tmp_path / "out" / "significance.csv")
    assert set(significance["split"]) == {"test", "sketches"}


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"methods": ["rigde"]}, "Unknown method 'rigde'. Did you mean 'ridge'"),
        ({"layers": ["a", "y/z"], "backbones": ["toy", "other"]}, "no network has a layer 'y/z'"),
        ({"pool": "flat"}, "Unknown pool 'flat'. Did you mean 'flatten'"),
        ({"controls": ["shuffle"]}, "Unknown control 'shuffle'. Did you mean 'shuffled'"),
        ({"subjects": "201025,210325"}, "--subjects is KEY=v1,v2"),
        ({"subjects": "DATASET.SESSION="}, "--subjects is KEY=v1,v2"),
        ({"subjects": "DATASET.SESION=1,2"}, "unknown key DATASET.SESION .* Did you mean DATASET.SESSION"),
        ({"subjects": "OPTIMIZER.LR=1,2"}, "a setting of the data"),
        ({"subjects": "SEED=1,1"}, "names '1' twice"),
        ({"backbones": ["toy=random"], "controls": ["random"]}, "toy has random weights already"),
        ({"backbones": ["expansion:small"], "controls": ["random"]}, "expansion:small has random weights already"),
        ({"backbones": ["plain"], "controls": ["random"]}, "plain has no random twin"),
        ({"backbones": ["tooy"]}, "Unknown backbone 'tooy'. Did you mean"),
        ({"overrides": ["MODEL.GRID", "(0, 4)"]}, "MODEL.GRID"),
    ],
)
def test_mistakes_are_said_before_any_work(folders, tmp_path, options, message):
    with pytest.raises(ValueError, match=message) as caught:
        run_grid(folders[0], tmp_path / "out", **options)
    assert "\n" not in str(caught.value)
    assert all(backbone.calls == 0 for backbone in Blur.built)


def test_penalties_are_chosen_leaving_one_run_out(folders, tmp_path, monkeypatch):
    data = ArrayDataset.from_folder(folders[0])
    lines = [f"{name},run {i % 5}" for i, name in enumerate(data.image_ids)]
    (tmp_path / "runs.csv").write_text("\n".join(["image,group", *reversed(lines)]))
    encoding = run_grid(folders[0], tmp_path / "out", layers=["b"], groups=tmp_path / "runs.csv")
    store = TokenStore.build(Blur(), data, grid=(8, 8), progress=False)
    runs = [f"run {i % 5}" for i in range(len(data))]
    expected = encode({"toy": store}, data, layers=["b"], groups=runs, n_resamples=2)
    key = FitKey("toy", "subj01", "ridge", "b")
    assert torch.equal(encoding.fits[key].selection, expected.fits[key._replace(subject="subject")].selection)
    monkeypatch.setattr(ArrayDataset, "groups", np.array(runs))
    methods = ["ridge", "window", "mixed"]
    own = run_grid(folders[0], tmp_path / "own", layers=["b"], groups="runs", methods=methods)
    assert torch.equal(own.fits[key].selection, encoding.fits[key].selection)
    train = torch.cat([data.splits["train"], data.splits["val"]])
    for name, kind in {"window": WindowRidgeCV, "mixed": MixedWindowRidgeCV}.items():
        fit = kind(cv="groups").fit({"b": store.tokens(train).local["b"]}, data.responses[train], np.array(runs)[train])
        selection = own.fits[FitKey("toy", "subj01", name, "all")].selection
        torch.testing.assert_close(selection, fit.loo_scores_.double(), rtol=0, atol=1e-5)
    monkeypatch.undo()
    with pytest.raises(ValueError, match="ArrayDataset knows none"):
        run_grid(folders[0], tmp_path / "none", layers=["b"], groups="sessions")
    with pytest.raises(FileNotFoundError, match=r"no file .*runs.cvs"):
        run_grid(folders[0], tmp_path / "none", layers=["b"], groups=tmp_path / "runs.cvs")
    (tmp_path / "runs.csv").write_text("\n".join(["image,group", *lines[1:]]))
    with pytest.raises(ValueError, match=data.image_ids[0]):
        run_grid(folders[0], tmp_path / "out", layers=["b"], groups=tmp_path / "runs.csv")


def test_tokens_of_other_images_are_refused(folders, tmp_path):
    store = ("TOKENS.STORE", str(tmp_path / "tokens.bin"))
    run_grid(folders[0], tmp_path / "a", overrides=store, layers=["b"])
    with pytest.raises(ValueError, match="was made from something else") as said:
        run_grid(folders[1], tmp_path / "b", overrides=store)
    assert "TOKENS.STORE" in str(said.value)
    assert "overwrite=True" not in str(said.value)  # which no command takes


@pytest.mark.slow
def test_real_v4_sessions_from_one_line(test_data, tmp_path):
    """The published recipe's split and tokens; best layer, mixes, windows and penalties chosen on training images."""
    cfg = load_config("v4_squeezenet", ["DATASET.DATA_DIR", str(test_data / "cowley_v4"), "BACKBONE.WEIGHTS",
                                        str(test_data / "weights" / "squeezenet1_0_torchvision.npz")])  # fmt: skip
    table = encode_subjects(
        cfg, tmp_path, methods=["ridge", "banded", "window"], controls=["shuffled"], n_resamples=200,
        subjects="DATASET.SESSION=201025,210325", progress=False,
    ).table  # fmt: skip
    expected = {("ridge", "best"): (0.584, 0.598), ("banded", "all"): (0.598, 0.611), ("window", "all"): (0.632, 0.633)}
    for (method, layer), values in expected.items():
        for session, value in zip(("201025", "210325"), values, strict=True):
            found = pick(table, subject=session, method=method, layer=layer)
            assert found["mean"] == pytest.approx(value, abs=0.01)
            assert abs(pick(table, subject=session, method=method, layer=layer, control="shuffled")["mean"]) < 0.03
            if method == "ridge":
                assert found["chosen_layer"] == "features.9"  # fire7... in the numbering of torchvision
