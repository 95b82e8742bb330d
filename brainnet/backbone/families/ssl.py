"""``ssl:*``: ResNets and vision transformers that learned without labels, with the weights their authors published."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

from brainnet.backbone.families._published import Published, build_published
from brainnet.backbone.families.original import META, ModifiedDINO, ModifiedDiNOv2, ModifiedMAE, ModifiedMoCov3
from brainnet.backbone.hooks import HookedBackbone
from brainnet.tokens import Preprocessing

_VISSL = f"{META}/vissl/model_zoo"
_MOCO = f"{META}/moco/moco_checkpoints"
_SWAV_HEADS = ("projection_head", "prototypes")
RESNETS = {
    "simclr_resnet50": Published(
        "resnet50",
        f"{_VISSL}/simclr_rn50_1000ep_simclr_8node_resnet_16_07_20.afe428c7/model_final_checkpoint_phase999.torch",
        "_feature_blocks.",
    ),
    **{
        f"moco{version}_resnet50{extra}": Published(
            "resnet50", f"{_MOCO}/moco_{run}/moco_{run}_pretrain.pth.tar", "encoder_q.", ("fc",)
        )
        for version, extra, run in [("v1", "", "v1_200ep"), ("v2", "", "v2_800ep"), ("v2", "_200ep", "v2_200ep")]
    },
    "mocov3_resnet50": Published(
        "resnet50", f"{META}/moco-v3/r-50-1000ep/r-50-1000ep.pth.tar", "base_encoder.", ("fc",)
    ),
    "swav_resnet50": Published("resnet50", f"{META}/deepcluster/swav_800ep_pretrain.pth.tar", without=_SWAV_HEADS),
    "deepclusterv2_resnet50": Published(
        "resnet50", f"{META}/deepcluster/deepclusterv2_800ep_pretrain.pth.tar", without=_SWAV_HEADS
    ),
    "barlowtwins_resnet50": Published("resnet50", f"{META}/barlowtwins/ljng/resnet50.pth"),
    "vicreg_resnet50": Published("resnet50", f"{META}/vicreg/resnet50.pth"),
    "simsiam_resnet50": Published(
        "resnet50", f"{META}/simsiam/models/100ep-256bs/pretrain/checkpoint_0099.pth.tar", "encoder.", ("fc",)
    ),
    "dino_resnet50": Published("resnet50", f"{META}/dino/dino_resnet50_pretrain/dino_resnet50_pretrain.pth"),
}
TRANSFORMERS = {
    "dino_vits16": (ModifiedDINO, "small"), "dino_vits8": (ModifiedDINO, "small8"),
    "dino_vitb16": (ModifiedDINO, "base"), "dino_vitb8": (ModifiedDINO, "base8"),
    "dinov2_vits14": (ModifiedDiNOv2, "small"), "dinov2_vitb14": (ModifiedDiNOv2, "base"),
    "dinov2_vitl14": (ModifiedDiNOv2, "large"), "dinov2_vitg14": (ModifiedDiNOv2, "giant"),
    "mae_vitb16": (ModifiedMAE, "base"), "mae_vitl16": (ModifiedMAE, "large"), "mae_vith14": (ModifiedMAE, "huge"),
    "mocov3_vits16": (ModifiedMoCov3, "small"), "mocov3_vitb16": (ModifiedMoCov3, "base"),
}  # fmt: skip


def build(
    variant: str | None,
    *,
    layers: Iterable[str | int] | None = None,
    weights: str | Path = "default",
    seed: int = 0,
    preprocessing: Preprocessing | None = None,
) -> HookedBackbone:
    """A network trained without labels.

    Args:
        variant: method and architecture, ``"simclr_resnet50"``, ``"dino_vits16"``, ...
        layers: names of modules or patterns of them, or indices into the default choice: the residual blocks.
        weights: "default" (those published), a file, or "random".
        seed: of random weights.
        preprocessing: by default the whole image at 224 pixels with ImageNet's mean and SD, as they were trained.

    >>> build("swav_resnet50", weights="random", layers=[-1]).layers
    ('layer4.2',)
    """
    options = {"layers": layers, "weights": weights, "seed": seed, "preprocessing": preprocessing}
    if variant in TRANSFORMERS:
        kind, size = TRANSFORMERS[variant]
        backbone = kind(size, **options)
        backbone.name = f"ssl:{variant}"
        return backbone
    return build_published("ssl", RESNETS | dict.fromkeys(TRANSFORMERS), variant, **options)


def variants() -> list[str]:
    """What can follow "ssl:"."""
    return [*RESNETS, *TRANSFORMERS]
