"""``ssl:*``: ResNets and vision transformers that learned without labels, with the weights their authors published."""

from __future__ import annotations

from typing import Any

from torch import nn

from brainnet._checks import require
from brainnet._registry import takes_options_of
from brainnet.backbone.families._published import Published, build_published
from brainnet.backbone.families.original import META, ModifiedDINO, ModifiedDiNOv2, ModifiedMAE, ModifiedMoCov3
from brainnet.backbone.families.timm import native_names
from brainnet.backbone.hooks import HookedBackbone

_VISSL = f"{META}/vissl/model_zoo"
_MOCO = f"{META}/moco/moco_checkpoints"
_SWAV_HEADS = ("projection_head", "prototypes")


def _xcit(model: str) -> nn.Module:
    return require("timm", "ssl:dino_xcit").create_model(model, num_classes=0)


def _of_vissl(run: str, phase: int) -> Published:
    """A ResNet-50 that VISSL trained, in images as torchvision has them."""
    return Published("resnet50", f"{_VISSL}/{run}/model_final_checkpoint_phase{phase}.torch", "_feature_blocks.")


NETWORKS = {
    "simclr_resnet50": _of_vissl("simclr_rn50_1000ep_simclr_8node_resnet_16_07_20.afe428c7", 999),
    "simclr_resnet50_800ep": _of_vissl("simclr_rn50_800ep_simclr_8node_resnet_16_07_20.7e8feed1", 799),
    "jigsaw_resnet50": _of_vissl("jigsaw_rn50_in1k_ep105_perm2k_jigsaw_8gpu_resnet_17_07_20.cccee144", 104),
    "rotnet_resnet50": _of_vissl("rotnet_rn50_in1k_ep105_rotnet_8gpu_resnet_17_07_20.46bada9f", 125),
    "npid_resnet50": _of_vissl("npid_1node_200ep_4kneg_npid_8gpu_resnet_23_07_20.9eb36512", 199),
    "npid++_resnet50": _of_vissl("npid_pp/4node_800ep_32kneg_cosine_resnet_23_07_20.75432662", 799),
    "pirl_resnet50": _of_vissl("pirl_jigsaw_4node_pirl_jigsaw_4node_resnet_22_07_20.34377f59", 799),
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
    **{
        f"dino_xcit_{size}_p{patch}": Published(
            _xcit,
            f"{META}/dino/dino_xcit_{size}_p{patch}_pretrain/dino_xcit_{size}_p{patch}_pretrain.pth",
            options={"model": f"xcit_{size}_p{patch}_224"},
            translate=native_names,
            prefix_tokens=1,
        )
        for size in ("small_12", "medium_24")
        for patch in (16, 8)
    },
}
TRANSFORMERS = {
    "dino_vits16": (ModifiedDINO, "small"), "dino_vits8": (ModifiedDINO, "small8"),
    "dino_vitb16": (ModifiedDINO, "base"), "dino_vitb8": (ModifiedDINO, "base8"),
    "dinov2_vits14": (ModifiedDiNOv2, "small"), "dinov2_vitb14": (ModifiedDiNOv2, "base"),
    "dinov2_vitl14": (ModifiedDiNOv2, "large"), "dinov2_vitg14": (ModifiedDiNOv2, "giant"),
    "mae_vitb16": (ModifiedMAE, "base"), "mae_vitl16": (ModifiedMAE, "large"), "mae_vith14": (ModifiedMAE, "huge"),
    "mocov3_vits16": (ModifiedMoCov3, "small"), "mocov3_vitb16": (ModifiedMoCov3, "base"),
}  # fmt: skip


@takes_options_of(build_published)
def build(variant: str | None, **options: Any) -> HookedBackbone:
    """A network trained without labels, by its method and architecture: ``"simclr_resnet50"``, ``"dino_vits16"``, ...

    ``options`` are those of ``build_published``: layers, weights, seed, preprocessing.

    >>> build("swav_resnet50", weights="random", layers=[-1]).layers
    ('layer4.2',)
    """
    if variant in TRANSFORMERS:
        kind, size = TRANSFORMERS[variant]
        backbone = kind(size, **options)
        backbone.name = f"ssl:{variant}"
        return backbone
    return build_published("ssl", NETWORKS | dict.fromkeys(TRANSFORMERS), variant, **options)


def variants() -> list[str]:
    """What can follow "ssl:"."""
    return [*NETWORKS, *TRANSFORMERS]


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.published import describe_self_supervised

    return list(
        describe_self_supervised(
            {name: one.address for name, one in NETWORKS.items()},
            {name: size for name, (_, size) in TRANSFORMERS.items()},
        )
    )
