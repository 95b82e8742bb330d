"""RDM regression at every time: when the brain's RDM is what which set of model RDMs explains, corrected over time."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

import torch
from torch import Tensor

from brainnet._work import progress as progress_bar
from brainnet.rsa.mixing.fitting import LEAST_SHARE
from brainnet.rsa.mixing.regression import RDMRegression, rdm_regression
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

    Splits and permutations are alike at all times. The largest part over times under each permutation, z-scored at each
    time, corrects for the number of times (family-wise, over the times of one part; parts are not corrected for each
    other).

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
    corrected = {part: _family_wise([one.null[part] for one in found], [_value(one, part) for one in found])
                 for part in found[0].null}  # fmt: skip
    tables = []
    for place, (time, one) in enumerate(zip(times, found, strict=True)):
        table = one.table()
        table.insert(0, "time", time)
        names = [_name(part, sets) for part, sets in zip(table["part"], table["sets"], strict=True)]
        table["p_corrected"] = [corrected[name][place] if name in corrected else float("nan") for name in names]
        tables.append(table)
    columns = ["time", "part", "sets", "r2", "sem", "p", "p_corrected", "n_subjects"]
    return pd.concat(tables, ignore_index=True)[columns]


def _name(part: str, names: str) -> str:
    """What a part of the table is called in the p-values of a regression."""
    return {"total": "total", "alone": names, "unique": f"unique {names}"}.get(part, "")


def _value(found: RDMRegression, part: str) -> Tensor:
    """The mean over subjects of a part as it is called in the p-values."""
    kind, _, name = part.partition(" ")
    if part == "total":
        return found.total.mean()
    return found.unique(name).mean() if kind == "unique" and part not in found.sets else found.alone(part).mean()


def _family_wise(null: Sequence[Tensor], values: Sequence[Tensor]) -> list[float]:
    """P-values (n_times,) of a part's values against the largest of its z-scores over times.

    Each time is z-scored by its own chance values and its value: chance spreads more at some times than at others, and
    the largest part would be of these.
    """
    known = torch.cat([torch.stack(list(values))[None], torch.stack(list(null), dim=1)]).double()
    known = known.where(known >= LEAST_SHARE, 0)  # a part that is no more than rounding is none
    sd = known.std(0, correction=0)
    z = (known - known.mean(0)) / torch.where(sd > 0, sd, torch.inf)
    return (((z[1:].amax(1)[:, None] >= z[0] - 1e-9).sum(0) + 1) / len(z)).tolist()
