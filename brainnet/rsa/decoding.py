"""Decoding accuracy as a dissimilarity: how well two conditions can be told apart from single trials.

Every pair of conditions gets a cross-validated linear discriminant; every trial is tested once and none is thrown
away, whatever the counts per condition.
"""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
import torch
from torch import Tensor

from brainnet.rsa.checks import in_order
from brainnet.rsa.distances import BLOCK_BYTES, DISTANCES
from brainnet.rsa.pairs import pairs_of


@DISTANCES.register("decoding")  # takes trials instead of patterns
def decoding(
    trials: Tensor,
    labels: Iterable,
    runs: Iterable | None = None,
    folds: int = 5,
    shrinkage: float | str = "auto",
    covariance: str = "pair",
    generator: torch.Generator | None = None,
) -> Tensor:
    """Cross-validated accuracy of pairwise linear discriminants, in [0, 1] with chance at 0.5.

    Accuracies of the two conditions are averaged, so unequal numbers of trials do not move chance.

    Args:
        trials: (B, n_trials, F), B time points or ROIs.
        labels: (n_trials,) the condition of each trial; conditions come out sorted as a person counts.
        runs: (n_trials,) folds to leave out in turn; by default the trials of each condition are dealt into
            ``folds`` folds in order, or in the random order of ``generator``.
        folds: number of folds, at most the smallest number of trials of a condition.
        shrinkage: of each condition's covariance: "auto" (Ledoit-Wolf on standardized features) or a weight in [0, 1]
            towards its mean variance.
        covariance: "pair" estimates it from the two conditions at hand (the standard discriminant); "pooled" from
            all conditions at once: one factorization instead of n_pairs, and far more data.
        generator: deals the folds at random.

    Returns:
        Accuracies (B, n_pairs).

    Raises:
        ValueError: a condition with fewer than two trials, or absent outside one of the runs.
    """
    labels = np.asarray(labels)
    if labels.shape != (trials.shape[1],):
        raise ValueError(f"labels {labels.shape} must name each of the {trials.shape[1]} trials.")
    if covariance not in ("pair", "pooled"):
        raise ValueError(f"covariance must be 'pair' or 'pooled', got {covariance!r}.")
    if shrinkage != "auto" and not (isinstance(shrinkage, (int, float)) and 0 <= shrinkage <= 1):
        raise ValueError(f"shrinkage must be 'auto' or a weight in [0, 1], got {shrinkage!r}.")
    known, class_of = in_order(labels)
    if len(known) < 2:
        raise ValueError(f"decoding needs at least 2 conditions, got {len(known)}.")
    fold_of = _deal(class_of, known, runs, folds, generator)
    class_of = torch.from_numpy(class_of).to(trials.device)
    counts = torch.bincount(class_of).to(trials)
    hits = trials.new_zeros(len(trials), len(known), len(known))  # [b, i, j]: trials of i called i rather than j
    for fold in np.unique(fold_of):
        test = torch.from_numpy(fold_of == fold).to(trials.device)
        for b, sample in enumerate(trials):
            hits[b] += _hits(
                sample[~test], class_of[~test], sample[test], class_of[test], len(known), shrinkage, covariance
            )
    rates = hits / counts[:, None]
    rows, columns = pairs_of(len(known), trials.device)
    return (rates[:, rows, columns] + rates[:, columns, rows]) / 2


def _deal(class_of: np.ndarray, known: np.ndarray, runs: Iterable | None, folds: int, generator) -> np.ndarray:
    counts = np.bincount(class_of)
    if counts.min() < 2:
        raise ValueError(f"condition {str(known[counts.argmin()])!r} has a single trial; decoding needs at least 2.")
    if runs is not None:
        fold_of = np.unique(np.asarray(runs), return_inverse=True)[1]
        if fold_of.shape != class_of.shape:
            raise ValueError(f"runs {fold_of.shape} must name each of the {len(class_of)} trials.")
        for fold in range(fold_of.max() + 1):
            missing = np.setdiff1d(np.arange(len(known)), class_of[fold_of != fold])
            if len(missing):
                raise ValueError(
                    f"condition {str(known[missing[0]])!r} is absent outside one run: nothing to train on."
                )
        return fold_of
    folds = min(folds, counts.min())
    if folds < 2:
        raise ValueError(f"decoding needs at least 2 folds, got {folds}.")
    fold_of = np.empty(len(class_of), dtype=int)
    for condition, count in enumerate(counts):
        order = torch.randperm(int(count), generator=generator).numpy() if generator is not None else np.arange(count)
        fold_of[np.flatnonzero(class_of == condition)[order]] = np.arange(count) % folds
    return fold_of


def _hits(
    train: Tensor, train_class: Tensor, test: Tensor, test_class: Tensor, n_classes: int, shrinkage, covariance: str
) -> Tensor:
    """Test trials of i that the discriminant of i and j gives to i, (n_classes, n_classes); ties count half."""
    means = torch.stack([train[train_class == c].mean(0) for c in range(n_classes)])
    covariances = torch.stack(
        [_class_covariance(train[train_class == c] - means[c], shrinkage) for c in range(n_classes)]
    )
    membership = torch.nn.functional.one_hot(test_class, n_classes).to(test).T  # (n_classes, n_test)
    hits = test.new_zeros(n_classes, n_classes)
    rows, columns = pairs_of(n_classes, test.device)
    if covariance == "pooled":
        directions = _solve(covariances.mean(0)[None], means.T[None])[0].T  # (n_classes, F)
        evidence = test @ directions.T - (means * directions).sum(1) / 2
    step = max(1, BLOCK_BYTES // (means.shape[1] ** 2 * means.element_size() * 2))
    for start in range(0, len(rows), step):
        i, j = rows[start : start + step], columns[start : start + step]
        if covariance == "pooled":
            score = evidence[:, i] - evidence[:, j]
        else:
            direction = _solve((covariances[i] + covariances[j]) / 2, (means[i] - means[j])[..., None])[..., 0]
            score = test @ direction.T - ((means[i] + means[j]) / 2 * direction).sum(1)
        called_first = membership @ (score.sign() / 2 + 0.5)  # (n_classes, n_pairs here)
        here = torch.arange(len(i), device=test.device)
        hits[i, j] = called_first[i, here]
        hits[j, i] = membership.sum(1)[j] - called_first[j, here]
    return hits


def _class_covariance(centred: Tensor, shrinkage: float | str) -> Tensor:
    n, n_features = centred.shape
    covariance = centred.T @ centred / n
    if shrinkage != "auto":
        target = covariance.diagonal().mean() * torch.eye(n_features, dtype=centred.dtype, device=centred.device)
        return (1 - shrinkage) * covariance + shrinkage * target
    scale = covariance.diagonal().sqrt()
    standardised = centred / torch.where(scale == 0, 1.0, scale)
    squares = standardised.square().sum(1)
    total = (standardised @ standardised.T).square().sum() / n**2
    trace = squares.sum() / n
    spread = (squares.square().sum() / n - total) / (n_features * n)
    distance = (total - trace**2 / n_features) / n_features
    weight = torch.minimum(spread, distance) / distance if distance > 0 else torch.ones_like(distance)
    target = torch.diag(scale.square() * trace / n_features)
    return (1 - weight) * covariance + weight * target


def _solve(matrices: Tensor, right: Tensor) -> Tensor:
    """Solutions of symmetric positive systems; the least-norm ones where a covariance is singular."""
    factor, failed = torch.linalg.cholesky_ex(matrices)
    if not bool(failed.any()):
        return torch.cholesky_solve(right, factor)
    return torch.linalg.pinv(matrices, hermitian=True) @ right
