"""Where the workers of a sweep run: in this process, in others, on machines that dask or ray know, or under Slurm.

Nothing is scheduled here: an engine only starts workers, which find their cells in the folder. A worker that dies is
started again by the engine, or its cells are done by the others.
"""

from __future__ import annotations

import shlex
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from brainnet._checks import check_word, require
from brainnet._files import write_text
from brainnet._work import parallel, says_progress
from brainnet.run.sweep.work import work

ENGINES = ("processes", "dask", "ray", "slurm")
MOST_RESTARTS = 20  # of all processes, after one of them was killed


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

    check_word("engine", name, ENGINES)
    if name == "processes":
        yield
        return
    if name == "ray":
        require("ray", "the engine ray").init(address=address, ignore_reinit_error=True)
        require("ray.util.joblib", "the engine ray", "ray").register_ray()
        with joblib.parallel_config("ray", n_jobs=n_workers):
            yield
        return
    distributed = require("distributed", f"the engine {name}")
    if name == "slurm":
        cluster = require("dask_jobqueue", "the engine slurm", "dask-jobqueue").SLURMCluster(**options)
        cluster.scale(jobs=n_workers)
    elif address is None:
        cluster = distributed.LocalCluster(n_workers=n_workers, threads_per_worker=1, dashboard_address=None)
    else:
        cluster = None
    try:
        with distributed.Client(address if cluster is None else cluster) as client:
            client.wait_for_workers(1)
            with joblib.parallel_config("dask", n_jobs=n_workers):
                yield
    finally:
        if cluster is not None:
            cluster.close()


def run_workers(out: Path, n_workers: int, again: bool) -> None:
    """So many workers under joblib's backend in use, until no cell is left; killed ones are started again.

    Raises:
        RuntimeError: processes were killed again and again.
    """
    import joblib
    from joblib.externals.loky.process_executor import TerminatedWorkerError

    for _ in range(MOST_RESTARTS):
        try:
            for _ in parallel(n_workers)(joblib.delayed(work)(str(out.resolve()), again) for _ in range(n_workers)):
                pass
            return
        except TerminatedWorkerError:  # the system killed one, most often for its memory; joblib ends all of them then
            says_progress.info("a worker was killed: the workers are started again, and its cell is done again.")
            again = False
    raise RuntimeError(f"workers were killed {MOST_RESTARTS} times: choose fewer workers, or smaller networks.")


def write_job(
    sweep: str | Path, out: str | Path, path: str | Path, n_workers: int, settings: Mapping[str, str] | None = None
) -> Path:
    """A job script for Slurm: an array of workers, each of which does what is left of the sweep in ``out``.

    Args:
        sweep: the YAML file.
        out: the folder of the sweep, which every node sees under this path.
        path: of the script.
        n_workers: tasks of the array.
        settings: options of ``sbatch`` without their dashes, such as ``{"time": "12:00:00", "gres": "gpu:1"}``.

    Raises:
        ValueError: a line break in an option.
    """
    asked = {"job-name": "brainnet-sweep", "array": f"0-{n_workers - 1}", "ntasks": "1", "cpus-per-task": "1",
             "output": f"{Path(out).resolve()}/slurm-%A_%a.log", **dict(settings or {})}  # fmt: skip
    if any("\n" in f"{name}{value}" for name, value in asked.items()):
        raise ValueError("an option of sbatch stands on one line.")
    words = [sys.executable, "-m", "brainnet", "sweep", "run", str(Path(sweep).resolve()), "--out",
             str(Path(out).resolve()), "--quiet"]  # fmt: skip
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH --{name}={value}" for name, value in asked.items()),
        "# Each task does the cells that no other task is at. A task that is killed may be submitted again.",
        "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}",
        f"cd {shlex.quote(str(Path.cwd()))}",
        f"exec {shlex.join(words)}",
    ]
    write_text(path, "\n".join(lines) + "\n")
    return Path(path)
