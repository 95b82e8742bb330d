"""What the p-values that reject noise in less than 3 % of studies lose in power against a test of the same level.

The other test is the correction that is calibrated; or the same p-value without its rule that nothing below zero is
significant; or, where there is neither, the same p-value at the level at which it rejects 5 % of the very same noise.
Effects are of a size that is found about half of the time. A corrected p-value is counted by its table or map: it finds
something where any p is small enough.
"""

from __future__ import annotations

import argparse
import time
from collections import defaultdict
from collections.abc import Callable, Iterator
from unittest import mock

import torch

from benchmarks import report, seconds, table
from benchmarks.calibration import _rdms
from brainnet.rsa import RDMs, evaluate, group_searchlight, rdm, rdm_regression, searchlight, spheres
from brainnet.rsa.mixing import regression
from brainnet.space import BrainSpace

HEADER = ["room", "p-value", "held against", "noise rejected", "by the other", "effects found", "by the other",
          "power lost", "standard error", "studies"]  # fmt: skip
PValues = Iterator[tuple[str, str, float, float | None]]  # p-value, the other test, the least p of a study by each


def mixing(rng: torch.Generator, effect: bool) -> PValues:
    """A set that explains a little of the brain's RDMs, alone and beside a set that explains more."""
    parts, subjects = _rdms(rng, 3), _rdms(rng, 4)
    alone = {"a": parts[:1], "b": parts[1:]}, subjects + effect * 0.3 * parts[:1]
    beside = {"a": parts[:1], "b": parts[1:2]}, subjects + 0.5 * parts[:1] + effect * 0.3 * parts[1:2]
    for (sets, brain), part, name in ((alone, "total", "total"), (beside, "unique b", "unique, beside a true set")):
        seed, found = int(torch.randint(0, 2**31, (1,), generator=rng)), []
        for rule in (regression.p_above_zero, lambda found, null: ((null >= found).sum() + 1).item() / (len(null) + 1)):
            with mock.patch.object(regression, "p_above_zero", rule):
                generator = torch.Generator().manual_seed(seed)
                found.append(rdm_regression(sets, brain, n_permutations=99, n_folds=2, n_repeats=1,
                                            generator=generator, progress=False).p[part])  # fmt: skip
        yield f"rdm_regression: {name}", "p of shares below 0 too", *found


def search(rng: torch.Generator, effect: bool) -> PValues:
    """Twelve subjects whose patterns in an eighth of the volume follow a model."""
    space = BrainSpace(mask=torch.ones(5, 5, 5).bool(), affine=torch.eye(4).double())
    lights = spheres(space, 1.0, min_size=4)
    of_model = torch.randn(10, 30, generator=rng, dtype=torch.float64)
    models = RDMs(torch.cat([rdm(of_model).values.view(1, -1), _rdms(rng, 1, 10)]))
    here = (space.coords < space.coords.mean(0)).all(1)
    maps = []
    for _ in range(12):
        patterns = torch.randn(10, space.n_voxels, generator=rng, dtype=torch.float64)
        seen = torch.randn(30, int(here.sum()), generator=rng, dtype=torch.float64) / 30**0.5
        patterns[:, here] += effect * 0.65 * of_model @ seen
        maps.append(searchlight(patterns, models, lights, progress=False))
    flips = group_searchlight(maps, n_permutations=499, generator=rng, progress=False).test
    student = group_searchlight(maps, n_permutations=0, progress=False).test
    for name, p in (("sign flips: p_max", flips.p_max), ("sign flips: p_fdr", flips.p_fdr),
                    ("Student's t: p_fdr", student.p_fdr)):  # fmt: skip
        yield f"group of 12, {name}", "its exact level", p[0].nan_to_num(1).min().item(), None


def inference(rng: torch.Generator, effect: bool) -> PValues:
    """Two models and three regions, of which one follows the first model."""
    models, cells = _rdms(rng, 2), {str(i): _rdms(rng, 10) for i in range(3)}
    cells["0"] = cells["0"] + effect * 0.12 * models[:1]
    cells = {name: RDMs(values) for name, values in cells.items()}
    seed = int(torch.randint(0, 2**31, (1,), generator=rng))
    for test in ("permutation", "sign-flip"):
        least = {
            correction: float(evaluate(models, cells, generalise="subjects", test=test, correction=correction,
                                       n_permutations=199, seed=seed).table.p_corrected.min())
            for correction in ("holm", "fdr", "max")
        }  # fmt: skip
        for correction in ("holm", "fdr"):
            yield f"{test}, {correction}", f"{test}, max", least[correction], least["max"]


ROOMS: dict[str, Callable[[torch.Generator, bool], PValues]] = {
    "rsa/mixing": mixing, "rsa/inference": inference, "searchlight": search,
}  # fmt: skip


def exact_level(noise: torch.Tensor) -> float:
    """The level at which a test rejects 5 % of noise, from its p-values on noise.

    >>> exact_level(torch.arange(1, 101, dtype=torch.float64) / 200)    # twice as strict as it says
    0.025
    """
    return noise.sort().values[max(0, int(0.05 * len(noise)) - 1)].item()


def main(argv: list[str]) -> int:
    """Parses the options and reports."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks power", description=__doc__.splitlines()[0])
    parser.add_argument("--studies", type=int, default=400, help="simulated studies of each room, with and without")
    parser.add_argument("--small", action="store_true", help="twenty studies, to see that it runs")
    parser.add_argument("--rooms", nargs="*", default=list(ROOMS), help=f"of {', '.join(ROOMS)}")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", nargs="?", const="", help="save the table in benchmarks/results/power.md")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    n, rows, took = 20 if options.small else options.studies, [], []
    for room in options.rooms:
        began, found = time.perf_counter(), {False: defaultdict(list), True: defaultdict(list)}
        for effect, of in found.items():
            rng = torch.Generator().manual_seed(1)
            for _ in range(n):
                for name, other, *pair in ROOMS[room](rng, effect):
                    of[name, other].append(pair)
        took.append(f"{room} {seconds(time.perf_counter() - began)}")
        for name, other in found[True]:
            (noise, planted), (others, others_planted) = (
                [
                    torch.tensor([pair[k] for pair in of[name, other] if pair[k] is not None], dtype=torch.float64)
                    for of in found.values()
                ]
                for k in (0, 1)
            )
            level = 0.05 if len(others) else exact_level(noise)
            others, others_planted = (others, others_planted) if len(others) else (noise, planted)
            rates = [(noise <= 0.05), (others <= level), (planted <= 0.05), (others_planted <= level)]
            lost = rates[3].double() - rates[2].double()
            rows.append([room, name, other, *(f"{rate.double().mean():.3f}" for rate in rates),
                         f"{lost.mean():+.3f}", f"{lost.std() / n**0.5:.3f}", n])  # fmt: skip
            print("  ".join(map(str, rows[-1])), flush=True)
    note = (
        "An exact level is an estimate: of 400 studies of noise 20 decide it, and the level that it stands for "
        "lies between 3 and 7 %. With 199 permutations and six cells Holm's least p is .03 and its next one .06: "
        "much of what it loses is the fineness of the permutations. max has no such steps."
    )
    report("power", [table(HEADER, rows), note, "; ".join(took)], out=options.out)
    return 0
