"""Every module of networks of different kinds: the right axis of channels, or a clear refusal."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import pytest
import torch
from torch import nn

from brainnet.backbone import HookedBackbone, build_backbone
from brainnet.backbone.modules import is_container
from brainnet.backbone.survey import survey


class Kind(NamedTuple):
    """A network, what it is shown, and the ends of the names of those of its modules that are refused."""

    name: str | Callable[[Path], str]
    refused: tuple[str, ...] = ()
    size: tuple[int, int] | None = None  # not square where the network allows it, so that no two axes are alike
    options: Mapping[str, Any] = {}
    share: float = 0.5  # of the modules that give tokens, at least


def tiny_detr(folder: Path) -> str:
    """A transformers DETR over a small residual network."""
    transformers = pytest.importorskip("transformers")
    body = transformers.ResNetConfig(embedding_size=8, hidden_sizes=[8, 12, 16, 20], depths=[1, 1, 1, 1],
                                     layer_type="basic", out_features=["stage4"])  # fmt: skip
    sizes = {f"{part}_{what}": n for part in ("encoder", "decoder")
             for what, n in {"layers": 2, "attention_heads": 4, "ffn_dim": 48}.items()}  # fmt: skip
    transformers.DetrConfig(
        use_timm_backbone=False, use_pretrained_backbone=False, backbone=None, backbone_config=body, d_model=32,
        num_queries=7, **sizes,
    ).save_pretrained(folder)  # fmt: skip
    return f"transformers:{folder}"


WINDOWED = ("attn", "attn.qkv", "attn.proj", "attn_drop", "proj_drop", "softmax")
KINDS = {
    "Swin": Kind("torchvision:swin_t", size=(64, 96)),
    "Swin of timm": Kind("timm:swin_tiny_patch4_window7_224", WINDOWED, (224, 112), {"image_size": (224, 112)}),
    "MaxViT": Kind("torchvision:maxvit_t", ("_op", "_swap", "stochastic_dropout", *(f"attn_layer{rest}" for rest in (
        "", ".0", ".1", ".1.merge", ".1.to_qkv", ".2")), *(f"mlp_layer{rest}" for rest in ("", *(f".{i}" for i in range(
        6))))), share=0.4),
    "ConvNeXt": Kind("torchvision:convnext_tiny", size=(64, 96)),
    "ConvNeXt of timm": Kind("timm:test_convnext", size=(64, 96)),
    "ViT": Kind("timm:test_vit", ("q_norm", "k_norm", "attn_drop"), (64, 96), {"image_size": (64, 96)}),
    "Hiera": Kind("timm:hiera_tiny_224", ("",), share=0.01),  # all but the first are units of places
    "CORnet": Kind("cornet:s", size=(64, 96)),
    "CORnet in time": Kind("cornet:rt", size=(64, 96)),
    "R3D": Kind("torchvision:r3d_18", size=(64, 96)),
    "Faster R-CNN": Kind("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn", (
        "transform", "backbone", "fpn", "body", "extra_blocks", "rpn", "head", "generator", "roi_heads", "roi_pool",
        "box_head", "fc6", "fc7", "predictor", "cls_score", "bbox_pred"), (128, 192)),
    # both frames go through one encoder, as one batch
    "RAFT": Kind("torchvision:raft_small", ("feature_encoder.*",), (128, 192)),
    "CLIP": Kind("clip:ViT-S-32-alt"),
    "CLIP's ResNet": Kind("clip:RN50"),
    "SAM": Kind("original:sam", ("attn", "attn.qkv", "attn.proj"), options={"image_size": 256}),
    "DETR": Kind(tiny_detr, ("backbone", "backbone.model", "decoder", "decoder.*"), (96, 128)),
    "MLP-Mixer": Kind("timm:mixer_s32_224", tuple(f"mlp_tokens.{rest}" for rest in ("fc1", "act", "drop1", "norm")),
                      (224, 160), {"image_size": (224, 160)}),
    "AlexNet": Kind("torchvision:alexnet"),
}  # fmt: skip


def width_of(module: nn.Module) -> int | None:
    """Channels of a module's output, where its weights say so."""
    if isinstance(module, nn.Conv2d | nn.Conv3d):
        return module.out_channels
    if isinstance(module, nn.Linear):
        return module.out_features
    if isinstance(module, nn.LayerNorm):
        return module.normalized_shape[-1]
    return len(module.weight) if isinstance(module, nn.BatchNorm2d | nn.BatchNorm3d | nn.GroupNorm) else None


@pytest.mark.parametrize("kind", KINDS)
def test_every_module_gives_its_channels_or_is_refused(kind, tmp_path):
    """By their weights, and by the image's aspect, which a map has in its places and not in its channels."""
    name, refused, size, options, share = KINDS[kind]
    backbone = build_backbone(name if isinstance(name, str) else name(tmp_path), weights="random", **options)
    height, width = size or backbone.preprocessing.size
    rows = survey(backbone, (height, width))
    assert [row.name for row in rows] == [name for name, _ in backbone.network.named_modules() if name]
    for row in rows:
        module = backbone.network.get_submodule(row.name)
        assert bool(row.tokens) != bool(row.why) or is_container(module), row
        if row.why and row.why != "never ran":
            ends = [end for end in refused if not end.endswith(".*")]
            within = tuple(end.removesuffix("*") for end in refused if end.endswith(".*"))
            assert row.name.endswith(tuple(ends)) or f"{row.name}.".startswith(within or "-"), row
        if row.tokens is None:
            continue
        n_channels, n_rows, n_columns = row.tokens
        assert n_rows * n_columns == 1 or abs(n_rows * width - n_columns * height) < max(width, height), row
        if "mlp_tokens" not in row.name:  # works along the places: its channels are those before
            assert width_of(module) in (None, n_channels), row
    n_given = sum(row.tokens is not None for row in rows)
    assert n_given > share * len(rows), f"{n_given} of {len(rows)}"


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
