"""Tests and intervals of time series: blocks hold what they promise, and single volumes do not."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet import scores
from brainnet.scores.blocks import block_numbers, multiplicities, orders, swaps
from brainnet.series import block_labels


def seeded(seed: int = 0) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def autocorrelated(n: int, n_voxels: int, rho: float, seed: int) -> torch.Tensor:
    """Noise in which each volume keeps ``rho`` of the one before, as responses of fMRI do."""
    from scipy.signal import lfilter

    white = np.random.default_rng(seed).normal(size=(n + 100, n_voxels))
    return torch.from_numpy(lfilter([1], [1, -rho], white, axis=0)[100:])


def test_blocks_are_numbered_in_the_order_of_their_first_image():
    assert block_numbers(["z", "z", "a", "m", "a"], 5).tolist() == [0, 0, 1, 2, 1]
    assert block_numbers(None, 5) is None
    with pytest.raises(ValueError, match="5 images"):
        block_numbers([0, 1], 5)
    with pytest.raises(ValueError, match="one block"):
        block_numbers([3, 3], 2)


def test_a_permutation_keeps_blocks_whole():
    blocks = torch.from_numpy(block_labels(23, 4, [0] * 9 + [1] * 14))
    for order in orders(23, 20, seeded(), blocks):
        assert order.sort().values.tolist() == list(range(23))
        steps = order.diff()[blocks[order].diff() == 0]
        assert len(steps) >= 23 - len(blocks.unique())
        assert (steps == 1).all()
    assert len({tuple(order.tolist()) for order in orders(23, 20, seeded(), blocks)}) > 10


def test_a_permutation_of_blocks_that_lie_apart_keeps_their_places():
    blocks = torch.tensor([0, 1, 0, 1])
    found = {tuple(order.tolist()) for order in orders(4, 50, seeded(), blocks)}
    assert found == {(0, 1, 2, 3), (1, 0, 3, 2)}


def test_a_resample_draws_blocks_whole():
    blocks = torch.from_numpy(block_labels(23, 4))
    counts = multiplicities(23, 200, seeded(), blocks)
    for block in blocks.unique():
        assert (counts[:, blocks == block] == counts[:, blocks == block][:, :1]).all()
    assert abs(counts.mean().item() - 1) < 0.05
    flips = swaps(23, 50, seeded(), blocks)
    assert all(len(row[blocks == block].unique()) == 1 for row in flips for block in blocks.unique())


def test_blocks_of_one_image_are_the_test_of_single_images():
    p, y = torch.randn(2, 30, 4, generator=seeded())
    alone = scores.above_chance(p, y, n_permutations=50, generator=seeded(1))
    blocks = scores.above_chance(p, y, n_permutations=50, blocks=range(30), generator=seeded(1))
    assert torch.equal(alone.p, blocks.p)
    one, other = (
        scores.bootstrap_scores(p, y, n_resamples=50, blocks=b, generator=seeded(1)) for b in (None, range(30))
    )
    assert torch.equal(one, other)


def test_a_test_on_autocorrelated_noise_holds_with_blocks_and_not_without():
    """The trap: volumes shuffled one by one make a fifth of pure noise significant. Blocks of 20 to 40 volumes do not.

    2,000 voxels are 2,000 tests: the share at .05 has a standard error of .005.
    """
    for rho, length in ((0.7, 20), (0.8, 30)):
        p, y = (autocorrelated(300, 2000, rho, seed) for seed in (1, 2))
        blocks = block_labels(300, length)
        held = scores.above_chance(p, y, n_permutations=199, blocks=blocks, generator=seeded())
        assert 0.03 <= (held.p <= 0.05).double().mean() <= 0.07
        alone = scores.above_chance(p, y, n_permutations=199, generator=seeded())
        assert (alone.p <= 0.05).double().mean() > 0.12


def test_blocks_still_find_what_is_there():
    y = autocorrelated(300, 50, 0.7, 0)
    p = y + 2 * autocorrelated(300, 50, 0.7, 1)
    found = scores.above_chance(p, y, n_permutations=199, blocks=block_labels(300, 20), generator=seeded())
    assert (found.p <= 0.05).double().mean() > 0.9


def test_equal_models_differ_in_five_percent_of_voxels_in_blocks_only():
    """One voxel at a time is a test; both models are noise around the response, with slow errors."""
    y = autocorrelated(300, 1000, 0.8, 0)
    a, b = (y + autocorrelated(300, 1000, 0.8, seed) for seed in (1, 2))
    blocks = block_labels(300, 20)
    held = scores.paired_difference(a, b, y, "r2", 199, blocks=blocks, generator=seeded())
    assert 0.03 <= (held.test.p <= 0.05).double().mean() <= 0.07
    alone = scores.paired_difference(a, b, y, "r2", 199, generator=seeded())
    assert (alone.test.p <= 0.05).double().mean() > 0.12


def test_an_interval_covers_the_score_of_new_data_in_blocks_only():
    """300 studies of one voxel: the 95 % interval of r against the r of infinitely many volumes, sqrt(1/2)."""
    covered = {"blocks": 0, "volumes": 0}
    y = autocorrelated(300, 300, 0.8, 0)
    p = y + autocorrelated(300, 300, 0.8, 1)
    r = scores.pearson_r(p, y)
    for name, blocks in (("blocks", block_labels(300, 20)), ("volumes", None)):
        samples = scores.bootstrap_scores(
            p, y, n_resamples=300, groups=torch.eye(300, dtype=torch.bool), blocks=blocks, generator=seeded()
        )
        for value, sample in zip(r.tolist(), samples.T, strict=True):
            _, low, high = scores.interval(value, sample)
            covered[name] += low <= 0.5**0.5 <= high
    assert covered["blocks"] / 300 > 0.88
    assert covered["volumes"] / 300 < 0.8
