"""Text towers of open_clip: blocks lead to the tower's own embedding, which images share."""

from __future__ import annotations

import pickle

import pytest
import torch
from torch import nn

from brainnet.backbone import BACKBONES, build_backbone

open_clip = pytest.importorskip("open_clip")
TEXTS = ["a bird on a branch", "the sea", "two people who talk in front of a house"]


@pytest.fixture(scope="module")
def backbone():
    return build_backbone("clip_text:ViT-S-32-alt", weights="random")


def test_the_last_block_leads_to_the_towers_own_embedding(backbone):
    local, whole = backbone.get_tokens(TEXTS)
    assert backbone.layers == tuple(map(str, range(10)))
    assert local["3"].shape == (3, 256, 1, 77)
    assert backbone.layer_widths == (256,) * 10
    tower = backbone.network
    pieces = open_clip.get_tokenizer("ViT-S-32-alt")(TEXTS)
    with torch.no_grad():
        expected = tower(pieces)
        found = tower.ln_final(whole["9"]) @ tower.text_projection
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)
    embedding = build_backbone("clip_text:ViT-S-32-alt", weights="random", layers=["text", "9", "ln_final"])
    for texts in (TEXTS, pieces):
        tokens = embedding.get_tokens(texts)
        assert torch.equal(tokens.global_["text"], expected)
        assert torch.equal(tokens.local["9"], local["9"])
    torch.testing.assert_close(tokens.global_["ln_final"] @ tower.text_projection, expected, atol=1e-5, rtol=1e-5)


def test_whole_models_are_those_of_open_clip(tmp_path):
    """Both towers of one file land in one space."""
    whole = open_clip.create_model("ViT-S-32-alt").eval()
    images = torch.rand(1, 3, 224, 224)
    with torch.no_grad():
        expected = whole.encode_text(open_clip.get_tokenizer("ViT-S-32-alt")(TEXTS))
        seen = whole.encode_image(images)
    torch.save(whole.state_dict(), tmp_path / "clip.pt")
    texts = build_backbone("clip_text:ViT-S-32-alt", weights=tmp_path / "clip.pt", layers=["text"])
    image = build_backbone("clip:ViT-S-32-alt", weights=tmp_path / "clip.pt", layers=["visual"])
    torch.testing.assert_close(texts.get_tokens(TEXTS).global_["text"], expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(image.get_tokens(images).global_["visual"], seen, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize("name", ["RN50", "ViT-B-32-SigLIP2-256", "coca_ViT-B-32", "MobileCLIP2-S0"])
def test_towers_read_their_sentence_where_they_do(name):
    """At the largest piece, at the last one, or at a token of its own."""
    backbone = build_backbone(f"clip_text:{name}", weights="random", layers=["0", -1, "text"])
    pieces = torch.randint(1, 90, (2, backbone.preprocessing.length), generator=torch.Generator().manual_seed(0))
    pieces[0, 5] = pieces[1, 9] = backbone.network.vocab_size - 1
    tokens = backbone.get_tokens(pieces)
    tower, last = backbone.network, tokens.global_[backbone.layers[1]]
    with torch.no_grad():
        expected = tower(pieces)
        found = tower.ln_final(last)
        if isinstance(tower.text_projection, nn.Linear):
            found = tower.text_projection(found)
        elif tower.text_projection is not None:
            found = found @ tower.text_projection
    torch.testing.assert_close(found, expected[0] if isinstance(expected, tuple) else expected, atol=1e-4, rtol=1e-4)


def test_a_batch_is_its_texts_and_weights_follow_the_seed(backbone):
    batch = backbone.get_tokens(TEXTS)
    for i, text in enumerate(TEXTS):
        alone = backbone.get_tokens([text])
        for layer in backbone.layers:
            torch.testing.assert_close(alone.local[layer][0], batch.local[layer][i], atol=1e-5, rtol=1e-5)
    twin = pickle.loads(pickle.dumps(backbone))
    assert torch.equal(twin.get_tokens(TEXTS).local["9"], batch.local["9"])
    assert twin.fingerprint() == backbone.fingerprint()
    other = build_backbone("clip_text:ViT-S-32-alt", weights="random", seed=2)
    assert other.fingerprint()["weights"] != backbone.fingerprint()["weights"]
    assert not any(module._forward_hooks for module in backbone.modules())


def test_images_and_single_texts_are_refused_in_words(backbone):
    with pytest.raises(ValueError, match=r"'clip:ViT-S-32-alt'"):
        backbone.get_tokens(torch.zeros(1, 3, 224, 224))
    with pytest.raises(TypeError, match="reads texts, got Tensor"):
        backbone.preprocessing(torch.zeros(3, 224, 224))
    with pytest.raises(TypeError, match="list of texts, got str"):
        backbone.get_tokens("a bird")
    with pytest.raises(ValueError, match="roberta-base of transformers"):
        build_backbone("clip_text:roberta-ViT-B-32", weights="random")
    with pytest.raises(ValueError, match="Did you mean"):
        build_backbone("clip_text:ViT-B-166", weights="random")
    listed = BACKBONES.variants("clip_text")
    assert len(listed) > 150
    assert not any("roberta" in name for name in listed)
