from __future__ import annotations

import pytest
import timm

from brainnet.backbone.facts.timm import KINDS, describe, method_of, series_of, training_sets_of

RECORDS = {record["variant"]: record for record in describe()}


@pytest.mark.parametrize(
    ("variant", "facts"),
    [
        ("resnet50.a1_in1k", {"task": "classification", "training_set": "imagenet-1k", "method": "supervised",
                              "series": "resnet", "kind": "convolution", "license": "apache-2.0", "image_size": 224,
                              "source": "https://huggingface.co/timm/resnet50.a1_in1k"}),
        ("vit_base_patch16_224.mae", {"task": "representation", "training_set": "imagenet-1k", "method": "mae",
                                      "kind": "transformer", "license": "cc-by-nc-4.0"}),
        ("vit_small_patch14_dinov2.lvd142m", {"method": "dino-v2", "training_set": "lvd-142m", "image_size": 518}),
        ("vit_base_patch16_dinov3.lvd1689m", {"method": "dino-v3", "license": "dinov3-license"}),
        ("vit_base_patch16_224.sam_in1k", {"method": "supervised", "task": "classification"}),  # an optimizer
        ("samvit_base_patch16.sa1b", {"method": "mae, segment-anything", "task": "promptable segmentation"}),
        ("vit_large_patch14_clip_224.openai_ft_in12k_in1k",
         {"method": "clip, supervised", "training_set": "openai-wit, imagenet-12k, imagenet-1k"}),
        ("vit_base_patch16_clip_224.openai", {"task": "image-text matching", "method": "clip"}),
        ("tf_efficientnet_b7.ns_jft_in1k", {"method": "noisy-student", "training_set": "jft-300m, imagenet-1k"}),
        ("deit_tiny_distilled_patch16_224.fb_in1k", {"training_set": "imagenet-1k"}),
        ("vit_base_patch16_224.orig_in21k", {"task": "classification", "training_set": "imagenet-22k"}),
        ("mixer_s16_224=random", {"method": "untrained", "training_set": "none", "kind": "mlp"}),
        ("caformer_s18.sail_in1k", {"kind": "hybrid"}),
    ],
)  # fmt: skip
def test_tags_are_understood(variant, facts):
    assert {name: RECORDS[variant][name] for name in facts} == facts


def test_every_kind_is_of_a_module_that_there_is():
    series = {record["series"] for record in RECORDS.values()}
    assert set(KINDS) - series <= {"deepseek_vit", "gemma4_vit", "qwen3_vit", "csatv2", "lowformer"}  # of newer timm
    assert series_of("resnet50") == "resnet"


def test_every_set_of_weights_has_a_record():
    assert {name for name in RECORDS if "=" not in name} == set(timm.list_pretrained())
    assert {name.partition(".")[0].partition("=")[0] for name in RECORDS} == set(timm.list_models())


def test_stages_of_training_are_told_in_their_order():
    assert training_sets_of("beit", "in1k_ft_in22k_in1k") == "imagenet-1k, imagenet-22k"
    assert method_of("fastvit", "fastvit_t8", "apple_dist_in1k", True) == "supervised, distillation"
