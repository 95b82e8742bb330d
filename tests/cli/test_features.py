"""The commands about features in files pass what they are given on."""

from __future__ import annotations

import numpy as np
from typer.testing import CliRunner

from brainnet.cli.app import app
from brainnet.run.extraction.feature_files import read_features


def test_split_and_merge(tmp_path):
    np.savez(tmp_path / "fc.npz", features=np.eye(5, dtype=np.float32), images=[f"p{i}" for i in range(5)])
    run = lambda *words: CliRunner().invoke(app, ["features", *map(str, words)])  # noqa: E731
    found = run("split", tmp_path / "fc.npz", "--parts", 2, "--out", tmp_path / "parts", "--format", "csv")
    assert found.exit_code == 0, found.output
    folders = sorted((tmp_path / "parts").iterdir())
    assert [folder.name for folder in folders] == ["part_01", "part_02"]
    found = run("merge", *folders, "--out", tmp_path / "both")
    assert found.exit_code == 0, found.output
    files = read_features(tmp_path / "both")
    assert files.ids == [f"p{i}" for i in range(5)]
    np.testing.assert_array_equal(files.layers["fc"][:], np.eye(5))
