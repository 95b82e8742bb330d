"""Standard errors over subjects and conditions from variance components, without resampling.

A score is a mean over pairs of conditions and over subjects. Each pair's influence on it splits into a part of either
condition and a rest, and both again into what subjects share and what is theirs: a random-effects table whose mean
squares give the variance over new subjects and new conditions. Unlike a bootstrap of conditions it stays right where
a model and a brain share nothing: there the parts of single conditions vanish, and drawing conditions with
replacement, which weighs pairs by products of counts, overstates the variance about threefold.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor

from brainnet.rsa.pairs import n_conditions_of, squareform
from brainnet.rsa.products import PRODUCTS, embed

# Whitening moves most of a condition's part into single pairs, where its mean is kept: pairs no longer tell it.
KNOWN = tuple(method for method in PRODUCTS if method != "whitened-cosine")
# Differences of mean squares are unbiased but can come out near 0, where a t test would reject too often. The floors
# below were chosen by simulation: over 45 settings (10 to 40 conditions, 5 to 30 subjects; noise, structure shared by
# subjects alone, and equally good models) tests at .05 then reject between .029 and .072, .050 on average.
LEAST_CONDITIONS = 0.7  # of the variance that single pairs alone leave: what the parts of conditions may take away
LEAST_BOTH = 0.5  # of the larger of the variances over subjects and over conditions


class Components(NamedTuple):
    """Covariances (n_models, n_models) between the scores of models, over repetitions of the study.

    ``subjects``: with new subjects and the same conditions. ``conditions``: with new conditions and the same subjects;
    ``pairs``: what of it is left without parts of single conditions. ``shared``: what subjects and conditions both
    contain, the part of single subjects in single conditions.
    """

    subjects: Tensor
    conditions: Tensor
    pairs: Tensor
    shared: Tensor
    n_subjects: int
    n_conditions: int


def variance_components(models: Tensor, subjects: Tensor, method: str) -> Components:
    """Covariances of model scores over new subjects and new conditions.

    Args:
        models: (n_models, n_pairs), none constant.
        subjects: (n_subjects, n_pairs); for one subject, parts over subjects are NaN.
        method: a comparison that is a product of vectors of pairs, one of ``KNOWN``.

    Returns:
        Components in float64 on the device of ``subjects``.

    Raises:
        ValueError: another comparison, or fewer than 4 conditions.

    Notes:
        With z scaled to a mean square of 1, the score is the mean of z_m z_s over pairs and the influence of a pair on
        it z_m z_s - r (z_m^2 + z_s^2) / 2. Influences h_ij are split into a_i + a_j + e_ij by least squares; the
        variance of their mean over new conditions is 4 var(a) / n + var(e) / n_pairs, unbiased in both parts.
    """
    if method not in KNOWN:
        raise ValueError(
            f"variance components are known for {', '.join(KNOWN)}, not for {method!r}: use errors='bootstrap'."
        )
    models, subjects = (_mean_square_one(embed(x.double(), method, {})) for x in (models, subjects))
    n_pairs, n_subjects = subjects.shape[1], len(subjects)
    n = n_conditions_of(n_pairs)
    if n < 4:
        raise ValueError(f"variance over conditions needs at least 4 conditions, got {n}.")
    scores = models @ subjects.T / n_pairs
    squares = models.square()
    mean_influence, single = torch.zeros_like(models), models.new_zeros(len(models), len(models))
    for s, subject in enumerate(subjects):
        influence = models * subject - scores[:, s, None] / 2 * (squares + subject.square())
        single += sum(_variance_of_mean(influence, n))
        mean_influence += influence / n_subjects
    of_conditions, of_pairs = _variance_of_mean(mean_influence, n)
    over_conditions = of_conditions + of_pairs
    if n_subjects == 1:
        unknown = torch.full_like(over_conditions, torch.nan)
        return Components(unknown, over_conditions, of_pairs, unknown, 1, n)
    shared = (single / n_subjects - over_conditions) / (n_subjects - 1)
    deviations = scores - scores.mean(1, keepdim=True)
    over_subjects = deviations @ deviations.T / (n_subjects * (n_subjects - 1))
    return Components(over_subjects, over_conditions, of_pairs, shared, n_subjects, n)


def component_error(components: Components, contrasts: Tensor, generalise: str) -> tuple[Tensor, Tensor]:
    """Standard errors and degrees of freedom (n_contrasts,) of contrasts between models.

    Args:
        components: from ``variance_components``.
        contrasts: (n_contrasts, n_models).
        generalise: "both" or "conditions".

    Returns:
        Standard errors, and Satterthwaite's degrees of freedom, at least those of the smaller sample.
    """
    contrasts = contrasts.to(components.conditions)
    matrices = (components.subjects, components.conditions, components.pairs, components.shared)
    over_subjects, over_conditions, pairs, shared = (
        torch.einsum("ki,ij,kj->k", contrasts, matrix, contrasts) for matrix in matrices
    )
    over_conditions = torch.maximum(over_conditions, LEAST_CONDITIONS * pairs).clamp(min=0)
    of_subjects, of_conditions = components.n_subjects - 1, components.n_conditions - 1
    if generalise == "conditions":
        return over_conditions.sqrt(), torch.full_like(over_conditions, of_conditions)
    floor = LEAST_BOTH * torch.maximum(over_subjects, over_conditions)
    variance = torch.maximum(over_subjects + over_conditions - shared, floor)
    own = (over_conditions - shared).clamp(min=0)
    dof = variance.square() / (over_subjects.square() / of_subjects + own.square() / of_conditions)
    return variance.sqrt(), dof.clamp(min=min(of_subjects, of_conditions))


def _mean_square_one(values: Tensor) -> Tensor:
    return values / values.square().mean(1, keepdim=True).sqrt()


def _variance_of_mean(influence: Tensor, n: int) -> tuple[Tensor, Tensor]:
    """Covariances (K, K) over new conditions of the means of influences (K, n_pairs): of conditions, and of pairs."""
    n_pairs = influence.shape[1]
    rows = squareform(influence).sum(-1)  # (K, n), summing to 0
    of_rows = rows @ rows.T / (n - 2)  # sum of squares of the fit a_i + a_j, a = rows / (n - 2)
    rest = (influence @ influence.T - of_rows) / (n_pairs - n)
    condition = (of_rows / (n - 1) - rest) / (n - 2)
    return 4 / n * condition, rest / n_pairs
