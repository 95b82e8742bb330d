"""
Which layer of a network of sounds does a voxel read, and at which moment?
==========================================================================

Every voxel is planted in one layer and one moment of the sound, so the answer is known.
"""

from importlib.util import find_spec

import matplotlib.pyplot as plt
import numpy as np
import torch

from brainnet.backbone import build_backbone
from brainnet.ridge import WindowRidgeCV
from brainnet.scores import pearson_r
from brainnet.stimuli import Sounds
from brainnet.store import TokenStore

# %%
# Sounds of one second: tones that glide, with noise that comes and goes. Recordings are Sounds("folder/").
rng, rate, n_sounds = np.random.default_rng(0), 16000, 240
seconds = np.arange(rate) / rate
waves = []
for _ in range(n_sounds):
    glides = [np.interp(seconds, np.linspace(0, 1, 7), rng.uniform(150, 3000, 7)) for _ in range(3)]
    loudness = [np.interp(seconds, np.linspace(0, 1, 7), rng.uniform(0, 1, 7) ** 2) for _ in range(4)]
    phases = [2 * np.pi * np.cumsum(glide) / rate for glide in glides]
    tones = sum(loud * np.sin(phase) for loud, phase in zip(loudness[:3], phases, strict=True))
    waves.append((0.2 * tones + 0.1 * loudness[3] * rng.normal(size=rate)).astype(np.float32))
sounds = Sounds(waves, rate=rate)

# %%
# A network that was trained to hear speech, where its weights are (pip install silero-vad), else untrained.
weights = "default" if find_spec("silero_vad") else "random"
print("weights:", weights)
store = TokenStore.build(build_backbone("silero:vad", weights=weights, steps=8), sounds, grid=None, progress=False)
print(store)  # tokens are (channels, 1, 8 moments): the place in a sound is its time

# %%
# Thirty voxels, ten for each of three layers, that read one moment each and hear noise besides.
truth = [("0", 1), ("2", 4), ("4", 6)]
tokens = store.tokens(slice(None)).local
responses = []
for layer, moment in truth:
    values = tokens[layer][:, :, 0, moment]
    values = (values - values.mean(0)) / values.std(0).clamp(min=1e-3)
    signal = values @ torch.randn(values.shape[1], 10, generator=torch.Generator().manual_seed(1))
    signal = signal / signal.std(0)
    responses.append(signal + 0.5 * torch.randn(signal.shape, generator=torch.Generator().manual_seed(2)))
responses = torch.cat(responses, 1)

# %%
# Each layer alone, read through a window in time that is chosen for every voxel.
train, test = slice(0, n_sounds * 3 // 4), slice(n_sounds * 3 // 4, n_sounds)
centres = (torch.arange(8) + 0.5).div(4).sub(1).tolist()  # the middles of the eight moments, in -1 to 1
found, scores = {}, []
for layer in store.layers:
    model = WindowRidgeCV(centres, widths=(0.1,)).fit({layer: tokens[layer][train]}, responses[train])
    predicted = model.predict({layer: tokens[layer][test]})
    scores.append(pearson_r(predicted, responses[test]))
    found[layer] = ((model.position_[:, 0] + 1) * 4).floor()
scores = torch.stack(scores)  # (n_layers, n_voxels)
for number, (layer, moment) in enumerate(truth):
    voxels = slice(10 * number, 10 * number + 10)
    best = store.layers[int(scores[:, voxels].mean(1).argmax())]
    moments = found[layer][voxels].int().tolist()
    print(f"planted in layer {layer} at moment {moment}: found in layer {best}, at {moments}")

figure, (left, right) = plt.subplots(1, 2, figsize=(9, 3.2), layout="constrained")
shown = left.imshow(scores, aspect="auto", vmin=0, vmax=1)
left.set(xlabel="voxel", ylabel="layer", title="r on new sounds")
left.set_yticks(range(len(store.layers)), store.layers)
figure.colorbar(shown, ax=left)
right.step(range(30), np.repeat([moment for _, moment in truth], 10), "k", where="mid", label="planted")
right.plot(torch.cat([found[layer][10 * k : 10 * k + 10] for k, (layer, _) in enumerate(truth)]), "o", label="found")
right.set(xlabel="voxel", ylabel="moment (1/8 s)", ylim=(-0.5, 7.5), title="moment of the sound")
right.legend()
figure.savefig("sound.png", dpi=110)

# %%
# The layer in which new sounds are predicted best is the planted one, and the window stands at the planted moment.
