"""
Which layer, place and scale does each voxel read?
==================================================

A map from start to end: a simulated subject, a network that never learned, and what was planted found again.
"""

import pytorch_lightning as pl

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.config import load_config
from brainnet.datamodule import BrainDataModule
from brainnet.dataset import SimulatedSubject
from brainnet.plmodel import PLModel
from brainnet.scores import pearson_r
from brainnet.store import TokenStore

# %%
# Images and responses: half the patch of cortex, and half the images, that ``brainnet demo`` takes.
subject = SimulatedSubject(seed=0, n_train=528, radius=20)
print(subject)

# %%
# Images to tokens, once. The network's layers become (channels, 8, 8) maps and one global token each.
backbone = build_backbone("expansion:small")
store = TokenStore.build(backbone, subject, progress=False)
print(store)

# %%
# Tokens to selectors: for every voxel a layer mix, a place, a scale and channel weights, trained together.
model = PLModel(load_config("demo"), backbone, data=BrainDataModule(subject, store, batch_size=96))
quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
pl.Trainer(max_epochs=25, enable_checkpointing=False, **quiet).fit(model)

# %%
# What was planted, found again: each number stands beside what a constant guess would get.
selectors = model.get_selectors()
found = subject.recovery(selectors)
for name in ("layer_centre_mae", "scale_r", "position_rms"):
    print(f"{name:17s} {found[name]['raw']:.3f}   constant guess {found[name]['constant_guess']:.3f}")

# %%
# Selectors to cortex, beside the score on images that the model never saw, and the noise ceiling.
test = subject.splits["test"]
r = pearson_r(model.eval().predict_index(test), subject.responses[test])
print(f"mean test r {r.nanmean():.3f}, noise ceiling {subject.noise_ceiling.mean():.3f}")
figure = plot.selectors(
    selectors, subject.space, scores=r, noise_ceiling=subject.noise_ceiling, layer_names=store.layers
)
figure.savefig("planted_maps.png", dpi=110)

# %%
# Early layers stand where they were planted, at the back of the cortex, and late layers in front.
