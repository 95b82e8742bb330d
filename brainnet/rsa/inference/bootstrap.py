"""Bootstrap over subjects and conditions, as weights instead of copies.

A condition drawn m_i times makes the pair (i, j) count m_i m_j times; a condition's pair with its own copy says nothing
and is left out. So no resampled RDM is ever built: for correlations all resamples are a few matrix products, for rank
correlations the ranks are weighted ranks. The variances of the three bootstraps (subjects, conditions, both) are
combined as published, because the plain bootstrap over both counts the noise twice.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet.rsa.ceilings import group_bounds, poolable
from brainnet.rsa.comparisons import COMPARISONS, NEEDS_ALL_PAIRS
from brainnet.rsa.pairs import n_conditions_of, pairs_of, squareform
from brainnet.rsa.ranks import find_places, weighted_rank

LINEAR = ("cosine", "pearson", "whitened-cosine", "whitened-pearson")
RANKED = ("spearman", "rho-a")
CHUNK = 2**23  # float64 entries of a temporary: 64 MB
CACHED = 2**17  # float64 entries of a temporary that stays in cache: 1 MB


class Draws(NamedTuple):
    """How often each subject and each condition was drawn in each resample."""

    subjects: Tensor  # (n_resamples, n_subjects)
    conditions: Tensor  # (n_resamples, n_conditions)


class Resampled(NamedTuple):
    """What one bootstrap gave; NaN where a resample held too few subjects or conditions."""

    scores: Tensor  # (n_resamples, n_models), mean over the subjects drawn
    lower: Tensor  # (n_resamples,) noise ceiling
    upper: Tensor  # (n_resamples,)


class Bootstrap(NamedTuple):
    """The three bootstraps on the same draws."""

    both: Resampled
    subjects: Resampled
    conditions: Resampled


def bootstrap_draws(
    n_subjects: int, n_conditions: int, n_resamples: int = 1000, generator: torch.Generator | None = None
) -> Draws:
    """Counts of ``n_resamples`` draws with replacement of as many subjects and conditions as there are.

    >>> draws = bootstrap_draws(10, 92, 5, torch.Generator().manual_seed(0))
    >>> draws.subjects.sum(1).tolist(), draws.conditions.shape
    ([10.0, 10.0, 10.0, 10.0, 10.0], torch.Size([5, 92]))
    """

    def counts(size):
        drawn = torch.randint(size, (n_resamples, size), generator=generator)
        return torch.zeros(n_resamples, size, dtype=torch.float64).scatter_add_(
            1, drawn, torch.ones(drawn.shape).double()
        )

    return Draws(counts(n_subjects), counts(n_conditions))


def bootstrap(
    models: Tensor, subjects: Tensor, method: str, draws: Draws, ceilings: bool = True, **options: Any
) -> Bootstrap:
    """Scores of models and noise ceilings under resampling of subjects, conditions, and both at once.

    Args:
        models: (n_models, n_pairs).
        subjects: (n_subjects, n_pairs), no NaN.
        method: name of a comparison. Cosine, Pearson, their whitened forms (identity covariance) and rank correlations
            take the fast way; others over pairs are computed resample by resample.
        draws: see ``bootstrap_draws``.
        ceilings: whether noise ceilings are wanted; for rank correlations they cost four times the scores.
        **options: of the comparison.

    Returns:
        Float64 on the device of ``subjects``. Ceilings average over the different subjects in a resample, and leave all
        copies of a subject out together.

    Raises:
        ValueError: a comparison that has no meaning on resampled conditions (it needs every pair).

    Reference: Schuett et al. (2023), eLife 12, e82566.
    """
    models, subjects = models.double(), subjects.double()
    draws = Draws(*(counts.to(subjects) for counts in draws))
    if method in LINEAR and not options:
        return _bootstrap_linear(models, subjects, method, draws)
    if method in RANKED:
        return _bootstrap_ranked(models, subjects, method, draws, ceilings)
    if method in NEEDS_ALL_PAIRS:
        raise ValueError(
            f"{method!r} cannot be resampled over conditions: it needs every pair, and copies have none."
            " Use generalise='subjects', or 'whitened-cosine' without noise_covariance."
        )
    return _bootstrap_expanded(models, subjects, method, draws, options)


def contrast_variance(resampled: Bootstrap, contrasts: Tensor, n_subjects: int, n_conditions: int) -> Tensor:
    """Variances (n_contrasts,) of contrasts between models, generalizing to new subjects and new conditions.

    Args:
        resampled: the three bootstraps.
        contrasts: (n_contrasts, n_models); rows of the identity give the models themselves.
        n_subjects, n_conditions: of the sample, for the small-sample factors.

    Returns:
        s/(s-1) V_s + c/(c-1) V_c - sc/((s-1)(c-1)) (V_sc - V_s - V_c), held between the one-factor estimates and V_sc.

    Reference: Schuett et al. (2023), eLife 12, e82566, "Estimating the variance of model-performance estimates".
    """
    both, over_subjects, over_conditions = (_variance(arm.scores @ contrasts.T) for arm in resampled)
    a, b = n_subjects / (n_subjects - 1), n_conditions / (n_conditions - 1)
    variance = a * over_subjects + b * over_conditions - a * b * (both - over_subjects - over_conditions)
    floor = torch.maximum(a * over_subjects, b * over_conditions)
    return torch.minimum(torch.maximum(variance, floor), both)


def condition_variance(resampled: Bootstrap, contrasts: Tensor, n_conditions: int) -> Tensor:
    """Variances (n_contrasts,) of contrasts between models, generalizing to new conditions alone."""
    return n_conditions / (n_conditions - 1) * _variance(resampled.conditions.scores @ contrasts.T)


def _variance(values: Tensor) -> Tensor:
    complete = values[~values.isnan().any(1)]
    if len(complete) < 2:
        raise ValueError("fewer than two resamples hold enough subjects and conditions; more of either are needed.")
    return complete.var(0)


# ---- correlations: matrix products ----------------------------------------------------------------------------------


def _bootstrap_linear(models: Tensor, subjects: Tensor, method: str, draws: Draws) -> Bootstrap:
    every_condition = draws.conditions.new_ones(1, draws.conditions.shape[1])
    resampled = _similarities(models, subjects, method, draws.conditions)
    whole = _similarities(models, subjects, method, every_condition)
    every_subject = draws.subjects.new_ones(1, len(subjects))
    return Bootstrap(
        _summarise(*resampled, draws.subjects),
        _summarise(*(part.expand(len(draws.subjects), -1, -1) for part in whole), draws.subjects),
        _summarise(*resampled, every_subject.expand(len(draws.conditions), -1)),
    )


def _summarise(scores: Tensor, among: Tensor, counts: Tensor) -> Resampled:
    """Scores and ceilings from similarities (N, n_models, S) and, among subjects, (N, S, S), with counts (N, S).

    The group RDM is a sum of unit vectors, so its similarity to anything follows from those among the subjects.
    """
    mean = torch.einsum("nms,ns->nm", scores, counts) / counts.sum(1, keepdim=True)
    to_group = torch.einsum("nst,nt->ns", among, counts)
    squared_length = (to_group * counts).sum(1, keepdim=True)
    upper = to_group / squared_length.sqrt()
    left_out = squared_length - 2 * counts * to_group + counts.square()
    lower = (to_group - counts) / left_out.clamp(min=0).sqrt()
    drawn = counts > 0
    several = drawn.sum(1) > 1
    return Resampled(
        mean,
        _mean_where(lower, drawn).where(several, torch.nan),
        _mean_where(upper, drawn),
    )


def _mean_where(values: Tensor, mask: Tensor) -> Tensor:
    return values.where(mask, 0.0).sum(1) / mask.sum(1)


def _similarities(models: Tensor, subjects: Tensor, method: str, counts: Tensor) -> tuple[Tensor, Tensor]:
    """Model by subject (N, n_models, S) and subject by subject (N, S, S) similarities under condition counts (N, n)."""
    n_models, n_subjects = len(models), len(subjects)
    vectors = torch.cat([models, subjects])
    centred = method.endswith("pearson")
    if centred:
        vectors = vectors - vectors.mean(1, keepdim=True)  # near the resample's own mean: no digits lost below
    vectors = vectors / vectors.norm(dim=1, keepdim=True)
    row_a, row_b = _couples(n_models, n_subjects, vectors.device)
    products, sums, weight = _weighted_products(vectors, row_a, row_b, counts)
    mean = sums / weight if centred else None
    if centred:
        products = products - sums[:, row_a] * mean[:, row_b]
    if method.startswith("whitened"):
        products = products - _row_fit(vectors, mean, row_a, row_b, counts)
    enough = (counts > 0).sum(1) >= 3
    products[~enough] = torch.nan
    gram = products.new_empty(len(counts), len(vectors), len(vectors))
    gram[:, row_a, row_b] = gram[:, row_b, row_a] = products
    length = gram.diagonal(dim1=1, dim2=2).sqrt()
    length = length.masked_fill(length == 0, torch.nan)
    scores = gram[:, :n_models, n_models:] / length[:, :n_models, None] / length[:, None, n_models:]
    among = gram[:, n_models:, n_models:] / length[:, n_models:, None] / length[:, None, n_models:]
    return scores, among


def _couples(n_models: int, n_subjects: int, device: torch.device) -> tuple[Tensor, Tensor]:
    """Rows to multiply: each model with itself and every subject, every subject with itself and the later ones."""
    own = torch.arange(n_models, device=device)
    model, subject = torch.cartesian_prod(own, torch.arange(n_subjects, device=device) + n_models).T.reshape(2, -1)
    first, second = torch.triu_indices(n_subjects, n_subjects, device=device) + n_models
    return torch.cat([own, model, first]), torch.cat([own, subject, second])


def _weighted_products(vectors: Tensor, row_a: Tensor, row_b: Tensor, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Weighted sums of products (N, n_couples), of entries (N, n_vectors), and of the weights (N, 1).

    Accumulated over blocks of pairs, so that every product is taken once and memory stays bounded.
    """
    rows, columns = pairs_of(counts.shape[1], vectors.device)
    products = vectors.new_zeros(len(counts), len(row_a))
    sums, weight = vectors.new_zeros(len(counts), len(vectors)), vectors.new_zeros(len(counts), 1)
    by_condition = counts.T.contiguous()
    step = max(1, CHUNK // (len(counts) + len(row_a)))
    for start in range(0, len(rows), step):
        block = slice(start, start + step)
        weights = by_condition[rows[block]] * by_condition[columns[block]]  # (pairs, N): whole rows are copied
        part = vectors[:, block]
        products += ((part[row_a] * part[row_b]) @ weights).T
        sums += (part @ weights).T
        weight += weights.sum(0)[:, None]
    return products, sums, weight


def _row_fit(vectors: Tensor, mean: Tensor | None, row_a: Tensor, row_b: Tensor, counts: Tensor) -> Tensor:
    """What double centering takes from the products (N, n_couples), where pairs of copies are missing.

    The least-squares fit g_ij = a_i + a_j over existing pairs (counted twice, as both (i, j) and (j, i)) and over the
    diagonal, which is zero; its normal equations are diagonal plus rank one.
    """
    total = counts.sum(1, keepdim=True)  # (N, 1)
    scale = counts / (total - 2 * counts + 2)
    correction = 1 + scale.sum(1)
    fit = vectors.new_empty(len(counts), len(row_a))
    square = squareform(vectors)
    step = max(1, CHUNK // (len(vectors) * counts.shape[1]))
    for start in range(0, len(counts), step):
        block = slice(start, start + step)
        sums = torch.einsum("kij,nj->nki", square, counts[block])
        if mean is not None:
            sums = sums - mean[block, :, None] * (total[block] - counts[block])[:, None]
        scaled = sums * scale[block, None]
        gram = scaled @ sums.mT
        whole = scaled.sum(2)
        gram = gram - whole[:, :, None] * whole[:, None, :] / correction[block, None, None]
        fit[block] = gram[:, row_a, row_b]
    return fit


# ---- rank correlations: weighted ranks ------------------------------------------------------------------------------


def _bootstrap_ranked(models: Tensor, subjects: Tensor, method: str, draws: Draws, ceilings: bool) -> Bootstrap:
    """Resample by resample, over the pairs of the conditions drawn: two of five, and few enough to stay in cache."""
    places = find_places(torch.cat([models, subjects]))
    rows, columns = pairs_of(draws.conditions.shape[1], subjects.device)
    n_models = len(models)

    def resampled(conditions: Tensor, blocks: Iterable[Tensor]) -> Resampled:
        """Under condition counts (n,), for blocks of several subject counts (A, S)."""
        weights = conditions.index_select(0, rows) * conditions.index_select(0, columns)
        seen = weights.nonzero()[:, 0]
        ranks = places.ranks(weights, seen)
        weights = weights.index_select(0, seen)
        total = float(weights.sum())
        unit = (ranks - (total + 1) / 2).mul_(_rank_scale(torch.linalg.vecdot(ranks * weights, ranks), total, method))
        similarity = (unit[:n_models] * weights) @ unit[n_models:].T
        if int((conditions > 0).sum()) < 3:
            similarity[:] = torch.nan
        found = []
        for counts in blocks:
            missing = counts.new_full((len(counts),), torch.nan)
            bounds = (missing, missing)
            if ceilings:
                bounds = _rank_ceilings(ranks[n_models:], unit[n_models:], weights, counts, method)
            found.append(Resampled((counts @ similarity.T) / counts.sum(1, keepdim=True), *bounds))
        return Resampled(*map(torch.cat, zip(*found, strict=True)))

    everybody = torch.ones_like(draws.subjects[0])
    pairs = [
        resampled(conditions, [torch.stack([counts, everybody])])
        for counts, conditions in zip(draws.subjects, draws.conditions, strict=True)
    ]
    both, over_conditions = (
        Resampled(*(torch.stack([part[arm] for part in parts]) for parts in zip(*pairs, strict=True))) for arm in (0, 1)
    )
    step = max(1, CACHED // ((1 + len(subjects)) * subjects.shape[1]))
    over_subjects = resampled(torch.ones_like(draws.conditions[0]), draws.subjects.split(step))
    return Bootstrap(both, over_subjects, over_conditions)


def _rank_scale(squares: Tensor, total: float, method: str) -> Tensor:
    """What centered ranks are multiplied by, (K, 1), so that their weighted products are scores.

    Args:
        squares: (K,) weighted sums of squared ranks.
        total: sum of the weights.
        method: "spearman" or "rho-a".
    """
    if method == "rho-a":
        return torch.full_like(squares, 12 / (total**3 - total) if total > 1 else torch.nan).sqrt_()[:, None]
    return squares.sub(total * ((total + 1) / 2) ** 2).rsqrt_()[:, None]


def _rank_ceilings(ranks: Tensor, unit: Tensor, weights: Tensor, counts: Tensor, method: str) -> tuple[Tensor, Tensor]:
    """Bounds (A,) from the subjects' ranks (S, P), also centered and scaled: the sum of ranks is ranked again.

    The group without a subject is ranked only where that subject was drawn.
    """
    total = float(weights.sum())
    once = total == len(weights)  # weights are whole and none is 0
    case, subject = counts.nonzero(as_tuple=True)
    members = torch.cat([counts, counts[case].scatter_(1, subject[:, None], 0)])
    if once and bool((ranks == ranks.floor()).all()):
        pooled = weighted_rank(members @ ranks)
    else:
        pooled = weighted_rank(members.mul_(2) @ ranks, None if once else weights)  # twice: ranks are halves
    weighted = pooled if once else pooled * weights
    scale = _rank_scale(torch.linalg.vecdot(weighted, pooled), total, method)
    similarity = weighted[: len(counts)] @ unit.T * scale[: len(counts)]  # units are centered: pooled ranks need not be
    upper = _mean_where(similarity, counts > 0)
    own = torch.linalg.vecdot(weighted[len(counts) :], unit.index_select(0, subject)) * scale[len(counts) :, 0]
    lower = torch.zeros_like(upper).index_add_(0, case, own)
    n_drawn = (counts > 0).sum(1)
    return (lower / n_drawn).where(n_drawn > 1, torch.nan), upper


# ---- everything else: resample by resample --------------------------------------------------------------------------


def _bootstrap_expanded(
    models: Tensor, subjects: Tensor, method: str, draws: Draws, options: dict[str, Any]
) -> Bootstrap:
    comparison = COMPARISONS[method]
    rows, columns = pairs_of(n_conditions_of(subjects.shape[1]), subjects.device)
    everybody = draws.subjects.new_ones(len(subjects))

    def one(index: Tensor | None, counts: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        a, b = (models, subjects) if index is None else (models[:, index], subjects[:, index])
        scores = comparison(a, b, **options) @ counts / counts.sum()
        return scores, *_expanded_ceiling(comparison, b, counts, method, options)

    arms: list[list] = [[], [], []]
    for counts, conditions in zip(draws.subjects, draws.conditions, strict=True):
        index = torch.arange(len(rows), device=rows.device).repeat_interleave(
            (conditions[rows] * conditions[columns]).long()
        )
        usable = int((conditions > 0).sum()) >= 3
        nothing = (models.new_full((len(models),), torch.nan), *models.new_full((2,), torch.nan))
        arms[0].append(one(index, counts) if usable else nothing)
        arms[1].append(one(None, counts))
        arms[2].append(one(index, everybody) if usable else nothing)
    return Bootstrap(*(Resampled(*map(torch.stack, zip(*arm, strict=True))) for arm in arms))


def _expanded_ceiling(
    comparison: Callable, values: Tensor, counts: Tensor, method: str, options: dict[str, Any]
) -> tuple[Tensor, Tensor]:
    drawn = (counts > 0).nonzero()[:, 0]
    parts = poolable(values[drawn], method, "optimal", options)
    lower, upper = group_bounds(comparison, parts, values[drawn], counts[drawn], options)
    return lower.mean(), upper.mean()
