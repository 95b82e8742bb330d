"""Weighted RSA: how well the best mixture of component RDMs matches the brain, judged where it was not fitted.

Components are RDMs of layers, of feature groups or of single features (``feature_rdms``). Their weights are fitted on
some conditions of some subjects, and the mixture is compared with other conditions of another subject: flexible weights
can then follow neither the noise of the stimuli nor that of a person. Chance comes from permuting condition labels and
fitting anew, because scores of subjects that share weights are not independent, as a t-test would need.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brainnet._work import progress as progress_bar
from brainnet.rsa.ceilings import NoiseCeiling, noise_ceiling
from brainnet.rsa.checks import as_float_tensor
from brainnet.rsa.mixing.fitting import (
    PENALTIES,
    Split,
    check_usable,
    check_weights,
    condition_splits,
    fit,
    p_value,
    whole,
    z_scored,
)
from brainnet.rsa.pairs import pairs_of
from brainnet.rsa.products import PRODUCTS, draw_orders, embed, permuted
from brainnet.rsa.rdms import RDMs, align_conditions, as_rdms

TARGETS_AT_ONCE = 2**25  # float64 entries of permuted RDMs: 256 MB


@dataclass(frozen=True, eq=False)
class WeightedRSA:
    """What a weighted mixture of RDMs achieves.

    Args:
        score: (n_subjects,) similarity of the mixture with each subject on held-out conditions, mean over splits.
        unweighted: (n_subjects,) the same of the plain mean of the z-scored components: what weighting is worth.
        ceiling: noise ceiling on the same held-out conditions; NaN for one subject.
        weights: (n_components,) of z-scored components, fitted to the mean subject on all conditions; for reading only.
        weights_spread: (n_components,) standard deviation over splits of the weights of the mean subject.
        p: of the mean score over subjects, one-sided, by permutation of condition labels; None without permutations.
        null: (n_permutations,) mean scores under permutation.
        components: names.

    >>> rng = torch.Generator().manual_seed(0)
    >>> parts = torch.rand(2, 66, generator=rng)
    >>> subjects = parts[:1] + 0.1 * torch.rand(3, 66, generator=rng)    # the second part is in no brain
    >>> found = weighted_rsa(parts, subjects, generator=rng, progress=False)
    >>> round(found.mean, 2), round(found.unweighted.mean().item(), 2)    # what weighting is worth
    (0.99, 0.64)
    """

    score: Tensor
    unweighted: Tensor
    ceiling: NoiseCeiling
    weights: Tensor
    weights_spread: Tensor
    p: float | None
    null: Tensor
    components: tuple[str, ...]

    @property
    def mean(self) -> float:
        """Mean score over subjects."""
        return self.score.mean().item()

    def __repr__(self) -> str:
        p = "" if self.p is None else f", p = {self.p:.3g}"
        return f"WeightedRSA({len(self.components)} components, mean score {self.mean:.3f}{p})"


def weighted_rsa(
    components: RDMs | Any,
    subjects: RDMs | Any,
    *,
    weights: str = "nonnegative",
    method: str = "pearson",
    over_subjects: bool = True,
    n_folds: int = 3,
    n_repeats: int = 4,
    penalties: tuple[float, ...] = PENALTIES,
    n_permutations: int = 0,
    generator: torch.Generator,
    progress: bool = True,
) -> WeightedRSA:
    """Cross-validated similarity of the best mixture of component RDMs with every subject's RDM.

    Args:
        components: RDMs to mix, z-scored first; see :func:`feature_rdms` for one per feature.
        subjects: one RDM per subject over the same conditions.
        weights: "nonnegative" (the mixture is a distance again), "ridge" (the penalty of each fit chosen by inner
            cross-validation over its training conditions) or "ols".
        method: comparison on held-out pairs: "pearson", "spearman", "rho-a", "cosine", "cka".
        over_subjects: fit on the mean of the other subjects (at least two are needed), not on the subject itself.
        n_folds, n_repeats: parts the conditions are cut into, and how often anew; each part needs four conditions.
        penalties: of the ridge, relative to the mean sum of squares of the components.
        n_permutations: label permutations of all subjects alike, each fitted anew; 0 tests nothing.
        generator: a seeded CPU generator of splits and permutations.
        progress: show a progress bar.

    Raises:
        ValueError: NaN or constant RDMs, other conditions, one subject with ``over_subjects``, folds too small.

    Reference: Khaligh-Razavi and Kriegeskorte (2014), PLoS Comput Biol 10(11), e1003915; Kaniuth and Hebart (2022),
        NeuroImage 257, 119294.

    >>> rng = torch.Generator().manual_seed(0)
    >>> parts = torch.rand(2, 66, generator=rng)
    >>> weighted_rsa(parts, parts[:1] + 0.1 * torch.rand(3, 66, generator=rng), generator=rng, progress=False)
    WeightedRSA(2 components, mean score 0.993)
    """
    check_weights(weights)
    if method not in PRODUCTS:
        raise ValueError(f"method must be one of {', '.join(PRODUCTS)} for fitted models, got {method!r}.")
    components, subjects = align_conditions(as_rdms(components), as_rdms(subjects))
    for rdms in (components, subjects):
        check_usable(rdms)
    if over_subjects and len(subjects) < 2:
        raise ValueError(
            "weights are fitted on other subjects, but there is one: pass over_subjects=False to fit and test on the"
            " same subject's separate conditions."
        )
    n = components.n_conditions
    splits = condition_splits(n, n_folds, n_repeats, generator)
    x, y = z_scored(components.values), z_scored(subjects.values).to(components.values.device)
    target = (y.sum(0) - y) / (len(y) - 1) if over_subjects else y

    def mean_scores(moved_target: Tensor, moved_y: Tensor) -> Tensor:
        return torch.stack([_held_out(x, moved_target, moved_y, s, weights, method, penalties) for s in splits]).mean(0)

    score = mean_scores(target, y)
    null, at_once = [], max(1, TARGETS_AT_ONCE // (2 * y.numel()))
    parts = draw_orders(n, n_permutations, generator).split(at_once) if n_permutations else ()
    for part in progress_bar(parts, f"{n_permutations:,} permutations", len(parts), progress):
        moved = [permuted(values, part).transpose(0, 1).flatten(0, 1) for values in (target, y)]
        null.append(mean_scores(*moved).view(len(part), -1).mean(1))
    null = torch.cat(null) if null else y.new_empty(0)
    group = y.mean(0, keepdim=True)
    fits = [fit(x, group, split, weights, penalties) for split in splits]
    return WeightedRSA(
        score,
        torch.stack([_similarity(x.mean(0, keepdim=True), y, s, method) for s in splits]).mean(0),
        _ceiling(subjects, splits, method),
        fit(x, group, whole(n, generator), weights, penalties).weights[0],
        torch.cat([f.weights for f in fits]).std(0),
        p_value(score.mean(), null) if n_permutations else None,
        null,
        components.names,
    )


def feature_rdms(features: Any, conditions: Any = None) -> RDMs:
    """One RDM per feature, the squared differences of its values: the components of feature-reweighted RSA.

    Features are divided by their standard deviation over conditions first, so that weights compare; features without
    variance are left out. A weighted sum of these RDMs is the squared Euclidean distance of reweighted features.

    Args:
        features: (n_conditions, n_features).
        conditions: names of the rows.

    >>> feature_rdms(torch.tensor([[0.0, 5.0], [1.0, 5.0], [3.0, 5.0]])).names
    ('0',)
    """
    features = as_float_tensor(features, "features")
    if features.ndim != 2 or not bool(features.isfinite().all()):
        raise ValueError(f"features must be finite (n_conditions, n_features), got {tuple(features.shape)}.")
    spread = features.std(0)
    varies = (spread > 0).nonzero()[:, 0]
    scaled = features[:, varies] / spread[varies]
    rows, columns = pairs_of(len(features), features.device)
    return RDMs(
        (scaled[rows] - scaled[columns]).square().T.contiguous(),
        "squared difference",
        tuple(map(str, varies.tolist())),
        None if conditions is None else tuple(conditions),
    )


# ---- pieces -------------------------------------------------------------------------------------------------------


def _held_out(x, target, y, split: Split, weights: str, method: str, penalties) -> Tensor:
    """(n_targets,) similarity of each fit's prediction with its own held-out RDM; 0 where it predicts no difference."""
    test = split.pairs_of_test(x)
    prediction = fit(x, target, split, weights, penalties).predict(x[:, test])
    return _rowwise(prediction, y[:, test], method)


def _similarity(model: Tensor, y: Tensor, split: Split, method: str) -> Tensor:
    test = split.pairs_of_test(model)
    return _rowwise(model[:, test].expand(len(y), -1), y[:, test], method)


def _rowwise(a: Tensor, b: Tensor, method: str) -> Tensor:
    flat = (a.amax(1) - a.amin(1)) <= 1e-12 * a.abs().amax(1)  # all weights zero: a model without an opinion
    return (embed(a, method, {}) * embed(b, method, {})).sum(1).masked_fill(flat, 0.0)


def _ceiling(subjects: RDMs, splits: list[Split], method: str) -> NoiseCeiling:
    if len(subjects) < 2:
        return NoiseCeiling(float("nan"), float("nan"))
    bounds = [noise_ceiling(subjects.subset(split.test.tolist()), method) for split in splits]
    return NoiseCeiling(*(sum(side) / len(splits) for side in zip(*bounds, strict=True)))
