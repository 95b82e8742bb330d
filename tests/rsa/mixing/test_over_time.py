"""RDM regression over time: each time by itself, planted times, and a correction that holds over all times."""

import numpy as np
import pytest
import torch

from brainnet.rsa import RDMs, rdm_regression, regression_over_time

N, PAIRS = 16, 120


def courses(rng, n_times=5, n_subjects=4, signal=0.0):
    a, b = torch.rand(2, PAIRS, generator=rng, dtype=torch.float64)
    noise = torch.rand(n_times, n_subjects, PAIRS, generator=rng, dtype=torch.float64)
    noise[2] += signal * a
    return {"a": RDMs(a[None]), "b": RDMs(b[None])}, [RDMs(part) for part in noise]


def test_each_time_is_a_regression_of_its_own(rng):
    sets, course = courses(rng, signal=1.0)
    table = regression_over_time(sets, course, [0.1, 0.2, 0.3, 0.4, 0.5], n_permutations=20, seed=3, progress=False)
    alone = rdm_regression(sets, course[2], n_permutations=20, generator=torch.Generator().manual_seed(3)).table()
    at = table[table.time == 0.3].reset_index(drop=True)
    for column in ("part", "sets", "r2", "sem", "p"):
        assert at[column].equals(alone[column])


def test_the_correction_is_the_largest_part_over_times(rng):
    sets, course = courses(rng, signal=0.4)
    table = regression_over_time(sets, course, n_permutations=50, progress=False)
    found = [
        rdm_regression(sets, rdms, n_permutations=50, generator=torch.Generator().manual_seed(0)) for rdms in course
    ]
    for name, part, names in (("total", "total", "a + b"), ("unique a", "unique", "a"), ("b", "alone", "b")):
        null = torch.stack([one.null[name] for one in found]).clamp(min=0)  # (n_times, n_permutations)
        rows = table[(table.part == part) & (table.sets == names)]
        every = torch.cat([torch.tensor(rows.r2.to_numpy())[:, None].clamp(min=0), null], dim=1)
        z = (every - every.mean(1, keepdim=True)) / every.std(1, correction=0, keepdim=True)
        z = z.nan_to_num(0.0)  # a time at which nothing is above 0, by chance or not
        for time, p in enumerate(rows.p_corrected):
            assert p == pytest.approx((1 + (z[:, 1:].amax(0) >= z[time, 0] - 1e-9).sum().item()) / 51)
    assert (table.p_corrected.dropna() >= table.p.dropna() - 1e-12).all()
    assert table[table.part == "shared"].p_corrected.isna().all()


def test_a_planted_time_is_found_for_the_set_that_is_there(rng):
    sets, course = courses(rng, signal=1.5)
    table = regression_over_time(sets, course, n_permutations=200, progress=False)
    unique = table[table.part == "unique"].set_index(["sets", "time"])
    assert unique.p_corrected["a", 2] < 0.01
    assert (unique.p_corrected.drop(("a", 2)) > 0.05).all()
    assert unique.r2["a"].idxmax() == 2


@pytest.mark.slow
def test_noise_has_a_time_in_five_percent_of_studies():
    hits = []
    for study in range(60):
        sets, course = courses(torch.Generator().manual_seed(study), n_times=6)
        table = regression_over_time(sets, course, n_permutations=99, seed=study, progress=False)
        hits.append((table[table.part == "total"].p_corrected <= 0.05).any())
    assert np.mean(hits) <= 0.12  # 60 studies: standard error .03


def test_times_that_do_not_fit_are_refused(rng):
    sets, course = courses(rng)
    with pytest.raises(ValueError, match="4 times for 5"):
        regression_over_time(sets, course, [0, 1, 2, 3])


def test_a_set_that_another_one_equals_but_for_rounding_is_at_no_time_significant():
    rng = torch.Generator().manual_seed(2)
    a, b = torch.rand(2, 190, generator=rng)
    sets = {"a": a, "same": torch.stack([a] * 3).mul(1.1).mean(0), "b": b}
    course = [RDMs((a + b)[None] * k + torch.rand(5, 190, generator=rng)) for k in (0, 1, 1)]
    found = regression_over_time(sets, course, [0.0, 0.1, 0.2], seed=0, n_permutations=99, progress=False)
    unique = found[(found.part == "unique") & (found.sets != "b")]
    assert unique.p_corrected.tolist() == [1] * 6
    assert found[(found.part == "unique") & (found.sets == "b")].p_corrected.min() < 0.05
