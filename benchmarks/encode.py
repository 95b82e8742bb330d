"""What voxelwise ridge costs beside himalaya and scikit-learn: CPU-seconds, memory, and the same answers.

Every measurement is a process of its own, on one thread, so that its peak memory is its own; data are read from files
made beforehand. The last rows ask for memory alone: ten times the voxels, and a feature store larger than memory.
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
from pathlib import Path

import numpy as np

from benchmarks import ratio, report, table

ALPHAS = np.logspace(0, 6, 20)
N_TEST = 200


def make_data(folder: Path, n_images: int, n_features: int, n_voxels: int) -> None:
    """Gaussian features, and voxels that follow them with very different noise; written voxel block by voxel block."""
    rng = np.random.default_rng(0)
    n = n_images + N_TEST
    X = rng.standard_normal((n, n_features), dtype=np.float32)
    np.save(folder / "X.npy", X)
    Y = np.lib.format.open_memmap(folder / "Y.npy", "w+", np.float32, (n, n_voxels))
    for start in range(0, n_voxels, 1000):
        width = min(1000, n_voxels - start)
        weights = rng.standard_normal((n_features, width), dtype=np.float32) / np.float32(n_features) ** 0.5
        noise = rng.standard_normal((n, width), dtype=np.float32) * rng.uniform(0.5, 3, width).astype(np.float32)
        Y[:, start : start + width] = X @ weights + noise


def make_store(folder: Path, n_images: int, gigabytes: float, n_voxels: int) -> None:
    """A feature file of that size, written sparsely: each row's first 2,000 features vary, the others are zero."""
    n_features = int(gigabytes * 1e9 / 4 / n_images)
    rng = np.random.default_rng(0)
    store = np.lib.format.open_memmap(folder / "X.npy", "w+", np.float32, (n_images, n_features))
    store[:, :2000] = rng.standard_normal((n_images, 2000), dtype=np.float32)
    weights = rng.standard_normal((2000, n_voxels), dtype=np.float32) / 45
    noise = rng.standard_normal((n_images, n_voxels), dtype=np.float32)
    np.save(folder / "Y.npy", store[:, :2000] @ weights + noise)


def ours(X, Y, leave_one_out: bool = False):
    """RidgeCV, by five folds or leave-one-out."""
    from brainnet.ridge import RidgeCV

    model = RidgeCV(ALPHAS, cv="loo" if leave_one_out else 5).fit(X, Y)
    return model, model.best_alphas_


def himalaya(X, Y):
    """KernelRidgeCV with the eigenvalue solver, five folds."""
    from himalaya.kernel_ridge import KernelRidgeCV

    model = KernelRidgeCV(ALPHAS, solver="eigenvalues", cv=5, fit_intercept=True, warn=False).fit(X, Y)
    return model, model.best_alphas_


def sklearn(X, Y):
    """RidgeCV with a penalty per target, exact leave-one-out."""
    from sklearn.linear_model import RidgeCV

    model = RidgeCV(ALPHAS, alpha_per_target=True).fit(X, Y)
    return model, model.alpha_


FITS = {
    "ours": ours,
    "himalaya": himalaya,
    "ours-loo": lambda X, Y: ours(X, Y, leave_one_out=True),
    "sklearn-loo": sklearn,
}


def measure_here(name: str, folder: Path) -> dict[str, float]:
    """One fit in this process: CPU and wall seconds, peak memory of the process, penalty and test score."""
    import torch

    torch.set_num_threads(1)
    imports = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # torch alone: 0.2 to 0.5 GB by its build
    mapped = name == "ours-store"
    X = np.load(folder / "X.npy", mmap_mode="r" if mapped else None)
    Y = np.load(folder / "Y.npy")
    train = slice(None) if mapped else slice(0, len(Y) - N_TEST)
    wall, cpu = time.perf_counter(), time.process_time()
    model, alphas = FITS["ours" if mapped else name](X[train], Y[train])
    cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    found = {**cost, "memory": peak, "imports": imports, "alpha": float(np.median(alphas)), "r": float("nan")}
    if not mapped:
        from brainnet.scores import pearson_r

        found["r"] = pearson_r(np.asarray(model.predict(X[-N_TEST:])), Y[-N_TEST:]).median().item()
    return found


def measure_apart(name: str, folder: Path) -> dict[str, float]:
    """The same in a fresh process on one thread."""
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    command = [sys.executable, "-m", "benchmarks", "encode", "--child", name, "--folder", str(folder)]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, names: list[str], repeats: int) -> str:
    """Fits in turns, medians over repeats, ratios to the first."""
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in names}
    for _ in range(repeats):
        for name in names:
            runs[name].append(measure_apart(name, folder))
    middle = {
        name: {key: float(np.median([run[key] for run in found])) for key in found[0]} for name, found in runs.items()
    }
    rows = []
    for name, cost in middle.items():
        peer = middle["ours-loo" if name.endswith("loo") else "ours"]
        rows.append(
            [
                *(name, f"{cost['cpu']:.1f} s", ratio(cost["cpu"] / peer["cpu"]), f"{cost['wall']:.1f} s"),
                *(f"{cost['memory']:.0f} MB", f"{cost['memory'] - cost['imports']:.0f} MB"),
                *(f"{cost['alpha']:.5g}", f"{cost['r']:.4f}"),
            ]
        )
    header = ["fit", "CPU", "times ours", "wall", "peak resident", "beyond imports", "median penalty", "median test r"]
    return table(header, rows)


def main(argv: list[str]) -> None:
    """Parses the options and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks encode", description=__doc__.splitlines()[0])
    parser.add_argument("--images", type=int, default=2000, help="to train on")
    parser.add_argument("--features", type=int, default=5000)
    parser.add_argument("--voxels", type=int, default=5000)
    parser.add_argument("--many-voxels", type=int, default=40_000, help="of the memory run; 0 skips it")
    parser.add_argument("--store", type=float, default=20.0, help="gigabytes of the memory-mapped store; 0 skips it")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--no-sklearn", action="store_true", help="its leave-one-out takes minutes")
    parser.add_argument(
        "--out", nargs="?", const="", help="save the tables, by default in benchmarks/results/encode.md"
    )
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        print(json.dumps(measure_here(options.child, options.folder)))
        return
    sections = []
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder), options.images, options.features, options.voxels)
        names = [name for name in FITS if not (options.no_sklearn and name == "sklearn-loo")]
        shape = f"n = {options.images:,}, p = {options.features:,}, {options.voxels:,} voxels, 20 penalties, one thread"
        sections.append(f"## {shape}\n\n" + compare(Path(folder), names, options.repeats))
    if options.many_voxels:
        with tempfile.TemporaryDirectory() as folder:
            make_data(Path(folder), options.images, options.features, options.many_voxels)
            sections.append(f"## {options.many_voxels:,} voxels\n\n" + compare(Path(folder), ["ours"], 1))
    if options.store:
        with tempfile.TemporaryDirectory() as folder:
            make_store(Path(folder), options.images, options.store, 500)
            cost = measure_apart("ours-store", Path(folder))
            sections.append(
                f"## A memory-mapped feature store of {options.store:g} GB, 500 voxels\n\n"
                f"{cost['cpu']:.0f} CPU-s, {cost['wall']:.0f} s wall, {cost['memory']:.0f} MB peak resident, "
                f"{cost['memory'] - cost['imports']:.0f} MB beyond imports."
            )
    report("encode", sections, out=options.out)
