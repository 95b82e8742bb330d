"""
How well can a linear model do?
===============================

The control against which every map is read: each voxel predicted linearly, with noise ceilings and controls.
"""

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSubject
from brainnet.encode import encode
from brainnet.store import TokenStore

# %%
# A simulated subject, and the same network twice: with its own weights, and with other random weights.
subject = SimulatedSubject(seed=0, n_train=200, radius=12, progress=False)
store = TokenStore.build(build_backbone("expansion:small"), subject, progress=False)
twin = TokenStore.build(build_backbone("expansion:small", seed=7), subject, progress=False)

# %%
# Every layer alone, all layers with a penalty of their own, responses permuted per voxel, and the twin network.
encoding = encode(
    {"network": store}, subject, methods=["ridge", "banded"], pool="mean",
    controls=["shuffled", "random"], twins={"network": twin}, progress=False,
)  # fmt: skip
rows = encoding.table
rows = rows[(rows.roi == "all") & (rows.score == "r")]
print(rows[["method", "layer", "control", "mean", "low", "high", "ceiling_share"]].round(3).to_string(index=False))

# %%
# Which layer predicts each voxel best.
plot.best_layer(encoding.layer_scores("network", "subject"), subject.space).savefig("best_layer.png", dpi=110)

# %%
# The scores by layer. The subject was made from this very network, so its twin is worse, and still not at zero.
plot.layers(encoding.table).savefig("layers.png", dpi=110)

# %%
# A network is worth mentioning where it beats the dashed lines, and not merely where it beats zero.
