"""Fixtures of the commands' tests: the toy backbone and data under the names that toy_config gives."""

from __future__ import annotations

import pytest
import torch

from brainnet.run import training
from brainnet.run.prediction import load_model
from brainnet.space import BrainSpace
from brainnet.tokens import Preprocessing
from tests.toys import toy_config, toy_dataset, toys_registered


@pytest.fixture(scope="module")
def toys():
    with toys_registered():
        yield


@pytest.fixture(scope="module")
def finished(toys, tmp_path_factory):
    """A run folder, and the metrics that ``fit`` returned."""
    out = tmp_path_factory.mktemp("runs") / "run"
    return out, training.fit(toy_config("TRAINER.MAX_EPOCHS", "20"), out, progress=False)


REGIONS = {
    "early": torch.tensor([1, 1, 1, 0, 0, 0, 0]) > 0,
    "late": torch.tensor([0, 0, 1, 1, 1, 1, 1]) > 0,
    "none": torch.zeros(7) > 0,
}
CEILING = torch.tensor([0.9, 0.8, 0.7, 0.6, 0.5, float("nan"), 0.05])


def mapped_dataset():
    """Overlapping regions, vertices, a ceiling with gaps, a voxel that trains on nothing, and a truth to be found."""
    data = toy_dataset()
    place = BrainSpace(vertices=torch.arange(7) * 3 + 1, mesh="fsaverage5", coords=data.space.coords, rois=REGIONS)
    data.space, data.noise_ceiling = place, CEILING
    data.preprocessing = Preprocessing(size=(24, 24))
    data.responses[data.splits["train"], 4] = 2.0
    gains = {}
    data.recovery = lambda selectors, **given: gains.update(given, selectors=selectors) or {"not_identifiable": "-"}
    return data, gains


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mapped"
    data, gains = mapped_dataset()
    with toys_registered(lambda: data):
        metrics = training.fit(toy_config("SEED", "4", "TRAINER.MAX_EPOCHS", "6"), out, progress=False)
        yield out, metrics, data, gains, load_model(out)
