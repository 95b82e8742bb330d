"""Tables written by older versions are drawn like those of today."""

from __future__ import annotations

import pandas as pd
import pytest

from brainnet.plot._tables import FORMER, today


@pytest.mark.parametrize(("old", "new"), FORMER.items())
def test_every_former_name_is_read_as_the_one_of_today(old, new):
    assert today(pd.DataFrame({old: [1.5]}))[new].tolist() == [1.5]


def test_a_column_of_today_is_never_replaced_by_a_former_one():
    table = today(pd.DataFrame({"low": [1.0], "lower": [2.0]}))
    assert table["low"].tolist() == [1.0]


def test_rows_are_counted_anew_and_the_given_table_stays():
    given = pd.DataFrame({"region": ["V1", "IT"]}, index=[7, 3])
    assert today(given).index.tolist() == [0, 1]
    assert today(given)["roi"].tolist() == ["V1", "IT"]
    assert list(given) == ["region"]
    assert given.index.tolist() == [7, 3]
