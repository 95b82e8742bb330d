"""A sweep: networks x subjects x methods x controls, each a run folder of its own, and one table of all.

The folder of a sweep holds

    plan.json       what was asked, with the networks that patterns and words of the catalogue meant
    subjects/       what is known of each subject's data, read once
    cells/          NETWORK/CELL: a run folder for each cell, one network, subject, method and control; its cell.json
                    says how it ended
    tokens/         token stores of networks that are at work, or kept
    sweep.csv       one row per cell, layer and region
    failures.csv    cells that failed, and why
    run.json        the run card
"""

from __future__ import annotations

import shutil
import threading
from collections import Counter
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from brainnet._files import locked
from brainnet._work import Interrupted, terminable
from brainnet.run.record.card import Clock, opening, put_card, refuse_others
from brainnet.run.record.claiming import made
from brainnet.run.record.run_folder import PACKAGES
from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.engines import check_engine, engine, run_workers
from brainnet.run.sweep.forecast import announce
from brainnet.run.sweep.held import SUBJECTS, Held
from brainnet.run.sweep.plan import OWN, PLAN, RANDOM, Plan, make_plan
from brainnet.run.sweep.progress import Progress
from brainnet.run.sweep.state import DONE, FAILED, LEFT, folder_of, read_state
from brainnet.run.sweep.table import FAILURES, TABLE, write_tables
from brainnet.run.sweep.work import work

if TYPE_CHECKING:
    import pandas as pd

KIND = "sweep"


def run_sweep(
    definition: str | Path | Mapping[str, Any],
    out: str | Path,
    *,
    n_jobs: int | None = None,
    engine_name: str = "processes",
    address: str | None = None,
    engine_options: Mapping[str, Any] | None = None,
    force: bool = False,
    progress: bool = True,
) -> pd.DataFrame:
    """Does all cells of a sweep that are left, and writes its tables.

    Several calls may be at work in one folder at the same time, also on several machines that see it under one path:
    none does a cell that another is at. A call goes on where killed ones stopped. Cells that failed before are tried
    again once.

    Args:
        definition: a YAML file, or the same as a mapping; see :class:`brainnet.run.sweep.definition.Definition`.
        out: the folder of the sweep.
        n_jobs: workers; None is what ``joblib.parallel_config`` says, else 1, which works in this process.
        engine_name: "processes", "dask", "ray" or "slurm", see :func:`brainnet.run.sweep.engines.engine`.
        address: of a dask scheduler or of ray that is there already.
        engine_options: of the Slurm jobs.
        force: begin also what the forecast says does not fit.
        progress: show how many cells are done, failed and left.

    Returns:
        One row per cell, layer and region, as written to ``sweep.csv``.

    Raises:
        ValueError: an unknown word in the definition, or a network, subject or method that is not there.
        FileExistsError: ``out`` is a file, or holds the results of another command or another sweep.
        ModuleNotFoundError: the engine's package is missing; says which to install.
        MemoryError, OSError: more memory or disk is needed than is free, without ``force``.
        Interrupted: ctrl-C or SIGTERM; says what is kept.
    """
    import joblib

    out, clock = Path(out), Clock()
    refuse_others(out, KIND)
    check_engine(engine_name)
    plan = make_plan(read_definition(definition))
    n_jobs = joblib.effective_n_jobs(n_jobs)
    held = Held(plan, out)
    with made(out) as is_new, locked(out / "plan", keep=False):  # of calls that begin together
        before = None if is_new or not (out / PLAN).is_file() else Plan.read(out)
        if before is not None and not {cell.path for cell in before.cells} & {cell.path for cell in plan.cells}:
            raise FileExistsError(f"{out} holds another sweep, which has no cell in common; choose another --out.")
        surveys = _surveys(held, is_new)
        if before is None or before.definition.plain() != plan.definition.plain():
            plan.save(out)
    clock.lap("data")
    left = _left(plan, out)
    forecast = announce(plan, held, surveys, left, out, n_jobs, force) if left else None
    held.let_go()
    del held
    clock.lap("forecast")
    try:
        with terminable(), _shown(plan, out, progress) as shown:
            if n_jobs == 1 and engine_name == "processes":
                work(out, True, shown.add)
            else:
                with engine(engine_name, n_jobs, address, **dict(engine_options or {})):
                    run_workers(out, n_jobs, True)
    except KeyboardInterrupt:
        raise Interrupted(
            f"the sweep was interrupted; finished cells are kept: the same command goes on in {out}."
        ) from None
    clock.lap("cells")
    return _finish(plan, out, clock, forecast, n_jobs)


def _surveys(held: Held, is_new: bool) -> dict[str, Any]:
    """What is known of each subject's data; nothing is left in a new folder where one cannot be read."""
    try:
        return {subject: held.survey(subject) for subject in held.plan.definition.subjects}
    except BaseException:
        if is_new:
            shutil.rmtree(held.out / SUBJECTS, ignore_errors=True)
        raise


def _left(plan: Plan, out: Path) -> list[Any]:
    return [cell for cell in plan.cells if read_state(folder_of(out, cell), plan.identity(cell)).word == LEFT]


def _finish(plan: Plan, out: Path, clock: Clock, forecast: Any, n_jobs: int) -> pd.DataFrame:
    """Tokens that a killed worker left are dropped, tables gathered, and the card written."""
    held, states = Held(plan, out), Counter()
    seconds = 0.0
    for network in plan.networks:
        for tokens_of in (OWN, RANDOM):
            mine = [cell for cell in plan.cells_of(network) if cell.tokens_of == tokens_of]
            found = [read_state(folder_of(out, cell), plan.identity(cell)) for cell in mine]
            states.update(state.word for state in found)
            seconds += sum(state.seconds for state in found)
            if found and all(state.word in (DONE, FAILED) for state in found):
                held.drop_tokens(network, tokens_of)
    with locked(out / "plan", keep=False):
        table = write_tables(plan, out)
        clock.lap("tables")
        card = {
            **opening(KIND, (*PACKAGES, "pandas", "joblib", "distributed", "dask-jobqueue")),
            "definition": plan.definition.plain(),
            "networks": [network.label for network in plan.networks],
            "cells": {"done": states[DONE], "failed": states[FAILED], "left": states[LEFT]},
            "forecast": {**(forecast or {}), "n_jobs": n_jobs, "seconds_of_cells": round(seconds, 1)},
        }
        put_card(out, card, clock, (TABLE, FAILURES))
    return table


@contextmanager
def _shown(plan: Plan, out: Path, enabled: bool) -> Iterator[Progress]:
    """Progress of all workers: their cells' states are looked at now and then."""
    shown = Progress(plan, out, enabled)
    stop = threading.Event()

    def look() -> None:
        while not stop.wait(shown.every):
            shown.look()

    thread = threading.Thread(target=look, daemon=True)
    with shown:
        thread.start()
        try:
            yield shown
        finally:
            stop.set()
            thread.join()
            shown.look()
