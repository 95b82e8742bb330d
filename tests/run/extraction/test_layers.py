"""What can be chosen as a layer, for a network by name."""

from __future__ import annotations

import pytest
import torch

from brainnet.backbone import build_backbone
from brainnet.run.extraction.layers import list_layers


def test_modules_and_defaults_without_weights():
    defaults, rows = list_layers("timm:test_vit", like="Attention", image_size=(64, 64))
    assert defaults == tuple(map(str, range(6)))
    assert [row.name for row in rows] == [f"blocks.{i}.attn" for i in range(6)]
    assert {row.tokens for row in rows} == {(64, 4, 4)}


def test_every_layer_listed_with_tokens_is_one():
    _, rows = list_layers("torchvision:squeezenet1_1", image_size=(64, 64))
    named = [row for row in rows if row.tokens]
    backbone = build_backbone("torchvision:squeezenet1_1", weights="random", layers=[row.name for row in named])
    tokens = backbone.get_tokens(torch.zeros(1, 3, 64, 64))
    assert {row.name: row.tokens for row in named} == {k: tuple(v.shape[1:]) for k, v in tokens.local.items()}


def test_what_cannot_be_listed_is_said():
    with pytest.raises(ValueError, match="like 'nonesuch'"):
        list_layers("torchvision:squeezenet1_1", like="nonesuch", image_size=(64, 64))

    class Own:
        def get_tokens(self, images):
            return {}, {}

    with pytest.raises(ValueError, match="Own is an object of your own"):
        list_layers(Own())
