"""Commands in processes that can be killed: each forked from one that has loaded brainnet, so that it takes what its
work takes, and a kill hits the work and not the imports."""

from __future__ import annotations

import contextlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

# Reads a task a line: forks, says the number of the process, then how it ended. A task can end its process inside the
# write of the n-th file that is put in its place: half of the file is there, under the name of an unfinished one.
NURSERY = """
import json, os, shutil, signal, sys
import brainnet.cli.app, brainnet.cli.process
import brainnet.run.encoding.encoding, brainnet.run.fitting.prediction, brainnet.run.fitting.training
import brainnet.run.record.run_folder
import brainnet.run.extraction.comparison, brainnet.run.extraction.extraction
import brainnet.run.rsa.fits, brainnet.run.rsa.rdms, brainnet.run.rsa.rsa, brainnet.run.rsa.searchlight
import brainnet.run.sweep.comparison, brainnet.run.sweep.sweep

def count_and_kill(kill_at):
    real, done = os.replace, 0
    def replace(source, target, **more):
        nonlocal done
        done += 1
        if done == kill_at:
            if ".part" in str(source) and os.path.isfile(source):
                os.truncate(source, os.path.getsize(source) // 2)
            os.kill(os.getpid(), signal.SIGKILL)
        print("put in its place:", target, file=counted, flush=True)
        return real(source, target, **more)
    os.replace = replace

for line in sys.stdin:
    task = json.loads(line)
    child = os.fork()
    if not child:
        os.setpgid(0, 0)
        log = os.open(task["log"], os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        counted = open(task["log"] + ".files", "w")
        os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
        os.dup2(log, 1)
        os.dup2(log, 2)
        count_and_kill(task["kill_at"])
        sys.argv = ["brainnet", *task["words"]]
        brainnet.cli.app.command_line()
        os._exit(99)
    os.setpgid(child, child)
    print(child, flush=True)
    print(os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]), flush=True)
"""


class Nursery:
    """Runs lines of brainnet one after the other, and kills them.

    Args:
        log: file that receives what the last line said.
    """

    def __init__(self, log: Path):
        self.log = log
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        self._process = subprocess.Popen([sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                                         env=environment, text=True)  # fmt: skip
        assert self.run(["--version"]) == 0, self.said()

    def run(self, words: list[str], kill_after: float | None = None, kill_at: int | None = None) -> int:
        """The exit code of a line: of one that ended by itself, or -9.

        Args:
            words: of the line, without "brainnet".
            kill_after: seconds after which it is killed.
            kill_at: number of the file inside whose write it is killed.
        """
        task = {"words": words, "log": str(self.log), "kill_at": kill_at}
        self._process.stdin.write(json.dumps(task) + "\n")
        self._process.stdin.flush()
        child = int(self._process.stdout.readline())
        if kill_after is not None:
            time.sleep(kill_after)
            with contextlib.suppress(ProcessLookupError):  # it was faster
                os.killpg(child, signal.SIGKILL)
        return int(self._process.stdout.readline())

    def said(self) -> str:
        """What the last line said."""
        return self.log.read_text(errors="replace")

    def files(self) -> list[str]:
        """The files that the last line put in their places, in order."""
        return Path(f"{self.log}.files").read_text().splitlines()

    def close(self) -> None:
        """Ends the process from which the others are forked."""
        self._process.stdin.close()
        self._process.wait(timeout=60)
