"""What a run will take: what cannot fit is refused, shapes give the bytes that are then written, lines are few."""

from __future__ import annotations

import errno
import json
import logging

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.run import forecast
from brainnet.run.encoding import encoding
from brainnet.run.encoding.pilot import Plan
from brainnet.run.extraction import extraction
from brainnet.run.extraction.extraction import extract_features
from brainnet.run.forecast import Forecast, announced, of_rdms, probe_tokens, say_tokens
from brainnet.run.rsa.rdms import write_rdms
from brainnet.stimuli import Images
from brainnet.store import TokenStore
from tests.toys import ToyBackbone, toy_config, toys_registered


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(50):
        pixels = np.random.default_rng(i).integers(0, 255, (32, 32, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{i}.png")
    return folder


def test_what_cannot_fit_is_refused_unless_forced(tmp_path):
    with pytest.raises(MemoryError, match=r"1e\+03 PB|1e\+06 TB|1,?000,?000 TB|1e\+6 TB") as said:
        announced(Forecast(memory=1e18), tmp_path)
    assert "--force" in str(said.value)
    with pytest.raises(OSError, match="--force") as said:
        announced(Forecast(memory=0, disk=1e18), tmp_path / "not" / "there")
    assert not isinstance(said.value, MemoryError)
    assert str(tmp_path) in str(said.value)
    announced(Forecast(memory=1e18, disk=1e18), tmp_path, force=True)
    announced(Forecast(memory=0, mapped=1e18), tmp_path)  # the system drops what is mapped
    assert not (tmp_path / "not").exists()


def test_a_line_is_said_of_a_long_run_alone(tmp_path, caplog):
    with caplog.at_level(logging.INFO, logger="brainnet.progress"):
        announced(Forecast(memory=1e6, seconds=9), tmp_path)
        announced(Forecast(memory=1e6), tmp_path)
        assert not caplog.records
        found = announced(Forecast(memory=1e6, disk=2e9, seconds=150), tmp_path)
    (line,) = caplog.messages
    for part in ("2.5 min", "2 GB of disk", "free"):
        assert part in line
    assert found.resident > 1e7  # a process that has loaded torch
    assert found.of_card()["seconds"] == 150


def test_a_network_is_probed_where_there_are_many_batches(pictures, tmp_path):
    backbone = ToyBackbone()
    images = Images(pictures)
    assert probe_tokens(backbone, images, grid=None, resize="mean", batch_size=3) is None
    assert backbone.calls == 0
    probe = probe_tokens(backbone, images, grid=(4, 4), resize="mean", batch_size=2)
    assert backbone.calls == 1 + forecast.PROBED
    assert (probe.layout.layers, probe.layout.grids) == (("a", "b", "c"), ((4, 4),) * 3)
    assert 0 < probe.seconds < 1
    say_tokens(backbone, images, None, tmp_path, False, of="tokens", grid=(4, 4), resize="mean", batch_size=2)
    assert backbone.calls == 2 + 2 * forecast.PROBED


OF_THE_CARD = {"images.txt", "run.json", "tokens.bin.json"}


@pytest.mark.parametrize("file_format", ["npy", "csv", "h5", "mat", "txt"])
def test_the_disk_of_an_extraction_follows_from_shapes(pictures, tmp_path, monkeypatch, file_format):
    found = []
    monkeypatch.setattr(extraction, "announced", lambda *given: found.append(given[0]) or announced(*given))
    extract_features(pictures, tmp_path / "out", ToyBackbone(), batch_size=2, file_format=file_format, keep_tokens=True,
                     progress=False)  # fmt: skip
    written = sum(path.stat().st_size for path in (tmp_path / "out").iterdir() if path.name not in OF_THE_CARD)
    store = TokenStore.open(tmp_path / "out" / "tokens.bin")
    sizes = [4 * store.features(layer, "flatten").numel() for layer in store.layers]
    # rows beside the files but where they are the files themselves, and columns of one
    for_a_while = sum(sizes) * (file_format != "npy") + max(sizes) * (file_format == "mat")
    assert found[0].disk == pytest.approx(written + for_a_while, rel=0.25)
    card = json.loads((tmp_path / "out" / "run.json").read_text())
    assert card["forecast"]["seconds"] > 0
    assert card["forecast"]["peak_memory_gb"] == pytest.approx(card["peak_memory_gb"], rel=0.25)


def test_too_small_a_disk_is_told_before_any_token_is_computed(pictures, tmp_path, monkeypatch):
    usage = forecast.shutil.disk_usage(tmp_path)
    monkeypatch.setattr(forecast.shutil, "disk_usage", lambda path: usage._replace(free=1000))
    with pytest.raises(OSError, match="1 kB is free") as said:
        extract_features(pictures, tmp_path / "out", ToyBackbone(), batch_size=2, progress=False)
    assert said.value.errno != errno.ENOSPC
    assert not (tmp_path / "out").exists()


def test_the_disk_of_rdms_follows_from_shapes(tmp_path, monkeypatch):
    from brainnet.run.rsa import rdms

    found = []
    monkeypatch.setattr(rdms, "announced", lambda *given: found.append(given[0]) or announced(*given))
    np.save(tmp_path / "x.npy", np.random.default_rng(0).normal(size=(400, 20)).astype(np.float32))
    write_rdms(tmp_path / "x.npy", tmp_path / "out", progress=False)
    written = sum((tmp_path / "out" / name).stat().st_size for name in ("rdms.npz", "rdms.csv"))
    assert found[0].disk == pytest.approx(written, rel=0.25)


def test_a_fit_says_its_forecast_when_the_first_steps_are_timed(tmp_path, monkeypatch, caplog):
    from brainnet.run.fitting import callbacks, training

    monkeypatch.setattr(callbacks.Pace, "SECONDS", 0.0)
    monkeypatch.setattr(forecast, "LEAST_SAID", 0.0)
    with toys_registered(), caplog.at_level(logging.INFO, logger="brainnet.progress"):
        training.fit(toy_config("TRAINER.MAX_EPOCHS", "6"), tmp_path / "run", progress=False)
    assert len([line for line in caplog.messages if line.startswith("forecast")]) == 1
    card = json.loads((tmp_path / "run" / "run.json").read_text())
    assert card["forecast"]["seconds"] > 0
    monkeypatch.setattr(training, "announced", lambda *given, **more: announced(Forecast(memory=1e18), *given[1:]))
    with toys_registered(), pytest.raises(MemoryError, match="--force"):
        training.fit(toy_config(), tmp_path / "other", progress=False)


def test_the_plan_of_an_encoding_counts_its_fits(tmp_path, monkeypatch):
    plans = []
    monkeypatch.setattr(Plan, "seconds", lambda self, run, n_jobs: plans.append(self))
    with toys_registered():
        cfg = toy_config()
        found = encoding.encode_subjects(
            cfg, tmp_path, methods=["ridge", "stacked"], controls=["shuffled"], n_resamples=20, progress=False
        )
    (plan,) = plans
    assert plan.n_fits == sum(key.layer != "best" for key in found.fits) == 2 * (3 + 1)
    grid = plan.grid(1, False)
    assert (grid.n_voxels, grid.n_train + grid.n_test, grid.spaces, grid.windows) == (7, 60, True, False)
    assert grid.widths == {"a": 6 * 64, "b": 6 * 64, "c": 6 * 64}
    assert forecast.of_encoding(grid).memory > torch.tensor(0)


@pytest.mark.parametrize("n", [0, 1, 2, 3, 500])
def test_however_few_the_conditions_are_there_is_a_forecast(n):
    found = of_rdms(None, {"a": 3, "b": 0}, n, "correlation")
    assert 0 <= found.seconds < 10
    assert found.memory >= 0
