"""
How much does a network predict without any training?
=====================================================

Untrained networks are the strictest control: what they predict comes from their architecture alone.
"""

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import SimulatedSubject
from brainnet.encode import encode
from brainnet.scores import pearson_r
from brainnet.store import TokenStore

subject = SimulatedSubject(seed=0, n_train=120, n_test=40, radius=10, progress=False)

# %%
# Four architectures with random weights: convolutions with many channels, a small model of the ventral stream, a
# network that is small by design, and a transformer. None of them has ever been trained.
networks = {
    "expansion": build_backbone("expansion:small", seed=3),  # other weights than those that made the subject
    "CORnet-Z": build_backbone("cornet:z", weights="random"),
    "SqueezeNet": build_backbone("torchvision:squeezenet1_0", weights="random"),
    "transformer": build_backbone("timm:vit_tiny_patch16_224", weights="random"),
}
stores = {name: TokenStore.build(network, subject, progress=False) for name, network in networks.items()}

# %%
# Each is read by ridge; the best layer is chosen on training images.
encoding = encode(stores, subject, pool="mean", controls=["shuffled"], progress=False)
table = encoding.table
rows = table[(table.layer == "best") & (table.score == "r") & (table.roi == "all")]
columns = ["model", "control", "chosen_layer", "mean", "low", "high", "ceiling_share"]
print(rows[columns].round(3).to_string(index=False))

# %%
# All of them beside the noise ceiling, in every region, with 95 % intervals over images.
test = subject.splits["test"]
r, intervals = {}, {}
for name in stores:
    key = next(key for key in encoding.fits if key.model == name and key.layer == "best" and not key.control)
    r[name] = pearson_r(encoding.fits[key].predictions["test"], subject.responses[test])
    of_it = table[
        (table.model == name) & (table.layer == "best") & (table.score == "r") & (table.control == key.control)
    ]
    intervals[name] = {row.roi: (row.low, row.high) for row in of_it.itertuples()}
figure = plot.scores(r, subject.space, noise_ceiling=subject.noise_ceiling, intervals=intervals)
figure.savefig("untrained.png", dpi=110)

# %%
# A trained network has learned something about the brain only where it beats these.
