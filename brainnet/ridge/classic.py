"""Other linear regressions users compare ridge with, through scikit-learn, behind the same interface.

Partial least squares, principal components, lasso and elastic net: one setting per voxel, chosen by cross-validation on
the training images, as :class:`RidgeCV` chooses its penalty. They hold all features in memory.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import torch

from brainnet.ridge.cross_validation import SCORING
from brainnet.ridge.estimator import VoxelwiseRegressor, renamed
from brainnet.ridge.features import measure
from brainnet.ridge.folds import make_folds

METHODS = ("pls", "pcr", "lasso", "elastic_net")


class LinearRegressionCV(VoxelwiseRegressor):
    """PLS, principal-component regression, lasso or elastic net, its setting chosen per voxel by cross-validation.

    Args:
        method: "pls" and "pcr" (setting: number of components), "lasso" and "elastic_net" (setting: penalty alpha of
            scikit-learn, which has 1 / (2 n) before the squares, unlike ridge here).
        settings: to choose from; None takes 1, 2, 5, 10, 25, 50, 100 components as far as the smallest fold allows, or
            10 penalties from 1e-3 to 1.
        cv: as for :class:`RidgeCV`, "loo" excepted.
        l1_ratio: of the elastic net, in (0, 1].
        standardize: whether each feature is z-scored on the images given to ``fit``. (An intercept is always fitted.)
        scoring: "neg_mse", "r2" or "pearson_r", averaged over folds.
        memory: bytes for blocks of features while they are measured.

    Attributes:
        best_settings_: (n_voxels,).
        cv_scores_: (n_settings, n_voxels) float64.
        coef_: (n_voxels, n_features) for features as given.
        intercept_: (n_voxels,).

    PLS finds its components for all voxels together, so there a voxel's fit depends on the others.

    >>> X = np.random.default_rng(0).normal(size=(80, 6))
    >>> model = LinearRegressionCV("lasso").fit(X, X[:, :1] * 3)
    >>> model.coef_.round(1).nonzero()
    (array([0]), array([0]))
    """

    per_voxel = ("best_settings_",)

    @renamed(standardise="standardize")
    def __init__(
        self,
        method: str = "pls",
        settings: Sequence[float] | None = None,
        cv: Any = 5,
        *,
        l1_ratio: float = 0.5,
        standardize: bool = False,
        scoring: str = "neg_mse",
        memory: int = 1 << 28,
    ):
        self.method = method
        self.settings = settings
        self.cv = cv
        self.l1_ratio = l1_ratio
        self.standardize = standardize
        self.scoring = scoring
        self.memory = memory

    def fit(self, X: Any, Y: Any, groups: Any = None) -> LinearRegressionCV:
        """Chooses settings and fits weights; X (n_images, n_features), Y (n_images, n_voxels) or (n_images,)."""
        if self.method not in METHODS or self.scoring not in SCORING:
            raise ValueError(
                f"method is one of {', '.join(METHODS)} and scoring one of {', '.join(SCORING)}; "
                f"got {self.method!r} and {self.scoring!r}."
            )
        features, Y = self._open(X, Y)
        self._dtype, self._device = Y.dtype, Y.device
        if isinstance(self.cv, str) and self.cv == "loo":
            raise ValueError(f"{self.method} has no closed form for cv='loo'; give a number of folds.")
        folds = [(a.numpy(), b.numpy()) for a, b in make_folds(self.cv, len(Y), groups)]
        scaling = measure(features, centre=True, scale=self.standardize, memory=self.memory)
        x, y = scaling(features.read()).cpu().numpy(), Y.cpu().numpy()
        settings = self._settings(min(len(train) for train, _ in folds), x.shape[1])
        make = _maker(self.method, self.l1_ratio)

        scores = torch.zeros(len(settings), Y.shape[1], dtype=torch.float64)
        for train, held_out in folds:
            for row, setting in zip(scores, settings, strict=True):
                coef, intercept = make(setting, x[train], y[train])
                row += SCORING[self.scoring](
                    torch.from_numpy(x[held_out] @ coef.T + intercept), torch.from_numpy(y[held_out])
                )
        scores /= len(folds)
        moves = self._moving(Y).cpu()
        scores[:, ~moves] = torch.nan
        best = scores.nan_to_num(nan=-torch.inf).argmax(0).numpy()

        weights, offset = np.zeros((Y.shape[1], x.shape[1]), x.dtype), np.zeros(Y.shape[1], x.dtype)
        for index in np.unique(best):
            coef, intercept = make(settings[index], x, y)
            weights[best == index], offset[best == index] = coef[best == index], intercept[best == index]
        if scaling.sd is not None:
            weights /= scaling.sd.cpu().numpy()
        self._coef, self._scaling = torch.from_numpy(weights).to(Y), scaling._replace(sd=None)
        self._mean_y = torch.from_numpy(offset).to(Y)
        self.coef_ = self._give(self._coef)
        self.intercept_ = self._give(self._mean_y - self._coef @ scaling.mean.to(Y))
        self.best_settings_ = np.asarray(settings)[best]
        if self.settings is not None and self.method in ("lasso", "elastic_net"):
            self._warn_at_edges(torch.from_numpy(self.best_settings_), settings, moves)
        self.cv_scores_ = self._give(scores)
        return self

    def predict(self, X: Any) -> Any:
        """Predicted responses, (n_images, n_voxels), or (n_images,) for responses given so; NaN for NaN voxels."""
        features = self._reopen(X)
        out = self._mean_y.repeat(len(features), 1)
        for place, block in features.rows(self.memory // 2):
            out[place] += self._scaling(block) @ self._coef.T
        return self._give_prediction(out)

    def _settings(self, n_train: int, n_features: int) -> list:
        counts = self.method in ("pls", "pcr")
        most = min(n_train - 1, n_features)
        if self.settings is None:
            return [k for k in (1, 2, 5, 10, 25, 50, 100) if k <= most] if counts else np.logspace(-3, 0, 10).tolist()
        settings = list(self.settings)
        low, high = (1, most) if counts else (1e-300, np.inf)
        if not settings or not all(low <= value <= high for value in settings):
            allowed = (
                f"components from 1 to {most} (images of the smallest fold, features)" if counts else "penalties > 0"
            )
            raise ValueError(f"settings of {self.method} are {allowed}; got {settings}.")
        return settings


def _maker(method: str, l1_ratio: float) -> Callable:
    """(setting, x, y) -> weights (n_voxels, n_features) and intercept (n_voxels,)."""
    from sklearn.cross_decomposition import PLSRegression
    from sklearn.decomposition import PCA
    from sklearn.linear_model import ElasticNet, Lasso

    def pls(n_components, x, y):
        fit = PLSRegression(n_components, scale=False).fit(x, y)
        return fit.coef_, fit.predict(np.zeros_like(x[:1])).reshape(-1)  # its intercept_ is for centered features

    def pcr(n_components, x, y):
        pca = PCA(n_components, svd_solver="full").fit(x)
        scores, mean = pca.transform(x), y.mean(0)
        size = np.square(scores).sum(0)
        slopes = np.divide((y - mean).T @ scores, size, out=np.zeros((y.shape[1], len(size)), x.dtype), where=size > 0)
        coef = slopes @ pca.components_
        return coef, mean - coef @ pca.mean_

    def sparse(kind):
        def fit_sparse(alpha, x, y):
            fit = kind(alpha).fit(x, y)
            return np.atleast_2d(fit.coef_), np.atleast_1d(fit.intercept_)

        return fit_sparse

    net = sparse(lambda alpha: ElasticNet(alpha=alpha, l1_ratio=l1_ratio))
    return {"pls": pls, "pcr": pcr, "lasso": sparse(lambda alpha: Lasso(alpha=alpha)), "elastic_net": net}[method]
