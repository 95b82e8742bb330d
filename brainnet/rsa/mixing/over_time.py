"""RDM regression at every time: when the brain's RDM is what which set of model RDMs explains, corrected over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch

from brainnet._work import progress as progress_bar
from brainnet.rsa.mixing.regression import rdm_regression
from brainnet.rsa.rdms import RDMs

if TYPE_CHECKING:
    import pandas as pd


def regression_over_time(
    sets: Mapping[str, RDMs | Any],
    course: Sequence[RDMs],
    times: Iterable | None = None,
    *,
    seed: int = 0,
    progress: bool = True,
    **settings: Any,
) -> pd.DataFrame:
    """The parts of R2 at each time, with p-values that hold for all times of a part together.

    Splits and permutations are alike at all times. The largest part over times under each permutation corrects for the
    number of times (family-wise, over the times of one part; parts are not corrected for each other).

    Args:
        sets: name -> RDMs that enter and leave together, see :func:`rdm_regression`.
        course: per time, one RDM per subject; see :func:`brainnet.rsa.by_time`.
        times: one per time.
        seed: of splits and permutations.
        progress: show a progress bar.
        **settings: of :func:`rdm_regression`, such as ``n_permutations``.

    Returns:
        One row per time and part: time, part, sets, r2, sem, p, p_corrected, n_subjects. Without permutations, and for
        shared parts, p is NaN.

    Raises:
        ValueError: also for another number of times; see :func:`rdm_regression`.

    Reference: Nichols and Holmes (2002), Human Brain Mapping 15, 1-25 (the largest statistic).

    >>> rng = torch.Generator().manual_seed(0)
    >>> shape, noise = torch.rand(2, 1, 190, generator=rng)
    >>> table = regression_over_time({"shape": shape}, [RDMs(noise), RDMs(shape + 0.1 * noise)], [0.0, 0.1],
    ...                              progress=False)
    >>> table[table.part == "total"].r2.round(1).tolist()
    [0.0, 1.0]
    """
    import pandas as pd

    times = list(range(len(course)) if times is None else times)
    if len(times) != len(course) or not course:
        raise ValueError(f"{len(times)} times for {len(course)} times of RDMs: give one each, and one at least.")
    found = [
        rdm_regression(sets, rdms, generator=torch.Generator().manual_seed(seed), progress=False, **settings)
        for rdms in progress_bar(course, f"RDM regression at {len(course)} times", len(course), progress)
    ]
    largest = {part: torch.stack([one.null[part] for one in found]).clamp(min=0).amax(0) for part in found[0].null}
    tables = []
    for time, one in zip(times, found, strict=True):
        table = one.table()
        table.insert(0, "time", time)
        rows = zip(table["part"], table["sets"], table["r2"], strict=True)
        table["p_corrected"] = [_family_wise(r2, largest.get(_name(part, names))) for part, names, r2 in rows]
        tables.append(table)
    columns = ["time", "part", "sets", "r2", "sem", "p", "p_corrected", "n_subjects"]
    return pd.concat(tables, ignore_index=True)[columns]


def _name(part: str, names: str) -> str:
    """What a part of the table is called in the p-values of a regression."""
    return {"total": "total", "alone": names, "unique": f"unique {names}"}.get(part, "")


def _family_wise(r2: float, largest: torch.Tensor | None) -> float:
    if largest is None:
        return float("nan")
    tie = 1e-12
    return ((largest >= max(r2, 0.0) - tie).sum().item() + 1) / (len(largest) + 1)
