"""The rows of an extraction: by one process and by several, with steps, and what is refused."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import brainnet
from brainnet.features import rows as feature_rows
from brainnet.run.extraction_rows import Chains, processes

NETWORK = {"backbone": "expansion:small", "layers": ["2", "4"], "pool": "mean", "batch_size": 2, "progress": False}


@pytest.fixture
def pictures(tmp_path):
    folder = tmp_path / "pictures"
    folder.mkdir()
    for i in range(11):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{i + 5}.png")
    return folder


def extract(pictures, out, **options):
    options = {**NETWORK, **options}
    return brainnet.extract(options.pop("backbone"), pictures, out, **options)


def content(out):
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "run.json"}


@pytest.mark.slow
def test_one_two_and_four_processes_write_the_same_bytes(pictures, tmp_path, monkeypatch):
    how = {"reduce": "srp:20+pca:3+normalize", "train": [f"p{i}" for i in range(5, 12)], "format": "mat"}
    for n in (1, 2, 4):
        written = extract(pictures, tmp_path / str(n), devices=n, device="cpu", batch_size=1, **how)
        assert list(written) == ["2", "4"]
        assert all(path.is_file() for path in written.values())
    assert content(tmp_path / "2") == content(tmp_path / "1") == content(tmp_path / "4")
    cards = [json.loads((tmp_path / str(n) / "run.json").read_text()) for n in (1, 2, 4)]
    assert cards[0]["files"] == cards[1]["files"] == cards[2]["files"]


def test_in_memory_and_in_files_are_the_same_numbers(pictures, tmp_path):
    for how in ({}, {"reduce": "srp:20+pca:3", "train": ["p7", "p8", "p9", "p10"]}, {"pool": "max"}, {"pool": "all"}):
        features = extract(pictures, None, **how)
        written = extract(pictures, tmp_path / "out", overwrite=True, **how)
        assert features.ids == [f"p{i + 5}" for i in range(11)]
        for layer, path in written.items():
            np.testing.assert_array_equal(np.load(path), features[layer])


def test_new_pictures_go_through_the_steps_that_were_kept(pictures, tmp_path):
    extract(pictures, tmp_path / "out", reduce="srp:20+center+pca:3")
    whole = np.load(tmp_path / "out" / "4.npy")
    some = sorted(pictures.iterdir())[:3]
    again = extract(some, None, reduce=str(tmp_path / "out"), batch_size=1)
    places = [(tmp_path / "out" / "images.txt").read_text().split().index(path.stem) for path in some]
    np.testing.assert_allclose(again["4"], whole[places], rtol=1e-3, atol=1e-4)
    with pytest.raises(ValueError, match="keeps no steps"):
        extract(pictures, None, reduce=str(pictures))


def test_training_pictures_have_names_of_pictures(pictures):
    found = extract(pictures, None, reduce="center", train=["p7", "p15"])
    places = [found.ids.index(name) for name in ("p7", "p15")]
    for rows in found.values():
        np.testing.assert_allclose(rows[places].mean(0), 0, atol=1e-5)
        assert np.abs(rows.mean(0)).max() > 1e-3
    with pytest.raises(ValueError, match="'p99'"):
        extract(pictures, None, reduce="center", train=["p5", "p99"])


def test_ensembles_stand_beside_layers(pictures):
    class Small(nn.Module):
        def __init__(self):
            super().__init__()
            torch.manual_seed(0)
            self.features = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(4, 6, 3))

        def get_tokens(self, images):
            local = {}
            for name, module in self.features.named_children():
                images = local[f"features.{name}"] = module(images)
            return local, {name: values.mean((2, 3)) for name, values in local.items()}

    layers = ["features.2", "conv_ensemble", "maxpool_ensemble"]
    found = extract(pictures, None, backbone=Small(), layers=layers, pool="max")
    assert {layer: found[layer].shape[1] for layer in found} == {
        "features.2": 4, "conv_ensemble": 10, "maxpool_ensemble": 4,
    }  # fmt: skip
    np.testing.assert_array_equal(found["maxpool_ensemble"], 5 * found["features.2"])
    with pytest.raises(ValueError, match="expansion|AlexNet"):
        extract(pictures, None, layers=["conv_ensemble"])


def test_an_ensemble_of_a_named_network_has_the_named_layers_beside_it(pictures):
    found = extract(pictures, None, backbone="torchvision:alexnet=random", image_size=(64, 64),
                    layers=["features.0", "conv_ensemble"], pool="max")  # fmt: skip
    assert found["features.0"].shape == (11, 64)
    assert found["conv_ensemble"].shape == (11, 64 + 192 + 384 + 256 + 256)
    np.testing.assert_allclose(found["conv_ensemble"][:, :64], found["features.0"], rtol=1e-5)


def test_infinite_features_are_named_and_leave_nothing(pictures, tmp_path):
    with pytest.raises(ValueError, match="'a'.*'p5'"):
        extract(pictures, tmp_path / "out", backbone=Broken(), layers=None)
    assert not (tmp_path / "out").exists()


def test_a_kept_chunk_is_not_made_again_and_a_damaged_one_is(pictures, tmp_path, monkeypatch):
    from brainnet.run import extraction

    monkeypatch.setattr(feature_rows, "IMAGES", 4)
    whole = content_of(extract(pictures, tmp_path / "whole", reduce="srp:20"))
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "_finish", lambda *_, **__: {})
        extract(pictures, tmp_path / "out", reduce="srp:20")
    chunks = sorted((tmp_path / "out" / ".rows").glob("*.rows"))
    assert len(chunks) == 3
    raw = bytearray(chunks[1].read_bytes())
    raw[10] ^= 1
    chunks[1].write_bytes(raw)
    times = {path.name: path.stat().st_mtime_ns for path in chunks}
    with monkeypatch.context() as patch:
        patch.setattr(extraction, "_finish", lambda *_, **__: {})
        extract(pictures, tmp_path / "out", reduce="srp:20")
    changed = {path.name for path in chunks if path.stat().st_mtime_ns != times[path.name]}
    assert changed == {chunks[1].name}
    assert content_of(extract(pictures, tmp_path / "out", reduce="srp:20")) == whole


def content_of(written):
    return {layer: path.read_bytes() for layer, path in written.items()}


def test_steps_depend_on_the_bytes_of_their_files(tmp_path):
    np.savez(tmp_path / "a.npz", mean=np.zeros(3), std=np.ones(3), weights=np.eye(3))
    first = Chains(f"glocal:{tmp_path / 'a.npz'}", 0, 5).identity()
    np.savez(tmp_path / "a.npz", mean=np.ones(3), std=np.ones(3), weights=np.eye(3))
    assert Chains(f"glocal:{tmp_path / 'a.npz'}", 0, 5).identity() != first
    assert Chains("srp:5", 0, 5).identity() != Chains("srp:5", 1, 5).identity()


class Broken:
    def get_tokens(self, images):
        values = images / (images - images).abs().amax()
        return {"a": values}, {"a": values.mean((2, 3))}


@pytest.mark.slow
def test_what_another_process_could_not_do_is_told_in_its_words(pictures, tmp_path):
    with pytest.raises(ValueError, match="'a'.*not finite"):
        extract(pictures, tmp_path / "out", backbone=Broken(), layers=None, devices=2, device="cpu")


@pytest.mark.slow
def test_processes_that_torchrun_has_started_share_the_work(pictures, tmp_path):
    words = [pictures, "-b", "expansion:small", "-l", "2", "-l", "4", "--pool", "mean", "--batch-size", "2", "-q"]
    extract(pictures, tmp_path / "alone")
    call = ["-m", "torch.distributed.run", "--nproc-per-node", "2", "--master-port", "29713", "-m", "brainnet"]
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads())}
    done = subprocess.run(
        [sys.executable, *call, "extract", *map(str, words), "--device", "cpu", "--out", str(tmp_path / "out")],
        capture_output=True, text=True, env=environment, timeout=300,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr[-3000:]
    assert content(tmp_path / "out") == content(tmp_path / "alone")
    assert "4.npy" in done.stdout


def test_the_processes_of_torchrun_are_as_many_as_it_says(monkeypatch):
    assert processes(2, 3) == (2, 3)
    monkeypatch.setenv("TORCHELASTIC_RUN_ID", "x")
    monkeypatch.setenv("LOCAL_WORLD_SIZE", "4")
    monkeypatch.setenv("WORLD_SIZE", "8")
    assert processes(1, 1) == (4, 2)
