"""Trials to conditions against a loop and against the scores of padded repeats; blocks, gaps, sessions, refusals."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset.trials import conditions
from brainnet.rsa import rdm
from brainnet.scores import ceiling_from_ncsnr, ncsnr

N_TRIALS, N_VOXELS = 60, 7


@pytest.fixture
def recording(rng):
    """Three sessions of twenty trials of 23 conditions, with a gain and an offset each; a voxel is lost in one."""
    generator = np.random.default_rng(0)
    ids = [f"im{i}" for i in generator.permutation(np.arange(N_TRIALS) % 23)]
    signal = torch.randn(23, N_VOXELS, generator=rng)
    trials = torch.stack([signal[int(name[2:])] for name in ids]) + 0.5 * torch.randn(N_TRIALS, N_VOXELS, generator=rng)
    sessions = np.repeat([1, 2, 3], 20)
    for number in (1, 2, 3):
        trials[sessions == number] = trials[sessions == number] * number + 30 * number
    trials[sessions == 2, 4] = 0.0  # as whole numbers are stored where a voxel was outside the brain
    trials[7, 2] = torch.nan
    return trials, ids, sessions


def by_hand(trials, ids, sessions, standardize=True):
    """Condition -> list of its trials' rows, with plain numpy."""
    values = trials.numpy().astype(float)
    for number in np.unique(sessions) if standardize else ():
        part = values[sessions == number]
        with np.errstate(invalid="ignore", divide="ignore"):
            values[sessions == number] = (part - np.nanmean(part, 0)) / np.nanstd(part, 0)
    return {name: values[[i for i, other in enumerate(ids) if other == name]] for name in dict.fromkeys(ids)}


def padded(rows):
    most = max(map(len, rows.values()))
    stack = [np.pad(r, ((0, most - len(r)), (0, 0)), constant_values=np.nan) for r in rows.values()]
    return torch.from_numpy(np.stack(stack))


@pytest.mark.filterwarnings("ignore:Mean of empty slice")
@pytest.mark.parametrize("standardize", [True, False])
def test_it_equals_a_loop_over_conditions_and_the_scores_of_padded_repeats(recording, standardize):
    trials, ids, sessions = recording
    found = conditions(trials, ids, sessions=sessions, standardize=standardize, keep=True)
    rows = by_hand(trials, ids, sessions, standardize)
    assert found.ids == list(rows)
    expected = padded(rows)
    torch.testing.assert_close(found.responses.double(), expected.nanmean(1), rtol=1e-5, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(found.repeats.double(), expected, rtol=1e-5, atol=1e-5, equal_nan=True)
    torch.testing.assert_close(found.counts.long(), (~expected.isnan()).sum(1))
    torch.testing.assert_close(found.ncsnr, ncsnr(expected), rtol=1e-4, atol=1e-4)
    assert found.n_missing == (21 if standardize else 1)
    assert found.groups[0] == [s for s, name in zip(sessions, ids, strict=True) if name == found.ids[0]]


def test_blocks_of_sessions_change_nothing(recording):
    trials, ids, sessions = recording
    whole = conditions(trials, ids, sessions=sessions)
    blocks = conditions((part.numpy() for part in trials.split(20)), ids)  # a block is a session by itself
    assert torch.equal(whole.responses.nan_to_num(), blocks.responses.nan_to_num())
    assert torch.equal(whole.ncsnr, blocks.ncsnr)


def test_counts_take_no_memory_where_nothing_is_missing(rng):
    ids = ["a", "b", "a", "c", "a", "b"]
    found = conditions(torch.randn(6, 50, generator=rng), ids, keep=True)
    assert found.counts.tolist() == [[3] * 50, [2] * 50, [1] * 50]
    assert found.counts.untyped_storage().nbytes() == 3


def test_gains_and_offsets_of_sessions_are_no_noise(recording):
    trials, ids, sessions = recording
    with_them = conditions(trials, ids, sessions=sessions, standardize=False).ncsnr
    without = conditions(trials, ids, sessions=sessions).ncsnr
    assert without.min() > 1
    assert with_them.max() < 0.5


def test_a_large_offset_costs_no_digits(rng):
    trials = torch.randn(30, 3, generator=rng).double()
    ids = [i % 10 for i in range(30)]
    small = conditions(trials.float(), ids, standardize=False)
    large = conditions((trials + 4096).float(), ids, standardize=False)
    torch.testing.assert_close(large.ncsnr, small.ncsnr, rtol=1e-2, atol=1e-2)
    torch.testing.assert_close(large.responses - 4096, small.responses, rtol=0, atol=1e-3)


def test_runs_are_told_apart_by_their_session(rng):
    trials = torch.randn(12, 2, generator=rng)
    sessions, runs = np.repeat([1, 2], 6), [1, 1, 1, 2, 2, 2] * 2
    found = conditions(trials, list("abcdef") * 2, sessions=sessions, runs=runs, keep=True)
    first = trials[:3]
    expected = (first - first.mean(0)) / first.std(0, correction=0)
    torch.testing.assert_close(found.repeats[:3, 0], expected)
    assert found.groups[0] == [1, 1]
    assert found.groups[3] == [2, 2]


def test_the_ceiling_is_that_of_the_trials_averaged(recording):
    trials, ids, sessions = recording
    found = conditions(trials, ids, sessions=sessions)
    rows = [i for i in range(23) if int(found.counts[i, 0]) == 3]
    expected = ceiling_from_ncsnr(found.ncsnr[0], 3).r
    assert found.noise_ceiling(rows).r[0] == pytest.approx(float(expected))
    assert found.noise_ceiling(rows).n_repeats == 3
    published = found.noise_ceiling(rows, torch.ones(N_VOXELS))
    assert published.r[0] == pytest.approx(0.75**0.5)
    assert "published" in published.definition


def test_a_trial_out_of_line_is_named_and_used(recording):
    trials, ids, sessions = recording
    trials[33] += 500
    found = conditions(trials, ids, sessions=sessions)
    assert found.outliers == [33]
    assert found.counts.sum() + found.n_missing == trials.numel()


@pytest.mark.parametrize(
    ("change", "value"),
    [
        ({"ids": ["a"] * 59}, "59"),
        ({"ids": ["a"] * 61}, "61"),
        ({"sessions": [1] * 30}, "30"),
        ({"sessions": [1, 2] * 30}, "torn"),
        ({"trials": torch.zeros(60)}, r"\(60,\)"),
        ({"trials": []}, "no trials"),
        ({"ids": []}, "0 trials"),
        ({"trials": torch.zeros(300, 2), "ids": ["a"] * 300}, "300"),
    ],
)
def test_what_does_not_fit_is_one_line(recording, change, value):
    trials, ids, _ = recording
    given = {"trials": trials, "ids": ids, **change}
    with pytest.raises(ValueError, match=value) as refused:
        conditions(given.pop("trials"), given.pop("ids"), **given)
    assert "\n" not in str(refused.value)


def test_without_a_condition_of_two_trials_there_is_no_ceiling():
    """Rounding over no degrees of freedom was infinite noise, and the ceiling 0."""
    values = torch.randn(200, 40, generator=torch.Generator().manual_seed(0))
    found = conditions(values, range(200), standardize=False)
    assert found.ncsnr.isnan().all()
    assert found.noise_ceiling(range(200)).r.isnan().all()


def test_single_trials_come_back_for_distances_that_multiply_runs():
    """Crossnobis of kept trials: the planted distance, and 0 between two conditions of one pattern."""
    generator = torch.Generator().manual_seed(0)
    patterns = {"a": torch.zeros(400), "b": torch.zeros(400), "c": torch.full((400,), 1.5)}
    ids = [name for _ in range(6) for name in "abc"]
    runs = [run for run in range(6) for _ in "abc"]
    trials = torch.stack([patterns[name] for name in ids]) + torch.randn(18, 400, generator=generator)
    found = conditions(trials, ids, runs=runs, standardize=False, keep=True)
    rows, labels, groups = found.single_trials()
    order = [ids[i] + str(runs[i]) for i in range(18)]
    assert sorted(f"{name}{run}" for name, run in zip(labels, groups, strict=True)) == sorted(order)
    for row, name, run in zip(rows, labels, groups, strict=True):
        torch.testing.assert_close(row, trials[order.index(f"{name}{run}")])
    ab, ac, bc = rdm(rows, "crossnobis", labels=labels, runs=groups).values[0].tolist()
    assert abs(ab) < 0.15
    assert ac == pytest.approx(2.25, abs=0.3) == bc
    assert found.first_groups().tolist() == [0, 0, 0]
    with pytest.raises(ValueError, match="keep=True"):
        conditions(trials, ids).single_trials()
    assert conditions(trials, ids).first_groups() is None
