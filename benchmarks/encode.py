"""What voxelwise ridge costs beside himalaya and scikit-learn: CPU-seconds, memory, and the same answers.

Every measurement is a process of its own, on one thread, so that its peak memory is its own; data are read from files
made beforehand. The last rows ask for memory alone: ten times the voxels, and a feature store larger than memory.

Resident memory is told in parts, as torch's own share depends on its build: what the imports take, the data, and what
the fit adds at its peak, its results included. ``--python`` repeats our fit with another interpreter, such as one with
the CPU build of torch.
"""

from __future__ import annotations

import argparse
import importlib
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
MOST = 700  # MB that our fit of 5,000 voxels may be resident in


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
MODULES = {"himalaya": "himalaya.kernel_ridge", "sklearn-loo": "sklearn.linear_model"}  # ours: brainnet.ridge


def measure_here(name: str, folder: Path) -> dict[str, float | str]:
    """One fit in this process: CPU and wall seconds, resident memory by its parts, penalty and test score."""
    importlib.import_module(MODULES.get(name, "brainnet.ridge"))
    imports = resident()
    mapped = name == "ours-store"
    X = np.load(folder / "X.npy", mmap_mode="r" if mapped else None)
    Y = np.load(folder / "Y.npy")
    train = slice(None) if mapped else slice(0, len(Y) - N_TEST)
    data = resident() - imports
    wall, cpu = time.perf_counter(), time.process_time()
    model, alphas = FITS["ours" if mapped else name](X[train], Y[train])
    cost = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    memory = {"imports": imports, "data": data, "peak": resident()}
    found = {**cost, **memory, "alpha": float(np.median(alphas)), "r": float("nan")}
    from brainnet.scores import pearson_r  # brings torch, which the peers need not

    if not mapped:
        found["r"] = pearson_r(np.asarray(model.predict(X[-N_TEST:])), Y[-N_TEST:]).median().item()
    return {**found, "torch": importlib.import_module("torch").__version__}


def resident() -> float:
    """The most megabytes that this process has had in memory so far."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def measure_apart(name: str, folder: Path, python: str = sys.executable) -> dict[str, float | str]:
    """The same in a fresh process on one thread."""
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    command = [python, "-m", "benchmarks", "encode", "--child", name, "--folder", str(folder)]
    done = subprocess.run(command, env={**os.environ, **threads}, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def compare(folder: Path, fits: dict[str, tuple[str, str]], repeats: int) -> tuple[str, dict[str, dict]]:
    """Fits in turns, row's name -> (fit, interpreter); a table of medians over repeats with ratios to ours."""
    runs: dict[str, list[dict]] = {row: [] for row in fits}
    for _ in range(repeats):
        for row, (name, python) in fits.items():
            runs[row].append(measure_apart(name, folder, python))
    middle = {
        row: {key: float(np.median([run[key] for run in found])) for key in found[0] if key != "torch"}
        for row, found in runs.items()
    }
    rows = []
    for row, cost in middle.items():
        peer = middle["ours-loo" if fits[row][0].endswith("loo") else "ours"]
        beyond = cost["peak"] - cost["imports"]
        rows.append(
            [
                *(row, f"{cost['cpu']:.1f} s", ratio(cost["cpu"] / peer["cpu"]), f"{cost['wall']:.1f} s"),
                *(f"{megabytes:.0f} MB" for megabytes in (cost["imports"], cost["data"], beyond - cost["data"])),
                *(f"{beyond:.0f} MB", f"{cost['peak']:.0f} MB", f"{cost['alpha']:.5g}", f"{cost['r']:.4f}"),
            ]
        )
    header = ["fit", "CPU", "times ours", "wall", "imports", "data", "fit adds", "beyond imports", "peak resident"]
    found = {row: {**cost, "torch": runs[row][0]["torch"]} for row, cost in middle.items()}
    return table([*header, "median penalty", "median test r"], rows), found


def verdict(found: dict[str, dict]) -> str:
    """Whether our fits stay within the memory they may take, for each build of torch."""
    lines = []
    for row, cost in found.items():
        if row.startswith("ours"):
            fixed = cost["imports"] + cost["data"]
            holds = "within" if cost["peak"] <= MOST else "NOT within"
            lines.append(
                f"{row}, torch {cost['torch']}: {cost['peak']:.0f} MB, {holds} {MOST} MB; imports and data alone are "
                f"{fixed:.0f} MB."
            )
    return "\n".join(f"- {line}" for line in lines)


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
    parser.add_argument("--python", help="another interpreter to repeat our fit with")
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
        fits = {name: (name, sys.executable) for name in FITS if not (options.no_sklearn and name == "sklearn-loo")}
        if options.python:
            fits["ours, --python"] = ("ours", options.python)
        shape = f"n = {options.images:,}, p = {options.features:,}, {options.voxels:,} voxels, 20 penalties, one thread"
        text, found = compare(Path(folder), fits, options.repeats)
        sections.append(f"## {shape}\n\n{text}\n\n{verdict(found)}")
    if options.many_voxels:
        with tempfile.TemporaryDirectory() as folder:
            make_data(Path(folder), options.images, options.features, options.many_voxels)
            text, _ = compare(Path(folder), {"ours": ("ours", sys.executable)}, 1)
            sections.append(f"## {options.many_voxels:,} voxels\n\n{text}")
    if options.store:
        with tempfile.TemporaryDirectory() as folder:
            make_store(Path(folder), options.images, options.store, 500)
            cost = measure_apart("ours-store", Path(folder))
            sections.append(
                f"## A memory-mapped feature store of {options.store:g} GB, 500 voxels\n\n"
                f"{cost['cpu']:.0f} CPU-s, {cost['wall']:.0f} s wall, {cost['peak']:.0f} MB peak resident, "
                f"{cost['peak'] - cost['imports']:.0f} MB beyond imports."
            )
    report("encode", sections, out=options.out)
