"""Backbones and stores of exactly known numbers."""

from __future__ import annotations

import os
from pathlib import Path

import torch
from PIL import Image
from torch import nn

from brainnet.store import TokenStore
from brainnet.tokens import Tokens


class Toy(nn.Module):
    """Two layers of tokens, exactly known: a strided convolution, and a wider one of its output."""

    def __init__(self, seed: int = 0, widths: tuple[int, int] = (4, 6), gain: float = 1.0):
        super().__init__()
        rng = torch.Generator().manual_seed(seed)
        self.first = nn.Conv2d(3, widths[0], 4, 4)
        self.second = nn.Conv2d(widths[0], widths[1], 1)
        for parameter in self.parameters():
            parameter.data = torch.randn(parameter.shape, generator=rng) * gain
        self.dropout = nn.Dropout(0.5)
        self.calls = 0

    def get_tokens(self, images):
        self.calls += 1
        a = self.dropout(self.first(images))
        b = self.second(a)
        return {"a": a, "b": b}, {"a": a.mean((2, 3)), "b": b.amax((2, 3))}


def expected(backbone, images, grid=(8, 8), resize="mean"):
    with torch.no_grad():
        return Tokens(*backbone.eval().get_tokens(images)).resize(grid, resize)


def assert_close(found: Tokens, wanted: Tokens, **tolerance):
    assert found.layers == wanted.layers
    for part, other in zip(found, wanted, strict=True):
        for layer in part:
            assert part[layer].dtype == torch.float32
            torch.testing.assert_close(part[layer], other[layer], **tolerance)


def store_of(values: torch.Tensor, **options) -> TokenStore:
    """A store of one layer whose local tokens are ``values`` (n, C) on a 1x1 grid, and whose global ones are zero."""
    tokens = Tokens({"x": values[:, :, None, None]}, {"x": torch.zeros_like(values)})
    return TokenStore.from_tokens([tokens], [str(i) for i in range(len(values))], **options)


class Planted:
    """A response dataset that kept the tokens which made it."""

    def __init__(self, images, tokens):
        self.images, self.tokens = images, tokens
        self.image_ids = [f"scene {i}" for i in range(len(images))]
        self.preprocessing = None

    def load_image(self, i):
        return Image.fromarray((self.images[i].sigmoid() * 255).byte().permute(1, 2, 0).numpy())

    def image(self, i, preprocessing):
        return preprocessing(self.load_image(i))

    def known_tokens(self, fingerprint):
        return self.tokens if fingerprint["grid"] == "8x8" else None


def built(path, backbone=None, **options) -> TokenStore:
    images = torch.randn(11, 3, 32, 32, generator=torch.Generator().manual_seed(0))
    return TokenStore.build(backbone or Toy(), images, path=path, batch_size=2, chunk_size=4, progress=False, **options)


def flip_a_bit(path: Path, place: int) -> None:
    """One bit, and the times of before: nothing but the bytes can tell."""
    times = path.stat()
    with path.open("r+b") as file:
        file.seek(place)
        byte = file.read(1)[0]
        file.seek(place)
        file.write(bytes([byte ^ 4]))
    os.utime(path, ns=(times.st_atime_ns, times.st_mtime_ns + 1))


class Pyramid:
    """Two layers whose maps differ in size; no torch module."""

    def __init__(self, gain: float = 1.0):
        self.gain, self.batches = gain, []

    def get_tokens(self, images):
        self.batches.append(len(images))
        local = {f"{k}": nn.functional.avg_pool2d(images, k) * self.gain for k in (4, 16, images.shape[-1])}
        return local, {name: values.amax((2, 3)) for name, values in local.items()}
