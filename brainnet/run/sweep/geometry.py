"""RSA and CKA of one network with one subject: the layer is chosen on training images, and scored on test images.

Errors over stimuli come from a grouped jackknife: the score is computed anew without each of some groups of stimuli.
It needs no copies of a stimulus, so it holds for every comparison, also for one that needs all pairs (CKA).
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from scipy import stats
from torch import Tensor

from brainnet.dataset import ResponseDataset
from brainnet.encode import BEST_LAYER
from brainnet.rsa import COMPARISONS, rdm
from brainnet.rsa.pairs import pairs_of
from brainnet.store import TokenStore

MOST_GROUPS = 50  # of stimuli that are left out in turn
CHOSEN_ON = 200  # training images, at most, on which the layer is chosen
FEWEST_VOXELS = 3  # of a pattern


def geometry(
    store: TokenStore, dataset: ResponseDataset, *, metric: str, comparison: str, pool: str, layers: Sequence[str]
) -> tuple[list[dict[str, Any]], dict[str, np.ndarray]]:
    """Scores of every layer and of the layer chosen on training images, in every region.

    Args:
        store: tokens of the images of ``dataset``, in its order.
        dataset: responses of one subject.
        metric: distance between patterns, see ``rsa.DISTANCES``.
        comparison: of two RDMs, see ``rsa.COMPARISONS``.
        pool: how tokens become features.
        layers: those to score.

    Returns:
        Rows with layer, chosen_layer, split, roi, score, mean, low, high and n_voxels; and region -> (n_groups,) values
        of the chosen layer whose variance is that of its score over stimuli.

    Raises:
        ValueError: fewer than four test images.
    """
    test, train = dataset.splits["test"], dataset.splits["train"]
    if len(test) < 4:
        raise ValueError(f"RDMs of test images need at least four of them, got {len(test)}.")
    train = train[torch.linspace(0, len(train) - 1, min(CHOSEN_ON, len(train))).round().long()]
    masks = {"all": torch.ones(dataset.n_voxels, dtype=torch.bool), **dataset.space.rois}
    masks = {roi: mask & dataset.usable for roi, mask in masks.items()}
    seen = {name: _models(store, layers, rows, metric, pool) for name, rows in (("test", test), ("train", train))}
    rows: list[dict[str, Any]] = []
    samples: dict[str, np.ndarray] = {}
    for roi, mask in masks.items():
        brain = {name: _distances(dataset.responses[index][:, mask], metric) if mask.sum() >= FEWEST_VOXELS else None
                 for name, index in (("test", test), ("train", train))}  # fmt: skip
        scored = jackknife(seen["test"], brain["test"], comparison, len(test))
        choice = _compared(seen["train"], brain["train"], comparison)
        common = {"split": "test", "roi": roi, "score": comparison, "n_voxels": int(mask.sum())}
        found = [{**common, "layer": layer, "chosen_layer": "", **scored.row(k)} for k, layer in enumerate(layers)]
        best = None if choice.isnan().all() else int(choice.nan_to_num(nan=-torch.inf).argmax())
        if best is not None:
            found.append({**found[best], "layer": BEST_LAYER, "chosen_layer": layers[best]})
            samples[roi] = scored.samples[:, best].float().numpy()
        rows += found
    return rows, samples


class Jackknife:
    """Scores of some models, and values (n_groups, n_models) whose variance is that of the scores over stimuli."""

    def __init__(self, score: Tensor, samples: Tensor):
        self.score, self.samples = score, samples

    def row(self, k: int) -> dict[str, float]:
        """The score of one model with its 95 % interval."""
        mean, n = float(self.score[k]), len(self.samples)
        error = float(self.samples[:, k].std(correction=0))
        reach = error * float(stats.t.ppf(0.975, n - 1)) if n > 1 else float("nan")
        return {"mean": mean, "low": mean - reach, "high": mean + reach}


def jackknife(models: Tensor, brain: Tensor | None, comparison: str, n: int) -> Jackknife:
    """Scores of models against one RDM, with their values when each group of stimuli is left out in turn.

    Args:
        models: (n_models, n_pairs).
        brain: (n_pairs,), or None where it is undefined.
        comparison: name of a comparison.
        n: stimuli.

    Reference: Efron and Tibshirani (1993), An Introduction to the Bootstrap, chapter 11.
    """
    score = _compared(models, brain, comparison)
    groups = min(n, MOST_GROUPS)
    if brain is None or not brain.isfinite().all():
        return Jackknife(score, torch.full((groups, len(models)), torch.nan, dtype=torch.float64))
    group = torch.arange(n) % groups
    first, second = (group[index] for index in pairs_of(n))
    left = []
    for g in range(groups):
        kept = (first != g) & (second != g)
        left.append(_compared(models[:, kept], brain[kept], comparison))
    values = torch.stack(left)
    # (g - 1) / g times their sum of squares is the variance of the score: so scaled, it is their plain variance
    return Jackknife(score, score + (values - values.mean(0)) * (groups - 1) ** 0.5)


def _compared(models: Tensor, brain: Tensor | None, comparison: str) -> Tensor:
    """(n_models,) float64; NaN for a model, or a brain, with undefined pairs."""
    found = torch.full((len(models),), torch.nan, dtype=torch.float64)
    if brain is None or not brain.isfinite().all():
        return found
    known = models.isfinite().all(1)
    if known.any():
        found[known] = COMPARISONS[comparison](models[known], brain[None])[:, 0].double()
    return found


def _models(store: TokenStore, layers: Sequence[str], rows: Tensor, metric: str, pool: str) -> Tensor:
    return torch.stack([_distances(store.features(layer, pool, rows), metric) for layer in layers])


def _distances(patterns: Tensor, metric: str) -> Tensor:
    """(n_pairs,) float64."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*undefined for constant patterns")
        return rdm(patterns.double(), metric).values[0].double()
