"""The door from features to RDMs: shapes, labels, runs, pooling, and what is refused."""

import numpy as np
import pytest
import torch

from brainnet.rsa import RDMs, compare, rdm


def test_labels_average_repeats_in_the_order_a_person_counts(rng):
    patterns = torch.randn(12, 8, generator=rng, dtype=torch.float64)
    labels = [f"img{i + 1}" for i in range(12)]
    twice = torch.cat([patterns - 0.1, patterns + 0.1]).flip(0)
    found = rdm(twice, "euclidean", labels=[*labels, *labels][::-1])
    assert found.conditions == tuple(labels)
    torch.testing.assert_close(found.values, rdm(patterns, "euclidean").values)
    assert rdm(patterns, labels=np.arange(12)[::-1]).conditions == tuple(map(str, range(12)))


def test_single_trials_are_sorted_alike(rng):
    labels = np.repeat([f"img{i}" for i in (10, 2, 1)], 4)
    found = rdm(torch.randn(12, 5, generator=rng), "decoding", labels=labels, runs=np.tile(np.arange(4), 3))
    assert found.conditions == ("img1", "img2", "img10")


def test_names_on_one_side_alone_are_warned_of(rng):
    named, unnamed = RDMs(torch.rand(1, 6, generator=rng), conditions="abcd"), RDMs(torch.rand(2, 6, generator=rng))
    with pytest.warns(UserWarning, match="only one side names its conditions .*order cannot be checked"):
        compare(named, unnamed)


@pytest.mark.parametrize("metric", ["correlation", "cosine"])
@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_distances_of_rounding_are_zero_and_not_ranked(rng, metric, dtype):
    one = torch.rand(1, 40, generator=rng, dtype=dtype)
    patterns = one * torch.rand(6, 1, generator=rng, dtype=dtype)  # all the same direction
    for values in (rdm(patterns, metric).values, rdm(iter(patterns.split(7, 1)), metric).values):
        assert (values == 0).all()
    with pytest.warns(UserWarning, match="constant RDM"):
        assert compare(rdm(patterns, metric), rdm(torch.rand(6, 4, generator=rng))).isnan().all()


def test_features_too_large_for_their_type_are_named(rng):
    patterns = 1e30 * torch.rand(4, 5, generator=rng)
    with pytest.raises(ValueError, match="squares overflow float32"):
        rdm(patterns)
    torch.testing.assert_close(rdm(patterns.double()).values, rdm((patterns / 1e30).double()).values)


def test_constant_patterns_are_nan_with_their_names(rng):
    patterns = torch.rand(4, 5, generator=rng)
    patterns[1] = 3
    with pytest.warns(UserWarning, match="pairs with 'b' are NaN"):
        found = rdm(patterns, conditions="abcd")
    assert found.values.isnan().sum() == 3


@pytest.mark.parametrize(
    ("options", "message"),
    [({"pool": "median"}, "unknown pool"), ({"runs": [0] * 4}, "needs labels="), ({"pool": "mean"}, "needs tokens"),
     ({"labels": "abc"}, "must name each row"), ({"metric": "crossnobis"}, "n_runs")],
)  # fmt: skip
def test_what_does_not_fit_is_one_clear_line(rng, options, message):
    with pytest.raises(ValueError, match=message):
        rdm(torch.rand(4, 5, generator=rng), **options)


def test_blocks_of_features_are_one_row_per_condition(rng):
    x = torch.rand(5, 9, generator=rng, dtype=torch.float64)
    torch.testing.assert_close(rdm(iter(x.split(2, 1)), "euclidean").values, rdm(x, "euclidean").values)
    with pytest.raises(ValueError, match="labels, runs and pool do not apply"):
        rdm(iter(x.split(2, 1)), labels="abcde")
