"""CORnet: the published keys and counts, and every time step against loops written by hand."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from brainnet.backbone import build_backbone
from brainnet.backbone import weights as weights_module

COUNTS = {"z": (2_071_656, 10), "r": (5_208_936, 30), "rt": (5_208_936, 30), "s": (53_416_616, 164)}
AREAS = ("V1", "V2", "V4", "IT")


def drawn(name, rng, **options):
    """A network with every number drawn, statistics of normalisations too."""
    backbone = build_backbone(f"cornet:{name}", weights="random", **options)
    for key, value in backbone.network.state_dict().items():
        if value.is_floating_point() and "weight" not in key:
            value.copy_(torch.rand(value.shape, generator=rng) + 0.1)
    return backbone


@pytest.mark.parametrize("name", COUNTS)
def test_parameters_and_keys_are_those_published(name):
    network = build_backbone(f"cornet:{name}", weights="random").network
    state = network.state_dict()
    assert (sum(value.numel() for value in network.parameters()), len(state)) == COUNTS[name]
    conv = "conv1" if name == "s" else "conv" if name == "z" else "conv_input"
    assert {f"V1.{conv}.weight", "decoder.linear.weight", "decoder.linear.bias"} <= set(state)
    if name in ("r", "rt"):
        assert {"IT.norm_input.bias", "V4.conv1.weight", "V2.norm1.weight"} <= set(state)
        assert "V4.conv1.bias" not in state
    if name == "s":
        assert {"V4.norm3_3.running_var", "IT.norm_skip.weight", "V1.norm2.running_mean"} <= set(state)
        assert "V2.norm1_2.weight" not in state


@pytest.mark.parametrize("name", COUNTS)
def test_grids_of_the_four_areas(name):
    backbone = build_backbone(f"cornet:{name}", weights="random")
    assert backbone.layers == AREAS
    local, _ = backbone.get_tokens(torch.zeros(1, 3, 224, 224))
    assert [tuple(v.shape[1:]) for v in local.values()] == [(64, 56, 56), (128, 28, 28), (256, 14, 14), (512, 7, 7)]


def test_z_step_by_step(rng):
    backbone = drawn("z", rng, layers=[*AREAS, "logits"])
    images = torch.randn(2, 3, 64, 64, generator=rng)
    p, x = backbone.network.state_dict(), images
    local, whole = backbone.get_tokens(images)
    for area in AREAS:
        stride, pad = (2, 3) if area == "V1" else (1, 1)
        x = F.max_pool2d(F.conv2d(x, p[f"{area}.conv.weight"], p[f"{area}.conv.bias"], stride, pad).relu(), 3, 2, 1)
        torch.testing.assert_close(local[area], x)
    expected = F.linear(x.mean((2, 3)), p["decoder.linear.weight"], p["decoder.linear.bias"])
    torch.testing.assert_close(whole["logits"], expected)


@pytest.mark.parametrize("name", ["r", "rt"])
def test_recurrence_step_by_step(name, rng):
    layers = [f"{area}@{step}" for area in AREAS for step in range(5)]
    backbone = drawn(name, rng, layers=[*layers, "IT", "logits"])
    images = torch.randn(2, 3, 64, 64, generator=rng)
    p = backbone.network.state_dict()

    def area(name, x, state, driven=None):
        def norm(y, which):
            return F.group_norm(y, 32, p[f"{name}.{which}.weight"], p[f"{name}.{which}.bias"]).relu()

        if driven is None:
            stride, pad = (4, 3) if name == "V1" else (2, 1)
            driven = norm(F.conv2d(x, p[f"{name}.conv_input.weight"], p[f"{name}.conv_input.bias"], stride, pad),
                          "norm_input")  # fmt: skip
        return norm(F.conv2d(driven + state, p[f"{name}.conv1.weight"], padding=1), "norm1")

    zeros = {"V2": torch.zeros(2, 128, 8, 8), "V4": torch.zeros(2, 256, 4, 4), "IT": torch.zeros(2, 512, 2, 2)}
    steps = [{"V1": area("V1", images, 0), **{name: area(name, None, 0, zero) for name, zero in zeros.items()}}]
    for _ in range(4):
        before, now = steps[-1], {}
        for name_, source in zip(AREAS, (None, *AREAS), strict=False):
            read = images if source is None else (now if name == "r" else before)[source]
            now[name_] = area(name_, read, before[name_])
        steps.append(now)
    for _ in range(2):
        local, whole = backbone.get_tokens(images)
        for layer in layers:
            where, step = layer.split("@")
            torch.testing.assert_close(local[layer], steps[int(step)][where], rtol=1e-4, atol=1e-5)
        assert torch.equal(local["IT"], local["IT@4"])
        expected = F.linear(local["IT"].mean((2, 3)), p["decoder.linear.weight"], p["decoder.linear.bias"])
        torch.testing.assert_close(whole["logits"], expected)
    assert torch.equal(local["IT@0"][0], local["IT@0"][1])  # no signal has arrived
    assert not torch.allclose(local["IT@4"][0], local["IT@4"][1])


def test_s_step_by_step(rng):
    times = {"V1": 1, "V2": 2, "V4": 4, "IT": 2}
    layers = [f"{area}@{step}" for area, n in times.items() for step in range(n)]
    backbone = drawn("s", rng, layers=[*layers, "V4"])
    images = torch.randn(2, 3, 64, 64, generator=rng)
    p = backbone.network.state_dict()

    def norm(x, at):
        return F.batch_norm(x, *(p[f"{at}.{k}"] for k in ("running_mean", "running_var", "weight", "bias")))

    for _ in range(2):
        local, _ = backbone.get_tokens(images)
        x = F.max_pool2d(norm(F.conv2d(images, p["V1.conv1.weight"], None, 2, 3), "V1.norm1").relu(), 3, 2, 1)
        x = norm(F.conv2d(x, p["V1.conv2.weight"], padding=1), "V1.norm2").relu()
        torch.testing.assert_close(local["V1@0"], x, rtol=1e-4, atol=1e-5)
        for area in AREAS[1:]:
            x = F.conv2d(x, p[f"{area}.conv_input.weight"])
            for step in range(times[area]):
                kept = norm(F.conv2d(x, p[f"{area}.skip.weight"], stride=2), f"{area}.norm_skip") if step == 0 else x
                x = norm(F.conv2d(x, p[f"{area}.conv1.weight"]), f"{area}.norm1_{step}").relu()
                x = F.conv2d(x, p[f"{area}.conv2.weight"], stride=2 if step == 0 else 1, padding=1)
                x = norm(x, f"{area}.norm2_{step}").relu()
                x = (norm(F.conv2d(x, p[f"{area}.conv3.weight"]), f"{area}.norm3_{step}") + kept).relu()
                torch.testing.assert_close(local[f"{area}@{step}"], x, rtol=1e-3, atol=1e-3)
        assert torch.equal(local["V4"], local["V4@3"])


def test_published_files_are_read_and_asked_for(rng, tmp_path, monkeypatch):
    source = drawn("z", rng)
    state = {f"module.{name}": value for name, value in source.network.state_dict().items()}
    torch.save({"flags": {"lr": 0.1}, "epoch": 20, "state_dict": state, "optimizer": {}}, tmp_path / "cornet_z.pth")
    found = build_backbone("cornet:z", weights=tmp_path / "cornet_z.pth")
    assert found.fingerprint()["weights"] == source.fingerprint()["weights"]
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    asked = []

    def fetch(url, filename=None, **_):
        asked.append(url)
        raise ConnectionError(url)

    monkeypatch.setattr(weights_module, "fetch", fetch)
    with pytest.raises(ConnectionError, match="cornet_s-1d3f7974.pth"):
        build_backbone("cornet")
    with pytest.raises(ValueError, match="Unknown cornet network 'q'"):
        build_backbone("cornet:q")
    with pytest.raises(ValueError, match=r"IT@5.*there are 5 calls"):
        build_backbone("cornet:rt", weights="random", layers=["IT@5"]).get_tokens(torch.zeros(1, 3, 64, 64))
