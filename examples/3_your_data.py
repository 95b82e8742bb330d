"""
How do I bring my own data?
===========================

Images, and one row of responses for each image. Repeated presentations give a noise ceiling.
"""

import torch
from torch.nn import functional as F

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import ArrayDataset
from brainnet.encode import encode
from brainnet.scores import pearson_r
from brainnet.store import TokenStore

torch.manual_seed(0)

# %%
# Images as an array; a folder, a zip, or a list of files would do as well. Here are voxels of two kinds: 25 answer to
# the color in the upper left of the image, and 25 to that in the lower right.
images = F.interpolate(torch.rand(300, 3, 8, 8), (64, 64), mode="bilinear")
color = images[:, 0] - images[:, 1]  # red against green
signal = torch.stack([color[:, 8:28, 8:28].mean((1, 2)), color[:, 36:56, 36:56].mean((1, 2))], 1)
signal = ((signal - signal.mean(0)) / signal.std(0)).repeat_interleave(25, 1)  # (300, 50)

# %%
# Three presentations of every image, with noise. Responses are the mean over repeats; named sets of voxels are ROIs.
repeats = signal[..., None] + 0.7 * torch.randn(300, 50, 3)
rois = {"upper left": torch.arange(50) < 25, "lower right": torch.arange(50) >= 25}
data = ArrayDataset(images, repeats=repeats, rois=rois)
print(data, data.noise_ceiling_definition, sep="\n")

# %%
# A network without training, ridge for every layer, and the control with shuffled responses.
store = TokenStore.build(build_backbone("expansion:small"), data, progress=False)
encoding = encode(store, data, controls=["shuffled"], progress=False)
table = encoding.table
best = table[(table.layer == "best") & (table.score == "r") & (table.roi != "all")]
columns = ["control", "roi", "chosen_layer", "mean", "low", "high", "ceiling", "ceiling_share"]
print(best[columns].round(3).to_string(index=False))

# %%
# The score of each ROI beside its noise ceiling, with 95 % intervals over images.
key = next(key for key in encoding.fits if key.layer == "best" and not key.control)
test = data.splits["test"]
r = pearson_r(encoding.fits[key].predictions["test"], data.responses[test])
rows = best[best.control == ""] if (best.control == "").any() else best[best.control.isna()]
intervals = {row.roi: (row.low, row.high) for row in rows.itertuples()}
plot.scores(r, data.space, noise_ceiling=data.noise_ceiling, intervals=intervals).savefig("your_data.png", dpi=110)

# %%
# Shuffled responses score zero. One voxel alone may be off by 0.13, which is one over the root of 60 test images.
