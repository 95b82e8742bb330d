"""Drifts and scales of responses, taken off within each run.

A drift is a property of a run, so each run's own is removed. What is learned and carried over to other runs, means and
SDs, is learned on the rows given to ``fit``: the training runs.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brainnet._checks import check_word
from brainnet.series.runs import SeriesTransformer, as_series, run_slices

SCALES = ("run", "training", "none")


def detrend(
    values: Any, runs: Any = None, degree: int | None = 1, *, cutoff: float | None = None, tr: float | None = None
) -> np.ndarray:
    """Values without the slow drift of each run, which is fitted by least squares.

    Args:
        values: (n_times, n_voxels).
        runs: (n_times,) label of the run of each row.
        degree: of the polynomial in time: 0 takes off the mean, 1 also the line; None takes off neither.
        cutoff: seconds. Cosines with longer periods than this are taken off too, those of the discrete cosine
            transform. Needs ``tr``.
        tr: seconds from one row to the next.

    Returns:
        (n_times, n_voxels) of the floating-point type of ``values``. A voxel with a NaN in a run is NaN in all of it.

    Raises:
        ValueError: a run with fewer rows than the drift has parameters.

    Reference: the cosines are those of Friston et al. (2000), NeuroImage 12, 196-208.

    >>> detrend(np.array([[1.0], [2.0], [3.0], [9.0], [7.0]]), [0, 0, 0, 1, 1]).round(6).__abs__().tolist()
    [[0.0], [0.0], [0.0], [0.0], [0.0]]
    """
    values = as_series(values)
    if cutoff is not None and not (tr and tr > 0 and cutoff > 0):
        raise ValueError("a cutoff in seconds needs tr, the seconds from one row to the next; both positive.")
    out = np.empty_like(values)
    for label, rows in run_slices(runs, len(values)).items():
        part = values[rows].astype(np.float64)
        if degree is not None:
            part -= part.mean(0)  # before the rest: a large offset would take digits from what is left
        drift = _drift(len(part), degree, 0 if cutoff is None else int(np.floor(2 * len(part) * tr / cutoff)))
        if drift.shape[1] > len(part):
            raise ValueError(
                f"run {label!r} has {len(part)} rows, and a drift of {drift.shape[1]} parameters leaves nothing of it."
            )
        out[rows] = part - drift @ (drift.T @ part)
    return out


def _drift(n: int, degree: int | None, n_cosines: int) -> np.ndarray:
    """(n, k) orthonormal columns that span the drift."""
    t = np.linspace(-1, 1, n) if n > 1 else np.zeros(1)
    columns = [np.polynomial.legendre.Legendre.basis(d)(t) for d in range(0 if degree is None else degree + 1)]
    columns += [np.cos(np.pi * k * (np.arange(n) + 0.5) / n) for k in range(1, n_cosines + 1)]
    if not columns:
        return np.zeros((n, 0))
    basis, sizes, _ = np.linalg.svd(np.stack(columns, axis=1), full_matrices=False)
    if len(columns) > n:
        return np.zeros((n, len(columns)))  # too many: the caller says so
    return basis[:, sizes > 1e-10 * sizes[0]]


def zscore(values: Any, runs: Any = None) -> np.ndarray:
    """Values with mean 0 and SD 1 (over n) within each run; a voxel that is constant in a run becomes 0 there.

    Args:
        values: (n_times, n_voxels).
        runs: (n_times,) label of the run of each row.

    >>> zscore([[1.0], [3.0], [5.0], [5.0]], [0, 0, 1, 1]).tolist()
    [[-1.0], [1.0], [0.0], [0.0]]
    """
    values = as_series(values)
    out = np.empty_like(values)
    for rows in run_slices(runs, len(values)).values():
        part = values[rows].astype(np.float64)
        out[rows] = (part - part.mean(0)) / _divisors(part)
    return out


class RunScaler(SeriesTransformer):
    """Detrends each run and brings its values to one scale, as an estimator for scikit-learn pipelines.

    Args:
        degree: of the polynomial that is taken off each run, see :func:`detrend`; None takes off none.
        scale: "training" divides by the SD of the rows given to ``fit``, and with ``degree=None`` also subtracts their
            mean. So nothing of a test run scales it but what was known before. "run" z-scores each run by its own mean
            and SD, as most labs do. "none" leaves the scale.
        cutoff, tr: of slow cosines, see :func:`detrend`.
        run_column: the column of X that holds the number of the run of each row, and is taken off; see
            :class:`~brainnet.series.delays.Delayer`.

    Attributes:
        mean_, sd_: (n_columns,) of the rows given to ``fit``, after their drifts were taken off.

    >>> scaler = RunScaler(degree=0).fit([[1.0], [3.0]])
    >>> scaler.transform([[10.0], [14.0]]).round(6).tolist()    # its own mean, the SD of the training run
    [[-2.0], [2.0]]
    """

    def __init__(
        self, degree: int | None = 1, scale: str = "training", *, cutoff: float | None = None, tr: float | None = None,
        run_column: int | None = None,
    ):  # fmt: skip
        self.degree = degree
        self.scale = scale
        self.cutoff = cutoff
        self.tr = tr
        self.run_column = run_column

    def fit(self, X: Any, y: Any = None, runs: Any = None) -> RunScaler:
        """Learns mean and SD of these rows after their drifts are taken off."""
        check_word("scale", self.scale, SCALES)
        X, runs = self._open(X, runs)
        self.n_features_in_ = X.shape[1]
        flat = self._detrended(X, runs).astype(np.float64)
        self.mean_, self.sd_ = flat.mean(0), _divisors(flat)
        return self

    def transform(self, X: Any, runs: Any = None) -> np.ndarray:
        """(n_times, n_columns): each run without its drift, on the scale that was asked for."""
        X, runs = self._open(X, runs)
        self._check_width(X)
        flat = self._detrended(X, runs)
        if self.scale == "run":
            return zscore(flat, runs)
        if self.scale == "none":
            return flat
        return ((flat - (self.mean_ if self.degree is None else 0.0)) / self.sd_).astype(flat.dtype)

    def _detrended(self, X: np.ndarray, runs: Any) -> np.ndarray:
        if self.degree is None and self.cutoff is None:
            return X
        return detrend(X, runs, self.degree, cutoff=self.cutoff, tr=self.tr)


def _divisors(values: np.ndarray) -> np.ndarray:
    """(n_columns,) SD; infinity for a column that never changes, which so becomes 0."""
    sd = values.std(0)
    return np.where(sd > 1e-12 * np.abs(values).max(0), sd, np.inf)
