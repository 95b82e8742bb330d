"""Noise ceilings and reliability: how well any model could do, given how far subjects and sessions agree.

The ceiling of a comparison is set by its own best group RDM: mean ranks for rank correlations, mean z-scores for
Pearson, unit vectors for cosine, the same after whitening for the whitened ones (Nili et al. 2014).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet.rsa.comparisons import COMPARISONS, without_nan
from brainnet.rsa.ranks import rank
from brainnet.rsa.rdms import RDMs, as_rdms
from brainnet.rsa.vectors import centred, u_centred, unit, whitened


class NoiseCeiling(NamedTuple):
    """Lower and upper bound on the score of the best possible model.

    >>> lower, upper = noise_ceiling(torch.tensor([[1.0, 2, 3, 4, 5, 6], [1, 2, 3, 4, 6, 5], [2, 1, 3, 4, 5, 6]]))
    >>> round(lower, 3), round(upper, 3)
    (0.942, 0.962)
    """

    lower: float
    upper: float


class Explained(NamedTuple):
    """A score as a share of its ceiling, and in words what was divided by what."""

    value: Tensor
    definition: str


class Reliability(NamedTuple):
    """Agreement of RDMs: the mean over couples, and what it implies for their average (Spearman-Brown)."""

    mean: float
    of_average: float
    similarity: Tensor  # (n_rdms, n_rdms)


def noise_ceiling(
    subjects: RDMs | Any,
    method: str = "spearman",
    *,
    pooling: str = "optimal",
    squared: bool = False,
    nan: str = "raise",
    **options: Any,
) -> NoiseCeiling:
    """Bounds on the mean score over subjects that any model RDM could reach.

    Args:
        subjects: one RDM per subject, (n_subjects, n_pairs); at least two.
        method: name of a comparison, see ``COMPARISONS``.
        pooling: "optimal", the group RDM that serves this comparison best (for Kendall's taus, Procrustes and
            distributional comparisons an approximation, and for a comparison of your own the plain mean); or "mean"
            of the RDMs as they are, as in the Algonauts challenge and Net2Brain.
        squared: average squared similarities, the unit of the Algonauts challenge. Signs are lost.
        nan: "raise" on undefined pairs, or "omit" those that are NaN in any subject.
        **options: of the comparison.

    Returns:
        lower: mean similarity of each subject to the group RDM of the *others* (under-estimates).
        upper: mean similarity of each subject to the group RDM of *all*, itself included (over-estimates).

    Raises:
        ValueError: fewer than two subjects (leave-one-out is undefined), NaN without ``nan="omit"``.

    Reference: Nili et al. (2014), PLoS Comput Biol 10(4), e1003553, section on the noise ceiling.

    >>> subjects = RDMs(torch.tensor([[1.0, 2.0, 3.0], [1.0, 2.0, 3.0], [1.0, 3.0, 2.0]]))
    >>> [round(bound, 3) for bound in noise_ceiling(subjects, "spearman")]
    [0.744, 0.833]
    """
    subjects = as_rdms(subjects)
    values = subjects.values
    if len(values) < 2:
        raise ValueError(f"a noise ceiling compares subjects: got {len(values)} RDM, at least 2 are needed.")
    if nan == "omit":
        values, _ = without_nan(subjects, subjects, values, values, nan, method)
    else:
        _check_complete(subjects, ", or pass nan='omit'")
    comparison = COMPARISONS[method]
    parts = poolable(values, method, pooling, options)
    lower, upper = group_bounds(comparison, parts, values, parts.new_ones(len(parts)), options)
    if squared:
        upper, lower = upper.square(), lower.square()
    return NoiseCeiling(lower.mean().item(), upper.mean().item())


def group_bounds(
    comparison: Callable, parts: Tensor, values: Tensor, counts: Tensor, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    """Similarities (n_rdms,) of each RDM to the group RDM of the others, and to that of all.

    A group RDM is a mean, not a sum: a user's comparison may see the scale.

    Args:
        comparison: of ``COMPARISONS``.
        parts: (n_rdms, n_pairs), see ``poolable``.
        values: (n_rdms, n_pairs) RDMs.
        counts: (n_rdms,) how often each is in the group; at least once.
        options: of the comparison.
    """
    parts = parts * counts[:, None]
    total, n = parts.sum(0, keepdim=True), counts.sum()
    upper = comparison(total / n, values, **options)[0]
    if len(values) < 2:
        return torch.full_like(upper, torch.nan), upper
    lower = [
        comparison((total - part) / (n - count), value[None], **options)[0, 0]
        for part, count, value in zip(parts, counts, values, strict=True)
    ]
    return torch.stack(lower), upper


def pool(
    rdms: RDMs | Any, method: str = "spearman", *, pooling: str = "optimal", name: str = "group", **options: Any
) -> RDMs:
    """The group RDM that comes closest to all RDMs on average under a comparison.

    Args:
        rdms: several RDMs.
        method: name of a comparison.
        pooling: "optimal" or "mean", see ``noise_ceiling``.
        name: of the result.
        **options: of the comparison.

    >>> pool(torch.tensor([[1.0, 2.0, 30.0], [3.0, 1.0, 9.0]]), "spearman").values
    tensor([[1.5000, 1.5000, 3.0000]])
    """
    rdms = as_rdms(rdms)
    _check_complete(rdms)
    parts = poolable(rdms.values, method, pooling, options)
    return RDMs(parts.mean(0), f"{method} group of {rdms.metric}", (name,), rdms.conditions)


def explained(score: Any, ceiling: NoiseCeiling | Any, bound: str = "upper", floor: float = 0.0) -> Explained:
    """Scores divided by a noise ceiling; NaN where the ceiling is at or under the floor. Never clipped.

    Args:
        score: numbers or a tensor of scores.
        ceiling: a ``NoiseCeiling``, or the bound itself with the shape of ``score``.
        bound: "lower" or "upper", which bound of a ``NoiseCeiling`` is meant.
        floor: ceilings at or below it say that subjects do not agree: nothing is there to explain.

    >>> explained(0.2, NoiseCeiling(0.1, 0.4))
    Explained(value=tensor(0.5000), definition='score / upper noise ceiling')
    """
    if bound not in ("lower", "upper"):
        raise ValueError(f"bound must be 'lower' or 'upper', got {bound!r}.")
    limit = getattr(ceiling, bound) if isinstance(ceiling, NoiseCeiling) else ceiling
    score, limit = torch.as_tensor(score), torch.as_tensor(limit)
    value = score / torch.where(limit > floor, limit, torch.nan)
    return Explained(value, f"score / {bound} noise ceiling" + (f", NaN where it is <= {floor:g}" if floor else ""))


def reliability(
    rdms: RDMs | Any, method: str = "spearman", *, groups: Iterable | None = None, within: bool = True, **options: Any
) -> Reliability:
    """How far RDMs agree with one another: over subjects, or over the sessions of each subject.

    Args:
        rdms: one RDM per subject, or per subject and session.
        method: name of a comparison.
        groups: (n_rdms,) the subject of each RDM; without it all couples of RDMs count.
        within: with ``groups``, average couples of the same group (sessions of a subject); else couples of different
            groups (subjects, whatever the session).
        **options: of the comparison.

    Returns:
        mean: mean similarity over the couples.
        of_average: k r / (1 + (k - 1) r), the reliability of the average of k RDMs; k is the number of RDMs, of
            RDMs per group (``within``), or of groups.
        similarity: all couples, (n_rdms, n_rdms).

    Raises:
        ValueError: no couple of the kind asked for.

    >>> round(reliability(torch.tensor([[1.0, 2.0, 3.0], [1.0, 3.0, 2.0]])).mean, 4)
    0.5
    """
    rdms = as_rdms(rdms)
    _check_complete(rdms)
    similarity = COMPARISONS[method](rdms.values, rdms.values, **options)
    couples = ~torch.eye(len(rdms), dtype=torch.bool, device=similarity.device)
    size = float(len(rdms))
    if groups is not None:
        known, group_of = np.unique(np.asarray(groups), return_inverse=True)
        if group_of.shape != (len(rdms),):
            raise ValueError(f"groups {group_of.shape} must name the subject of each of the {len(rdms)} RDMs.")
        group_of = torch.from_numpy(group_of).to(similarity.device)
        same = group_of[:, None] == group_of[None]
        couples = couples & (same if within else ~same)
        size = len(rdms) / len(known) if within else float(len(known))
    if not bool(couples.any()):
        raise ValueError(
            f"no couple of RDMs {'within' if within else 'between'} groups among {len(rdms)}; give more RDMs."
        )
    mean = similarity[couples].mean().item()
    return Reliability(mean, size * mean / (1 + (size - 1) * mean), similarity)


# ---- the group RDM of each comparison -------------------------------------------------------------------------------


def _unit_mean_square(values: Tensor) -> Tensor:
    return unit(values) * values.shape[1] ** 0.5


def poolable(values: Tensor, method: str, pooling: str, options: dict[str, Any]) -> Tensor:
    """(n_rdms, n_pairs) whose mean is the group RDM."""
    if pooling == "mean":
        return values
    if pooling != "optimal":
        raise ValueError(f"pooling must be 'optimal' or 'mean', got {pooling!r}.")
    if method.startswith("whitened"):
        values = centred(values) if method == "whitened-pearson" else values
        return values / whitened(values, options.get("noise_covariance")).norm(dim=1, keepdim=True)
    return _POOLABLE[method](values) if method in _POOLABLE else values  # the mean does for one that nobody knows


_POOLABLE: dict[str, Callable[[Tensor], Tensor]] = {
    "cosine": _unit_mean_square,
    "procrustes": _unit_mean_square,
    "wasserstein": _unit_mean_square,
    "jensen-shannon": _unit_mean_square,
    "pearson": lambda values: unit(centred(values)),
    "regression": lambda values: unit(centred(values)),
    "spearman": rank,
    "rho-a": rank,
    "kendall": rank,
    "tau-a": rank,
    "cka": lambda values: values / u_centred(values).norm(dim=1, keepdim=True),
    "distance-correlation": lambda values: values / u_centred(values).norm(dim=1, keepdim=True),
}


def _check_complete(rdms: RDMs, otherwise: str = "") -> None:
    if bool(rdms.values.isnan().any()):
        bad = rdms.values.isnan().any(1).nonzero()[:, 0].tolist()
        names = ", ".join(repr(rdms.names[i]) for i in bad[:4])
        raise ValueError(
            f"RDM {names} holds NaN; drop its undefined conditions with .subset() first{otherwise and ', '}{otherwise}."
        )
