"""Folds of whole runs and of blocks."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.ridge import RidgeCV
from brainnet.series import block_labels, blocked_folds, leave_one_run_out, run_slices

RUNS = np.repeat(["a", "b", "c"], [11, 5, 20])


def test_each_run_is_held_out_once():
    folds = leave_one_run_out(RUNS)
    assert len(folds) == 3
    for (train, held_out), label in zip(folds, "abc", strict=True):
        assert set(RUNS[held_out]) == {label}
        assert label not in RUNS[train]
        assert sorted([*train, *held_out]) == list(range(36))


def test_leaving_runs_out_is_what_ridge_does_by_groups():
    rng = np.random.default_rng(0)
    x, y = rng.normal(size=(36, 4)), rng.normal(size=(36, 3))
    ours = RidgeCV(cv=leave_one_run_out(RUNS)).fit(x, y)
    np.testing.assert_allclose(ours.cv_scores_, RidgeCV(cv="groups").fit(x, y, groups=RUNS).cv_scores_)


def test_blocks_cover_runs_and_never_cross_them():
    labels = block_labels(36, 4, RUNS)
    sizes = np.unique(labels, return_counts=True)[1]
    assert sizes.min() >= 4
    assert sizes.max() <= 7
    for rows in run_slices(RUNS, 36).values():
        inside = set(labels[rows])
        assert not inside & set(np.delete(labels, np.r_[rows]))
    assert (np.diff(labels) >= 0).all()
    assert block_labels(5, 100).tolist() == [0] * 5


def test_blocked_folds_keep_their_distance_within_runs():
    folds = blocked_folds(36, 3, RUNS, gap=2)
    assert sorted(np.concatenate([held_out for _, held_out in folds])) == list(range(36))
    for train, held_out in folds:
        assert set(RUNS[held_out]) == {"a", "b", "c"}
        for row in held_out:
            near = train[(np.abs(train - row) <= 2)]
            assert not (RUNS[near] == RUNS[row]).any()
    assert any(RUNS[a] != RUNS[b] for train, held_out in folds for a in train for b in held_out if abs(a - b) == 1)


def test_what_cannot_be_folded_is_refused():
    with pytest.raises(ValueError, match="two runs"):
        leave_one_run_out(["a", "a"])
    with pytest.raises(ValueError, match="'b' has 5 rows"):
        blocked_folds(36, 6, RUNS)
    with pytest.raises(ValueError, match="gap of 9"):
        blocked_folds(10, 2, gap=9)
    with pytest.raises(ValueError, match="length"):
        block_labels(5, 0)
