"""Tokens of stimuli as tokens of volumes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset import TimeSeries, Window, volume_tokens
from brainnet.dataset.series_tokens import series_tokens
from brainnet.series import delayed
from brainnet.store import TokenStore
from brainnet.tokens import Tokens
from tests.toy_words import WordVectors


def test_tokens_of_stimuli_are_averaged_over_volumes_and_delayed():
    rng = np.random.default_rng(0)
    windows = {"a": [Window(0, 3, "x"), Window(3, 3, "y")], "b": [Window(2, 2, "y")]}
    runs = {"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(5, 2))}
    data = TimeSeries(runs, tr=2.0, test=["b"], stimuli=windows)
    local = {"3": torch.randn(2, 4, 1, 3), "5": torch.randn(2, 6, 1, 3)}
    store = TokenStore.from_tokens([Tokens(local, {k: v.mean((2, 3)) for k, v in local.items()})], ["y", "x"])
    found = volume_tokens(data, store, [0, 2], center=False)
    assert found.image_ids == data.image_ids
    tokens = found.tokens()
    assert tokens.local["5"].shape == (11, 12, 1, 3)
    y, x = local["5"]
    torch.testing.assert_close(tokens.local["5"][1, :6], (x + y) / 2)  # a second of each
    torch.testing.assert_close(tokens.local["5"][2, :6], y)
    torch.testing.assert_close(tokens.local["5"][3, 6:], (x + y) / 2)
    torch.testing.assert_close(tokens.local["5"][7, :6], y)
    mean = tokens.local["5"][:6, :6].mean(0)  # of the training run
    torch.testing.assert_close(tokens.local["5"][6:8, 6:], mean.expand(2, -1, -1, -1))  # not of another run
    torch.testing.assert_close(tokens.global_["3"], tokens.local["3"].mean((2, 3)))


def test_features_of_volumes_become_tokens_of_one_place():
    rng = np.random.default_rng(0)
    data = TimeSeries({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(5, 2))}, tr=2.0)
    x = rng.normal(size=(11, 3)).astype(np.float32)
    store = volume_tokens(data, {"4": x}, [1, 3], center=False)
    centered = volume_tokens(data, {"4": x}, [1, 3])
    expected = delayed(x - x.mean(0), [1, 3], data.groups)
    np.testing.assert_allclose(centered.features("4", "flatten"), expected, atol=1e-6)
    np.testing.assert_allclose(store.features("4", "flatten"), expected + np.tile(x.mean(0), 2), atol=1e-6)
    assert store.fingerprint != volume_tokens(data, {"4": x}, [1, 2], center=False).fingerprint
    with pytest.raises(ValueError, match="'4' has 10 rows.*11 volumes"):
        volume_tokens(data, {"4": x[:10]}, [1])
    with pytest.raises(ValueError, match="stimuli"):
        volume_tokens(data, store, [1])


def test_a_network_is_asked_for_the_stimuli_and_its_answers_are_kept(tmp_path):
    rng = np.random.default_rng(0)
    windows = {"a": [Window(0, 4, "x"), Window(4, 4, "y")], "b": [Window(0, 10, "y")]}
    data = TimeSeries({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(5, 2))}, tr=2.0, test=["b"], stimuli=windows)
    data.shown = {"x": "a bird", "y": "a house"}
    network, asked = WordVectors(), []
    answer = network.get_tokens
    network.get_tokens = lambda x: asked.append(len(x)) or answer(x)
    how = {"path": tmp_path / "tokens.bin", "grid": (1, 1), "progress": False}
    store = series_tokens(network, data, [0, 2], **how)
    mean = store.features("1", "global")[:6, :12].mean(0)
    np.testing.assert_allclose(mean, 0, atol=1e-6)  # over the training run
    assert asked == [2]
    again = series_tokens(network, data, [1], **how)
    assert asked == [2]  # other delays of the same tokens
    np.testing.assert_array_equal(again.features("1", "global")[1:6], store.features("1", "global")[:5, :12])


def test_each_layer_may_have_its_own_delays():
    rng = np.random.default_rng(0)
    data = TimeSeries({"a": rng.normal(size=(6, 2)), "b": rng.normal(size=(5, 2))}, tr=2.0)
    values = {"4": rng.normal(size=(11, 3)), "5": rng.normal(size=(11, 2))}
    assert volume_tokens(data, values, {"4": [1, 2, 3]}).layer_widths == (9, 2)
    with pytest.raises(ValueError, match="'6'"):
        volume_tokens(data, values, {"6": [1]})
