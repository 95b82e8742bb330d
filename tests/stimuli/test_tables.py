"""Tables of stimuli by their headers."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.stimuli.tables import numbers_of, read_columns


@pytest.mark.parametrize("content", ["a;b\n1;x, y\n2;z\n", "A\tB\n1\tx, y\n2\tz\n", 'b,a\n"x, y",1\nz,2\n'])
def test_separators_and_order_of_columns(tmp_path, content):
    (tmp_path / "t.csv").write_text(content)
    found = read_columns(tmp_path / "t.csv", {"number": ("a",), "text": ("b", "c"), "none": ("d",)}, "text")
    assert found == {"number": ["1", "2"], "text": ["x, y", "z"], "none": None}


def test_numbers_are_finite(tmp_path):
    assert numbers_of(["1", "2.5"], "onset", tmp_path).tolist() == [1, 2.5]
    assert numbers_of(None, "onset", tmp_path) is None
    for wrong in ("", "x", "nan", "inf"):
        with pytest.raises(ValueError, match=f"row 3 .*{wrong!r}"):
            numbers_of(["0", wrong], "onset", tmp_path)
    assert np.isfinite(numbers_of(["1e3"], "onset", tmp_path)).all()
