"""The control every map is read against: each voxel predicted linearly, with noise ceilings and shuffled responses."""

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSubject
from brainnet.encode import encode
from brainnet.ridge import variance_partition
from brainnet.store import TokenStore

subject = SimulatedSubject(seed=0, n_train=300, radius=15)
store = TokenStore.build(build_backbone("expansion:small"), subject)

# Every layer alone, all layers with a penalty of their own, and responses permuted per voxel as the null.
encoding = encode(store, subject, methods=["ridge", "banded"], pool="mean", controls=["shuffled"])
rows = encoding.table
rows = rows[(rows.roi == "all") & (rows.score == "r")]
print(rows[["method", "layer", "control", "mean", "low", "high", "ceiling_share"]].round(3).to_string(index=False))

plot.layers(encoding.table).savefig("layers.png", dpi=110)
plot.best_layer(encoding.layer_scores("model", "subject"), subject.space).savefig("best_layer.png", dpi=110)

# What early and late layers explain alone, and what they share.
train = subject.splits["train"]
spaces = {name: store.features(layer, "mean", train) for name, layer in (("early", "1"), ("late", "5"))}
parts = variance_partition(spaces, subject.responses[train])
for names, r2 in parts.items():
    print(f"{'shared' if len(names) > 1 else 'unique'} R2 of {' and '.join(names):15s} {float(r2.mean()):.3f}")
