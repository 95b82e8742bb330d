"""
Is the geometry alike?
======================

Representational similarity: RDMs of a network and of several brains, with intervals, tests and noise ceilings.
"""

import torch

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSubject
from brainnet.rsa import RDMs, compare, evaluate, noise_ceiling, rdm
from brainnet.store import TokenStore

subject = SimulatedSubject(n_train=60, n_test=40, n_voxels=60, progress=False)
store = TokenStore.build(build_backbone("expansion:small"), subject, progress=False)


def standardised(values: torch.Tensor) -> torch.Tensor:
    """Every feature with mean 0 and SD 1 over images: without it all layers tell bright from dark images above all."""
    return (values - values.mean(0)) / values.std(0).clamp(min=1e-6)


features = {layer: standardised(store.features(layer, "flatten", slice(60))) for layer in store.layers}  # of 60 images

# %%
# One RDM per layer of the network. Euclidean distances survive the random mixing below, correlations do not.
network = RDMs.stack([rdm(values, "euclidean", names=[layer]) for layer, values in features.items()])
plot.rdms(network).savefig("rdms.png", dpi=110)

# %%
# One RDM per subject and ROI: eight subjects whose 100 voxels mix the channels and places of a layer, each in its way.
generator = torch.Generator().manual_seed(0)
brains = {}
for name, layer in (("V1", "1"), ("V4", "3"), ("IT", "5")):
    z = features[layer]
    subjects = []
    for number in range(8):
        voxels = z @ torch.randn(z.shape[1], 100, generator=generator) / z.shape[1] ** 0.5
        noise = torch.randn(voxels.shape, generator=generator)
        subjects.append(rdm(voxels + noise, "euclidean", names=[f"subject {number}"]))
    brains[name] = RDMs.stack(subjects)
    lower, upper = noise_ceiling(brains[name], "spearman")
    alike = compare(network, brains[name], "spearman").mean(1)
    print(f"{name}: layers", *(f"{value:.3f}" for value in alike), f"noise ceiling {lower:.3f} to {upper:.3f}")

# %%
# Which layer fits which ROI, with intervals over subjects and images, corrected for every test made.
evaluation = evaluate({"expansion": network}, brains, "spearman")
print(evaluation.table[["roi", "layer", "score", "low", "high", "p_corrected"]].round(3).to_string(index=False))
plot.rsa_layers(evaluation).savefig("rsa_layers.png", dpi=110)

# %%
# In each ROI the planted layer comes out on top, and reaches the noise ceiling.
