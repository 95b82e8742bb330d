"""A Slurm of this machine alone, for one test; and a process that ends it, however the test ends."""

from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

NEEDED = ("slurmctld", "slurmd", "sbatch", "sinfo", "squeue", "scancel", "munged", "mungekey")
CONF = """
ClusterName=brainnet
SlurmctldHost={host}
AuthType=auth/munge
AuthInfo=socket={folder}/munge.socket
CredType=cred/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/control.pid
SlurmdPidFile={folder}/node.pid
SlurmctldLogFile={folder}/control.log
SlurmdLogFile={folder}/node.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName={host} CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""
# Starts the daemons, and ends them and their jobs when its input ends: also when the test is killed
KEEPER = """
import pathlib, subprocess, sys
folder = pathlib.Path(sys.argv[1])
subprocess.run(["mungekey", "--create", f"--keyfile={folder}/munge.key"], check=True)
munged = ["munged", "--foreground", "--force", f"--socket={folder}/munge.socket", f"--key-file={folder}/munge.key",
          f"--log-file={folder}/munge.log", f"--pid-file={folder}/munge.pid", f"--seed-file={folder}/munge.seed"]
quiet = {"stdin": subprocess.DEVNULL, "stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
daemons = [subprocess.Popen(words, **quiet) for words in (munged, ["slurmctld", "-D"], ["slurmd", "-D"])]
print(*(one.pid for one in daemons), flush=True)
try:
    sys.stdin.read()
finally:
    subprocess.run(["scancel", "--signal=KILL", "--full", "--user=root"], timeout=30, **quiet)
    subprocess.run(["scancel", "--user=root"], timeout=30, **quiet)
    for one in reversed(daemons):
        one.terminate()
        try:
            one.wait(10)
        except subprocess.TimeoutExpired:
            one.kill()
            one.wait()
"""


def what_is_missing(*more: str) -> str:
    """What Slurm lacks here, and further commands of it; empty where nothing."""
    if os.getuid() != 0 or any(shutil.which(name) is None for name in (*NEEDED, *more)):
        return "needs Slurm and munge (apt install slurm-wlm munge), and to be root"
    return ""


def keeper(folder: Path) -> tuple[subprocess.Popen, dict[str, str], list[int]]:
    """The process that keeps Slurm's daemons, the environment of those who use them, and their numbers."""
    for name in ("state", "spool"):
        (folder / name).mkdir(parents=True)
    conf = folder / "slurm.conf"
    conf.write_text(CONF.format(host=platform.node().partition(".")[0], folder=folder))
    environment = {**os.environ, "SLURM_CONF": str(conf)}
    process = subprocess.Popen([sys.executable, "-c", KEEPER, folder], env=environment, stdin=subprocess.PIPE,
                               stdout=subprocess.PIPE, text=True, start_new_session=True)  # fmt: skip
    return process, environment, [int(word) for word in process.stdout.readline().split()]


@contextlib.contextmanager
def running(folder: Path, wait: float = 30) -> Iterator[dict[str, str] | None]:
    """The environment of a Slurm whose node is idle; None where it does not start."""
    process, environment, _ = keeper(folder)
    try:
        yield environment if _is_idle(environment, wait) else None
    finally:
        process.stdin.close()
        process.wait(90)


def _is_idle(environment: dict[str, str], wait: float) -> bool:
    until = time.monotonic() + wait
    while time.monotonic() < until:
        state = subprocess.run(
            ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
        )
        if state.stdout.strip() == "idle":
            return True
        time.sleep(0.5)
    return False
