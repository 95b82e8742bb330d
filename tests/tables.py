"""Whether the tables a command left are those that docs/tables.md describes."""

from __future__ import annotations

import csv
import re
from fnmatch import fnmatch
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"


def listed_tables() -> dict[str, set[str]]:
    """Pattern of a file name -> its columns, as docs/tables.md lists them: a heading, then a row for each column."""
    tables: dict[str, set[str]] = {}
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        columns = {
            name for cell in re.findall(r"^\| (`.*?) \|", body, re.MULTILINE) for name in re.findall("`(.+?)`", cell)
        }
        for pattern in re.findall(r"`(.+?)`", heading):
            tables[pattern] = tables.get(pattern, set()) | columns
    return tables


def unlisted_columns(folder: Path) -> dict[str, list[str]]:
    """File -> the columns of it that the page does not explain, for every CSV file a command wrote below a folder.

    A column listed as ``<name>`` stands for any column, such as one for each layer. A file of no listed name has all
    its columns unlisted.
    """
    tables, found = listed_tables(), {}
    for path in sorted(folder.rglob("*.csv")):
        name = path.relative_to(folder).as_posix()
        known = [columns for pattern, columns in tables.items() if fnmatch(name, f"*{pattern}")]
        with path.open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file))
        wanted = min(known, key=lambda columns: len(set(header) - columns), default=set())
        extra = [column for column in header if column not in wanted]
        if extra and not any(column.startswith("<") for column in wanted):
            found[name] = extra
    return found
