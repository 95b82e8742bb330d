"""Whether the tables a command left are those that docs/tables.md describes."""

from __future__ import annotations

import csv
import re
from fnmatch import fnmatch
from pathlib import Path

PAGE = Path(__file__).resolve().parents[1] / "docs" / "tables.md"


def listed_tables() -> list[tuple[list[str], set[str]]]:
    """For each table that docs/tables.md lists, the patterns of its file names and its columns.

    A table is a heading ``### `file.csv` ...`` and a row for each column.
    """
    tables = []
    for section in re.split(r"^### ", PAGE.read_text(encoding="utf-8"), flags=re.MULTILINE)[1:]:
        heading, _, body = section.partition("\n")
        body = body.partition("\n## ")[0]
        cells = re.findall(r"^\| (`.*?) \|", body, flags=re.MULTILINE)
        tables.append((re.findall("`(.+?)`", heading), set(re.findall("`(.+?)`", " ".join(cells)))))
    return tables


def unlisted_columns(folder: Path) -> dict[str, list[str]]:
    """File -> the columns of it that the page does not explain, for every CSV file a command wrote below a folder.

    A column listed as ``<name>`` stands for any column, such as one for each layer. A file of no listed name has all
    its columns unlisted. Files in a folder without run card are not a command's.
    """
    found = {}
    for path in sorted(folder.rglob("*.csv")):
        if not any((above / "run.json").is_file() for above in path.parents):
            continue
        name = path.relative_to(folder).as_posix()
        known = [columns for patterns, columns in listed_tables() if any(fnmatch(name, f"*{p}") for p in patterns)]
        with path.open(encoding="utf-8", newline="") as file:
            header = next(csv.reader(file))
        wanted = min(known, key=lambda columns: len(set(header) - columns), default=set())
        extra = [column for column in header if column not in wanted]
        if extra and not any(column.startswith("<") for column in wanted):
            found[name] = extra
    return found
