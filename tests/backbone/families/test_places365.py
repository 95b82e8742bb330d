"""The table of the family places365: every network of it builds with random weights."""

from __future__ import annotations

import pytest

from brainnet.backbone import BACKBONES, build_backbone


@pytest.mark.slow
@pytest.mark.parametrize("name", BACKBONES.variants("places365"))
def test_every_network_builds(name):
    assert build_backbone(f"places365:{name}", weights="random").layers
