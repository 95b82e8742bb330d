"""CLIP towers: tokens against the tower's own output, statistics, and what a missing download says."""

from __future__ import annotations

import pytest
import torch

from brainnet.backbone import ModifiedCLIP, build_backbone
from brainnet.backbone import weights as weights_module
from brainnet.tokens import Preprocessing

TINY = "clip:ViT-S-32-alt"


@pytest.fixture(scope="module")
def backbone():
    return build_backbone(TINY, weights="random")


def assert_same_output(found, expected):
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_transformer_tokens_lead_to_the_towers_own_output(backbone, rng):
    images = torch.randn(2, 3, 224, 224, generator=rng)
    local, whole = backbone.get_tokens(images)
    tower = backbone.network
    with torch.no_grad():
        assert_same_output(tower.ln_post(whole["11"]) @ tower.proj, tower(images))
        # and the whole sequence, patches in their places, leads from any block to the next
        sequence = torch.cat([whole["4"][:, None], local["4"].flatten(2).transpose(1, 2)], 1)
        after = tower.transformer.resblocks[5](sequence)
    assert_same_output(local["5"].flatten(2).transpose(1, 2), after[:, 1:])
    assert_same_output(whole["5"], after[:, 0])


def test_resnet_tokens_lead_to_the_towers_own_output(rng):
    backbone = build_backbone("clip:RN50", weights="random")
    images = torch.randn(1, 3, 224, 224, generator=rng)
    local, _ = backbone.get_tokens(images)
    assert backbone.layers == ("0", "1", "2", "3")
    with torch.no_grad():
        assert_same_output(backbone.network.attnpool(local["3"]), backbone.network(images))


def test_statistics_are_clips_own(backbone):
    assert backbone.preprocessing.mean == pytest.approx((0.4815, 0.4578, 0.4082), abs=1e-4)
    assert backbone.preprocessing.interpolation == "bicubic"


def test_modified_clip_is_the_published_one():
    backbone = ModifiedCLIP(weights="random")
    assert backbone.layers == tuple(map(str, range(12)))
    assert backbone.preprocessing == Preprocessing((224, 224))  # ImageNet's, as its encoders were fitted
    assert "quick_gelu=True" in backbone.fingerprint()["settings"]
    local, whole = backbone.get_tokens(torch.zeros(1, 3, 224, 224))
    assert local["11"].shape == (1, 768, 14, 14)
    assert whole["11"].shape == (1, 768)


def test_quick_gelu_changes_tokens_and_fingerprint(backbone, rng):
    images = torch.randn(1, 3, 224, 224, generator=rng)
    quick = build_backbone(TINY, weights="random", quick_gelu=True, layers=[0])
    assert not torch.equal(quick.get_tokens(images).local["0"], backbone.get_tokens(images).local["0"])
    assert quick.fingerprint()["weights"] == backbone.fingerprint()["weights"]
    assert quick.fingerprint()["settings"] != backbone.fingerprint()["settings"]


def test_whole_models_and_towers_alone_are_read(backbone, tmp_path, rng):
    tower = backbone.network.state_dict()
    whole = {f"visual.{k}": v for k, v in tower.items()} | {"logit_scale": torch.ones(())}
    images = torch.randn(1, 3, 224, 224, generator=rng)
    for name, state in {"tower": tower, "whole": whole}.items():
        torch.save(state, tmp_path / f"{name}.pth")
        restored = build_backbone(TINY, weights=tmp_path / f"{name}.pth", seed=5)
        assert torch.equal(restored.get_tokens(images).local["11"], backbone.get_tokens(images).local["11"])


def test_a_file_of_unknown_activation_warns(tmp_path):
    torch.save({"visual.conv1.weight": torch.zeros(1)}, tmp_path / "clip.pth")
    with pytest.warns(UserWarning, match="quick_gelu=True"), pytest.raises(ValueError, match="do not fit"):
        build_backbone("clip:RN50", weights=tmp_path / "clip.pth")


def test_published_weights_say_where_they_are_and_where_to_put_them(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path / "hub"))
    asked = []

    def fetch(url, filename=None, **_):
        asked.append((url, filename))
        raise ConnectionError(f"could not download {url}: put it at {tmp_path / filename}")

    monkeypatch.setattr(weights_module, "fetch", fetch)
    monkeypatch.setattr(weights_module, "_in_hub_cache", lambda address: None)
    with pytest.raises(ConnectionError, match=r"vit_base_patch16_clip_224.openai.*ViT-B-16.openai.safetensors"):
        ModifiedCLIP()
    assert asked[0][1] == "weights/clip/ViT-B-16.openai.safetensors"
    with pytest.raises(ValueError, match=r"has no weights 'opnai'. Known: openai"):
        build_backbone("clip:ViT-B-16", weights="opnai")


def test_a_published_file_in_its_place_is_used_with_the_activation_of_its_tag(backbone, tmp_path, monkeypatch, rng):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    place = tmp_path / "weights" / "clip"
    place.mkdir(parents=True)
    source = build_backbone("clip:RN50", weights="random", seed=4, layers=[0])
    torch.save(source.network.state_dict(), place / "RN50.openai.pth")
    found = build_backbone("clip:RN50", layers=[0])
    assert found.fingerprint()["weights"] == source.fingerprint()["weights"]
    assert found.settings == {"quick_gelu": True}


def test_unknown_towers_meet_the_nearest():
    with pytest.raises(ValueError, match="Did you mean 'clip:ViT-B-16'"):
        build_backbone("clip:ViTB16", weights="random")


def test_modules_and_the_joint_embedding_by_name(backbone, rng):
    images = torch.randn(2, 3, 224, 224, generator=rng)
    everything = backbone.get_tokens(images)
    layers = ["4", "transformer.resblocks.4", "ln_post", "visual"]
    local, whole = build_backbone(TINY, weights="random", layers=layers).get_tokens(images)
    assert torch.equal(local["4"], everything.local["4"])
    assert torch.equal(local["transformer.resblocks.4"], local["4"])
    with torch.no_grad():
        assert torch.equal(whole["visual"], backbone.network(images))
    assert torch.equal(whole["ln_post"] @ backbone.network.proj, whole["visual"])
    resnet = build_backbone("clip:RN50", weights="random", layers=["3", "attnpool", "visual"])
    local, whole = resnet.get_tokens(images[:1])
    assert torch.equal(whole["visual"], whole["attnpool"])
    with torch.no_grad():
        assert_same_output(resnet.network.attnpool(local["3"]), whole["visual"])


@pytest.mark.parametrize(("variant", "side"), [("vit_medium_patch16_gap_256", 256), ("MobileCLIP2-S0", 256)])
def test_towers_of_timm_are_read_too(variant, side, rng):
    backbone = build_backbone(f"clip:{variant}", weights="random")
    assert backbone.preprocessing.size == (side, side)
    images = torch.randn(1, 3, side, side, generator=rng)
    everything = build_backbone(f"clip:{variant}", weights="random", layers=[*backbone.layers, "visual"])
    local, whole = everything.get_tokens(images)
    with torch.no_grad():
        assert torch.equal(whole["visual"], backbone.network(images))
        if variant.startswith("vit"):
            trunk, last = backbone.network.trunk, local[backbone.layers[-1]]
            tokens = trunk.norm(last.flatten(2).transpose(1, 2))
            assert_same_output(backbone.network.head(trunk.forward_head(tokens)), whole["visual"])
