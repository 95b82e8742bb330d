"""Where each run lies among the rows, and what the transformers of time series share."""

from __future__ import annotations

import inspect
from typing import Any

import numpy as np
from torch import Tensor


def run_slices(runs: Any, n_times: int) -> dict[Any, slice]:
    """Label -> rows of each run, in the order of time.

    Args:
        runs: (n_times,) label of the run of each row, numbers or texts; None is one run, called 0.
        n_times: number of rows.

    Raises:
        ValueError: not a label for each row, or a run whose rows do not lie together.

    >>> run_slices(["a", "a", "b"], 3)
    {'a': slice(0, 2, None), 'b': slice(2, 3, None)}
    """
    if runs is None:
        return {0: slice(0, n_times)}
    labels = runs.cpu().numpy() if isinstance(runs, Tensor) else np.asarray(runs)
    if labels.shape != (n_times,):
        raise ValueError(f"runs must hold one label for each of the {n_times} rows, got shape {labels.shape}.")
    if not n_times:
        return {}
    starts = [0, *(np.flatnonzero(labels[1:] != labels[:-1]) + 1).tolist()]
    found: dict[Any, slice] = {}
    for start, stop in zip(starts, [*starts[1:], n_times], strict=True):
        label = labels[start].item()
        if label in found:
            raise ValueError(
                f"the rows of run {label!r} do not lie together: it begins at row {found[label].start} and again at "
                f"row {start}. Put the rows in the order of time, run after run, and give each run its own label."
            )
        found[label] = slice(start, stop)
    return found


def as_series(values: Any, what: str = "values") -> np.ndarray:
    """(n_times, n_columns) as a floating-point array.

    Raises:
        ValueError: another number of axes, or no rows.
    """
    array = values.detach().cpu().numpy() if isinstance(values, Tensor) else np.asarray(values)
    if array.ndim != 2 or not len(array):
        raise ValueError(f"{what} must be (n_times, n_columns) with at least one row, got shape {array.shape}.")
    return array if np.issubdtype(array.dtype, np.floating) else array.astype(np.float64)


class SeriesTransformer:
    """scikit-learn's interface of a transformer whose rows belong to runs.

    Args (of the subclasses):
        run_column: the column of X that holds the number of the run of each row. It is taken off before anything else.
            So the runs travel with the rows through a scikit-learn pipeline and its cross-validation. None: all
            rows are one run, or ``runs=`` is given to ``fit`` and ``transform``.
    """

    run_column: int | None = None

    def get_params(self, deep: bool = True) -> dict[str, Any]:
        """Constructor arguments by name, as in scikit-learn."""
        return {name: getattr(self, name) for name in inspect.signature(type(self).__init__).parameters
                if name != "self"}  # fmt: skip

    def set_params(self, **params: Any) -> SeriesTransformer:
        """Sets constructor arguments and returns the transformer."""
        known = self.get_params()
        for name, value in params.items():
            if name not in known:
                raise ValueError(f"{type(self).__name__} has no parameter {name!r}. Known: {', '.join(known)}")
            setattr(self, name, value)
        return self

    def fit_transform(self, X: Any, y: Any = None, runs: Any = None) -> np.ndarray:
        """``fit`` and then ``transform`` of the same rows."""
        return self.fit(X, y, runs=runs).transform(X, runs=runs)

    def __sklearn_tags__(self):
        from sklearn.utils import InputTags, Tags, TargetTags, TransformerTags

        return Tags(
            estimator_type=None,
            target_tags=TargetTags(required=False),
            transformer_tags=TransformerTags(),
            classifier_tags=None,
            regressor_tags=None,
            input_tags=InputTags(),
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({', '.join(f'{k}={v!r}' for k, v in self.get_params().items())})"

    def _open(self, X: Any, runs: Any) -> tuple[np.ndarray, Any]:
        """The features, without the column of the runs, and the label of each row's run."""
        X = as_series(X, "X")
        if self.run_column is None:
            return X, runs
        if runs is not None:
            raise ValueError("the runs are given twice: by run_column and by runs. Give one of them.")
        column = int(self.run_column)
        if not -X.shape[1] <= column < X.shape[1]:
            raise ValueError(f"run_column={column} is no column of X, which has {X.shape[1]}.")
        return np.delete(X, column, axis=1), X[:, column]

    def _check_width(self, X: np.ndarray) -> None:
        if not hasattr(self, "n_features_in_"):
            from sklearn.exceptions import NotFittedError

            raise NotFittedError(f"this {type(self).__name__} is not fitted yet; call fit first.")
        if X.shape[1] != self.n_features_in_:
            raise ValueError(
                f"X has {X.shape[1]} features, but {type(self).__name__} is expecting {self.n_features_in_} features "
                "as input."
            )
