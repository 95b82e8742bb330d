"""Several methods at once: their predictions mixed per voxel by convex weights.

What one method misses, another may have: window ridge knows the place, banded ridge the whole image. The weights come
from predictions of training images that were left out, so a method that overfits gets none.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Mapping
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet._work import progress as show_progress
from brainnet.encode.reading import Reading, reads_of
from brainnet.ridge import convex_weights
from brainnet.ridge.estimator import VoxelwiseRegressor
from brainnet.ridge.folds import make_folds

POOLINGS = (0.0, 0.5, 1.0, 2.0, 4.0, 8.0, math.inf)
MOST_VOXELS = 2000  # that choose the pooling


class StackedMethodsCV(VoxelwiseRegressor):
    """A convex mix per voxel of the predictions of several methods of encoding.

    A method that reads one layer takes part once for each layer.

    Args:
        methods: name -> estimator; each is fitted to every fold and to all images, as a copy.
        cv: folds that give the left-out predictions, as for :class:`brainnet.ridge.RidgeCV`, "loo" excepted. Within
            them each method chooses as it always does.
        progress: whether a bar shows on a terminal.

    Attributes:
        members_: names of what is mixed, "method" or "method, layer", in the order of the rows below.
        weights_: (n_members, n_voxels) float64, >= 0, summing to 1; NaN for voxels with NaN.
        r2_: (n_members, n_voxels) float64 R2 of the left-out predictions.
        cv_scores_: (n_voxels,) float64 R2 of their mix, optimistic by the choice of the weights.
        pooling_: how much the voxels speak for one another, see :func:`mix_of`.

    Reference: Breiman (1996), Machine Learning 24, 49-64.
    """

    reads = "images"
    per_voxel = ("weights_", "members_")

    def __init__(self, methods: Mapping[str, Any], cv: Any = 5, *, progress: bool = False):
        self.methods = methods
        self.cv = cv
        self.progress = progress

    def fit(self, X: Reading, Y: Tensor, groups: Any = None) -> StackedMethodsCV:
        """Fits every method, and the mix.

        Args:
            X: the training images.
            Y: (n_images, n_voxels).
            groups: (n_images,) labels, for ``cv="groups"``.

        Raises:
            ValueError: fewer than two methods, or ``cv="loo"``.
        """
        if isinstance(self.cv, str) and self.cv == "loo":
            raise ValueError("stacking needs left-out predictions; give a number of folds instead of cv='loo'.")
        members = self._members(X)
        if len(members) < 2:
            raise ValueError(f"a mix needs two methods or more, or one that reads several layers; got {list(members)}.")
        response = torch.as_tensor(Y).double()
        folds = make_folds(self.cv, len(response), groups)
        left_out = response.new_full((len(members), *response.shape), torch.nan)
        self._estimators = {}
        jobs = [(member, fold) for member in range(len(members)) for fold in [*folds, None]]
        for member, fold in show_progress(jobs, "stacking", enabled=self.progress):
            name, (estimator, layer) = list(members.items())[member]
            rows = torch.arange(len(response)) if fold is None else fold[0]
            fit = copy.deepcopy(estimator)
            chosen = {} if groups is None or getattr(fit, "cv", None) != "groups" else {"groups": _rows(groups, rows)}
            fit.fit(X.part(rows).as_(reads_of(fit), layer), Y[rows], **chosen)
            if fold is None:
                self._estimators[name] = (fit, layer)
            else:
                predicted = fit.predict(X.part(fold[1]).as_(reads_of(fit), layer))
                left_out[member, fold[1]] = torch.as_tensor(predicted).to(left_out)
        self.members_ = list(members)
        self.weights_, self.r2_, self.cv_scores_, self.pooling_ = mix_of(left_out, response)
        self.n_features_in_ = len(members)
        return self

    def predict(self, X: Reading) -> Tensor:
        """Predicted responses, (n_images, n_voxels)."""
        self._check_fitted()
        mixed: Any = 0.0
        for weight, (estimator, layer) in zip(self.weights_, self._estimators.values(), strict=True):
            mixed = mixed + weight * torch.as_tensor(estimator.predict(X.as_(reads_of(estimator), layer))).to(weight)
        return mixed.to(torch.get_default_dtype())

    def training_score(self) -> Tensor:
        """(n_voxels,) R2 of the mix of left-out predictions, ``cv_scores_``."""
        self._check_fitted()
        return self.cv_scores_

    def _members(self, X: Reading) -> dict[str, tuple[Any, str | None]]:
        """Name -> estimator and the layer it reads, where it reads one."""
        members: dict[str, tuple[Any, str | None]] = {}
        for name, estimator in self.methods.items():
            if reads_of(estimator) == "features":
                members |= {f"{name}, {layer}": (estimator, layer) for layer in X.layers}
            else:
                members[name] = (estimator, None)
        return members


class Mix(NamedTuple):
    """Convex weights of some members, and what they were worth on the images that found them; all float64.

    Attributes:
        weights: (n_members, n_voxels), >= 0, summing to 1; NaN for voxels with NaN.
        r2: (n_members, n_voxels) R2 of each member alone.
        scores: (n_voxels,) R2 of the mix, optimistic by the choice of the weights.
        pooling: how much the voxels speak for one another, 0 (each for itself) to infinity (one mix for all).
    """

    weights: Tensor
    r2: Tensor
    scores: Tensor
    pooling: float


def mix_of(left_out: Tensor, response: Tensor) -> Mix:
    """The convex mix of predictions with the least squared error per voxel.

    The error of a mix is a quadratic form in products of its members' errors. Of a hundred images these are uncertain,
    so to a voxel's own are added ``pooling`` times the mean of all voxels', each over the variance of its responses:
    as if the images counted that many times more. How many times is chosen on the images themselves, by leaving out
    a fifth of them after the other.

    Args:
        left_out: (n_members, n_images, n_voxels) predictions of images that the member was not fitted to; rows of NaN
            are images that no fold left out.
        response: (n_images, n_voxels).

    Reference: convex weights, Breiman (1996), Machine Learning 24, 49-64.

    >>> response = torch.tensor([[1.0], [2.0], [3.0], [4.0]])
    >>> mix = mix_of(torch.stack([response, torch.zeros(4, 1)]), response)
    >>> mix.weights[:, 0].round(decimals=3).tolist(), mix.scores.round(decimals=3).tolist()
    ([1.0, 0.0], [1.0])
    """
    seen = ~left_out.isnan().all(2).any(0)  # (n_images,)
    errors, y = (left_out[:, seen] - response[seen]).double(), response[seen].double()
    total = (y - y.mean(0)).square().sum(0)
    total = torch.where(total > 0, total, torch.nan)
    scaled = errors / (total / len(y)).sqrt()
    pooling = _pooling(scaled)
    weights = convex_weights(_pooled(_products(scaled), pooling)).T
    mixed = torch.einsum("iv,inv->nv", weights, errors)
    return Mix(weights, 1 - errors.square().sum(1) / total, 1 - mixed.square().sum(0) / total, pooling)


def _products(errors: Tensor) -> Tensor:
    """(n_voxels, n_members, n_members) products of errors (n_members, n_images, n_voxels), summed over images."""
    return torch.einsum("inv,jnv->vij", errors, errors)


def _pooled(own: Tensor, pooling: float) -> Tensor:
    """Products of each voxel, with the mean of all voxels' ``pooling`` times beside them."""
    known = own[own.isfinite().all(2).all(1)]
    if pooling == 0 or not len(known):
        return own
    # a voxel that holds NaN stays NaN, also where only what is common counts
    return own + pooling * known.mean(0) if math.isfinite(pooling) else 0 * own + known.mean(0)


def _pooling(errors: Tensor) -> float:
    """The pooling whose weights have the least error on images that did not find them, of a few thousand voxels."""
    some = errors[:, :, errors.isfinite().all(1).all(0)]
    some = some[:, :, :: -(-max(1, some.shape[2]) // MOST_VOXELS)]
    n_folds = min(5, some.shape[1])
    if some.shape[2] < 2 or n_folds < 2:
        return 0.0  # nobody to speak for
    fold = torch.arange(some.shape[1]) % n_folds
    parts = [(_products(some[:, fold != k]), _products(some[:, fold == k])) for k in range(n_folds)]

    def missed(pooling: float) -> float:
        weights = ((convex_weights(_pooled(found, pooling)), held) for found, held in parts)
        return float(sum(torch.einsum("vi,vij,vj->", w, held, w) for w, held in weights))

    return min(POOLINGS, key=missed)


def _rows(groups: Any, rows: Tensor) -> Any:
    import numpy as np

    return np.asarray(groups)[rows.numpy()]
