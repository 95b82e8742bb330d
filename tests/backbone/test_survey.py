"""Every module of networks of different kinds: the right axis of channels, or a clear refusal."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from brainnet.backbone import HookedBackbone, build_backbone
from brainnet.backbone.survey import survey

# name, pixels, modules whose tokens are refused (by the end of their names), the rest have as many channels as weights
KINDS = {
    "timm:test_vit": ("q_norm", "k_norm", "attn_drop"),
    "timm:test_convnext": (),
    "timm:swin_tiny_patch4_window7_224": ("attn", "attn.qkv", "attn.proj", "attn_drop", "proj_drop", "softmax"),
    "timm:mixer_s32_224": ("mlp_tokens.fc1", "mlp_tokens.act", "mlp_tokens.drop1", "mlp_tokens.norm"),
    "torchvision:swin_t": (),
    "torchvision:alexnet": (),
    "clip:ViT-S-32-alt": (),
}


@pytest.mark.parametrize("name", KINDS)
def test_every_module_gives_its_channels_or_is_refused(name):
    backbone = build_backbone(name, weights="random")
    rows = survey(backbone)
    assert [row.name for row in rows] == [name for name, _ in backbone.network.named_modules() if name]
    for row in rows:
        module = backbone.network.get_submodule(row.name)
        wide = None
        if isinstance(module, nn.Conv2d | nn.Linear | nn.BatchNorm2d):
            wide = getattr(module, "out_channels", None) or getattr(module, "out_features", module.weight.shape[0])
        elif isinstance(module, nn.LayerNorm):
            wide = module.normalized_shape[-1]
        mixes = "mlp_tokens" in row.name  # works along the places: its channels are those before
        if row.tokens and wide and not mixes:
            assert row.tokens[0] == wide, row
        assert bool(row.tokens) != bool(row.why) or isinstance(module, nn.ModuleList | nn.ModuleDict), row
        if row.why and row.why != "never ran":
            assert row.name.endswith(KINDS[name] or "no module"), row
    assert sum(row.tokens is not None for row in rows) > len(rows) / 2


def test_what_a_row_says():
    network = nn.Sequential(nn.Conv2d(3, 8, 3, padding=1), nn.ReLU())
    network[1].register_forward_hook(lambda module, args, output: (output, output))
    rows = survey(HookedBackbone(network, ["0"]), (8, 8))  # 8 channels on 8 x 8
    assert rows[0] == ("0", "Conv2d", 8 * 3 * 9 + 8, 1, "(2, 8, 8, 8)", (8, 8, 8), "")


class Turned(nn.Module):
    def forward(self, x):
        return x.permute(0, 2, 3, 1) * 2


def test_axes_of_equal_length_are_told_by_another_image():
    rows = survey(HookedBackbone(nn.Sequential(nn.Conv2d(3, 8, 1), Turned()), ["0"]), (8, 8))
    assert [row.tokens for row in rows] == [(8, 8, 8), (8, 8, 8)]
    assert rows[1].output == "(2, 8, 8, 8)"
    assert rows[1].why == ""


def test_calls_are_counted_and_idle_modules_named():
    class Twice(nn.Module):
        def __init__(self):
            super().__init__()
            self.relu, self.idle = nn.ReLU(), nn.ReLU()

        def forward(self, x):
            return self.relu(self.relu(x))

    first, second = survey(HookedBackbone(Twice(), ["relu"]), (4, 6))
    assert (first.n_calls, first.tokens) == (2, (3, 4, 6))
    assert (second.n_calls, second.tokens, second.why) == (0, None, "never ran")


def test_a_backbone_without_hooks_has_its_layers():
    rows = survey(build_backbone("expansion:small", layers=["1", "3"]), (64, 64))
    assert [(row.name, row.tokens) for row in rows] == [("1", (108, 32, 32)), ("3", (128, 8, 8))]


def test_a_survey_leaves_the_backbone_as_it_was(rng):
    backbone = HookedBackbone(nn.Sequential(nn.Conv2d(3, 4, 1), nn.ReLU()), ["0"])
    images = torch.randn(1, 3, 4, 5, generator=rng)
    before = backbone.get_tokens(images)
    survey(backbone, (6, 6))
    assert torch.equal(backbone.get_tokens(images).local["0"], before.local["0"])
    assert not any(module._forward_hooks for module in backbone.modules())
