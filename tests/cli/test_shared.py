from __future__ import annotations

import pandas as pd

from brainnet.cli.shared import print_table


def test_a_table_shows_no_p_as_zero_and_no_missing_value(capsys):
    print_table(pd.DataFrame({"roi": ["V1", "IT"], "score": [0.12345, float("nan")], "p": [0.00001, 0.25]}), "scores")
    printed = capsys.readouterr().out
    assert "scores" in printed
    assert [line.split() for line in printed.splitlines() if line.split()[:1] in (["V1"], ["IT"])] == [
        ["V1", "0.1235", "<0.0001"],
        ["IT", "0.2500"],
    ]
