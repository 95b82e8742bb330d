import numpy as np
import pytest
import torch
from scipy.stats import rankdata

from brainnet.rsa import ranks
from brainnet.rsa.ranks import find_places, rank, sort_last, weighted_rank

LONG = 40_000  # a row of so many is sorted by counting


def _long_row(kind: str) -> np.ndarray:
    rng = np.random.default_rng(0)
    normal = rng.normal(size=LONG)
    return {
        "normal": normal,
        "float32": normal.astype("f4"),
        "positive": 1 - 0.05 * normal,
        "one octave below the first bits": 1 + 1e-13 * rng.integers(0, 1000, LONG),
        "heavy tails": rng.standard_cauchy(LONG),
        "all magnitudes": np.sign(normal) * np.exp(100 * rng.normal(size=LONG)),
        "half ties": np.where(rng.random(LONG) < 0.5, np.round(normal, 3), normal),
        "crowded beside zero": np.where(rng.random(LONG) < 0.5, 0, 1 + 1e-9 * normal),
        "both zeros": np.where(rng.random(LONG) < 0.3, -0.0, np.where(rng.random(LONG) < 0.3, 0.0, normal)),
        "infinities": np.where(rng.random(LONG) < 0.01, np.sign(normal) * np.inf, normal),
        "subnormal": 1e-310 * rng.random(LONG),
        "two values": np.sign(normal),
        "as wide as bits allow": np.append(rng.integers(1, 2**41, LONG - 2), [1, 2**41]).view("f8") + 0.0,
    }[kind]


KINDS = (
    *("normal", "float32", "positive", "one octave below the first bits", "heavy tails", "all magnitudes", "half ties"),
    *("crowded beside zero", "both zeros", "infinities", "subnormal", "two values", "as wide as bits allow"),
)


@pytest.mark.parametrize("kind", KINDS)
def test_long_rows_rank_as_scipy(monkeypatch, kind):
    monkeypatch.setattr(ranks, "COUNTED", LONG)  # also where torch has no FBGEMM
    row = _long_row(kind)
    rows = torch.from_numpy(np.stack([row, row[::-1]]))
    ordered, order = sort_last(rows)
    np.testing.assert_array_equal(ordered.numpy(), np.sort(rows.numpy()))
    np.testing.assert_array_equal(rows.gather(-1, order).numpy(), ordered.numpy())
    np.testing.assert_array_equal(rank(rows).numpy(), rankdata(rows.numpy(), axis=-1).astype(row.dtype))


def test_long_rows_that_are_no_blocks_of_memory(monkeypatch):
    monkeypatch.setattr(ranks, "COUNTED", LONG)
    rows = torch.from_numpy(_long_row("normal")).expand(2, LONG)
    every_other = torch.from_numpy(np.stack([_long_row("normal")] * 2, axis=1)).T
    expected = rankdata(_long_row("normal"))
    for values in (rows, every_other, rows[0]):
        np.testing.assert_array_equal(rank(values).numpy(), np.broadcast_to(expected, values.shape))


def test_long_rows_keep_nan(monkeypatch):
    monkeypatch.setattr(ranks, "COUNTED", LONG)
    row = _long_row("normal")
    row[[3, 17]] = np.nan, -np.nan
    np.testing.assert_array_equal(rank(torch.from_numpy(row)).numpy(), rankdata(row, nan_policy="omit"))
    np.testing.assert_array_equal(sort_last(torch.from_numpy(row))[0].numpy(), np.sort(row))


def test_rank_averages_ties_as_scipy(rng):
    x = (torch.rand(4, 200, generator=rng, dtype=torch.float64) * 20).round()
    assert np.array_equal(rank(x).numpy(), rankdata(x.numpy(), axis=-1))
    untied = torch.rand(2, 50, generator=rng)
    assert np.array_equal(rank(untied).numpy(), rankdata(untied.numpy(), axis=-1))


def test_rank_leaves_nan_where_it_was():
    assert rank(torch.tensor([3.0, torch.nan, 1.0])).nan_to_num(-1).tolist() == [2, -1, 1]


@pytest.mark.parametrize("spread", [1, 2**14, 2**20, 2**55])  # codes in 16 bits; with places in 32, in 64, in more
def test_weighted_ranks_equal_ranks_of_copies(rng, spread):
    codes = torch.randint(0, 6, (4, 300), generator=rng) * spread
    codes[1:3] = codes[0].amax()  # ties from one end of a row to the other, and on in the next
    weights = torch.randint(0, 4, (300,), generator=rng).double()
    found = weighted_rank(codes, weights)
    for code, row in zip(codes, found, strict=True):
        repeated = rankdata(code.repeat_interleave(weights.long()).numpy())
        np.testing.assert_array_equal(row.repeat_interleave(weights.long()).numpy(), repeated)


@pytest.mark.parametrize("spread", [1, 2**14])
def test_codes_that_count_once_rank_as_scipy(rng, spread):
    codes = (torch.randint(0, 200, (4, 300), generator=rng) * spread).double()
    codes[1:3] = codes[0].amax()
    np.testing.assert_array_equal(weighted_rank(codes).numpy(), rankdata(codes.numpy(), axis=1))


@pytest.mark.parametrize("n_values", [6, 10**9])  # with ties and without
def test_ranks_of_chosen_entries_equal_ranks_of_copies(rng, n_values):
    values = torch.randint(n_values, (4, 300), generator=rng) / 7
    weights = torch.randint(0, 4, (300,), generator=rng).double()
    seen = weights.nonzero()[:, 0]
    places = find_places(values.double())
    assert (places.stop is None) == (n_values > 300)
    copies = weights[seen].long()
    for row, ranks_of_row in zip(values[:, seen], places.ranks(weights, seen), strict=True):
        np.testing.assert_array_equal(
            ranks_of_row.repeat_interleave(copies).numpy(), rankdata(row.repeat_interleave(copies).numpy())
        )


@pytest.mark.parametrize("largest", [9, 2**16 - 1, 2**16, 2**26, 2**27, 2**40, 2**58, 2**62])
def test_codes_of_every_size_are_sorted_with_their_places(rng, largest):
    codes = torch.randint(0, largest, (3, 16), generator=rng)
    codes[0, 3], codes[1, ::2] = largest, 1
    values, places = ranks._sort(codes)
    assert torch.equal(values.long(), codes.sort(dim=1).values)
    assert torch.equal(codes.gather(1, places), codes.sort(dim=1).values)
    assert torch.equal(places.sort(dim=1).values, torch.arange(16).expand(3, -1))
