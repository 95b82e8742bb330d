"""From tokens to rows: words for pools, ensembles against a loop, and nothing infinite."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch import nn

from brainnet.features.pools import members_of, pool_of, refuse_infinite, rows_of
from brainnet.tokens import Tokens


def some_tokens() -> Tokens:
    generator = torch.Generator().manual_seed(0)
    local = {
        name: torch.randn(2, c, h, h, generator=generator) for name, c, h in (("a", 3, 4), ("b", 5, 2), ("c", 2, 1))
    }
    return Tokens(local, {name: torch.randn(2, v.shape[1], generator=generator) for name, v in local.items()})


def test_words_of_pools():
    assert pool_of("mean", None) == ("mean", None)
    assert pool_of("patches", (2, 2)) == ("mean", (2, 2))
    assert pool_of("grid", (2, 3)) == ("flatten", (2, 3))
    with pytest.raises(ValueError, match="'native'"):
        pool_of("nativ", None)


def test_rows_are_the_features_of_the_tokens():
    tokens = some_tokens()
    rows = rows_of(tokens, ["b", "a"], "max")
    assert list(rows) == ["b", "a"]
    np.testing.assert_array_equal(rows["b"], tokens.local["b"].amax((2, 3)).numpy())
    rows = rows_of(tokens, ["a"], "all")["a"]  # as a transformer gives them: the class token, then the others
    expected = np.concatenate([tokens.global_["a"].numpy()[:, None], tokens.local["a"].flatten(2).mT.numpy()], 1)
    np.testing.assert_array_equal(rows, expected.reshape(2, -1))


def test_an_ensemble_is_the_weighted_maxima_of_its_members():
    tokens = some_tokens()
    rows = rows_of(tokens, ["conv_ensemble", "a"], "mean", {"conv_ensemble": ["a", "b", "c"]})
    for image in range(2):
        expected = [
            tokens.local[name][image, k].max().item() * weight
            for name, weight in (("a", 1), ("b", 3), ("c", 5))
            for k in range(tokens.local[name].shape[1])
        ]
        np.testing.assert_allclose(rows["conv_ensemble"][image], expected, rtol=1e-6)
    np.testing.assert_allclose(rows["a"], tokens.local["a"].mean((2, 3)).numpy())


def test_the_members_of_ensembles_are_those_of_alexnet_and_vgg():
    torchvision = pytest.importorskip("torchvision")
    network = torchvision.models.alexnet(weights=None)
    assert members_of(network, "conv_ensemble") == [f"features.{k}" for k in (0, 3, 6, 8, 10)]
    assert members_of(network, "maxpool_ensemble") == [f"features.{k}" for k in (2, 5, 12)]
    with pytest.raises(ValueError, match="Sequential"):
        members_of(nn.Sequential(nn.Conv2d(3, 3, 3)), "conv_ensemble")


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
def test_nothing_infinite_is_kept(value):
    rows = {"a": np.zeros((3, 2), np.float32), "b": np.ones((3, 4), np.float32)}
    refuse_infinite(rows, ["x", "y", "z"])
    rows["b"][1, 2] = value
    with pytest.raises(ValueError, match="'b'.*'y'"):
        refuse_infinite(rows, ["x", "y", "z"])
