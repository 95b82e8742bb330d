"""What ridge over a time series costs beside himalaya: delays, banded spaces and one space, leaving runs out.

Every measurement is a process of its own, on one thread, so that its peak memory is its own. Both sides get the same
runs, delays, folds, penalties and, for banded ridge, the same mixes of the feature spaces, and both begin at the
features before delays. himalaya is used as its documentation and the tutorial of voxelwise modelling have it: a delayer
and a kernelizer for each feature space, then ``MultipleKernelRidgeCV``; and one delayer before ``KernelRidgeCV``.
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

ALPHAS = np.logspace(0, 6, 10)
DELAYS = (1, 2, 3, 4)
N_RUNS = 6
N_TEST = 300  # volumes of the last run
MOST = 2000  # MB that a fit of ours may be resident in


def make_data(folder: Path, n_volumes: int, n_spaces: int, n_features: int, n_voxels: int, n_mixes: int) -> None:
    """Slow features of several spaces, and voxels that follow one or two of them some volumes later."""
    from brainnet.series import delayed

    rng = np.random.default_rng(0)
    n = n_volumes + N_TEST
    runs = np.concatenate([np.repeat(np.arange(N_RUNS - 1), -(-n_volumes // (N_RUNS - 1)))[:n_volumes],
                           np.full(N_TEST, N_RUNS - 1)])  # fmt: skip
    spaces = rng.standard_normal((n_spaces, n, n_features), dtype=np.float32)
    spaces[:, 1:] += 0.5 * spaces[:, :-1]
    responses = 2 * rng.standard_normal((n, n_voxels), dtype=np.float32)
    for space in range(n_spaces):
        voxels = np.arange(n_voxels) % n_spaces == space
        weights = rng.standard_normal((2 * n_features, int(voxels.sum())), dtype=np.float32) / n_features**0.5
        responses[:, voxels] += delayed(spaces[space], [2, 3], runs) @ weights
    np.save(folder / "spaces.npy", spaces)
    np.save(folder / "runs.npy", runs)
    np.save(folder / "responses.npy", responses)
    mixes = rng.dirichlet(np.ones(n_spaces), n_mixes)
    mixes[0] = 1 / n_spaces
    np.save(folder / "mixes.npy", mixes)


def ours_banded(spaces, responses, runs, mixes):
    """Delays within runs, then BandedRidgeCV on the spaces."""
    from brainnet.ridge import BandedRidgeCV
    from brainnet.series import delayed_spaces

    train = runs < N_RUNS - 1
    x = delayed_spaces({str(k): part - part[train].mean(0) for k, part in enumerate(spaces)}, DELAYS, runs)
    model = BandedRidgeCV(alphas=ALPHAS, cv="groups", n_iter=mixes, fit_intercept=False, equal_trace=False)
    model.fit({k: part[train] for k, part in x.items()}, responses[train], groups=runs[train])
    return model.best_alphas_, model.predict({k: part[~train] for k, part in x.items()})


def ours_single(spaces, responses, runs, mixes):
    """Delays within runs, then RidgeCV on one space."""
    from brainnet.ridge import RidgeCV
    from brainnet.series import delayed

    train = runs < N_RUNS - 1
    x = delayed(spaces[0] - spaces[0][train].mean(0), DELAYS, runs)
    model = RidgeCV(ALPHAS, cv="groups", fit_intercept=False).fit(x[train], responses[train], groups=runs[train])
    return model.best_alphas_, model.predict(x[~train])


def _by_hand(space, runs):
    """Their delays for each run, written out: the tutorial's class lets one run reach into the next."""
    out = np.zeros((len(space), len(DELAYS) * space.shape[1]), space.dtype)
    for run in np.unique(runs):
        rows = np.flatnonzero(runs == run)
        for place, delay in enumerate(DELAYS):
            out[rows[delay:], place * space.shape[1] : (place + 1) * space.shape[1]] = space[rows[:-delay]]
    return out


def _folds(runs):
    labels = runs[runs < N_RUNS - 1]
    return [(np.flatnonzero(labels != run), np.flatnonzero(labels == run)) for run in np.unique(labels)]


def himalaya_banded(spaces, responses, runs, mixes):
    """MultipleKernelRidgeCV with random search over the same mixes, in its batches of voxels as documented."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import MultipleKernelRidgeCV

    set_backend("torch")
    train = runs < N_RUNS - 1
    x = [_by_hand(part - part[train].mean(0), runs) for part in spaces]
    model = MultipleKernelRidgeCV(
        kernels="precomputed", solver="random_search", cv=_folds(runs),
        solver_params={"n_iter": mixes.astype(np.float32), "alphas": ALPHAS, "progress_bar": False,
                       "n_targets_batch": 1000, "n_alphas_batch": 10, "n_targets_batch_refit": 1000},
    )  # fmt: skip
    model.fit(np.stack([part[train] @ part[train].T for part in x]), responses[train])
    prediction = model.predict(np.stack([part[~train] @ part[train].T for part in x]))
    return np.asarray(model.best_alphas_), np.asarray(prediction)


def himalaya_single(spaces, responses, runs, mixes):
    """KernelRidgeCV on one space, in its batches of voxels as documented."""
    from himalaya.backend import set_backend
    from himalaya.kernel_ridge import KernelRidgeCV

    set_backend("torch")
    train = runs < N_RUNS - 1
    x = _by_hand(spaces[0] - spaces[0][train].mean(0), runs)
    model = KernelRidgeCV(ALPHAS, cv=_folds(runs), solver_params={"n_targets_batch": 1000, "n_alphas_batch": 10},
                          warn=False).fit(x[train], responses[train])  # fmt: skip
    return np.asarray(model.best_alphas_), np.asarray(model.predict(x[~train]))


FITS = {"ours, banded": ours_banded, "himalaya, banded": himalaya_banded,
        "ours, one space": ours_single, "himalaya, one space": himalaya_single}  # fmt: skip


def measure_here(name: str, folder: Path) -> dict[str, float]:
    """One fit and prediction in this process: CPU and wall seconds, peak memory, penalty and test score."""
    import himalaya.kernel_ridge  # noqa: F401
    import torch

    torch.set_num_threads(1)
    parts = [np.load(folder / f"{part}.npy") for part in ("spaces", "responses", "runs", "mixes")]
    wall, cpu = time.perf_counter(), time.process_time()
    alphas, prediction = FITS[name](*parts)
    found = {"cpu": time.process_time() - cpu, "wall": time.perf_counter() - wall}
    found["peak"] = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    from brainnet.scores import pearson_r

    r = pearson_r(np.asarray(prediction), parts[1][parts[2] == N_RUNS - 1])
    return {**found, "alpha": float(np.median(alphas)), "r": float(r.median())}


def main(argv: list[str]) -> None:
    """Parses the options and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks series", description=__doc__.splitlines()[0])
    parser.add_argument("--volumes", type=int, default=2000, help="to train on")
    parser.add_argument("--spaces", type=int, default=3)
    parser.add_argument("--features", type=int, default=256, help="of each space, before delays")
    parser.add_argument("--voxels", type=int, default=5000)
    parser.add_argument("--mixes", type=int, default=10, help="candidates of banded ridge")
    parser.add_argument("--repeats", type=int, default=3)
    parser.add_argument("--out", nargs="?", const="", help="save the table, by default in benchmarks/results/series.md")
    parser.add_argument("--child", help=argparse.SUPPRESS)
    parser.add_argument("--folder", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args(argv)
    if options.child:
        print(json.dumps(measure_here(options.child, options.folder)))
        return
    threads = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "MKL", "OPENBLAS")}
    runs: dict[str, list[dict[str, float]]] = {name: [] for name in FITS}
    with tempfile.TemporaryDirectory() as folder:
        make_data(Path(folder), options.volumes, options.spaces, options.features, options.voxels, options.mixes)
        for _ in range(options.repeats):
            for name, found in runs.items():
                command = [sys.executable, "-m", "benchmarks", "series", "--child", name, "--folder", folder]
                done = subprocess.run(
                    command, env={**os.environ, **threads}, capture_output=True, text=True, check=True
                )
                found.append(json.loads(done.stdout.splitlines()[-1]))
    middle = {name: {key: float(np.median([one[key] for one in found])) for key in found[0]}
              for name, found in runs.items()}  # fmt: skip
    rows = []
    for name, cost in middle.items():
        mine = middle["ours" + name[name.index(",") :]]
        rows.append([name, f"{cost['cpu']:.1f} s", ratio(cost["cpu"] / mine["cpu"]), f"{cost['wall']:.1f} s",
                     f"{cost['peak']:.0f} MB", f"{cost['alpha']:.5g}", f"{cost['r']:.4f}"])  # fmt: skip
    peak = max(cost["peak"] for name, cost in middle.items() if name.startswith("ours"))
    shape = (
        f"{options.volumes:,} volumes in {N_RUNS - 1} runs, {len(DELAYS)} delays, {options.spaces} spaces of "
        f"{options.features} features, {options.voxels:,} voxels, {len(ALPHAS)} penalties, {options.mixes} mixes, "
        "leaving one run out, one thread"
    )
    header = ["fit and prediction", "CPU", "times ours", "wall", "peak resident", "median penalty", "median test r"]
    holds = "within" if peak <= MOST else "NOT within"
    report("series", [f"## {shape}\n\n{table(header, rows)}\n\n- ours: {peak:.0f} MB at most, {holds} {MOST} MB."],
           out=options.out)  # fmt: skip
