"""The command for searchlights that were published as RDMs."""

import numpy as np
import torch
from typer.testing import CliRunner

from brainnet.cli.app import app
from brainnet.rsa import RDMs


def test_one_line_tests_models_at_every_centre(tmp_path, rng):
    values = torch.rand(6, 9, 28, generator=rng)
    np.save(tmp_path / "lights.npy", RDMs(values.flatten(0, 1)).to_square().unflatten(0, (6, 9)).numpy())
    RDMs(torch.rand(1, 28, generator=rng), names=("m",)).save(tmp_path / "net.npz")
    words = ["searchlight", "rdms", tmp_path / "lights.npy", "-m", tmp_path / "net.npz", "--permutations", "20",
             "--out", tmp_path / "out", "--quiet"]  # fmt: skip
    ended = CliRunner().invoke(app, list(map(str, words)))
    assert ended.exit_code == 0, ended.output
    assert "6 subjects, 1 models x 9 centers" in ended.output
    assert (tmp_path / "out/centres.csv").is_file()
