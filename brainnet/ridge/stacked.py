"""Stacked regression: one model per feature space, their predictions mixed per voxel by convex weights.

The weights minimize the squared error of out-of-fold predictions, so a space that overfits gets none. Unlike banded
ridge each space is fitted alone; the mix is of predictions, never negative, and sums to one.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.ridge.cross_validation import RidgeCV
from brainnet.ridge.estimator import VoxelwiseRegressor
from brainnet.ridge.folds import make_folds


class StackedRegressionCV(VoxelwiseRegressor):
    """A convex mix per voxel of models fitted to one feature space each.

    Args:
        estimator: fitted to each space; any estimator of this package. None is ``RidgeCV()``.
        cv: folds that give the out-of-fold predictions: as for :class:`RidgeCV`, "loo" excepted. The estimator chooses
            its own penalty within each of them.

    Attributes:
        space_names_: in the order of the rows of ``weights_``.
        weights_: (n_spaces, n_voxels), >= 0, summing to 1 (NaN for NaN voxels).
        estimators_: name -> the estimator fitted to all images.
        r2_: (n_spaces, n_voxels) float64, R2 of each space's out-of-fold predictions.

    Reference: Breiman (1996), Machine Learning 24, 49-64; Lin, Naselaris, Kay and Wehbe (2023), Stacked regressions and
    structured variance partitioning for interpretable brain maps.

    >>> rng = np.random.default_rng(0)
    >>> spaces = {"good": rng.normal(size=(80, 4)), "noise": rng.normal(size=(80, 4))}
    >>> model = StackedRegressionCV().fit(spaces, spaces["good"] @ rng.normal(size=(4, 3)))
    >>> (model.weights_[0] > 0.95).all()
    np.True_
    """

    reads = "spaces"
    per_voxel = ("weights_",)

    def __init__(self, estimator: Any = None, cv: Any = 5):
        self.estimator = estimator
        self.cv = cv

    def fit(self, X: Mapping[str, Any], Y: Any, groups: Any = None) -> StackedRegressionCV:
        """Fits every space and the mix; X is name -> (n_images, n_features), Y (n_images, n_voxels)."""
        if not isinstance(X, Mapping) or not X:
            raise ValueError("X must name its feature spaces: {'layer 1': features, ...}.")
        if isinstance(self.cv, str) and self.cv == "loo":
            raise ValueError("stacking needs out-of-fold predictions; give a number of folds instead of cv='loo'.")
        opened = [self._open(x, Y)[1] for x in X.values()]
        response = max(opened, key=lambda y: y.dtype.itemsize).double()
        folds = make_folds(self.cv, len(response), groups)
        self.space_names_ = list(X)
        self.estimators_, errors = {}, []
        self.n_features_in_ = sum(int(x.shape[1]) for x in X.values())
        Y = Y if not self._numpy else np.asarray(Y)
        for name, x in X.items():
            left_out = torch.full_like(response, torch.nan)
            for train, held_out in folds:
                fit = self._new().fit(_rows(x, train), _rows(Y, train))
                predicted = torch.as_tensor(fit.predict(_rows(x, held_out)))
                left_out[held_out] = predicted.reshape(len(held_out), -1).to(left_out)
            self.estimators_[name] = self._new().fit(x, Y)
            errors.append(left_out - response)
        seen = torch.cat([held_out for _, held_out in folds]).unique()
        errors = torch.stack(errors)[:, seen]  # (n_spaces, n_seen, n_voxels)
        total = (response[seen] - response[seen].mean(0)).square().sum(0)
        self.r2_ = self._give(torch.where(total > 0, 1 - errors.square().sum(1) / total, torch.nan))
        self._weights = convex_weights(torch.einsum("inv,jnv->vij", errors, errors)).T
        self.weights_ = self._give(self._weights)
        return self

    def predict(self, X: Mapping[str, Any]) -> Any:
        """Predicted responses, (n_images, n_voxels), or (n_images,) for responses given so; NaN for NaN voxels."""
        self._check_fitted()
        if list(X) != self.space_names_:
            raise ValueError(f"X has spaces {list(X)} but the model was fitted on {self.space_names_}.")
        mixed = 0.0
        for weight, (name, x) in zip(self._weights, X.items(), strict=True):
            predicted = torch.as_tensor(self.estimators_[name].predict(x))
            mixed = mixed + predicted.reshape(len(predicted), -1) * weight.to(predicted)
        return self._give_prediction(mixed)

    def training_score(self) -> Tensor:
        """(n_voxels,) float64, the spaces' out-of-fold R2 in the shares of the mix."""
        self._check_fitted()
        return (torch.as_tensor(self.weights_) * torch.as_tensor(self.r2_)).sum(0)

    def _new(self) -> Any:
        return RidgeCV() if self.estimator is None else copy.deepcopy(self.estimator)


def convex_weights(error_products: Tensor) -> Tensor:
    """The convex weights s that minimize s'Ps, one set per voxel: (n_voxels, n_spaces).

    The nearest point to the origin of a convex hull is a non-negative least-squares problem: with A'A = P + 11', the
    solution of ``min |A s - A^-T 1|`` over ``s >= 0``, scaled to sum 1, is exact.

    Args:
        error_products: P, (n_voxels, n_spaces, n_spaces), products of out-of-fold errors.

    >>> convex_weights(torch.tensor([[[1.0, 0.0], [0.0, 3.0]]]))
    tensor([[0.7500, 0.2500]])
    """
    from scipy.optimize import nnls

    n_voxels, n_spaces, _ = error_products.shape
    products = error_products.double().cpu().numpy()
    weights = np.full((n_voxels, n_spaces), np.nan)
    ones = np.ones(n_spaces)
    for voxel, product in enumerate(products):
        size = np.trace(product) / n_spaces
        if not np.isfinite(size):
            continue
        scaled = product / size if size > 0 else np.zeros_like(product)
        # equal predictions make P singular: a trace of ridge shares the weight among them
        root = np.linalg.cholesky(scaled + 1.0 + 1e-12 * np.eye(n_spaces))
        solution, _ = nnls(root.T, np.linalg.solve(root, ones))
        weights[voxel] = solution / solution.sum()
    return torch.from_numpy(weights).to(error_products)


def _rows(x: Any, index: Tensor) -> Any:
    return x[index] if isinstance(x, Tensor) else np.asarray(x)[index.numpy()]
