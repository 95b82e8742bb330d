"""What the tests of encodings share: a toy network of two layers, a subject in a folder, a short call."""

from __future__ import annotations

from typing import ClassVar

import numpy as np
import pandas as pd
import torch
from PIL import Image
from torch.nn import functional as F

from brainnet.config import load_config
from brainnet.run.encoding.encoding import encode_subjects
from brainnet.tokens import Preprocessing
from tests.toys import ToyBackbone

N, VOXELS = 80, 6


class Blur(ToyBackbone):
    """Toy layers at two sizes of blur; with random weights they read noise through a random mixture of channels."""

    preprocessing = Preprocessing(size=(16, 16))
    built: ClassVar[list] = []

    def __init__(self, variant=None, *, layers=None, weights="trained", seed=0, preprocessing=None):
        super().__init__(layers or ("a", "b"))
        self.weights = f"{weights} {seed}" if weights == "random" else str(weights)
        mix = torch.randn(6, 6, generator=torch.Generator().manual_seed(seed)) if weights == "random" else torch.eye(6)
        self.mix = mix[:, :, None, None]
        self.built.append(self)

    def get_tokens(self, images):
        local, _ = super().get_tokens(images)
        local = {name: F.conv2d(maps, self.mix) for name, maps in local.items()}
        return local, {name: maps.mean((2, 3)) for name, maps in local.items()}

    def fingerprint(self):
        return {"name": "toy", "weights": self.weights}


class Unweighted(Blur):
    """A network whose family knows no weights."""

    def __init__(self, variant=None, *, layers=None):
        super().__init__(layers=layers)


def save_subject(folder, seed, repeats=True):
    """Smooth pictures; voxels of V1 read a fine map, those of V4 a coarse one."""
    rng = np.random.default_rng(seed)
    (folder / "images").mkdir(parents=True)
    noise = torch.from_numpy(rng.uniform(size=(N, 3, 16, 16))).float()
    pixels = F.interpolate(F.avg_pool2d(noise, 2), (16, 16), mode="bilinear")
    pixels = ((pixels - pixels.amin()) / (pixels.amax() - pixels.amin()) * 255).byte()
    for i, picture in enumerate(pixels):
        Image.fromarray(picture.permute(1, 2, 0).numpy()).save(folder / "images" / f"im{i}.png")
    fine, coarse = (F.avg_pool2d(pixels.float(), size).flatten(2) for size in (2, 4))
    signal = torch.stack([fine[:, v % 3, 9 * v] if v < 2 else coarse[:, v % 3, 2 * v] for v in range(VOXELS)], 1)
    signal = ((signal - signal.mean(0)) / signal.std(0)).numpy()
    trials = signal[:, :, None] + rng.normal(size=(N, VOXELS, 4))
    np.save(folder / "responses.npy", trials.mean(2))
    if repeats:
        np.save(folder / "repeats.npy", trials)
    rois = pd.DataFrame({"V1": np.arange(VOXELS) < 2, "V4": np.arange(VOXELS) >= 2}).astype(int)
    rois.to_csv(folder / "rois.csv", index=False)
    return folder


def settings(folder, *more):
    words = ["DATASET.NAME", "array", "DATASET.DATA_DIR", str(folder), "BACKBONE.NAME", "toy", "MODEL.GRID", "(8, 8)"]
    return load_config(None, [*words, *more])


def run_grid(folder, out, *, overrides=(), **options):
    return encode_subjects(settings(folder, *overrides), out, n_resamples=20, progress=False, **options)


def pick(table, **wanted):
    for name, value in {"split": "test", "control": "", "roi": "all", "score": "r", **wanted}.items():
        table = table[table[name] == value]
    assert len(table) == 1
    return table.iloc[0]
