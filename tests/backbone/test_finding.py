"""Finding networks: by every column, by several at once, and the reason where there is none."""

from __future__ import annotations

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainnet.backbone import build_backbone, find_backbones
from brainnet.backbone.finding import Query, count, is_like, meanings, search
from brainnet.backbone.kinds import kind_read_by
from brainnet.backbone.networks import COLUMNS, Network, all_networks, networks_of


def names(**query) -> list[str]:
    return [network.name for network in search(Query(**query))[0]]


def test_a_table_whose_names_are_built():
    found = find_backbones(trained_on="ecoset", architecture="resnet")
    assert list(found.columns) == list(COLUMNS)
    assert found["name"].tolist() == ["ecoset:resnet50"]
    assert build_backbone(found["name"][0], weights="random").name == "ecoset:resnet50"
    assert isinstance(found["parameters"].dtype, pd.Int64Dtype)
    assert len(find_backbones()) == len(list(all_networks()))


def test_weights_behind_a_name_are_taken_unless_others_are_said():
    found = find_backbones(family="clip", like="ViT-S-32-alt")
    assert found["name"].tolist() == ["clip:ViT-S-32-alt=random"]
    assert build_backbone(found["name"][0]).name == "clip:ViT-S-32-alt"
    with pytest.raises(ValueError, match="'IMAGENET1K_V9'"):
        build_backbone("torchvision:resnet18=IMAGENET1K_V9")
    build_backbone("torchvision:squeezenet1_1=IMAGENET1K_V1", weights="random")


@pytest.mark.parametrize(
    ("query", "inside"),
    [
        ({"method": "SimCLR"}, "ssl:simclr_resnet50"),
        ({"method": "Jigsaw"}, "ssl:jigsaw_resnet50"),
        ({"method": "RotNet", "trained_on": "ImageNet"}, "ssl:rotnet_resnet50"),
        ({"trained_on": "Taskonomy"}, "taskonomy:normal"),
        ({"task": "Various visual tasks", "like": "depth"}, "taskonomy:depth_zbuffer"),
        ({"family": "clip_text", "method": "siglip"}, "clip_text:ViT-B-16-SigLIP=webli"),
        ({"method": "MoCo"}, "ssl:mocov2_resnet50"),
        ({"method": "SwAV"}, "ssl:swav_resnet50"),
        ({"method": "Deepcluser"}, "ssl:deepclusterv2_resnet50"),
        ({"method": "Contrastive Language Image Pre-Training"}, "clip:ViT-B-32=openai"),
        ({"method": "self-supervised", "architecture": "Vision Transformer"}, "timm:vit_base_patch16_224.mae"),
        ({"task": "Object Detection", "trained_on": "COCO", "like": "fpn"},
         "torchvision:fasterrcnn_resnet50_fpn=COCO_V1"),
        ({"task": "Instance Segmentation"}, "torchvision:maskrcnn_resnet50_fpn=COCO_V1"),
        ({"task": "Keypoint Detection"}, "torchvision:keypointrcnn_resnet50_fpn=COCO_V1"),
        ({"task": "Pose Estimation"}, "torchvision:keypointrcnn_resnet50_fpn=COCO_V1"),
        ({"task": "Semantic Segmentation"}, "torchvision:fcn_resnet50=COCO_WITH_VOC_LABELS_V1"),
        ({"task": "Panoptic Segmentation"}, "transformers:facebook/mask2former-swin-tiny-coco-panoptic"),
        ({"task": "Video Classification"}, "torchvision:r3d_18=KINETICS400_V1"),
        ({"task": "Image Classification", "architecture": "Convolutional Neural Network"}, "cornet:z"),
        ({"trained_on": "ImageNet"}, "torchvision:alexnet=IMAGENET1K_V1"),
        ({"trained_on": "ImageNet 22K"}, "timm:convnext_base.fb_in22k"),
        ({"trained_on": "Places 365"}, "places365:resnet50"),
        ({"trained_on": "ADEK20K"}, "transformers:nvidia/segformer-b0-finetuned-ade-512-512"),
        ({"trained_on": "none"}, "expansion:small"),
        ({"method": "untrained", "family": "timm"}, "timm:mixer_s16_224=random"),
        ({"architecture": "swin_transformer"}, "timm:swin_tiny_patch4_window7_224.ms_in1k"),
        ({"architecture": "resnet50"}, "torchvision:resnet50=IMAGENET1K_V2"),
    ],
)  # fmt: skip
def test_what_others_search_for_is_found(query, inside):
    assert inside in names(**query)


def test_networks_are_found_by_what_they_read():
    sounds = find_backbones(reads="audio")
    assert set(sounds["reads"]) == {"sound"}
    assert {"silero:vad", "transformers:openai/whisper-base"} <= set(sounds["name"])
    texts = names(reads="text")
    assert {"clip_text:ViT-B-32=openai", "transformers:sentence-transformers/all-MiniLM-L6-v2",
            "transformers:openai/clip-vit-base-patch16"} <= set(texts)  # fmt: skip
    assert "clip:ViT-B-32=openai" not in texts
    assert set(find_backbones(reads="video")["reads"]) == {"video"}
    assert "transformers:google/siglip-base-patch16-224" in names(reads="pair")
    for network in networks_of("silero") + networks_of("clip_text") + networks_of("video"):
        assert network.reads == kind_read_by(network.name)
    with pytest.raises(ValueError, match="kind of stimuli 'vido'.*'video'"):
        find_backbones(reads="vido")


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"method": "ClusterFit"}, "VISSL"),
        ({"method": "BYOL", "trained_on": "ImageNet"}, "JAX"),
        ({"trained_on": "LVIS"}, "detectron2"),
        ({"like": "panoptic_fpn"}, "detectron2"),
        ({"like": "slowfast_r50"}, "video"),
        ({"like": "yolov5s"}, "torch.hub"),
        ({"like": "harmon"}, "Keras"),
        ({"like": "voneresnet50"}, "noise"),
        ({"task": "classification", "like": "there_is_none"}, "task 'classification', like 'there_is_none'"),
    ],
)
def test_where_there_is_none_a_reason_is_given(query, words):
    with pytest.warns(UserWarning, match=words):
        found = find_backbones(**query)
    assert found.empty
    assert words in found.attrs["why"]
    assert list(found.columns) == list(COLUMNS)


def test_a_word_of_an_architecture_is_no_reason_of_another_network():
    with pytest.warns(UserWarning, match="like 'resnet50'"):
        why = find_backbones(family="cornet", like="resnet50").attrs["why"]
    assert "BYOL" not in why


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ({"task": "object detektion"}, "task 'object detektion'.*'object detection'"),
        ({"trained_on": "imagnet"}, "training set 'imagnet'.*'imagenet-1k'"),
        ({"method": "simclar"}, "method 'simclar'.*'simclr'"),
        ({"method": "supervised + simclar"}, "method 'simclar'.*'simclr'"),
        ({"architecture": "transfomer"}, "architecture 'transfomer'.*'transformer'"),
        ({"family": "tim"}, "family 'tim'.*'timm'"),
        ({"max_params": "30 trillion"}, "'30 trillion'"),
        ({"min_params": -1}, "-1"),
    ],
)
def test_a_wrong_word_meets_the_nearest(query, words):
    with pytest.raises(ValueError, match=words):
        find_backbones(**query)


def test_several_words_are_alternatives_and_a_plus_asks_for_both():
    simclr, swav = names(method="simclr"), names(method="swav")
    assert set(names(method=["simclr", "swav"])) == {*simclr, *swav}
    both = names(trained_on="imagenet-22k + imagenet-1k")
    assert set(both) == set(names(trained_on="imagenet-22k")) & set(names(trained_on="imagenet"))
    assert "timm:vit_base_patch16_224.augreg_in21k_ft_in1k" in both


def test_everything_asked_holds():
    found = find_backbones(task="classification", family=["timm", "torchvision"], like="convnext*", max_params="30M")
    assert len(found) > 20
    assert set(found["family"]) == {"timm", "torchvision"}
    assert found["parameters"].max() <= 30e6
    assert found["name"].str.contains("convnext").all()


@given(st.integers(0, 10**10), st.integers(0, 10**10))
def test_bounds_part_the_table(low, high):
    rows = [network for network in all_networks() if network.family in ("timm", "torchvision")]
    inside = names(family=["timm", "torchvision"], min_params=low, max_params=max(low, high))
    assert inside == [n.name for n in rows if n.parameters is not None and low <= n.parameters <= max(low, high)]


@given(st.floats(0.1, 999), st.sampled_from(["", "k", "K", "m", "M", "b", "B"]))
def test_counts_are_read_with_their_unit(number, unit):
    size = {"": 1, "k": 1e3, "m": 1e6, "b": 1e9}[unit.lower()]
    assert count(f"{number:.3f}{unit}") == round(float(f"{number:.3f}") * size)


def test_words_for_several():
    assert meanings("method", "contrastive language image pre-training") == [frozenset({"clip"})]
    assert meanings("trained_on", "ImageNet-21k") == [frozenset({"imagenet22k"})]


def test_names_are_alike_whatever_is_between_their_parts():
    network = Network("timm:vit_base_patch16_224.mae", "timm", "vit_base_patch16_224")
    assert is_like(network, "ViT-Base")
    assert is_like(network, "timm:*.mae")
    assert not is_like(network, "resnet")
