"""Searchlights whose RDMs were computed elsewhere: what models score at each center, where no patterns are at hand."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.rsa.ceilings import noise_ceiling
from brainnet.rsa.comparisons import compare
from brainnet.rsa.pairs import upper_triangle
from brainnet.rsa.rdms import RDMs
from brainnet.rsa.search.maps import SearchlightMaps, best_of
from brainnet.space import BrainSpace

BLOCK = 2**25  # numbers of RDMs in memory at a time


def searchlight_of_rdms(
    rdms: Any, models: RDMs, method: str = "spearman", *, space: BrainSpace | None = None, **options: Any
) -> SearchlightMaps:
    """Scores of models at each center of one subject's searchlight, from its RDMs.

    Args:
        rdms: (n_centres, n, n) or (n_centres, n_pairs), an array or a memory-mapped file, read some centers at a time.
            A center whose RDM holds NaN, or is constant, has no score.
        models: over the same conditions.
        method: name of a comparison, see ``COMPARISONS``.
        space: where the centers lie; None leaves them without a place.
        **options: of the comparison.

    Returns:
        Maps without tests; see :func:`~brainnet.rsa.search.group.group_searchlight` for these.

    Raises:
        ValueError: no such array, or another number of conditions.

    >>> rng = torch.Generator().manual_seed(0)
    >>> models = RDMs(torch.rand(2, 15, generator=rng), names=("shape", "color"))
    >>> maps = searchlight_of_rdms(models.values.flip(0), models)
    >>> maps.best.tolist(), maps.score.diagonal().max() < 1
    ([1, 0], tensor(True))
    """
    shape = np.shape(rdms)
    square = len(shape) == 3 and shape[1] == shape[2]
    if not square and len(shape) != 2:
        raise ValueError(f"RDMs at centers are (n_centres, n, n) or (n_centres, n_pairs), got shape {shape}.")
    n = shape[0]
    score = torch.full((len(models), n), torch.nan)
    step = max(1, BLOCK // int(np.prod(shape[1:])))
    for start in range(0, n, step):
        values = torch.as_tensor(np.array(rdms[start : start + step], dtype=np.float32))
        values = upper_triangle(values) if square else values
        known = values.isfinite().all(1) & (values.amax(1) > values.amin(1))
        if bool(known.any()):
            score[:, start + known.nonzero()[:, 0]] = compare(models, RDMs(values[known]), method, **options).float()
    ordered = score.sort(0, descending=True).values
    margin = ordered[0] - ordered[1] if len(ordered) > 1 else torch.full((n,), torch.nan)
    settings = {"metric": "given", "method": method, "neighbourhoods": "given"}
    return SearchlightMaps(
        models.names, score, None, best_of(score), margin, None, torch.ones(n, dtype=torch.long),
        space or BrainSpace.free(n), settings,
    )  # fmt: skip


def ceilings_of_centres(subjects: Any, method: str = "spearman", **options: Any) -> tuple[Tensor, Tensor]:
    """Bounds of the noise ceiling at each center, (n_centres,) lower and upper; see ``noise_ceiling``.

    Args:
        subjects: (n_centres, n_subjects, n_pairs), or an iterator over (n_subjects, n_pairs) of each center.
        method: name of a comparison.
        **options: of ``noise_ceiling``.

    >>> lower, upper = ceilings_of_centres(torch.rand(2, 4, 15, generator=torch.Generator().manual_seed(0)))
    >>> bool((lower < upper).all())
    True
    """
    bounds = [noise_ceiling(RDMs(torch.as_tensor(one)), method, **options) for one in subjects]
    return torch.tensor([one.lower for one in bounds]), torch.tensor([one.upper for one in bounds])
