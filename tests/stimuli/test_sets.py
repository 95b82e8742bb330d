"""What sets of all kinds share: windows in time."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainnet.stimuli.sets import Kept, check_within, windows_of


@given(st.integers(1, 400), st.integers(1, 50), st.integers(1, 50))
def test_windows_lie_within_and_none_is_forgotten(duration, window, step):
    total, length, step = duration / 10, window / 10, step / 10
    if length > total:
        with pytest.raises(ValueError, match="longer"):
            windows_of(total, length, step, "film")
        return
    found = windows_of(total, length, step, "film")
    for start, lasts in found:
        check_within(start, lasts, total, "film")
    assert found[0][0] == 0
    assert found[-1][0] + step + length > total - 1e-6  # one more would reach beyond the end
    whole = windows_of(total, length, length, "film", partial=True)
    assert sum(lasts for _, lasts in whole) == pytest.approx(total)


def test_a_window_that_is_not_within_is_refused():
    for start, length in ((-1, 2), (9, 2), (0, 0)):
        with pytest.raises(ValueError, match="not within film"):
            check_within(start, length, 10, "film")


def test_the_last_files_are_kept(tmp_path):
    made = []
    kept = Kept(lambda path: made.append(path) or path, 2)
    for name in "abbca":
        kept(tmp_path / name)
    assert [path.name for path in made] == ["a", "b", "c", "a"]
