"""A data set: images of stripes, and voxels that like one orientation or the other."""

import torch
from PIL import Image

from brainnet.dataset import ResponseDataset, random_splits
from brainnet.space import BrainSpace


class Stripes(ResponseDataset):
    """Stripes of two orientations."""

    def __init__(self, n_images=24, seed=0):
        self.contrast = torch.rand(n_images, 2, generator=torch.Generator().manual_seed(seed))
        splits = random_splits(n_images, test=0.25, val=0.2, seed=seed)
        names = [f"stripes{i}" for i in range(n_images)]
        super().__init__(names, self.contrast, BrainSpace(n_voxels=2), splits)

    @classmethod
    def from_settings(cls, data_dir, seed, *, n_images=24):
        return cls(n_images, seed)

    def load_image(self, index):
        wave = torch.sin(torch.arange(32) / 2)
        across, along = self.contrast[index]
        pixels = 127 + 60 * (across * wave[None, :] + along * wave[:, None])
        return Image.fromarray(pixels.to(torch.uint8).numpy()).convert("RGB")
