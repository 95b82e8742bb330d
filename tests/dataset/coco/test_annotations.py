"""COCO's files are read for the wanted photographs alone; what is damaged is told by its file and annotation."""

from __future__ import annotations

import json

import numpy as np
import pytest

from brainnet.dataset.coco import CocoAnnotations
from tests.dataset.coco.coco_folder import CAPTIONS, FIRST, HEIGHT, SECOND, WIDTH, write_coco

TRAIN = (FIRST, "train2017")


@pytest.fixture
def coco(tmp_path):
    return write_coco(tmp_path / "coco")


def test_captions_are_all_of_them(coco):
    assert CocoAnnotations(coco).captions(*TRAIN) == [text.strip() for text in CAPTIONS]


def test_masks_have_exactly_the_pixels_that_were_outlined(coco):
    masks = CocoAnnotations(coco, {FIRST}).masks(*TRAIN)
    expected = np.zeros((4, HEIGHT, WIDTH), bool)
    expected[0, 10:20, 20:30] = expected[1, 12:30, 22:26] = expected[2, 25:40, 15:50] = expected[3, :5, :5] = True
    assert np.array_equal(masks.pixels, expected)
    assert masks.names == ("dog", "person", "person", "toothbrush")
    assert masks.category_ids == (18, 1, 1, 90)
    assert masks.ids == (71, 72, 73, 74)
    assert masks.crowds == (False, False, True, False)
    assert masks.pixels[0].sum() == 100  # the annotation's own area
    top = masks.by_category()
    assert (top[13, 23], top[11, 21], top[30, 40], top[0, 0], top[39, 0]) == (1, 18, 1, 90, 0)


def test_a_photograph_without_things_has_none(coco):
    masks = CocoAnnotations(coco).masks(SECOND, "val2017")
    assert masks.pixels.shape == (0, HEIGHT, WIDTH)
    assert not masks.by_category().any()


def test_only_the_wanted_are_kept_and_a_file_is_read_once(coco):
    annotations = CocoAnnotations(coco / "annotations", {FIRST})
    assert annotations.size(*TRAIN) == (HEIGHT, WIDTH)
    with pytest.raises(ValueError, match="instances_train2017.json has no photograph 5"):
        annotations.size(5, "train2017")
    assert CocoAnnotations(coco).size(5, "train2017") == (4, 4)
    (coco / "annotations/instances_train2017.json").unlink()
    assert annotations.size(*TRAIN) == (HEIGHT, WIDTH)


def test_missing_and_damaged_files_are_named(coco):
    with pytest.raises(FileNotFoundError, match="captions_val2017.json"):
        CocoAnnotations(coco).captions(SECOND, "val2017")
    path = coco / "annotations/instances_train2017.json"
    whole = path.read_text()
    for text, words in ((whole[:100], "damaged"), ("[]", "list"), ("{}", "no 'images'"),
                        (json.dumps({"images": [{"id": 5}], "annotations": [{}]}), "no 'image_id'")):  # fmt: skip
        path.write_text(text)
        with pytest.raises(ValueError, match=words) as raised:
            CocoAnnotations(coco).size(*TRAIN)
        assert "instances_train2017.json" in str(raised.value)
    for segmentation in ({"counts": [5], "size": [HEIGHT, WIDTH]}, [[1, 2, 3]], None):
        content = json.loads(whole)
        content["annotations"][1]["segmentation"] = segmentation
        path.write_text(json.dumps(content))
        with pytest.raises(ValueError, match=f"annotation 72 of photograph {FIRST}"):
            CocoAnnotations(coco).masks(*TRAIN)
