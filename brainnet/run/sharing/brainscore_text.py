"""The files of a plugin for Brain-Score vision; words between two @ are filled in."""

from __future__ import annotations

INIT = '''"""@identifier@: a network of brainnet."""

import json
from pathlib import Path

from brainscore_vision import model_registry
from brainscore_vision.model_helpers.brain_transformation import ModelCommitment

from .model import LAYERS, get_model

REGION_LAYER_MAP = json.loads(
    (Path(__file__).parent / "region_layer_map" / "@identifier@.json").read_text(encoding="utf-8")
)

model_registry["@identifier@"] = lambda: ModelCommitment(
    identifier="@identifier@",
    activations_model=get_model(),
    layers=LAYERS,
    region_layer_map=REGION_LAYER_MAP,
)
'''

MODEL = '''"""The network, built by brainnet; its layers are the local tokens that brainnet reads."""

from collections import OrderedDict

import numpy as np
import torch
from brainnet.backbone.adjusted import build_adjusted
from brainnet.tokens import Preprocessing
from brainscore_vision.model_helpers.activations.core import ActivationsExtractorHelper
from PIL import Image

IDENTIFIER = "@identifier@"
NAME = @name@
OPTIONS = @options@
LAYERS = @layers@


class BrainnetModel:
    """Activations of a backbone of brainnet, as Brain-Score asks for them."""

    def __init__(self):
        self.backbone = build_adjusted(NAME, **OPTIONS)
        self.device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        if isinstance(self.backbone, torch.nn.Module):
            self.backbone.to(self.device).eval()
        self.image = getattr(self.backbone, "preprocessing", None) or Preprocessing()
        self.image_size = self.image.size[0]
        self._extractor = ActivationsExtractorHelper(
            identifier=IDENTIFIER, get_activations=self.get_activations, preprocessing=self.preprocess
        )
        self._extractor.insert_attrs(self)

    @property
    def identifier(self):
        return self._extractor.identifier

    @identifier.setter
    def identifier(self, value):
        self._extractor.identifier = value

    def __call__(self, *args, **kwargs):
        return self._extractor(*args, **kwargs)

    def preprocess(self, paths):
        """(n, 3, H, W) of image files, as the network was trained on."""
        images = []
        for path in paths:
            with Image.open(path) as image:
                images.append(self.image(image).numpy())
        return np.stack(images)

    def get_activations(self, images, layer_names):
        """Layer -> (n, C, H, W)."""
        batch = torch.stack([torch.as_tensor(image) for image in images]).float().to(self.device)
        local, _ = self.backbone.get_tokens(batch)
        unknown = [name for name in layer_names if name not in local]
        if unknown:
            raise ValueError(f"{IDENTIFIER} has no layer {unknown[0]}; it has {', '.join(local)}")
        return OrderedDict((name, local[name].float().cpu().numpy()) for name in layer_names)


def get_model():
    return BrainnetModel()
'''

TEST = '''"""The plugin is registered, and every region reads one of its layers."""

from brainscore_vision import model_registry

from . import REGION_LAYER_MAP
from .model import LAYERS


def test_the_model_is_registered():
    assert "@identifier@" in model_registry


def test_every_region_reads_a_layer_of_the_model():
    assert set(REGION_LAYER_MAP.values()) <= set(LAYERS)
'''

README = """# @identifier@

A plugin for Brain-Score vision, written by brainnet @version@. Copy this folder to `brainscore_vision/models/`, or hand
it in on the site of the board.

| region of the board | layer |
|---|---|
@regions@

Of a `brainnet fit`, a region's layer is the one with the largest mean weight over its voxels. Of a `brainnet encode`,
it is the one whose ridge regression has the highest mean score on the test images. The board then fits its own
regression.

## The numbers of the board and those in `scores.csv`

They are not the same, and they cannot be compared digit by digit.

| | Brain-Score (neural benchmarks) | brainnet, `scores.csv` |
|---|---|---|
| fitted by | PLS regression with 25 components, or ridge, from one layer | the run's own read-out or ridge |
| images | 10 random splits into 90 % training and 10 % test images | one split of test images, which no fit has seen |
| score of a neuroid or voxel | Pearson correlation r over the test images | the same |
| score of a region | median of r over the neuroids | `mean`: mean of r over the voxels |
| ceiling | split-half reliability, Spearman-Brown corrected; bounds r squared | `ceiling`: the r of a perfect model |
| score against the ceiling | r squared / ceiling | `ceiling_share`: mean r / mean ceiling |
"""
