from __future__ import annotations

import pytest
from typer.testing import CliRunner

from brainnet.cli import app as cli
from brainnet.cli import networks


def test_every_backbone_and_dataset_is_listed():
    result = CliRunner().invoke(cli.app, ["backbones"])
    assert all(name in result.output for name in ("expansion", "torchvision", "timm", "clip", "original"))
    assert "`" not in result.output  # the markup of docstrings is none of the terminal's
    result = CliRunner().invoke(cli.app, ["datasets"])
    assert all(name in result.output for name in ("algonauts", "array", "simulated"))


def test_networks_of_a_family_are_listed_by_part_of_their_names():
    found = CliRunner().invoke(cli.app, ["backbones", "torchvision", "--like", "SQUEEZE"])
    assert found.output.split() == ["torchvision:squeezenet1_0", "torchvision:squeezenet1_1"]
    with pytest.raises(ValueError, match="none of the 2 networks of expansion is like 'huge'"):
        networks.backbones("expansion", "huge")
