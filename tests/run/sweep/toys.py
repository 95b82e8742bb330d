"""Tiny networks and subjects for sweeps: cells of a fraction of a second, found from any process by their file."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn
from torch.nn import functional as F

from brainnet.dataset import ArrayDataset
from brainnet.run.sweep.state import status_of
from brainnet.space import occipital_vertices, surface_space
from brainnet.tokens import Preprocessing

HERE = Path(__file__).resolve()
LAYERS = ("early", "middle", "late")
PREPROCESSING = Preprocessing((32, 32), mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5))


class Tiny(nn.Module):
    """Three convolutions with seeded weights; "trained" ones have another spectrum than random ones."""

    def __init__(self, seed: int = 0, width: int = 6, weights: str = "own", broken: bool = False):
        super().__init__()
        if broken:
            raise RuntimeError("these weights cannot be read")
        seed = seed + 1000 * (weights == "random")
        self.layers, self.preprocessing = LAYERS, PREPROCESSING
        generator = torch.Generator().manual_seed(seed)
        sizes = [(width, 3), (width, width), (width, width)]
        self.kernels = nn.ParameterList(
            nn.Parameter(torch.randn(n_out, n_in, 3, 3, generator=generator), requires_grad=False)
            for n_out, n_in in sizes
        )

    def get_tokens(self, images):
        local, x = {}, images
        for layer, kernel in zip(self.layers, self.kernels, strict=True):
            x = F.avg_pool2d(F.relu(F.conv2d(x, kernel, padding=1)), 2)
            x = x / kernel[0].numel() ** 0.5
            local[layer] = x
        return local, {layer: maps.mean((2, 3)) for layer, maps in local.items()}


def build(seed=0, width=6, weights="own", broken=False, layers=None, preprocessing=None) -> Tiny:
    """A backbone by its file: toys.py:build."""
    return Tiny(seed, width, weights, broken)


class Subject(ArrayDataset):
    """Voxels that read the layers of one of the networks: "V1" the first and "IT" the last; the same pictures for all.

    Args:
        root: not used.
        seed: of the noise.
        source: seed of the network that is read; -1 is noise alone.
        n_images: of all.
        noise: SD of it; the signal has SD 1.
        pictures: seed of the pictures.
        surface: whether voxels are the vertices near the occipital poles, however many ``voxels`` says.
    """

    @classmethod
    def from_settings(cls, data_dir, seed, *, source=0, n_images=60, noise=0.5, pictures=0, voxels=12, surface=False):
        return cls(seed, source, n_images, noise, pictures, voxels, surface)

    def __init__(self, seed=0, source=0, n_images=60, noise=0.5, pictures=0, voxels=12, surface=False):
        cortex = occipital_vertices(20)
        voxels = len(cortex) if surface else voxels
        generator = torch.Generator().manual_seed(pictures)
        pixels = torch.rand(n_images, 3, 4, 4, generator=generator)
        pixels = F.interpolate(pixels, (32, 32), mode="bilinear", align_corners=False)
        own = torch.Generator().manual_seed(10_000 + seed)
        signal = torch.zeros(n_images, voxels)
        if source >= 0:
            local, _ = Tiny(source).get_tokens(pixels * 2 - 1)
            parts = []
            for layer, n in (("early", voxels // 2), ("late", voxels - voxels // 2)):
                features = F.adaptive_avg_pool2d(local[layer], 4).flatten(1)
                features = (features - features.mean(0)) / (features.std(0) + 1e-6)
                parts.append(features @ torch.randn(features.shape[1], n, generator=own))
            signal = torch.cat(parts, 1)
            signal = (signal - signal.mean(0)) / signal.std(0)
        responses = signal + noise * torch.randn(signal.shape, generator=own)
        first = torch.arange(voxels) < voxels // 2
        rois, coords = {"V1": first, "IT": ~first}, torch.randn(voxels, 3, generator=own)
        place = {"coords": coords, "rois": rois}
        if surface:
            place = {"space": surface_space(cortex, rois=rois)}
        super().__init__(pixels, responses, **place, test=0.5, val=0.1, seed=0)


def network(seed: int, **options) -> dict:
    """An entry of backbones."""
    return {"name": f"{HERE}:build", "label": f"net{seed:02d}", "options": {"seed": seed, **options}}


def subject(seed: int, **options) -> dict:
    """Settings of a subject."""
    return {"DATASET.NAME": f"{HERE}:Subject", "SEED": seed, "DATASET.OPTIONS": options}


def asked(networks=2, subjects=2, **more) -> dict:
    """A small sweep."""
    return {
        "settings": {"MODEL.GRID": [4, 4], "DATASET.DATA_DIR": ""},
        "backbones": [network(seed) for seed in range(networks)],
        "subjects": {f"s{n}": subject(n) for n in range(subjects)} if isinstance(subjects, int) else subjects,
        "methods": ["ridge", "rsa"],
        "controls": ["shuffled"],
        "resamples": 50,
        **more,
    }


FIT = {"method": "fit", "subjects": ["s0"], "settings": {"TRAINER.MAX_EPOCHS": 2, "MODEL.BOTTLENECK_DIM": 4}}
LARGE_CELLS = 24 * 3 * 2 * 2 + 12 * 3 * 2 + 6


def large() -> dict:
    """24 networks, trained and random, x 3 subjects x ridge and RSA x 2 controls, and six fits."""
    trained = [network(seed, weights="trained") for seed in range(12)]
    untrained = [{**network(seed), "options": {"seed": seed, "weights": "random"}} for seed in range(12, 24)]
    fits = {**FIT, "backbones": ["net0[0-5]"], "controls": []}
    return asked(24, 3, backbones=trained + untrained, methods=["ridge", "rsa", fits], controls=["shuffled", "random"])


def check_same(out: Path, other: Path) -> None:
    """All cells of the large sweep are done, and its table is that of another folder."""
    assert status_of(out)["state"].tolist() == ["done"] * LARGE_CELLS
    assert (out / "sweep.csv").read_bytes() == (other / "sweep.csv").read_bytes()
