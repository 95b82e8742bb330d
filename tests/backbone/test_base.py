"""What backbones share: names, layers, fingerprints, and images of any precision."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brainnet.backbone import BACKBONES, HookedBackbone, build_backbone
from brainnet.backbone.modules import choose_layers
from brainnet.tokens import Preprocessing


@pytest.mark.parametrize("given", [torch.float32, torch.bfloat16, torch.float64])
@pytest.mark.parametrize("own", [torch.float32, torch.bfloat16, torch.float64])
def test_images_of_any_precision_suit_a_network_of_any(rng, own, given):
    network = nn.Sequential(nn.Conv2d(3, 4, 1)).to(own)
    images = torch.randn(1, 3, 4, 4, generator=rng).to(given)
    before = images.clone()
    local, _ = HookedBackbone(network, ["0"]).get_tokens(images)
    assert local["0"].dtype == torch.float32
    assert torch.equal(local["0"], network(images.to(own)).float())
    assert images.dtype == given
    assert torch.equal(images, before)


def test_choose_layers():
    assert choose_layers(["a", "b", "c"], None, default=["b"]) == ("b",)
    assert choose_layers(["a", "b", "c"], [-1, "a"]) == ("c", "a")
    assert choose_layers(["a", "b", "c"], 1) == ("b",)
    for wrong in (["a", "a"], []):
        with pytest.raises(ValueError, match="each once"):
            choose_layers(["a", "b"], wrong)


def test_fingerprint_sees_every_number(rng):
    network = nn.Sequential(nn.Conv2d(3, 2, 1), nn.BatchNorm2d(2))
    backbone = HookedBackbone(network, ["0"], preprocessing=Preprocessing((8, 8)))
    before = backbone.fingerprint()
    with torch.no_grad():
        network[1].running_mean[1] += 1e-6
    after = backbone.fingerprint()
    assert before["weights"] != after["weights"]
    assert {k: v for k, v in before.items() if k != "weights"} == {k: v for k, v in after.items() if k != "weights"}


def test_another_packages_family_is_built_by_name():
    def constant(variant, **kwargs):
        class Constant:
            def get_tokens(self, images):
                return {variant: images}, {variant: images.mean((2, 3))}

        return Constant()

    with BACKBONES.temporarily("constant", constant):
        local, _ = build_backbone("constant:here").get_tokens(torch.zeros(1, 3, 2, 2))
    assert list(local) == ["here"]


def test_unknown_family_names_the_nearest():
    with pytest.raises(ValueError, match=r"Unknown backbone 'clipp'. Did you mean 'clip'"):
        build_backbone("clipp:ViT-B-16")


@pytest.mark.parametrize("name", ["harmonization:vit_b16", "vonenet:resnet50", "byol"])
def test_a_network_of_another_tool_is_refused_with_the_reason(name):
    with pytest.raises(ValueError, match=f"no backbone '{name}': .{{40}}"):
        build_backbone(name)


def test_a_name_that_is_no_networks_at_all_is_unknown():
    with pytest.raises(ValueError, match="Unknown backbone 'expansionn'. Did you mean 'expansion'"):
        build_backbone("expansionn:small")
