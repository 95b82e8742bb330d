"""torchvision networks: the tokens are the network's own numbers, and the trained SqueezeNet sees what it should."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from brainnet.backbone import BACKBONES, build_backbone
from brainnet.backbone.families.torchvision import _arguments, modern_names
from brainnet.backbone.modules import find_blocks
from brainnet.tokens import Preprocessing

FIRES = tuple(f"features.{i}" for i in (3, 4, 5, 7, 8, 9, 10, 12))


def randomise(module: nn.Module, rng: torch.Generator) -> None:
    """Some heads start at zero, and zero equals zero."""
    for parameter in module.parameters():
        parameter.data = 0.1 * torch.randn(parameter.shape, generator=rng)


def assert_same_output(found, expected):
    assert expected.std() > 1e-3
    torch.testing.assert_close(found, expected, rtol=0, atol=1e-5 * float(expected.abs().max()))


def test_squeezenet_tokens_lead_to_its_own_output(rng):
    backbone = build_backbone("torchvision:squeezenet1_0", weights="random")
    images = torch.randn(2, 3, 96, 128, generator=rng)
    local, _ = backbone.get_tokens(images)
    assert backbone.layers == FIRES
    with torch.no_grad():
        assert_same_output(backbone.network.classifier(local[FIRES[-1]]).flatten(1), backbone.network(images))


def test_resnet_tokens_lead_to_its_own_output(rng):
    backbone = build_backbone("torchvision:resnet18", weights="random")
    assert backbone.layers == tuple(f"layer{i}.{j}" for i in range(1, 5) for j in range(2))
    images = torch.randn(2, 3, 64, 96, generator=rng)
    _, whole = backbone.get_tokens(images)  # its head begins with the mean over space, which is the global token
    with torch.no_grad():
        assert_same_output(backbone.network.fc(whole["layer4.1"]), backbone.network(images))


def test_transformer_tokens_lead_to_its_own_output(rng):
    backbone = build_backbone("torchvision:vit_b_32", weights="random", layers=[0, -1])
    network = backbone.network
    randomise(network.heads, rng)
    images = torch.randn(2, 3, 224, 224, generator=rng)
    last = "encoder.layers.encoder_layer_11"
    local, whole = backbone.get_tokens(images)
    assert local[last].shape == (2, 768, 7, 7)
    with torch.no_grad():
        assert_same_output(network.heads(network.encoder.ln(whole[last])), network(images))


def test_swin_maps_have_channels_second(rng):
    backbone = build_backbone("torchvision:swin_t", weights="random", layers=[-1])
    images = torch.randn(1, 3, 64, 96, generator=rng)
    local, _ = backbone.get_tokens(images)
    network = backbone.network
    (map_,) = local.values()
    assert map_.shape == (1, 768, 2, 3)
    with torch.no_grad():
        normed = network.norm(map_.permute(0, 2, 3, 1))
        assert_same_output(network.head(normed.mean((1, 2))), network(images))


@pytest.mark.parametrize(
    ("variant", "n", "first", "last"),
    [
        ("alexnet", 5, "features.1", "features.11"),
        ("vgg11", 8, "features.1", "features.19"),
        ("densenet121", 4, "features.denseblock1", "features.denseblock4"),
        ("googlenet", 9, "inception3a", "inception5b"),
        ("mobilenet_v3_small", 11, "features.1", "features.11"),
        ("efficientnet_b0", 16, "features.1.0", "features.7.0"),
        ("convnext_tiny", 18, "features.1.0", "features.7.2"),
        ("mnasnet0_5", 16, "layers.8.0", "layers.13.0"),
        ("resnet152", 24, "layer1.1", "layer4.2"),
        ("deeplabv3_mobilenet_v3_large", 15, "backbone.1", "backbone.15"),
    ],
)
def test_blocks_are_found(variant, n, first, last):
    from torchvision import models

    with torch.device("meta"):
        network = models.get_model(variant, weights=None, **_arguments(models, variant, None))
    blocks = find_blocks(network)
    assert (len(blocks), blocks[0], blocks[-1]) == (n, first, last)


def test_any_module_by_name(rng):
    backbone = build_backbone("torchvision:alexnet", weights="random", layers=["features.0", "classifier.6"])
    images = torch.randn(2, 3, 64, 64, generator=rng)
    local, whole = backbone.get_tokens(images)
    with torch.no_grad():  # ReLU overwrites features.0 in place: the token must be what the convolution gave
        assert torch.equal(local["features.0"], backbone.network.features[0](images))
        assert torch.equal(whole["classifier.6"], backbone.network(images))


def test_carried_weights_load_and_see_what_they_should(test_data):
    """The published correlation of SqueezeNet's RDMs with human IT on the 92 images, fire9 and fire3."""
    from PIL import Image
    from scipy.stats import rankdata

    backbone = build_backbone(
        "torchvision:squeezenet1_0",
        weights=test_data / "weights" / "squeezenet1_0_torchvision.npz",
        layers=["features.4", "features.12"],
        preprocessing=Preprocessing((227, 227)),
    )
    folder = test_data / "algonauts2019"
    features: dict[str, list] = {layer: [] for layer in backbone.layers}
    for path in sorted((folder / "images_92").iterdir()):
        tokens = backbone.get_tokens(backbone.preprocessing(Image.open(path))[None])
        for layer in backbone.layers:
            features[layer].append(tokens.features(layer, "flatten")[0])
    with np.load(folder / "rdms_92" / "fmri_IT_RDMs.npz", allow_pickle=False) as file:
        subjects = file["Net_RDM"]
    pairs = np.triu_indices(92, 1)
    scores = {}
    for layer, rows in features.items():
        ranks = rankdata(1 - np.corrcoef(torch.stack(rows).numpy())[pairs])
        scores[layer] = np.mean([np.corrcoef(ranks, rankdata(s[pairs]))[0, 1] for s in subjects])
    assert scores["features.12"] == pytest.approx(0.200, abs=0.005)
    assert scores["features.4"] == pytest.approx(0.020, abs=0.005)


def test_misfitting_weights_name_their_keys(test_data):
    with pytest.raises(ValueError, match="do not fit SqueezeNet"):
        build_backbone("torchvision:squeezenet1_0", weights=test_data / "weights" / "resnet20-12fca82f.th")


def test_a_classifier_no_token_sees_may_be_missing(tmp_path):
    source = build_backbone("torchvision:squeezenet1_1", weights="random", seed=3)
    state = {k: v for k, v in source.network.state_dict().items() if not k.startswith("classifier")}
    torch.save(state, tmp_path / "features.pth")
    found = build_backbone("torchvision:squeezenet1_1", weights=tmp_path / "features.pth")
    assert torch.equal(found.network.features[0].weight, source.network.features[0].weight)
    with pytest.raises(ValueError, match=r"missing \(2\): classifier\.1\.weight"):
        build_backbone("torchvision:squeezenet1_1", weights=tmp_path / "features.pth", layers=["classifier.1"])


def test_published_preprocessing_covers_the_whole_image():
    backbone = build_backbone("torchvision:efficientnet_b1", weights="random", layers=[0])
    assert backbone.preprocessing == Preprocessing((240, 240), interpolation="bilinear", crop=1.0)
    assert build_backbone("torchvision:vit_b_32", weights="random", layers=[0]).preprocessing.size == (224, 224)


def test_unknown_names_get_their_nearest():
    with pytest.raises(ValueError, match="Did you mean 'torchvision:squeezenet1_0'"):
        build_backbone("torchvision:squeezenet1.0")
    with pytest.raises(ValueError, match="For example"):
        build_backbone("torchvision")
    with pytest.raises(ValueError, match=r"Did you mean 'features.3'"):
        build_backbone("torchvision:squeezenet1_0", weights="random", layers=["feature.3"])


def test_old_densenet_files_are_read():
    old = {"features.denseblock1.denselayer2.norm.1.weight": torch.ones(1), "features.norm5.weight": torch.ones(1)}
    assert set(modern_names(old)) == {"features.denseblock1.denselayer2.norm1.weight", "features.norm5.weight"}


@pytest.mark.slow
def test_published_weights_would_fit_every_classifier():
    """The number of parameters that torchvision states for its files is that of the network built for them."""
    from torchvision import models

    for variant in models.list_models(module=models, exclude="regnet*"):  # these cannot be built without memory
        for entry in models.get_model_weights(variant):
            with torch.device("meta"):
                network = models.get_model(variant, weights=None, **_arguments(models, variant, entry))
            sizes = {name: p.numel() for name, p in network.named_parameters()}
            auxiliary = sum(size for name, size in sizes.items() if "aux" in name.lower())  # counted for some
            assert sum(sizes.values()) - entry.meta["num_params"] in (0, auxiliary), entry


def test_a_detector_gives_the_tokens_of_its_body(rng):
    backbone = build_backbone("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn", weights="random")
    assert backbone.preprocessing == Preprocessing((320, 320))
    layers = ["backbone.body.15", "backbone.fpn:pool", "rpn.head.cls_logits@0", "rpn.head.cls_logits@2"]
    some = build_backbone("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn", weights="random", layers=layers)
    images = torch.randn(2, 3, 64, 96, generator=rng)
    with torch.no_grad():
        maps = backbone.network.backbone(images)
        scores, _ = backbone.network.rpn.head(list(maps.values()))
    for _ in range(2):
        local, _ = some.get_tokens(images)
        assert torch.equal(local["backbone.body.15"], backbone.get_tokens(images).local["backbone.body.15"])
        assert torch.equal(local["backbone.fpn:pool"], maps["pool"])
        assert torch.equal(local["rpn.head.cls_logits@0"], scores[0])
        assert torch.equal(local["rpn.head.cls_logits@2"], scores[2])
    regions = build_backbone("torchvision:fasterrcnn_mobilenet_v3_large_320_fpn", weights="random", layers=[
        "roi_heads.box_head"])  # fmt: skip
    with pytest.raises(ValueError, match="for 2 images: no axis holds the images"):
        regions.get_tokens(images)


def test_optical_flow_sees_the_image_twice(rng):
    backbone = build_backbone("torchvision:raft_small", weights="random", layers=["context_encoder", -1])
    assert backbone.preprocessing == Preprocessing((224, 224), (0.5,) * 3, (0.5,) * 3)
    images = torch.randn(2, 3, 128, 128, generator=rng)
    local, _ = backbone.get_tokens(images)
    with torch.no_grad():
        assert torch.equal(local["context_encoder"], backbone.network.context_encoder(images))


def test_video_is_a_clip_that_stands_still(rng):
    backbone = build_backbone("torchvision:r3d_18", weights="random", layers=["layer1.0", "logits"])
    images = torch.randn(2, 3, 32, 32, generator=rng)
    clip = images[:, :, None].repeat(1, 1, 16, 1, 1)
    local, whole = backbone.get_tokens(images)
    with torch.no_grad():
        expected = backbone.network.layer1[0](backbone.network.stem(clip))
        assert torch.equal(whole["logits"], backbone.network(clip))
    torch.testing.assert_close(local["layer1.0"], expected.mean(2))


def test_what_is_listed_can_be_built():
    listed = BACKBONES.variants("torchvision")
    assert {"raft_large", "r3d_18", "fasterrcnn_resnet50_fpn", "fcn_resnet50"} <= set(listed)
    assert not any(name.startswith("quantized_") for name in listed)
    with pytest.raises(ValueError, match="its float twin, 'torchvision:resnet18'"):
        build_backbone("torchvision:quantized_resnet18", weights="random")
