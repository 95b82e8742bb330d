"""What the tests of commands share: a toy network and data by name, the command line, files of RDMs, a course."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from brainnet.rsa import RDMs, by_time
from brainnet.run.fitting import training
from brainnet.run.fitting.prediction import load_model
from brainnet.selection import Selectors
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
    place = torch.linspace(-0.8, 0.8, 14).reshape(7, 2)
    planted = Selectors(place, torch.eye(3)[torch.arange(7) % 3], torch.linspace(0, 1, 7)[:, None])
    data.truth = SimpleNamespace(selectors=planted)
    data.recovery = lambda selectors, **given: gains.update(given, selectors=selectors) or {"not_identifiable": "-"}
    return data, gains


@pytest.fixture(scope="module")
def mapped(tmp_path_factory):
    out = tmp_path_factory.mktemp("runs") / "mapped"
    data, gains = mapped_dataset()
    with toys_registered(lambda: data):
        metrics = training.fit(toy_config("SEED", "4", "TRAINER.MAX_EPOCHS", "6"), out, progress=False)
        yield out, metrics, data, gains, load_model(out)


@pytest.fixture
def invoke():
    """Runs ``brainnet`` with some words and gives back what it printed."""
    from brainnet.cli import app

    def run(*words):
        result = CliRunner().invoke(app.app, [str(word) for word in words])
        assert result.exit_code == 0, result.output + repr(result.exception)
        return result.output

    return run


@pytest.fixture
def files(tmp_path, rng):
    """Two regions of four subjects, a model with two layers, and one without."""
    base = torch.rand(3, 66, generator=rng, dtype=torch.float64)
    for i, name in enumerate(("V1", "IT")):
        RDMs(base[i] + 0.5 * torch.rand(4, 66, generator=rng)).save(tmp_path / f"brain_{name}.npz")
    RDMs(base[:2], names=("low", "high")).save(tmp_path / "net.npz")
    (tmp_path / "random").mkdir()
    RDMs(base[2:]).save(tmp_path / "random" / "rdms.npz")
    return tmp_path


@pytest.fixture
def course(files, rng):
    """M/EEG of five subjects at six times, in one file and in a folder: layer "low" at time 1, "high" at time 4."""
    layers = RDMs.load(files / "net.npz").values
    values = torch.rand(5, 6, 66, generator=rng, dtype=torch.float64)
    values[:, 1] += 3 * layers[0]
    values[:, 4] += 3 * layers[1]
    np.savez(files / "meg.npz", rdms=values.numpy())
    (files / "subjects").mkdir()
    for i, one in enumerate(values.numpy()):
        np.save(files / "subjects" / f"sub{i}.npy", one)
    return by_time(values)
