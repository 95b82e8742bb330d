"""Both sides of a network of image and text, and their joint embedding."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.backbone import build_backbone
from brainnet.backbone.kinds import kind_read_by
from brainnet.rsa import rdm
from brainnet.stimuli import Pairs
from brainnet.store import TokenStore
from tests.backbone.toy_sequences import SIZES, save, save_tokenizer

T = pytest.importorskip("transformers")
TEXT = {
    **SIZES,
    "vocab_size": 80,
    "pad_token_id": 0,
    "bos_token_id": 1,
    "eos_token_id": 2,
    "max_position_embeddings": 20,
}
CAPTIONS = ["a bird sings", "the old tree", "night falls over the old tree"]


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    folder = tmp_path_factory.mktemp("clip")
    vision = {**SIZES, "image_size": 32, "patch_size": 8}
    save(T.CLIPModel(T.CLIPConfig(vision_config=vision, text_config=TEXT, projection_dim=6)), folder)
    save_tokenizer(folder)
    return folder


def pairs():
    pixels = np.random.default_rng(0).integers(0, 255, (3, 40, 40, 3)).astype(np.uint8)
    return [{"image": Image.fromarray(one), "text": text} for one, text in zip(pixels, CAPTIONS, strict=True)]


def built(folder, **options):
    return build_backbone(f"transformers:{folder}", modality="pair", **options)


def test_both_sides_are_those_of_the_network(folder):
    backbone = built(folder)
    assert backbone.layers == ("image_embeds", "text_embeds", "joint")
    assert kind_read_by(backbone) == kind_read_by(f"transformers:{folder}", modality="pair") == "pair"
    local, whole = backbone.get_tokens(pairs())
    network = T.CLIPModel.from_pretrained(folder)
    tokenizer = T.AutoTokenizer.from_pretrained(folder)
    for row, pair in enumerate(pairs()):
        pieces = torch.tensor([tokenizer(pair["text"])["input_ids"]])
        pixels = backbone.sides["image"].preprocessing(pair["image"])[None]
        with torch.no_grad():
            output = network(input_ids=pieces, pixel_values=pixels)
        for layer in ("image_embeds", "text_embeds"):  # which the whole network gives as directions
            mine = torch.nn.functional.normalize(whole[layer][row], dim=0)
            torch.testing.assert_close(mine, getattr(output, layer)[0], rtol=1e-6, atol=1e-6)
        mean = (output.image_embeds[0] + output.text_embeds[0]) / 2
        torch.testing.assert_close(whole["joint"][row], mean, rtol=1e-6, atol=1e-6)
        assert torch.equal(local["joint"][row, :, 0, 0], whole["joint"][row])


def test_layers_of_the_sides_in_the_order_asked(folder):
    backbone = built(folder, layers=["text.1", "joint", "image.0"], steps=4)
    local, _ = backbone.get_tokens(pairs())
    assert {layer: tuple(values.shape) for layer, values in local.items()} == {
        "text.1": (3, 32, 1, 4), "joint": (3, 6, 1, 1), "image.0": (3, 32, 4, 4),
    }  # fmt: skip
    text = build_backbone(f"transformers:{folder}", modality="text", steps=4, layers=["1"]).get_tokens(CAPTIONS)
    torch.testing.assert_close(local["text.1"], text.local["1"])
    assert backbone.layer_widths == (32, 6, 32)


def test_a_store_of_pairs_by_base_name(folder, tmp_path):
    for number, pair in enumerate(pairs()):
        pair["image"].save(tmp_path / f"s{number}.png")
        (tmp_path / f"s{number}.txt").write_text(pair["text"])
    backbone = built(folder)
    store = TokenStore.build(backbone, tmp_path, grid=None, dtype=torch.float32, batch_size=2, progress=False)
    assert store.image_ids == ["s0", "s1", "s2"]
    torch.testing.assert_close(
        store.features("joint"), backbone.get_tokens(pairs()).global_["joint"], rtol=1e-4, atol=1e-5
    )
    assert rdm(store.features("joint"), "cosine").values.shape == (1, 3)
    assert isinstance(Pairs(tmp_path)[0], dict)


def test_what_is_no_pair_is_refused(folder):
    backbone = built(folder)
    with pytest.raises(TypeError, match="no text; it has image"):
        backbone.get_tokens([{"image": pairs()[0]["image"]}])
    with pytest.raises(TypeError, match="str"):
        backbone.get_tokens(["a bird"])
    with pytest.raises(ValueError, match="'jont'.*'joint'"):
        built(folder, layers=["jont"])
    bert = folder / "bert"
    T.BertConfig(**TEXT).save_pretrained(bert)
    with pytest.raises(ValueError, match="reads texts, and no pairs"):
        build_backbone(f"transformers:{bert}", modality="pair")
