"""What the house does with images, it does with texts, sounds and clips: stores, RDMs, ridge, FactorTopy."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.backbone import build_backbone
from brainnet.dataset import ArrayDataset
from brainnet.model import FactorTopy
from brainnet.ridge import RidgeCV, WindowRidgeCV
from brainnet.rsa import compare, rdm
from brainnet.stimuli import Clips, Sounds, Texts
from brainnet.store import TokenStore
from tests.backbone.toy_sequences import WORDS, save, save_tokenizer

N = 60


def texts(tmp_path):
    transformers = pytest.importorskip("transformers")
    save(
        transformers.GPT2Model(transformers.GPT2Config(n_embd=16, n_layer=2, n_head=2, n_positions=40, vocab_size=80)),
        tmp_path,
    )
    save_tokenizer(tmp_path, ends=False)
    generator = np.random.default_rng(0)
    stimuli = Texts([" ".join(generator.choice(WORDS, generator.integers(8, 20))) for _ in range(N)])
    return stimuli, build_backbone(f"transformers:{tmp_path}")


def sounds(tmp_path):
    generator = np.random.default_rng(0)
    loudness = np.repeat(generator.uniform(0, 1, (N, 8)), 1024, 1)
    waves = (loudness * generator.normal(0, 0.3, loudness.shape)).astype(np.float32)
    return Sounds(waves, rate=16000), build_backbone("silero:vad", weights="random", layers=["0", "2"])


def clips(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 255, (N, 3, 8, 8, 3)).astype(np.uint8).repeat(8, 2).repeat(8, 3)
    return Clips(pixels), build_backbone("video:expansion:small", layers=["1", "2"], n_frames=3)


KINDS = {"text": texts, "sound": sounds, "video": clips}


@pytest.fixture(params=KINDS)
def built(request, tmp_path):
    return KINDS[request.param](tmp_path)


def standardized(tokens):
    return {layer: (x - x.mean(0)) / x.std(0).clamp(min=1e-6) for layer, x in tokens.items()}


def test_a_store_is_that_of_single_stimuli_whatever_the_batch(built, tmp_path):
    stimuli, backbone = built
    path = tmp_path / "tokens.bin"
    store = TokenStore.build(backbone, stimuli, path=path, grid=None, dtype=torch.float32, batch_size=7, progress=False)
    for place in (0, 31, N - 1):
        alone = backbone.get_tokens([stimuli.load(place)])
        for layer in backbone.layers:
            torch.testing.assert_close(store.tokens([place]).local[layer], alone.local[layer], rtol=1e-4, atol=1e-5)
            torch.testing.assert_close(store.tokens([place]).global_[layer], alone.global_[layer], rtol=1e-4, atol=1e-5)
    assert TokenStore.open(path).fingerprint["images"] == stimuli.signature()
    again = store.select(stimuli.ids[5:2:-1])
    assert torch.equal(again.tokens([0]).local[backbone.layers[0]], store.tokens([5]).local[backbone.layers[0]])


def test_rdms_and_ridge_find_the_planted_layer(built):
    stimuli, backbone = built
    store = TokenStore.build(backbone, stimuli, grid=None, dtype=torch.float32, progress=False)
    first, last = (
        standardized({"x": store.features(layer, "global")})["x"] for layer in store.layers[:: len(store.layers) - 1]
    )
    mixed = first @ torch.randn(first.shape[1], 30, generator=torch.Generator().manual_seed(0))
    scores = [float(compare(rdm(x, "euclidean"), rdm(mixed, "euclidean"), "spearman")) for x in (first, last)]
    assert scores[0] > max(0.8, scores[1])
    signal = mixed / mixed.std(0) + 0.3 * torch.randn(N, 30, generator=torch.Generator().manual_seed(1))
    found = []
    for x in (first, last):
        model = RidgeCV(alphas=np.logspace(-2, 3, 6)).fit(x[:45], signal[:45])
        found.append(float(torch.as_tensor(model.score(x[45:], signal[45:])).mean()))
    assert found[0] > max(0.3, found[1])
    shuffled = signal[torch.randperm(N, generator=torch.Generator().manual_seed(2))]
    null = RidgeCV(alphas=np.logspace(-2, 3, 6)).fit(first[:45], shuffled[:45]).score(first[45:], shuffled[45:])
    assert float(torch.as_tensor(null).mean()) < 0.1  # R2 of what is not there is below 0


@pytest.mark.parametrize("kind", ["text", "sound"])
def test_the_window_of_a_sequence_is_a_moment(kind, tmp_path):
    stimuli, backbone = KINDS[kind](tmp_path)
    store = TokenStore.build(backbone, stimuli, grid=None, dtype=torch.float32, progress=False)
    tokens = standardized(store.tokens(slice(None)).local)
    layer = store.layers[0]
    weights = torch.randn(tokens[layer].shape[1], 8, generator=torch.Generator().manual_seed(0))
    centres = (torch.arange(8) + 0.5).div(4).sub(1).tolist()
    for moment in (1, 6):
        signal = tokens[layer][:, :, 0, moment] @ weights
        signal = signal / signal.std(0) + 0.1 * torch.randn(N, 8, generator=torch.Generator().manual_seed(1))
        model = WindowRidgeCV(centres, widths=(0.1,)).fit({layer: tokens[layer]}, signal)
        found = ((model.position_[:, 0] + 1) * 4).floor()
        assert (found - moment).abs().max() <= 1
        assert (found == moment).float().mean() >= 0.75


def test_factortopy_reads_and_learns(built):
    stimuli, backbone = built
    store = TokenStore.build(backbone, stimuli, grid=None, dtype=torch.float32, progress=False)
    tokens = store.tokens(slice(None))
    tokens = type(tokens)(standardized(tokens.local), standardized(tokens.global_))
    target = tokens.global_[store.layers[0]][:, :4]
    coords = torch.randn(4, 3, generator=torch.Generator().manual_seed(0))
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = FactorTopy(
            store.layers, backbone.layer_widths, 4, coords, bottleneck_dim=8, grid=store.grids[store.layers[0]]
        )
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    losses = []
    for _ in range(60):
        prediction, regulariser = model(*tokens)
        loss = (prediction - target).square().mean()
        losses.append(float(loss))
        optimizer.zero_grad()
        (loss + 1e-3 * regulariser).backward()
        optimizer.step()
    assert losses[-1] < 0.5 * losses[0]
    selectors = model.get_selectors()
    assert selectors.space.shape == (4, 2)
    assert torch.allclose(selectors.layer.sum(1), torch.ones(4), atol=1e-5)


def test_a_data_set_has_them_for_stimuli(built):
    stimuli, backbone = built
    responses = np.random.default_rng(0).normal(size=(N, 5)).astype(np.float32)
    dataset = ArrayDataset(stimuli, responses, seed=0)
    assert dataset.image_ids == stimuli.ids
    store = TokenStore.build(backbone, dataset, grid=None, progress=False)
    direct = TokenStore.build(backbone, stimuli, grid=None, progress=False)
    assert torch.equal(store.tokens([3]).local[backbone.layers[0]], direct.tokens([3]).local[backbone.layers[0]])
