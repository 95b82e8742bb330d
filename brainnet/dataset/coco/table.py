"""Which photograph of COCO each of NSD is, and what was cut off it: ``nsd_stim_info_merged.csv``, of the user's NSD.

Ids of NSD are counted from 0 here, as in that table, in ``imgBrick`` and in the ids of brainnet's reader ("nsd-02950").
The names of NSD's own picture files ("shared0001_nsd02951.png") count from 1.
"""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import NamedTuple

import numpy as np

from brainnet._files import file_digest, reading

IN_NSD = "nsddata/experiments/nsd/nsd_stim_info_merged.csv"
COLUMNS = {"nsdId": "nsd_id", "cocoId": "coco_id", "cocoSplit": "coco_split", "cropBox": "cropBox"}
"""Columns of NSD's table, and what Net2Brain's ``coco.csv`` calls them."""
SPLITS = ("train2017", "val2017")


class Row(NamedTuple):
    """What is known of one photograph.

    Args:
        nsd_id: 0 to 72999, the row in ``imgBrick``.
        coco_id: the number in COCO.
        split: of COCO, "train2017" or "val2017".
        crop: shares of the height or width that were cut off: top, bottom, left, right.
    """

    nsd_id: int
    coco_id: int
    split: str
    crop: tuple[float, float, float, float]


class StimulusTable:
    """The table of NSD's photographs, and the ids of one set as those of the other.

    Args:
        source: the folder of NSD, its ``nsd_stim_info_merged.csv``, or a ``coco.csv`` of Net2Brain.

    Attributes:
        path: of the table.
        digest: its sha256.

    Raises:
        FileNotFoundError: no table there.
        ValueError: a table of another kind, or one that is damaged; names the row.

    >>> import tempfile
    >>> file = Path(tempfile.mkdtemp()) / "nsd_stim_info_merged.csv"
    >>> with file.open("w") as text:
    ...     print("cocoId,cocoSplit,cropBox,nsdId", file=text)
    ...     print('532481,val2017,"(0, 0, 0.25, 0.25)",0', file=text)
    >>> table = StimulusTable(file)
    >>> table.coco_id("nsd-00000"), table.nsd_id(532481), table.row(0).crop
    (532481, 0, (0.0, 0.0, 0.25, 0.25))
    """

    def __init__(self, source: str | os.PathLike):
        source = Path(source)
        self.path = source / IN_NSD if source.is_dir() else source
        if not self.path.is_file():
            raise FileNotFoundError(f"no {self.path}: it is the table of NSD's photographs, 11 MB.")
        self.digest = file_digest(self.path)
        self._rows = _read(self.path)
        self._by_coco = {row.coco_id: row for row in self._rows.values()}
        if len(self._by_coco) < len(self._rows):
            raise ValueError(f"{self.path} names a photograph of COCO twice.")

    def __len__(self) -> int:
        return len(self._rows)

    def __contains__(self, nsd_id: object) -> bool:
        return nsd_id in self._rows

    def __iter__(self):
        return iter(self._rows.values())

    def row(self, nsd_id: int | str) -> Row:
        """What is known of a photograph of NSD: 2950, "02950", "nsd-02950" or "train-0001_nsd-02950"."""
        number = number_of(nsd_id, "nsd")
        if number not in self._rows:
            raise ValueError(f"{self.path} has no photograph {nsd_id!r}; it has {self._span()}.")
        return self._rows[number]

    def _span(self) -> str:
        return f"{len(self._rows):,}, from {min(self._rows)} to {max(self._rows)}"

    def coco_id(self, nsd_id: int | str) -> int:
        """The number in COCO of a photograph of NSD."""
        return self.row(nsd_id).coco_id

    def nsd_id(self, coco_id: int | str) -> int:
        """The number in NSD, from 0, of a photograph of COCO: 262145, "262145" or "000000262145".

        Raises:
            ValueError: NSD has none of that number.
        """
        number = number_of(coco_id, "coco")
        if number not in self._by_coco:
            raise ValueError(f"the photograph {coco_id!r} of COCO is none of the {len(self):,} in {self.path}.")
        return self._by_coco[number].nsd_id


def number_of(name: int | str, kind: str) -> int:
    """The number in an id of NSD ("nsd") or of COCO ("coco").

    Raises:
        ValueError: a text that holds none, or a name of NSD's own picture files, which count from 1.

    >>> number_of("train-0001_nsd-02950", "nsd"), number_of("000000262145", "coco"), number_of(7, "nsd")
    (2950, 262145, 7)
    """
    if isinstance(name, int | np.integer):
        return int(name)
    text = str(name)
    if kind == "nsd" and re.search(r"shared\d+_nsd\d+$", text):
        raise ValueError(
            f"{name!r} is a name that counts from 1: its id is {number_of(text.split('_nsd')[1], kind) - 1}."
        )
    found = re.search(r"nsd-(\d+)$" if kind == "nsd" and "nsd" in text else r"^(\d+)$", text)
    if not found:
        raise ValueError(f"{name!r} is no id of {kind.upper()}.")
    return int(found[1])


def _read(path: Path) -> dict[int, Row]:
    import pandas as pd

    with reading(path, "table of NSD's photographs"):
        table = pd.read_csv(path, dtype=str, keep_default_na=False)
    columns = {ours: ours if ours in table else other for ours, other in COLUMNS.items()}
    missing = [name for name, found in columns.items() if found not in table]
    if missing:
        raise ValueError(f"{path} has no column {missing[0]}; a table of NSD's photographs has {', '.join(COLUMNS)}.")
    rows: dict[int, Row] = {}
    for place, (nsd, coco, split, box) in enumerate(zip(*(table[columns[name]] for name in COLUMNS), strict=True)):
        if not (nsd.isdigit() and coco.isdigit() and split in SPLITS):
            raise ValueError(f"row {place} of {path} is none of a photograph: {nsd!r}, {coco!r}, {split!r}.")
        if int(nsd) in rows:
            raise ValueError(f"{path} names photograph {int(nsd)} twice.")
        rows[int(nsd)] = Row(int(nsd), int(coco), split, _crop_of(box, f"row {place} of {path}"))
    if not rows:
        raise ValueError(f"{path} has no rows.")
    return rows


def _crop_of(text: str, where: str) -> tuple[float, float, float, float]:
    """The four shares of "(top, bottom, left, right)"."""
    try:
        top, bottom, left, right = map(float, text.strip("()[] ").split(","))
        if not (min(top, bottom, left, right) >= 0 and top + bottom < 1 and left + right < 1):
            raise ValueError
    except ValueError:
        raise ValueError(
            f"{where} has the cropBox {text!r}; expected four shares (top, bottom, left, right)."
        ) from None
    return top, bottom, left, right
