"""What a sweep costs beyond its cells, and what sharing token stores saves.

The bare sum of the cells is that of the seconds in which a worker was within a cell; what a call takes on top of it is
the plan, the states of cells, the tables and the card. Eight subjects with the same stimuli are compared with one.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
import time
from pathlib import Path

from benchmarks import report, table

NETWORKS, SUBJECTS = 6, 3


def main(argv: list[str] | None = None) -> int:
    """Prints both tables; fails where the overhead is above 3 % or eight subjects take more than one extraction."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks sweep", description=__doc__)
    parser.add_argument("--out", nargs="?", const="", help="also write benchmarks/results/sweep.md, or that file")
    options = parser.parse_args(argv)
    overhead, rows = _overhead()
    calls = {n: _extractions(n) for n in (1, 8)}
    shared = [[f"{n} subjects, the same stimuli", str(count)] for n, count in calls.items()]
    saving = table(["sweep of one network", "images that the network saw"], shared)
    looking = table(
        ["cells", "seconds to plan", "seconds to look at the state of each"], [_states(n) for n in (40, 160)]
    )
    report("sweep", [table(["part", "seconds"], rows), saving, looking], out=options.out)
    return int(overhead > 0.03 or calls[8] != calls[1])


def _overhead() -> tuple[float, list[list[str]]]:
    from brainnet.run.sweep import run_sweep, status_of
    from tests.run.sweep.toys import asked, subject

    subjects = {f"s{n}": subject(n, n_images=600, voxels=600) for n in range(SUBJECTS)}
    with tempfile.TemporaryDirectory() as folder:
        run_sweep(asked(1, 1), Path(folder) / "warm", progress=False)  # imports
        began = time.perf_counter()
        run_sweep(asked(NETWORKS, subjects=subjects, resamples=1000), Path(folder) / "sweep", progress=False)
        whole = time.perf_counter() - began
        cells = status_of(Path(folder) / "sweep")["seconds"]
    beyond = whole - cells.sum()
    return beyond / cells.sum(), [
        [f"{len(cells)} cells, their sum", f"{cells.sum():.1f}"],
        ["median cell", f"{cells.median():.2f}"],
        ["whole call", f"{whole:.1f}"],
        ["beyond the cells", f"{beyond:.2f} ({100 * beyond / cells.sum():.1f} %)"],
    ]


def _states(n: int) -> list[str]:
    """Cells of n networks and 50 subjects: how long their plan takes, and a look at all of them."""
    from brainnet.run.sweep.definition import read_definition
    from brainnet.run.sweep.plan import make_plan
    from brainnet.run.sweep.state import folder_of, read_state
    from tests.run.sweep.toys import asked

    with tempfile.TemporaryDirectory() as folder:
        began = time.perf_counter()
        plan = make_plan(read_definition(asked(n, 50, methods=["rsa"])))
        n_cells = len(plan.cells)
        planned = time.perf_counter()
        for cell in plan.cells:
            read_state(folder_of(Path(folder), cell), plan.identity(cell))
        looked = time.perf_counter()
    return [f"{n_cells:,}", f"{planned - began:.2f}", f"{looked - planned:.2f}"]


def _extractions(n: int) -> int:
    """Images that a network saw for so many subjects with the same stimuli."""
    from brainnet.run.sweep.definition import read_definition
    from brainnet.run.sweep.held import Held
    from brainnet.run.sweep.plan import make_plan
    from tests.run.sweep.toys import asked

    with tempfile.TemporaryDirectory() as folder:
        held = Held(make_plan(read_definition(asked(1, n, methods=["rsa"], controls=[]))), Path(folder))
        surveys = [held.survey(name) for name in held.plan.definition.subjects]
        backbone, seen = held.backbone(held.plan.networks[0], ""), []
        real = backbone.get_tokens
        backbone.get_tokens = lambda images: seen.append(len(images)) or real(images)
        for cell in held.plan.cells:
            held.store(cell)
    assert len(surveys) == n
    return sum(seen)


if __name__ == "__main__":
    sys.exit(main())
