"""Names of classes: the table in the order of the outputs, each name once, and softmax by hand."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.special import softmax

from brainnet.features.labels import class_names, top_classes


def test_the_names_are_in_the_order_of_the_outputs():
    names = class_names(1000)
    # sorted by WordNet number: as the synset list of another tool is not, which begins with a kit fox
    assert [names[i] for i in (0, 1, 207, 281, 517, 999)] == [
        "tench", "goldfish", "golden retriever", "tabby", "crane", "toilet tissue",
    ]  # fmt: skip
    assert len(set(names)) == 1000
    assert class_names(1001)[:2] == ["background", "tench"]
    assert class_names(1001)[518] == names[517]


def test_larger_tables_are_timms():
    timm = pytest.importorskip("timm")
    names = class_names(11821)
    assert len(set(names)) == 11821
    assert names[7] == timm.data.ImageNetInfo("imagenet-12k").index_to_description(7)


def test_other_numbers_of_classes_need_names():
    with pytest.raises(ValueError, match="365"):
        class_names(365)


def test_probabilities_are_the_softmax_and_sorted():
    logits = np.random.default_rng(0).normal(size=(4, 6)).astype(np.float32) * 3000
    names = ["a", "b", "a", "c", "d", "e"]  # a repeated name would hide a class
    found = top_classes(logits, list("wxyz"), 6, names)
    for row, (_, chances) in zip(softmax(logits.astype(float), 1), found.items(), strict=True):
        assert sum(chances.values()) == pytest.approx(1)
        assert list(chances.values()) == sorted(chances.values(), reverse=True)
        for k, name in enumerate(["a (0)", "b", "a (2)", "c", "d", "e"]):
            assert chances[name] == pytest.approx(row[k], abs=1e-6)
    assert [len(chances) for chances in top_classes(logits, list("wxyz"), 2, names).values()] == [2] * 4


@pytest.mark.parametrize(("ids", "names"), [(["a"], None), (["a", "a"], ["x", "y", "z"]), (["a", "b"], ["x", "y"])])
def test_wrong_numbers_of_names_are_told(ids, names):
    with pytest.raises(ValueError, match="names"):
        top_classes(np.zeros((2, 3)), ids, names=names)
