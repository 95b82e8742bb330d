"""Tests of a finished encoding, as tables: which voxels score above chance, and which fit is better than which."""

from __future__ import annotations

from itertools import combinations
from typing import TYPE_CHECKING, Any

import numpy as np

from brainnet._files import slug
from brainnet._work import progress as progress_bar
from brainnet.encode import Encoding, FitKey
from brainnet.scores import VoxelTest

if TYPE_CHECKING:
    import pandas as pd

COMPARED = ("model", "method", "control")
NO_DIFFERENCES = ["subject", *(f"{field}_{side}" for side in "ab" for field in COMPARED), "split", "roi", "mean"]


def significance_table(encoding: Encoding, n_permutations: int, progress: bool) -> pd.DataFrame:
    """Per headline fit, split and ROI how many voxels score above chance."""
    import pandas as pd

    jobs = [(key, split) for key in encoding.headline() for split in encoding.fits[key].predictions]
    rows = []
    for key, split in progress_bar(jobs, "Permutation tests", len(jobs), progress):
        test = encoding.significance(key, split, n_permutations=n_permutations)
        for roi, mask in encoding.regions(key.subject).items():
            tested = test.p[mask].isfinite().sum().item()
            fdr, family = ((p[mask] <= 0.05).sum().item() for p in (test.p_fdr, test.p_max))
            rows.append(
                {**key._asdict(), "split": split, "roi": roi, "n_tested": tested, "n_fdr05": fdr, "n_max05": family}
                | {"share_fdr05": fdr / tested if tested else np.nan, "n_permutations": n_permutations}
            )
    return pd.DataFrame(rows)


def comparable_pairs(encoding: Encoding) -> list[tuple[FitKey, FitKey]]:
    """Pairs of headline fits that differ in one thing alone: the method, the network, or its random weights."""
    keys = [key for key in encoding.headline() if key.control != "shuffled"]
    pairs = []
    for a, b in combinations(keys, 2):
        differing = (a.model != b.model) + (a.method != b.method) + (a.control != b.control)
        if a.subject == b.subject and differing == 1 and "" in (a.control, b.control):
            pairs.append((a, b) if b.control else (b, a))
    return pairs


def difference_tables(
    encoding: Encoding, n_resamples: int, progress: bool
) -> tuple[pd.DataFrame, dict[str, VoxelTest]]:
    """Per pair, split and ROI the mean difference, and how many voxels differ; and file name -> test of all voxels."""
    import pandas as pd

    jobs = [(a, b, split) for a, b in comparable_pairs(encoding) for split in encoding.fits[a].predictions]
    rows: list[dict[str, Any]] = []
    tests = {}
    for a, b, split in progress_bar(jobs, "Paired differences", len(jobs), progress):
        found = encoding.difference(a, b, split, n_resamples=n_resamples)
        tests[slug(*a, *b, split)] = found.test
        names = {f"{field}_{side}": getattr(key, field) for side, key in (("a", a), ("b", b)) for field in COMPARED}
        for roi, mask in encoding.regions(a.subject).items():
            values, p = found.test.statistic[mask], found.test.p_fdr[mask]
            known = values.isfinite()
            whole = roi == "all"
            rows.append(
                {"subject": a.subject, **names, "split": split, "roi": roi, "mean": values[known].mean().item()}
                | {"low": found.mean.low if whole else np.nan, "high": found.mean.high if whole else np.nan}
                | {"n_voxels": int(known.sum()), "share_a_better": (values[known] > 0).double().mean().item()}
                | {"n_a_better_fdr05": int(((p <= 0.05) & (values > 0)).sum())}
                | {"n_b_better_fdr05": int(((p <= 0.05) & (values < 0)).sum())}
            )
    return pd.DataFrame(rows, columns=None if rows else NO_DIFFERENCES), tests
