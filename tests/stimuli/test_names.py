"""Names of pictures: their order, what counts as a picture, and the ids made of them."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.stimuli.names import is_picture, natural_sort, paths_without_suffix, places_of, stems


def test_natural_sort_compares_numbers_with_numbers():
    assert natural_sort(["a1b", "1a", "a", "a01c", "10", "9"]) == ["1a", "9", "10", "a", "a1b", "a01c"]


def test_folders_are_in_natural_order_too_and_stay_together():
    names = ["run 10/1", "run-a/1", "run/2", "run 2/10", "run 2/9", "run/1", "run"]
    assert natural_sort(names) == ["run", "run/1", "run/2", "run 2/9", "run 2/10", "run 10/1", "run-a/1"]


@pytest.mark.parametrize("name", [".hidden.png", "a/._b.jpg", "__MACOSX/b.jpg", "a.heic", "a", "a.png.txt"])
def test_what_is_no_picture(name):
    assert not is_picture(name)


@pytest.mark.parametrize("name_of", [stems, paths_without_suffix])
def test_ids_are_never_equal(name_of):
    for names in (
        ["a.png", "a.jpg", "b.jpg"],
        ["s/a.png", "t/a.png"],
        ["a.png", "a.png"],
        ["1.jpg.png", "1.jpg", "1.png"],
    ):
        assert len(set(name_of(names))) == len(names)


def test_rows_are_checked():
    assert places_of(np.array([True, False, True]), 3) == [0, 2]
    assert places_of(slice(1, 9), 3) == [1, 2]
    for rows, message in [([0, 3], "no row 3"), ([-1], "no row -1"), ([1, 1], "row 1 is chosen twice"),
                          ([0.5], "float64"), ([[0]], r"\(1, 1\)")]:  # fmt: skip
        with pytest.raises(ValueError, match=message):
            places_of(rows, 3)
