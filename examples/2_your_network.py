"""
How do I bring my own network?
==============================

There are two ways: write one method, ``get_tokens``, or name the modules of any PyTorch network.
"""

import torch
from torch import nn
from torch.nn import functional as F

from brainnet import plot
from brainnet.backbone import HookedBackbone
from brainnet.dataset import SimulatedSubject
from brainnet.encode import encode
from brainnet.store import TokenStore

torch.manual_seed(0)


# %%
# A backbone is any object with ``get_tokens(images) -> (local, global)``. Both are dictionaries by layer: local tokens
# are (B, C, h, w) and global tokens are (B, C). Layers may differ in width and in size.
class Pyramid:
    """Blurred copies of the image."""

    def get_tokens(self, images):  # (B, 3, H, W), normalized
        local = {f"blur {2**k}": F.avg_pool2d(images, 2**k) for k in (2, 3, 4)}
        return local, {name: maps.mean((2, 3)) for name, maps in local.items()}


# %%
# Any PyTorch network gives tokens of its modules, by their names in ``network.named_modules()``.
network = nn.Sequential(nn.Conv2d(3, 16, 5, stride=4, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
hooked = HookedBackbone(network, {"first": "1", "second": "3"}, name="two layers")

# %%
# Both see the images of one subject, and both are read by ridge. The tokens are averaged to a grid of 8 x 8 places.
subject = SimulatedSubject(seed=0, n_train=300, radius=15, progress=False)
stores = {
    "pyramid": TokenStore.build(Pyramid(), subject, grid=(8, 8), progress=False),
    "two layers": TokenStore.build(hooked, subject, grid=(8, 8), progress=False),
}
encoding = encode(stores, subject, controls=["shuffled"], progress=False)
table = encoding.table
best = table[(table.layer == "best") & (table.score == "r") & (table.roi == "all")]
columns = ["model", "control", "chosen_layer", "mean", "low", "high", "ceiling", "ceiling_share"]
print(best[columns].round(3).to_string(index=False))

# %%
# One picture for each network: the score of its layers beside the shuffled control.
for name in stores:
    rows = table[(table.model == name) | (table.method == "noise ceiling")]
    plot.layers(rows, title=name).savefig(f"{name.replace(' ', '_')}.png", dpi=110)

# %%
# Even a network that nobody trained predicts some voxels: that is why every result stands beside such controls.
