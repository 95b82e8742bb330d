"""
Where on the cortex is a layer's geometry?
==========================================

A searchlight: around every vertex, the RDM of a small disc of cortex is compared with those of all layers.
"""

import torch

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSubject
from brainnet.rsa import RDMs, discs, rdm, searchlight
from brainnet.store import TokenStore

subject = SimulatedSubject(seed=0, n_train=60, n_test=40, progress=False)
store = TokenStore.build(build_backbone("expansion:small"), subject, progress=False)
generator = torch.Generator().manual_seed(0)


def standardised(values: torch.Tensor) -> torch.Tensor:
    """Every feature with mean 0 and SD 1 over images."""
    return (values - values.mean(0)) / values.std(0).clamp(min=1e-6)


# %%
# One model RDM per layer.
features = {layer: standardised(store.features(layer, "flatten", slice(60))) for layer in store.layers}
models = RDMs.stack([rdm(values, "euclidean", names=[f"layer {layer}"]) for layer, values in features.items()])

# %%
# Patterns of 60 images: every vertex mixes the channels and places of its planted layers in a way of its own.
patterns = torch.randn(60, subject.n_voxels, generator=generator)  # noise
for layer, share in zip(store.layers, subject.truth.selectors.layer.T, strict=True):
    z = features[layer]
    patterns += 2 * share * (z @ torch.randn(z.shape[1], subject.n_voxels, generator=generator)) / z.shape[1] ** 0.5

# %%
# Discs of 60 vertices along the cortex, every one against all models, with 200 permutations of the images' labels.
maps = searchlight(
    patterns, models, discs(subject.space, k=60), metric="euclidean", n_permutations=200, generator=generator,
    progress=False,
)  # fmt: skip
best = maps.significant_best()
for k, name in enumerate(models.names):
    print(f"{name}: best and significant at {float((best == k).float().mean()):.0%} of {len(best):,} vertices")
plot.searchlight(maps).savefig("searchlight.png", dpi=110)

# %%
# Early layers win at the back and late layers in front, as they were planted; a disc of cortex sees one mix of layers.
