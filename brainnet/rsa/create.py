"""``rdm``: from features of any common form to RDMs.

This is the door: shapes, names, labels, runs and NaN are sorted out here, once, so that the metrics in
``distances`` see clean patterns (B, n_conditions, n_features) and nothing else.
"""

from __future__ import annotations

import warnings
from collections.abc import Iterable, Iterator
from typing import Any

import numpy as np
import torch
from torch import Tensor

import brainnet.rsa.decoding  # noqa: F401  (files itself under its name)
from brainnet.rsa.checks import as_float_tensor, check_conditions, few, in_order
from brainnet.rsa.distances import BLOCK_BYTES, DISTANCES
from brainnet.rsa.pairs import squareform
from brainnet.rsa.rdms import RDMs
from brainnet.rsa.streaming import stream_distances

POOLS = ("mean", "max", "first", "last", "flatten")
NEEDS_RUNS = ("crossnobis",)  # metrics that multiply runs instead of averaging them
NEEDS_TRIALS = ("decoding",)  # metrics that classify single trials instead of averaging them


def rdm(
    features: Any,
    metric: str = "correlation",
    *,
    conditions: Iterable[str] | None = None,
    names: Iterable[str] | None = None,
    labels: Iterable | None = None,
    runs: Iterable | None = None,
    pool: str | None = None,
    **options: Any,
) -> RDMs:
    """RDMs of patterns: how differently each pair of conditions is represented.

    Args:
        features: (n_conditions, n_features) for one RDM, or (n_rdms, n_conditions, n_features) for several at once
            (time points, ROIs of equal size). With ``labels``, rows are observations. For "crossnobis" without
            labels an axis of runs stands before the conditions: (n_runs, n, F) or (n_rdms, n_runs, n, F).
            An iterator of blocks (n_conditions, some features) is consumed once, for features that do not fit
            into memory: ``rdm(features[:, i : i + 4096] for i in range(0, n_features, 4096))``.
        metric: name of a distance, see ``DISTANCES``.
        conditions: names of the rows. With ``labels`` the labels name the conditions.
        names: one per RDM.
        labels: (n_observations,) the condition of each row; repeats are averaged. Conditions come out
            sorted as a person counts, like files: img2 before img10.
        runs: (n_observations,) the run or fold of each row, for cross-validated metrics; needs ``labels``.
        pool: first reduce tokens (n_conditions, n_tokens, ..., n_features) to patterns: "mean", "max", "first" or
            "last" over the token axes, or "flatten" everything after the first axis, as for (n, C, H, W) maps.
        **options: of the metric, such as ``per_channel`` or ``noise_covariance``.

    Returns:
        RDMs on the features' device, in their dtype (float32 for halves and integers).

    Raises:
        ValueError: NaN or infinite features, fewer than two conditions, shapes or names that do not fit.

    Warns:
        UserWarning: constant patterns, whose correlation distance is undefined; their pairs are NaN.

    >>> rdm(torch.tensor([[1.0, 2.0, 3.0], [2.0, 4.0, 6.0], [3.0, 2.0, 1.0]])).to_square()[0].round(decimals=4)
    tensor([[0., 0., 2.],
            [0., 0., 2.],
            [2., 2., 0.]])
    """
    if isinstance(features, Iterator):
        if labels is not None or runs is not None or pool is not None:
            raise ValueError(
                "blocks of features hold one row per condition already: labels, runs and pool do not apply."
            )
        values = stream_distances(features, metric, **options)
        return _named(values[None], metric, conditions, names)
    patterns = _pool(as_float_tensor(features, "features"), pool)
    if runs is not None and labels is None:
        raise ValueError("runs= needs labels=: which condition each row shows.")
    if metric in NEEDS_TRIALS:
        if labels is None:
            raise ValueError(
                f"{metric!r} classifies single trials: give labels=, the condition of each row of features."
            )
        labels, options = np.asarray(labels), {**options, "labels": np.asarray(labels), "runs": runs}
        _check_finite(patterns, labels)
        conditions = in_order(labels)[0]
    elif labels is not None:
        patterns, conditions = _average_repeats(patterns, labels, runs if metric in NEEDS_RUNS else None, metric)
    expected = 3 if metric in NEEDS_RUNS else 2
    if patterns.ndim == expected:
        patterns = patterns[None]
    if patterns.ndim != expected + 1:
        axes = "(n_runs, n_conditions, n_features)" if metric in NEEDS_RUNS else "(n_conditions, n_features)"
        raise ValueError(
            f"features for {metric!r} must be {axes}, with one more axis in front for several RDMs; got"
            f" {tuple(patterns.shape)}. Use pool='flatten' or 'mean' for maps and tokens."
        )
    if metric not in NEEDS_TRIALS and patterns.shape[-2] < 2:
        raise ValueError(f"an RDM needs at least 2 conditions, got {patterns.shape[-2]}.")
    if patterns.shape[-1] < 1:
        raise ValueError("features have no columns: nothing to measure a distance on.")
    distance = DISTANCES[metric]
    entries = max(patterns[0].numel(), patterns.shape[-2] ** 2)
    step = max(1, BLOCK_BYTES // (entries * patterns.element_size()))
    values = torch.cat([distance(patterns[start : start + step], **options) for start in range(0, len(patterns), step)])
    if not bool(values.isfinite().all()):  # looked at afterwards: the check costs nothing where all is well
        _check_finite(patterns, conditions)
        _check_overflow(patterns)
    return _named(values, metric, conditions, names)


def _named(values: Tensor, metric: str, conditions: Iterable | None, names: Iterable | None) -> RDMs:
    rdms = RDMs(values, metric, names, None if conditions is None else tuple(conditions))
    if bool(values.isnan().any()):
        undefined = (
            squareform(values.isnan().to(torch.uint8), diagonal=1).bool().all(-1).any(0).nonzero()[:, 0].tolist()
        )
        labels = rdms.conditions or tuple(f"row {i}" for i in range(rdms.n_conditions))
        warnings.warn(
            f"{metric} distance is undefined for constant patterns; pairs with"
            f" {few([labels[i] for i in undefined])} are NaN. Leave them out with .subset() before comparing.",
            stacklevel=3,
        )
    return rdms


def _pool(features: Tensor, pool: str | None) -> Tensor:
    if pool is None:
        return features
    if pool not in POOLS:
        raise ValueError(f"unknown pool {pool!r}; choose one of {', '.join(POOLS)}.")
    if pool == "flatten":
        return features.flatten(1)
    if features.ndim < 3:
        raise ValueError(
            f"pool={pool!r} needs tokens (n_conditions, n_tokens, ..., n_features), got {tuple(features.shape)}."
        )
    tokens = features.flatten(1, -2)
    if pool == "mean":
        return tokens.mean(1)
    if pool == "max":
        return tokens.amax(1)
    return tokens[:, 0] if pool == "first" else tokens[:, -1]


def _check_finite(patterns: Tensor, conditions: Iterable | None) -> None:
    if bool(patterns.sum(-1).isfinite().all()):  # one pass, no mask in memory; overflow is looked at below
        return
    bad = ~patterns.isfinite().all(-1)
    while bad.ndim > 1:
        bad = bad.any(0)
    if bool(bad.any()):
        rows = bad.nonzero()[:, 0].tolist()
        known = None if conditions is None else list(map(str, conditions))
        which = [known[i] if known and i < len(known) else f"row {i}" for i in rows]
        raise ValueError(f"features are NaN or infinite for {few(which)}; drop or fill these before computing an RDM.")


def _check_overflow(patterns: Tensor) -> None:
    """Finite features whose sums of squares are not."""
    largest, most = patterns.abs().max().item(), torch.finfo(patterns.dtype).max
    if largest > (most / patterns.shape[-1]) ** 0.5:
        raise ValueError(
            f"features reach {largest:.3g}: their squares overflow {str(patterns.dtype).removeprefix('torch.')}."
            " Divide them by their scale, or pass float64."
        )


def _average_repeats(
    features: Tensor, labels: Iterable, runs: Iterable | None, metric: str
) -> tuple[Tensor, tuple[str, ...]]:
    """Mean pattern per condition (..., n, F), or per run and condition (..., n_runs, n, F)."""
    labels = np.asarray(labels)
    if features.ndim not in (2, 3) or labels.shape != (features.shape[-2],):
        raise ValueError(
            f"labels {labels.shape} must name each row of features ([n_rdms,] n_observations, n_features), got"
            f" {tuple(features.shape)}."
        )
    known, label_of = in_order(labels)
    run_names, run_of = (np.zeros(1), np.zeros(len(labels), dtype=int))
    if runs is not None:
        run_names, run_of = np.unique(np.asarray(runs), return_inverse=True)
        if run_of.shape != labels.shape:
            raise ValueError(f"runs {run_of.shape} and labels {labels.shape} must both name each row.")
    elif metric in NEEDS_RUNS:
        raise ValueError(f"{metric!r} multiplies independent runs: give runs=, the run of each row.")
    cell = torch.from_numpy(run_of * len(known) + label_of).to(features.device)
    counts = torch.bincount(cell, minlength=len(run_names) * len(known))
    if bool((counts == 0).any()):
        empty = int((counts == 0).nonzero()[0])
        raise ValueError(
            f"condition {str(known[empty % len(known)])!r} has no observation in run"
            f" {str(run_names[empty // len(known)])!r}; every run must hold every condition."
        )
    sums = features.new_zeros(*features.shape[:-2], len(counts), features.shape[-1]).index_add_(-2, cell, features)
    means = sums / counts[:, None].to(sums)
    if metric in NEEDS_RUNS:
        means = means.unflatten(-2, (len(run_names), len(known)))
    return means, check_conditions(known, len(known))
