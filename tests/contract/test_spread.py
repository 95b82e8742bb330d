"""One network for every file of timm's models, and every builder of torchvision: what any backbone promises, of each.

The smaller ones always run, one for each file of either library; the others are slow.
"""

from __future__ import annotations

import gc

import pytest
import torch

from brainnet.backbone import BACKBONES, build_backbone

# the smallest network of every file under timm/models
SMALL = [
    "byobnet:test_byobnet", "cait:cait_xxs24_224", "coat:coat_tiny", "convit:convit_tiny",
    "convnext:test_convnext", "crossvit:crossvit_tiny_240", "cspnet:cs3darknet_focus_s", "cspnext:cspnext_tiny",
    "deit:deit_tiny_patch16_224", "dla:dla46x_c", "dpn:dpn48b", "edgenext:edgenext_xx_small",
    "efficientformer:efficientformer_l1", "efficientformer_v2:efficientformerv2_s0",
    "efficientnet:test_efficientnet", "efficientvim:efficientvim_m1", "efficientvit_mit:efficientvit_b0",
    "efficientvit_msra:efficientvit_m0", "eva:vit_tiny_patch16_dinov3_qkvb", "fasternet:fasternet_t0",
    "fastvit:fastvit_t8", "gcvit:gcvit_xxtiny", "ghostnet:ghostnet_050", "hardcorenas:hardcorenas_b",
    "hgnet:hgnetv2_b0", "iformer:iformer_t", "inception_next:inception_next_atto", "lcnetv2:lcnetv2_small",
    "levit:levit_128s", "mambaout:test_mambaout", "maxxvit:test_coatnet", "metaformer:poolformerv2_s12",
    "mlp_mixer:gmlp_ti16_224", "mobilenetv3:mobilenetv3_small_050", "mobilevit:mobilevit_xxs", "nfnet:test_nfnet",
    "pit:pit_ti_224", "pvt_v2:pvt_v2_b0", "regnet:regnetx_002", "repghost:repghostnet_050", "repvit:repvit_m1",
    "resnest:resnest14d", "resnet:test_resnet", "resnetv2:resnetv2_18", "rexnet:rexnet_100",
    "senet:legacy_seresnet18", "shvit:shvit_s1", "sknet:skresnet18", "starnet:starnet_s050",
    "swiftformer:swiftformer_xs", "tiny_vit:tiny_vit_5m_224", "visformer:visformer_tiny",
    "vision_transformer:test_vit", "vision_transformer_hybrid:vit_tiny_r_s16_p8_224",
    "vision_transformer_relpos:test_vit_relpos", "vovnet:ese_vovnet19b_slim_dw", "xcit:xcit_nano_12_p8_224",
    "byoanet:halonet_h1", "cpubone:cpubone_nano", "lowformer:lowformer_b0", "hrnet:hrnet_w18_small",
    "nest:nest_tiny", "swin_transformer:swin_tiny_patch4_window7_224", "vitamin:vitamin_small_224",
    "densenet:densenet121",
]  # fmt: skip
LARGE = [
    "beit:beit_base_patch16_224", "convmixer:convmixer_768_32", "csatv2:csatv2", "davit:davit_tiny",
    "deepseek_vit:deepseek_vit_412m", "focalnet:focalnet_tiny_srf", "gemma4_vit:gemma4_vit_167m",
    "hiera:hiera_tiny_224", "hieradet_sam2:sam2_hiera_tiny", "inception_resnet_v2:inception_resnet_v2",
    "inception_v3:inception_v3", "inception_v4:inception_v4", "mobilenetv5:mobilenetv5_300m",
    "mvitv2:mvitv2_tiny", "naflexvit:naflexvit_so150m2_patch16_reg1_gap", "nasnet:nasnetalarge",
    "nextvit:nextvit_small", "pnasnet:pnasnet5large", "qwen3_vit:qwen3_vit_88m", "rdnet:rdnet_tiny",
    "res2net:res2next50", "selecsls:selecsls42", "sequencer:sequencer2d_s",
    "swin_transformer_v2:swinv2_tiny_window16_256", "swin_transformer_v2_cr:swinv2_cr_tiny_224",
    "tnt:tnt_s_legacy_patch16_224", "tresnet:tresnet_m", "twins:twins_svt_small", "vgg:vgg11",
    "vision_transformer_sam:samvit_base_patch16_224", "volo:volo_d1_224", "xception:legacy_xception",
    "xception_aligned:xception41p",
]  # fmt: skip
# a network of every file under torchvision/models, and pixels along the side where 96 are too few
TORCHVISION = {
    "alexnet": 96, "convnext_tiny": 96, "densenet121": 96, "efficientnet_b0": 96, "googlenet": 96, "inception_v3": 128,
    "mnasnet0_5": 96, "mobilenet_v2": 96, "mobilenet_v3_small": 96, "regnet_y_400mf": 96, "resnet18": 96,
    "shufflenet_v2_x0_5": 96, "squeezenet1_1": 96, "swin_t": 96, "lraspp_mobilenet_v3_large": 96,
    "fasterrcnn_mobilenet_v3_large_320_fpn": 96, "ssdlite320_mobilenet_v3_large": 96, "raft_small": 128, "r3d_18": 64,
    "vit_b_16": 224,
}  # fmt: skip
SIDES = {"vit": 224, "maxvit": 224, "inception": 128, "raft": 128, "mvit": 224, "s3d": 224, "swin3d": 64,
         "ssd300": 300}  # fmt: skip
OTHERS = [name for name in BACKBONES.variants("torchvision") if name not in TORCHVISION]


def side_of(name: str) -> int:
    return TORCHVISION.get(name) or next((side for start, side in SIDES.items() if name.startswith(start)), 96)


def slow(*names):
    return [pytest.param(name, marks=pytest.mark.slow) for name in names]


def close(found: torch.Tensor, expected: torch.Tensor, tolerance: float = 1e-5) -> bool:
    return bool((found - expected).abs().max() <= tolerance * expected.abs().max().clamp(min=1e-3))


def check_promises(name: str, side: int) -> tuple:
    """Promises of every backbone that need no second library; gives back the backbone, its images and tokens."""
    backbone = build_backbone(name, weights="random")
    images = torch.randn(2, 3, side, side, generator=torch.Generator().manual_seed(0))
    before = images.clone()
    tokens = backbone.get_tokens(images)
    assert tokens.layers == backbone.layers
    assert tuple(v.shape[1] for v in tokens.global_.values()) == backbone.layer_widths
    for layer in tokens.layers:
        assert tokens.local[layer].isfinite().all(), layer
        assert tokens.local[layer].shape[0] == 2, layer
    alone = backbone.get_tokens(images[1:])
    for layer in tokens.layers:
        assert close(alone.local[layer], tokens.local[layer][1:], 1e-4), f"{layer}: a batch is not its images"
    middle = backbone.layers[len(backbone.layers) // 2]
    some = build_backbone(name, weights="random", layers=[middle])
    for _ in range(2):  # the second pass stops early
        assert close(some.get_tokens(images).local[middle], tokens.local[middle]), f"{middle}: alone it differs"
    assert torch.equal(images, before)
    return backbone, images, tokens


def put_back(output: torch.Tensor, local: torch.Tensor) -> torch.Tensor | None:
    """Local tokens in the place of a module's output; None where the output is no map of theirs."""
    n_channels, rows, columns = local.shape[1:]
    if output.ndim == 4:
        return next((turned for turned in (local, local.permute(0, 2, 3, 1)) if turned.shape == output.shape), None)
    if output.ndim == 3 and output.shape[2] == n_channels and output.shape[1] >= rows * columns:
        return torch.cat([output[:, : output.shape[1] - rows * columns], local.flatten(2).mT], 1)
    return None


def output_with(network, module: str, local: torch.Tensor, images: torch.Tensor):
    """A network's output where a module gave these tokens; and whether they had a place there."""
    found = []

    def replace(module, args, output):
        turned = put_back(output, local) if isinstance(output, torch.Tensor) else None
        found.append(turned)
        return output if turned is None else turned

    handle = network.get_submodule(module).register_forward_hook(replace)
    with torch.no_grad():
        output = network(images)
    handle.remove()
    return output, bool(found) and found[-1] is not None


@pytest.mark.parametrize("file", [*SMALL, *slow(*LARGE)])
def test_a_network_of_every_file_of_timm(file):
    name = file.partition(":")[2]
    timm = pytest.importorskip("timm")
    side = timm.get_pretrained_cfg(name).input_size[-1]
    backbone, images, tokens = check_promises(f"timm:{name}", side)
    with torch.no_grad():
        expected = backbone.network(images)
    again = build_backbone(f"timm:{name}", weights="random", layers=[backbone.layers[-1], "logits"]).get_tokens(images)
    own = backbone.network.num_classes or backbone.network.num_features
    if expected.ndim == 2:
        assert again.global_["logits"].shape == (2, own)
        assert close(again.global_["logits"], expected), "the last stage does not lead to the network's own output"
    assert close(again.local[backbone.layers[-1]], tokens.local[backbone.layers[-1]])
    info = getattr(backbone.network, "feature_info", [])
    modules = [entry["module"] for entry in info] if backbone.stages else list(backbone.layers)
    layer, module = next(((one, two) for one, two in zip(backbone.layers, modules, strict=True)
                          if two in dict(backbone.network.named_modules())), (None, None))  # fmt: skip
    if layer is not None:
        through, placed = output_with(backbone.network, module, tokens.local[layer], images)
        assert not placed or close(through, expected), f"tokens of {layer} do not lead to the network's own output"
    gc.collect()


@pytest.mark.parametrize("name", [*TORCHVISION, *slow(*OTHERS)])
def test_every_builder_of_torchvision(name):
    backbone, images, tokens = check_promises(f"torchvision:{name}", side_of(name))
    if backbone.kind != "image":
        return
    with torch.no_grad():
        expected = backbone.network(images)
    for layer in backbone.layers[::4]:
        output, placed = output_with(backbone.network, layer, tokens.local[layer], images)
        assert placed, layer
        for found, wanted in zip(parts(output), parts(expected), strict=True):
            assert close(found, wanted), f"tokens of {layer} do not lead to the network's own output"


def parts(output) -> list[torch.Tensor]:
    return [output] if isinstance(output, torch.Tensor) else list(output.values())


def test_every_file_is_there_and_enough_of_them_always_run():
    timm = pytest.importorskip("timm")
    assert sorted(file.partition(":")[0] for file in (*SMALL, *LARGE)) == sorted(timm.list_modules())
    assert len(SMALL) + len(TORCHVISION) >= 80
