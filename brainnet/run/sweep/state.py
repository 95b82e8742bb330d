"""What is known of each cell: done, failed, at work or left; and what a worker that died leaves behind."""

from __future__ import annotations

import os
import platform
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainnet._files import locked, read_json, write_json
from brainnet.run.sweep.plan import Cell, Plan

if TYPE_CHECKING:
    import pandas as pd

CELLS, CARD, BEGUN, LOCK = "cells", "cell.json", "begun.json", "cell"
DONE, FAILED, LEFT, BUSY = "done", "failed", "left", "at work"
MOST_DEATHS = 6  # of workers within one cell, from which on it counts as failed: most often memory that is not there


@dataclass(frozen=True)
class State:
    """What a cell's card says: "done" or "failed", else "left"; and the digest of its rows when it was done."""

    word: str = LEFT
    seconds: float = 0.0
    error: str = ""
    peak_memory_gb: float | None = None
    ended: float = 0.0
    rows: str = ""


def folder_of(out: Path, cell: Cell) -> Path:
    """The run folder of a cell."""
    return out / CELLS / cell.path


def read_state(folder: Path, identity: str) -> State:
    """The state of the cell in a folder; one that was done for other settings is left to do."""
    try:
        card = read_json(folder / CARD)
    except (FileNotFoundError, NotADirectoryError, ValueError):
        return State()
    if card.get("identity") != identity or card.get("state") not in (DONE, FAILED):
        return State()
    ended = (folder / CARD).stat().st_mtime
    return State(card["state"], card.get("seconds", 0.0), card.get("error", ""), card.get("peak_memory_gb"), ended,
                 card.get("rows", ""))  # fmt: skip


def write_state(folder: Path, identity: str, state: State, **more: Any) -> None:
    """Puts the state beside the results of a cell: the last file of it."""
    folder.mkdir(parents=True, exist_ok=True)
    write_json(
        folder / CARD,
        {"state": state.word, "identity": identity, "seconds": round(state.seconds, 3), "error": state.error,
         "peak_memory_gb": state.peak_memory_gb, "rows": state.rows, **more},
    )  # fmt: skip
    (folder / BEGUN).unlink(missing_ok=True)


@contextmanager
def taken(folder: Path) -> Iterator[int]:
    """A cell for this worker alone; gives how many workers died in it before.

    Raises:
        BlockingIOError: another worker has it.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with locked(folder / LOCK, wait=False, keep=False):
        try:
            deaths = int(read_json(folder / BEGUN).get("workers", 0))
        except (FileNotFoundError, ValueError):
            deaths = 0
        yield deaths


def begin(folder: Path, identity: str, deaths: int) -> None:
    """Notes that a worker begins: the note is gone when the cell has ended."""
    who = {"process": os.getpid(), "machine": platform.node()}
    since = time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime())
    write_json(folder / BEGUN, {"workers": deaths + 1, "identity": identity, **who, "since": since})


def is_at_work(folder: Path) -> bool:
    """Whether a worker has the cell just now."""
    if not (folder / BEGUN).is_file():
        return False
    try:
        with locked(folder / LOCK, wait=False, keep=False):
            return False
    except BlockingIOError:
        return True


def prepare(folder: Path, identity: str) -> None:
    """Takes away what was made for other settings; what a worker that died left of this very cell stays."""
    for name in (CARD, BEGUN):
        try:
            if read_json(folder / name).get("identity") != identity:
                break
        except FileNotFoundError:
            continue
        except ValueError:
            break
    else:
        return
    for path in folder.iterdir():
        if path.name != f"{LOCK}.lock":
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()


def status_of(out: str | Path) -> pd.DataFrame:
    """One row per cell: network, subject, method, control, state, seconds, error and folder.

    Args:
        out: the folder of a sweep.

    Raises:
        FileNotFoundError: no sweep was begun there.
    """
    import pandas as pd

    out, rows = Path(out), []
    plan = Plan.read(out)
    for cell in plan.cells:
        folder = folder_of(out, cell)
        state = read_state(folder, plan.identity(cell))
        word = BUSY if state.word == LEFT and is_at_work(folder) else state.word
        rows.append((cell.network.label, cell.subject, cell.method.name, cell.control, word, state.seconds,
                     state.error, str(folder.relative_to(out))))  # fmt: skip
    columns = ["model", "subject", "method", "control", "state", "seconds", "error", "folder"]
    return pd.DataFrame(rows, columns=columns)
