from __future__ import annotations

import pytest
from PIL import Image
from typer.testing import CliRunner

from brainnet.cli import app as cli
from brainnet.config import load_config
from brainnet.run.fitting import prediction
from brainnet.run.fitting import training as run


def test_every_setting_is_listed():
    result = CliRunner().invoke(cli.app, ["fit", "--keys"])
    assert "OPTIMIZER.WEIGHT_DECAY" in result.output
    assert "step size of AdamW" in result.output


@pytest.fixture
def calls(monkeypatch):
    """Notes what ``fit`` and ``predict`` are given, and runs neither."""
    noted = []
    monkeypatch.setattr(run, "fit", lambda cfg, out, **options: noted.append((cfg, out, options)) or METRICS)
    monkeypatch.setattr("brainnet.cli.fit.page_beside", lambda out: out / "page.html")
    monkeypatch.setattr(
        prediction, "predict", lambda *args, **options: noted.append((args, options)) or args[2] / "p.npy"
    )
    monkeypatch.setattr("brainnet.run.page.run_page.write_page", lambda runs, out, **_: out)
    return noted


METRICS = {
    "test": {
        "all": {"n": 90, "n_scored": 80, "r": {"mean": 0.111, "median": 0.222, "low": 0.077, "high": 0.144},
                "r2": {"mean": 0.333}, "ceiling_share": 0.555},
        "V1": {"n": 9, "n_scored": 8, "r": {"mean": 0.666}, "r2": {"mean": 0.777}, "ceiling_share": None},
    },
    "n_test_images": 70,
    "recovery": {
        "layer_accuracy": {"raw": 0.812, "gain_corrected": 0.913, "constant_guess": 0.214}, "not_identifiable": "size",
    },
}  # fmt: skip


def said(*words: str) -> str:
    result = CliRunner().invoke(cli.app, list(words))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_fit_passes_its_options_on(calls, tmp_path):
    (tmp_path / "some.yaml").write_text("SEED: 7")
    said("fit", "OPTIMIZER.LR", "0.5", "--config", str(tmp_path / "some.yaml"), "--out", str(tmp_path / "a"))
    cfg, out, options = calls.pop()
    assert (cfg.SEED, cfg.OPTIMIZER.LR, out) == (7, 0.5, tmp_path / "a")
    assert options == {"resume": False, "overwrite": False, "draw": False, "force": False, "progress": True}
    said("fit", "--resume", "--overwrite", "--draw", "--force", "--quiet", "--out", str(tmp_path / "a"))
    assert calls.pop()[2] == {"resume": True, "overwrite": True, "draw": True, "force": True, "progress": False}


def test_options_of_fit_stand_for_settings(calls):
    said("fit", "--seed", "3", "--device", "cpu", "--precision", "bf16", "--image-size", "64", "96")
    cfg = calls.pop()[0]
    assert (cfg.SEED, cfg.TRAINER.ACCELERATOR, cfg.BACKBONE.PRECISION) == (3, "cpu", "bf16")
    assert (cfg.BACKBONE.OPTIONS.image_size, cfg.DATASET.RESOLUTION) == ((64, 96), (64, 96))
    said("fit", "--image-size", "64", "96", "DATASET.NAME", "array")
    assert calls.pop()[0].DATASET.RESOLUTION == (224, 224)
    for words, wanted in ((["--device", "cuda:1"], "CUDA_VISIBLE_DEVICES=1"), (["--precision", "fp8"], "'bf16'")):
        result = CliRunner().invoke(cli.app, ["fit", *words])
        assert wanted in str(result.exception)
    assert not calls


def test_atlases_join_those_of_the_settings(calls):
    said("fit", "DATASET.ATLASES", "['a.annot']", "--atlas", "lh.wang's 15.mgz=V1*,hV4", "--atlas", "b.label.gii")
    assert calls.pop()[0].DATASET.ATLASES == ["a.annot", "lh.wang's 15.mgz=V1*,hV4", "b.label.gii"]
    said("fit", "DATASET.ATLASES", "['a.annot']")
    assert calls.pop()[0].DATASET.ATLASES == ["a.annot"]


def test_the_demo_passes_its_options_on(calls, tmp_path):
    said("demo", "--seed", "3", "--shuffled", "--out", str(tmp_path), "OPTIMIZER.LR", "0.5")
    cfg, out, _ = calls.pop()
    assert (cfg.SEED, cfg.DATASET.SHUFFLED, cfg.OPTIMIZER.LR, out) == (3, True, 0.5, tmp_path)
    assert cfg.DATASET.NAME == "simulated"
    said("demo", "--out", str(tmp_path))
    assert not calls.pop()[0].DATASET.SHUFFLED


def test_the_demo_replaces_a_demo_and_no_other_run(calls, tmp_path):
    (tmp_path / "config.yaml").write_text(load_config("demo").dump())
    said("demo", "--out", str(tmp_path))
    assert calls.pop()[2]["overwrite"]
    (tmp_path / "config.yaml").write_text(load_config().dump())
    said("demo", "--out", str(tmp_path))
    assert not calls.pop()[2]["overwrite"]


def test_predict_passes_its_options_on(calls, tmp_path):
    chosen = ("--method", "ridge", "--network", "n", "--layer", "a", "--subject", "s", "--device", "cpu")
    said("predict", "there", "images", "--out", str(tmp_path), "--batch-size", "3", *chosen)
    (folder, images, out), options = calls.pop()
    assert (str(folder), str(images), out) == ("there", "images", tmp_path)
    fit = {"method": "ridge", "network": "n", "layer": "a", "subject": "s"}
    assert options == {"batch_size": 3, "progress": True, "device": "cpu", "skip_bad": False, "with_page": False, **fit}


def test_a_page_is_left_where_it_is_asked_for(calls, tmp_path):
    assert "page.html" in said("fit", "--page", "--out", str(tmp_path))
    assert "page.html" not in said("fit", "--out", str(tmp_path))
    assert "page.html" in said("demo", "--out", str(tmp_path))


def test_the_report_prints_each_number_under_its_name(calls, tmp_path):
    text = said("fit", "--out", str(tmp_path))
    assert "roi voxels mean r mean R2 share of the ceiling all 80 0.111 0.333 0.555 V1 8 0.666 0.777 " in text
    assert "mean test r 0.111 (95 % interval over images 0.077 to 0.144), 70 images, 80 of 90 voxels" in text
    assert "found gain-corrected constant guess share of voxels whose largest layer was found 0.812 0.913 0.214" in text
    assert " 0.214 size" in text


def test_the_report_of_a_series_says_volumes_and_shares_of_voxels(calls, tmp_path, monkeypatch):
    made = dict(METRICS, is_series=True, recovery={"layer": 0.5, "layer_within_one": 0.75, "delay": 1.0})
    monkeypatch.setattr(run, "fit", lambda *args, **options: made)
    text = said("fit", "--out", str(tmp_path))
    assert "95 % interval over volumes" in text
    assert "images" not in text
    assert "layer 50%, layer within one 75%, delay 100%" in text


def test_the_choices_of_pictures_reach_a_prediction(calls, tmp_path):
    for name in ("1.png", "2.png", "10.png"):
        Image.new("RGB", (4, 4)).save(tmp_path / name)
    said("predict", "run", str(tmp_path), "--rows", "1:", "--skip-bad", "--layout", "flat")
    (_, images, _), options = calls.pop()
    assert (images.ids, options["skip_bad"]) == (["2", "10"], True)
