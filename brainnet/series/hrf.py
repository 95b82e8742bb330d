"""A fixed hemodynamic response: what fMRI makes of a short event, as a filter in time.

The alternative to delays where the data are few: one shape for all voxels and features, nothing to estimate.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brainnet._checks import check_word
from brainnet.series.runs import SeriesTransformer, run_slices

# seconds of peak and of undershoot, their dispersions, and the size of the undershoot relative to the peak
SHAPES = {"spm": (6.0, 16.0, 1.0, 1.0, 1 / 6), "glover": (6.0, 12.0, 0.9, 0.9, 0.48)}


def double_gamma(seconds: Any, shape: str = "spm") -> np.ndarray:
    """The canonical hemodynamic response at some seconds after an event; its integral over time is 1.

    The difference of two densities of gamma distributions, ``g(t; a / d, d) - c g(t; b / e, e)``, over ``1 - c``.
    "spm": a = 6 s, b = 16 s, d = e = 1, c = 1 / 6; "glover": 6 s, 12 s, 0.9, 0.9 and 0.48.

    Args:
        seconds: any shape; the response is 0 before the event.
        shape: "spm" or "glover".

    Reference: Friston, Fletcher, Josephs, Holmes, Rugg and Turner (1998), NeuroImage 7, 30-40; Glover (1999),
    NeuroImage 9, 416-429.

    >>> t = np.arange(0, 40, 0.1)
    >>> float(t[double_gamma(t).argmax()].round(1)), float(double_gamma(t).sum().round(2) * 0.1)
    (5.0, 1.0)
    """
    from scipy.stats import gamma

    check_word("shape", shape, SHAPES)
    peak, undershoot, peak_width, undershoot_width, ratio = SHAPES[shape]
    t = np.asarray(seconds, dtype=np.float64)
    response = gamma.pdf(t, peak / peak_width, scale=peak_width)
    response = response - ratio * gamma.pdf(t, undershoot / undershoot_width, scale=undershoot_width)
    return response / (1 - ratio)


class HRF(SeriesTransformer):
    """Features filtered by a fixed hemodynamic response within each run, as an estimator for scikit-learn pipelines.

    Args:
        tr: seconds from one row to the next.
        shape: "spm" or "glover", see :func:`double_gamma`.
        length: seconds after which the response is cut off.
        run_column: the column of X that holds the number of the run of each row, and is taken off; see
            :class:`~brainnet.series.delays.Delayer`.

    A feature that is 1 all the time becomes 1, after the first ``length`` seconds of a run.

    >>> steady = HRF(tr=1.0).fit_transform(np.ones((60, 1)))
    >>> steady[[0, 5, 59], 0].round(2).tolist()
    [0.0, 0.57, 1.0]
    """

    def __init__(self, tr: float, *, shape: str = "spm", length: float = 32.0, run_column: int | None = None):
        self.tr = tr
        self.shape = shape
        self.length = length
        self.run_column = run_column

    def fit(self, X: Any, y: Any = None, runs: Any = None) -> HRF:
        """Notes how many features there are."""
        if not self.tr > 0 or not self.length >= self.tr:
            raise ValueError(f"tr must be positive and length at least tr, got {self.tr} and {self.length} s.")
        self.n_features_in_ = self._open(X, runs)[0].shape[1]
        filtered = double_gamma(np.arange(0, self.length + self.tr / 2, self.tr), self.shape)
        self.filter_ = filtered / filtered.sum()
        return self

    def transform(self, X: Any, runs: Any = None) -> np.ndarray:
        """(n_times, n_features): each feature convolved with the response, from zero at the start of each run."""
        from scipy.signal import fftconvolve

        X, runs = self._open(X, runs)
        self._check_width(X)
        out = np.empty_like(X)
        for rows in run_slices(runs, len(X)).values():
            part = X[rows].astype(np.float64)
            out[rows] = fftconvolve(part, self.filter_[:, None], axes=0)[: len(part)]
        return out
