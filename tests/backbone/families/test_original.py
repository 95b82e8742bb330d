"""The published backbones: their tokens against the libraries' own forward, from files in the published layouts."""

from __future__ import annotations

import argparse

import pytest
import timm
import torch
from torch import nn
from torch.nn import functional as F

from brainnet.backbone import (
    ModifiedCLIP,
    ModifiedDINO,
    ModifiedDiNOv2,
    ModifiedImgNet,
    ModifiedMAE,
    ModifiedMoCov3,
    ModifiedSAM,
)
from brainnet.backbone import weights as weights_module
from brainnet.backbone.catalogue import BACKBONES
from brainnet.backbone.families import original
from brainnet.backbone.families.original import resized_positions
from brainnet.tokens import Preprocessing


def randomise(network: nn.Module, rng: torch.Generator) -> nn.Module:
    """Every number, also those that start at one or zero."""
    for value in network.parameters():
        value.data = 0.05 * torch.randn(value.shape, generator=rng)
    return network.eval()


@pytest.fixture
def shallow(monkeypatch):
    """The same networks with three blocks: what depth would repeat is not tested."""
    for kind in (ModifiedMAE, ModifiedImgNet, ModifiedMoCov3, ModifiedDINO):
        sizes = {size: (model, address, {**options, "depth": 3}) for size, (model, address, options) in
                 kind.SIZES.items()}  # fmt: skip
        monkeypatch.setattr(kind, "SIZES", sizes)
    monkeypatch.setattr(ModifiedDiNOv2, "SIZES", {"small": ("s", {"depth": 3}), "base": ("b", {"depth": 3})})
    monkeypatch.setattr(ModifiedSAM, "SIZES", {"base": ("vit_b_01ec64", 96, 3, 6, (2,))})


def assert_blocks(backbone, network, images, n_prefix=1):
    """All blocks' tokens are the network's own."""
    local, whole = backbone.get_tokens(images)
    with torch.no_grad():
        outputs = network.forward_intermediates(
            images, norm=False, output_fmt="NLC", return_prefix_tokens=True, intermediates_only=True
        )
    assert backbone.layers == tuple(map(str, range(len(outputs))))
    for layer, (patches, prefix) in zip(backbone.layers, outputs, strict=True):
        assert patches.std() > 1e-3
        torch.testing.assert_close(local[layer].flatten(2).transpose(1, 2), patches, rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(whole[layer], prefix[:, 0], rtol=1e-5, atol=1e-5)
        assert prefix.shape[1] == n_prefix


@pytest.mark.parametrize("name", ["original", "original:clip"])
def test_the_family_alone_is_its_clip(name):
    backbone = BACKBONES.build(name, weights="random", layers=[3])
    assert isinstance(backbone, ModifiedCLIP)
    assert backbone.layers == ("3",)
    assert backbone.preprocessing == Preprocessing((224, 224))  # ImageNet's statistics, not CLIP's


def test_unknown_variants_and_options_are_named():
    with pytest.raises(ValueError, match="'clipp'.*'clip'"):
        BACKBONES.build("original:clipp")
    with pytest.raises(ValueError, match="'layer'.*'layers'"):
        BACKBONES.build("original:clip", layer=[3])
    with pytest.raises(ValueError, match="takes no option 'registers'"):
        BACKBONES.build("original:mae", registers=True)
    with pytest.raises(ValueError, match="Unknown size 'bse'. Did you mean 'base'"):
        ModifiedMAE("bse")
    with pytest.raises(ValueError, match="has no weights 'nonesuch'"):
        ModifiedMoCov3(weights="nonesuch")


def test_every_variant_listed_is_there():
    assert {"clip", "dinov2", "sam", "mae", "imgnet", "mocov3", "dino"} <= set(original.variants())
    assert {"dinov2-large", "sam-huge", "dino-small8", "imgnet-tiny"} <= set(original.variants())


@pytest.mark.parametrize("kind", [ModifiedDiNOv2, ModifiedMAE, ModifiedImgNet, ModifiedMoCov3, ModifiedDINO])
def test_base_size_by_default_with_imagenets_statistics(kind, shallow):
    side = 56 if kind is ModifiedDiNOv2 else 64
    backbone = kind(weights="random", image_size=side, layers=["0", "2", "norm"])
    local, _ = backbone.get_tokens(torch.zeros(1, 3, side, side))
    assert {tuple(value.shape) for value in local.values()} == {(1, 768, 4, 4)}
    assert backbone.preprocessing == Preprocessing((side, side))
    assert backbone.name == kind.__name__


@pytest.mark.parametrize("registers", [False, True])
@pytest.mark.parametrize("side", [56, 518])
def test_dinov2_is_the_authors_own(rng, tmp_path, registers, side, shallow):
    """A file in their layout, against timm at the size it was trained at, with their rule for positions elsewhere."""
    extra = "_reg4" if registers else ""
    kind = f"vit_small_patch14{extra}_dinov2"
    trained = randomise(timm.create_model(kind, num_classes=0, depth=3), rng)
    state = dict(trained.state_dict())
    state["mask_token"] = torch.zeros(1, 384)
    if registers:
        state["register_tokens"] = state.pop("reg_token")
        class_place = torch.randn(1, 1, 384, generator=rng)
        state["pos_embed"] = torch.cat([class_place, state["pos_embed"]], 1)
        state["cls_token"] = state["cls_token"] - class_place  # they add the place, timm has done so
    torch.save(state, tmp_path / "dinov2.pth")
    backbone = ModifiedDiNOv2("small", weights=tmp_path / "dinov2.pth", registers=registers, image_size=side)
    if side != 518:
        other = timm.create_model(kind, num_classes=0, img_size=side, depth=3)
        own = dict(trained.state_dict())
        if registers:
            patches = own["pos_embed"].unflatten(1, (37, 37)).permute(0, 3, 1, 2)
            patches = F.interpolate(patches, (4, 4), mode="bicubic", antialias=True)
            own["pos_embed"] = patches.flatten(2).transpose(1, 2)
        else:
            patches = own["pos_embed"][:, 1:].unflatten(1, (37, 37)).permute(0, 3, 1, 2)
            patches = F.interpolate(patches, scale_factor=(4.1 / 37, 4.1 / 37), mode="bicubic")
            own["pos_embed"] = torch.cat([own["pos_embed"][:, :1], patches.flatten(2).transpose(1, 2)], 1)
        other.load_state_dict(own)
        trained = other.eval()
    assert_blocks(backbone, trained, torch.randn(1, 3, side, side, generator=rng), n_prefix=5 if registers else 1)


HUB = """
import timm

def dinov2_vits14_reg(pretrained=True):
    assert not pretrained
    network = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, img_size=56, depth=3)
    network.register_parameter("mask_token", None)
    return network
"""


def test_torch_hub_gives_the_same_tokens(rng, tmp_path):
    (tmp_path / "hubconf.py").write_text(HUB)
    options = {"registers": True, "weights": "random", "image_size": 56, "layers": [0, 2]}
    hub = ModifiedDiNOv2("small", source="hub", repository=tmp_path, seed=3, **options)
    torch.save(hub.network.state_dict(), tmp_path / "own.pth")
    ours = timm.create_model("vit_small_patch14_reg4_dinov2", num_classes=0, img_size=56, depth=3).eval()
    ours.load_state_dict(hub.network.state_dict())
    images = torch.randn(1, 3, 56, 56, generator=rng)
    with torch.no_grad():
        expected = ours.forward_intermediates(images, indices=[0, 2], norm=False, intermediates_only=True)
    assert all(
        torch.allclose(a, b, atol=1e-5) for a, b in zip(hub.get_tokens(images).local.values(), expected, strict=True)
    )
    with pytest.raises(ValueError, match="Unknown source 'hubb'"):
        ModifiedDiNOv2(source="hubb")


def saved(state, path, how):
    """A checkpoint as its authors left it."""
    if how == "mae":
        torch.save({"model": {**state, "decoder_pos_embed": torch.zeros(3), "mask_token": torch.zeros(1)}}, path)
    elif how == "mocov3":
        own = {f"module.base_encoder.{name}": value for name, value in state.items()}
        other = {f"module.momentum_encoder.{name}": 1 + value for name, value in state.items()}
        torch.save({"epoch": 300, "arch": "vit_small", "optimizer": {"lr": 0.1}, "state_dict": {
            **other, **own, "module.base_encoder.head.0.weight": torch.zeros(2), "module.predictor.0.weight":
            torch.zeros(2)}}, path)  # fmt: skip
    elif how == "dino":
        own = {f"module.backbone.{name}": value for name, value in state.items()}
        torch.save({"student": own | {"x": torch.zeros(1)}, "teacher": {**own, "module.head.mlp.0.weight":
            torch.zeros(2)}, "args": argparse.Namespace(lr=0.1), "epoch": 1}, path)  # fmt: skip


@pytest.mark.parametrize(
    ("kind", "how", "size", "model", "options"),
    [
        (ModifiedMAE, "mae", "base", "vit_base_patch16_224", {}),
        (ModifiedMoCov3, "mocov3", "small", "vit_small_patch16_224", {"num_heads": 12}),
        (ModifiedDINO, "dino", "small", "vit_small_patch16_224", {}),
    ],
)
def test_published_layouts_lead_to_the_networks_own_output(rng, tmp_path, kind, how, size, model, options, shallow):
    network = randomise(timm.create_model(model, num_classes=0, depth=3, **options), rng)
    saved(network.state_dict(), tmp_path / "published.pth.tar", how)
    backbone = kind(size, weights=tmp_path / "published.pth.tar")
    assert_blocks(backbone, network, torch.randn(1, 3, 224, 224, generator=rng))


def test_six_heads_in_place_of_twelve_are_another_network(rng, shallow):
    """The small MoCo v3 has twelve heads; timm's own small ViT has six and takes the same weights without a word."""
    backbone = ModifiedMoCov3("small", weights="random", image_size=32, layers=[-1])
    other = timm.create_model("vit_small_patch16_224", num_classes=0, img_size=32, depth=3).eval()
    other.load_state_dict(backbone.network.state_dict())
    images = torch.randn(1, 3, 32, 32, generator=rng)
    with torch.no_grad():
        theirs = other.forward_intermediates(images, norm=False, intermediates_only=True)[-1]
    assert (backbone.get_tokens(images).local["2"] - theirs).abs().max() > 1e-3


def test_positions_of_other_sizes(rng):
    state = {"pos_embed": torch.randn(1, 1 + 14 * 14, 8, generator=rng)}
    assert resized_positions(state, 14) is state
    moved = resized_positions(state, 7)["pos_embed"]
    assert moved.shape == (1, 50, 8)
    assert torch.equal(moved[:, 0], state["pos_embed"][:, 0])


def test_sam_is_segment_anythings_own(rng, tmp_path, shallow):
    from segment_anything.modeling import ImageEncoderViT

    options = {"weights": "random", "image_size": 256, "layers": ["0", "1", "2", "neck"]}
    backbone = ModifiedSAM(**options)
    randomise(backbone.network, rng)
    images = torch.randn(1, 3, 256, 256, generator=rng)
    seen = []
    handles = [block.register_forward_hook(lambda _, __, output: seen.append(output)) for block in
               (backbone.network.blocks[i] for i in range(3))]  # fmt: skip
    with torch.no_grad():
        neck = backbone.network(images)
    for handle in handles:
        handle.remove()
    for _ in range(2):
        local, whole = backbone.get_tokens(images)
        for layer, output in zip("012", seen, strict=True):
            assert local[layer].shape == (1, 96, 16, 16)
            assert torch.equal(local[layer], output.permute(0, 3, 1, 2))
        assert torch.equal(local["neck"], neck)
        assert torch.equal(whole["2"], local["2"].mean((2, 3)))
    assert isinstance(backbone.network, ImageEncoderViT)
    assert backbone.network.blocks[2].attn.rel_pos_h.shape == (127, 16)  # as published, for 64 x 64 tokens
    state = {f"image_encoder.{k}": v for k, v in backbone.network.state_dict().items()}
    torch.save({**state, "mask_decoder.x": torch.zeros(1)}, tmp_path / "sam.pth")
    small = ModifiedSAM(**{**options, "weights": tmp_path / "sam.pth"}, grid=(8, 8)).get_tokens(images)
    torch.testing.assert_close(small.local["2"], F.adaptive_avg_pool2d(local["2"], 8))
    sampled = ModifiedSAM(**{**options, "weights": tmp_path / "sam.pth"}, grid=(4, 4), resize="bilinear")
    expected = F.interpolate(local["2"], (4, 4), mode="bilinear", align_corners=False)
    torch.testing.assert_close(sampled.get_tokens(images).local["2"], expected)
    assert ModifiedSAM(weights="random", layers=[0]).preprocessing == Preprocessing((1024, 1024))


@pytest.mark.parametrize(
    ("kind", "options", "address"),
    [
        (ModifiedDiNOv2, {"size": "large"}, "dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth"),
        (ModifiedDiNOv2, {"registers": True}, "dinov2/dinov2_vitb14/dinov2_vitb14_reg4_pretrain.pth"),
        (ModifiedSAM, {}, "segment_anything/sam_vit_b_01ec64.pth"),
        (ModifiedMAE, {}, "mae/pretrain/mae_pretrain_vit_base.pth"),
        (ModifiedMoCov3, {}, "moco-v3/vit-b-300ep/vit-b-300ep.pth.tar"),
        (ModifiedDINO, {"size": "small8"}, "dino/dino_deitsmall8_pretrain/dino_deitsmall8_pretrain.pth"),
        (ModifiedImgNet, {}, "timm/vit_base_patch16_224.augreg2_in21k_ft_in1k"),
    ],
)
def test_published_weights_are_asked_for_at_their_addresses(tmp_path, monkeypatch, kind, options, address):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    asked = []

    def fetch(url, filename=None, **_):
        asked.append(url)
        raise ConnectionError(f"could not download {url}")

    monkeypatch.setattr(weights_module, "fetch", fetch)
    monkeypatch.setattr(weights_module, "_in_hub_cache", lambda address: None)
    with pytest.raises(ConnectionError, match="weights="):
        kind(**options)
    assert any(address in url for url in asked)


def test_images_are_square_by_one_number_or_two(shallow):
    for side in (64, (64, 64)):
        assert ModifiedMAE(weights="random", image_size=side).preprocessing.size == (64, 64)
    with pytest.raises(ValueError, match=r"ModifiedSAM takes square images, got \(64, 96\)"):
        ModifiedSAM(weights="random", image_size=(64, 96))
