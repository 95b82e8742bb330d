"""
Which layer, and which place in the image, does a unit of V4 read?
==================================================================

Spikes in macaque V4, in the layout of Cowley et al. (2023).
"""

import os
import zipfile
from io import BytesIO
from pathlib import Path

import numpy as np
import torch

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset import DATASETS, SimulatedSubject
from brainnet.encode import encode
from brainnet.ridge import MixedWindowRidgeCV
from brainnet.store import TokenStore

# %%
# A session as it is published (`brainnet datasets cowley_v4` says where): images_<session>.zip in the order of the
# responses, and raw_<session>.npy (units, images, repeats). Without it, a simulated subject writes one of 40 units.
folder, session = Path(os.environ.get("COWLEY_V4", "cowley_v4")), "210325"
if not (folder / f"avg_{session}.npy").exists():
    subject = SimulatedSubject(seed=0, n_train=250, n_val=10, n_test=60, radius=25, n_voxels=40)
    folder, session = Path("planted_v4"), "000000"
    folder.mkdir(exist_ok=True)
    with zipfile.ZipFile(folder / f"images_{session}.zip", "w") as archive:
        for i in range(len(subject)):
            picture = BytesIO()
            subject.load_image(i).resize((112, 112)).save(picture, "png")
            archive.writestr(f"image{i}.png", picture.getvalue())
    rng, noise = np.random.default_rng(0), 1 / subject.truth.snr.numpy()
    raw = subject.truth.signal.numpy()[..., None] + noise[:, None] * rng.normal(size=(len(subject), 40, 5))
    raw[rng.random(raw.shape) < 0.05] = np.nan  # repeats that are missing
    np.save(folder / f"raw_{session}.npy", raw.transpose(1, 0, 2))
    np.save(folder / f"avg_{session}.npy", np.nanmean(raw, 2).T)

# %%
# The reader: a response column is a unit, the mean over its repeats; the ceiling is that of split halves.
data = DATASETS["cowley_v4"](folder, session)
print(data, data.noise_ceiling_definition, f"mean ceiling {data.noise_ceiling.nanmean():.3f}", sep="\n")

# %%
# Layer by layer, beside the null of shuffled responses.
backbone = build_backbone("expansion:small")
store = TokenStore.build(backbone, data, grid=(8, 8), progress=False)
encoding = encode(store, data, controls=["shuffled"], progress=False)
rows = encoding.table
rows = rows[(rows.score == "r") & (rows.roi == "all")]
print(rows[["layer", "control", "mean", "low", "high", "ceiling", "ceiling_share"]].round(3).to_string(index=False))
plot.layers(encoding.table).savefig("v4_layers.png", dpi=110)

# %%
# Each unit reads a window of the image: where it lies, and how much of what is explained it explains.
train, test = torch.cat([data.splits["train"], data.splits["val"]]), data.splits["test"]
model = MixedWindowRidgeCV().fit(store.tokens(train).local, data.responses[train])
found = model.predict(store.tokens(test).local)
r = torch.tensor([np.corrcoef(a, b)[0, 1] for a, b in zip(found.T, data.responses[test].T, strict=True)])
print(f"windows: mean test r {r.nanmean():.3f}")
figure = plot.window_share(model.window_share_, data.space, position=model.position_, width=model.width_)
figure.savefig("v4_windows.png", dpi=110)

# %%
# A unit of V4 reads a part of the image; a model of the whole image spends its weights on what the unit cannot see.
