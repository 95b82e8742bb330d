"""How long a figure of maps on the cortex takes, from arrays to a file, on one core.

Every measurement is a process of its own, so that imports, meshes and the first picture are in it, as in a command.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import time

from benchmarks import report, seconds, table

CODE = """
import io, time
import torch
from brainnet import plot
from brainnet.space import VERTICES_PER_HEMISPHERE, surface_space
began, worked = time.perf_counter(), time.process_time()
mesh, surface, saved = {mesh!r}, {surface!r}, io.BytesIO()
space = surface_space(torch.arange(2 * VERTICES_PER_HEMISPHERE[mesh]), mesh)
x, y, z = space.coords.T
maps = dict(x=x, y=y, z=z, category=((x // 40 + y // 40) % 7).long())
figure = plot.cortex_maps(maps, space, plot.Scene(surface), outlines=dict(top=z > 60, front=y > 60))
figure.savefig(saved, format="png", dpi=200)
print(time.process_time() - worked, time.perf_counter() - began)
"""
HEADER = ["mesh", "surface", "CPU, from arrays to PNG", "wall", "wall with the start of Python and torch", "wanted"]
WANTED = {"fsaverage5": "3 s", "fsaverage": "12 s"}


def main(argv: list[str]) -> None:
    """Parses the options and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks pictures", description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--small", action="store_true", help="one picture, to see that it runs")
    parser.add_argument("--out", nargs="?", const="", help="save the table in benchmarks/results/pictures.md")
    options = parser.parse_args(argv)
    cells = [(mesh, surface) for mesh in WANTED for surface in ("inflated", "pial", "sphere", "flat")]
    rows = []
    for mesh, surface in cells[: 1 if options.small else None]:
        drawn, whole, cpu = [], [], []
        for _ in range(1 if options.small else options.repeats):
            wall = time.perf_counter()
            code = CODE.format(mesh=mesh, surface=surface)
            done = subprocess.run(
                [sys.executable, "-W", "ignore", "-c", code], capture_output=True, text=True, check=True
            )
            whole.append(time.perf_counter() - wall)
            cpu.append(float(done.stdout.split()[-2]))
            drawn.append(float(done.stdout.split()[-1]))
        row = [mesh, surface, *(seconds(statistics.median(one)) for one in (cpu, drawn, whole)), WANTED[mesh]]
        print("  ".join(row), flush=True)
        rows.append(row)
    note = "Four maps of both hemispheres, from two sides each (flat: once), with two outlines; medians."
    report("pictures", [table(HEADER, rows), note], out=options.out)
