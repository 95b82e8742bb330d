"""Delays: features of earlier rows beside those of a row, so that a linear model finds the response's time course.

With the delays 1, 2, 3 and 4 (in rows) a row holds what was shown one to four rows before, and the weights of a feature
over its delays are a finite impulse response. The features before the start of a run are zero.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from torch import Tensor

from brainnet._checks import check_word
from brainnet.series.runs import SeriesTransformer, run_slices


def delayed(features: Any, delays: Sequence[int], runs: Any = None, outside: Any = 0) -> Any:
    """Features at several delays side by side: (n_times, n_delays * n_features), the first delay first.

    Args:
        features: (n_times, n_features), or (n_times, ...) where features have more axes; an array or a tensor.
        delays: in rows, each once. 0 is the row itself, 2 the second row before, -1 the next row.
        runs: (n_times,) label of the run of each row. A delay never crosses from one run into another.
        outside: what lies before the start of a run, or after its end: a number, or a row of features.

    Returns:
        Of the type of ``features``. Features with more axes are joined along the first of these.

    Raises:
        ValueError: no delay, a delay twice, or a delay that is no whole number.

    >>> delayed(np.array([[1.0], [2.0], [3.0], [4.0]]), [0, 1], runs=[0, 0, 1, 1]).tolist()
    [[1.0, 0.0], [2.0, 1.0], [3.0, 0.0], [4.0, 3.0]]
    >>> delayed(np.array([[1.0], [2.0]]), [1], outside=np.array([9.0])).tolist()
    [[9.0], [1.0]]
    """
    delays = check_delays(delays)
    features = features if isinstance(features, Tensor) else np.asarray(features)
    if features.ndim < 2:
        raise ValueError(f"features must be (n_times, n_features), got shape {tuple(features.shape)}.")
    slices = list(run_slices(runs, len(features)).values())
    width = features.shape[1]
    shape = (len(features), len(delays) * width, *features.shape[2:])
    out = features.new_zeros(shape) if isinstance(features, Tensor) else np.zeros(shape, features.dtype)
    for place, delay in enumerate(delays):
        columns = slice(place * width, (place + 1) * width)
        out[:, columns] = outside
        for rows in slices:
            length = rows.stop - rows.start
            if abs(delay) < length:
                to = slice(rows.start + max(delay, 0), rows.stop + min(delay, 0))
                out[to, columns] = features[to.start - delay : to.stop - delay]
    return out


def delayed_spaces(
    spaces: Mapping[str, Any], delays: Sequence[int] | Mapping[str, Sequence[int]], runs: Any = None
) -> dict[str, Any]:
    """Name -> features at the delays of their space, as :class:`brainnet.ridge.BandedRidgeCV` takes them.

    Args:
        spaces: name -> (n_times, n_features).
        delays: of all spaces, or name -> delays of that space.
        runs: (n_times,) label of the run of each row.

    Raises:
        ValueError: delays of a space that is not there, or a space without delays.

    >>> spaces = {"words": np.ones((5, 2)), "sound": np.ones((5, 3))}
    >>> {name: x.shape for name, x in delayed_spaces(spaces, {"words": [1, 2], "sound": [0]}).items()}
    {'words': (5, 4), 'sound': (5, 3)}
    """
    if isinstance(delays, Mapping):
        for name in delays:
            check_word("feature space", name, spaces)
        missing = [name for name in spaces if name not in delays]
        if missing:
            raise ValueError(f"the feature space {missing[0]!r} has no delays; give it [0] if it has none.")
    return {
        name: delayed(x, delays[name] if isinstance(delays, Mapping) else delays, runs) for name, x in spaces.items()
    }


class Delayer(SeriesTransformer):
    """Features at several delays side by side, as an estimator for scikit-learn pipelines; see :func:`delayed`.

    Args:
        delays: in rows; or label -> delays, where ``spaces`` says which columns belong together.
        spaces: (n_features,) label of the feature space of each column, for delays per space.
        run_column: the column of X that holds the number of the run of each row, and is taken off. With it, delays
            stop at the border of a run also where a pipeline is cross-validated. None: ``runs=`` is given to
            ``transform``, or all rows are one run.

    Attributes:
        delays_: (n_columns,) the delay of each column of the result.
        spaces_: (n_columns,) the space of each column of the result, for ``BandedRidgeCV(groups=...)``; None without
            ``spaces``.
        columns_: (n_columns,) the column of the features (without the column of the runs) that it was made of.

    >>> from sklearn.pipeline import make_pipeline
    >>> from brainnet.ridge import RidgeCV
    >>> rng = np.random.default_rng(0)
    >>> X, runs = rng.normal(size=(60, 2)), np.repeat([1, 2, 3], 20)
    >>> Y = delayed(X, [2], runs) @ np.ones((2, 1))
    >>> model = make_pipeline(Delayer([1, 2], run_column=0), RidgeCV(alphas=[1e-3, 1.0]))
    >>> model.fit(np.column_stack([runs, X]), Y).score(np.column_stack([runs, X]), Y).round(3)
    array([1.])
    """

    def __init__(self, delays: Any = (1, 2, 3, 4), *, spaces: Sequence | None = None, run_column: int | None = None):
        self.delays = delays
        self.spaces = spaces
        self.run_column = run_column

    def fit(self, X: Any, y: Any = None, runs: Any = None) -> Delayer:
        """Notes how many features there are, and which columns they become."""
        X, _ = self._open(X, runs)
        self.n_features_in_ = X.shape[1]
        self._blocks = [(columns, check_delays(delays), label) for label, columns, delays in self._spaces(X.shape[1])]
        self.delays_ = np.concatenate([np.repeat(delays, len(columns)) for columns, delays, _ in self._blocks])
        self.columns_ = np.concatenate([np.tile(columns, len(delays)) for columns, delays, _ in self._blocks])
        self.spaces_ = None
        if self.spaces is not None:
            self.spaces_ = np.concatenate([np.repeat(label, len(c) * len(d)) for c, d, label in self._blocks])
        return self

    def transform(self, X: Any, runs: Any = None) -> np.ndarray:
        """(n_times, n_columns): per space, all its features at its first delay, then at the next one."""
        X, runs = self._open(X, runs)
        self._check_width(X)
        return np.concatenate([delayed(X[:, columns], delays, runs) for columns, delays, _ in self._blocks], axis=1)

    def by_delay(self, weights: Any) -> dict[int, np.ndarray]:
        """Delay -> (..., n_features) of weights (..., n_columns), as ``coef_``; NaN for features without that delay."""
        weights = np.asarray(weights)
        if weights.shape[-1] != len(self.delays_):
            raise ValueError(f"weights must have {len(self.delays_)} columns, got shape {weights.shape}.")
        found = {}
        for delay in sorted(set(self.delays_.tolist())):
            here = self.delays_ == delay
            part = np.full((*weights.shape[:-1], self.n_features_in_), np.nan, np.result_type(weights, np.float32))
            part[..., self.columns_[here]] = weights[..., here]
            found[delay] = part
        return found

    def _spaces(self, width: int) -> list[tuple[Any, np.ndarray, Sequence[int]]]:
        """(label, columns, delays) of each feature space."""
        if self.spaces is None:
            if isinstance(self.delays, Mapping):
                raise ValueError("delays are given per space: say by spaces= which space each column belongs to.")
            return [(None, np.arange(width), self.delays)]
        labels = np.asarray(self.spaces)
        if labels.shape != (width,):
            raise ValueError(f"spaces must hold one label for each of the {width} features, got {labels.shape}.")
        names = list(dict.fromkeys(labels.tolist()))
        if isinstance(self.delays, Mapping):
            if set(self.delays) != set(names):
                raise ValueError(f"delays are of the spaces {list(self.delays)} but X has the spaces {names}.")
            return [(name, np.flatnonzero(labels == name), self.delays[name]) for name in names]
        return [(name, np.flatnonzero(labels == name), self.delays) for name in names]


def check_delays(delays: Any) -> list[int]:
    """The delays as whole numbers of rows, once each is there once.

    >>> check_delays((1, 2))
    [1, 2]
    """
    if isinstance(delays, str) or not np.iterable(delays):
        raise ValueError(f"delays are whole numbers of rows in a list, such as [1, 2, 3, 4]; got {delays!r}.")
    found = [np.asarray(delay).item() for delay in delays]
    if not found or any(isinstance(d, bool | str) or d != int(d) for d in found):
        raise ValueError(f"delays are one or more whole numbers of rows, such as [1, 2, 3, 4]; got {delays!r}.")
    if len(set(found)) < len(found):
        raise ValueError(f"delays are each given once, got {found}.")
    return [int(delay) for delay in found]
