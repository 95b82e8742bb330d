"""What the figures of RSA tables share: their tables, noise ceilings, legends, and the words for what marks mean.

All read the tidy table of ``rsa.evaluate`` (or any DataFrame with its columns), draw what it says and compute nothing:
intervals are its ``low`` and ``high``, marks its ``p_corrected``, bands its noise ceilings. Models differ by hatch,
line and marker as well as by color, so that a figure survives gray print.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet.plot._tables import today

if TYPE_CHECKING:
    import pandas as pd
    from matplotlib.axes import Axes

HATCHES = ("", "////", "....", "\\\\\\\\", "xxxx", "||||", "oo", "++++")
LINES = ("-", "--", ":", "-.")
CEILING = "0.88"
CORRECTED = {"holm": "Holm-corrected", "max": "family-wise", "fdr": "false discovery rate", "none": "uncorrected"}


# ---------------------------------------------------------------------- tables


def table_of(evaluation: Any) -> pd.DataFrame:
    """The table of an evaluation, or the table itself, with the names that columns have today."""
    table = getattr(evaluation, "table", evaluation)
    columns = getattr(table, "columns", ())
    missing = [name for name in ("roi", "model", "score") if name not in columns]
    if missing and not (missing == ["roi"] and "region" in columns):
        raise ValueError(f"expected an Evaluation or its table, without {', '.join(missing)}: see rsa.evaluate().")
    table = today(table)
    return table if "layer" in table else table.assign(layer="")


def refuse_time(table: pd.DataFrame, name: str, other: str) -> None:
    """Refuses a table over time."""
    if "time" in table and table["time"].nunique() > 1:
        raise ValueError(f"{name} draws one score per ROI and model, but the table has several times; use {other}.")


def bar_names(table: pd.DataFrame) -> pd.Series:
    """(n_rows,) "model" where no model has several layers, else "model layer"."""
    if table.groupby("model")["layer"].nunique().max() == 1:
        return table["model"].astype(str)
    return (table["model"].astype(str) + " " + table["layer"].astype(str)).str.strip()


def score_name_of(table: pd.DataFrame) -> str:
    """What the scores are, for the axis."""
    squared = "squared " if table.attrs.get("squared") else ""
    return f"{squared}{table.attrs['method']} similarity" if "method" in table.attrs else "score"


def has_ceiling(table: pd.DataFrame) -> bool:
    """Whether the table knows a noise ceiling."""
    return "ceiling_high" in table and bool(table["ceiling_high"].notna().any())


def has_intervals(table: pd.DataFrame) -> bool:
    """Whether the table knows an interval of any score."""
    return {"low", "high"} <= set(table) and bool(table["low"].notna().any())


def interval_name_of(table: pd.DataFrame, given: str | None) -> str:
    """What low and high are, as far as the table knows."""
    level = table.attrs.get("level")
    where = " over subjects" if table.attrs.get("errors") == "over subjects" else ""
    return given or (f"{100 * level:g} % interval{where}" if isinstance(level, float) else "interval")


def significance_name_of(table: pd.DataFrame, alpha: float) -> str:
    """What is marked as significant: the level, and what was corrected for."""
    return f"p\xa0<\xa0{alpha:g}, {CORRECTED.get(table.attrs.get('correction', ''), 'corrected')}"


def tests(table: pd.DataFrame) -> bool:
    """Whether anything was tested."""
    return "p_corrected" in table and bool(table["p_corrected"].notna().any())


# ---------------------------------------------------------------------- ceilings


def ceiling_band(ax: Axes, row: Any, left: float, right: float) -> None:
    """The noise ceiling as a gray box, no thinner than a line."""
    if "ceiling_high" not in row or not np.isfinite([row["ceiling_low"], row["ceiling_high"]]).all():
        return
    low, high = row["ceiling_low"], row["ceiling_high"]
    ax.fill_between([left, right], [low] * 2, [high] * 2, color=CEILING, linewidth=0.8, zorder=0.5)


def ceiling_course(ax: Axes, rows: pd.DataFrame) -> None:
    """The noise ceiling over time as a gray band."""
    if not has_ceiling(rows):
        return
    course = rows.drop_duplicates("time").sort_values("time")
    times, low, high = (course[name].to_numpy(float) for name in ("time", "ceiling_low", "ceiling_high"))
    ax.fill_between(times, low, high, color=CEILING, linewidth=0, zorder=0.5)


def ceiling_entry(table: pd.DataFrame) -> list[tuple[Any, str]]:
    """The legend's entry of the noise ceiling, where there is one."""
    from matplotlib.patches import Patch

    return [(Patch(color=CEILING), "noise ceiling")] if has_ceiling(table) else []
