"""Files of other authors in torchvision's architectures: each layout leads to the network's own output."""

from __future__ import annotations

import pytest
import torch
import torchvision

from brainnet.backbone import build_backbone
from brainnet.backbone import weights as weights_module
from brainnet.backbone.families import ecoset, places365, ssl


@pytest.fixture(scope="module")
def resnet():
    with torch.random.fork_rng():
        torch.manual_seed(1)
        return torchvision.models.resnet50().eval()


def headless(network):
    return {name: value for name, value in network.state_dict().items() if not name.startswith("fc.")}


def layouts(state):
    """Checkpoints as the authors of each method left them."""
    queue = {"module.queue": torch.zeros(3), "module.encoder_k.conv1.weight": torch.zeros(64, 3, 7, 7)}
    trunk = {f"_feature_blocks.{name}": value for name, value in state.items()}
    return {
        "simclr_resnet50": {"classy_state_dict": {"base_model": {"model": {"trunk": trunk, "heads": {}}}}},
        "mocov2_resnet50": {"epoch": 800, "arch": "resnet50", "state_dict": {
            **{f"module.encoder_q.{k}": v for k, v in state.items()}, "module.encoder_q.fc.0.weight": torch.zeros(2),
            **queue}},
        "mocov3_resnet50": {"state_dict": {
            **{f"module.base_encoder.{k}": v for k, v in state.items()}, "module.base_encoder.fc.0.weight":
            torch.zeros(2), **{f"module.momentum_encoder.{k}": 0 * v for k, v in state.items()}}},
        "swav_resnet50": {**{f"module.{k}": v for k, v in state.items()}, "module.prototypes.weight": torch.zeros(3),
                          "module.projection_head.0.bias": torch.zeros(3)},
        "simsiam_resnet50": {"state_dict": {
            **{f"module.encoder.{k}": v for k, v in state.items()}, "module.encoder.fc.0.weight": torch.zeros(2),
            "module.predictor.0.weight": torch.zeros(2)}},
        "barlowtwins_resnet50": state,
        "vicreg_resnet50": state,
        "dino_resnet50": state,
    }  # fmt: skip


@pytest.mark.parametrize("name", layouts({}))
def test_files_of_methods_without_labels_are_read(name, resnet, tmp_path, rng):
    torch.save(layouts(headless(resnet))[name], tmp_path / "file.pth.tar")
    backbone = build_backbone(f"ssl:{name}", weights=tmp_path / "file.pth.tar", layers=["layer4.2", "layer1.0.relu@1"])
    images = torch.randn(1, 3, 64, 64, generator=rng)
    outputs = []
    handle = resnet.layer4[2].register_forward_hook(lambda *call: outputs.append(call[2]))
    with torch.no_grad():
        resnet(images)
    handle.remove()
    assert torch.equal(backbone.get_tokens(images).local["layer4.2"], outputs[0])


def test_logits_are_refused_of_a_file_without_them(resnet, tmp_path):
    torch.save(headless(resnet), tmp_path / "file.pth")
    with pytest.raises(ValueError, match=r"missing .*fc"):
        build_backbone("ssl:vicreg_resnet50", weights=tmp_path / "file.pth", layers=["fc"])
    with pytest.raises(ValueError, match=r"missing .*fc"):
        build_backbone("ssl:vicreg_resnet50", weights=tmp_path / "file.pth", layers=["logits"])


def test_names_in_parallel_are_read_wherever_they_stand(tmp_path, rng):
    source = build_backbone("places365:alexnet", weights="random", seed=4)
    state = {k.replace("features.", "features.module."): v for k, v in source.network.state_dict().items()}
    torch.save({"epoch": 1, "arch": "alexnet", "state_dict": state}, tmp_path / "alexnet_places365.pth.tar")
    found = build_backbone("places365:alexnet", weights=tmp_path / "alexnet_places365.pth.tar", layers=["logits"])
    assert found.fingerprint()["weights"] == source.fingerprint()["weights"]
    assert found.get_tokens(torch.randn(1, 3, 64, 64, generator=rng)).global_["logits"].shape == (1, 365)


@pytest.mark.parametrize(
    ("name", "address"),
    [("ssl:barlowtwins_resnet50", "barlowtwins/ljng/resnet50.pth"), ("ssl:dino_vits8", "dino_deitsmall8_pretrain.pth"),
     ("ssl:pirl_resnet50", "resnet_22_07_20.34377f59/model_final_checkpoint_phase799.torch"),
     ("ssl:dino_xcit_small_12_p8", "dino/dino_xcit_small_12_p8_pretrain/dino_xcit_small_12_p8_pretrain.pth"),
     ("places365:resnet18", "resnet18_places365.pth.tar"), ("ecoset:vgg16", "osf.io/z5uf3/download")],
)  # fmt: skip
def test_published_weights_are_asked_for_at_their_addresses(name, address, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    asked = []

    def fetch(url, filename=None, **_):
        asked.append((url, filename))
        raise ConnectionError(f"could not download {url}")

    monkeypatch.setattr(weights_module, "fetch", fetch)
    monkeypatch.setattr(weights_module, "_in_hub_cache", lambda address: None)
    with pytest.raises(ConnectionError, match="weights="):
        build_backbone(name)
    assert address in asked[0][0]
    assert asked[0][1].endswith((".pth", ".tar", ".torch"))


def test_unknown_names_meet_the_nearest():
    with pytest.raises(ValueError, match=r"Did you mean 'simclr_resnet50'"):
        build_backbone("ssl:simclr_resnet5")
    with pytest.raises(ValueError, match="places365:alexnet"):
        build_backbone("places365")
    assert len({*ssl.variants(), *places365.variants(), *ecoset.variants()}) > 25


def test_an_xcit_of_dinos_authors_is_read(tmp_path, rng):
    """Their names are timm's but for the position code and the second block of class attention."""
    source = build_backbone("ssl:dino_xcit_small_12_p16", weights="random", seed=3, layers=[0, -1])
    state = {name.replace("pos_embed.", "pos_embeder."): value for name, value in source.network.state_dict().items()}
    torch.save(state, tmp_path / "dino_xcit_small_12_p16_pretrain.pth")
    read = build_backbone("ssl:dino_xcit_small_12_p16", weights=tmp_path / "dino_xcit_small_12_p16_pretrain.pth")
    assert read.fingerprint()["weights"] == source.fingerprint()["weights"]
    images = torch.randn(1, 3, 224, 224, generator=rng)
    assert source.get_tokens(images).local[source.layers[-1]].shape == (1, 384, 14, 14)
