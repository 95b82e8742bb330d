"""The columns of the tables that figures read, whatever they were called when the table was written."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import pandas as pd

FORMER = {
    "lower": "low", "upper": "high", "ceiling_lower": "ceiling_low", "ceiling_upper": "ceiling_high",
    "noise_ceiling": "ceiling", "normalised": "ceiling_share", "explained": "ceiling_share", "region": "roi",
}  # fmt: skip


def today(table: pd.DataFrame) -> pd.DataFrame:
    """The table with rows counted anew, and with the names that columns have today.

    >>> import pandas as pd
    >>> list(today(pd.DataFrame({"roi": ["V1"], "lower": [0.1], "high": [0.3]})))
    ['roi', 'low', 'high']
    """
    renamed = {old: new for old, new in FORMER.items() if old in table and new not in table}
    return table.reset_index(drop=True).rename(columns=renamed)
