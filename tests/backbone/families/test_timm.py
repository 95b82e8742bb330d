"""timm networks: tokens against the network's own output, registers, statistics of the weights."""

from __future__ import annotations

import pytest
import torch

from brainnet.backbone import build_backbone
from brainnet.backbone.families.timm import native_names


def assert_same_output(found, expected):
    assert expected.std() > 1e-4
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


@pytest.mark.parametrize("side", [(160, 160), (96, 128)])
def test_transformer_tokens_lead_to_its_own_output(rng, side):
    backbone = build_backbone("timm:test_vit", weights="random", image_size=side)
    images = torch.randn(2, 3, *side, generator=rng)
    local, whole = backbone.get_tokens(images)
    last, network = backbone.layers[-1], backbone.network
    assert local[last].shape[2:] == (side[0] // 16, side[1] // 16)
    sequence = torch.cat([whole[last][:, None], local[last].flatten(2).transpose(1, 2)], 1)
    with torch.no_grad():
        assert_same_output(network.forward_head(network.norm(sequence)), network(images))


@pytest.mark.parametrize("variant", ["test_resnet", "test_convnext", "test_efficientnet"])
def test_convolutional_tokens_lead_to_its_own_output(rng, variant):
    backbone = build_backbone(f"timm:{variant}", weights="random")
    images = torch.randn(2, 3, 96, 128, generator=rng)
    local, whole = backbone.get_tokens(images)
    network, last = backbone.network, local[backbone.layers[-1]]
    with torch.no_grad():
        if variant == "test_efficientnet":  # its head widens once more before the classifier
            last = network.bn2(network.conv_head(last))
        assert_same_output(network.forward_head(last), network(images))
    assert all(torch.equal(whole[k], local[k].mean((2, 3))) for k in backbone.layers)


def test_registers_are_dropped_and_the_class_token_kept(rng):
    images = torch.randn(1, 3, 56, 56, generator=rng)
    backbone = build_backbone("timm:vit_small_patch14_reg4_dinov2", weights="random", image_size=56, layers=[1])
    for token in (backbone.network.cls_token, backbone.network.reg_token):
        token.data.normal_(generator=rng)  # they start near zero
    local, whole = backbone.get_tokens(images)
    network = backbone.network
    assert local["1"].shape == (1, 384, 4, 4)
    with torch.no_grad():
        x = network._pos_embed(network.patch_embed(images))
        x = network.blocks[1](network.blocks[0](network.norm_pre(x)))
    assert x.shape[1] == 1 + 4 + 16
    assert_same_output(whole["1"], x[:, 0])
    assert_same_output(local["1"].flatten(2).transpose(1, 2), x[:, 5:])


def test_registers_without_class_token_give_the_mean(rng):
    backbone = build_backbone("timm:vit_medium_patch16_reg4_gap_256", weights="random", layers=[0])
    local, whole = backbone.get_tokens(torch.randn(1, 3, 256, 256, generator=rng))
    assert not backbone.class_token
    assert torch.equal(whole["0"], local["0"].mean((2, 3)))


def test_preprocessing_is_that_of_the_weights():
    inception = build_backbone("timm:vit_tiny_patch16_224", weights="random", layers=[0]).preprocessing
    assert (inception.mean, inception.std, inception.interpolation) == ((0.5,) * 3, (0.5,) * 3, "bicubic")
    assert (inception.size, inception.crop) == ((224, 224), 1.0)  # the viewer saw the whole image
    plain = build_backbone("timm:test_resnet", weights="random", image_size=64).preprocessing
    assert plain.size == (64, 64)


def test_names_and_tags_are_checked():
    with pytest.raises(ValueError, match="Did you mean 'timm:test_resnet'"):
        build_backbone("timm:testresnet", weights="random")
    with pytest.raises(ValueError, match=r"has no weights 'a9_in1k'.*a1_in1k"):
        build_backbone("timm:resnet50", weights="a9_in1k")
    with pytest.raises(ValueError, match="for example"):
        build_backbone("timm")


def test_a_published_file_in_its_place_is_used(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    source = build_backbone("timm:test_resnet", weights="random", seed=3)
    place = tmp_path / "weights" / "timm"
    place.mkdir(parents=True)
    torch.save(source.network.state_dict(), place / "test_resnet.r160_in1k.pth")
    for name, options in [("timm:test_resnet", {}), ("timm:test_resnet.r160_in1k", {}),
                          ("timm:test_resnet", {"weights": "r160_in1k"})]:  # fmt: skip
        assert build_backbone(name, **options).fingerprint()["weights"] == source.fingerprint()["weights"]


def test_a_file_without_the_classifier_will_do(tmp_path):
    source = build_backbone("timm:test_resnet", weights="random", seed=3)
    state = {k: v for k, v in source.network.state_dict().items() if not k.startswith("fc.")}
    torch.save(state, tmp_path / "headless.pth")
    found = build_backbone("timm:test_resnet", weights=tmp_path / "headless.pth")
    assert torch.equal(found.network.layer4[0].conv1.weight, source.network.layer4[0].conv1.weight)
    for layer in ("logits", "fc"):  # which the file does not have
        with pytest.raises(ValueError, match=r"missing .*fc\."):
            build_backbone("timm:test_resnet", weights=tmp_path / "headless.pth", layers=[layer])
    del state["conv1.0.weight"]
    torch.save(state, tmp_path / "cut.pth")
    with pytest.raises(ValueError, match=r"missing .*conv1.0.weight"):
        build_backbone("timm:test_resnet", weights=tmp_path / "cut.pth")


def test_names_of_the_original_authors_are_translated():
    network = build_backbone("timm:vit_small_patch14_reg4_dinov2", weights="random", image_size=518, layers=[0]).network
    own = network.state_dict()
    theirs = {k.replace("reg_token", "register_tokens"): v for k, v in own.items() if k != "pos_embed"}
    theirs["mask_token"] = torch.zeros(1, 384)
    theirs["pos_embed"] = torch.cat([torch.zeros(1, 1, 384), own["pos_embed"]], 1)
    theirs["cls_token"] = own["cls_token"]
    assert set(native_names(network, theirs)) == set(own)
    assert native_names(network, dict(own)) == own or set(native_names(network, dict(own))) == set(own)


@pytest.fixture(scope="module")
def vit():
    return build_backbone("timm:test_vit", weights="random", image_size=64)


def test_any_module_by_name_and_the_logits(vit, rng):
    images = torch.randn(2, 3, 64, 64, generator=rng)
    stages, network = vit.get_tokens(images), vit.network
    wanted = ["1", "blocks.1", "norm", "logits", "patch_embed"]
    for layers in (wanted, wanted[1:], ["logits"], ["logits", "5"], ["norm", "blocks.*"]):
        backbone = build_backbone("timm:test_vit", weights="random", image_size=64, layers=layers)
        for _ in range(2):
            local, whole = backbone.get_tokens(images)
            assert local.keys() == whole.keys() == set(backbone.layers)
            with torch.no_grad():
                expected = network(images), network.forward_features(images)
            if "logits" in layers:
                assert torch.equal(whole["logits"], expected[0])
            if "norm" in layers:
                assert torch.equal(whole["norm"], expected[1][:, 0])
                assert torch.equal(local["norm"].flatten(2).transpose(1, 2), expected[1][:, 1:])
            for layer in {"1", "blocks.1"} & local.keys():
                assert torch.equal(local[layer], stages.local["1"])
                assert torch.equal(whole[layer], stages.global_["1"])
    assert build_backbone("timm:test_vit", weights="random", layers=["blocks.*"]).layers[:2] == ("blocks.0", "blocks.1")


def test_a_module_by_name_stops_the_network_behind_it(rng):
    backbone = build_backbone("timm:test_vit", weights="random", image_size=64, layers=["blocks.1"])
    ran = []
    backbone.network.norm.register_forward_hook(lambda *_: ran.append("norm"))
    for _ in range(3):
        backbone.get_tokens(torch.randn(1, 3, 64, 64, generator=rng))
    assert len(ran) == 1  # the first pass learns


def test_attention_maps_are_the_weights_of_the_class_token(vit, rng):
    images = torch.randn(2, 3, 64, 64, generator=rng)
    backbone = build_backbone("timm:test_vit", weights="random", image_size=64, layers=["attention.1", "0"])
    attention = vit.network.blocks[1].attn
    with torch.no_grad():
        x = vit.network._pos_embed(vit.network.patch_embed(images))
        x = vit.network.blocks[1].norm1(vit.network.blocks[0](x))
        q, k, _ = attention.qkv(x).unflatten(2, (3, attention.num_heads, -1)).permute(2, 0, 3, 1, 4)
        weights = (q @ k.transpose(-2, -1) * attention.scale).softmax(-1)
    local, _ = backbone.get_tokens(images)
    assert local["attention.1"].shape == (2, attention.num_heads, 4, 4)
    torch.testing.assert_close(local["attention.1"].flatten(2), weights[:, :, 0, 1:], rtol=1e-5, atol=1e-6)
    assert torch.equal(local["0"], vit.get_tokens(images).local["0"])


@pytest.mark.parametrize("kind", ["class", "mean", "registers"])
def test_the_global_token_may_be_of_another_kind(rng, kind):
    options = {"weights": "random", "image_size": 56, "layers": ["1", "norm"], "global_token": kind}
    backbone = build_backbone("timm:vit_small_patch14_reg4_dinov2", **options)
    for token in (backbone.network.cls_token, backbone.network.reg_token):
        token.data.normal_(generator=rng)
    images = torch.randn(1, 3, 56, 56, generator=rng)
    local, whole = backbone.get_tokens(images)
    with torch.no_grad():
        x = backbone.network.forward_features(images)
    expected = {"class": x[:, 0], "mean": x[:, 5:].mean(1), "registers": x[:, 1:5].mean(1)}
    torch.testing.assert_close(whole["norm"], expected[kind], rtol=1e-5, atol=1e-5)
    if kind == "mean":
        assert torch.equal(whole["1"], local["1"].mean((2, 3)))


def test_patches_whose_side_is_one_number(rng):
    """XCiT writes the patch's side as a number, where the others write a pair."""
    backbone = build_backbone("timm:xcit_nano_12_p16_224", weights="random", image_size=64, layers=["0", "blocks.3"])
    images = torch.randn(2, 3, 64, 64, generator=rng)
    local, whole = backbone.get_tokens(images)
    assert {layer: tuple(value.shape) for layer, value in local.items()} == dict.fromkeys(local, (2, 128, 4, 4))
    network = backbone.network
    with torch.no_grad():
        x, (height, width) = network.patch_embed(images)
        x = x + network.pos_embed(2, height, width).flatten(2).transpose(1, 2)
        for block in network.blocks[:4]:
            x = block(x, height, width)
    torch.testing.assert_close(local["blocks.3"], x.transpose(1, 2).unflatten(2, (4, 4)), rtol=1e-5, atol=1e-5)
    assert torch.equal(whole["blocks.3"], local["blocks.3"].mean((2, 3)))
