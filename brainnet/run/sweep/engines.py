"""Where the workers of a sweep run: in this process, in others, on machines that dask or ray know, or under Slurm.

Nothing is scheduled here: an engine only starts workers, which find their cells in the folder. A worker that dies is
started again by the engine, or its cells are done by the others.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from brainnet._checks import check_word, require
from brainnet._work import LINE_EVERY, parallel, says_progress
from brainnet.run.sweep.slurm import slurm_client
from brainnet.run.sweep.work import work

ENGINES = {"processes": None, "dask": "distributed", "ray": "ray", "slurm": "dask_jobqueue"}  # and what they need
MOST_RESTARTS = 20  # of all processes, after one of them was killed


def check_engine(name: str) -> None:
    """Refuses an unknown engine, and one whose package is missing, before anything is begun.

    Raises:
        ModuleNotFoundError: the engine's package is missing; says which to install.
        ValueError: an unknown engine.
    """
    check_word("engine", name, ENGINES)
    if ENGINES[name]:
        require(ENGINES[name], f"the engine {name}")


@contextmanager
def engine(name: str, n_workers: int, address: str | None = None, **options: Any) -> Iterator[None]:
    """Joblib's backend for as long as the block lasts.

    Args:
        name: "processes" (joblib's own), "dask", "ray" or "slurm" (dask's workers as jobs of Slurm).
        n_workers: how many workers are asked for.
        address: of a dask scheduler that is there already; None starts workers on this machine.
        options: of ``dask_jobqueue.SLURMCluster``: ``cores``, ``memory``, ``walltime``, ``queue``, ...

    Raises:
        ModuleNotFoundError: the engine's package is missing; says which to install.
        ValueError: an unknown engine.
    """
    import joblib

    check_engine(name)
    if name == "processes":
        yield
        return
    if name == "ray":
        require("ray", "the engine ray").init(address=address, ignore_reinit_error=True)
        require("ray.util.joblib", "the engine ray", "ray").register_ray()
        with joblib.parallel_config("ray", n_jobs=n_workers):
            yield
        return
    with _client(name, n_workers, address, options), joblib.parallel_config("dask", n_jobs=n_workers):
        yield


@contextmanager
def _client(name: str, n_workers: int, address: str | None, options: Mapping[str, Any]) -> Iterator[Any]:
    """A client of dask, and its workers."""
    distributed = require("distributed", f"the engine {name}")
    if name == "slurm":
        with slurm_client(n_workers, options) as client:
            yield client
    elif address is not None:
        with distributed.Client(address) as client:
            while not client.scheduler_info()["workers"]:
                with suppress(distributed.TimeoutError):
                    client.wait_for_workers(1, timeout=LINE_EVERY)
                    break
                says_progress.info("waiting: the scheduler of dask at %s has no worker yet.", address)
            yield client
    else:
        cluster = distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
        with cluster, distributed.Client(cluster) as client:
            client.wait_for_workers(1)
            yield client


def run_workers(out: Path, n_workers: int, again: bool) -> None:
    """So many workers under joblib's backend in use, until no cell is left; killed ones are started again.

    Raises:
        ChildProcessError: workers were killed again and again.
    """
    import joblib

    killed = _killed()
    for _ in range(MOST_RESTARTS):
        try:
            for _ in parallel(n_workers)(joblib.delayed(work)(str(out.resolve()), again) for _ in range(n_workers)):
                pass
            return
        except killed:  # by the system, most often for their memory; joblib ends all of them then
            says_progress.info("a worker was killed: the workers are started again, and its cell is done again.")
            again = False
    raise ChildProcessError(f"workers were killed {MOST_RESTARTS} times: choose fewer workers, or smaller networks.")


def _killed() -> tuple[type[Exception], ...]:
    """What joblib's processes, and dask's workers where dask is at work, raise for one that was killed."""
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    scheduler = sys.modules.get("distributed.scheduler")
    return (TerminatedWorkerError,) if scheduler is None else (TerminatedWorkerError, scheduler.KilledWorker)
