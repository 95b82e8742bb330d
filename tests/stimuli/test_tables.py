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


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("onset,text\n0,Once, upon a time\n", "row 2 .* 3 cells"),  # the end of the text would be lost
        ('onset,text\n0,"Once\n1,upon\n2,a\n', "quotation mark"),  # so would all rows behind it
        ("Once upon a time\nthere was a bird\n", "no column 'text'"),  # and so would the first text of no header
    ],
)
def test_no_text_is_lost_silently(tmp_path, content, said):
    (tmp_path / "t.csv").write_text(content)
    with pytest.raises(ValueError, match=said):
        read_columns(tmp_path / "t.csv", {"text": ("text",), "onset": ("onset",)}, "text")


def test_a_cell_may_have_lines_and_odd_blanks(tmp_path):
    (tmp_path / "t.csv").write_text('text,n\n"two\nlines",1\n"one\u2028only",2\n', encoding="utf-8")
    assert read_columns(tmp_path / "t.csv", {"text": ("text",)}, "text")["text"] == ["two\nlines", "one\u2028only"]
