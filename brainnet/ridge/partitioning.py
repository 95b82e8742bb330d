"""Variance partitioning of responses: cross-validated R2 of every subset of feature spaces, split into parts."""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.ridge.banded import BandedRidgeCV
from brainnet.ridge.folds import make_folds
from brainnet.scores import r2
from brainnet.scores.partitioning import Subset, partition_of


def variance_partition(
    spaces: Mapping[str, Any], responses: Any, estimator: Any = None, cv: Any = 5, groups: Any = None
) -> dict[Subset, Tensor]:
    """What each feature space explains alone and what is shared, per voxel, in R2 of images not fitted.

    Every subset of the spaces is fitted by banded ridge, so each model in the comparison has its best penalties; the
    out-of-fold predictions of all images give its R2, and :func:`brainnet.scores.partitioning.partition` the parts.

    Args:
        spaces: name -> (n_images, n_features).
        responses: (n_images, n_voxels).
        estimator: fitted to name -> features; None is ``BandedRidgeCV(n_iter=20)``; it too leaves groups out where
            there are three or more of them.
        cv: outer folds, as for :class:`RidgeCV`; the estimator chooses its penalties within each.
        groups: (n_images,) run labels for ``cv="groups"``; the estimator gets those of its images too.

    Returns:
        Subset of names -> (n_voxels,) float64; all parts sum to the R2 of the joint model. Parts can be negative.

    >>> rng = np.random.default_rng(0)
    >>> shared, own = rng.normal(size=(2, 80, 3))
    >>> spaces = {"a": np.hstack([shared, own]), "b": shared}
    >>> response = shared.sum(1, keepdims=True) + own.sum(1, keepdims=True)
    >>> parts = variance_partition(spaces, response, BandedRidgeCV(n_iter=2), cv=2)
    >>> {subset: round(part.item(), 1) + 0.0 for subset, part in parts.items()}
    {('a',): 0.5, ('b',): 0.0, ('a', 'b'): 0.5}
    """
    response = torch.as_tensor(responses)
    groups = None if groups is None else np.asarray(groups)
    folds = make_folds(cv, len(response), groups)
    if len(torch.cat([held_out for _, held_out in folds]).unique()) < len(response):
        raise ValueError("every image must be held out once for a cross-validated R2; use a number of folds or groups.")
    if estimator is None:
        enough = groups is not None and len(np.unique(groups)) > 2
        estimator = BandedRidgeCV(n_iter=20, cv="groups" if enough else 5)

    def out_of_fold_r2(subset: Subset) -> Tensor:
        prediction = torch.empty_like(response, dtype=torch.float64)
        for train, held_out in folds:
            own = {} if groups is None else {"groups": groups[train.numpy()]}
            read = {name: _rows(spaces[name], train) for name in subset}
            fit = copy.deepcopy(estimator).fit(read, response[train], **own)
            prediction[held_out] = fit.predict({name: _rows(spaces[name], held_out) for name in subset}).double()
        return r2(prediction, response)

    return partition_of(out_of_fold_r2, list(spaces))


def _rows(features: Any, index: Tensor) -> Any:
    return features[index] if isinstance(features, Tensor) else np.asarray(features)[index.numpy()]
