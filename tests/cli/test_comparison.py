from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from typer.testing import CliRunner

from brainnet.cli import app as cli


@pytest.fixture
def pictures(tmp_path, rng):
    for i in range(4):
        pixels = (255 * torch.rand(64, 64, 3, generator=rng)).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / f"{i}.png")
    return tmp_path


def test_networks_are_compared_in_one_line(pictures):
    out = pictures / "out"
    words = ["compare", pictures, "-b", "cornet:z=random", "-b", "torchvision:squeezenet1_1=random", "-l",
             "cornet:z=V*", "-l", "torchvision:squeezenet1_1=features.12", "--metric", "procrustes", "--image-size", 64,
             64, "--out", out, "--format", "pdf", "--sort", "-q"]  # fmt: skip
    result = CliRunner().invoke(cli.app, list(map(str, words)), catch_exceptions=False)
    assert result.exit_code == 0
    assert result.output.split("\n")[0] == "4 layers of 2 networks"
    table = pd.read_csv(out / "similarity.csv")
    assert len(table) == 16
    assert np.allclose(table.loc[table["layer_a"] == table["layer_b"], "similarity"], 1)
    assert (out / "similarity.pdf").is_file()
    assert not (out / "similarity.png").exists()


def test_a_wrong_word_leaves_no_folder(pictures):
    with pytest.raises(ValueError, match="metric 'cke'"):
        CliRunner().invoke(cli.app, ["compare", str(pictures), "-b", "cornet:z=random", "--metric", "cke", "--out",
                                     str(pictures / "out")], catch_exceptions=False)  # fmt: skip
    assert not (pictures / "out").exists()
