"""What a command waits for before and after its work: imports, and what each trick of cli/process.py buys.

Every measurement is a process of its own, and they take turns. CPU-seconds are those of the process, user and system.
"""

from __future__ import annotations

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time

from benchmarks import ratio, report, seconds, table

STATEMENTS = {
    "import numpy": "import numpy",
    "import torch": "import torch",
    "import pytorch_lightning": "import pytorch_lightning",
    "from brainnet.plmodel import PLModel": "from brainnet.plmodel import PLModel",
    "import torch, then torchvision": "import torch, torchvision",
    "import torch, then scipy.signal": "import torch, scipy.signal",
}
COMMANDS = {
    "brainnet --help": ["--help"],
    "brainnet backbones": ["backbones"],
    "brainnet datasets": ["datasets"],
}
DEMO = ["demo", "DATASET.N_TRAIN", "288", "DATASET.N_TEST", "40", "TRAINER.MAX_EPOCHS", "6", "--quiet"]
TRICKS = {
    "with all": "",
    "without loading()": "process.loading = contextlib.nullcontext",
    "without keep_freed_memory()": "process.keep_freed_memory = lambda: None",
    "without end_at_once()": "process.end_at_once = sys.exit",
}
MAIN = """
import contextlib, sys
from brainnet.cli import process
{change}
from brainnet.cli.app import command_line
sys.argv = ["brainnet", *{words!r}]
command_line()
"""


def spent(code: str, folder: str) -> tuple[float, float]:
    """CPU and wall seconds of a process that runs some code; raises where it fails."""
    before, wall = os.times(), time.perf_counter()
    done = subprocess.run([sys.executable, "-c", code], cwd=folder, capture_output=True, text=True, check=False)
    after, wall = os.times(), time.perf_counter() - wall
    if done.returncode:
        raise RuntimeError(done.stderr[-2000:])
    return after.children_user - before.children_user + after.children_system - before.children_system, wall


def in_turns(codes: dict[str, str], repeats: int) -> dict[str, tuple[float, float, float]]:
    """Name -> median CPU and wall seconds, and the fewest CPU-seconds of all repeats; one more round comes first."""
    taken: dict[str, list[tuple[float, float]]] = {name: [] for name in codes}
    with tempfile.TemporaryDirectory() as folder:
        for turn in range(repeats + 1):
            for name, code in codes.items():
                one = spent(code, folder)
                if turn:
                    taken[name].append(one)
    cpu_and_wall = {name: tuple(zip(*pairs, strict=True)) for name, pairs in taken.items()}
    return {n: (statistics.median(cpu), statistics.median(wall), min(cpu)) for n, (cpu, wall) in cpu_and_wall.items()}


def main(argv: list[str] | None = None) -> None:
    """Measures and prints."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks startup", description=__doc__)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument(
        "--out", nargs="?", const="", help="save the table, by default in benchmarks/results/startup.md"
    )
    args = parser.parse_args(argv)
    commands = {name: MAIN.format(change="", words=words) for name, words in COMMANDS.items()}
    starts = in_turns({**STATEMENTS, **commands}, args.repeats)
    tricks = in_turns({name: MAIN.format(change=change, words=DEMO) for name, change in TRICKS.items()}, args.repeats)
    torch_cpu, whole = starts["import torch"][0], tricks["with all"]
    report(
        "startup",
        [
            f"Medians of {args.repeats} processes each, in turns.",
            table(
                ["what", "CPU", "of import torch", "wall"],
                [
                    [name, seconds(cpu), ratio(cpu / torch_cpu), seconds(wall)]
                    for name, (cpu, wall, _) in starts.items()
                ],
            ),
            f"A short demo, brainnet {' '.join(DEMO)}, and what each trick of brainnet/cli/process.py buys:",
            table(
                ["tricks", "CPU", "bought", "fewest CPU", "bought", "wall"],
                [
                    [
                        name,
                        seconds(cpu),
                        bought(cpu - whole[0]),
                        seconds(least),
                        bought(least - whole[2]),
                        seconds(wall),
                    ]
                    for name, (cpu, wall, least) in tricks.items()
                ],
            ),
        ],
        out=args.out,
    )


def bought(difference: float) -> str:
    """A difference of seconds for people.

    >>> bought(0.5), bought(-0.25)
    ('+0.50 s', '-0.25 s')
    """
    return f"{difference:+.2f} s"
