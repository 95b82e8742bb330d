"""
Does a voxel read a window of the image, or the whole image?
============================================================

Three linear models of the same voxels: the whole image, a Gaussian window, and both in shares chosen per voxel.
"""

import torch

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSubject
from brainnet.ridge import MixedWindowRidgeCV, RidgeCV, WindowRidgeCV
from brainnet.scores import pearson_r
from brainnet.store import TokenStore

# %%
# Some voxels of this subject read a place in the image, and others read more or less the whole image.
subject = SimulatedSubject(seed=0, n_train=300, radius=12, progress=False)
store = TokenStore.build(build_backbone("expansion:small"), subject, progress=False)
train, test = torch.cat([subject.splits["train"], subject.splits["val"]]), subject.splits["test"]
planted = 1 - subject.truth.selectors.scale[:, 0]  # 1 reads a place, 0 the whole image

# %%
# Ridge on all tokens of layer 3, a window over all layers, and the mixture of the window and the whole image.
whole = RidgeCV().fit(store.features("3", "flatten", train).numpy(), subject.responses[train].numpy())
window = WindowRidgeCV().fit(store.tokens(train).local, subject.responses[train])
mixed = MixedWindowRidgeCV().fit(store.tokens(train).local, subject.responses[train])
predictions = {
    "whole image": whole.predict(store.features("3", "flatten", test).numpy()),
    "window": window.predict(store.tokens(test).local),
    "mixed": mixed.predict(store.tokens(test).local),
}
r = {name: pearson_r(torch.as_tensor(values), subject.responses[test]) for name, values in predictions.items()}
for name, values in r.items():
    print(f"{name:12s} mean test r {values.nanmean():.3f}, noise ceiling {subject.noise_ceiling.mean():.3f}")

# %%
# The two plain models voxel by voxel. Points above the diagonal are voxels that a window predicts better.
figure = plot.joint_histogram(
    r["whole image"].float(), r["window"].float(), names=("whole image", "window"), score_name="test r"
)
figure.savefig("window_or_whole.png", dpi=110)

# %%
# The share that the window has in what the mixture explains, on the cortex.
share = torch.as_tensor(mixed.window_share_).float()
agreement = torch.corrcoef(torch.stack([planted, share.nan_to_num(0.5)]))[0, 1]
print(f"planted and found shares agree with r = {agreement:.2f}")
plot.window_share(share, subject.space, position=mixed.position_, width=mixed.width_).savefig("share.png", dpi=110)

# %%
# Where the share is near 1 a window is enough; where it is near 0, position means nothing and should not be read.
