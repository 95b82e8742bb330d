"""Images and pictures for the tests of this room."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from PIL import Image


@pytest.fixture
def images(rng):
    return torch.randn(11, 3, 32, 32, generator=rng)


@pytest.fixture
def photographs(tmp_path):
    noise = np.random.default_rng(0).integers(0, 255, (5, 40, 50, 3), dtype=np.uint8)
    paths = [tmp_path / f"{name}.png" for name in "abcde"]
    for path, pixels in zip(paths, noise, strict=True):
        Image.fromarray(pixels).save(path)
    return paths
