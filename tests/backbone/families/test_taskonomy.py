"""Taskonomy's encoders: the published keys and counts, and every step written out by hand."""

from __future__ import annotations

import pytest
import torch
import torchvision
from torch import nn
from torch.nn import functional as F

from brainnet.backbone import BACKBONES, build_backbone
from brainnet.backbone import weights as weights_module
from brainnet.tokens import Preprocessing


@pytest.fixture
def backbone():
    found = build_backbone("taskonomy:normal", weights="random", layers=["layer1.2", "layer2.3", "layer4", "encoding"])
    for module in found.network.modules():  # so that a forgotten normalisation shows
        if isinstance(module, nn.BatchNorm2d):
            nn.init.uniform_(module.running_mean), nn.init.uniform_(module.running_var, 0.5, 2)
    return found


def test_keys_are_those_of_a_resnet_and_its_compression(backbone):
    keys = {name for name in torchvision.models.resnet50().state_dict() if not name.startswith("fc.")}
    keys |= {"compress1.weight", *(f"compress_bn.{name}" for name in (
        "weight", "bias", "running_mean", "running_var", "num_batches_tracked"))}  # fmt: skip
    assert set(backbone.network.state_dict()) == keys
    assert sum(value.numel() for value in backbone.network.parameters()) == 23_508_032 + 9 * 8 * 2048 + 16
    assert len(BACKBONES.variants("taskonomy")) == 25


def test_every_step_by_hand(backbone, rng):
    images = torch.rand(2, 3, 256, 256, generator=rng) * 2 - 1
    tokens = backbone.get_tokens(images)
    state = backbone.network.state_dict()

    def norm(x, name):
        return F.batch_norm(x, *(state[f"{name}.{part}"] for part in ("running_mean", "running_var", "weight", "bias")))

    def convolve(x, name, **how):
        return F.conv2d(x, state[f"{name}.weight"], **how)

    x = norm(convolve(F.pad(images, (3,) * 4), "conv1", stride=2), "bn1").relu()
    x = F.max_pool2d(x, 3, 2, ceil_mode=True)
    assert x.shape[-2:] == (64, 64)
    seen = {}
    for layer, (n, stride) in {"layer1": (3, 2), "layer2": (4, 2), "layer3": (6, 1), "layer4": (3, 1)}.items():
        for i in range(n):
            name, last = f"{layer}.{i}", i == n - 1
            y = norm(convolve(x, f"{name}.conv1"), f"{name}.bn1").relu()
            y = convolve(y, f"{name}.conv2", padding=1, stride=stride if last else 1)
            y = norm(convolve(norm(y, f"{name}.bn2").relu(), f"{name}.conv3"), f"{name}.bn3")
            if i == 0:
                x = norm(convolve(x, f"{name}.downsample.0"), f"{name}.downsample.1")
            x = (y + (x[..., ::stride, ::stride] if last else x)).relu()
            seen[name] = x
        seen[layer] = x
    x = norm(convolve(x, "compress1", padding=1), "compress_bn").relu()
    seen["encoding"] = F.group_norm(x, 8)
    for layer in backbone.layers:
        torch.testing.assert_close(tokens.local[layer], seen[layer])
    assert tokens.local["encoding"].shape == (2, 8, 16, 16)


def test_a_resnet_of_torchvision_takes_the_weights_and_gives_something_else(backbone, rng):
    other = torchvision.models.resnet50().eval()
    other.load_state_dict(backbone.network.state_dict(), strict=False)
    images = torch.rand(1, 3, 256, 256, generator=rng)
    features = torchvision.models._utils.IntermediateLayerGetter(other, {"layer4": "out"})
    with torch.no_grad():
        assert features(images)["out"].shape[-2:] == (8, 8)
    assert backbone.get_tokens(images).local["layer4"].shape[-2:] == (16, 16)


def test_images_run_from_minus_one_to_one():
    assert build_backbone("taskonomy:jigsaw", weights="random").preprocessing == Preprocessing(
        (256, 256), (0.5,) * 3, (0.5,) * 3
    )


def test_colorization_sees_grey_images(rng):
    backbone = build_backbone("taskonomy:colorization", weights="random", layers=["conv1"])
    images = torch.rand(1, 3, 64, 64, generator=rng)
    grey = (0.299 * images[:, 0] + 0.587 * images[:, 1] + 0.114 * images[:, 2])[:, None].expand_as(images)
    torch.testing.assert_close(backbone.get_tokens(images).local["conv1"], backbone.get_tokens(grey).local["conv1"])


def test_published_files_are_asked_for_and_read(backbone, rng, tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    asked = []

    def fetch(url, filename=None, **_):
        asked.append(url)
        raise ConnectionError(f"could not download {url}")

    monkeypatch.setattr(weights_module, "fetch", fetch)
    with pytest.raises(ConnectionError, match="taskonomy:reshading=<path>"):
        build_backbone("taskonomy:reshading")
    assert asked == ["https://github.com/alexsax/visual-prior/raw/networks/assets/pytorch/reshading_encoder-"
                     "de456246e171dc8407fb2951539aa60d75925ae0f1dbb43f110b7768398b36a6.pth"]  # fmt: skip
    torch.save({"state_dict": backbone.network.state_dict()}, tmp_path / "own.pth")
    read = build_backbone("taskonomy:reshading", weights=tmp_path / "own.pth")
    assert read.fingerprint()["weights"] == backbone.fingerprint()["weights"]
    with pytest.raises(ValueError, match="Unknown taskonomy network 'normals'.*'normal'"):
        build_backbone("taskonomy:normals")
