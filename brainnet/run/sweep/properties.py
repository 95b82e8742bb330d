"""Which property of a network goes with its score, with all others held fixed: ordinary least squares over networks.

A property is a number (parameters, image size) or a word (training set, method). The test of each is the F test of
leaving it out: exact under normal noise of equal variance. Networks are the sample; what they share by their lineage
is not known to it.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from scipy import stats

FEWEST_OF_A_WORD = 2  # networks with a word, below which it joins "other"


class Effect(NamedTuple):
    """What one property explains of the scores.

    Attributes:
        name: of the property.
        slope, low, high: change of the score with a rise of 1, and its 95 % interval; NaN for words.
        partial_r2: share of what the others leave that it explains, 0 to 1.
        r2_alone: share that it explains by itself.
        f, p: of the F test of leaving it out; NaN where the others determine it.
        n: networks that had a score and all properties.
    """

    name: str
    slope: float
    low: float
    high: float
    partial_r2: float
    r2_alone: float
    f: float
    p: float
    n: int


def property_effects(score: np.ndarray, properties: Mapping[str, Sequence]) -> list[Effect]:
    """The effect of each property on the scores of networks, alone and beside the others.

    Args:
        score: (n_networks,); a network without a score is left out.
        properties: name -> (n_networks,) numbers (NaN where unknown: such a network is left out) or words.

    Returns:
        One effect for each property that varies, in their order.

    >>> rng = np.random.default_rng(0)
    >>> size, kind = rng.normal(size=40), np.array(["a", "b"] * 20)
    >>> found = property_effects(0.5 * size + 0.1 * rng.normal(size=40), {"size": size, "kind": kind})
    >>> [effect.name for effect in found], found[0].p < 1e-9, round(found[0].slope, 1)
    (['size', 'kind'], True, 0.5)
    """
    score = np.asarray(score, float)
    columns = {name: np.asarray(values) for name, values in properties.items()}
    kept = np.isfinite(score)
    for values in columns.values():
        kept &= np.isfinite(values) if values.dtype.kind in "fiu" else values != ""
    designs = {name: design for name, values in columns.items() if (design := _design(values[kept])).shape[1]}
    y, n = score[kept], int(kept.sum())
    found = []
    ones = np.ones((n, 1))
    full = np.hstack([ones, *designs.values()])
    rest, rank = _residual(full, y)
    for name, design in designs.items():
        others = np.hstack([ones, *(one for other, one in designs.items() if other != name)])
        without, rank_without = _residual(others, y)
        total, _ = _residual(ones, y)
        alone, _ = _residual(np.hstack([ones, design]), y)
        gained, dof = rank - rank_without, n - rank
        testable = gained > 0 and dof > 0 and rest > 1e-12 * max(total, 1e-300)
        f = (without - rest) / gained / (rest / dof) if testable else float("nan")
        p = float(stats.f.sf(f, gained, dof)) if testable else float("nan")
        slope = low = high = float("nan")
        if columns[name].dtype.kind in "fiu" and testable:
            slope, low, high = _slope(others, design[:, 0], y, rest / dof, dof)
        found.append(Effect(name, slope, low, high, _share(without - rest, without), _share(total - alone, total),
                            float(f), p, n))  # fmt: skip
    return found


def _design(values: np.ndarray) -> np.ndarray:
    """(n, k) columns of a property; none where it does not vary."""
    if values.dtype.kind in "fiu":
        values = values.astype(float)
        return values[:, None] if len(values) and np.ptp(values) > 0 else np.zeros((len(values), 0))
    names, counts = np.unique(values, return_counts=True)
    rare = names[counts < FEWEST_OF_A_WORD]
    words = np.where(np.isin(values, rare), "other", values) if len(rare) > 1 else values
    columns = [words == name for name in np.unique(words)[1:]]
    return np.stack(columns, 1).astype(float) if columns else np.zeros((len(words), 0))


def _residual(x: np.ndarray, y: np.ndarray) -> tuple[float, int]:
    """Sum of squares that is left, and the rank."""
    solution, _, rank, _ = np.linalg.lstsq(x, y, rcond=None)
    return float(((y - x @ solution) ** 2).sum()), int(rank)


def _slope(others: np.ndarray, column: np.ndarray, y: np.ndarray, variance: float, dof: int) -> tuple[float, ...]:
    own = column - others @ np.linalg.lstsq(others, column, rcond=None)[0]
    slope = float(own @ y / (own @ own))
    reach = float(stats.t.ppf(0.975, dof)) * (variance / float(own @ own)) ** 0.5
    return slope, slope - reach, slope + reach


def _share(part: float, whole: float) -> float:
    return float(part / whole) if whole > 0 else float("nan")
