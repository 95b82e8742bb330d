"""Tests of RSA scores: random effects over subjects, permuted condition labels, and corrections for many of them.

Labels are permuted as conditions, rows and columns together: the entries of an RDM are not independent, and shuffling
them rejects noise far too often. Signs are never squared away.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet.rsa.comparisons import COMPARISONS
from brainnet.rsa.products import draw_orders, embed, is_product, permuted
from brainnet.scores import fdr

CORRECTIONS = ("holm", "fdr", "max", "none")
ALTERNATIVES = ("greater", "two-sided")
CHUNK = 2**24  # entries of a temporary


class Null(NamedTuple):
    """Observed statistics and what chance gives: the same permutations for every statistic, so maxima make sense."""

    observed: Tensor  # (...,)
    chance: Tensor  # (n_permutations, ...)
    exhaustive: bool  # every permutation is there, the observed one included


def permutation_null(
    models: Tensor,
    subjects: list[Tensor],
    method: str,
    n_permutations: int,
    generator: torch.Generator,
    **options: Any,
) -> Null:
    """Mean similarity of models to subjects when the models' condition labels are permuted.

    Args:
        models: (n_models, n_pairs).
        subjects: one (n_subjects, n_pairs) per ROI or time point; all see the same permutations.
        method: name of a comparison. Correlations are matrix products; others are computed permutation by permutation.
        n_permutations: how many.
        generator: draws them, on the CPU.
        **options: of the comparison.

    Returns:
        Statistics (n_cells, n_models), a cell per entry of ``subjects``.

    Raises:
        ValueError: a noise covariance over conditions: conditions with different noise are not exchangeable.
    """
    if "noise_covariance" in options:
        raise ValueError("conditions with a noise covariance are not exchangeable: permute without noise_covariance.")
    n_conditions = round((1 + (1 + 8 * models.shape[1]) ** 0.5) / 2)
    orders = draw_orders(n_conditions, n_permutations, generator)
    comparison = COMPARISONS[method]
    observed = torch.stack([comparison(models, cell, **options).mean(1) for cell in subjects])
    chance = observed.new_empty(n_permutations, *observed.shape)
    product = is_product(method, options)
    if product:
        own, cells = embed(models, method, {}), torch.stack([embed(cell, method, {}).mean(0) for cell in subjects])
    fewer_models = len(models) <= len(subjects)
    moved = len(models) if fewer_models or not product else len(subjects)
    step = max(1, CHUNK // (moved * models.shape[1]))
    for start in range(0, n_permutations, step):
        block = orders[start : start + step]
        if not product:
            shuffled = permuted(models, block).flatten(0, 1)  # (n_models * n_block, n_pairs)
            scores = [comparison(shuffled, cell, **options).mean(1).view(len(models), -1).T for cell in subjects]
            chance[start : start + step] = torch.stack(scores, dim=1)
        elif fewer_models:
            chance[start : start + step] = (permuted(own, block) @ cells.T).permute(1, 2, 0)
        else:
            chance[start : start + step] = (permuted(cells, block) @ own.T).permute(1, 0, 2)
    return Null(observed, chance, False)


def sign_flip_null(scores: Tensor, n_permutations: int, generator: torch.Generator) -> Null:
    """Student's t over subjects when each subject's score may as well have had the other sign.

    Args:
        scores: (..., n_subjects).
        n_permutations: draws; where 2^n_subjects is no more, every combination of signs is taken once.
        generator: draws the signs, on the CPU.

    Returns:
        t statistics (...,), comparable between cells, under the same signs for all.
    """
    signs, exhaustive = sign_flips(scores.shape[-1], n_permutations, generator)
    return Null(flipped_t(scores, torch.ones_like(signs[:1]))[0], flipped_t(scores, signs), exhaustive)


def sign_flips(n_subjects: int, n_permutations: int, generator: torch.Generator) -> tuple[Tensor, bool]:
    """Signs (n_permutations, n_subjects), and whether they are all there are, the observed ones first.

    >>> sign_flips(2, 100, torch.Generator())
    (tensor([[ 1,  1],
            [-1,  1],
            [ 1, -1],
            [-1, -1]]), True)
    """
    if n_permutations < 1:
        raise ValueError(f"n_permutations must be at least 1 sign flip, got {n_permutations}.")
    if n_subjects < 31 and 2**n_subjects <= n_permutations:
        bits = torch.arange(2**n_subjects)[:, None] >> torch.arange(n_subjects)[None]
        return 1 - 2 * (bits & 1), True
    return 2 * torch.randint(2, (n_permutations, n_subjects), generator=generator) - 1, False


def flipped_t(scores: Tensor, signs: Tensor) -> Tensor:
    """Student's t over subjects (n_permutations, ...) of scores (..., n_subjects) under signs."""
    n_subjects = scores.shape[-1]
    mean = torch.tensordot(signs.to(scores), scores, dims=([1], [scores.ndim - 1])) / n_subjects
    variance = (scores.square().mean(-1) - mean.square()).clamp(min=0) * n_subjects / (n_subjects - 1)
    return mean / (variance / n_subjects).sqrt()


def p_values(null: Null, alternative: str = "greater", family: bool = False) -> Tensor:
    """p-values of the observed statistics; ties with chance count against them, and p is never 0.

    Args:
        null: observed and chance statistics.
        alternative: "greater" or "two-sided".
        family: compare with the largest statistic over all cells, which controls the error of the whole family (each
            is standardized by its own chance distribution first, so that noisy cells do not set the bar for all).

    >>> null = Null(torch.tensor([2.0]), torch.tensor([[0.0], [1.0], [3.0]]), exhaustive=False)
    >>> p_values(null)
    tensor([0.5000], dtype=torch.float64)
    """
    check_alternative(alternative)
    observed, chance = null.observed.double(), null.chance.double()
    if family:
        everything = chance if null.exhaustive else torch.cat([observed[None], chance])  # else the observed is no equal
        centre, spread = everything.mean(0), everything.std(0)
        observed, chance = (observed - centre) / spread, (chance - centre) / spread
    if alternative == "two-sided":
        observed, chance = observed.abs(), chance.abs()
    if family:
        chance = chance.flatten(1).nan_to_num(nan=-torch.inf).amax(1).reshape(-1, *[1] * observed.ndim)
    slack = 1e-9 * observed.abs().clamp(min=1e-3)  # a permutation that leaves the statistic as it is must count
    reached = (chance >= observed - slack).sum(0).double()
    p = reached / len(chance) if null.exhaustive else (reached + 1) / (len(chance) + 1)
    return p.where(~observed.isnan(), torch.nan)


def t_test(mean: Tensor, standard_error: Tensor, dof: Tensor | float, alternative: str = "greater") -> Tensor:
    """p-values of ``mean / standard_error`` under Student's t; NaN where the standard error is 0 or unknown.

    >>> t_test(torch.tensor([2.0]), torch.tensor([1.0]), 10).round(decimals=4)
    tensor([0.0367], dtype=torch.float64)
    """
    from scipy.stats import t as student

    check_alternative(alternative)
    mean, standard_error = mean.double(), standard_error.double()
    dof = torch.as_tensor(dof).cpu().numpy()
    statistic = (mean / standard_error.masked_fill(standard_error == 0, torch.nan)).cpu().numpy()
    p = student.sf(statistic, dof) if alternative == "greater" else 2 * student.sf(abs(statistic), dof)
    return torch.as_tensor(p, dtype=torch.float64)


def holm(p: Any) -> Tensor:
    """Holm's adjusted p-values: any below q bounds the chance of a single false claim at q. NaN stay out of the family.

    >>> holm([0.01, 0.04, 0.03])
    tensor([0.0300, 0.0600, 0.0600], dtype=torch.float64)
    """
    p = torch.as_tensor(p, dtype=torch.float64)
    adjusted, known = torch.full_like(p, torch.nan), ~p.isnan()
    if bool(known.any()):
        ordered, order = p[known].sort()
        steps = torch.arange(len(ordered), 0, -1, dtype=p.dtype)
        stepped = (ordered * steps).cummax(0).values.clamp(max=1)
        adjusted[known] = torch.empty_like(ordered).scatter_(0, order, stepped)
    return adjusted


def corrected(p: Tensor, correction: str, null: Null | None = None, alternative: str = "greater") -> Tensor:
    """p-values corrected for their number: "holm", "fdr" (Benjamini-Hochberg), "max" (needs the null), or "none"."""
    if correction not in CORRECTIONS:
        raise ValueError(f"correction must be one of {', '.join(CORRECTIONS)}, got {correction!r}.")
    if correction == "max":
        if null is None:
            raise ValueError("correction='max' needs permuted statistics: use test='permutation' or 'sign-flip'.")
        return p_values(null, alternative, family=True).reshape(p.shape)
    flat = p.flatten()
    if correction == "holm":
        flat = holm(flat)
    elif correction == "fdr":
        flat = fdr(flat)
    return flat.reshape(p.shape)


def check_alternative(alternative: str) -> None:
    """Refuses a word that is no alternative hypothesis."""
    if alternative not in ALTERNATIVES:
        raise ValueError(f"alternative must be 'greater' or 'two-sided', got {alternative!r}.")
