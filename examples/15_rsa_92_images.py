"""
Which layer has the geometry that people share?
===============================================

RSA with published RDMs: 15 people who saw 92 objects.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import DATASETS
from brainnet.rsa import RDMs, rdm
from brainnet.store import TokenStore

# %%
# The set as the Algonauts challenge of 2019 publishes it (`brainnet datasets images92` says where): images_92 and
# rdms_92. Without it, 15 people are planted whose regions mix the places and channels of an early and of a late layer.
backbone = build_backbone("expansion:small")


def standardised(values: torch.Tensor) -> torch.Tensor:
    """Every feature with mean 0 and SD 1 over images."""
    return (values - values.mean(0)) / values.std(0).clamp(min=1e-6)


root = Path(os.environ.get("IMAGES92", "algonauts2019"))
if not (root / "rdms_92").is_dir():
    root, rng = Path("planted_92"), np.random.default_rng(0)
    for folder in ("images_92", "rdms_92"):
        (root / folder).mkdir(parents=True, exist_ok=True)
    for i in range(92):
        coarse = Image.fromarray(rng.integers(0, 256, (6, 6, 3), dtype=np.uint8))
        coarse.resize((175, 175), Image.Resampling.BICUBIC).save(root / f"images_92/image_{i + 1:02d}.jpg")
    from brainnet.stimuli import Images

    seen = TokenStore.build(backbone, Images(root / "images_92"), progress=False)
    for region, layer in (("EVC", "1"), ("IT", "5")):
        z = standardised(seen.features(layer, "flatten"))
        people = []
        for person in range(15):
            generator = torch.Generator().manual_seed(person)
            voxels = z @ torch.randn(z.shape[1], 80, generator=generator) / z.shape[1] ** 0.5
            patterns = voxels + torch.randn(voxels.shape, generator=generator)
            people.append(rdm(patterns, "correlation").to_square()[0].numpy())
        np.savez(root / f"rdms_92/fmri_{region}_RDMs.npz", Net_RDM=np.stack(people))

# %%
# The reader: pictures, and for each region an RDM per person, named by picture.
data = DATASETS["images92"](root)
print(data)
for region in data.rdms:
    bounds = data.noise_ceiling(region, "spearman")
    print(f"{region}: noise ceiling, Spearman {bounds.lower:.3f} to {bounds.upper:.3f}")

# %%
# One RDM per layer, compared with every person's, with intervals over people and images and corrected p-values.
store = TokenStore.build(backbone, data.images, progress=False)
network = RDMs.stack([
    rdm(standardised(store.features(layer, "flatten")), "correlation", names=[layer], conditions=data.image_ids)
    for layer in store.layers
])  # fmt: skip
evaluation = data.compare({"expansion": network}, n_permutations=1000)
columns = ["roi", "layer", "score", "low", "high", "p_corrected", "ceiling_lower", "ceiling_upper"]
print(evaluation.table[[name for name in columns if name in evaluation.table]].round(3).to_string(index=False))
plot.rsa_layers(evaluation).savefig("rsa_92.png", dpi=110)

# %%
# An early layer resembles early visual cortex where it was planted; real objects on white tell early layers little.
