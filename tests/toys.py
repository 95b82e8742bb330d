"""Small things the tests of the upper rooms share: a backbone without weights, a subject it can explain."""

from __future__ import annotations

import os
import threading
from contextlib import contextmanager

import numpy as np
import torch
from torch.nn import functional as F

from brainnet.backbone import BACKBONES
from brainnet.config import load_config
from brainnet.dataset import DATASETS, ArrayDataset


class ToyBackbone:
    """Three sizes of blur of the image and of its edges; any object with get_tokens will do."""

    def __init__(self, layers=("a", "b", "c"), gain: float = 1.0):
        self.layers, self.gain, self.calls = tuple(layers), gain, 0

    def get_tokens(self, images):
        self.calls += 1
        both = torch.cat([images, images - F.avg_pool2d(images, 3, 1, 1)], 1) * self.gain
        local = {name: F.avg_pool2d(both, 2**k) for k, name in enumerate(self.layers, 1)}
        return local, {name: maps.mean((2, 3)) for name, maps in local.items()}

    def fingerprint(self):
        return {"name": "toy", "weights": f"gain {self.gain}"}


def toy_dataset(n_images=60, n_voxels=7, coords=True, noise=0.3, seed=0):
    """Voxels that read one channel of layer "b" at one place; every other one the image's mean."""
    generator = torch.Generator().manual_seed(seed)
    pixels = torch.rand(n_images, 3, 32, 32, generator=generator)
    pixels = F.interpolate(F.avg_pool2d(pixels, 8), (32, 32), mode="bilinear", align_corners=False)
    pixels = (pixels - pixels.amin()) / (pixels.amax() - pixels.amin())
    data = ArrayDataset(
        pixels,
        torch.rand(n_images, n_voxels, generator=torch.Generator().manual_seed(seed + 1)),  # replaced below
        coords=torch.rand(n_voxels, 3, generator=generator) * 50 if coords else None,
        test=0.25,
        val=0.2,
        seed=seed,
    )
    maps = F.avg_pool2d(pixels, 4)
    columns = [maps[:, v % 3, v % 8, (3 * v) % 8] if v % 2 else maps[:, v % 3].mean((1, 2)) for v in range(n_voxels)]
    signal = torch.stack(columns, 1)
    signal = (signal - signal.mean(0)) / signal.std(0)
    data.responses = signal + noise * torch.randn(signal.shape, generator=generator)
    return data


@contextmanager
def toys_registered(dataset=toy_dataset, backbone=ToyBackbone):
    """What :func:`toy_config` names: a function that makes the data set, and one that makes the backbone."""

    class Toy(ArrayDataset):
        @classmethod
        def from_settings(cls, data_dir, seed):
            return dataset()

    with BACKBONES.temporarily("toy", lambda variant: backbone()), DATASETS.temporarily("toy", Toy):
        yield


def toy_config(*overrides: str):
    return load_config(
        None,
        ["DATASET.NAME", "toy", "BACKBONE.NAME", "toy", "DATASET.BATCH_SIZE", "8", "MODEL.BOTTLENECK_DIM", "4",
         "MODEL.HEAD", "sum", "TOKENS.STANDARDIZE", "True", "RESPONSES.STANDARDIZE", "True", "OPTIMIZER.LR", "0.01",
         "TRAINER.MAX_EPOCHS", "2", "REGULARIZATION.DECAY_TOTAL_STEPS", "10", *overrides],
    )  # fmt: skip


class Whereabouts:
    """An estimator whose prediction names the process and thread that it was made in."""

    def fit(self, x, y):
        self.n_voxels = y.shape[1]

    def predict(self, x):
        return np.full((len(x), self.n_voxels), hash((os.getpid(), threading.get_ident())) % 2**20, np.float32)
