"""Tables of stimuli: columns of ``.csv`` and ``.tsv`` files by their headers, and lists with an entry a line."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

TABLE_SUFFIXES = (".csv", ".tsv")


def read_text(path: Path) -> str:
    """A file of UTF-8 text, with or without a byte order mark.

    Raises:
        FileNotFoundError: no such file.
        ValueError: it is empty, in another encoding, or no text at all.
    """
    if not path.is_file():
        raise FileNotFoundError(f"there is no file {path}.")
    raw = path.read_bytes()
    try:
        text = raw.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(
            f"cannot read {path}: byte {error.start} is no UTF-8 text. Save the file in UTF-8, if it is text."
        ) from None
    if "\0" in text:
        raise ValueError(f"cannot read {path}: it is no text, or in UTF-16. Save the file in UTF-8.")
    if not text.strip():
        raise ValueError(f"{path} is empty: it holds no text.")
    return text


def read_columns(path: Path, headers: Mapping[str, Sequence[str]], needed: str) -> dict[str, list[str] | None]:
    """Columns of a table by their headers.

    Args:
        path: a ``.csv`` or ``.tsv`` file whose first row names the columns; or text, whose lines are ``needed``.
        headers: what a column is called here, to the headers it may have in the file, the best first.
        needed: the column that must be there.

    Returns:
        For every name of ``headers`` its cells; None where the table has no such column.

    Raises:
        ValueError: no text, no such column, an empty cell in it, or a row with more cells than the header; names the
            row as a person counts it.
    """
    text = read_text(path)
    if path.suffix.lower() not in TABLE_SUFFIXES:
        lines = [line.strip() for line in text.split("\n") if line.strip()]
        return {name: lines if name == needed else None for name in headers}
    header, *rows = _rows(path, text)
    titles = [title.strip().lower() for title in header]
    found: dict[str, list[str] | None] = {}
    for name, known in headers.items():
        place = next((titles.index(one) for one in known if one in titles), None)
        if place is None and name == needed:
            raise ValueError(
                f"{path} has no column {', '.join(map(repr, known))}; its columns are {', '.join(header)}."
            )
        found[name] = None if place is None else [row[place].strip() if place < len(row) else "" for row in rows]
    cells = found[needed]
    if not cells:
        raise ValueError(f"{path} has a header and no rows.")
    if "" in cells:
        raise ValueError(f"row {cells.index('') + 2} of {path} has nothing in the column of {needed}s.")
    return found


def _rows(path: Path, text: str) -> list[list[str]]:
    """The rows of a table, without empty ones.

    Raises:
        ValueError: a quotation mark that nothing closes, or a row with more cells than the first; a text with the
            separator in it would lose its end.
    """
    head = text.partition("\n")[0]
    tabs = path.suffix.lower() == ".tsv" or "\t" in head
    delimiter = "\t" if tabs else ";" if head.count(";") > head.count(",") else ","
    try:
        rows = list(csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True))
    except csv.Error as error:
        raise ValueError(f"cannot read {path}: it is no table, or a quotation mark is not closed ({error}).") from None
    rows = [row for row in rows if any(map(str.strip, row))]
    longer = next((number for number, row in enumerate(rows) if len(row) > len(rows[0])), None)
    if longer is not None:
        raise ValueError(
            f"row {longer + 1} of {path} has {len(rows[longer])} cells and the header {len(rows[0])}: put quotation "
            "marks around a text with the separator in it."
        )
    return rows


def numbers_of(cells: Sequence[str] | None, name: str, path: Path) -> np.ndarray | None:
    """The cells of a column as finite numbers (n,) float64; None where there is no column.

    Raises:
        ValueError: a cell that is no number; names the row.
    """
    if cells is None:
        return None
    found = np.empty(len(cells))
    for place, cell in enumerate(cells):
        try:
            found[place] = float(cell)
        except ValueError:
            found[place] = np.nan
        if not np.isfinite(found[place]):
            raise ValueError(f"row {place + 2} of {path} has the {name} {cell!r}: expected a number of seconds.")
    return found
