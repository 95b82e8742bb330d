"""Trackers get settings, the course of training, scores and artefacts; wandb and mlflow where they are installed."""

from __future__ import annotations

import json
import time
from importlib.util import find_spec

import pytest

from brainnet.run.fitting import trackers, training
from tests.toys import toy_config

MEANS = {"test": {"all": {"r": {"mean": 0.5}, "r2": {"mean": None}, "ceiling": {"mean": 0.8}, "ceiling_share": 0.6},
                  "lh.V1/2": {"r": {"mean": 0.25}}}}  # fmt: skip


def fit(out, logger, *more):
    training.fit(toy_config("TRAINER.LOGGER", logger, "TRAINER.MAX_EPOCHS", "2", *more), out, progress=False)


def test_means_are_named_by_score_and_region():
    assert trackers._means(MEANS) == {
        "test_r/all": 0.5, "test_ceiling/all": 0.8, "test_ceiling_share/all": 0.6, "test_r/lh.V1_2": 0.25
    }  # fmt: skip


@pytest.mark.parametrize("name", ["wandb", "mlflow", "tensorboard"])
def test_a_tracker_that_is_not_installed_names_its_extra(name, toys, tmp_path, monkeypatch):
    import sys

    monkeypatch.setitem(sys.modules, name, None)
    monkeypatch.setattr(trackers, "find_spec", lambda module: None)
    with pytest.raises(ModuleNotFoundError, match=rf'TRAINER.LOGGER {name}.*pip install "brainnet\[{name}\]"') as said:
        fit(tmp_path / "run", name)
    assert "\n" not in str(said.value)
    assert not (tmp_path / "run").exists()


def test_tensorboard_gets_scores_and_artefacts(toys, tmp_path):
    pytest.importorskip("tensorboard")
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    fit(tmp_path / "run", "tensorboard")
    kept = tmp_path / "run" / "log" / "tensorboard"
    events = EventAccumulator(str(kept))
    events.Reload()
    assert {"val_r", "val_r2", "test_r/all"} <= set(events.Tags()["scalars"])
    assert "maps" in events.Tags()["images"]
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert events.Scalars("test_r/all")[-1].value == pytest.approx(metrics["test"]["all"]["r"]["mean"], rel=1e-6)
    assert (kept / "metrics.json").read_bytes() == (tmp_path / "run" / "metrics.json").read_bytes()
    assert (tmp_path / "run" / "log" / "metrics.csv").is_file()


@pytest.mark.skipif(find_spec("mlflow") is None, reason="mlflow is not installed")
def test_mlflow_keeps_a_run_in_files(toys, tmp_path, monkeypatch):
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    fit(tmp_path / "run", "mlflow")
    from mlflow.tracking import MlflowClient

    client = MlflowClient((tmp_path / "run" / "log" / "mlflow").as_uri())
    (found,) = client.search_runs([client.get_experiment_by_name("brainnet").experiment_id])
    metrics = json.loads((tmp_path / "run" / "metrics.json").read_text())
    assert found.data.metrics["test_r/all"] == pytest.approx(metrics["test"]["all"]["r"]["mean"])
    assert found.data.params["OPTIMIZER.LR"] == "0.01"
    assert found.info.status == "FINISHED"
    assert {file.path for file in client.list_artifacts(found.info.run_id)} >= {
        "metrics.json",
        "maps.png",
        "scores.csv",
    }
    assert len(client.get_metric_history(found.info.run_id, "val_r")) == 2


@pytest.mark.skipif(find_spec("wandb") is None, reason="wandb is not installed")
def test_wandb_keeps_a_run_offline(toys, tmp_path, monkeypatch):
    monkeypatch.setenv("WANDB_MODE", "offline")
    monkeypatch.setenv("WANDB_SILENT", "true")
    fit(tmp_path / "run", "wandb")
    (folder,) = (tmp_path / "run" / "log" / "wandb").glob("offline-run-*")
    (file,) = folder.glob("run-*.wandb")
    words = {b"val_r", b"test_r/all", b"OPTIMIZER.LR", b"maps.png"}
    until = time.monotonic() + 30
    while not all(word in file.read_bytes() for word in words) and time.monotonic() < until:
        time.sleep(0.1)  # wandb's own process writes the file, and may do so after the run has ended
    assert {word for word in words if word not in file.read_bytes()} == set()
    assert list(folder.glob("files/media/images/maps_*.png"))


def test_a_tracker_that_fails_costs_no_run(toys, tmp_path, monkeypatch, caplog):
    pytest.importorskip("tensorboard")

    def fail(logger, paths):
        raise RuntimeError("the disk\nis full")

    monkeypatch.setitem(trackers._TAKES, "tensorboard", fail)
    fit(tmp_path / "run", "tensorboard")
    assert (tmp_path / "run" / "run.json").is_file()
    assert "the disk is full" in caplog.text


def test_an_unknown_tracker():
    with pytest.raises(ValueError, match=r"TRAINER.LOGGER.*'csv', 'tensorboard', 'wandb', 'mlflow'"):
        toy_config("TRAINER.LOGGER", "excel")
