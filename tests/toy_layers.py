"""A network of images without a download: three layers, none of which is a linear map of another."""

from __future__ import annotations

import torch
from torch.nn.functional import avg_pool2d, conv2d

from brainnet.tokens import Preprocessing

LAYERS = ("early", "middle", "late")


class ThreeLayers:
    """Coarse linear contrasts, the energy of fine ones, and products of coarse ones; tokens on a grid of 2 x 2."""

    preprocessing = Preprocessing(size=(16, 16))
    layers = LAYERS

    def get_tokens(self, images):
        generator = torch.Generator().manual_seed(0)
        early = conv2d(images, torch.randn(8, 3, 8, 8, generator=generator) / 8, stride=8)
        fine = conv2d(images, torch.randn(8, 3, 4, 4, generator=generator) / 4, stride=4)
        coarse = conv2d(avg_pool2d(images, 4), torch.randn(16, 3, 2, 2, generator=generator), stride=2)
        local = {"early": early, "middle": avg_pool2d(fine.square(), 2), "late": coarse[:, :8] * coarse[:, 8:]}
        return local, {layer: tokens.mean((2, 3)) for layer, tokens in local.items()}

    def fingerprint(self):
        return {"name": "ThreeLayers", "weights": "fixed"}
