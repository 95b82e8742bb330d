"""
What do early and late layers explain alone, and what do they share?
====================================================================

Variance partitioning: the R2 of all subsets of feature spaces gives the unique and the shared parts.
"""

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSubject
from brainnet.ridge import BandedRidgeCV, variance_partition
from brainnet.store import TokenStore

subject = SimulatedSubject(seed=0, n_train=300, radius=15, progress=False)
store = TokenStore.build(build_backbone("expansion:small"), subject, progress=False)

# %%
# Two feature spaces of the training images. Banded ridge gives each of them its own penalty in each voxel.
train = subject.splits["train"]
spaces = {name: store.features(layer, "mean", train) for name, layer in (("early", "1"), ("late", "5"))}
parts = variance_partition(spaces, subject.responses[train], BandedRidgeCV(n_iter=10))
named = {}
for names, r2 in parts.items():
    name = f"shared by {' and '.join(names)}" if len(names) > 1 else f"{names[0]} alone"
    named[name] = r2
    print(f"{name:22s} mean R2 {float(r2.mean()):.3f}")

# %%
# All parts sum to the R2 of the joint model. A part can be negative: on held-out images a useless space costs a little.
plot.variance_split(named, subject.space, title="R2 by part").savefig("variance_parts.png", dpi=110)

# %%
# Where on the cortex the late layer adds something that the early layer does not have.
plot.flatmap(named["late alone"].float(), subject.space, title="R2 of the late layer alone").savefig(
    "late_alone.png", dpi=110
)

# %%
# Neighboring layers share most of what they explain: a layer that wins by a little has not shown that it is needed.
