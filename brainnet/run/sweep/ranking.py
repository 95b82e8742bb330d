"""Which networks are better than which, on the same subjects and the same stimuli, and which cannot be told apart.

The error of a score, or of a difference of two, has two parts: subjects differ, and other stimuli would give other
scores. The first is the variance over subjects, the second that of values over resampled stimuli, which were drawn
alike for every network. Their sum is on the safe side: what one subject does with one stimulus counts in both.
"""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from scipy import stats

from brainnet._checks import check_word
from brainnet.rsa.inference.significance import holm

GENERALISE = ("auto", "both", "subjects", "stimuli")
LEVEL = 0.95


class Estimate(NamedTuple):
    """Means (n,) with their standard errors and degrees of freedom; NaN where no error is known."""

    mean: np.ndarray
    error: np.ndarray
    dof: np.ndarray

    def interval(self) -> tuple[np.ndarray, np.ndarray]:
        """Ends of the 95 % interval."""
        reach = stats.t.ppf((1 + LEVEL) / 2, self.dof) * self.error
        return self.mean - reach, self.mean + reach

    def p(self) -> np.ndarray:
        """Two-sided p-values of a mean of 0; 1 where mean and error are 0, as for a network and itself."""
        with np.errstate(divide="ignore", invalid="ignore"):
            t = np.abs(self.mean) / self.error
        t = np.where((self.error == 0) & (self.mean == 0), 0.0, t)
        return 2 * stats.t.sf(t, self.dof)


class Ranking(NamedTuple):
    """The networks of one region.

    Attributes:
        estimate: of each network's score.
        first, second: numbers of the networks of each couple.
        difference: of each couple's scores, the first minus the second.
        p_corrected: of each couple, by Holm over all of them.
        rank_low, rank_high: the places each network may have: it is behind so many that are surely better, and before
            so many that are surely worse. Networks whose places overlap are tied.
    """

    estimate: Estimate
    first: np.ndarray
    second: np.ndarray
    difference: Estimate
    p_corrected: np.ndarray
    rank_low: np.ndarray
    rank_high: np.ndarray


def estimate(scores: np.ndarray, samples: np.ndarray | None = None, generalise: str = "auto") -> Estimate:
    """Means over subjects with their errors.

    Args:
        scores: (n, n_subjects), NaN where a subject has none.
        samples: (n, n_subjects, n_samples), values of each score over resampled stimuli; None where there are none.
        generalise: to whom the error speaks: new "subjects", new "stimuli", or "both"; "auto" takes what can be known.

    Raises:
        ValueError: an unknown word, or stimuli without ``samples``.

    >>> found = estimate(np.array([[0.2, 0.4, 0.3]]))
    >>> round(float(found.mean[0]), 3), round(float(found.error[0]), 4), float(found.dof[0])
    (0.3, 0.0577, 2.0)
    """
    check_word("generalise", generalise, GENERALISE)
    n = (~np.isnan(scores)).sum(1)
    if generalise == "auto":
        generalise = "subjects" if samples is None else "stimuli" if (n < 2).all() else "both"
    if generalise != "subjects" and samples is None:
        raise ValueError(f"generalise={generalise!r} needs values over resampled stimuli, which these scores lack.")
    over_subjects = np.zeros(len(scores))
    over_stimuli = np.zeros(len(scores))
    with np.errstate(all="ignore"):
        mean = np.where(n > 0, np.nansum(scores, 1) / n, np.nan)
        if generalise != "stimuli":
            spread = np.nansum((scores - mean[:, None]) ** 2, 1) / (n - 1)
            over_subjects = np.where(n > 1, spread / n, np.nan)
        if generalise != "subjects":
            known = ~np.isnan(samples).all(2)
            means = np.where(known[..., None], samples, 0).sum(1) / known.sum(1)[:, None]
            over_stimuli = means.var(1)
        variance = over_subjects + over_stimuli
        dof = np.where(over_subjects > 0, variance**2 / (over_subjects**2 / (n - 1)), np.inf)  # Satterthwaite
    return Estimate(mean, np.sqrt(variance), np.where(np.isnan(variance), np.nan, dof))


def rank(
    scores: np.ndarray, samples: np.ndarray | None = None, generalise: str = "auto", alpha: float = 0.05
) -> Ranking:
    """Networks ranked by their scores, with ties.

    Args:
        scores, samples, generalise: as of :func:`estimate`; all networks have the same subjects.
        alpha: corrected p-value below which one of two networks is surely better.
    """
    first, second = np.triu_indices(len(scores), 1)
    difference = Estimate(*(np.concatenate(parts) for parts in zip(
        *(_differences(scores, samples, generalise, first[part], second[part]) for part in _parts(len(first), samples)),
        strict=True,
    ))) if len(first) else Estimate(*(np.zeros(0) for _ in range(3)))  # fmt: skip
    p = difference.p()
    corrected = np.full(len(p), np.nan)
    known = ~np.isnan(p)
    corrected[known] = np.asarray(holm(p[known])) if known.any() else []
    sure = corrected < alpha
    better, worse = np.zeros(len(scores), int), np.zeros(len(scores), int)
    first_wins, second_wins = sure & (difference.mean > 0), sure & (difference.mean < 0)
    np.add.at(better, second[first_wins], 1)
    np.add.at(better, first[second_wins], 1)
    np.add.at(worse, first[first_wins], 1)
    np.add.at(worse, second[second_wins], 1)
    every = estimate(scores, samples, generalise)
    return Ranking(every, first, second, difference, corrected, 1 + better, len(scores) - worse)


def _differences(scores, samples, generalise, first, second) -> Estimate:
    between = None if samples is None else samples[first] - samples[second]
    return estimate(scores[first] - scores[second], between, generalise)


def _parts(n: int, samples: np.ndarray | None) -> list[slice]:
    """Some couples at a time: differences of samples of all couples would not fit."""
    step = max(1, int(2e7 // samples[0].size)) if samples is not None else max(n, 1)
    return [slice(start, start + step) for start in range(0, n, step)]
