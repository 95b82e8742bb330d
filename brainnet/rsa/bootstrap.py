"""Bootstrap over subjects and conditions, as weights instead of copies.

A condition drawn m_i times makes the pair (i, j) count m_i m_j times; a condition's pair with its own copy says nothing
and is left out. So no resampled RDM is ever built: for correlations all resamples are a few matrix products, for rank
correlations the ranks are weighted ranks. The variances of the three bootstraps (subjects, conditions, both) are
combined as published, because the plain bootstrap over both counts the noise twice.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet.rsa.ceilings import _poolable
from brainnet.rsa.compare import COMPARISONS, NEEDS_ALL_PAIRS
from brainnet.rsa.rdms import n_conditions_of, pairs_of, squareform
from brainnet.rsa.weights import RankPlan, weighted_rank

LINEAR = ("cosine", "pearson", "whitened-cosine", "whitened-pearson")
RANKED = ("spearman", "rho-a")
CHUNK = 2**23  # float64 entries of a temporary: 64 MB


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
        ceilings: whether noise ceilings are wanted; for rank correlations they cost ten times the scores.
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
    """Variances (n_contrasts,) of contrasts between models, generalising to new subjects and new conditions.

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
    """Variances (n_contrasts,) of contrasts between models, generalising to new conditions alone."""
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
    """What double centring takes from the products (N, n_couples), where pairs of copies are missing.

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
    plans = [RankPlan(values) for values in torch.cat([models, subjects])]
    n_models, n_resamples = len(models), len(draws.conditions)

    def arms(conditions: Tensor, *subject_counts: Tensor) -> list[Resampled]:
        """One arm per set of subject counts (N, S), all under the same condition counts (N or 1, n)."""
        rows, columns = pairs_of(conditions.shape[1], subjects.device)
        weights = conditions[:, rows] * conditions[:, columns]
        ranks = torch.stack([plan.ranks(weights) for plan in plans], dim=1)
        ranks -= (weights.sum(1)[:, None, None] + 1) / 2
        own, among = ranks[:, :n_models], ranks[:, n_models:]
        scale = _rank_scale(among, weights, method)
        similarity = (
            _rank_scale(own, weights, method)[..., None] * scale[:, None] * ((own * weights[:, None]) @ among.mT)
        )
        similarity[(conditions > 0).sum(1) < 3] = torch.nan
        found = []
        for counts in subject_counts:
            scores = torch.einsum("nms,ns->nm", similarity.expand(len(counts), -1, -1), counts) / counts.sum(
                1, keepdim=True
            )
            missing = scores.new_full((len(counts),), torch.nan)
            bounds = _rank_ceilings(among, scale, weights, counts, method) if ceilings else (missing, missing)
            found.append(Resampled(scores, *bounds))
        return found

    everybody = torch.ones_like(draws.subjects)
    step = max(1, CHUNK // ((len(plans) + 2 * len(subjects)) * subjects.shape[1]))
    blocks = [slice(start, start + step) for start in range(0, n_resamples, step)]
    both, over_conditions = zip(
        *(arms(draws.conditions[b], draws.subjects[b], everybody[b]) for b in blocks), strict=True
    )
    whole = torch.ones_like(draws.conditions[:1])
    over_subjects = [arms(whole, draws.subjects[b])[0] for b in blocks]
    return Bootstrap(
        *(Resampled(*map(torch.cat, zip(*arm, strict=True))) for arm in (both, over_subjects, over_conditions))
    )


def _rank_scale(centred: Tensor, weights: Tensor, method: str) -> Tensor:
    """What a weighted product of centred ranks (N, K, P) is divided by for each factor, as a multiplier (N, K)."""
    if method == "rho-a":
        total = weights.sum(1, keepdim=True)
        return (12 / (total**3 - total)).sqrt().expand(centred.shape[:2])
    return (centred.square() @ weights[..., None])[..., 0].rsqrt()


def _rank_ceilings(among: Tensor, scale: Tensor, weights: Tensor, counts: Tensor, method: str) -> tuple[Tensor, Tensor]:
    """Bounds (N,) from the subjects' centred ranks (N or 1, S, P): the sum of ranks is ranked again."""
    multiples = among * counts[:, :, None]
    group = multiples.sum(1, keepdim=True)
    weights = weights.expand(len(counts), -1)
    pooled = weighted_rank(torch.cat([group, group - multiples], dim=1), weights[:, None])  # of all, and without each
    pooled -= (weights.sum(1)[:, None, None] + 1) / 2
    pooled_scale = _rank_scale(pooled, weights, method)
    pooled *= weights[:, None]
    upper = (pooled[:, :1] * among).sum(2) * scale * pooled_scale[:, :1]
    lower = (pooled[:, 1:] * among).sum(2) * scale * pooled_scale[:, 1:]
    drawn = counts > 0
    return _mean_where(lower, drawn).where(drawn.sum(1) > 1, torch.nan), _mean_where(upper, drawn)


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
    parts = _poolable(values[drawn], method, "optimal", options) * counts[drawn, None]
    group = parts.sum(0, keepdim=True)
    upper = comparison(group, values[drawn], **options)[0].mean()
    if len(drawn) < 2:
        return upper.new_tensor(torch.nan), upper
    lower = [
        comparison(group - part, values[i : i + 1], **options)[0, 0]
        for part, i in zip(parts, drawn.tolist(), strict=True)
    ]
    return torch.stack(lower).mean(), upper
