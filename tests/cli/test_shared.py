from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brainnet.cli.shared import family_options, print_table, read_rows


def test_a_table_shows_no_p_as_zero_and_no_missing_value(capsys):
    print_table(pd.DataFrame({"roi": ["V1", "IT"], "score": [0.12345, float("nan")], "p": [0.00001, 0.25]}), "scores")
    printed = capsys.readouterr().out
    assert "scores" in printed
    assert [line.split() for line in printed.splitlines() if line.split()[:1] in (["V1"], ["IT"])] == [
        ["V1", "0.1235", "<0.0001"],
        ["IT", "0.2500"],
    ]


def test_rows_are_read_from_text_and_from_files(tmp_path):
    assert [read_rows(text) for text in ("0:10", ":5", "1::2", "3, 1", "7")] == [
        slice(0, 10), slice(None, 5), slice(1, None, 2), [3, 1], [7],
    ]  # fmt: skip
    np.save(tmp_path / "rows.npy", np.array([4, 2]))
    (tmp_path / "rows.txt").write_text("4\n2, 9\n")
    assert read_rows(str(tmp_path / "rows.npy")) == [4, 2]
    assert read_rows(str(tmp_path / "rows.txt")) == [4, 2, 9]
    for text in ("all", "1:2:3:4", "", "1.5", str(tmp_path)):
        with pytest.raises(ValueError, match="--rows is 0:1000"):
            read_rows(text)


def test_options_of_a_family_are_words_and_numbers():
    assert family_options(["a=4", "b=0.5", "c=all", "d=x=y"]) == {"a": 4, "b": 0.5, "c": "all", "d": "x=y"}
    assert family_options(None) == {}
    for wrong in ("steps", "=4", "steps="):
        with pytest.raises(ValueError, match="NAME=VALUE"):
            family_options([wrong])
