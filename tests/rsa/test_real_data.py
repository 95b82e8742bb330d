"""Trained SqueezeNet layers against inferior temporal cortex of 15 people, 92 images: numbers known beforehand."""

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.rsa import RDMs, compare, rdm

# position of the module after whose output (ReLU included) the RDM is taken, and the known mean Spearman
LAYERS = {"conv1": (1, 0.011), "fire3": (4, 0.020), "fire5": (7, 0.084), "fire7": (9, 0.099), "fire9": (12, 0.200)}


@pytest.fixture(scope="module")
def images(test_data):
    files = sorted((test_data / "algonauts2019" / "images_92").glob("*.jpg"))
    pixels = [np.asarray(Image.open(f).convert("RGB").resize((227, 227), Image.Resampling.BILINEAR)) for f in files]
    return torch.from_numpy(np.stack(pixels)).permute(0, 3, 1, 2).float() / 255


@pytest.fixture(scope="module")
def subjects(test_data):
    return RDMs.load(test_data / "algonauts2019" / "rdms_92" / "fmri_IT_RDMs.npz")


def test_squeezenet_layers_against_it(test_data, images, subjects):
    models = pytest.importorskip("torchvision.models")
    network = models.squeezenet1_0().eval()
    (weights,) = (test_data / "weights").glob("*squeezenet*.npz")
    with np.load(weights) as arrays:
        network.load_state_dict({name: torch.from_numpy(arrays[name]) for name in arrays.files})
    mean, sd = torch.tensor([0.485, 0.456, 0.406]), torch.tensor([0.229, 0.224, 0.225])
    activity = (images - mean[:, None, None]) / sd[:, None, None]
    position = 0
    for name, (last, expected) in LAYERS.items():
        with torch.no_grad():
            activity = torch.cat([network.features[position : last + 1](batch) for batch in activity.split(23)])
        position = last + 1
        flat = activity.flatten(1)
        model = rdm((flat[:, i : i + 2**16] for i in range(0, flat.shape[1], 2**16)), names=[name])
        assert compare(model, subjects, "spearman").mean().item() == pytest.approx(expected, abs=0.005), name


def test_pixels_against_it(images, subjects):
    score = compare(rdm(images, pool="flatten"), subjects, "spearman").mean().item()
    assert score == pytest.approx(0.148, abs=0.005)
