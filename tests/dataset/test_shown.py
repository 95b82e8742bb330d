"""What was shown in a time series, as a set of stimuli."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.dataset import TimeSeries, Window
from brainnet.dataset.shown import in_context, names_shown, stimuli_shown
from brainnet.stimuli import Texts

WINDOWS = {"a": [Window(0, 2, "x"), Window(2, 2, "y")], "b": [Window(1, 2, "x")]}


def series(shown=None, stimuli=WINDOWS):
    rng = np.random.default_rng(0)
    data = TimeSeries({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(5, 2))}, tr=2.0, stimuli=stimuli)
    data.shown = shown
    return data


def test_stimuli_are_those_of_the_windows():
    texts = Texts({"z": "never shown", "y": "second", "x": "first"})
    found = stimuli_shown(series(texts), "text")
    assert names_shown(series()) == found.ids == ["x", "y"]
    assert list(found) == ["first", "second"]
    assert stimuli_shown(series({"x": "first", "y": "second"}), "text").ids == ["x", "y"]


def test_what_is_not_there_is_named(tmp_path):
    with pytest.raises(ValueError, match="1 of 2.*'y'"):
        stimuli_shown(series({"x": "first"}), "text")
    with pytest.raises(ValueError, match="TimeSeries does not know the sounds"):
        stimuli_shown(series(), "sound")
    with pytest.raises(ValueError, match="when"):
        stimuli_shown(series({"x": "first"}, {}), "text")
    with pytest.raises(ValueError, match="kind text"):
        stimuli_shown(series(Texts({"x": "first", "y": "second"})), "sound")
    with pytest.raises(FileNotFoundError, match="nowhere"):
        stimuli_shown(series(tmp_path / "nowhere"), "text")


def test_context_ends_at_the_beginning_of_a_run():
    words = {"x": "once", "y": "upon", "z": "a"}
    windows = {"a": [Window(0, 1, "x"), Window(1, 1, "y")], "b": [Window(0, 1, "z")]}
    assert list(in_context(windows, words, 5)) == ["once", "once upon", "a"]
    assert list(in_context(windows, words, 0)) == ["once", "upon", "a"]
    with pytest.raises(ValueError, match="context"):
        in_context(windows, words, -1)
