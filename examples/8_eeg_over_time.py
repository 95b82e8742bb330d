"""
When does the brain look like an early layer, and when like a late one?
=======================================================================

EEG to photographs: encoding and geometry over time, in the layout of THINGS-EEG2.
"""

import os
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import DATASETS
from brainnet.encode import encode
from brainnet.rsa import RDMs, evaluate, rdm
from brainnet.scores import pearson_r
from brainnet.stimuli import Images
from brainnet.store import TokenStore

backbone = build_backbone("expansion:small")
root, people = Path(os.environ.get("THINGS_EEG2", "things_eeg2")), range(1, 5)


def standardised(values: torch.Tensor) -> torch.Tensor:
    """Every feature with mean 0 and SD 1 over images."""
    return (values - values.mean(0)) / values.std(0).clamp(min=1e-6)


# %%
# THINGS-EEG2 as it is published (`brainnet datasets things_eeg` says where). Without it, four people are planted:
# at 17 sensors layer 1 drives the responses about 100 ms after the photograph appeared, and layer 5 about 300 ms after.
if not (root / "sub-01").is_dir():
    root, rng, described, paths = Path("planted_eeg"), np.random.default_rng(0), {}, []
    n_of, n_repeats = {"training": 200, "test": 60}, {"training": 4, "test": 20}
    for part, n in n_of.items():
        files = [f"{part}{c:03d}_01b.jpg" for c in range(n)]  # one photograph of each object
        objects = [f"{c + 1:05d}_{part}{c:03d}" for c in range(n)]
        start = {"training": "train", "test": "test"}[part]
        described |= {f"{start}_img_files": files, f"{start}_img_concepts": objects}
        described[f"{start}_img_concepts_THINGS"] = objects
        paths += [root / f"image_set/{part}_images" / one / file for one, file in zip(objects, files, strict=True)]
    for path in paths:
        path.parent.mkdir(parents=True, exist_ok=True)
        coarse = Image.fromarray(rng.integers(0, 256, (8, 8, 3), dtype=np.uint8))
        coarse.resize((128, 128), Image.Resampling.BICUBIC).save(path, quality=95)
    np.save(root / "image_set/image_metadata.npy", described)
    seen = TokenStore.build(backbone, Images(paths), progress=False)
    features = {layer: standardised(seen.features(layer, "mean")).numpy() for layer in ("1", "5")}
    times = np.round(np.arange(-0.1, 0.5, 0.02), 2)
    course = {"1": np.exp(-(((times - 0.1) / 0.05) ** 2)), "5": np.exp(-(((times - 0.3) / 0.08) ** 2))}
    sensors = [f"{row}{number}" for row in ("P", "PO", "O") for number in (*range(1, 5), "z", 7)][:17]
    for person in people:
        clean = np.zeros((len(paths), 17, len(times)))
        for layer, z in features.items():
            clean += (z @ rng.normal(size=(z.shape[1], 17)) / z.shape[1] ** 0.5)[..., None] * course[layer]
        folder = root / f"sub-{person:02d}"
        folder.mkdir(exist_ok=True)
        for part, shown in zip(n_of, np.split(clean, [n_of["training"]]), strict=True):
            trials = shown[:, None] + 2 * rng.normal(size=(len(shown), n_repeats[part], 17, len(times)))
            content = {"preprocessed_eeg_data": trials, "ch_names": sensors, "times": times}
            np.save(folder / f"preprocessed_eeg_{part}.npy", content)

# %%
# The reader: the mean over presentations; a response column is a sensor at a time.
data = {f"sub-{person:02d}": DATASETS["things_eeg"](root, person) for person in people}
first = data["sub-01"]
print(first, first.space, first.noise_ceiling_definition, sep="\n")

# %%
# Encoding: each column predicted from a layer, and the course of the scores over time.
store = TokenStore.build(backbone, first, progress=False)
encoding = encode(store, first, pool="mean", progress=False)
best = encoding.fits[next(key for key in encoding.fits if key.layer == "best")]
r = pearson_r(best.predictions["test"], first.responses[first.splits["test"]])
plot.time_course(r, first.space, noise_ceiling=first.noise_ceiling).savefig("eeg_encoding.png", dpi=110)

# %%
# Geometry over time: an RDM of the test photographs at each time, of each person, beside those of two layers.
test = first.splits["test"]
layers = RDMs.stack([
    rdm(standardised(store.features(layer, "mean", test)), "correlation", names=[f"layer {layer}"],
        conditions=[first.image_ids[i] for i in test])
    for layer in ("1", "5")
])  # fmt: skip
by_person = [one.rdms_over_time() for one in data.values()]
times = first.space.time_points.tolist()
over_time = [RDMs.stack([course[k] for course in by_person], names=list(data)) for k in range(len(times))]
evaluation = evaluate(layers, {"EEG": over_time}, times=times, n_permutations=500)
plot.rsa_time(evaluation).savefig("eeg_geometry.png", dpi=110)
for name, rows in evaluation.table.groupby("model"):
    peak = rows.loc[rows.score.idxmax()]
    print(f"{name}: most alike {1000 * float(peak.time):.0f} ms after the photograph, Spearman {peak.score:.3f}")

# %%
# The early layer has its peak first and the late layer later, as they were planted.
