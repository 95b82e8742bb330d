"""Weights from files: every format the same arrays, nothing that runs code, misfits named."""

from __future__ import annotations

import argparse
from collections import defaultdict
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from safetensors.torch import save_file
from torch import nn

from brainnet.backbone import weights as weights_module
from brainnet.backbone.weights import (
    fit_weights,
    hub_addresses,
    load_weights,
    own_random_numbers,
    part_of_weights,
    published_file,
    weights_path,
)


@pytest.fixture
def network(rng):
    network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4))
    for value in network.parameters():
        value.data = torch.randn(value.shape, generator=rng)
    return network


@pytest.fixture
def offline(tmp_path, monkeypatch):
    """A cache of its own, and no network."""
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "torch"))

    def fetch(url, filename=None, **_):
        raise ConnectionError(f"could not download {url}: no network. Put it at {tmp_path / 'home' / filename}")

    monkeypatch.setattr(weights_module, "fetch", fetch)
    return tmp_path


@pytest.mark.parametrize("suffix", ["npz", "safetensors", "pth", "pt", "th"])
def test_every_format_gives_the_same_arrays(network, tmp_path, suffix):
    state = network.state_dict()
    file = tmp_path / f"weights.{suffix}"
    if suffix == "npz":
        np.savez(file, **{k: v.numpy() for k, v in state.items()})
    elif suffix == "safetensors":
        save_file(state, file)
    elif suffix == "th":  # as training scripts leave them
        torch.save({"state_dict": {f"module.{k}": v for k, v in state.items()}, "best_prec1": 91.7}, file)
    else:
        torch.save({"model": state} if suffix == "pt" else state, file)
    read = load_weights(file)
    assert read.keys() == state.keys()
    assert all(torch.equal(read[k], state[k]) and read[k].dtype == state[k].dtype for k in state)


def test_the_carried_cifar_checkpoint_is_read(test_data):
    state = load_weights(test_data / "weights" / "resnet20-12fca82f.th")
    assert state["conv1.weight"].shape == (16, 3, 3, 3)


class Evil:
    def __reduce__(self):
        return (pytest.fail, ("code in a weights file was run",))


def test_pickled_code_is_not_run(tmp_path):
    torch.save({"weight": torch.ones(1), "extra": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="does not run code"):
        load_weights(tmp_path / "evil.pth")
    np.savez(tmp_path / "evil.npz", weight=np.array([Evil()], dtype=object))
    with pytest.raises(ValueError, match="cannot read weights"):
        load_weights(tmp_path / "evil.npz")


def test_settings_beside_the_weights_are_read_and_the_weights_found(network, tmp_path):
    """As the training scripts of DINO, MAE and VISSL leave them, two levels down and names in parallel."""
    own = network.state_dict()
    settings = {
        "args": argparse.Namespace(lr=0.1),
        "best": np.float64(3.5),
        "seen": np.arange(3),
        "n": defaultdict(int),
    }
    layouts = {
        "a.pth": {"model": own, **settings, "n": SimpleNamespace(x=1)},
        "b.torch": {"classy_state_dict": {"base_model": {"model": {"trunk": own, "heads": {}}}}, **settings},
        "c.pth.tar": {"state_dict": {f"features.module.{name}": value for name, value in own.items()}},
    }
    for name, content in layouts.items():
        torch.save(content, tmp_path / name)
        state = load_weights(tmp_path / name)
        state = part_of_weights(state, "features.")
        assert all(torch.equal(state[k], own[k]) for k in own)
        assert state.keys() == own.keys()


def test_files_that_are_none_are_refused_in_words(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"absent.pth"):
        load_weights(tmp_path / "absent.pth")
    (tmp_path / "notes.txt").write_text("hello")
    with pytest.raises(ValueError, match="known formats"):
        load_weights(tmp_path / "notes.txt")
    (tmp_path / "cut.safetensors").write_bytes(b"\x10\x00")
    with pytest.raises(ValueError, match="damaged"):
        load_weights(tmp_path / "cut.safetensors")
    torch.save({"epoch": 3}, tmp_path / "empty.pth")
    with pytest.raises(ValueError, match="holds no weights"):
        load_weights(tmp_path / "empty.pth")


@pytest.mark.filterwarnings("ignore")  # torch deprecates what still lies on disks
def test_torchscript_archives_are_named_as_such(network, tmp_path):
    torch.jit.trace(network.eval(), torch.zeros(1, 3, 4, 4)).save(str(tmp_path / "scripted.pt"))
    with pytest.raises(ValueError, match="TorchScript"):
        load_weights(tmp_path / "scripted.pt")


def test_misfits_are_named(network):
    state = dict(network.state_dict())
    state["0.weight"] = torch.zeros(9, 3, 3, 3)
    state["head.weight"] = state.pop("0.bias")
    with pytest.raises(ValueError, match="do not fit Sequential") as caught:
        fit_weights(network, state, "some.pth")
    text = str(caught.value)
    assert "missing (1): 0.bias" in text
    assert "unexpected (1): head.weight" in text
    assert "0.weight is (9, 3, 3, 3), the network's (4, 3, 3, 3)" in text
    assert "some.pth" in text


def test_optional_parts_and_batch_counters_may_differ(network):
    state = {k: torch.ones_like(v) for k, v in network.state_dict().items() if "num_batches" not in k}
    state["head.weight"] = torch.zeros(2)
    fit_weights(network, state, "some.pth", optional=["head."])
    assert (network[0].weight == 1).all()
    state["0.bias"] = torch.zeros(99)
    fit_weights(network, state, "some.pth", optional=["head.", "0.bias"])
    assert (network[0].bias == 1).all()  # of another shape, so left as it was


def test_what_weights_means(tmp_path):
    assert weights_path("random") is None
    assert weights_path("openai") is None
    assert weights_path("a1_in1k") is None
    (tmp_path / "mine").write_bytes(b"")
    assert weights_path(tmp_path / "mine") == tmp_path / "mine"
    for missing in ("mine.pth", "folder/mine", tmp_path / "absent"):
        with pytest.raises(FileNotFoundError):
            weights_path(missing)


def test_published_files_are_looked_for_here_then_in_the_hubs_then_asked_for(offline):
    address = "https://download.example.org/models/net-12345678.pth"
    with pytest.raises(ConnectionError) as caught:
        published_file("torchvision", "net", "V1", [address])
    text = str(caught.value)
    place = offline / "home" / "weights" / "torchvision" / "net.V1.pth"
    assert address in text
    assert str(place) in text
    assert '"random" in place of the path' in text
    cached = offline / "torch" / "hub" / "checkpoints" / "net-12345678.pth"
    cached.parent.mkdir(parents=True)
    cached.write_bytes(b"hub")
    assert published_file("torchvision", "net", "V1", [address]) == cached
    place.parent.mkdir(parents=True)
    place.write_bytes(b"own")
    assert published_file("torchvision", "net", "V1", [address]) == place


def test_the_first_address_that_answers_is_taken(offline, monkeypatch):
    asked = []

    def fetch(url, filename=None, **_):
        asked.append(url)
        if url.endswith(".safetensors"):
            raise ConnectionError("404")
        return offline / filename

    monkeypatch.setattr(weights_module, "fetch", fetch)
    addresses = hub_addresses("owner/repository", "model.safetensors", "pytorch_model.bin")
    assert published_file("timm", "net", "tag", addresses) == offline / "weights" / "timm" / "net.tag.bin"
    assert asked == addresses
    assert addresses[1].endswith("/owner/repository/resolve/main/pytorch_model.bin")


def test_the_hub_cache_is_read(offline, monkeypatch):
    import huggingface_hub

    seen = {}

    def cached(repository, file):
        seen[file] = repository
        return str(offline / file) if file == "b.bin" else None

    monkeypatch.setattr(huggingface_hub, "try_to_load_from_cache", cached)
    assert (
        published_file("timm", "net", "tag", hub_addresses("owner/net", "a.safetensors", "b.bin")) == offline / "b.bin"
    )
    assert seen == {"a.safetensors": "owner/net", "b.bin": "owner/net"}


def test_own_random_numbers_are_seeded_and_leave_no_trace():
    before = torch.get_rng_state()
    drawn = []
    for seed in (1, 1, 2):
        with own_random_numbers(seed):
            drawn.append(torch.randn(3))
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])
