"""Batches of several kinds that behave as one tensor does."""

from __future__ import annotations

import torch

from brainnet._work import HalvedOnce
from brainnet.backbone.sequences.pair import Bundle, PairSeer


def test_a_bundle_comes_apart_and_goes_elsewhere():
    bundle = Bundle({"image": torch.arange(6.0).view(3, 2), "text": torch.arange(3)})
    assert len(bundle) == 3
    parts = bundle.chunk(2)
    assert [len(part) for part in parts] == [2, 1]
    assert parts[1]["text"].tolist() == [2]
    assert bundle.to(torch.float64)["image"].dtype == torch.float64
    assert [len(part) for part in HalvedOnce(lambda part: part)(bundle)] == [3]


def test_each_part_is_seen_by_its_own():
    see = PairSeer({"a": len, "b": str.upper})
    assert see({"a": "xyz", "b": "q", "c": 1}) == {"a": 3, "b": "Q"}
    assert see == PairSeer({"a": len, "b": str.upper})
    assert see != PairSeer({"a": len})
