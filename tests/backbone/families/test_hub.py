"""What a network of transformers reads, by its settings, and which options are of which kind."""

from __future__ import annotations

import pytest

from brainnet.backbone.families._hub import check_kind, chosen_options, kind_of_config

T = pytest.importorskip("transformers")
KINDS = {
    "image": ("ViTConfig", "Dinov2Config", "CLIPConfig", "CLIPVisionConfig", "SamVisionConfig", "ConvNextConfig"),
    "text": ("BertConfig", "GPT2Config", "LlamaConfig", "T5Config", "RobertaConfig", "Qwen2Config", "CLIPTextConfig"),
    "sound": ("Wav2Vec2Config", "HubertConfig", "WhisperConfig", "ASTConfig", "WavLMConfig"),
    "video": ("VideoMAEConfig", "TimesformerConfig", "VivitConfig", "VJEPA2Config"),
}


@pytest.mark.parametrize(("kind", "config"), [(kind, name) for kind, names in KINDS.items() for name in names])
def test_kinds_are_known_by_their_settings(kind, config):
    assert kind_of_config(T, getattr(T, config)()) == kind


def test_a_model_of_image_and_text_has_both_sides():
    for kind in ("image", "text", "pair"):
        check_kind("net", T.CLIPConfig(), kind, "image")
    with pytest.raises(ValueError, match="reads images, and no sounds"):
        check_kind("net", T.CLIPConfig(), "sound", "image")
    with pytest.raises(ValueError, match="reads texts, and no images"):
        check_kind("net", T.BertConfig(), "image", "text")
    with pytest.raises(ValueError, match="'smell'"):
        check_kind("net", T.BertConfig(), "smell", "text")


def test_options_of_another_kind_are_refused():
    assert chosen_options("net", "video", {"n_frames": 4, "steps": None}) == {"n_frames": 4}
    with pytest.raises(ValueError, match="steps is of networks of texts and sounds, and net reads images"):
        chosen_options("net", "image", {"steps": 4})
