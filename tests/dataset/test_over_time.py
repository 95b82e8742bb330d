"""Presentations whose runs are not known; the RDMs themselves are tested with the method of every data set."""

import pytest

from brainnet.dataset.over_time import dealt


def test_presentations_without_runs_are_dealt_alike():
    parts = dealt(["b", "a", "a", "b", "a", "b", "a"])
    assert parts.tolist() == [0, 0, 1, 1, 2, 2, 0]  # three of b, four of a: three parts
    with pytest.raises(ValueError, match="'c'"):
        dealt(["a", "a", "c"])
