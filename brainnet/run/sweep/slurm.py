"""Slurm: a job script of workers, and workers of dask that are jobs of Slurm.

A worker of dask that never comes would be waited for without end. So what ``sbatch`` refuses is heard here, and the
queue is looked at until the first worker is there.
"""

from __future__ import annotations

import shlex
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from brainnet._checks import require
from brainnet._files import write_text
from brainnet._work import LINE_EVERY, says_progress

LOOKS_EVERY = 5.0  # seconds between two looks at Slurm's queue
BEFORE_THE_LIMIT = 120  # seconds before a job's time limit at which its worker is stopped and the job submitted again
KEPT = "what is done is kept, and the same line goes on from there."


def write_job(
    sweep: str | Path, out: str | Path, path: str | Path, n_workers: int, settings: Mapping[str, str] | None = None
) -> Path:
    """A job script for Slurm: an array of workers, each of which does what is left of the sweep in ``out``.

    A task that comes near its time limit stops its worker and is queued again, until nothing is left.

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
             "output": f"{Path(out).resolve()}/slurm-%A_%a.log", "open-mode": "append", "requeue": "",
             "signal": f"B:USR1@{BEFORE_THE_LIMIT}", **dict(settings or {})}  # fmt: skip
    if any("\n" in f"{name}{value}" for name, value in asked.items()):
        raise ValueError("an option of sbatch stands on one line.")
    words = [sys.executable, "-m", "brainnet", "sweep", "run", str(Path(sweep).resolve()), "--out",
             str(Path(out).resolve()), "--quiet"]  # fmt: skip
    lines = [
        "#!/bin/bash",
        *(f"#SBATCH --{name}={value}" if value else f"#SBATCH --{name}" for name, value in asked.items()),
        "# Each task does the cells that no other task is at. A task that is killed may be submitted again. One that",
        "# comes near its time limit is sent USR1 and goes back to the queue.",
        "export OMP_NUM_THREADS=${SLURM_CPUS_PER_TASK:-1}",
        f"cd {shlex.quote(str(Path.cwd()))}",
        f"{shlex.join(words)} &",
        "worker=$!",
        """trap 'kill "$worker"; wait "$worker"; scontrol requeue "$SLURM_JOB_ID"; exit' USR1""",
        'wait "$worker"',
    ]
    write_text(path, "\n".join(lines) + "\n")
    return Path(path)


# ---------------------------------------------------------------------- workers of dask


@dataclass
class Submitted:
    """What became of the jobs: numbers of those that Slurm took, and what ``sbatch`` said to the others."""

    taken: list[str] = field(default_factory=list)
    refused: list[str] = field(default_factory=list)


@contextmanager
def slurm_client(n_jobs: int, options: Mapping[str, Any]) -> Iterator[Any]:
    """A client of dask whose workers are jobs of Slurm; the block begins when the first worker is there.

    Args:
        n_jobs: jobs to submit.
        options: of ``dask_jobqueue.SLURMCluster``.

    Raises:
        FileNotFoundError: no ``sbatch`` on this machine.
        OSError: Slurm refused every job, or every job ended before its worker came.
    """
    cluster_class = require("dask_jobqueue", "the engine slurm", "dask-jobqueue").SLURMCluster
    distributed = require("distributed", "the engine slurm")
    if shutil.which("sbatch") is None:
        raise FileNotFoundError(
            "the engine slurm submits jobs with sbatch, which is not on the PATH here: start the sweep on a machine "
            "of the cluster, or choose the engine processes."
        )
    submitted = Submitted()
    options = {name: int(value) if str(value).isdigit() else value for name, value in options.items()}
    with (
        cluster_class(job_cls=_told_to(submitted, cluster_class.job_cls), **options) as cluster,
        distributed.Client(cluster) as client,
    ):
        cluster.scale(jobs=n_jobs)
        _wait(client, submitted, n_jobs)
        yield client


def _told_to(submitted: Submitted, kind: type) -> type:
    """Jobs of dask that say what ``sbatch`` answered; one that is refused counts as a worker that never comes."""
    from distributed.deploy.spec import ProcessInterface

    class Job(kind):
        async def start(self) -> None:
            try:
                await super().start()
                submitted.taken.append(str(self.job_id))
            except (OSError, RuntimeError, ValueError) as error:
                submitted.refused.append(" ".join(str(error).rpartition("stderr:")[2].split()))
                await ProcessInterface.start(self)

    return Job


def _wait(client: Any, submitted: Submitted, n_jobs: int) -> None:
    """Until the first worker is there.

    Raises:
        OSError: none can come.
    """
    looked = said = time.monotonic()
    gone = 0
    while not client.scheduler_info()["workers"]:
        time.sleep(0.1)
        if len(submitted.refused) == n_jobs:
            raise OSError(f"Slurm refused the jobs of the sweep: {submitted.refused[0]}; {KEPT}")
        if len(submitted.taken) + len(submitted.refused) < n_jobs or time.monotonic() < looked + LOOKS_EVERY:
            continue
        looked, queue = time.monotonic(), _queue(submitted.taken)
        gone = gone + 1 if queue == [] else 0
        if gone > 1:  # and not only between two states
            raise OSError(
                f"all jobs of the sweep ended before a worker of dask was there (numbers {', '.join(submitted.taken)}):"
                f" their logs, slurm-NUMBER.out where the sweep was started, say why; {KEPT}"
            )
        if queue and looked >= said + LINE_EVERY:
            said = looked
            says_progress.info("waiting for Slurm: %s", "; ".join(sorted(set(queue))))


def _queue(jobs: list[str]) -> list[str] | None:
    """State and reason of the jobs that are in the queue; None where the queue cannot be read just now."""
    try:
        done = subprocess.run(["squeue", "-h", "-j", ",".join(jobs), "-o", "%T (%r)"], capture_output=True, text=True,
                              timeout=60, check=False)  # fmt: skip
    except (OSError, subprocess.TimeoutExpired):
        return None
    if done.returncode:
        return [] if "Invalid job id" in done.stderr else None
    return done.stdout.split("\n")[:-1]
