"""Networks of sound of transformers: tokens are hidden states, of the sound alone and never of what fills it up."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.backbone import build_backbone
from brainnet.rsa import rdm
from brainnet.stimuli import Sound, Sounds
from brainnet.store import TokenStore
from tests.backbone.toy_sequences import SOUND, save

T = pytest.importorskip("transformers")
RATE = 16000
AST = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32,
       "num_mel_bins": 32, "max_length": 64, "patch_size": 16, "frequency_stride": 10, "time_stride": 10}  # fmt: skip
WHISPER = {"d_model": 24, "encoder_layers": 2, "decoder_layers": 1, "encoder_attention_heads": 4,
           "decoder_attention_heads": 4, "encoder_ffn_dim": 32, "decoder_ffn_dim": 32, "num_mel_bins": 80,
           "max_source_positions": 50, "vocab_size": 20, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2,
           "decoder_start_token_id": 1, "suppress_tokens": None, "begin_suppress_tokens": None}  # fmt: skip
MODELS = {
    "wav2vec2": lambda: T.Wav2Vec2Model(T.Wav2Vec2Config(**SOUND, feat_extract_norm="layer")),
    "group": lambda: T.Wav2Vec2Model(T.Wav2Vec2Config(**SOUND)),
    "hubert": lambda: T.HubertModel(T.HubertConfig(**SOUND)),
    "whisper": lambda: T.WhisperModel(T.WhisperConfig(**WHISPER)),
    "ast": lambda: T.ASTModel(T.ASTConfig(**AST)),
}


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder_of(kind):
        if kind not in made:
            made[kind] = save(MODELS[kind](), tmp_path_factory.mktemp(kind))
        return made[kind]

    return folder_of


def built(folder, **options):
    return build_backbone(f"transformers:{folder}", **options)


def noise(n, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, n).astype(np.float32)


SOUNDS = [noise(8000), noise(4800, 1), noise(8000, 2), noise(2000, 3)]


def inputs(kind, wave):
    """The library's own input of a sound, alone."""
    if kind == "whisper":
        return T.WhisperFeatureExtractor(chunk_length=1)(wave, sampling_rate=RATE, return_tensors="pt").input_features
    if kind == "ast":
        extractor = T.ASTFeatureExtractor(num_mel_bins=32, max_length=64)
        return extractor(wave, sampling_rate=RATE, return_tensors="pt").input_values
    extractor = T.Wav2Vec2FeatureExtractor(do_normalize=kind == "wav2vec2")
    return extractor(wave, sampling_rate=RATE, return_tensors="pt").input_values


@pytest.mark.parametrize("kind", MODELS)
def test_tokens_are_the_librarys_own_hidden_states(folders, kind):
    backbone = built(folders(kind), steps="all", layers=["embeddings", "0", "1"])
    assert backbone.reads == "sound"
    for wave in SOUNDS[:2]:
        with torch.no_grad():
            states = backbone.network(inputs(kind, wave), output_hidden_states=True).hidden_states
        local, whole = backbone.get_tokens([wave])
        for layer, state in zip(("embeddings", "0", "1"), states, strict=True):
            expected = state[0].T[:, None]
            if kind == "whisper":
                expected = expected[..., : -(-len(wave) // 320)]  # 20 ms each
            if kind == "ast":
                frames = 1 + (len(wave) - 400) // 160
                expected = state[0, 2:].T.unflatten(1, (2, 5))[..., : max(1, (frames - 16) // 10 + 1)]
            torch.testing.assert_close(local[layer][0], expected, rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(whole[layer][0], expected.mean((1, 2)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_a_batch_gives_what_single_sounds_give(folders, kind):
    for steps in ("all", 3):
        backbone = built(folders(kind), steps=steps).double()  # else float32 rounds a batch in another order
        together = backbone.get_tokens(SOUNDS)
        for row, wave in enumerate(SOUNDS):
            alone = backbone.get_tokens([wave])
            n = alone.local["1"].shape[-1]
            torch.testing.assert_close(together.local["1"][row, ..., :n], alone.local["1"][0], rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(together.global_["1"][row], alone.global_["1"][0], rtol=1e-6, atol=1e-6)


def test_a_spectrogram_keeps_its_frequencies(folders):
    local, whole = built(folders("ast"), steps=2, global_token="class").get_tokens(SOUNDS[:2])
    assert local["1"].shape == (2, 24, 2, 2)
    with torch.no_grad():
        state = built(folders("ast")).network(inputs("ast", SOUNDS[0]), output_hidden_states=True).hidden_states[2]
    torch.testing.assert_close(whole["1"][0], state[0, 0], rtol=1e-6, atol=1e-6)


def test_other_rates_are_brought_to_that_of_the_network(folders):
    seconds = np.arange(22050) / 44100
    high = Sound(np.sin(2 * np.pi * 300 * seconds).astype(np.float32), 44100)
    own = np.sin(2 * np.pi * 300 * np.arange(8000) / 16000).astype(np.float32)
    a, b = (built(folders("wav2vec2")).get_tokens([one]).global_["1"] for one in (high, own))
    assert torch.nn.functional.cosine_similarity(a, b) > 0.99


def test_a_store_and_rdms_of_sounds(folders):
    backbone = built(folders("wav2vec2"))
    sounds = Sounds(SOUNDS, rate=RATE)
    store = TokenStore.build(backbone, sounds, grid=None, dtype=torch.float32, batch_size=3, progress=False)
    assert store.grids["1"] == (1, 8)
    torch.testing.assert_close(store.tokens([1]).local["1"], backbone.get_tokens(SOUNDS[1:2]).local["1"])
    assert rdm(store.features("1", "mean"), "euclidean").values.shape == (1, 6)
    windows = Sounds([noise(16000)], rate=RATE, window=0.25)
    assert len(TokenStore.build(backbone, windows, grid=(1, 4), progress=False)) == 4


def test_what_is_too_short_too_long_or_silent_is_said(folders):
    wav2vec2, whisper = built(folders("wav2vec2")), built(folders("whisper"))
    with pytest.raises(ValueError, match=r"1 sample at 16000 .* every 25"):
        wav2vec2.get_tokens([np.array([0.5], np.float32)])
    with pytest.raises(ValueError, match=r"lasts 1.062 s, .* takes 1 s: .*window=1"):
        whisper.get_tokens([noise(17000)])
    with pytest.warns(UserWarning, match="silent"):
        tokens = wav2vec2.get_tokens([np.zeros(8000, np.float32)])
    assert torch.isfinite(tokens.local["1"]).all()
    with pytest.raises(TypeError, match="str"):
        wav2vec2.get_tokens(["a text"])
    with pytest.raises(ValueError, match="sound '0' of the list given.*1 sample"):
        TokenStore.build(wav2vec2, Sounds([[0.5]], rate=RATE), progress=False)
    with pytest.raises(ValueError, match="finite"):
        wav2vec2.get_tokens([np.full(8000, np.nan, np.float32)])
