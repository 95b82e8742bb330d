"""The expansion network without its last convolution, and without the order of places, against plain steps."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from brainnet.backbone import build_backbone
from brainnet.backbone.families.expansion import Expansion


@pytest.fixture
def images(rng):
    return torch.randn(2, 3, 160, 160, generator=rng)


def layer_4(images):
    """Layers 2 to 4 follow from the seed, whatever comes after them."""
    return Expansion((256, 256, 256, 3), layers=["4"]).get_tokens(images).local["4"]


def test_a_linear_layer_stands_for_the_last_convolution(images, tmp_path):
    backbone = build_backbone("untrained:lrp", features=30, image_size=160)
    local, whole = backbone.get_tokens(images)
    before = layer_4(images)
    assert torch.equal(local["4"], before)
    expected = F.linear(before.flatten(1), backbone.linear.weight, backbone.linear.bias).relu()
    assert torch.equal(whole["5"], expected)
    assert local["5"].shape == (2, 30, 1, 1)
    assert backbone.layer_widths == (108, 256, 256, 256, 30)
    assert set(dict(backbone.named_parameters())) == {"filters_2", "filters_3", "filters_4", "linear.weight",
                                                      "linear.bias"}  # fmt: skip
    torch.save(backbone.state_dict(), tmp_path / "own.pth")
    again = build_backbone("untrained:lrp", features=30, image_size=160, weights=tmp_path / "own.pth", seed=3)
    assert again.fingerprint()["weights"] == backbone.fingerprint()["weights"]
    assert build_backbone("untrained:lrp", features=30, image_size=160).get_tokens(images).global_["5"].equal(expected)


def test_the_published_size_reads_all_places():
    assert build_backbone("untrained:lrp", features=3).linear.in_features == 256 * 11 * 11


def test_rows_and_columns_are_in_another_order_and_it_is_the_same_for_all_images(images):
    backbone = build_backbone("untrained:no_sp", features=8, image_size=160)
    local, _ = backbone.get_tokens(images)
    before = layer_4(images)
    order = torch.Generator().manual_seed(42)
    rows, columns = (torch.randperm(size, generator=order) for size in before.shape[-2:])
    moved = torch.stack([torch.stack([before[..., r, c] for c in columns], -1) for r in rows], -2)
    expected = F.avg_pool2d(F.conv2d(moved, backbone.filters_5).relu(), 4, stride=1)
    torch.testing.assert_close(local["5"], expected)
    plain = Expansion((256, 256, 256, 8)).get_tokens(images).local
    assert torch.equal(local["4"], plain["4"])
    assert not torch.allclose(local["5"], plain["5"], rtol=1e-2)
    torch.testing.assert_close(backbone.get_tokens(images[1:]).local["5"], local["5"][1:])
