"""Folds in the forms that scikit-learn users write them in."""

import numpy as np
import pytest
import torch
from sklearn.model_selection import KFold, LeaveOneGroupOut, ShuffleSplit

from brainnet.ridge.folds import left_out_together, make_folds


@pytest.mark.parametrize("k", [2, 3, 7])
def test_a_number_is_kfold(k):
    for (train, held_out), (a, b) in zip(make_folds(k, 20), KFold(k).split(np.zeros(20)), strict=True):
        assert (train.tolist(), held_out.tolist()) == (a.tolist(), b.tolist())


def test_groups_leave_one_out():
    runs = np.array(["a", "b", "b", "c", "a", "c"])
    ours = make_folds("groups", 6, runs)
    for (train, held_out), (a, b) in zip(ours, LeaveOneGroupOut().split(np.zeros(6), groups=runs), strict=True):
        assert (train.tolist(), held_out.tolist()) == (a.tolist(), b.tolist())
    again = make_folds(LeaveOneGroupOut(), 6, runs)
    assert [held_out.tolist() for _, held_out in again] == [held_out.tolist() for _, held_out in ours]


def test_two_groups_are_enough():
    ours = make_folds("groups", 4, [1, 2, 1, 2])
    assert [(train.tolist(), held_out.tolist()) for train, held_out in ours] == [([1, 3], [0, 2]), ([0, 2], [1, 3])]


@pytest.mark.parametrize(
    ("cv", "groups"),
    [(1, None), (7, None), ("groups", None), ("groups", [1] * 6), ("groups", [1, 2]), ([([0, 1], [])], None),
     ([([0, 1], [1, 2])], None), ([([0, 1], [6])], None)],
)  # fmt: skip
def test_impossible_folds_are_refused(cv, groups):
    with pytest.raises((ValueError, IndexError)):
        make_folds(cv, 6, groups)


def test_what_is_left_out_together_is_a_partition_of_the_images():
    images, runs = torch.zeros(4, 1), [1, 2, 1, 2]
    listed = lambda cv, groups: [part.tolist() for part in left_out_together(cv, groups, images)]  # noqa: E731
    assert listed(None, runs) == listed("groups", runs) == listed(LeaveOneGroupOut(), runs) == [[0, 2], [1, 3]]
    assert listed(2, runs) == listed(2, None) == [[0, 1], [2, 3]]
    assert left_out_together("loo", runs, images) is left_out_together(None, None, images) is None
    for cv in ([([0, 1], [2])], [([0], [2, 3]), ([2, 3], [0, 1])], ShuffleSplit(3, random_state=0)):
        with pytest.raises(ValueError, match="every image"):
            left_out_together(cv, None, images)
