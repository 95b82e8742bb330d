"""Token maps in batches: pooled and whole, against the maps themselves."""

import pickle

import pytest
import torch

from brainnet.ridge.token_maps import TokenMaps, window_grid
from brainnet.selection import gaussian_windows
from brainnet.tokens import Tokens


@pytest.fixture
def local(rng):
    return {"a": torch.randn(11, 3, 2, 4, generator=rng), "b": torch.randn(11, 5, 2, 4, generator=rng)}


def batches(local, size=4):
    return [Tokens({k: v[i : i + size] for k, v in local.items()}, {}) for i in range(0, 11, size)]


@pytest.mark.parametrize("form", ["maps", "tokens", "list", "callable"])
def test_every_form_gives_the_same(local, form):
    given = {
        "maps": local, "tokens": Tokens(local, {}), "list": batches(local), "callable": lambda: iter(batches(local))
    }[form]  # fmt: skip
    maps = TokenMaps(given)
    assert (maps.widths, maps.grid, maps.count()) == ({"a": 3, "b": 5}, (2, 4), 11)
    windows = torch.tensor([[0.5, -0.5, 0.4], [0.0, 0.0, 1.0]])
    pooled = maps.pooled(windows, 11)
    for layer, tokens in local.items():
        expected = (tokens[None] * gaussian_windows(windows, (2, 4))[:, None, None]).sum((3, 4))
        torch.testing.assert_close(pooled[layer], expected)


@pytest.mark.parametrize("at_once", [1, 2, 4, 100])
def test_columns_are_the_flattened_maps(local, at_once):
    passes = []
    maps = TokenMaps(lambda: passes.append(1) or iter(batches(local)))
    passes.clear()
    read = {layer: torch.zeros(11, width, 2, 4) for layer, width in maps.widths.items()}
    for layer, part, features in maps.columns(11, at_once, torch.zeros(1)):
        read[layer][:, part] += features.reshape(11, -1, 2, 4)
    torch.testing.assert_close(read, local)
    assert len(passes) == -(-8 // at_once)  # eight channels, whatever layer they are of


def test_other_numbers_of_images_are_refused(local):
    maps = TokenMaps(local)
    with pytest.raises(ValueError, match="11 images but responses have 12"):
        maps.pooled(torch.ones(1, 3), 12)
    with pytest.raises(ValueError, match="10 rows"):
        next(iter(maps.columns(10, 1, torch.zeros(1))))


@pytest.mark.parametrize(
    ("tokens", "error"),
    [
        ({}, ValueError),
        ([], ValueError),
        (3, TypeError),
        ({"a": torch.zeros(2, 1, 2, 2), "b": torch.zeros(2, 1, 3, 3)}, ValueError),
    ],
)
def test_what_is_no_token_map_is_refused(tokens, error):
    with pytest.raises(error):
        TokenMaps(tokens)


def test_maps_in_memory_travel_to_other_processes(local):
    assert pickle.loads(pickle.dumps(TokenMaps(local))).count() == 11


def test_windows_are_all_pairs_of_centres_at_each_width():
    windows = window_grid((-0.5, 0.0, 0.5), (0.2, 0.4))
    assert windows.shape == (18, 3)
    assert len(windows.unique(dim=0)) == 18
