from __future__ import annotations

import pytest

from brainnet.backbone.facts.transformers import SERIES, describe
from brainnet.backbone.families.transformers import KNOWN


def test_names_stand_once_and_include_those_of_the_family():
    names = [record["variant"] for record in describe()]
    assert len(names) == len(set(names)) > 100
    assert set(KNOWN) <= set(names)
    assert all(name.count("/") == 1 and "{" not in name for name in names)


def test_every_record_says_what_it_needs():
    assert all("network connection" in record["needs"] for record in describe())


def test_series_are_words_of_the_library():
    transformers = pytest.importorskip("transformers")
    for one in SERIES:
        assert transformers.AutoConfig.for_model(one.series).model_type == one.series
