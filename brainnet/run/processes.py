"""The processes of one run: who starts them, how many there are, which of them writes, and what is said when one dies.

Lightning starts them by itself, on one machine; torchrun and Slurm start them on any number. Then the environment says
how many there are, and settings need not.
"""

from __future__ import annotations

import logging
import os
import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

log = logging.getLogger(__name__)

MEETING = ("MASTER_ADDR", "MASTER_PORT", "NODE_RANK")  # by which machines find each other, of Lightning
RANKS = ("LOCAL_RANK", "NODE_RANK", "SLURM_PROCID")  # as Lightning, a user and Slurm number the processes of one run
# what gloo, NCCL and torch.multiprocessing say where another process has ended
BROKEN = re.compile(
    r"gloo|nccl|tcpstore|socket|connection (was )?(closed|reset|refused)|broken pipe|^process \d+ terminated", re.I
)


def is_first_process() -> bool:
    """Whether this is the process that writes: the only one, or the first of a distributed run on all machines."""
    rank = os.environ.get("RANK", "")  # torchrun's, which may number machines in another order than Slurm
    if rank.isdigit():
        return int(rank) == 0
    ranks = (os.environ.get(name, "") for name in RANKS)
    return not any(int(rank) for rank in ranks if rank.isdigit())


def started_by_others() -> bool:
    """Whether torchrun or srun has started the processes of this run, rather than Lightning."""
    return "TORCHELASTIC_RUN_ID" in os.environ or _started_by_srun()


def _started_by_srun() -> bool:
    """In the script of a job, which runs once, Slurm's variables stand as well; a step is what srun has started."""
    return "SLURM_STEP_NUM_TASKS" in os.environ and _in_slurm()


def _in_slurm() -> bool:
    """Whether Lightning would take Slurm's word for the processes: not in a job by hand, which has one of two names."""
    return "SLURM_NTASKS" in os.environ and os.environ.get("SLURM_JOB_NAME") not in ("bash", "interactive")


def processes(devices: int, num_nodes: int) -> tuple[int, int]:
    """Processes on each machine, and machines: those of torchrun or srun where these have started this process.

    Args:
        devices, num_nodes: where nobody else has started any.

    Raises:
        ValueError: several machines, which are not told how to find each other, and would wait for ever; or tasks of
            Slurm of which it is not said how many each machine has.
    """
    if "TORCHELASTIC_RUN_ID" in os.environ:
        local = int(os.environ["LOCAL_WORLD_SIZE"])
        return local, int(os.environ["WORLD_SIZE"]) // local
    if _started_by_srun():
        n_tasks, num_nodes = int(os.environ["SLURM_NTASKS"]), int(os.environ.get("SLURM_NNODES", 1))
        if n_tasks > 1 and "SLURM_NTASKS_PER_NODE" not in os.environ:
            raise ValueError(
                f"srun has started {n_tasks} tasks; say how many each machine has, with --ntasks-per-node in place of "
                "--ntasks."
            )
        return n_tasks // num_nodes, num_nodes
    missing = [name for name in MEETING if name not in os.environ]
    if num_nodes > 1 and missing:
        raise ValueError(
            f"{num_nodes} machines need {' and '.join(missing)} to find each other: start the same line on each under "
            "torchrun or srun, or with MASTER_ADDR (the first machine), MASTER_PORT (a free port there) and NODE_RANK "
            "(0, 1, ...) in the environment."
        )
    return devices, num_nodes


def environment() -> list[Any]:
    """Plugins for a trainer: Lightning starts the processes also in a job of Slurm that runs without srun."""
    if started_by_others() or not _in_slurm():
        return []
    from lightning_fabric.plugins.environments import LightningEnvironment

    return [LightningEnvironment()]


def let_one_speak() -> None:
    """Of what is said on the way only the first process says it, and Lightning nothing of processes that are well."""
    if not log.isEnabledFor(logging.INFO):
        for name in ("lightning_fabric.utilities", "pytorch_lightning.utilities"):
            logging.getLogger(name).setLevel(logging.WARNING)
    if not is_first_process():
        logging.getLogger("brainnet.progress").setLevel(logging.WARNING)


@contextmanager
def ending_together(n_processes: int, kept: Callable[[], str]) -> Iterator[None]:
    """Says in one line that another process of this run has ended before its time.

    Args:
        n_processes: of the run; of a single one nothing changes.
        kept: what is kept of the work, and how it goes on.

    Raises:
        ConnectionError: another process has ended, or cannot be reached.
    """
    try:
        yield
    except RuntimeError as error:
        if n_processes == 1 or not BROKEN.search(str(error)):
            raise
        raise ConnectionError(
            f"another of the {n_processes} processes has ended, or cannot be reached; what it said tells why. {kept()}"
        ) from error
