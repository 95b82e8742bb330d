"""The untrained networks of comparison: shapes and arithmetic as published, and seeds."""

from __future__ import annotations

import pytest
import torch

from brainnet.backbone import build_backbone

WIDTHS = (5, 6, 7, 8)


def test_fully_connected_is_five_linear_layers(rng):
    backbone = build_backbone("untrained:fully_connected", widths=WIDTHS, features=9, image_size=16)
    images = torch.randn(3, 3, 16, 16, generator=rng)
    _, whole = backbone.get_tokens(images)
    x = images.flatten(1)
    for number in range(1, 6):
        layer = backbone.network.get_submodule(f"linear{number}")
        x = (x @ layer.weight.T + layer.bias).relu()
        torch.testing.assert_close(whole[str(number)], x)
    assert backbone.layer_widths == (*WIDTHS, 9)


def test_the_published_widths():
    with torch.device("meta"):
        from brainnet.backbone.families.untrained import WIDTHS as published
        from brainnet.backbone.families.untrained import fully_connected

        network = fully_connected((*published, 108), 3 * 224 * 224)
    assert [module.out_features for module in network[1::2]] == [108, 1000, 3000, 5000, 108]


def test_the_transformer_ends_in_a_linear_layer(rng):
    backbone = build_backbone("untrained:vit", image_size=32, layers=["0", "10", "expansion"])
    network, images = backbone.network, torch.randn(2, 3, 32, 32, generator=rng)
    assert network.class_token.abs().max() == network.positions.abs().max() == 0
    local, whole = backbone.get_tokens(images)
    assert local["10"].shape == (2, 768, 2, 2)
    with torch.no_grad():
        out = network(images)
    assert torch.equal(local["expansion"].flatten(2).transpose(1, 2), out[:, 1:])
    assert torch.equal(whole["expansion"], out[:, 0])
    assert out.shape == (2, 5, 12)


def test_seeds_and_names(tmp_path):
    options = {"widths": WIDTHS, "image_size": 16}
    one, same = (build_backbone("untrained:fully_connected", **options).fingerprint() for _ in range(2))
    other = build_backbone("untrained:fully_connected", seed=1, **options).fingerprint()
    assert one == same
    assert one["weights"] != other["weights"]
    with pytest.raises(ValueError, match="Unknown untrained network 'vitt'. Did you mean 'vit'"):
        build_backbone("untrained:vitt")
    with pytest.raises(ValueError, match="has no weights 'default'"):
        build_backbone("untrained:vit", weights="default")
