"""The network of silero-vad: what its own package computes, and that it hears speech."""

from __future__ import annotations

import shutil
import subprocess
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest
import torch

from brainnet.backbone import build_backbone
from brainnet.backbone.families.silero import Listener
from brainnet.stimuli import Sounds
from brainnet.store import TokenStore

RATE = 16000
OF_ITS = {
    "stft.forward_basis_buffer": "stft_conv.weight",
    "decoder.rnn.": "lstm_cell.",
    "decoder.decoder.2.": "final_conv.",
}


def noise(seconds=1.0, seed=0):
    return np.random.default_rng(seed).normal(0, 0.1, round(seconds * RATE)).astype(np.float32)


@pytest.fixture(scope="module")
def package():
    spec = find_spec("silero_vad")
    if spec is None:
        pytest.skip("silero-vad, which has the weights, is not installed")
    return Path(spec.origin).parent


def test_it_is_the_network_of_the_package(package):
    published = torch.jit.load(str(package / "data/silero_vad.jit"))
    state = {}
    for name, value in published._model.state_dict().items():
        for theirs, ours in OF_ITS.items():
            name = name.replace(theirs, ours)
        if name.startswith("encoder."):
            name = f"conv{int(name[8]) + 1}.{name.rpartition('.')[2]}"
        state[name] = value
    network = Listener().eval()
    network.load_state_dict(state)
    wave = torch.from_numpy(noise())[: 20 * 512]
    wave[4000:] = torch.sin(torch.arange(6240) / 9) / 2
    with torch.no_grad():
        expected = [published(wave[start : start + 512], RATE).item() for start in range(0, len(wave), 512)]
        found = network(wave[None]).speech[0]
    torch.testing.assert_close(found, torch.tensor(expected), rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("steps", ["all", 5])
def test_a_batch_gives_what_single_sounds_give(steps):
    backbone = build_backbone("silero:vad", weights="random", steps=steps)
    sounds = [noise(1.0), noise(0.3, 1), noise(1.0, 2)]
    together = backbone.get_tokens(sounds)
    assert backbone.layers == ("0", "1", "2", "3", "4")
    for row, wave in enumerate(sounds):
        alone = backbone.get_tokens([wave])
        for layer in backbone.layers:
            n = alone.local[layer].shape[-1]
            torch.testing.assert_close(together.local[layer][row, ..., :n], alone.local[layer][0], rtol=1e-4, atol=1e-5)


def test_it_does_not_hear_the_future():
    backbone = build_backbone("silero:vad", weights="random", steps="all")
    early, late = noise(1.0), noise(1.0)
    late[8192:] = 0.3
    a, b = (backbone.get_tokens([wave]).local["4"][..., :16] for wave in (early, late))
    torch.testing.assert_close(a, b)


def test_it_tells_speech_from_noise(package, tmp_path):
    if shutil.which("espeak-ng") is None:
        pytest.skip("espeak-ng, which speaks, is not installed")
    pytest.importorskip("av", reason="sounds are decoded by av")
    texts = ["a bird sings in the old tree", "many people listen to its song", "night falls over the town",
             "somebody opens a window", "the quick brown fox jumps", "we go home together now"]  # fmt: skip
    for number, text in enumerate(texts):
        subprocess.run(["espeak-ng", "-w", str(tmp_path / f"speech{number}.wav"), text], check=True)
    speech = Sounds(tmp_path)
    generator = np.random.default_rng(0)
    waves = []
    for sound in speech:  # noise with the spectrum of this very speech, and as loud at every moment
        phases = np.exp(2j * np.pi * generator.random(len(sound.samples) // 2 + 1))
        waves.append(np.fft.irfft(np.abs(np.fft.rfft(sound.samples)) * phases, len(sound.samples)).astype(np.float32))
    noises = Sounds(waves, rate=speech[0].rate)
    backbone = build_backbone("silero:vad")
    features = [TokenStore.build(backbone, one, grid=None, dtype=torch.float32, progress=False).features("4", "mean")
                for one in (speech, noises)]  # fmt: skip
    correct = 0
    for left_out in range(len(texts)):  # the nearer mean of the others tells which it is
        rest = [k for k in range(len(texts)) if k != left_out]
        means = [part[rest].mean(0) for part in features]
        for kind, part in enumerate(features):
            distances = [(part[left_out] - mean).norm() for mean in means]
            correct += int(np.argmin(distances)) == kind
    assert correct == 2 * len(texts)
    with torch.no_grad():
        wave = torch.stack([backbone.preprocessing(speech[0]), backbone.preprocessing(noises[0])])
        said, heard = backbone.network(wave).speech.mean(1)
    assert said > 0.6
    assert heard < 0.2


def test_what_it_does_not_take_is_refused():
    with pytest.raises(ValueError, match="511 samples .*512"):
        build_backbone("silero:vad", weights="random").get_tokens([noise(1.0)[:511]])
    with pytest.raises(ValueError, match="'asr'"):
        build_backbone("silero:asr")
