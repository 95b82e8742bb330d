"""Where runs lie among the rows."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.series import Delayer, run_slices


def test_slices_cover_all_rows_in_order():
    runs = ["b"] * 3 + ["a"] * 4 + ["c"]
    found = run_slices(runs, 8)
    assert list(found) == ["b", "a", "c"]
    assert [(s.start, s.stop) for s in found.values()] == [(0, 3), (3, 7), (7, 8)]
    assert run_slices(None, 5) == {0: slice(0, 5)}
    assert run_slices(torch.tensor([4, 4, 9]), 3) == {4: slice(0, 2), 9: slice(2, 3)}


def test_a_run_in_two_pieces_is_refused_by_name():
    with pytest.raises(ValueError, match=r"'a'.*row 0.*row 3"):
        run_slices(["a", "a", "b", "a"], 4)


@pytest.mark.parametrize("runs", [[0, 0], [[0], [0], [0]], np.zeros((3, 1))])
def test_labels_that_do_not_fit_the_rows_are_refused(runs):
    with pytest.raises(ValueError, match="3 rows"):
        run_slices(runs, 3)


def test_a_column_of_runs_must_exist_and_runs_be_given_once():
    x = np.ones((4, 2))
    with pytest.raises(ValueError, match="run_column=5"):
        Delayer([1], run_column=5).fit(x)
    with pytest.raises(ValueError, match="twice"):
        Delayer([1], run_column=0).fit(x, runs=[0, 0, 1, 1])


def test_parameters_are_those_of_scikit_learn():
    from sklearn.base import clone

    made = clone(Delayer([2, 3], run_column=0))
    assert made.get_params() == {"delays": [2, 3], "spaces": None, "run_column": 0}
    assert made.set_params(run_column=None).run_column is None
    with pytest.raises(ValueError, match="delay"):
        made.set_params(delay=1)
