"""Banded ridge: one penalty per feature space and voxel, so that each space counts as much as it deserves.

Layers of a network are feature spaces of very different size and scale; one shared penalty lets the largest win. Here
each voxel gets its own mix of the spaces' kernels, searched at random. Kernels are centered and
given equal trace first, which is what both the search and the split of R2 need.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.ridge.estimator import VoxelwiseRegressor, renamed
from brainnet.ridge.features import Features, kernel_between, measure
from brainnet.ridge.folds import make_folds
from brainnet.ridge.mixes import draw_mixes, search_mixes
from brainnet.scores import split_r2


class BandedRidgeCV(VoxelwiseRegressor):
    """Ridge with a penalty per feature space (band) and voxel, found by random search with cross-validation.

    Args:
        groups: (n_features,) labels that say which space each column of X belongs to; not needed where ``fit`` is given
            a mapping, name -> features.
        alphas: penalties tried with each mix; None takes 20 from 1e-4 to 1e4 times the mean eigenvalue of a space.
        cv: as for :class:`RidgeCV`, "loo" excepted.
        n_iter: number of mixes tried (the first one is equal shares, the others are Dirichlet samples), or an array
            (n_mixes, n_spaces) of mixes. Each costs about one ``RidgeCV``.
        fit_intercept: whether features and responses are centered, on all images given to ``fit`` and again on the
            training images of each fold.
        standardize: whether each feature is z-scored on the images given to ``fit``.
        equal_trace: whether each space's kernel is scaled to mean eigenvalue 1; False keeps the sizes they come with.
        concentration: of the Dirichlet samples, used in turn: small ones give sparse mixes.
        seed: of the search.
        memory: bytes for blocks of features and for batches of voxels, beside n_spaces (n_images, n_images) kernels.

    Attributes:
        space_names_: in the order of the rows below.
        shares_: (n_spaces, n_voxels) the mix chosen, summing to 1.
        best_alphas_: (n_voxels,).
        cv_scores_: (n_mixes, n_voxels) float64, minus the mean square error of each mix at its best penalty, averaged
            over folds.
        coef_: name -> (n_voxels, n_features) for features as given.
        intercept_: (n_voxels,).

    Reference: Dupre la Tour, Eickenberg, Nunez-Elizalde and Gallant (2022), NeuroImage 264, 119728.

    >>> rng = np.random.default_rng(0)
    >>> spaces = {"good": rng.normal(size=(60, 5)), "noise": rng.normal(size=(60, 200))}
    >>> model = BandedRidgeCV(n_iter=20).fit(spaces, spaces["good"] @ rng.normal(size=(5, 2)))
    >>> (model.shares_[0] > 0.9).tolist(), {k: v.round(1).tolist() for k, v in model.split(spaces).items()}.keys()
    ([True, True], dict_keys(['good', 'noise']))
    """

    reads = "spaces"
    per_voxel = ("best_alphas_", "shares_")

    @renamed(standardise="standardize")
    def __init__(
        self,
        groups: Sequence | None = None,
        alphas: Sequence[float] | None = None,
        cv: Any = 5,
        *,
        n_iter: int | Sequence = 50,
        fit_intercept: bool = True,
        standardize: bool = False,
        equal_trace: bool = True,
        concentration: Sequence[float] = (0.1, 1.0),
        seed: int = 0,
        memory: int = 1 << 28,
    ):
        self.groups = groups
        self.alphas = alphas
        self.cv = cv
        self.n_iter = n_iter
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.equal_trace = equal_trace
        self.concentration = concentration
        self.seed = seed
        self.memory = memory

    def fit(self, X: Any, Y: Any, groups: Any = None) -> BandedRidgeCV:
        """Searches mixes and penalties and fits weights.

        Args:
            X: name -> (n_images, n_features), or one array with ``groups=`` given to the constructor.
            Y: (n_images, n_voxels).
            groups: (n_images,) run labels, for ``cv="groups"``.
        """
        spaces = self._spaces(X)
        dtype = torch.float64 if any(np.dtype("float64") == _numpy_dtype(x) for x in spaces.values()) else None
        opened = {name: self._open(x, Y, dtype) for name, x in spaces.items()}
        self._fitted: dict[str, Features] = {name: features for name, (features, _) in opened.items()}
        Y = next(iter(opened.values()))[1]
        self._dtype, self._device = Y.dtype, Y.device
        self.space_names_ = list(spaces)
        self.n_features_in_ = sum(features.width for features in self._fitted.values())
        if isinstance(self.cv, str) and self.cv == "loo":
            raise ValueError("BandedRidgeCV searches by folds; cv='loo' is for RidgeCV and WindowRidgeCV.")
        folds = [(a.to(Y.device), b.to(Y.device)) for a, b in make_folds(self.cv, len(Y), groups)]

        self._scalings = {
            k: measure(f, self.fit_intercept, self.standardize, self.memory) for k, f in self._fitted.items()
        }
        kernels = torch.stack([kernel_between(f, f, self._scalings[k], self.memory) for k, f in self._fitted.items()])
        mean_eigenvalue = kernels.diagonal(dim1=1, dim2=2).mean(1)
        self._gains = torch.ones_like(mean_eigenvalue)
        if self.equal_trace:
            self._gains = torch.where(mean_eigenvalue > 0, 1 / mean_eigenvalue, 0.0)  # an empty space adds nothing
        kernels = (kernels * self._gains[:, None, None]).to(Y.dtype)
        typical = 1.0 if self.equal_trace else mean_eigenvalue.mean().item()
        alphas = np.asarray(
            10.0 ** np.linspace(-4, 4, 20) * typical if self.alphas is None else self.alphas, dtype=float
        )
        if not alphas.size or not (np.isfinite(alphas) & (alphas > 0)).all():
            raise ValueError(f"alphas must be one or more positive finite penalties, got {self.alphas!r}.")
        self.alphas_ = alphas

        self._mean_y = Y.mean(0) if self.fit_intercept else torch.zeros_like(Y[0])  # kernels are centered
        mixes = self._mixes(len(spaces), Y)
        found = search_mixes(
            kernels,
            Y - self._mean_y,
            mixes,
            torch.from_numpy(alphas).to(Y),
            folds,
            centre=self.fit_intercept,
            memory=self.memory,
        )
        self._mix, self._weights = mixes[found.mix].T, found.weights
        self.best_alphas_ = self._give(torch.from_numpy(alphas).to(Y)[found.alpha])
        self.shares_ = self._give(self._mix / self._mix.sum(0))
        cv_scores = found.scores
        cv_scores[:, ~self._moving(Y)] = torch.nan
        self.cv_scores_ = self._give(cv_scores)
        return self

    def predict(self, X: Any) -> Any:
        """Predicted responses, (n_images, n_voxels), or (n_images,) for responses given so; NaN for NaN voxels."""
        return self._give_prediction(sum(self._split(X).values()) + self._mean_y)

    def split(self, X: Any) -> dict[str, Any]:
        """Name -> (n_images, n_voxels), what each space adds to the prediction; the intercept is left out."""
        return {name: self._give_prediction(part) for name, part in self._split(X).items()}

    def score_split(self, X: Any, Y: Any) -> dict[str, Any]:
        """R2 on these images split over spaces, see :func:`brainnet.scores.split_r2`; sums to :meth:`score`."""
        parts = self._split(X) | {"intercept": self._mean_y.expand(len(next(iter(self._spaces(X).values()))), -1)}
        response = torch.as_tensor(Y)
        shares = split_r2(parts, response.reshape(len(response), -1))
        del shares["intercept"]  # constant, so nothing: a wrong mean shows in "offset"
        return {name: self._give(share) for name, share in shares.items()}

    @property
    def coef_(self) -> dict[str, Any]:
        """Name -> (n_voxels, n_features) weights for the features as given; worked out at each call."""
        return {name: self._give(self._primal_weights(index).T) for index, name in enumerate(self.space_names_)}

    @property
    def intercept_(self) -> Any:
        """(n_voxels,) prediction where all features are zero."""
        means = [self._scalings[name].mean.to(self._dtype) for name in self.space_names_]
        return self._give(self._mean_y - sum(mean @ self._primal_weights(i) for i, mean in enumerate(means)))

    def _primal_weights(self, index: int) -> Tensor:
        name = self.space_names_[index]
        features, scaling = self._fitted[name], self._scalings[name]
        weights = self._weights.new_empty(features.width, self._weights.shape[1])
        for part, block in features.columns(self.memory // 3):
            weights[part] = scaling(block, part).T @ self._weights
        weights *= self._mix[index] * self._gains[index].to(self._dtype)
        return weights if scaling.sd is None else weights / scaling.sd[:, None].to(self._dtype)

    def _split(self, X: Any) -> dict[str, Tensor]:
        self._check_fitted()
        spaces = self._spaces(X)
        if list(spaces) != self.space_names_:
            raise ValueError(f"X has spaces {list(spaces)} but the model was fitted on {self.space_names_}.")
        parts = {}
        for index, (name, x) in enumerate(spaces.items()):
            new, fitted = Features(x, self._dtype, self._device), self._fitted[name]
            if new.width != fitted.width:
                raise ValueError(f"space {name!r} has {new.width} features but the model was fitted on {fitted.width}.")
            kernel = kernel_between(new, fitted, self._scalings[name], self.memory) * self._gains[index]
            parts[name] = (kernel.to(self._dtype) @ self._weights) * self._mix[index]
        return parts

    def _spaces(self, X: Any) -> dict[str, Any]:
        if isinstance(X, Mapping):
            if not X:
                raise ValueError("X names no feature spaces.")
            return dict(X)
        if self.groups is None:
            raise ValueError(
                "give X as name -> features, or say which columns belong together: BandedRidgeCV(groups=...)."
            )
        labels = np.asarray(self.groups)
        if labels.shape != (X.shape[1],):
            raise ValueError(f"groups must be ({X.shape[1]},), one label per feature, got {labels.shape}.")
        names = list(dict.fromkeys(labels.tolist()))
        return {str(name): X[:, np.flatnonzero(labels == name)] for name in names}

    def _mixes(self, n_spaces: int, Y: Tensor) -> Tensor:
        """(n_mixes, n_spaces) the mixes to try."""
        if isinstance(self.n_iter, int | np.integer):
            return draw_mixes(int(self.n_iter), n_spaces, self.concentration, self.seed).to(Y)
        mixes = torch.as_tensor(np.asarray(self.n_iter, dtype=float)).to(Y)
        if mixes.ndim != 2 or mixes.shape[1] != n_spaces or (mixes < 0).any() or not (mixes.sum(1) > 0).all():
            raise ValueError(
                f"n_iter is a number, or mixes (n, {n_spaces}) >= 0 and not all 0; got {tuple(mixes.shape)}."
            )
        return mixes


def _numpy_dtype(x: Any) -> Any:
    return np.dtype("float64") if getattr(x, "dtype", None) == torch.float64 else getattr(x, "dtype", None)
