"""Networks of transformers: tokens are the library's own hidden states, images those of its processors."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brainnet.backbone import build_backbone
from brainnet.tokens import Preprocessing

T = pytest.importorskip("transformers")
VIT = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64, "image_size": 32,
       "patch_size": 8}  # fmt: skip
TEXT = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16, "vocab_size": 9,
        "bos_token_id": 1, "eos_token_id": 2, "pad_token_id": 0}  # fmt: skip
CNN = {"hidden_sizes": [8, 12, 16, 24], "depths": [1, 1, 1, 1]}
SETTINGS = {
    "vit": lambda: T.ViTConfig(**VIT),
    "dinov2": lambda: T.Dinov2Config(**VIT),
    "registers": lambda: T.Dinov2WithRegistersConfig(**VIT),
    "dinov3": lambda: T.DINOv3ViTConfig(**VIT, num_register_tokens=4),
    "clip": lambda: T.CLIPVisionConfig(**VIT),
    "siglip": lambda: T.SiglipVisionConfig(**VIT),
    "beit": lambda: T.BeitConfig(**VIT),
    "convnext": lambda: T.ConvNextConfig(**CNN, image_size=64),
    "resnet": lambda: T.ResNetConfig(**CNN, embedding_size=8, layer_type="basic"),
    "swin": lambda: T.SwinConfig(image_size=64, embed_dim=12, depths=[1, 1], num_heads=[2, 2], window_size=4),
    "pvt": lambda: T.PvtV2Config(image_size=64, hidden_sizes=CNN["hidden_sizes"], depths=[1] * 4,
                                 num_attention_heads=[1, 1, 2, 2]),
    "poolformer": lambda: T.PoolFormerConfig(hidden_sizes=CNN["hidden_sizes"], depths=[1] * 4),
    "sam": lambda: T.SamVisionConfig(hidden_size=32, num_hidden_layers=3, num_attention_heads=4, image_size=64,
                                     patch_size=8, output_channels=16, global_attn_indexes=[1], window_size=4),
}  # fmt: skip
PREFIX = {"vit": 1, "dinov2": 1, "registers": 5, "dinov3": 5, "clip": 1, "siglip": 0, "beit": 1}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


def unreachable(*_, **__):
    raise OSError("We couldn't connect to the hub")


def saved(config, folder, **processor):
    """A network with every number drawn, in a folder as the library writes it."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = T.AutoModel.from_config(config).eval()
        for value in network.parameters():
            value.data = 0.1 * torch.randn(value.shape)
    network.save_pretrained(folder)
    if processor:
        T.ViTImageProcessor(**processor).save_pretrained(folder)
    return network


def as_map(state, n_prefix, channels):
    if state.ndim == 3:
        side = round((state.shape[1] - n_prefix) ** 0.5)
        return state[:, n_prefix:].transpose(1, 2).unflatten(2, (side, side))
    return state if state.shape[1] == channels else state.permute(0, 3, 1, 2)


@pytest.mark.parametrize("kind", SETTINGS)
def test_tokens_are_the_librarys_own_hidden_states(rng, tmp_path, kind):
    network = saved(SETTINGS[kind](), tmp_path / "net")
    backbone = build_backbone(f"transformers:{tmp_path / 'net'}")
    side = 32 if kind in PREFIX else 64
    images = torch.randn(2, 3, side, side, generator=rng)
    with torch.no_grad():
        output = network(images, output_hidden_states=True)
    states = list(output.hidden_states)
    states = states if kind in ("pvt", "poolformer") else states[1:]
    if kind == "swin":
        states = list(output.reshaped_hidden_states)[1:]
    assert backbone.layers == tuple(map(str, range(len(states))))
    n_prefix = PREFIX.get(kind, 0)
    assert backbone.prefix_tokens == n_prefix
    for _ in range(2):
        local, whole = backbone.get_tokens(images)
        for layer, state in zip(backbone.layers, states, strict=True):
            expected = as_map(state, n_prefix, local[layer].shape[1])
            torch.testing.assert_close(local[layer], expected, rtol=1e-5, atol=1e-5)
            first = state[:, 0] if n_prefix else expected.mean((2, 3))
            torch.testing.assert_close(whole[layer], first, rtol=1e-5, atol=1e-5)


def test_a_masked_autoencoder_sees_the_whole_image_in_order(rng, tmp_path):
    saved(T.ViTMAEConfig(**VIT), tmp_path / "mae")
    backbone = build_backbone(f"transformers:{tmp_path / 'mae'}", layers=["embeddings", "2"])
    images = torch.randn(2, 3, 32, 32, generator=rng)
    local, _ = backbone.get_tokens(images)
    embeddings = backbone.network.embeddings
    with torch.no_grad():
        patches = embeddings.patch_embeddings(images) + embeddings.position_embeddings[:, 1:]
    torch.testing.assert_close(local["embeddings"].flatten(2).transpose(1, 2), patches)
    again = backbone.get_tokens(images).local["2"]
    assert torch.equal(again, local["2"])  # no masks drawn at random


def test_modules_outputs_and_attention_by_name(rng, tmp_path):
    network = saved(T.Dinov2Config(**VIT), tmp_path / "net")
    layers = ["1", "layernorm", ":last_hidden_state", ":pooler_output", "attention.1"]
    backbone = build_backbone(f"transformers:{tmp_path / 'net'}", layers=layers)
    images = torch.randn(2, 3, 32, 32, generator=rng)
    network.set_attn_implementation("eager")
    with torch.no_grad():
        output = network(images, output_hidden_states=True, output_attentions=True)
    for _ in range(2):
        local, whole = backbone.get_tokens(images)
        torch.testing.assert_close(local["layernorm"], as_map(output.last_hidden_state, 1, 32), rtol=1e-5, atol=1e-5)
        assert torch.equal(local["layernorm"], local[":last_hidden_state"])
        torch.testing.assert_close(whole[":pooler_output"], output.pooler_output, rtol=1e-5, atol=1e-5)
        seen = output.attentions[1][:, :, 0, 1:].unflatten(2, (4, 4))
        torch.testing.assert_close(local["attention.1"], seen, rtol=1e-5, atol=1e-6)
        torch.testing.assert_close(local["1"], as_map(output.hidden_states[2], 1, 32), rtol=1e-5, atol=1e-5)


def test_a_pass_stops_behind_the_last_layer(rng, tmp_path):
    saved(T.ViTConfig(**VIT), tmp_path / "net")
    backbone, ran = build_backbone(f"transformers:{tmp_path / 'net'}", layers=["0"]), []
    backbone.network.layernorm.register_forward_hook(lambda *_: ran.append(None))
    for _ in range(3):
        backbone.get_tokens(torch.randn(1, 3, 32, 32, generator=rng))
    assert len(ran) == 1


def test_the_image_side_of_a_model_that_reads_text(rng, tmp_path):
    network = saved(T.CLIPConfig(vision_config=VIT, text_config=TEXT, projection_dim=6), tmp_path / "clip")
    backbone = build_backbone(f"transformers:{tmp_path / 'clip'}", layers=["2", ":image_embeds", "projection"])
    images = torch.randn(2, 3, 32, 32, generator=rng)
    with torch.no_grad():
        states = network.vision_model(images, output_hidden_states=True)
        joint = network.visual_projection(states.pooler_output)
    local, whole = backbone.get_tokens(images)
    torch.testing.assert_close(local["2"], as_map(states.hidden_states[3], 1, 32), rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(whole[":image_embeds"], joint, rtol=1e-5, atol=1e-5)
    assert torch.equal(whole["projection"], whole[":image_embeds"])


def test_the_processors_statistics_are_used(tmp_path):
    plain = {"image_mean": [0.1, 0.2, 0.3], "image_std": [0.4, 0.5, 0.6], "size": {"height": 32, "width": 32}}
    for name, more, expected in [
        ("own", {"resample": 3}, Preprocessing((32, 32), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bicubic")),
        ("bilinear", {"resample": 2}, Preprocessing((32, 32), (0.1, 0.2, 0.3), (0.4, 0.5, 0.6), "bilinear")),
        ("plain", {"do_normalize": False, "resample": 3}, Preprocessing((32, 32), (0,) * 3, (1,) * 3, "bicubic")),
        ("bytes", {"do_rescale": False, "image_mean": [127.5] * 3, "image_std": [51.0] * 3, "resample": 3},
         Preprocessing((32, 32), (0.5,) * 3, (0.2,) * 3, "bicubic")),
    ]:  # fmt: skip
        saved(T.ViTConfig(**VIT), tmp_path / name, **{**plain, **more})
        found = build_backbone(f"transformers:{tmp_path / name}").preprocessing
        assert (found.size, found.interpolation) == (expected.size, expected.interpolation)
        assert found.mean == pytest.approx(expected.mean)
        assert found.std == pytest.approx(expected.std)


def test_one_photograph_is_the_processors_own(tmp_path):
    import numpy as np
    from PIL import Image

    saved(T.ViTConfig(**VIT), tmp_path / "net", size={"height": 32, "width": 32}, resample=2)
    photograph = Image.fromarray(np.random.default_rng(0).integers(0, 255, (48, 64, 3), dtype=np.uint8))
    backbone = build_backbone(f"transformers:{tmp_path / 'net'}")
    theirs = T.ViTImageProcessor.from_pretrained(tmp_path / "net")(photograph, return_tensors="pt")["pixel_values"][0]
    assert (backbone.preprocessing(photograph) - theirs).abs().max() < 0.02  # a level of 255, twice over


def test_another_image_size(rng, tmp_path):
    saved(T.Dinov2Config(**VIT), tmp_path / "net")
    backbone = build_backbone(f"transformers:{tmp_path / 'net'}", image_size=48)
    assert backbone.get_tokens(torch.randn(1, 3, 48, 48, generator=rng)).local["2"].shape == (1, 32, 6, 6)


def test_patches_may_be_cut_outside_the_network(rng, tmp_path):
    options = {name: value for name, value in VIT.items() if name != "image_size"}
    network = saved(T.Siglip2VisionConfig(**options, num_patches=16), tmp_path / "net")
    backbone = build_backbone(f"transformers:{tmp_path / 'net'}", image_size=32)
    images = torch.randn(2, 3, 32, 32, generator=rng)
    cut = nn.functional.unfold(images, 8, stride=8).transpose(1, 2).unflatten(2, (3, 64)).transpose(2, 3).flatten(2)
    with torch.no_grad():
        mask, grids = torch.ones(2, 16, dtype=torch.long), torch.tensor([[4, 4]] * 2)
        states = network(cut, mask, grids, output_hidden_states=True).hidden_states
    local, _ = backbone.get_tokens(images)
    torch.testing.assert_close(local["2"], as_map(states[3], 0, 32), rtol=1e-5, atol=1e-5)


def test_a_network_without_hidden_states_gives_its_blocks(rng, tmp_path):
    body = T.ResNetConfig(**CNN, embedding_size=8, layer_type="basic", out_features=["stage4"])
    heads = {f"{part}_{what}": 2 for part in ("encoder", "decoder") for what in ("layers", "attention_heads")}
    saved(T.DetrConfig(backbone_config=body, use_timm_backbone=False, use_pretrained_backbone=False, backbone=None,
                       d_model=16, encoder_ffn_dim=16, decoder_ffn_dim=16, **heads), tmp_path / "detr")  # fmt: skip
    backbone = build_backbone(f"transformers:{tmp_path / 'detr'}", image_size=128)
    local, _ = backbone.get_tokens(torch.randn(1, 3, 128, 128, generator=rng))
    assert local["encoder.layers.1"].shape == (1, 16, 4, 4)
    queries = build_backbone(f"transformers:{tmp_path / 'detr'}", image_size=128, layers=["decoder.layers.1"])
    with pytest.raises(ValueError, match="100 tokens of decoder.layers.1 are no places"):
        queries.get_tokens(torch.randn(1, 3, 128, 128, generator=rng))


def test_what_is_no_network_of_images_is_refused_in_one_line(tmp_path, monkeypatch):
    saved(T.BertConfig(**TEXT), tmp_path / "bert")
    with pytest.raises(ValueError, match=r"\(bert\) reads texts, and no images"):
        build_backbone(f"transformers:{tmp_path / 'bert'}", modality="image")
    saved(T.VideoMAEConfig(**VIT, num_frames=4), tmp_path / "video")
    with pytest.raises(ValueError, match=r"\(videomae\) reads videos, and no images"):
        build_backbone(f"transformers:{tmp_path / 'video'}", modality="image")
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match=f"cannot read {tmp_path / 'empty'}"):
        build_backbone(f"transformers:{tmp_path / 'empty'}")
    monkeypatch.setattr(T.AutoConfig, "from_pretrained", unreachable)
    with pytest.raises(ConnectionError, match="neither a folder here"):
        build_backbone("transformers:nobody/nothing-of-this-name")
    with pytest.raises(ValueError, match="for example 'transformers:"):
        build_backbone("transformers")
