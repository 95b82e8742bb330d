"""
Which of several networks predicts each voxel best?
===================================================

A map of winners is honest only where a winner can be named: the noise ceiling is high enough, and the score is above
chance after correction for all voxels and for the choice among networks.
"""

import torch

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSubject
from brainnet.encode import encode
from brainnet.scores import above_chance, best_model, pearson_r
from brainnet.store import TokenStore

# %%
# Three networks without training; the simulated subject was made from the first one.
subject = SimulatedSubject(seed=0, n_train=200, n_test=80, radius=14, progress=False)
networks = {
    "expansion": build_backbone("expansion:small"),
    "other seed": build_backbone("expansion:small", seed=3),
    "CORnet-Z": build_backbone("cornet:z", weights="random"),
}
stores = {name: TokenStore.build(network, subject, progress=False) for name, network in networks.items()}
encoding = encode(stores, subject, pool="mean", progress=False)

# %%
# The score of each network's best layer, and whether it is above chance.
test, scores, p = subject.splits["test"], [], []
generator = torch.Generator().manual_seed(0)
for name in stores:
    fit = encoding.fits[next(key for key in encoding.fits if key.model == name and key.layer == "best")]
    predicted = fit.predictions["test"]
    scores.append(pearson_r(predicted, subject.responses[test]))
    p.append(above_chance(predicted, subject.responses[test], n_permutations=200, generator=generator).p_fdr)
    print(f"{name:12s} mean test r {scores[-1].nanmean():.3f}")
scores, p = torch.stack(scores), torch.stack(p)

# %%
# Voxels that have a winner, and why others have none.
winners = best_model(scores, ceiling=subject.noise_ceiling, p=p)
for k, name in enumerate(stores):
    print(f"{name:12s} wins in {(winners.best == k).float().mean():.0%} of the voxels")
print(f"no winner     in {(winners.best < 0).float().mean():.0%} of the voxels")

# %%
# The winner of each voxel, and how far it is ahead of the next.
figure = plot.best_model_map(scores, list(stores), subject.space, ceiling=subject.noise_ceiling, p=p)
figure.savefig("best_model.png", dpi=110)

# %%
# Look at the lead before you read the colors: a network can win everywhere and be ahead nowhere.
