"""The tables of a sweep: the rows of all cells that are done, and those that failed; the same bytes in any order."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from brainnet._files import file_digest, reading, write_csv
from brainnet.run.sweep.cells import COLUMNS, HEADLINE, ROWS, SAMPLES
from brainnet.run.sweep.plan import Cell, Plan
from brainnet.run.sweep.state import DONE, FAILED, State, folder_of, read_state

if TYPE_CHECKING:
    import pandas as pd

TABLE, FAILURES = "sweep.csv", "failures.csv"


def gather(plan: Plan, out: Path) -> tuple[pd.DataFrame, pd.DataFrame]:
    """All rows of the cells that are done, in the order of the plan, and one row per cell that failed."""
    import pandas as pd

    parts, failed = [], []
    for cell in plan.cells:
        folder = folder_of(out, cell)
        state = read_state(folder, plan.identity(cell))
        if state.word == DONE:
            parts.append(_rows_of(cell, folder, state))
        elif state.word == FAILED:
            failed.append((cell.network.label, cell.subject, cell.method.name, cell.control, state.error))
    table = pd.concat(parts, ignore_index=True) if parts else pd.DataFrame(columns=list(COLUMNS))
    words = ["model", "subject", "method", "control", "layer", "chosen_layer", "split", "roi", "score"]
    table[words] = table[words].fillna("").astype(str)
    return table, pd.DataFrame(failed, columns=["model", "subject", "method", "control", "error"])


def _rows_of(cell: Cell, folder: Path, state: State) -> pd.DataFrame:
    """The rows that a cell left when it was done.

    Raises:
        ValueError: they are gone, or others than it left.
    """
    import pandas as pd

    path = folder / ROWS
    if not path.is_file() or state.rows not in ("", file_digest(path)):
        raise ValueError(f"{path} is gone or damaged since the cell {cell} was done: delete the folder {folder}, and "
                         "the same `brainnet sweep run` does that cell again.")  # fmt: skip
    with reading(path, "table of a cell"):
        return pd.read_csv(path, dtype={"layer": str, "chosen_layer": str, "control": str}, keep_default_na=True)


def write_tables(plan: Plan, out: Path) -> pd.DataFrame:
    """Writes ``sweep.csv`` and ``failures.csv``; returns the former."""
    table, failed = gather(plan, out)
    write_csv(out / TABLE, table)
    write_csv(out / FAILURES, failed)
    return table


def headlines(table: pd.DataFrame) -> pd.DataFrame:
    """The rows that speak for a network: of the layer chosen on training images, or of a method that reads all."""
    return table[table["layer"].isin(HEADLINE) & (table["split"] == "test")]


def read_samples(plan: Plan, out: Path) -> dict[tuple[str, str, str, str], dict[str, np.ndarray]]:
    """(model, subject, method, control) -> region -> values of the headline score over resampled stimuli."""
    found = {}
    for cell in plan.cells:
        path = folder_of(out, cell) / SAMPLES
        if path.is_file():
            with reading(path, "file of samples"), np.load(path, allow_pickle=False) as arrays:
                found[cell.network.label, cell.subject, cell.method.name, cell.control] = {
                    roi: arrays[roi] for roi in arrays.files
                }
    return found
