"""
How do I map an NSD subject?
============================

fMRI betas in the layout of the Natural Scenes Dataset: from the publisher's folder to a map of layers.
"""

from pathlib import Path

import h5py
import nibabel
import numpy as np
import pytorch_lightning as pl
import torch
from scipy.io import savemat

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.config import load_config
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import NSD, SimulatedSubject
from brainnet.plmodel import PLModel
from brainnet.scores import pearson_r
from brainnet.store import TokenStore

# %%
# A folder as the bucket of NSD holds it. With the real one (`brainnet datasets nsd` says how to get it) leave this
# part out. Here a simulated subject writes one session: 375 images, two trials each, in a slab of 600 voxels whose
# planted layer rises from left to right. The first 50 images are those that all subjects of NSD share.
subject = SimulatedSubject(seed=0, n_train=300, n_val=25, n_test=50, radius=20, n_voxels=600)
n_images, root = len(subject), Path("planted_nsd")
session = "nsddata_betas/ppdata/subj01/func1pt8mm/betas_fithrf_GLMdenoise_RR"
regions = "nsddata/ppdata/subj01/func1pt8mm/roi"
for folder in (session, regions, "nsddata/experiments/nsd", "nsddata_stimuli/stimuli/nsd"):
    (root / folder).mkdir(parents=True, exist_ok=True)
rng = np.random.default_rng(0)
images = np.concatenate([subject.splits[name].numpy() for name in ("test", "val", "train")])  # the shared ones first
places = np.r_[np.arange(50), np.arange(1000, 1000 + n_images - 50)]  # of each image, in this subject's 10,000
trials = rng.permutation(np.resize(np.arange(n_images), 750))
order = np.resize(places[trials], 30_000)
savemat(root / "nsddata/experiments/nsd/nsd_expdesign.mat",
        {"masterordering": order[None] + 1.0, "subjectim": np.tile(np.arange(1.0, 10_001), (8, 1))})  # fmt: skip
with h5py.File(root / "nsddata_stimuli/stimuli/nsd/nsd_stimuli.hdf5", "w") as file:
    brick = file.create_dataset("imgBrick", (73_000, 425, 425, 3), np.uint8, chunks=(1, 425, 425, 3))
    for place, image in zip(places, images, strict=True):
        brick[place] = np.asarray(subject.load_image(int(image)).resize((425, 425)))
shares = subject.truth.selectors.layer.numpy()  # (600, layers), each voxel's mix of layers
layer = shares @ np.arange(shares.shape[1])
column = layer.argsort()  # voxels by their planted layer
signal, snr = subject.truth.signal.numpy()[:, column], subject.truth.snr.numpy()[column]
betas = signal[images[trials]] + rng.normal(size=(750, len(column))) / snr  # percent signal change
with h5py.File(root / session / "betas_session01.hdf5", "w") as file:
    volume = np.round(300 * betas).astype(np.int16).reshape(750, 30, 5, 4)
    file["betas"] = volume.transpose(0, 3, 2, 1)  # MATLAB's axes
for name, labels in {"nsdgeneral": np.ones(600), "prf-visualrois": 1 + np.arange(600) // 86}.items():
    image = nibabel.Nifti1Image(labels.reshape(30, 5, 4).astype(np.float32), np.diag([1.8, 1.8, 1.8, 1]))
    nibabel.save(image, root / regions / f"{name}.nii.gz")

# %%
# The reader: trials z-scored within their session and averaged, the published split, a ceiling from the repeats.
data = NSD(root, subject=1, space="func1pt8mm", progress=False)
print(data, data.space, data.noise_ceiling_definition, sep="\n")

# %%
# Selectors are trained on the tokens of all layers: a mix of layers, a place and a scale for each voxel.
backbone = build_backbone("expansion:small")
store = TokenStore.build(backbone, data, progress=False)
model = PLModel(load_config("demo"), backbone, data=BrainDataModule(data, store, batch_size=96))
quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
pl.Trainer(max_epochs=25, enable_checkpointing=False, **quiet).fit(model)

# %%
# The map: layers rise from left to right, as they were planted.
test = data.splits["test"]
r = pearson_r(model.eval().predict_index(test), data.responses[test])
selectors = model.get_selectors()
plot.selectors(selectors, data.space, scores=r, noise_ceiling=data.noise_ceiling, layer_names=store.layers).savefig(
    "nsd_layers.png", dpi=110
)
found = (selectors.layer @ torch.arange(float(len(store.layers)))).numpy()
print(f"mean test r {r.nanmean():.3f}, noise ceiling {data.noise_ceiling.nanmean():.3f}")
print(f"planted and found layers agree with r = {np.corrcoef(layer[column], found)[0, 1]:.2f}")

# %%
# The folder of the publisher is all that the reader needs: the same lines map a real subject.
