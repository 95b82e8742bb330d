"""What a worker of a sweep does: cell after cell, until none is left that it can have.

Workers know nothing of each other. A lock that the system lets go when its holder dies says who is at a cell, and the
card of a cell says that it is done. So any number of them may work in one folder, on one machine or on many that see
it under one path, and any of them may be killed.
"""

from __future__ import annotations

import os
import platform
import random
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

from brainnet._files import file_digest
from brainnet._work import Interrupted
from brainnet.run.record.card import peak_memory
from brainnet.run.sweep.cells import ROWS, run_cell
from brainnet.run.sweep.held import Busy, Held
from brainnet.run.sweep.plan import Cell, Plan
from brainnet.run.sweep.state import (
    DONE,
    FAILED,
    LEFT,
    MOST_DEATHS,
    State,
    begin,
    folder_of,
    prepare,
    read_state,
    taken,
    write_state,
)

LONGEST_PAUSE = 5.0  # seconds between two looks at cells that others are at


@dataclass
class Worker:
    """One worker.

    Args:
        out: the folder of a sweep that was begun.
        again: do cells again that failed before this worker began.
        say: told of each cell that is done or failed here, with its state.
    """

    out: Path
    again: bool = False
    say: Callable[[Cell, State], None] | None = None
    plan: Plan = field(init=False)

    def __post_init__(self) -> None:
        self.out = Path(self.out)
        self.plan = Plan.read(self.out)
        self.held = Held(self.plan, self.out)
        self._ended: set[str] = set()
        self._since = time.time()

    def work(self) -> int:
        """Does all cells that are left; waits for those that others are at, and does them where these die.

        Returns:
            How many cells this worker did.
        """
        n_done, pause = 0, 0.05
        while True:
            waiting, did = False, 0
            for cell in self.plan.cells:
                if cell.path in self._ended:
                    continue
                try:
                    did += self._do(cell)
                except (Busy, BlockingIOError):
                    waiting = True
            n_done += did
            self.held.let_go()
            if not waiting:
                return n_done
            pause = 0.05 if did else min(2 * pause, LONGEST_PAUSE)
            time.sleep(pause * random.uniform(0.5, 1.5))  # workers that began together do not stay together

    def _do(self, cell: Cell) -> bool:
        """Does a cell; False where there was nothing to do."""
        folder, identity = folder_of(self.out, cell), self.plan.identity(cell)
        if self._is_over(cell, folder, identity):
            return False
        with taken(folder) as deaths:
            if self._is_over(cell, folder, identity):  # meanwhile
                return False
            prepare(folder, identity)
            began = time.perf_counter()
            if deaths >= MOST_DEATHS:
                state = State(FAILED, error=f"{deaths} workers died in this cell; most often the memory is too small.")
            else:
                begin(folder, identity, deaths)
                state = self._run(cell, folder, began)
            write_state(folder, identity, state, process=os.getpid(), machine=platform.node())
        self._end(cell, state)
        return True

    def _run(self, cell: Cell, folder: Path, began: float) -> State:
        try:
            run_cell(cell, self.held, folder)
        except (Busy, Interrupted, KeyboardInterrupt):
            raise
        except Exception as error:  # of one cell: the others go on
            said = " ".join(f"{type(error).__name__}: {error}".split())
            return State(FAILED, time.perf_counter() - began, said)
        peak = peak_memory()
        return State(DONE, time.perf_counter() - began, peak_memory_gb=None if peak is None else round(peak / 1e9, 3),
                     rows=file_digest(folder / ROWS))  # fmt: skip

    def _is_over(self, cell: Cell, folder: Path, identity: str) -> bool:
        state = read_state(folder, identity)
        if state.word == LEFT or (state.word == FAILED and self.again and state.ended < self._since):
            return False
        self._ended.add(cell.path)
        return True

    def _end(self, cell: Cell, state: State) -> None:
        self._ended.add(cell.path)
        if self.say is not None:
            self.say(cell, state)
        mine = [one for one in self.plan.cells_of(cell.network) if one.tokens_of == cell.tokens_of]
        if all(self._is_over(one, folder_of(self.out, one), self.plan.identity(one)) for one in mine):
            self.held.drop_tokens(cell.network, cell.tokens_of)


def work(out: str | Path, again: bool = False, say: Callable[[Cell, State], None] | None = None) -> int:
    """Does what is left of the sweep in a folder; see :class:`Worker`. It is what another process is sent.

    What a cell does in parallel stays in its worker: under dask it was sent to the other workers, which wait for this
    very cell.
    """
    import joblib

    from brainnet.plot.saving import saved_as

    with saved_as("png"), joblib.parallel_config("sequential"):
        return Worker(Path(out), again, say).work()
