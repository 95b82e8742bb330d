"""Lists of pictures in text files and tables: a path a line, relative to the list."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from brainnet.stimuli.layouts import CLASS_COLUMNS, column_of
from brainnet.stimuli.names import is_picture
from brainnet.stimuli.sets import TIMES

LIST_SUFFIXES = (".txt", ".csv", ".tsv")
PATH_COLUMNS = ("path", "file", "filename", "file_name", "image_path", "image", "images", "stimulus")
ID_COLUMNS = ("id", "image_id", "stimulus_id")


class ImageList(NamedTuple):
    """What a list says: paths as they are written, and where a table has such columns, ids, classes and times."""

    paths: list[str]
    ids: list[str] | None = None
    classes: list[str] | None = None
    times: dict[str, list[str] | None] | None = None


def read_list(path: Path) -> ImageList:
    """The pictures that a file lists, in its order.

    Args:
        path: text with a path a line; or a table (``.csv``, ``.tsv``) whose column "path", "file", "filename" or
            "image" has the paths. Of a table without a header, the column with names of pictures is taken. The columns
            "id", "class", "onset" and "duration" are read where they are there.

    Raises:
        ValueError: no text, no such column, or nothing in it.
    """
    try:
        text = path.read_text(encoding="utf-8-sig")
    except UnicodeDecodeError as error:
        raise ValueError(f"cannot read {path}: it is no list in UTF-8 text ({error.reason}).") from None
    if path.suffix.lower() in (".csv", ".tsv"):
        found = _table(path, text)
    else:
        found = ImageList([line.strip() for line in text.split("\n") if line.strip()])
    if not found.paths:
        raise ValueError(f"{path} lists no images.")
    return found


def _table(path: Path, text: str) -> ImageList:
    head = text.partition("\n")[0]
    delimiter = (
        "\t" if path.suffix.lower() == ".tsv" or "\t" in head else ";" if head.count(";") > head.count(",") else ","
    )
    try:
        rows = [row for row in csv.reader(text.splitlines(), delimiter=delimiter) if any(cell.strip() for cell in row)]
    except csv.Error as error:
        raise ValueError(f"cannot read {path}: it is no table ({error}).") from None
    if not rows:
        return ImageList([])
    pictures = next((place for place, cell in enumerate(rows[0]) if is_picture(cell.strip())), None)
    if pictures is not None:  # no header
        return ImageList(_column(rows, pictures, path, 1))
    header, rows = rows[0], rows[1:]
    lower = [name.strip().lower() for name in header]
    taken = column_of(header, PATH_COLUMNS, path)
    named = next((lower.index(name) for name in ID_COLUMNS if name in lower), None)
    times = {name: next((lower.index(one) for one in known if one in lower), None) for name, known in TIMES.items()}
    classed = next((lower.index(name) for name in (*CLASS_COLUMNS, "label") if name in lower), None)
    return ImageList(
        _column(rows, taken, path, 2),
        None if named is None else _column(rows, named, path, 2),
        None if classed is None else _column(rows, classed, path, 2),
        {
            name: None if place is None else [(*row, *[""] * (place + 1))[place].strip() for row in rows]
            for name, place in times.items()
        },
    )


def _column(rows: Sequence[Sequence[str]], column: int, path: Path, first: int) -> list[str]:
    """The cells of a column; ``first`` is the number of the first row, for messages."""
    empty = [place for place, row in enumerate(rows) if len(row) <= column or not row[column].strip()]
    if empty:
        raise ValueError(f"row {empty[0] + first} of {path} has nothing in column {column + 1}.")
    return [row[column].strip() for row in rows]
