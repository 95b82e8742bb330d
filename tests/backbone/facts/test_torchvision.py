from __future__ import annotations

import torchvision.models as models

from brainnet.backbone.facts.torchvision import describe

RECORDS = {record["variant"]: record for record in describe()}


def test_every_set_of_weights_has_a_record():
    published = {f"{name}={entry.name}" for name in models.list_models() if not name.startswith("quantized_")
                 for entry in models.get_model_weights(name)}  # fmt: skip
    assert {name for name in RECORDS if not name.endswith("=random")} == published


def test_records_say_what_the_library_says():
    facts = RECORDS["resnet50=IMAGENET1K_V2"]
    entry = models.ResNet50_Weights.IMAGENET1K_V2
    assert (facts["parameters"], facts["source"]) == (entry.meta["num_params"], entry.url)
    assert facts["top1"] == entry.meta["_metrics"]["ImageNet-1K"]["acc@1"]
    assert facts["digest"] in entry.url
    assert RECORDS["vgg16=IMAGENET1K_FEATURES"]["top1"] is None
    assert RECORDS["vit_b_16=IMAGENET1K_SWAG_E2E_V1"]["license"] == "cc-by-nc-4.0"


def test_tasks_are_those_of_the_modules():
    tasks = {name: RECORDS[name]["task"] for name in RECORDS}
    assert tasks["maskrcnn_resnet50_fpn=COCO_V1"] == "object detection, instance segmentation"
    assert tasks["raft_small=C_T_V2"] == "optical flow"
    assert tasks["s3d=KINETICS400_V1"] == "video classification"
    assert RECORDS["swin3d_b=KINETICS400_IMAGENET22K_V1"]["training_set"] == "imagenet-22k, kinetics-400"
