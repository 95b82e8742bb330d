"""How far a sweep is: cells done, failed and left, on a terminal as one bar, elsewhere as a line now and then."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

from brainnet._work import LINE_EVERY, duration, says_progress
from brainnet.run.sweep.plan import Cell, Plan
from brainnet.run.sweep.state import DONE, FAILED, State, folder_of, read_state


class Progress:
    """Counts of the cells of a sweep, whoever does them.

    Args:
        plan: of the sweep.
        out: its folder.
        enabled: whether anything is shown.
    """

    def __init__(self, plan: Plan, out: Path, enabled: bool = True):
        self.plan, self.out, self.enabled = plan, out, enabled
        self.on_terminal = enabled and sys.stderr.isatty()
        self.every = 1.0 if self.on_terminal else LINE_EVERY
        self._ended: dict[str, str] = {}
        self._lock = threading.Lock()
        self._began = time.monotonic()
        self._bar: Any = None
        self.look(say=False)
        self._at_start = len(self._ended)

    def __enter__(self) -> Progress:
        if self.on_terminal:
            from rich.console import Console
            from rich.progress import BarColumn, TextColumn
            from rich.progress import Progress as Bar

            self._bar = Bar(TextColumn("{task.description}"), BarColumn(), console=Console(stderr=True), transient=True)
            self._bar.start()
            self._task = self._bar.add_task(self.text(), total=len(self.plan.cells), completed=len(self._ended))
        return self

    def __exit__(self, *_: Any) -> None:
        if self._bar is not None:
            self._bar.stop()

    def add(self, cell: Cell, state: State) -> None:
        """Counts a cell that ended in this process; says why one failed."""
        with self._lock:
            self._ended[cell.path] = state.word
        if state.word == FAILED and self.enabled:
            says_progress.info("failed: %s: %s", cell, state.error)

    def look(self, say: bool = True) -> None:
        """Reads the states of the cells that had not ended, and shows the counts."""
        for cell in self.plan.cells:
            if cell.path not in self._ended:
                state = read_state(folder_of(self.out, cell), self.plan.identity(cell))
                if state.word in (DONE, FAILED):
                    with self._lock:
                        self._ended[cell.path] = state.word
        if self._bar is not None:
            self._bar.update(self._task, completed=len(self._ended), description=self.text())
        elif self.enabled and say:
            says_progress.info("%s", self.text())

    def text(self) -> str:
        """The counts, and how long it will take at the pace so far."""
        words = list(self._ended.values())
        failed, left = words.count(FAILED), len(self.plan.cells) - len(words)
        said = f"sweep: {words.count(DONE)} of {len(self.plan.cells)} cells done, {failed} failed, {left} left"
        here = len(words) - self._at_start if hasattr(self, "_at_start") else 0
        if here and left:
            said += f", about {duration((time.monotonic() - self._began) / here * left)}"
        return said
