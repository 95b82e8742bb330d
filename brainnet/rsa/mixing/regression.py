"""RDM regression: how much of the brain's RDM sets of model RDMs explain, together, alone and uniquely.

The score is R2 on pairs of held-out conditions, against predicting the mean dissimilarity of the training pairs: it is
0 for a model that knows nothing, negative for one that misleads, and never rises by the number of predictors alone. The
in-sample scheme of Dwivedi et al. (2021) is kept for replication under its name; its test, which shuffles pairs as if
they were independent and rejects 27 % of noise, is not.

Tests permute condition labels, and their statistic is the part, or 0 where it is negative: a part that explains nothing
is never significant, however much worse permuted predictors do. For a set's unique part what is permuted is what the
other sets leave unexplained of it (double semi-partialling), so that neither their effect on the brain nor their
correlation with the set passes for it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import torch
from torch import Tensor

from brainnet._work import progress as progress_bar
from brainnet.rsa.mixing.fitting import (
    PENALTIES,
    Split,
    check_usable,
    check_weights,
    condition_splits,
    fit,
    least_squares,
    p_above_zero,
    z_scored,
)
from brainnet.rsa.pairs import n_conditions_of, pair_index
from brainnet.rsa.products import draw_orders, permuted
from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms
from brainnet.scores.partitioning import Subset, partition, subsets

SCHEMES = ("cross-validated", "dwivedi2021")
PERMUTED_AT_ONCE = 2**24  # float64 entries: 128 MB


@dataclass(frozen=True, eq=False)
class RDMRegression:
    """R2 of every combination of sets, and what follows from them.

    Args:
        sets: names of the sets.
        r2: combination of sets, in their order -> (n_subjects,) R2.
        p: "total", a set's name (on its own) or "unique <name>" -> p of the mean over subjects being above 0; 1 where
            it is not.
        scheme: how R2 was computed.
        null: as of ``p``, (n_permutations,) what the part is under permuted labels.

    >>> rng = torch.Generator().manual_seed(0)
    >>> shape, color, noise = torch.rand(3, 190, generator=rng)
    >>> found = rdm_regression({"shape": shape, "color": color}, shape + 0.5 * color + 0.1 * noise, generator=rng)
    >>> [round(part.item(), 2) for part in (found.total, found.unique("shape"), found.shared("shape", "color"))]
    [0.99, 0.78, 0.02]
    """

    sets: tuple[str, ...]
    r2: dict[Subset, Tensor]
    p: dict[str, float] = field(default_factory=dict)
    scheme: str = "cross-validated"
    null: dict[str, Tensor] = field(default_factory=dict)

    @property
    def total(self) -> Tensor:
        """(n_subjects,) R2 of all sets together."""
        return self.r2[self.sets]

    def alone(self, name: str) -> Tensor:
        """(n_subjects,) R2 of one set by itself."""
        return self.r2[(self._known(name),)]

    def unique(self, name: str) -> Tensor:
        """(n_subjects,) what is lost without a set: R2 of all minus R2 of the others."""
        return self.shared(name)

    def shared(self, *names: str) -> Tensor:
        """(n_subjects,) what exactly these sets have in common and no other set has; see :func:`partition`.

        Over every combination of sets it sums to the total. It can be negative (suppression) and is not clipped.
        """
        wanted = {self._known(name) for name in names}
        return self.parts[tuple(name for name in self.sets if name in wanted)]

    @cached_property
    def parts(self) -> dict[Subset, Tensor]:
        """Combination of sets -> (n_subjects,) the part of the total that exactly these sets share."""
        return partition(self.r2)

    def table(self) -> Any:
        """A DataFrame with one row per part: kind ("total", "alone", "unique", "shared"), sets, r2, sem, p."""
        import pandas as pd

        rows = [("total", self.sets, self.total, self.p.get("total"))]
        rows += [("alone", (name,), self.alone(name), self.p.get(name)) for name in self.sets]
        rows += [("unique", (name,), self.unique(name), self.p.get(f"unique {name}")) for name in self.sets]
        rows += [("shared", some, values, None) for some, values in self.parts.items() if len(some) > 1]
        return pd.DataFrame(
            [
                {
                    "part": part,
                    "sets": " & ".join(names) if part == "shared" else " + ".join(names),
                    "r2": values.mean().item(),
                    "sem": (values.std() / len(values) ** 0.5).item() if len(values) > 1 else float("nan"),
                    "p": float("nan") if p is None else p,
                    "n_subjects": len(values),
                }
                for part, names, values, p in rows
            ]
        )

    def __repr__(self) -> str:
        parts = ", ".join(f"{name} {self.unique(name).mean().item():.3f}" for name in self.sets)
        return f"RDMRegression(total R2 {self.total.mean().item():.3f}; unique: {parts}; {self.scheme})"

    def _known(self, name: str) -> str:
        if name not in self.sets:
            raise ValueError(f"no set named {name!r}; there are {', '.join(self.sets)}.")
        return name


def rdm_regression(
    sets: Mapping[str, RDMs | Any],
    subjects: RDMs | Any,
    *,
    scheme: str = "cross-validated",
    weights: str = "ols",
    over_subjects: bool = False,
    ranked: bool = False,
    n_folds: int = 3,
    n_repeats: int = 4,
    penalties: tuple[float, ...] = PENALTIES,
    n_permutations: int = 0,
    generator: torch.Generator | None = None,
    progress: bool = True,
) -> RDMRegression:
    """R2 of all combinations of sets of model RDMs, for total, unique and shared explained variance.

    Args:
        sets: name -> RDMs (one or more) that enter and leave together; at most 8 sets.
        subjects: one RDM per subject over the same conditions.
        scheme: "cross-validated" over conditions; or "dwivedi2021": R2 of the mean subject's RDM in-sample, adjusted
            for the number of predictors as if the pairs were independent, one value instead of one per subject.
        weights: "ols", "nonnegative" or "ridge", see :func:`weighted_rsa`.
        over_subjects: fit on the mean of the other subjects instead of on the subject's own training conditions.
        ranked: replace dissimilarities by their ranks first.
        n_folds, n_repeats: parts the conditions are cut into, and how often anew; each part needs four conditions.
        penalties: of the ridge.
        n_permutations: label permutations; tests of unique parts are offered for "ols", whose fit does not depend on
            which basis of the predictors is permuted.
        generator: a seeded CPU generator of splits and permutations; "dwivedi2021" needs none.
        progress: show a progress bar.

    Raises:
        ValueError: NaN or constant RDMs, other conditions, folds too small, unknown names.

    Reference: Dwivedi, Bonner, Cichy and Roig (2021), PLoS Comput Biol 17(8), e1009267; Dekker, Krackhardt and
        Snijders (2007), Psychometrika 72, 563-581 (double semi-partialling).

    >>> rng = torch.Generator().manual_seed(0)
    >>> shape, color, noise = torch.rand(3, 190, generator=rng)
    >>> rdm_regression({"shape": shape, "color": color}, shape + 0.5 * color + 0.1 * noise, generator=rng)
    RDMRegression(total R2 0.991; unique: shape 0.776, color 0.192; cross-validated)
    """
    sets, subjects = checked_sets(sets, subjects, scheme, weights)
    if ranked:
        sets, subjects = {name: rdms.rank() for name, rdms in sets.items()}, subjects.rank()
    x = z_scored(torch.cat([rdms.values for rdms in sets.values()]))
    rows = _rows_of(sets)
    names = tuple(sets)
    combinations = subsets(names)
    if scheme == "dwivedi2021":
        if n_permutations:
            raise ValueError(
                "the published test shuffles pairs as if they were independent and rejects 27 % of noise; it is not"
                " offered. Use scheme='cross-validated' with n_permutations for a test."
            )
        mean = subjects.values.double().mean(0, keepdim=True).to(x)
        return RDMRegression(names, {s: _adjusted_r2(x[_rows(rows, s)], mean) for s in combinations}, {}, scheme)
    if generator is None:
        raise ValueError("splits are drawn from a generator: pass generator=torch.Generator().manual_seed(0).")
    if over_subjects and len(subjects) < 2:
        raise ValueError("over_subjects=True fits on other subjects, but there is one; leave it False.")
    y = z_scored(subjects.values).to(x.device)
    target = (y.sum(0) - y) / (len(y) - 1) if over_subjects else y
    splits = condition_splits(subjects.n_conditions, n_folds, n_repeats, generator)
    settings = (splits, weights, penalties)
    r2 = {some: _held_out_r2(x[_rows(rows, some)], target, y, *settings) for some in combinations}
    observed: dict[str, Tensor] = {}
    nulls: dict[str, Tensor] = {}
    if n_permutations:
        orders = draw_orders(subjects.n_conditions, n_permutations, generator)
        tested = dict.fromkeys([names, *((name,) for name in names)])
        steps = [*tested, *(names if weights == "ols" and len(names) > 1 else ())]
        for step in progress_bar(steps, f"Testing by {n_permutations:,} permutations", len(steps), progress):
            if isinstance(step, tuple):
                null = _null_of_targets(x[_rows(rows, step)], target, y, orders, settings)
                for part in {"total" if step == names else step[0], *(names if len(names) == 1 else ())}:
                    observed[part], nulls[part] = r2[step].mean(), null
            else:
                others = tuple(s for s in names if s != step)
                null = _null_of_unique(x[rows[step]], x[_rows(rows, others)], target, y, orders, splits)
                without = r2[others].mean()
                observed[f"unique {step}"], nulls[f"unique {step}"] = r2[names].mean() - without, null - without
    p = {part: p_above_zero(observed[part], null) for part, null in nulls.items()}
    return RDMRegression(names, r2, p, scheme, nulls)


# ---- checks -------------------------------------------------------------------------------------------------------


def checked_sets(sets, subjects, scheme: str, weights: str) -> tuple[dict[str, RDMs], RDMs]:
    """Sets and subjects as RDMs over the same conditions, none of them constant or with NaN."""
    if scheme not in SCHEMES:
        raise ValueError(f"scheme must be one of {', '.join(map(repr, SCHEMES))}, got {scheme!r}.")
    check_weights(weights)
    if not isinstance(sets, Mapping) or not 1 <= len(sets) <= 8:
        raise ValueError(
            "sets must be a mapping of 1 to 8 names to RDMs, such as {'2D': rdms_2d, '3D': rdms_3d}; every combination"
            " of them is fitted."
        )
    subjects = as_rdms(subjects)
    check_usable(subjects)
    found = {}
    for name, rdms in sets.items():
        found[str(name)] = align_conditions(subjects, as_rdms(rdms))[1]
        check_usable(found[str(name)])
    return found, subjects


def _rows_of(sets: Mapping[str, RDMs]) -> dict[str, list[int]]:
    rows, start = {}, 0
    for name, rdms in sets.items():
        rows[name] = list(range(start, start + len(rdms)))
        start += len(rdms)
    return rows


def _rows(rows: dict[str, list[int]], subset: Subset) -> list[int]:
    return [row for name in subset for row in rows[name]]


# ---- scores -------------------------------------------------------------------------------------------------------


def _held_out_r2(x: Tensor, target: Tensor, y: Tensor, splits: list[Split], weights: str, penalties) -> Tensor:
    """(n_targets,) R2 pooled over splits: squared errors against those of the training mean."""
    error, total = y.new_zeros(2, len(y))
    for split in splits:
        found, test = fit(x, target, split, weights, penalties), split.pairs_of_test(x)
        error += (y[:, test] - found.predict(x[:, test])).square().sum(1)
        total += (y[:, test] - found.offset[:, None]).square().sum(1)
    return 1 - error / total


def _adjusted_r2(x: Tensor, y: Tensor) -> Tensor:
    """(n_targets,) in-sample R2 with an intercept, 1 - (1 - R2) (n - 1) / (n - p - 1)."""
    centred, y = x - x.mean(1, keepdim=True), y - y.mean(1, keepdim=True)
    residual = y - least_squares(centred @ centred.T, y @ centred.T) @ centred
    r2 = 1 - residual.square().sum(1) / y.square().sum(1)
    n, p = y.shape[1], len(x)
    return 1 - (1 - r2) * (n - 1) / (n - p - 1)


def permutations_at_once(y: Tensor) -> int:
    """How many permutations of targets (n_targets, n_pairs) fit into memory."""
    return max(1, PERMUTED_AT_ONCE // (2 * y.numel()))


def _null_of_targets(x: Tensor, target: Tensor, y: Tensor, orders: Tensor, settings: tuple) -> Tensor:
    """(n_permutations,) mean R2 when the labels of the brain's RDMs are permuted, alike for all subjects."""
    null = []
    for part in orders.split(permutations_at_once(y)):
        moved = [permuted(values, part).transpose(0, 1).flatten(0, 1) for values in (target, y)]
        null.append(_held_out_r2(x, *moved, *settings).view(len(part), -1).mean(1))
    return torch.cat(null)


def _null_of_unique(x: Tensor, others: Tensor, target: Tensor, y: Tensor, orders: Tensor, splits) -> Tensor:
    """(n_permutations,) mean R2 of all sets when what is left of one set after the others has permuted labels."""
    centred, rest = (values - values.mean(1, keepdim=True) for values in (x, others))
    residual = centred - least_squares(rest @ rest.T, centred @ rest.T) @ rest
    null = []
    for part in orders.split(max(1, PERMUTED_AT_ONCE // (2 * (len(x) + len(others)) * x.shape[1]))):
        moved = permuted(residual, part).transpose(0, 1)  # (permutations, k, pairs)
        both = torch.cat([moved, rest.expand(len(part), -1, -1)], 1)
        null.append(_batched_r2(both, target, y, splits).mean(1))
    return torch.cat(null)


def _batched_r2(x: Tensor, target: Tensor, y: Tensor, splits: list[Split]) -> Tensor:
    """(n_permutations, n_targets) least-squares R2 as ``_held_out_r2``, for predictors (n_permutations, k, n_pairs)."""
    n = n_conditions_of(x.shape[-1])
    error, total = y.new_zeros(len(x), len(y)), y.new_zeros(len(y))
    for split in splits:
        train, test = (pair_index(part, n).to(x.device) for part in (split.train, split.test))
        centre = x[..., train].mean(-1, keepdim=True)
        fitted, offset = x[..., train] - centre, target[:, train].mean(1, keepdim=True)
        w = least_squares(fitted @ fitted.mT, (target[:, train] - offset) @ fitted.mT)
        held_out = y[:, test] - offset
        error += (held_out - w @ (x[..., test] - centre)).square().sum(-1)
        total += held_out.square().sum(1)
    return 1 - error / total
