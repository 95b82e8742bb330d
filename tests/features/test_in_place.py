"""An array file that is filled in place holds what numpy would have saved, whatever the order of the pieces."""

from __future__ import annotations

import hashlib

import numpy as np
import pytest

from brainnet.features.in_place import ArrayFile

VALUES = np.random.default_rng(0).normal(size=(7, 3)).astype("<f4")
PIECES = [slice(0, 3), slice(3, 5), slice(5, 7)]


def filled(path, order) -> ArrayFile:
    array = ArrayFile(path, *VALUES.shape)
    for place in order:
        array.write(PIECES[place].start, VALUES[PIECES[place]].data.cast("B"))
    array.sync()
    array.close()
    return array


@pytest.mark.parametrize("order", [(0, 1, 2), (2, 0, 1), (1, 2, 0), (0, 1, 0, 2)])
def test_the_file_is_the_one_numpy_saves(tmp_path, order):
    array = filled(tmp_path / "a.npy", order)
    np.save(tmp_path / "saved.npy", VALUES)
    assert array.path.read_bytes() == (tmp_path / "saved.npy").read_bytes()
    assert array.is_whole()


def test_the_digest_is_that_of_the_file_or_none(tmp_path):
    array = filled(tmp_path / "a.npy", (0, 1, 2))
    assert array.digest() == hashlib.sha256(array.path.read_bytes()).hexdigest()
    assert filled(tmp_path / "b.npy", (2, 0, 1)).digest() is None
    assert filled(tmp_path / "c.npy", (0, 1)).digest() is None


def test_a_piece_that_is_written_again_with_other_numbers_leaves_no_digest(tmp_path):
    array = ArrayFile(tmp_path / "a.npy", 2, 3)
    for numbers in (VALUES[:1], VALUES[1:2]):
        array.write(0, numbers.data.cast("B"))
    array.write(1, VALUES[2:3].data.cast("B"))
    array.close()
    assert array.digest() is None


def test_a_file_without_its_last_rows_is_not_whole(tmp_path):
    assert not filled(tmp_path / "a.npy", (0, 1)).is_whole()
    assert not ArrayFile(tmp_path / "none.npy", 2, 3).is_whole()


def test_what_a_file_holds_already_stays(tmp_path):
    filled(tmp_path / "a.npy", (0, 2))
    filled(tmp_path / "a.npy", (1,))
    assert np.array_equal(np.load(tmp_path / "a.npy"), VALUES)
