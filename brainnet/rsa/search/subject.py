"""Searchlight RSA: how well each model's RDM matches the brain's, at every place of a volume or a cortical mesh.

At each center the patterns of its neighborhood give one RDM, which is compared with all models and forgotten; never
are all RDMs in memory. Chance comes from permuting the condition labels of the models, rows and columns together and
alike at every center, so the largest z-score over centers corrects for their number. The permuted models of a chunk are
one matrix, and its product with the chunk's RDMs is the whole permutation test.

Chunks of centers are the unit of work: they run in this process or in joblib's workers, and with a folder each is
written once, whole, so that a run cut short goes on where it stopped.
"""

from __future__ import annotations

import logging
import warnings
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import numpy as np
import torch

from brainnet._work import progress as progress_bar
from brainnet.rsa.rdms import RDMs
from brainnet.rsa.search.chunks import MEMORY, Chunk, ChunkFolder, How, Work, run_chunks
from brainnet.rsa.search.maps import SearchlightMaps, best_of, fdr_rests_on, p_from_counts
from brainnet.rsa.search.neighbourhoods import Neighbourhoods
from brainnet.scores import VoxelTest

log = logging.getLogger(__name__)


def searchlight(
    patterns: Any,
    models: RDMs | Any,
    neighbourhoods: Neighbourhoods,
    *,
    metric: str = "correlation",
    method: str = "spearman",
    metric_options: dict[str, Any] | None = None,
    residuals: Any = None,
    conditions: Iterable[str] | None = None,
    n_permutations: int = 0,
    generator: torch.Generator | None = None,
    folder: str | Path | None = None,
    n_jobs: int = 1,
    memory: int = MEMORY,
    progress: bool = True,
    **options: Any,
) -> SearchlightMaps:
    """Maps of the similarity between the brain's RDM around each center and every model RDM.

    Args:
        patterns: (n_conditions, n_voxels), columns as in the neighborhoods' space; (n_runs, n_conditions, n_voxels)
            for cross-validated metrics. They set device and dtype of the work.
        models: model RDMs over the same conditions, any number; all are compared in one pass.
        neighbourhoods: from :func:`spheres`, :func:`discs` or ``Neighbourhoods.from_lists``.
        metric: distance between patterns, see ``DISTANCES``.
        method: comparison of RDMs, see ``COMPARISONS``. Products such as "pearson", "spearman", "rho-a", "cosine" and
            "cka" test a thousand permutations at the price of one matrix product; others take each by itself.
        metric_options: of the distance, such as ``{"shrinkage": "diagonal"}``.
        residuals: (n_residuals, n_voxels) from which "mahalanobis" and "crossnobis" estimate the noise covariance of
            each neighborhood.
        conditions: names of the rows of ``patterns``, checked against those of the models.
        n_permutations: condition-label permutations; 0 tests nothing.
        generator: a seeded CPU generator, needed for permutations.
        folder: keep finished chunks here, and take up those an interrupted run left.
        n_jobs: processes, as joblib counts them; ``joblib.parallel_config(backend=...)`` chooses dask or ray, and with
            them other nodes (which must see ``folder`` under the same name). Only for patterns on the CPU.
        memory: bytes of temporaries per process; fewer makes smaller chunks.
        progress: show a progress bar.
        **options: of the comparison.

    Returns:
        Maps on the CPU, in the patterns' dtype.

    Raises:
        ValueError: NaN in patterns or models, models constant or over other conditions, fewer than 3 conditions,
            permutations without a generator, a folder that holds another searchlight.

    Reference: Kriegeskorte, Goebel and Bandettini (2006), PNAS 103, 3863-3868; max-stat: Nichols and Holmes (2002).

    >>> from brainnet.space import BrainSpace
    >>> rng = torch.Generator().manual_seed(0)
    >>> sensors = Neighbourhoods.from_lists([[0, 1, 2], [3, 4, 5]], BrainSpace.free(6))
    >>> patterns = torch.randn(8, 6, generator=rng)
    >>> models = RDMs(torch.rand(2, 28, generator=rng), names=("shape", "color"))
    >>> searchlight(patterns, models, sensors, n_permutations=20, generator=rng)
    SearchlightMaps(2 models x 2 centers, 20 permutations)
    """
    work = Work.prepare(
        patterns, models, neighbourhoods, How(metric, method, dict(metric_options or {}), options, memory),
        residuals=residuals, conditions=conditions, n_permutations=n_permutations, generator=generator,
    )  # fmt: skip
    store = None if folder is None else ChunkFolder(Path(folder), work)
    results: dict[int, Chunk] = {} if store is None else store.finished()
    waiting = [i for i in range(work.n_chunks) if i not in results]
    if len(results):
        log.info("%d of %d chunks were finished before", len(results), work.n_chunks)
    jobs = run_chunks(work, store, waiting, n_jobs)
    jobs = progress_bar(jobs, f"Searching {len(neighbourhoods):,} centers", len(waiting), progress)
    results |= dict(zip(waiting, jobs, strict=True))
    return _assemble(work, [results[i] for i in range(work.n_chunks)])


def _assemble(work: Work, chunks: list[Chunk]) -> SearchlightMaps:
    """Chunks back in the order of the centers, counts turned into p-values."""
    back = torch.from_numpy(np.argsort(work.order_of_centres, kind="stable"))
    score, exceeded, z, moments = (
        torch.from_numpy(np.concatenate([getattr(chunk, name) for chunk in chunks]))[back].movedim(0, 1)
        for name in ("score", "exceeded", "z", "moments")
    )
    undefined = score.isnan().any(0)
    if bool(undefined.any()):
        warnings.warn(
            f"{int(undefined.sum())} of {len(undefined)} centers have an undefined RDM (a pattern without variance,"
            " such as voxels that are zero) and are NaN.",
            stacklevel=3,
        )
    ordered = score.sort(0, descending=True).values
    top = ordered[0]
    margin = ordered[0] - ordered[1] if len(ordered) > 1 else torch.full_like(top, torch.nan)
    best = best_of(score)
    test = best_test = None
    n_permutations = len(work.orders)
    if n_permutations:
        largest = torch.from_numpy(np.stack([c.largest for c in chunks])).amax(0)  # (models + 1, permutations)
        tested = p_from_counts(torch.cat([score, top[None]]), exceeded, largest, moments, z=z)
        test = VoxelTest(*(part[:-1] for part in tested))
        best_test = VoxelTest(*(part[-1] for part in tested))
    nb, how = work.neighbourhoods, work.how
    settings = {
        "metric": how.metric, "method": how.method, "neighbourhoods": nb.kind, "n_permutations": n_permutations,
        "fdr": fdr_rests_on(n_permutations), "n_undefined": int(undefined.sum()), "fingerprint": work.fingerprint,
    }  # fmt: skip
    return SearchlightMaps(
        work.names, score, test, best, margin.masked_fill(undefined, torch.nan), best_test,
        torch.from_numpy(nb.sizes.copy()), nb.space.subset(torch.from_numpy(nb.centres)), settings,
    )  # fmt: skip
