"""Tokens of stimuli as tokens of volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset import TimeSeries, Window, volume_tokens
from brainnet.series import delayed
from brainnet.store import TokenStore
from brainnet.tokens import Tokens


def test_tokens_of_stimuli_are_averaged_over_volumes_and_delayed():
    rng = np.random.default_rng(0)
    windows = {"a": [Window(0, 3, "x"), Window(3, 3, "y")], "b": [Window(2, 2, "y")]}
    runs = {"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(5, 2))}
    data = TimeSeries(runs, tr=2.0, test=["b"], stimuli=windows)
    local = {"3": torch.randn(2, 4, 1, 3), "5": torch.randn(2, 6, 1, 3)}
    store = TokenStore.from_tokens([Tokens(local, {k: v.mean((2, 3)) for k, v in local.items()})], ["y", "x"])
    found = volume_tokens(data, store, [0, 2])
    assert found.image_ids == data.image_ids
    tokens = found.tokens()
    assert tokens.local["5"].shape == (11, 12, 1, 3)
    y, x = local["5"]
    torch.testing.assert_close(tokens.local["5"][1, :6], (x + y) / 2)  # a second of each
    torch.testing.assert_close(tokens.local["5"][2, :6], y)
    torch.testing.assert_close(tokens.local["5"][3, 6:], (x + y) / 2)
    torch.testing.assert_close(tokens.local["5"][7, :6], y)
    assert (tokens.local["5"][6:8, 6:] == 0).all()  # two volumes before is another run
    torch.testing.assert_close(tokens.global_["3"], tokens.local["3"].mean((2, 3)))


def test_features_of_volumes_become_tokens_of_one_place():
    rng = np.random.default_rng(0)
    data = TimeSeries({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(5, 2))}, tr=2.0)
    x = rng.normal(size=(11, 3)).astype(np.float32)
    store = volume_tokens(data, {"4": x}, [1, 3])
    np.testing.assert_array_equal(store.features("4", "flatten"), delayed(x, [1, 3], data.groups))
    assert store.fingerprint != volume_tokens(data, {"4": x}, [1, 2]).fingerprint
    with pytest.raises(ValueError, match="'4' has 10 rows.*11 volumes"):
        volume_tokens(data, {"4": x[:10]}, [1])
    with pytest.raises(ValueError, match="stimuli"):
        volume_tokens(data, store, [1])
