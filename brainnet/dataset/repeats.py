"""What repeated presentations of one image tell: their mean, their number, and the ceiling of a model's score."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
import torch
from torch import Tensor

from brainnet.dataset.base import SPLITS
from brainnet.scores import ceiling_from_split_half


def count_of_repeats(trials: np.ndarray, test: Tensor) -> int:
    """Presentations of a test image, of any image where none is tested; the mean where they differ."""
    rows = test.numpy()  # numpy takes a tensor of one element for a number
    return round(float((~np.isnan(trials[rows if len(rows) else slice(None)])).sum(2).mean()))


def ceilings_of_repeats(trials: np.ndarray, splits: Mapping[str, Tensor]) -> tuple[Tensor, str, dict[str, Tensor]]:
    """The ceiling of all images but those of further splits, its definition, and the ceilings of these."""
    further = {name: rows.numpy() for name, rows in splits.items() if name not in SPLITS}
    rows = np.setdiff1d(np.arange(len(trials)), np.concatenate([[], *further.values()]))
    ceiling, definition = _ceiling(trials, rows if further else None)
    ceilings = {}
    for name, rows in further.items():
        found, its_own = _ceiling(trials, rows) if len(rows) else (torch.tensor(torch.nan), "")
        if not found.isnan().all():
            ceilings[name] = found
            definition += f"; of {name}: {its_own}"
    return ceiling, definition, ceilings


def _ceiling(trials: np.ndarray, rows: np.ndarray | None = None, voxels_at_once: int = 1000) -> tuple[Tensor, str]:
    """The split-half ceiling of responses averaged over all the repeats of some images, and its definition."""
    chosen = slice(None) if rows is None else rows.astype(int)
    counts = (~np.isnan(trials)).sum(2)[chosen]
    # an image's mean keeps 1/K of the noise variance, so unequal K count by their harmonic mean
    k = 1 / (1 / counts[counts > 0]).mean() if counts.any() else 1
    parts = []
    for start in range(0, trials.shape[1], voxels_at_once):
        part = np.array(np.swapaxes(trials[chosen, start : start + voxels_at_once], 1, 2))
        # the same halves for every part, so a voxel's ceiling does not depend on its neighbors
        generator = torch.Generator().manual_seed(0)
        parts.append(ceiling_from_split_half(part, n_repeats=k, halves="random", n_splits=20, generator=generator))
    few, many = int(counts.min()), int(counts.max())
    number = f"{few}" if few == many else f"{few} to {many} (harmonic mean {k:.1f})"
    return torch.cat([part.r for part in parts]), (
        f"{parts[0].definition}, over {'all ' if rows is None else ''}{len(counts)} images; "
        f"for the mean of K = {number} repeats"
    )


def mean_of_repeats(trials: np.ndarray) -> np.ndarray:
    """Mean over the last axis of what is not NaN; NaN where nothing is left, without NumPy's warning about it."""
    present = ~np.isnan(trials)
    with np.errstate(invalid="ignore"):
        return np.where(present, trials, 0).sum(2) / present.sum(2)
