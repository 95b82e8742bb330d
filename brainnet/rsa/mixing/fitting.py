"""Fits of RDMs that are judged on conditions they have not seen: the machinery of weighted RSA and RDM regression.

Conditions, not pairs, are what an experiment samples, so they are what is held out: a fit sees the pairs whose two
conditions are both in the training part and predicts those whose two conditions are both in the test part. Pairs with
one foot in each share noise with both and are used by neither.

Everything takes many targets at once (subjects times permutations), since the expensive part, the predictors, is the
same for all.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brainnet.rsa.pairs import n_conditions_of, pair_index
from brainnet.rsa.rdms import RDMs

PENALTIES = tuple(10.0**exponent for exponent in range(-4, 5))  # relative to the mean variance of the predictors
SMALLEST_FOLD = 4  # conditions: six pairs, the least of which a correlation says anything
LEAST_SHARE = 1e-6  # of variance: RDMs of float32 that are equal but for rounding differ by less
MOST_PIVOTS = 10_000
PIVOTED_AT_ONCE = 2**23  # entries of the systems solved together: 64 MB


class Split(NamedTuple):
    """Conditions to fit on and conditions to predict, with the inner folds that choose a penalty."""

    train: Tensor
    test: Tensor
    inner: tuple[tuple[Tensor, Tensor], ...]

    def pairs_of_test(self, values: Tensor) -> Tensor:
        """Places of the test pairs among all pairs of ``values`` (..., n_pairs)."""
        return pair_index(self.test, n_conditions_of(values.shape[-1])).to(values.device)


def condition_splits(n_conditions: int, n_folds: int, n_repeats: int, generator: torch.Generator) -> list[Split]:
    """Random partitions of the conditions into folds, each fold held out once per repeat.

    Raises:
        ValueError: folds of fewer than four conditions, or fewer than eight conditions in all.

    >>> splits = condition_splits(12, 3, 2, torch.Generator().manual_seed(0))
    >>> len(splits), len(splits[0].train), len(splits[0].test)
    (6, 8, 4)
    """
    if n_folds < 2 or n_repeats < 1:
        raise ValueError(f"cross-validation needs n_folds >= 2 and n_repeats >= 1, got {n_folds} and {n_repeats}.")
    if n_conditions < 2 * SMALLEST_FOLD:
        raise ValueError(
            f"{n_conditions} conditions are too few to fit on some and test on others: each of two folds needs"
            f" {SMALLEST_FOLD}, so {2 * SMALLEST_FOLD} are the least. Compare RDMs without fitting instead."
        )
    if n_conditions // n_folds < SMALLEST_FOLD:
        raise ValueError(
            f"{n_conditions} conditions in {n_folds} folds leave {n_conditions // n_folds} to test on; each fold needs"
            f" at least {SMALLEST_FOLD}: use n_folds <= {n_conditions // SMALLEST_FOLD}."
        )
    return [
        Split(train, test, tuple(_folds(train, max(2, min(3, len(train) // 3)), generator)))
        for _ in range(n_repeats)
        for train, test in _folds(torch.arange(n_conditions), n_folds, generator)
    ]


def whole(n_conditions: int, generator: torch.Generator) -> Split:
    """A split that fits on all conditions, for weights to read; its inner folds still choose the penalty."""
    every = torch.arange(n_conditions)
    return Split(every, every, tuple(_folds(every, 3, generator)))


def _folds(conditions: Tensor, n_folds: int, generator: torch.Generator) -> list[tuple[Tensor, Tensor]]:
    order = conditions[torch.randperm(len(conditions), generator=generator)]
    parts = order.tensor_split(n_folds)
    return [
        (torch.cat([part for j, part in enumerate(parts) if j != i]).sort().values, parts[i].sort().values)
        for i in range(n_folds)
    ]


class Fit(NamedTuple):
    """Weights (n_targets, n_predictors) and what was subtracted before: ``target ~ offset + weights (x - centre)``."""

    weights: Tensor
    centre: Tensor
    offset: Tensor

    def predict(self, predictors: Tensor) -> Tensor:
        """(n_targets, n_pairs) from predictors (n_predictors, n_pairs)."""
        return self.offset[:, None] + self.weights @ (predictors - self.centre[:, None])


def fit(predictors: Tensor, targets: Tensor, split: Split, weights: str, penalties: Sequence[float] = PENALTIES) -> Fit:
    """Least squares with an intercept on the training pairs of a split.

    Args:
        predictors: (n_predictors, n_pairs) over all conditions, float64.
        targets: (n_targets, n_pairs).
        split: which conditions to use; the inner folds choose the ridge penalty of each target.
        weights: "ols" (least squares; the shortest solution where predictors are collinear), "nonnegative" or "ridge".
        penalties: of the ridge, relative to the mean sum of squares of the predictors.
    """
    n = n_conditions_of(predictors.shape[1])
    train = pair_index(split.train, n).to(predictors.device)
    centred, centre, y, offset = _both_centred(predictors[:, train], targets[:, train])
    if weights == "ridge":
        inner = [(pair_index(a, n).to(train), pair_index(b, n).to(train)) for a, b in split.inner]
        choice = _best_penalty(predictors, targets, inner, penalties)
        by_penalty = ridge(centred, y, penalties)
        return Fit(by_penalty[choice, torch.arange(len(y), device=y.device)], centre, offset)
    return Fit(SOLVERS[weights](centred @ centred.T, y @ centred.T), centre, offset)


def _both_centred(x: Tensor, y: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    centre, offset = x.mean(1), y.mean(1)
    return x - centre[:, None], centre, y - offset[:, None], offset


def _best_penalty(x: Tensor, y: Tensor, inner: list[tuple[Tensor, Tensor]], penalties: Sequence[float]) -> Tensor:
    """(n_targets,) index of the penalty with the least squared error over inner folds."""
    error = y.new_zeros(len(penalties), len(y))
    for train, test in inner:
        centred, centre, target, offset = _both_centred(x[:, train], y[:, train])
        held_out = y[:, test] - offset[:, None]
        for i, w in enumerate(ridge(centred, target, penalties)):
            error[i] += (held_out - w @ (x[:, test] - centre[:, None])).square().sum(1)
    return error.argmin(0)


# ---- solvers ------------------------------------------------------------------------------------------------------


def least_squares(gram: Tensor, products: Tensor) -> Tensor:
    """Weights (..., n_targets, k) of least norm that minimize w'Gw - 2 p'w.

    Args:
        gram: G, (..., k, k).
        products: p, (..., n_targets, k).
    """
    scale = _scale_of(gram)
    inverse = torch.linalg.pinv(gram / scale.mT / scale, rtol=1e-11, hermitian=True)
    return products / scale @ inverse / scale


def nonnegative(gram: Tensor, products: Tensor) -> Tensor:
    """Weights (n_targets, k) >= 0 that minimize w'Gw - 2 p'w, by block principal pivoting on all targets together.

    Each target guesses which weights are free and solves for those; free weights that come out negative and fixed ones
    that would rather grow change sides, all at once while that helps, else one at a time, until none is left.

    Args:
        gram: (k, k), or (n_targets, k, k) where each target has its own.
        products: (n_targets, k).

    Reference: Kim and Park (2011), SIAM J Sci Comput 33, 3261-3281.

    >>> nonnegative(torch.eye(2).double(), torch.tensor([[1.0, -1.0]]).double())
    tensor([[1.0000, 0.0000]], dtype=torch.float64)
    """
    at_once = max(1, PIVOTED_AT_ONCE // gram.shape[-1] ** 2)
    if len(products) > at_once:
        grams = gram.split(at_once) if gram.ndim == 3 else (gram,) * -(-len(products) // at_once)
        return torch.cat([nonnegative(*part) for part in zip(grams, products.split(at_once), strict=True)])
    scale = _scale_of(gram)
    k = gram.shape[-1]
    eye = torch.eye(k, dtype=gram.dtype, device=gram.device)
    gram, scale = gram / scale.mT / scale + 1e-12 * eye, scale.squeeze(-2)  # twins share their weight
    products = products / scale
    free = products > 0
    fewest = products.new_full((len(products),), k + 1)
    patience = torch.full_like(fewest, 3)
    tolerance = 1e-12 * products.abs().amax(1, keepdim=True)
    for _ in range(MOST_PIVOTS):
        system = torch.where(free[:, :, None] & free[:, None, :], gram, eye)
        weights = torch.linalg.solve(system, products.where(free, 0.0))
        gradient = (gram @ weights[..., None])[..., 0] - products
        wrong = (free & (weights < -tolerance)) | (~free & (gradient < -tolerance))
        count = wrong.sum(1)
        if not bool(count.any()):
            break
        better = count < fewest
        fewest = torch.where(better, count.to(fewest), fewest)
        patience = torch.where(better, 3, patience - 1)
        last = torch.where(wrong, torch.arange(k, device=gram.device), -1).amax(1, keepdim=True)
        only_last = torch.arange(k, device=gram.device) == last
        free = free ^ torch.where((patience >= 0)[:, None], wrong, wrong & only_last)
    return weights.clamp(min=0) / scale


def _scale_of(gram: Tensor) -> Tensor:
    """(..., 1, k) lengths of the predictors, so that nobody's unit decides what counts as zero."""
    return gram.diagonal(dim1=-2, dim2=-1).clamp(min=torch.finfo(gram.dtype).tiny).sqrt()[..., None, :]


def ridge(x: Tensor, y: Tensor, penalties: Sequence[float]) -> Tensor:
    """Weights (n_penalties, n_targets, k) of ridge regression, through the smaller of the two Gram matrices.

    Args:
        x: (k, n) centered predictors.
        y: (n_targets, n) centered targets.
        penalties: added to the Gram matrix, times its mean diagonal over predictors.
    """
    k, n = x.shape
    scale = x.square().sum() / k
    values, vectors = torch.linalg.eigh(x @ x.T if k <= n else x.T @ x)
    rotated = (y @ x.T if k <= n else y) @ vectors
    found = [(rotated / (values.clamp(min=0) + penalty * scale)) @ vectors.T for penalty in penalties]
    return torch.stack(found if k <= n else [dual @ x.T for dual in found])


SOLVERS: dict[str, Callable[[Tensor, Tensor], Tensor]] = {"ols": least_squares, "nonnegative": nonnegative}
WEIGHTS = (*SOLVERS, "ridge")


def check_weights(weights: str) -> None:
    """Refuses an unknown kind of weights."""
    if weights not in WEIGHTS:
        raise ValueError(f"weights must be one of {', '.join(map(repr, WEIGHTS))}, got {weights!r}.")


def z_scored(values: Tensor) -> Tensor:
    """RDMs (n_rdms, n_pairs) in float64 with mean 0 and mean square 1."""
    centred = values.double() - values.double().mean(1, keepdim=True)
    return centred / centred.square().mean(1, keepdim=True).sqrt()


def check_usable(rdms: RDMs) -> None:
    """Refuses RDMs with NaN, or whose dissimilarities are all the same."""
    for name, row in zip(rdms.names, rdms.values, strict=True):
        if bool(row.isnan().any()):
            raise ValueError(f"RDM {name!r} holds NaN; drop its undefined conditions with .subset() first.")
        if bool((row == row[0]).all()):
            raise ValueError(f"RDM {name!r} has the same dissimilarity everywhere: there is nothing to fit.")


def p_value(statistic: Tensor, null: Tensor) -> float:
    """Share of the null, the statistic included, that is at least as large.

    >>> p_value(torch.tensor(2.0), torch.tensor([1.0, 2.0, 3.0]))
    0.75
    """
    return (int((null >= statistic - 1e-12).sum()) + 1) / (len(null) + 1)


def p_above_zero(statistic: Tensor, null: Tensor) -> float:
    """P of a share of variance: the test statistic is the share, or 0 where it is negative.

    A part that explains nothing has p = 1, also where permuted predictors mislead more than it does; so has one that is
    no more than rounding, such as the unique part of one of two RDMs that are equal.

    >>> p_above_zero(torch.tensor(-0.1), torch.tensor([-0.3, -0.2, -0.4]))
    1.0
    >>> p_above_zero(torch.tensor(1e-9), torch.tensor([-0.3, -0.2, -0.4]))
    1.0
    """
    if statistic < LEAST_SHARE:
        return 1.0
    return p_value(statistic, null)
