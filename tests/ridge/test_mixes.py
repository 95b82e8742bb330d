"""The search over mixes, against an explicit loop over folds and a linear system per voxel."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.ridge.folds import make_folds
from brainnet.ridge.mixes import draw_mixes, search_mixes


def toy(seed=0, n=30, n_voxels=6):
    rng = np.random.default_rng(seed)
    x = [rng.normal(size=(n, 4)), rng.normal(size=(n, 50))]
    y = x[0] @ rng.normal(size=(4, n_voxels)) + rng.normal(size=(n, n_voxels))
    y[:, 3] = rng.normal(size=n)
    return torch.tensor(np.stack([k @ k.T for k in x])), torch.tensor(y)


def test_it_is_the_best_of_a_loop_over_mixes_penalties_and_folds():
    kernels, y = toy()
    mixes, alphas = torch.tensor([[0.5, 0.5], [1.0, 0.0], [0.0, 1.0]]).double(), torch.tensor([1.0, 30.0]).double()
    folds = make_folds(4, 30)
    found = search_mixes(kernels, y, mixes, alphas, folds, centre=False, memory=1 << 20)
    scores = np.zeros((3, 2, 6))
    for m, mix in enumerate(mixes):
        kernel = (mix[:, None, None] * kernels).sum(0)
        for a, alpha in enumerate(alphas):
            for train, held_out in folds:
                inner = kernel[train][:, train] + alpha * torch.eye(len(train))
                weights = torch.linalg.solve(inner, y[train])
                error = y[held_out] - kernel[held_out][:, train] @ weights
                scores[m, a] -= error.square().mean(0).numpy() / 4
    np.testing.assert_allclose(found.scores, scores.max(1), atol=1e-10)
    flat = scores.reshape(6, 6).argmax(0)
    assert found.mix.tolist() == (flat // 2).tolist()
    assert found.alpha.tolist() == (flat % 2).tolist()
    assert len(set(found.mix.tolist())) > 1
    for voxel in range(6):
        kernel = (mixes[found.mix[voxel]][:, None, None] * kernels).sum(0)
        weights = torch.linalg.solve(kernel + alphas[found.alpha[voxel]] * torch.eye(30), y[:, voxel])
        torch.testing.assert_close(kernel @ found.weights[:, voxel], kernel @ weights)


def test_batches_change_nothing():
    kernels, y = toy()
    mixes, alphas, folds = draw_mixes(5, 2, [1.0], 0), torch.tensor([0.1, 10.0]).double(), make_folds(3, 30)
    one, other = (search_mixes(kernels, y, mixes, alphas, folds, centre=True, memory=memory) for memory in (1, 1 << 24))
    torch.testing.assert_close(one.scores, other.scores)
    torch.testing.assert_close(one.weights, other.weights)


def test_draws_are_those_of_himalaya_whatever_its_backend():
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import generate_dirichlet_samples

    set_backend("numpy")
    expected = generate_dirichlet_samples(7, 3, concentration=[0.1, 1.0], random_state=4)
    found = draw_mixes(7, 3, [0.1, 1.0], 4)
    np.testing.assert_allclose(found[1:], expected[1:], atol=1e-6)
    assert found[0].tolist() == pytest.approx([1 / 3] * 3)
    set_backend("torch")
    assert torch.equal(draw_mixes(7, 3, [0.1, 1.0], 4), found)
    set_backend("numpy")
