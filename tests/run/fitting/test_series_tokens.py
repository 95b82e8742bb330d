"""New stimuli in time for a run on a time series."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset import TimeSeries, Window, volume_tokens
from brainnet.run.fitting.series_tokens import tokens_over_time
from brainnet.stimuli import Texts
from brainnet.store import TokenStore
from brainnet.tokens import Tokens


def store_of(n, seed=0):
    local = {"3": torch.randn(n, 4, 1, 2, generator=torch.Generator().manual_seed(seed))}
    return TokenStore.from_tokens([Tokens(local, {"3": local["3"].mean((2, 3))})], [str(i) for i in range(n)])


def test_tokens_of_new_stimuli_are_those_that_a_training_run_has():
    """A series with the same windows, all of it training, has the same tokens at its volumes."""
    rng = np.random.default_rng(0)
    onsets, durations = np.array([0.0, 3.0, 5.5]), np.array([3.0, 2.0, 1.5])
    store, shown = store_of(3), Texts(["a", "b", "c"], onsets=onsets, durations=durations)
    found = tokens_over_time(store, shown, 2.0, [1, 3])
    assert len(found.global_["3"]) == 7  # seven seconds, and three volumes behind them
    windows = {"r": [Window(o, d, str(i)) for i, (o, d) in enumerate(zip(onsets, durations, strict=True))]}
    data = TimeSeries({"r": rng.normal(size=(7, 2))}, tr=2.0, stimuli=windows)
    expected = volume_tokens(data, store, [1, 3], center=False).tokens()
    torch.testing.assert_close(found.local["3"], expected.local["3"])
    torch.testing.assert_close(found.global_["3"], expected.global_["3"])


def test_a_stimulus_without_a_duration_lasts_until_the_next():
    found = tokens_over_time(store_of(2), Texts(["a", "b"], onsets=[0, 4]), 2.0, [0])
    rows = found.global_["3"]
    assert len(rows) == 3
    torch.testing.assert_close(rows[0], rows[1])
    assert not torch.allclose(rows[1], rows[2])


def test_what_has_no_time_is_refused():
    with pytest.raises(ValueError, match="onset"):
        tokens_over_time(store_of(2), Texts(["a", "b"]), 2.0, [0])
    with pytest.raises(ValueError, match="overlap"):
        tokens_over_time(store_of(2), Texts(["a", "b"], onsets=[0, 1], durations=[3, 1]), 2.0, [0])
    with pytest.raises(ValueError, match="rise.*number 1"):
        tokens_over_time(store_of(2), Texts(["a", "b"], onsets=[4, 2]), 2.0, [0])
    for wrong in ({"onsets": [0, 3e6]}, {"onsets": [0, 1], "durations": [1, 1e12]}):  # milliseconds
        with pytest.raises(ValueError, match="more than a day.*in seconds"):
            tokens_over_time(store_of(2), Texts(["a", "b"], **wrong), 2.0, [0])


def test_each_layer_may_have_delays_of_its_own():
    shown = Texts(["a", "b"], onsets=[0, 4], durations=[4, 4])
    found = tokens_over_time(store_of(2), shown, 2.0, {"3": [1]})
    torch.testing.assert_close(found.global_["3"], tokens_over_time(store_of(2), shown, 2.0, [1]).global_["3"])
