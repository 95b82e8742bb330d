"""Layers stacked: each regressed on its own, and their predictions mixed with weights that sum to 1."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from brainnet._work import progress as progress_bar
from brainnet.rsa.mixing.fitting import Split, condition_splits, nonnegative, p_above_zero, z_scored
from brainnet.rsa.mixing.regression import checked_sets, permutations_at_once
from brainnet.rsa.pairs import n_conditions_of, pair_index
from brainnet.rsa.products import draw_orders, permuted
from brainnet.rsa.rdms import RDMs


@dataclass(frozen=True, eq=False)
class StackedLayers:
    """What a convex mixture of one-layer predictions achieves.

    Args:
        r2: (n_subjects,) of the mixture on held-out conditions.
        layer_r2: (n_subjects, n_layers) of each layer by itself, on the same.
        weights: (n_subjects, n_layers), at least 0 and summing to 1, mean over splits.
        layers: names.
        p: of the mean R2 over subjects; None without permutations.

    >>> rng = torch.Generator().manual_seed(0)
    >>> layers = torch.rand(3, 190, generator=rng)
    >>> found = stack_layers(layers, layers[:2].sum(0), generator=rng)
    >>> found.layer_r2.round(decimals=1).tolist(), found.r2.round(decimals=2).tolist()    # alone, and mixed
    ([[0.5, 0.5, -0.0]], [0.74])
    """

    r2: Tensor
    layer_r2: Tensor
    weights: Tensor
    layers: tuple[str, ...]
    p: float | None

    def __repr__(self) -> str:
        return f"StackedLayers({len(self.layers)} layers, R2 {self.r2.mean().item():.3f})"


def stack_layers(
    layers: RDMs | Any,
    subjects: RDMs | Any,
    *,
    n_folds: int = 3,
    n_repeats: int = 4,
    n_permutations: int = 0,
    generator: torch.Generator,
    progress: bool = True,
) -> StackedLayers:
    """R2 of the best convex mixture of layers, each first regressed on its own, on held-out conditions.

    Within the training conditions every layer predicts the inner folds' held-out pairs; the mixture minimizes the
    squared error of those predictions with weights that are at least 0 and sum to 1. It can therefore never trade one
    layer's excess against another's, as regression on all layers does.

    Args:
        layers: one RDM per layer.
        subjects: one RDM per subject over the same conditions.
        n_folds, n_repeats, n_permutations, generator, progress: as for :func:`rdm_regression`.

    Reference: Lin, Naselaris, Kay and Wehbe (2023), stacked regressions, after Breiman (1996), Machine Learning 24.

    >>> rng = torch.Generator().manual_seed(0)
    >>> layers = torch.rand(3, 190, generator=rng)
    >>> stacked = stack_layers(layers, layers[:2].sum(0), generator=rng)
    >>> stacked.weights[0].round(decimals=1)
    tensor([0.5000, 0.5000, 0.0000], dtype=torch.float64)
    """
    sets, subjects = checked_sets({"layers": layers}, subjects, "cross-validated", "ols")
    layers = sets["layers"]
    x, y = z_scored(layers.values), z_scored(subjects.values).to(layers.values.device)
    splits = condition_splits(subjects.n_conditions, n_folds, n_repeats, generator)
    r2, layer_r2, weights = _stacked(x, y, splits)
    p = None
    if n_permutations:
        parts = draw_orders(subjects.n_conditions, n_permutations, generator).split(permutations_at_once(y))
        null = [
            _stacked(x, permuted(y, part).transpose(0, 1).flatten(0, 1), splits)[0].view(len(part), -1).mean(1)
            for part in progress_bar(parts, f"{n_permutations:,} permutations", len(parts), progress)
        ]
        p = p_above_zero(r2.mean(), torch.cat(null))
    return StackedLayers(r2, layer_r2, weights, layers.names, p)


def _stacked(x: Tensor, y: Tensor, splits: list[Split]) -> tuple[Tensor, Tensor, Tensor]:
    n = n_conditions_of(x.shape[1])
    error, total = y.new_zeros(2, len(y))
    layer_error, mean_weights = y.new_zeros(2, len(y), len(x))
    for split in splits:
        gram = sum(
            missed @ missed.mT
            for missed in (_missed(x, y, *(pair_index(side, n).to(x.device) for side in pair)) for pair in split.inner)
        )
        weights = simplex_weights(gram)
        train, test = (pair_index(part, n).to(x.device) for part in (split.train, split.test))
        missed = _missed(x, y, train, test)
        error += torch.einsum("tl,tlp->tp", weights, missed).square().sum(1)  # weights sum to 1: errors mix like fits
        layer_error += missed.square().sum(2)
        total += (y[:, test] - y[:, train].mean(1, keepdim=True)).square().sum(1)
        mean_weights += weights / len(splits)
    return 1 - error / total, 1 - layer_error / total[:, None], mean_weights


def _missed(x: Tensor, y: Tensor, train: Tensor, test: Tensor) -> Tensor:
    """(n_targets, n_layers, n_test) errors of one-layer regressions."""
    centre, offset = x[:, train].mean(1, keepdim=True), y[:, train].mean(1, keepdim=True)
    fitted = x[:, train] - centre
    slope = (y[:, train] - offset) @ fitted.T / fitted.square().sum(1)
    return (y[:, test] - offset)[:, None] - slope[:, :, None] * (x[:, test] - centre)


def simplex_weights(gram: Tensor) -> Tensor:
    """(n_targets, k) weights, at least 0 and summing to 1, that minimize w'Gw for G (n_targets, k, k).

    >>> simplex_weights(torch.diag(torch.tensor([1.0, 3.0])).double()[None])
    tensor([[0.7500, 0.2500]], dtype=torch.float64)
    """
    # without the sum, the minimum of w'Gw - 2 * 1'w over w >= 0 points the same way: both ask for equal gradients
    free = nonnegative(gram, gram.new_ones(gram.shape[:-1]))
    return free / free.sum(-1, keepdim=True)
