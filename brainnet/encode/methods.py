"""Methods of encoding by name: estimators that a grid of fits can be asked for.

A method is an estimator with ``fit(X, Y)`` and ``predict(X)``. What else it says of itself, it says in attributes, each
of which may be missing:

    reads               what X is: "features" of one layer (by default), "spaces" (layer -> features of all layers),
                        "tokens" (a function that gives batches of ``Tokens`` of all layers), or "images" (a
                        ``Reading``, which gives each of these for any part of the images)
    training_score()    (n_voxels,) score on training images, by which the best layer is chosen
    per_voxel           names of fitted attributes that are kept beside the scores: arrays (..., n_voxels), or names of
                        their rows
    score_split(X, Y)   of one that reads spaces: space -> (n_voxels,) its part of R2
    cv                  a parameter that says how the training images are parted, see ``brainnet.ridge.RidgeCV``
"""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from typing import Any

from brainnet._checks import check_word
from brainnet._registry import Registry
from brainnet.encode.reading import READS, parts_of, reads_of
from brainnet.encode.stacking import StackedMethodsCV
from brainnet.ridge import BandedRidgeCV, MixedWindowRidgeCV, RidgeCV, StackedRegressionCV, WindowRidgeCV

METHODS = Registry("method", group="brainnet.methods")  # a name to what makes its estimator, without arguments
METHODS.register("ridge")(lambda: RidgeCV(scoring="r2"))
METHODS.register("banded")(BandedRidgeCV)
METHODS.register("stacked")(StackedRegressionCV)
METHODS.register("window")(WindowRidgeCV)
METHODS.register("mixed")(MixedWindowRidgeCV)
STACKED = "stacked:"  # and the names of methods: "stacked:window+banded" mixes their predictions


def find_estimators(methods: str | Sequence[str] | Mapping[str, Any], cv: Any = None) -> dict[str, Any]:
    """Name -> estimator of the methods that :func:`brainnet.encode.encode` was asked for.

    Args:
        methods: registered names, "FILE.py:NAME", which goes by NAME, or "stacked:NAME+NAME", a mix of the predictions
            of several; or name -> estimator.
        cv: how each of them parts the training images; None leaves that to the method.

    Raises:
        ValueError: an unknown name, none at all, one name for two methods, or a method that takes no ``cv``.
        TypeError: no estimator.

    >>> find_estimators(["rigde"])
    Traceback (most recent call last):
    ValueError: Unknown method 'rigde'. Did you mean 'ridge'? Known: banded, mixed, ridge, stacked, window
    """
    if isinstance(methods, str):
        methods = (methods,)
    if not methods:
        raise ValueError(f"No method was named. Known: {', '.join(METHODS)}.")
    if isinstance(methods, Mapping):
        found = dict(methods)
    else:
        found = {}
        for name in dict.fromkeys(methods):
            label = label_of(name)
            if label in found:
                raise ValueError(f"two methods are called {label!r}; give one of them another name.")
            found[label] = _stack(name) if name.startswith(STACKED) else METHODS[name]()
    for name, estimator in found.items():
        if not (hasattr(estimator, "fit") and hasattr(estimator, "predict")) or isinstance(estimator, type):
            raise TypeError(f"method {name!r} must be an estimator with fit and predict, got {estimator!r}.")
        check_word(f"reads of method {name!r}:", reads_of(estimator), READS)
    return found if cv is None else {name: _parted(name, estimator, cv) for name, estimator in found.items()}


def label_of(name: str) -> str:
    """What a method that is named goes by in the table.

    >>> label_of("mine.py:Lasso"), label_of("stacked:window+banded")
    ('Lasso', 'stacked:window+banded')
    """
    return name if name.startswith(STACKED) else name.rpartition(":")[2]


def members_of(name: str) -> list[str]:
    """The methods that "stacked:NAME+NAME" names.

    Raises:
        ValueError: fewer than two.
    """
    names = [part for part in name.removeprefix(STACKED).split("+") if part]
    if len(names) < 2:
        raise ValueError(f"{name!r} names {len(names)} methods to mix; write two or more, as stacked:window+banded.")
    return names


def _stack(name: str) -> StackedMethodsCV:
    return StackedMethodsCV(find_estimators(members_of(name)))


def _parted(name: str, estimator: Any, cv: Any) -> Any:
    if "cv" not in (estimator.get_params() if hasattr(estimator, "get_params") else vars(estimator)):
        raise ValueError(f"method {name!r} has no parameter cv: how it parts training images cannot be chosen.")
    estimator = copy.deepcopy(estimator)
    estimator.cv = cv
    if parts_of(estimator):
        estimator.methods = {inner: _parted(inner, part, cv) for inner, part in estimator.methods.items()}
    return estimator
