"""Distances of blocks of features are those of all features at once."""

import pytest
import torch

from brainnet.rsa import rdm
from brainnet.rsa.streaming import STREAMED, stream_distances


@pytest.mark.parametrize("metric", STREAMED)
@pytest.mark.parametrize("width", [1, 7, 40])
def test_blocks_of_any_width_give_the_distances_of_the_whole(rng, metric, width):
    x = torch.rand(6, 40, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(stream_distances(iter(x.split(width, 1)), metric), rdm(x, metric).values[0])


def test_an_offset_that_drifts_costs_no_digits(rng):
    x = torch.rand(6, 64, generator=rng, dtype=torch.float64) + 1e6 * torch.arange(6.0)[:, None].double()
    torch.testing.assert_close(
        stream_distances(iter(x.split(8, 1)), "correlation"), rdm(x).values[0], atol=1e-8, rtol=0
    )


def test_what_cannot_be_streamed_is_one_clear_line(rng):
    x = torch.rand(4, 6, generator=rng)
    for blocks, metric, message in [
        ([x], "mahalanobis", "needs all features at once"),
        ([], "euclidean", "no blocks"),
        ([x, x[:3]], "euclidean", r"must be \(4, some features\)"),
        ([x * torch.nan], "euclidean", "NaN or infinite"),
    ]:
        with pytest.raises(ValueError, match=message):
            stream_distances(iter(blocks), metric)
