from __future__ import annotations

import logging

import pytest

from brainnet.config import load_config
from brainnet.encode import find_estimators
from brainnet.encode.grid import with_alphas
from brainnet.run.encoding.choices import Choices, check_choices, read_alphas, subject_configs
from tests.toys import Whereabouts


@pytest.mark.parametrize("text", ["", "x", "1,-2", "nan", "1:2", "10:1:3", "1:10:1", "0:10:3", "1:10:x", "inf"])
def test_penalties_that_mean_nothing_are_refused(text):
    with pytest.raises(ValueError, match="--alphas"):
        read_alphas(text)


def test_penalties_reach_every_method_that_takes_them(caplog):
    alphas = (1.0, 100.0)
    found = with_alphas(find_estimators(["ridge", "banded", "stacked", "window"]), alphas)
    assert [tuple(found[name].alphas) for name in ("ridge", "banded", "window")] == [alphas] * 3
    assert found["stacked"].estimator.alphas == alphas
    assert find_estimators(["ridge"])["ridge"].alphas is None  # the registry's own are as they were
    own = Whereabouts()
    with caplog.at_level(logging.INFO, logger="brainnet.progress"):
        mixed = with_alphas({"ridge": found["ridge"], "own": own}, alphas)
    assert "own has no parameter alphas" in caplog.text
    assert mixed["own"] is own
    with pytest.raises(ValueError, match="own has no parameter alphas"):
        with_alphas({"own": own}, alphas)


def test_words_are_checked_before_any_work():
    for choices, said in (
        (Choices(pool="men"), "'mean'"),
        (Choices(controls=["shuffle"]), "'shuffled'"),
        (Choices(methods=["rigde"]), "'ridge'"),
    ):
        with pytest.raises(ValueError, match=said):
            check_choices(choices)


def test_a_subject_is_called_by_its_folder_where_the_data_have_one():
    def name(*overrides):
        (found,) = subject_configs(load_config(None, overrides), None)
        return found

    assert name("DATASET.NAME", "array", "DATASET.DATA_DIR", "/data/anna") == "anna"
    assert name("DATASET.NAME", "simulated_series", "DATASET.DATA_DIR", "/data/anna") == "simulated_series"
    assert name("DATASET.NAME", "array", "DATASET.SESSION", "7") == "7"
