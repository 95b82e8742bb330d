"""What a searchlight costs: 10,000 centres, 50 conditions, 19 models, 1,000 permutations; beside loops over centres.

The loops do a part of the work and are scaled up: ``scipy`` calls ``spearmanr`` for every centre, model and
permutation, ``numpy`` ranks each RDM once (not counted for the models) and takes one product per centre. Both give the
same scores, which the last column checks.
"""

from __future__ import annotations

import argparse
from typing import Any

import numpy as np
import torch
from scipy import stats
from scipy.spatial.distance import pdist

from benchmarks import measure, peak_memory, ratio, report, seconds, table
from brainnet.rsa import Neighbourhoods, RDMs, searchlight, spheres
from brainnet.rsa.products import draw_orders, permuted
from brainnet.space import BrainSpace

FULL = {"side": 22, "n_conditions": 50, "n_models": 19, "n_permutations": 1000}
SMALL = {"side": 8, "n_conditions": 20, "n_models": 5, "n_permutations": 100}


def subject(side: int, n_conditions: int, n_models: int, **_: Any) -> tuple[torch.Tensor, RDMs, Neighbourhoods]:
    """Patterns of noise in a box of 3 mm voxels, models, and spheres of 9 mm."""
    rng = torch.Generator().manual_seed(0)
    affine = torch.diag(torch.tensor([3.0, 3.0, 3.0, 1.0])).double()
    space = BrainSpace(mask=torch.ones(side, side, side - 1, dtype=torch.bool), affine=affine)
    patterns = torch.randn(n_conditions, space.n_voxels, generator=rng)
    models = RDMs(torch.rand(n_models, n_conditions * (n_conditions - 1) // 2, generator=rng))
    return patterns, models, spheres(space, 9.0)


def loop_scipy(patterns: np.ndarray, models: np.ndarray, null: np.ndarray, lights: Neighbourhoods, part: int) -> Any:
    """Scores (part, n_models); permuted models are compared as well, and thrown away."""
    found = []
    for i in range(part):
        brain = pdist(patterns[:, lights[i]], "correlation")
        found.append([stats.spearmanr(brain, model)[0] for model in models])
        for model in null:
            stats.spearmanr(brain, model)
    return np.array(found)


def loop_numpy(patterns: np.ndarray, models: np.ndarray, null: np.ndarray, lights: Neighbourhoods, part: int) -> Any:
    """The same with models that are z-scored ranks already, and one product per centre."""
    found, z = [], np.concatenate([models, null]) / models.shape[1]
    for i in range(part):
        brain = stats.zscore(stats.rankdata(pdist(patterns[:, lights[i]], "correlation")))
        scores = z @ brain
        found.append(scores[: len(models)])
        (scores[len(models) :].reshape(len(models), -1) >= found[-1][:, None]).sum(1)
    return np.array(found)


def main(argv: list[str]) -> None:
    """Measures, prints the table, and saves it where ``--out`` is given."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks searchlight", description=__doc__)
    parser.add_argument("--small", action="store_true", help="a size for a quick look")
    parser.add_argument("--threads", type=int, default=None, help="threads of torch")
    parser.add_argument("--out", nargs="?", const="", default=None, help="save to benchmarks/results or a file")
    options = parser.parse_args(argv)
    if options.threads:
        torch.set_num_threads(options.threads)
    size = SMALL if options.small else FULL
    patterns, models, lights = subject(**size)
    n_permutations, results = size["n_permutations"], {}

    def ours() -> None:
        results["maps"] = searchlight(
            patterns, models, lights, n_permutations=n_permutations, generator=torch.Generator().manual_seed(0)
        )

    memory = peak_memory(ours)
    timing = measure({"ours": ours}, repeats=1, warmup=0)["ours"]
    score = results["maps"].score.T.numpy()
    rows = [["brainnet", seconds(timing.cpu), seconds(timing.wall), "1", f"{memory / 2**30:.2f} GB", ""]]
    data, plain = patterns.double().numpy(), models.values.double().numpy()
    for name, loop, part, draws in (("scipy", loop_scipy, 1, 20), ("numpy", loop_numpy, 20, n_permutations)):
        orders = draw_orders(size["n_conditions"], draws, torch.Generator().manual_seed(0))
        null = permuted(models.values.double(), orders).flatten(0, 1).numpy()
        sides = (plain, null)
        if name == "numpy":
            sides = tuple(stats.zscore(stats.rankdata(side, axis=1), axis=1) for side in sides)
        found: dict[str, Any] = {}

        def run(loop=loop, sides=sides, part=part, found=found) -> None:
            found["score"] = loop(data, *sides, lights, part)

        loop_time = measure({"loop": run}, repeats=1, warmup=0)["loop"]
        scale = len(lights) / part * (1 + n_permutations) / (1 + draws)
        difference = np.abs(found["score"] - score[:part]).max()
        rows.append(
            [f"loop, {name} (scaled)", seconds(loop_time.cpu * scale), seconds(loop_time.wall * scale),
             ratio(loop_time.cpu * scale / timing.cpu), "", f"{difference:.1g}"]
        )  # fmt: skip
    title = (
        f"{len(lights):,} centres of {np.median(lights.sizes):.0f} voxels, {size['n_conditions']} conditions,"
        f" {size['n_models']} models, {n_permutations:,} permutations, Spearman, float32"
    )
    header = ["", "CPU", "wall", "CPU / brainnet", "peak memory", "difference"]
    report("searchlight", [title, table(header, rows)], out=options.out)


if __name__ == "__main__":
    import sys

    main(sys.argv[1:])
