"""Scores of a split in batches, and the statistics of responses."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.plmodel.scoring import VoxelScores, response_statistics, share_at_the_border, share_of_ceiling
from brainnet.scores import pearson_r, r2
from brainnet.selection import Selectors


@pytest.mark.parametrize("n_voxels", [1, 4])
def test_scores_of_batches_are_those_of_all_images(rng, n_voxels):
    response = 100 + torch.randn(30, n_voxels, generator=rng)
    prediction = response + torch.randn(30, n_voxels, generator=rng)
    scores = VoxelScores(n_voxels)
    for rows in torch.arange(30).split(7):
        scores.update(prediction[rows], response[rows])
    found = scores.per_voxel()
    assert {tuple(score.shape) for score in found.values()} == {(n_voxels,)}
    torch.testing.assert_close(found["r"], pearson_r(prediction.double(), response.double()))
    torch.testing.assert_close(found["r2"], r2(prediction.double(), response.double()))
    scores.reset()
    assert not scores.sums.any()


def test_sums_of_processes_are_added(rng):
    response, prediction = torch.randn(2, 30, 3, generator=rng)
    parts = [VoxelScores(3), VoxelScores(3)]
    for part, rows in zip(parts, torch.arange(30).split(20), strict=True):
        part.update(prediction[rows], response[rows])
    whole, other = parts
    whole.merge_state(other)
    torch.testing.assert_close(whole.per_voxel()["r"], pearson_r(prediction.double(), response.double()))


def test_the_share_of_the_ceiling_is_not_ruled_by_a_voxel_without_one():
    r, ceiling = torch.tensor([0.3, 0.3, torch.nan, 0.5]), torch.tensor([0.6, 1e-6, 0.9, torch.nan])
    assert share_of_ceiling(r, ceiling).item() == pytest.approx(1.0, abs=1e-4)
    assert share_of_ceiling(r[2:], ceiling[2:]).isnan()


def test_places_at_any_border_count_of_usable_voxels_alone():
    places = torch.tensor([[0.0, 0.0], [0.995, 0.0], [0.0, -0.995], [0.9, 0.9], [1.0, 1.0]])
    selectors = Selectors(places, torch.ones(5, 1), torch.zeros(5, 1))
    usable = torch.tensor([True, True, True, True, False])
    assert share_at_the_border(selectors, usable) == 0.5
    assert share_at_the_border(selectors, torch.zeros(5, dtype=torch.bool)) == 0.0


def test_statistics_of_responses_leave_out_what_is_missing(rng):
    rows = torch.randn(30, 1500, generator=rng) * 3 + 2  # more columns than are read at a time
    rows[::4, 1400] = torch.nan
    rows[:, 5] = 7.0
    rows[1:, 6] = torch.nan
    rows[:, 7] = 1e4 + torch.tensor([0.0, 0.001]).repeat(15)  # one step of float32, at this size: ridge fits it too
    rows[3, 8] = torch.inf
    mean, sd, usable = response_statistics(rows, torch.arange(20))
    assert (~usable).nonzero().flatten().tolist() == [5, 6]
    assert mean[[5, 6]].tolist() == [0, 0]
    assert sd[[5, 6]].tolist() == [1, 1]
    known = rows[:20].double().where(rows[:20].isfinite(), torch.nan).numpy()[:, usable]
    np.testing.assert_allclose(mean[usable], np.nanmean(known, 0), rtol=1e-5, atol=1e-6)
    np.testing.assert_allclose(sd[usable], np.nanstd(known, 0), rtol=1e-5)


def test_fields_in_tesla_are_usable(rng):
    """Magnetometers measure 1e-13 T."""
    _, sd, usable = response_statistics(torch.randn(30, 4, generator=rng) * 1e-13, torch.arange(30))
    assert usable.all()
    assert ((sd > 5e-14) & (sd < 2e-13)).all()
