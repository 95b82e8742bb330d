"""What the tests of commands about geometry share: the command line, files of RDMs, a course over time."""

import numpy as np
import pytest
import torch
from typer.testing import CliRunner

from brainnet.rsa import RDMs, by_time


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
