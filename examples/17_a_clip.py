"""
Which layer of a network of images does a voxel read, and at which frame of a clip?
===================================================================================

The clips wander over photographs. Every voxel is planted in one layer and one frame, so the answer is known.
"""

import matplotlib.pyplot as plt
import numpy as np
import torch
from PIL import Image
from sklearn.datasets import load_sample_images

from brainnet.backbone import build_backbone
from brainnet.ridge import RidgeCV
from brainnet.scores import pearson_r
from brainnet.stimuli import Clips
from brainnet.store import TokenStore

# %%
# A clip is a window that wanders over a photograph, cut to another place now and then. Videos are Clips("folder/").
rng, n_clips, n_frames = np.random.default_rng(0), 200, 6
photographs = [Image.fromarray(pixels) for pixels in load_sample_images().images]
clips = []
for _ in range(n_clips):
    frames = []
    for _ in range(n_frames):
        if not frames or rng.random() < 0.5:
            photograph, x, y = photographs[rng.integers(2)], rng.integers(0, 480), rng.integers(0, 260)
        x, y = np.clip([x + rng.integers(-30, 31), y + rng.integers(-30, 31)], 0, [480, 260])
        frames.append(photograph.crop((x, y, x + 160, y + 160)).resize((64, 64)))
    clips.append(frames)
clips = Clips(clips, fps=2)

# %%
# Any network of images sees a clip frame by frame: here every frame is a layer of its own, "3.t0", "3.t1", ...
backbone = build_backbone("video:expansion:small", n_frames=n_frames, agg_frames="all")
store = TokenStore.build(backbone, clips, grid=(4, 4), progress=False)
layers = sorted({layer.partition(".")[0] for layer in store.layers})
print(store)

# %%
# Voxels that read one layer at one frame each, and noise.
truth = [("2", 1), ("3", 4), ("5", 2)]
features = {layer: store.features(layer, "mean") for layer in store.layers}
features = {layer: (x - x.mean(0)) / x.std(0).clamp(min=1e-6) for layer, x in features.items()}
responses = []
for number, (layer, frame) in enumerate(truth):
    generator = torch.Generator().manual_seed(number)
    x = features[f"{layer}.t{frame}"]
    signal = x @ torch.randn(x.shape[1], 10, generator=generator)
    responses.append(signal / signal.std(0) + 0.5 * torch.randn(len(x), 10, generator=generator))
responses = torch.cat(responses, 1)

# %%
# Ridge from every layer at every frame, scored on clips that it has not seen.
n_train = n_clips * 3 // 4
scores = np.zeros((len(layers), n_frames, responses.shape[1]))
for row, layer in enumerate(layers):
    for frame in range(n_frames):
        x = features[f"{layer}.t{frame}"]
        model = RidgeCV(alphas=np.logspace(-1, 4, 11)).fit(x[:n_train], responses[:n_train])
        scores[row, frame] = pearson_r(model.predict(x[n_train:]), responses[n_train:])

figure, axes = plt.subplots(1, 3, figsize=(10, 3.2), layout="constrained", sharey=True)
for number, ((layer, frame), axis) in enumerate(zip(truth, axes, strict=True)):
    mean = scores[:, :, 10 * number : 10 * number + 10].mean(2)
    row, column = np.unravel_index(mean.argmax(), mean.shape)
    print(f"planted in layer {layer} at frame {frame}: found in layer {layers[row]} at {column}, r {mean.max():.2f}")
    shown = axis.imshow(mean, vmin=0, vmax=1, aspect="auto")
    axis.plot(frame, layers.index(layer), "r+", markersize=14)
    axis.set(title=f"voxels {10 * number} to {10 * number + 9}", xlabel="frame")
    axis.set_yticks(range(len(layers)), layers)
axes[0].set_ylabel("layer")
figure.colorbar(shown, ax=axes, label="r on new clips")
figure.savefig("clip.png", dpi=110)

# %%
# Each group is predicted best at its own frame, and there from its own layer, though the layers beside it come close.
