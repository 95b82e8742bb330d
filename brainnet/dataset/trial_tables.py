"""A table of trials, as a lab keeps it beside its recordings, and the responses to them.

A line for each trial: which image was shown, and in which session and run. The responses stand in further columns, one
for each voxel, or in a file of their own, one row for each trial or the row that a column "row" names.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from brainnet.dataset.tables import read_csv, read_table
from brainnet.stimuli import names_meant

NAMED = ("image", "session", "run", "row")


@dataclass(frozen=True)
class TrialTable:
    """Trials in the order of the recording: those of one session, and of one run of it, follow one another.

    Args:
        values: (n_trials, n_voxels) responses; a memory map where the file is one and no trial had to be moved.
        images: (n_trials,) which image was shown.
        sessions: (n_trials,) labels, or None.
        runs: (n_trials,) labels, or None.
    """

    values: np.ndarray
    images: list[str]
    sessions: list[Any] | None
    runs: list[Any] | None

    def blocks(self) -> Iterator[np.ndarray]:
        """The responses of one session after the other (of one run, where there are no sessions), read when asked for.

        >>> table = TrialTable(np.eye(3), ["a", "b", "a"], None, [1, 1, 2])
        >>> [len(block) for block in table.blocks()]
        [2, 1]
        """
        labels = self.sessions or self.runs or [None] * len(self.images)
        starts = [i for i, label in enumerate(labels) if i == 0 or label != labels[i - 1]]
        for start, stop in zip(starts, [*starts[1:], len(labels)], strict=True):
            yield np.array(self.values[start:stop])


def read_trials(path: str | Path, responses: Any = None) -> TrialTable:
    """The trials of a ``.csv`` or ``.tsv`` file.

    Args:
        path: with a column "image", and "session", "run" and "row" where there are any.
        responses: (n, n_voxels), an array or a file; None takes the further columns of the table.

    Raises:
        FileNotFoundError: no such file.
        ValueError: no column "image", a trial without an image, columns that hold no numbers, a row that is not
            there, or another number of responses than trials; names the file and the line.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"no table of trials {path}.")
    table = read_csv(path, "table of trials", sep="\t" if path.suffix == ".tsv" else ",", dtype={"image": str})
    if "image" not in table.columns:
        raise ValueError(f"{path} has columns {', '.join(map(str, table.columns[:8]))}; one must be image.")
    nameless = np.flatnonzero(table["image"].isna())
    if len(nameless):
        raise ValueError(f"{path}, line {nameless[0] + 2}: the trial names no image.")
    labels = {name: table[name].tolist() if name in table else None for name in ("session", "run")}
    values = _values(path, table, responses)
    order = _by_recording(labels["session"], labels["run"], len(table))
    if order is not None:
        values = values[order]
        table = table.iloc[order]
        labels = {name: table[name].tolist() if name in table else None for name in labels}
    return TrialTable(values, table["image"].tolist(), labels["session"], labels["run"])


def _values(path: Path, table: Any, responses: Any) -> np.ndarray:
    """(n_trials, n_voxels), from the table's own columns or from elsewhere."""
    import pandas

    n = len(table)
    if responses is None:
        columns = [name for name in table.columns if name not in NAMED]
        words = [name for name in columns if not pandas.api.types.is_numeric_dtype(table[name])]
        if words or not columns:
            found = f"column {words[0]!r} holds {table[words[0]].iloc[0]!r}" if words else "there are no such columns"
            raise ValueError(
                f"{path}: columns besides {', '.join(NAMED)} are responses, a number per voxel, and {found}. Give "
                "responses in a file of their own, or leave out what is none."
            )
        return table[columns].to_numpy(dtype=np.float64)
    values = read_table(responses, "responses").values
    if values.ndim != 2:
        raise ValueError(f"responses of trials must be (n_trials, n_voxels), got shape {values.shape}.")
    if "row" in table:
        rows = table["row"].to_numpy()
        wrong = np.flatnonzero(~((rows >= 0) & (rows < len(values)) & (rows == np.floor(rows))))
        if len(wrong):
            raise ValueError(
                f"{path}, line {wrong[0] + 2}: row {rows[wrong[0]]}; the responses have rows 0 to {len(values) - 1}."
            )
        rows = rows.astype(np.int64)
        return values if len(values) == n and np.array_equal(rows, np.arange(n)) else values[rows]
    if len(values) != n:
        raise ValueError(
            f"{path} has {n} trials and the responses have {len(values)} rows: give one per trial, or a column row."
        )
    return values


def _by_recording(sessions: list[Any] | None, runs: list[Any] | None, n: int) -> np.ndarray | None:
    """The order in which trials of one session, and of one run, follow one another; None where they do already."""
    ranks = []
    for labels in (runs, sessions):
        first = {label: place for place, label in reversed(list(enumerate(labels or ())))}
        ranks += [] if labels is None else [[first[label] for label in labels]]
    order = np.lexsort(ranks) if ranks else np.arange(n)
    return None if np.array_equal(order, np.arange(n)) else order


def images_of(names: list[str], ids: list[str], where: str) -> list[str]:
    """For each trial the id of the image that its name means.

    Raises:
        ValueError: a name that means none; names it.
    """
    known, meant = set(ids), {}
    for name in dict.fromkeys(names):
        found = next((candidate for candidate in names_meant(name) if candidate in known), None)
        if found is None:
            raise ValueError(f"{where} names an image {name!r}; there are {ids[0]!r} to {ids[-1]!r}.")
        meant[name] = found
    return [meant[name] for name in names]
