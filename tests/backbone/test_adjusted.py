"""A precision and an image size for any backbone."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brainnet.backbone import BACKBONES
from brainnet.backbone.adjusted import adjusted_of, build_adjusted
from brainnet.tokens import Preprocessing


class Plain(nn.Module):
    """A network whose family takes no options but its layers."""

    def __init__(self, variant=None, *, layers=("a",)):
        super().__init__()
        self.layers, self.preprocessing = tuple(layers), Preprocessing(size=(32, 32), mean=(0.1, 0.2, 0.3))
        self.first = nn.Conv2d(3, 2, 1)

    def get_tokens(self, images):
        local = {name: self.first(images.to(self.first.weight.dtype)) for name in self.layers}
        return local, {name: maps.mean((2, 3)) for name, maps in local.items()}


def test_size_and_precision_are_put_on_from_outside():
    with BACKBONES.temporarily("plain", Plain):
        network = build_adjusted("plain", image_size=[48, 64], precision="bf16")
        assert network.preprocessing == Preprocessing(size=(48, 64), mean=(0.1, 0.2, 0.3))
        assert network.first.weight.dtype == torch.bfloat16
        assert build_adjusted("plain", image_size=20).preprocessing.size == (20, 20)
        assert adjusted_of("plain", ["b"], precision=None).layers == ("b",)
        with pytest.raises(ValueError, match="fp32, bf16, fp16"):
            build_adjusted("plain", precision="fp8")
        with pytest.raises(ValueError, match="stride"):
            build_adjusted("plain", stride=2)


def test_a_family_that_takes_them_gets_them():
    seen = {}

    def family(variant, *, precision="fp32", image_size=None):
        seen.update(precision=precision, image_size=image_size)
        return Plain()

    with BACKBONES.temporarily("taking", family):
        network = build_adjusted("taking", precision="auto", image_size=[8, 9])
    assert seen == {"precision": "auto", "image_size": (8, 9)}
    assert network.preprocessing.size == (32, 32)  # its own affair


@pytest.mark.parametrize("size", [0, (3,), (3, 0), (3, 4, 5), (3, 4.5), "ab"])
def test_a_size_that_is_none_is_refused(size):
    with BACKBONES.temporarily("plain", Plain), pytest.raises(ValueError, match="image size"):
        build_adjusted("plain", image_size=size)


def test_a_network_without_preprocessing_has_no_size_to_change():
    with BACKBONES.temporarily("bare", lambda variant=None: object()), pytest.raises(ValueError, match="bare"):
        build_adjusted("bare", image_size=8)
