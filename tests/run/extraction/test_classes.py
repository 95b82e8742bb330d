"""Classes of pictures: the network's own softmax, by name, as JSON."""

from __future__ import annotations

import json

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.backbone import build_backbone
from brainnet.features.labels import class_names
from brainnet.run.extraction.classes import classify
from brainnet.stimuli import Images


@pytest.fixture
def pictures(tmp_path):
    for i in range(3):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 50, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(tmp_path / f"p{i}.png")
    return [tmp_path / f"p{i}.png" for i in range(3)]


@pytest.mark.parametrize("name", ["torchvision:squeezenet1_1", "timm:resnet18"])
def test_the_most_probable_classes_are_those_of_the_network(pictures, tmp_path, name):
    found = classify(f"{name}=random", pictures, tmp_path / "classes.json", top_k=3, progress=False, device="cpu")
    assert json.loads((tmp_path / "classes.json").read_text()) == found
    backbone = build_backbone(name, weights="random")
    images = torch.stack([Images(pictures).image(i, backbone.preprocessing) for i in range(3)])
    with torch.no_grad():
        chances = backbone.network(images).softmax(1)
    names = class_names(1000)
    for row, seen in zip(chances, found.values(), strict=True):
        best = row.topk(3)
        assert list(seen) == [names[k] for k in best.indices]
        np.testing.assert_allclose(list(seen.values()), best.values, atol=1e-5)


def test_what_is_no_classifier_is_told(pictures):
    with pytest.raises(ValueError, match="logits"):
        classify("expansion:small", pictures, progress=False)
    with pytest.raises(ValueError, match="top_k"):
        classify("torchvision:squeezenet1_1=random", pictures, top_k=0, progress=False)
