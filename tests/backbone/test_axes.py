"""The axis of channels follows from the modules that made a map, or the call is refused."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brainnet.backbone import HookedBackbone, build_backbone


class Doing(nn.Module):
    """A layer of one's own: a function of its input."""

    def __init__(self, function):
        super().__init__()
        self.function = function

    def forward(self, x):
        return self.function(x)


NETWORKS = {
    "linear": ([nn.Conv2d(3, 5, 1), Doing(lambda x: x.permute(0, 2, 3, 1)), nn.Linear(5, 7), nn.GELU()], 3, 7),
    "norm": ([nn.Conv2d(3, 5, 1), Doing(lambda x: x.permute(0, 2, 3, 1)), nn.LayerNorm(5)], 2, 5),
    "function": ([nn.Conv2d(3, 5, 1), Doing(lambda x: x.permute(0, 2, 3, 1) * 2)], 1, 5),
    "scaled": ([nn.Conv2d(3, 5, 1), Doing(lambda x: x * 2), nn.ReLU()], 2, 5),
    "joined": ([nn.Conv2d(3, 5, 1), Doing(lambda x: torch.cat([x, x, x], 1))], 1, 15),
    "pooled": ([nn.Conv2d(3, 5, 1), Doing(lambda x: nn.functional.avg_pool2d(x, 2))], 1, 5),
    "back": ([nn.Conv2d(3, 5, 1), Doing(lambda x: x.permute(0, 2, 3, 1)), nn.LayerNorm(5),
              Doing(lambda x: x.permute(0, 3, 1, 2)), nn.Dropout()], 4, 5),
    "square": ([nn.Conv2d(3, 8, 1), nn.ReLU(inplace=True), nn.Sequential(nn.BatchNorm2d(8), nn.ReLU())], 2, 8),
}  # fmt: skip


@pytest.mark.parametrize("name", NETWORKS)
def test_the_axis_of_channels_follows_from_the_modules(name, rng):
    modules, place, channels = NETWORKS[name]
    backbone = HookedBackbone(nn.Sequential(*modules), [str(place)])
    images = torch.randn(2, 3, 8, 8, generator=rng)
    for _ in range(2):
        local = backbone.get_tokens(images).local[str(place)]
        assert local.shape[1] == channels
        output = backbone.network[: place + 1](images)
        assert torch.equal(local, output if output.shape == local.shape else output.permute(0, 3, 1, 2))


@pytest.mark.parametrize("n_images", [1, 2, 8])
def test_as_many_channels_as_rows_and_columns_are_told_apart_on_another_image(rng, n_images):
    images = torch.randn(n_images, 3, 8, 8, generator=rng)
    for function, turned in ((lambda x: x.permute(0, 2, 3, 1), True), (lambda x: x * 2, False)):
        backbone = HookedBackbone(nn.Sequential(nn.Conv2d(3, 8, 1), Doing(function)), ["1"])  # 8 channels on 8 x 8
        expected = backbone.network(images)
        for _ in range(2):
            local = backbone.get_tokens(images).local["1"]
            assert torch.equal(local, expected.permute(0, 3, 1, 2) if turned else expected)


def test_an_axis_that_cannot_be_told_is_refused(rng):
    images = torch.randn(2, 3, 8, 8, generator=rng)
    for function in (lambda x: x.reshape(2, 4, 16, 8), lambda x: x.transpose(1, 2).reshape(len(x), 4, -1, 8)):
        network = nn.Sequential(nn.Conv2d(3, 8, 1), Doing(function))
        backbone = HookedBackbone(network, ["1"])
        for _ in range(2):
            with pytest.raises(ValueError, match="feature_map='BCHW'"):
                backbone.get_tokens(images)
        said = HookedBackbone(network, ["1"], feature_map="BHWC").get_tokens(images)
        assert torch.equal(said.local["1"], network(images).permute(0, 3, 1, 2))


TORCHVISION = {
    ("swin_t", "features.0.0"): (96, 16, 16), ("swin_t", "features.0.1"): (96, 16, 16),
    ("swin_t", "features.1.0.mlp.0"): (384, 16, 16), ("swin_t", "features.1.0"): (96, 16, 16),
    ("swin_t", "norm"): (768, 2, 2), ("swin_t", "permute"): (768, 2, 2), ("swin_t", "avgpool"): (768, 1, 1),
    ("convnext_tiny", "features.1.0.block.3"): (384, 16, 16), ("convnext_tiny", "features.1.0"): (96, 16, 16),
    ("convnext_tiny", "features.1.0.block.4"): (384, 16, 16), ("convnext_tiny", "features.2.0"): (96, 16, 16),
}  # fmt: skip


@pytest.mark.parametrize("name", ["swin_t", "convnext_tiny"])
def test_torchvisions_layers_have_their_channels_first(name, rng):
    shapes = {layer: shape for (network, layer), shape in TORCHVISION.items() if network == name}
    backbone = build_backbone(f"torchvision:{name}", weights="random", layers=list(shapes))
    images = torch.randn(2, 3, 64, 64, generator=rng)
    outputs = {}
    for layer in shapes:
        backbone.network.get_submodule(layer).register_forward_hook(
            lambda module, args, output, layer=layer: outputs.update({layer: output.clone()})
        )
    for _ in range(2):
        tokens = backbone.get_tokens(images)
        for layer, shape in shapes.items():
            assert tokens.local[layer].shape[1:] == shape
            output = outputs[layer]
            wanted = output if output.shape[1:] == shape else output.permute(0, 3, 1, 2)
            assert torch.equal(tokens.local[layer], wanted)
            torch.testing.assert_close(tokens.global_[layer], wanted.mean((2, 3)))


def test_windows_that_lie_in_a_square_are_no_map(rng):
    """49 windows of 49 places each: as wide as high, and yet no place of either axis is a row of the image."""
    from torchvision.models.maxvit import SwapAxes, WindowPartition

    for moved in (nn.Identity(), SwapAxes(-3, -2)):
        network = nn.Sequential(nn.Conv2d(3, 6, 1), WindowPartition(), moved, nn.Linear(6, 5), nn.GELU())
        forward = network[1].forward
        network[1].forward = lambda x, forward=forward: forward(x, 7)
        for layer in ("1", "2", "3", "4"):
            with pytest.raises(ValueError, match=r"\(2, 49, 49, \d\)"):
                HookedBackbone(network, [layer]).get_tokens(torch.randn(2, 3, 49, 49, generator=rng))
