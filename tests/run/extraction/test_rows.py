"""The rows of an extraction: by one process and by several, with steps, and what is refused."""

from __future__ import annotations

import atexit
import functools
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile

import numpy as np
import pytest
import torch
from PIL import Image
from torch import nn

import brainnet
from brainnet.backbone import build_backbone
from brainnet.features import rows as feature_rows
from brainnet.run.extraction.rows import Chains

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
    from brainnet.run.extraction import extraction

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


@pytest.mark.slow
@pytest.mark.parametrize("devices", [1, 2])
def test_machines_that_are_told_of_each_other_share_the_work(pictures, tmp_path, devices):
    """Two commands with the variables that Lightning reads, as they run on two machines."""
    extract(pictures, tmp_path / "alone")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    words = [pictures, "-b", "expansion:small", "-l", "2", "-l", "4", "--pool", "mean", "--batch-size", "2", "-q",
             "--device", "cpu", "--devices", devices, "--num-nodes", 2, "--out", tmp_path / "out"]  # fmt: skip
    environment = {**os.environ, "OMP_NUM_THREADS": str(torch.get_num_threads()), "MASTER_ADDR": "127.0.0.1",
                   "MASTER_PORT": str(port)}  # fmt: skip
    machines = [
        subprocess.Popen([sys.executable, "-m", "brainnet", "extract", *map(str, words)], stdout=subprocess.PIPE,
                         stderr=subprocess.STDOUT, text=True, env={**environment, "NODE_RANK": rank})
        for rank in "01"
    ]  # fmt: skip
    try:
        said = [machine.communicate(timeout=300)[0] for machine in machines]
    finally:
        for machine in machines:
            machine.kill()
    assert [machine.returncode for machine in machines] == [0, 0], said
    assert content(tmp_path / "out") == content(tmp_path / "alone")
    assert "4.npy" in said[0]
    assert "4.npy" not in said[1]


def test_machines_that_cannot_find_each_other_are_refused(pictures, tmp_path, monkeypatch):
    """They would wait for one another until somebody looks."""
    monkeypatch.setenv("MASTER_ADDR", "127.0.0.1")
    for name in ("MASTER_PORT", "NODE_RANK"):
        monkeypatch.delenv(name, raising=False)
    with pytest.raises(ValueError, match="MASTER_PORT and NODE_RANK to find each other"):
        extract(pictures, tmp_path / "out", num_nodes=2, device="cpu")
    assert not (tmp_path / "out").exists()


@functools.cache
def siglip() -> str:
    """The name of a tiny SigLIP of transformers in a folder."""
    transformers = pytest.importorskip("transformers")
    folder = tempfile.mkdtemp(prefix="brainnet-")
    atexit.register(shutil.rmtree, folder, ignore_errors=True)
    sizes = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
    transformers.SiglipVisionConfig(**sizes, image_size=32, patch_size=16).save_pretrained(folder)
    return f"transformers:{folder}"


@pytest.mark.parametrize(
    ("name", "module", "last"),
    [("timm:test_vit3", "attn_pool", "8"), ("clip:RN50", "attnpool", "3"), ("clip:coca_ViT-B-32", "attn_pool", "11"),
     (siglip, "head", "2")],
)  # fmt: skip
def test_an_attention_pool_is_the_networks_own(pictures, tmp_path, name, module, last):
    """What the module gives in the network's own pass over the same pictures."""
    name = name() if callable(name) else name
    some = sorted(map(str, pictures.iterdir()))[:2]
    whole, seen = build_backbone(name, weights="random"), []
    images = torch.stack([whole.preprocessing(Image.open(file)) for file in some])
    whole.network.get_submodule(module).register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        whole.run_network(images)
    how = {"weights": "random", "pool": "attention", "progress": False}
    features = brainnet.extract(name, some, **how)
    assert list(features) == ["attention_pool"]
    np.testing.assert_array_equal(features["attention_pool"], seen[0].flatten(1).numpy())
    of_last = brainnet.extract(name, some, layers=[last], **how)
    np.testing.assert_array_equal(of_last["attention_pool"], features["attention_pool"])
    with pytest.raises(ValueError, match=rf"last map alone \({last}\), and not of 0"):
        brainnet.extract(name, some, layers=[last, "0"], **how)


@pytest.mark.parametrize("name", ["expansion:small", "torchvision:squeezenet1_1=random", "timm:test_vit=random"])
def test_a_network_without_attention_pool_says_so(pictures, name):
    with pytest.raises(ValueError, match="no attention pool") as caught:
        brainnet.extract(name, pictures, pool="attention", progress=False)
    assert "\n" not in str(caught.value)


def test_a_network_of_ones_own_has_its_attention_pool_as_a_layer(pictures):
    plain = build_backbone("timm:test_vit3", weights="random", layers=["0"])
    with pytest.raises(ValueError, match="attention_pool"):
        brainnet.extract(plain, pictures, pool="attention", progress=False)
    built = build_backbone("timm:test_vit3", weights="random", layers=["attention_pool"])
    features = brainnet.extract(built, pictures, pool="attention", progress=False)
    named = brainnet.extract("timm:test_vit3=random", pictures, layers=["attention_pool"], progress=False)
    np.testing.assert_array_equal(features["attention_pool"], named["attention_pool"])


@pytest.mark.parametrize(
    ("name", "side", "n_class", "n_registers"), [("vit_small_patch14_reg4_dinov2", 56, 1, 4), ("test_vit2", 64, 0, 1)]
)
def test_every_token_of_a_transformer_is_had_by_a_word(pictures, name, side, n_class, n_registers):
    """Class token, mean of patches, both, all, and the registers, which no map has."""
    name, some, how = f"timm:{name}", sorted(map(str, pictures.iterdir()))[:2], {"image_size": side, "layers": ["3"]}
    whole, seen = build_backbone(name, weights="random", **how), []
    images = torch.stack([whole.preprocessing(Image.open(file)) for file in some])
    whole.network.blocks[3].register_forward_hook(lambda *call: seen.append(call[2]))
    with torch.no_grad():
        whole.network(images)
    prefix, patches = seen[0].tensor_split([n_class + n_registers], 1)
    tokens = {"patches": patches.mean(1), "registers": prefix[:, n_class:].mean(1)}
    tokens["class"] = prefix[:, 0] if n_class else tokens["patches"]
    tokens["both"] = torch.cat([tokens["patches"], tokens["class"]], 1)
    tokens["all"] = torch.cat([tokens["class"][:, None], patches], 1).flatten(1)
    for pool, expected in tokens.items():
        found = brainnet.extract(f"{name}=random", some, pool=pool, progress=False, **how)
        np.testing.assert_allclose(found["3"], expected.numpy(), rtol=1e-5, atol=1e-5, err_msg=pool)


def test_registers_of_a_network_without_them_are_refused(pictures):
    with pytest.raises(ValueError, match="no register tokens"):
        brainnet.extract("timm:test_vit=random", pictures, pool="registers", progress=False)
    own = build_backbone("timm:test_vit2", weights="random")
    with pytest.raises(ValueError, match="global_token='registers'"):
        brainnet.extract(own, pictures, pool="registers", progress=False)
