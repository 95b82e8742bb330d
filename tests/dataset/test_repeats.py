"""Repeats of images: means and counts with holes, and ceilings of every split apart."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset.repeats import ceilings_of_repeats, count_of_repeats, mean_of_repeats


@pytest.fixture
def trials():
    """Forty images, three voxels, six repeats; the signal of the first voxel is twice its noise, the last is noise."""
    rng = np.random.default_rng(0)
    signal = rng.normal(size=(40, 3)) * [2.0, 1.0, 0.0]
    return signal[:, :, None] + rng.normal(size=(40, 3, 6))


def test_a_mean_leaves_holes_out_and_is_nan_where_nothing_is_left(trials):
    trials[0, 0, 2:] = np.nan
    trials[1, 1] = np.nan
    found = mean_of_repeats(trials)
    assert found[0, 0] == pytest.approx(trials[0, 0, :2].mean())
    assert np.isnan(found[1, 1])
    np.testing.assert_allclose(found[2:], trials[2:].mean(2))


def test_repeats_are_counted_on_the_images_that_are_tested(trials):
    trials[:10, :, 4:] = np.nan
    assert count_of_repeats(trials, torch.arange(10)) == 4
    assert count_of_repeats(trials, torch.arange(10, 40)) == 6
    assert count_of_repeats(trials, torch.tensor([], dtype=torch.long)) == round((10 * 4 + 30 * 6) / 40)
    assert count_of_repeats(trials, torch.tensor([0])) == 4


def test_further_splits_have_ceilings_of_their_own(trials):
    trials[30:, 0] = np.random.default_rng(1).normal(size=(10, 6))  # in these images the first voxel is noise
    splits = {"train": torch.arange(20), "test": torch.arange(20, 30), "sketches": torch.arange(30, 40)}
    ceiling, definition, further = ceilings_of_repeats(trials, splits)
    assert ceiling[0] > 0.9 > ceiling[2]
    assert further["sketches"][0] < 0.7
    assert "over 30 images" in definition
    assert "of sketches" in definition
    whole, definition, none = ceilings_of_repeats(trials, {"train": torch.arange(40)})
    assert none == {}
    assert "over all 40 images" in definition
    assert whole[0] < ceiling[0]
