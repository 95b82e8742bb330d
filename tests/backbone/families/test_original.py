"""The published backbones under the names they were published with."""

from __future__ import annotations

import pytest

from brainnet.backbone.catalogue import BACKBONES
from brainnet.backbone.families import original
from brainnet.backbone.families.clip import ModifiedCLIP
from brainnet.tokens import Preprocessing


@pytest.mark.parametrize("name", ["original", "original:clip"])
def test_the_family_alone_is_its_clip(name):
    backbone = BACKBONES.build(name, weights="random", layers=[3])
    assert isinstance(backbone, ModifiedCLIP)
    assert backbone.layers == ("3",)
    assert backbone.preprocessing == Preprocessing((224, 224))  # ImageNet's statistics, not CLIP's


def test_unknown_variants_and_options_are_named():
    with pytest.raises(ValueError, match="'clipp'.*'clip'"):
        BACKBONES.build("original:clipp")
    with pytest.raises(ValueError, match="'layer'.*'layers'"):
        BACKBONES.build("original:clip", layer=[3])


def test_every_variant_listed_is_there():
    assert original.variants() == original.ORIGINALS.names()
    assert "clip" in original.variants()
