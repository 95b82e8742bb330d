"""Kernels of windows and whole maps: trace, layers, other images, and what memory may not change."""

import pytest
import torch

from brainnet.ridge.token_maps import TokenMaps
from brainnet.ridge.window_kernels import WindowKernels

WINDOWS = torch.tensor([[0.5, -0.5, 0.4], [0.0, 0.0, 0.6]], dtype=torch.float64)


@pytest.fixture
def local(rng):
    """12 images; the layers differ a thousandfold in scale, and one never changes."""
    maps = {name: torch.randn(12, 3, 4, 4, generator=rng, dtype=torch.float64) + 3 for name in ("a", "b")}
    return maps | {"b": maps["b"] * 1000, "constant": torch.ones(12, 2, 4, 4, dtype=torch.float64)}


@pytest.mark.parametrize("memory", [1 << 30, 1])
def test_layers_count_the_same_and_the_mean_eigenvalue_is_one(local, memory):
    kernels = WindowKernels(TokenMaps(local), 12, WINDOWS, memory)
    found = [*dict(kernels.windows([0, 1])).values(), kernels.whole()]
    assert len(found) == 3
    for kernel in found:
        assert kernel.trace() == pytest.approx(12)
        assert kernel.sum(0).abs().max() < 1e-9
    small = {k: v.flatten(1) - v.flatten(1).mean(0) for k, v in local.items() if k != "constant"}
    expected = sum(6 * x @ x.T / x.square().sum() for x in small.values())
    torch.testing.assert_close(found[-1], expected)


@pytest.mark.parametrize("memory", [1 << 30, 1])
def test_between_the_training_images_it_is_their_kernel(local, memory):
    maps = TokenMaps(local)
    kernels = WindowKernels(maps, 12, WINDOWS, memory)
    whole = kernels.whole()
    torch.testing.assert_close(kernels.whole_between(maps, 12), whole)
    windows = dict(kernels.windows([1, 0]))
    for index, kernel in kernels.between(maps, 12, [0, 1]):
        torch.testing.assert_close(kernel, windows[index])
    some = {k: v[[7, 2]] for k, v in local.items()}
    torch.testing.assert_close(kernels.whole_between(TokenMaps(some), 2), whole[[7, 2]])


def test_whole_features_make_the_whole_kernel(local):
    kernels = WindowKernels(TokenMaps(local), 12, WINDOWS, 1 << 30)
    whole, made = kernels.whole(), 0
    centred = {k: (v - v.mean(0)).flatten(1) for k, v in local.items()}
    for layer, part, features, _ in kernels.whole_features():
        made = made + features @ centred[layer].reshape(12, -1, 16)[:, part].flatten(1).T
    torch.testing.assert_close(made, whole)


def test_kept_kernels_are_let_go(local):
    kernels = WindowKernels(TokenMaps(local), 12, WINDOWS, 1 << 30)
    first = dict(kernels.windows([0]))[0]
    assert dict(kernels.windows([0]))[0] is first
    kernels.forget()
    assert dict(kernels.windows([0]))[0] is not first
