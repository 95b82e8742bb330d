"""The table of the family ssl: every network of it builds with random weights."""

from __future__ import annotations

import pytest

from brainnet.backbone import BACKBONES, build_backbone


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES.variants("ssl"))
def test_every_network_builds(name):
    assert build_backbone(f"ssl:{name}", weights="random").layers
