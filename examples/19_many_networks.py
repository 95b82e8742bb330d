"""
Which of many networks is most like a brain, and which are tied?
================================================================

A sweep computes every network with every subject and every method in one folder. Its comparison ranks the networks.
"""

from pathlib import Path

import numpy as np
import pandas as pd
from PIL import Image

from brainnet import plot
from brainnet.backbone import build_backbone
from brainnet.dataset.simulation.scenes import scene
from brainnet.run.sweep import compare_sweep, run_sweep
from brainnet.store import TokenStore
from brainnet.tokens import Preprocessing

# %%
# Two planted subjects saw the same pictures. All their voxels read the last layer of one network of random weights,
# that of seed 2. Half of the voxels have little noise, and half of them much. Each subject has noise of its own.
n_images, rng = 120, np.random.default_rng(0)
pictures = [Image.fromarray(scene(rng, 64, "train")) for _ in range(n_images)]
widths = (8, 16, 32, 32)
source = build_backbone("expansion:small", seed=2, widths=widths, preprocessing=Preprocessing((64, 64)))
features = TokenStore.build(source, pictures, progress=False).features("5", "mean").numpy()
features = features[:, features.std(0) > 0]  # without channels that are silent for all pictures
features = (features - features.mean(0)) / features.std(0)
noise = np.repeat([1.0, 5.0], 15)  # SD, where that of the signal is 1
for name in ("one", "two"):
    signal = features @ rng.normal(size=(features.shape[1], len(noise)))
    folder = Path("planted_sweep") / name
    (folder / "images").mkdir(parents=True, exist_ok=True)
    for number, picture in enumerate(pictures):
        picture.save(folder / "images" / f"{number:03d}.png")
    np.save(folder / "responses.npy", signal / signal.std(0) + noise * rng.normal(size=signal.shape))
    pd.DataFrame({"roi": ["quiet"] * 15 + ["noisy"] * 15}).to_csv(folder / "rois.csv", index=False)

# %%
# Six networks that differ in their random weights alone, both subjects, and two methods: 24 cells. A file sweep.yaml
# with these words does the same from the command line. If it is interrupted, the same call goes on where it stopped.
options = [{"seed": seed, "widths": list(widths)} for seed in range(6)]
sweep = {
    "backbones": [{"name": "expansion:small", "label": f"seed {one['seed']}", "options": one} for one in options],
    "subjects": {name: {"DATASET.DATA_DIR": f"planted_sweep/{name}"} for name in ("one", "two")},
    "methods": [{"method": "ridge", "pool": "mean"}, {"method": "rsa", "pool": "mean"}],
    "image_size": [64, 64],
    "config": "folder",
    "settings": {"DATASET.OPTIONS.test": 0.4},
}
table = run_sweep(sweep, "demo_sweep", progress=False)
best = table[(table.layer == "best") & (table.split == "test")]
print(best.pivot_table(index="model", columns=["method", "roi"], values="mean").round(2).to_string())

# %%
# The comparison fills the folder demo_sweep/comparison with tables, figures and one page. Two subjects say nothing of
# other subjects, so the intervals here speak of other pictures. A network may have each place from rank_low to
# rank_high: networks whose places overlap are tied.
compared = compare_sweep("demo_sweep", generalise="stimuli", progress=False)
ranking = compared["ranking"]
ranking = ranking[(ranking.method == "ridge") & (ranking.roi != "all")]
print(ranking[["roi", "model", "mean", "low", "high", "rank_low", "rank_high"]].round(2).to_string(index=False))

# %%
# Networks that may be the best one are drawn in color.
plot.model_ranking(ranking, title="Six networks, two subjects, ridge", score_name="test r").savefig(
    "sweep_ranking.png", dpi=110
)

# %%
# The planted network is first where responses are quiet; where they are noisy, it cannot be told from the others.
