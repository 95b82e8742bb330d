"""Your own network and your own responses: two ways to bring a network, one way to bring arrays."""

import torch
from torch import nn
from torch.nn import functional as F

from brainnet.backbone import HookedBackbone
from brainnet.dataset import ArrayDataset
from brainnet.encode import encode
from brainnet.store import TokenStore

torch.manual_seed(0)


# A backbone is any object with get_tokens(images) -> (local, global): layer -> (B, C, h, w), and layer -> (B, C).
class Pyramid:
    """Blurred copies of the image."""

    def get_tokens(self, images):  # (B, 3, H, W), normalised
        local = {f"blur {2**k}": F.avg_pool2d(images, 2**k) for k in (1, 2, 3)}
        return local, {name: maps.mean((2, 3)) for name, maps in local.items()}


# Any PyTorch network gives tokens of its modules, by their names in network.named_modules().
network = nn.Sequential(nn.Conv2d(3, 16, 5, stride=2, padding=2), nn.ReLU(), nn.Conv2d(16, 32, 3, padding=1), nn.ReLU())
hooked = HookedBackbone(network, {"first": "1", "second": "3"}, name="two layers")

# Images (or a folder, a zip, a list of files) and one row of responses per image. Repeats give noise ceilings.
images = F.interpolate(torch.rand(300, 3, 8, 8), (64, 64), mode="bilinear")
redness = images[:, 0, 16:32, 16:32].mean((1, 2)) - images[:, 1, 16:32, 16:32].mean((1, 2))
brightness = images.mean((1, 2, 3))
signal = torch.stack([redness, brightness], 1)
signal = ((signal - signal.mean(0)) / signal.std(0)).repeat_interleave(25, 1)  # 25 voxels of each kind
repeats = signal[..., None] + 0.7 * torch.randn(300, 50, 3)  # three presentations of every image
rois = {"colour": torch.arange(50) < 25, "brightness": torch.arange(50) >= 25}
data = ArrayDataset(images, repeats=repeats, rois=rois)  # responses are the mean over repeats
print(data, data.noise_ceiling_definition, sep="\n")

stores = {
    "pyramid": TokenStore.build(Pyramid(), data, progress=False),
    "two layers": TokenStore.build(hooked, data, progress=False),
}
table = encode(stores, data, controls=["shuffled"], progress=False).table
best = table[(table.layer == "best") & (table.score == "r") & (table.roi != "all")]
columns = ["model", "control", "roi", "chosen_layer", "mean", "low", "high", "ceiling", "ceiling_share"]
print(best[columns].round(3).to_string(index=False))
# Shuffled responses score zero. One voxel alone may be off by 0.13, one over the root of 60 test images; the mean over
# 25 voxels, each shuffled in its own way, is off by 0.03.
