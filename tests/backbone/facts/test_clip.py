from __future__ import annotations

import open_clip

from brainnet.backbone import BACKBONES
from brainnet.backbone.facts.clip import describe, describe_text

RECORDS = {record["variant"]: record for record in describe()}


def test_every_set_of_weights_has_a_record():
    assert {name for name in RECORDS if not name.endswith("=random")} == {
        f"{name}={tag}" for name, tag in open_clip.list_pretrained()
    }
    assert {record["architecture"] for record in RECORDS.values()} == set(open_clip.list_models())


def test_tags_are_understood():
    assert RECORDS["ViT-B-16=openai"]["training_set"] == "openai-wit"
    assert RECORDS["ViT-B-16-SigLIP2=webli"]["method"] == "siglip-2"
    assert RECORDS["coca_ViT-B-32=mscoco_finetuned_laion2b_s13b_b90k"]["training_set"] == "laion-2b, coco"
    assert RECORDS["RN50=openai"]["kind"] == "convolution"
    assert RECORDS["convnext_base=laion400m_s13b_b51k"]["series"] == "convnext"
    assert RECORDS["ViT-B-32-256=datacomp_s34b_b86k"]["image_size"] == 256


def test_text_towers_are_those_of_their_family():
    records = list(describe_text())
    assert [record["variant"] for record in records] == BACKBONES.variants("clip_text")
    assert {record["training_set"] for record in records} >= {"openai-wit", "webli"}
