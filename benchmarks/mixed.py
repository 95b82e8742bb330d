"""What mixed ridge costs beside window ridge, on the same tokens: CPU-seconds, and memory with ten thousand voxels.

Each row is a process of its own, on one thread. The tokens are eight layers on an 8 x 8 grid, in files,
read in batches as a fit of the command line reads its store.
"""

from __future__ import annotations

import argparse
import json
import os
import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np

from benchmarks import ratio, report, table

LAYERS = 8


def measure(kind: str, folder: Path, n_voxels: int) -> dict[str, float]:
    """Fits one estimator to the store in ``folder`` and says what that took; in this process."""
    import torch

    from brainnet.ridge import MixedWindowRidgeCV, WindowRidgeCV
    from brainnet.tokens import Tokens

    paths = sorted(folder.glob("*.npy"))
    shapes = {path: np.load(path, mmap_mode="r").shape for path in paths}
    n_images = shapes[paths[0]][0]
    generator = torch.Generator().manual_seed(1)
    signal = torch.from_numpy(np.load(folder / "layer3.npy", mmap_mode="r").mean((2, 3), dtype=np.float32))
    y = signal @ torch.randn(signal.shape[1], n_voxels, generator=generator)
    y = y / y.std(0) + torch.randn(y.shape, generator=generator)

    def batches() -> Iterator[Tokens]:
        # read, not mapped: pages of a mapped file count as this process's memory for as long as nobody else wants them
        for start in range(0, n_images, 64):
            rows = min(64, n_images - start)
            yield Tokens({path.stem: torch.from_numpy(_rows(path, start, rows, shapes[path])) for path in paths}, {})

    before = resource.getrusage(resource.RUSAGE_SELF)
    start = time.process_time()
    ({"window": WindowRidgeCV, "mixed": MixedWindowRidgeCV}[kind])().fit(batches, y)
    return {
        "cpu": time.process_time() - start,
        "imports and data": before.ru_maxrss / 1e3,
        "peak": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3,
    }


def _rows(path: Path, start: int, rows: int, shape: tuple[int, ...]) -> np.ndarray:
    """Some images of a file of tokens in half precision."""
    size = int(np.prod(shape[1:]))
    skipped = path.stat().st_size - 2 * size * shape[0]  # the header
    found = np.fromfile(path, np.float16, rows * size, offset=skipped + 2 * start * size)
    return found.reshape(rows, *shape[1:])


def make_tokens(folder: Path, n_images: int, channels: int) -> None:
    """Gaussian tokens of eight layers, smooth over the grid, in half precision: a file for each layer."""
    import torch

    generator = torch.Generator().manual_seed(0)
    for k in range(LAYERS):
        noise = torch.randn(n_images, channels, 10, 10, generator=generator)
        tokens = torch.nn.functional.avg_pool2d(noise, 3, stride=1)
        np.save(folder / f"layer{k}.npy", tokens.half().numpy())


def main(argv: list[str]) -> None:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks mixed", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=1000)
    parser.add_argument("--channels", type=int, default=320, help="of each of the eight layers")
    parser.add_argument("--voxels", type=int, nargs="+", default=[100, 10_000])
    parser.add_argument("--repeats", type=int, default=3, help="of the smallest number of voxels; others run once")
    parser.add_argument("--out", nargs="?", const="", help="save; without a file, into benchmarks/results")
    parser.add_argument("--one", nargs=3, help=argparse.SUPPRESS)
    given = parser.parse_args(argv)
    if given.one:
        print(json.dumps(measure(given.one[0], Path(given.one[1]), int(given.one[2]))))
        return
    rows = []
    with tempfile.TemporaryDirectory() as folder:
        make_tokens(Path(folder), given.images, given.channels)
        for n_voxels in given.voxels:
            found: dict[str, list[dict[str, float]]] = {"window": [], "mixed": []}
            for _ in range(given.repeats if n_voxels == min(given.voxels) else 1):
                for kind, taken in found.items():  # in turns: a neighbour's load strikes both
                    taken.append(_in_a_process(kind, folder, n_voxels))
            window = sorted(one["cpu"] for one in found["window"])[len(found["window"]) // 2]
            for kind, taken in found.items():
                cpu = sorted(one["cpu"] for one in taken)[len(taken) // 2]
                peak, rest = (max(one[name] for one in taken) for name in ("peak", "imports and data"))
                name = f"{kind}, {n_voxels:,} voxels"
                rows.append([name, f"{cpu:.1f}", ratio(cpu / window), f"{peak:.0f}", f"{rest:.0f}"])
    text = table(["fit", "CPU s", "times window", "peak MB", "of which imports and data"], rows)
    about = f"{given.images:,} images, {LAYERS} layers of {given.channels} channels on 8 x 8 tokens, 75 windows."
    report("mixed", [about, text], out=given.out)


def _in_a_process(kind: str, folder: str, n_voxels: int) -> dict[str, float]:
    command = [sys.executable, "-m", "benchmarks", "mixed", "--one", kind, folder, str(n_voxels)]
    done = subprocess.run(
        command, env={**os.environ, "OMP_NUM_THREADS": "1"}, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])
