"""Ridge and kernel ridge with a penalty per voxel, chosen by cross-validation on the training images.

One idea: whichever Gram matrix is smaller, (p x p) over features or (n x n) over images, is summed once in blocks and
decomposed once per fold; all voxels and all penalties share that. What is left is one matrix product per penalty,
over batches of voxels that fit a stated number of bytes. Neither batches nor blocks change a result.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
import torch
from torch import Tensor

from brainnet.ridge.estimator import VoxelwiseRegressor, renamed
from brainnet.ridge.features import SUM_AT_ONCE, Features, Scaling, kernel_between, measure
from brainnet.ridge.folds import make_folds
from brainnet.ridge.spectrum import Spectrum, leave_one_out, part_of_kernel, residual_score, spectrum_of_kernel
from brainnet.scores import pearson_r, r2

SCORING: dict[str, Callable[[Tensor, Tensor], Tensor]] = {
    "neg_mse": lambda prediction, response: -_mean_square(response - prediction),
    "r2": r2,
    "pearson_r": pearson_r,
}
_RELATIVE_ALPHAS = 10.0 ** np.linspace(-4, 4, 20)
_VOXELS_AT_ONCE = 512  # a processor multiplies more columns no faster; they would only take memory


class _Fold(NamedTuple):
    """One decomposition: predictions of held-out images are ``reads @ diag(1 / (values + alpha)) @ coordinates``."""

    values: Tensor  # (k,)
    reads: Tensor  # (n_held_out, k)
    coordinates: Callable[[slice], Tensor]  # voxels -> (k, b)
    mean: Tensor  # (n_voxels,) of the training images; 0 without intercept
    held_out: Tensor


class _PenaltySearch(VoxelwiseRegressor):
    """Scores every penalty for every voxel, and solves by images; where Gram matrices come from is the subclass's."""

    def _read_settings(self, Y: Tensor, groups: Any) -> list[tuple[Tensor, Tensor]] | None:
        """Checks arguments; returns the folds, None for leave-one-out."""
        if self.scoring not in SCORING:
            raise ValueError(f"scoring is one of {', '.join(SCORING)}; got {self.scoring!r}.")
        self._dtype, self._device = Y.dtype, Y.device
        if not (isinstance(self.cv, str) and self.cv == "loo"):
            return make_folds(self.cv, len(Y), groups)
        if len(Y) < 3:
            raise ValueError(f"leave-one-out needs at least 3 images, got {len(Y)}.")
        return None

    def _read_alphas(self, mean_eigenvalue: float) -> None:
        given = _RELATIVE_ALPHAS * mean_eigenvalue if self.alphas is None else self.alphas
        alphas = np.atleast_1d(np.asarray(given, dtype=float))
        if alphas.ndim != 1 or not alphas.size or not (np.isfinite(alphas) & (alphas >= 0)).all():
            raise ValueError(f"alphas must be one or more finite penalties, at least 0; got {self.alphas!r}.")
        self.alphas_ = alphas
        self._alphas = torch.from_numpy(alphas).to(self._device, self._dtype)

    def _search(self, folds: Iterator[_Fold], n_folds: int, Y: Tensor) -> None:
        """Chooses penalties by the mean of their scores over folds."""
        total = torch.zeros(len(self._alphas), Y.shape[1], dtype=torch.float64, device=Y.device)
        for fold in folds:
            self._add_scores(total, fold, Y)
            del fold  # before the next one is made
        self._choose(total.div_(n_folds), Y)

    def _add_scores(self, total: Tensor, fold: _Fold, Y: Tensor) -> None:
        filters = 1 / (fold.values + self._alphas[:, None])
        for voxels in self._voxel_batches(Y, 3 * len(fold.values) + 4 * len(fold.held_out)):
            response = Y[fold.held_out, voxels].sub_(fold.mean[voxels])
            coordinates = fold.coordinates(voxels)
            for scores, row in zip(total, filters, strict=True):
                scores[voxels] += SCORING[self.scoring]((fold.reads * row) @ coordinates, response)

    def _search_leaving_one_out(self, spectrum: Spectrum, Y: Tensor) -> None:
        total = torch.zeros(len(self._alphas), Y.shape[1], dtype=torch.float64, device=Y.device)
        for voxels in self._voxel_batches(Y, len(spectrum.values) + 5 * len(Y)):
            response = Y[:, voxels] - self._mean_y[voxels]
            coordinates = spectrum.vectors.T @ response
            score = residual_score(self.scoring, response)
            left_out = leave_one_out(spectrum, coordinates, response, self.alphas_.tolist(), self.fit_intercept)
            for scores, residual in zip(total, left_out, strict=True):
                scores[voxels] = score(residual)
        self._choose(total, Y)

    def _choose(self, scores: Tensor, Y: Tensor) -> None:
        moves = self._moving(Y)
        scores[:, ~moves] = torch.nan
        known = scores.nan_to_num(nan=-torch.inf)
        if not self.alpha_per_voxel and moves.any():
            known = known[:, moves].mean(1, keepdim=True).expand_as(scores)
        best = torch.where(known.isneginf().all(0), self._alphas.argmax(), known.argmax(0))  # no ground: the safest
        self._best = self._alphas[best]
        self.cv_scores_ = self._give(scores)
        self.best_alphas_ = self._give(self._best)
        if self.alphas is not None:
            self._warn_at_edges(self._best, self._alphas, moves)

    def _voxel_batches(self, Y: Tensor, numbers_per_voxel: int) -> Iterator[slice]:
        step = max(1, self.memory // (numbers_per_voxel * Y.dtype.itemsize))
        if self._dual and Y.device.type == "cpu":  # a primal fit reads all features for each batch
            step = min(step, _VOXELS_AT_ONCE)
        for start in range(0, Y.shape[1], step):
            yield slice(start, min(Y.shape[1], start + step))

    def _mean_of(self, Y: Tensor, images: Tensor) -> Tensor:
        """(n_voxels,) mean of some images' responses; 0 without intercept."""
        if not self.fit_intercept:
            return torch.zeros_like(Y[0])
        return torch.cat([Y[images, voxels].mean(0) for voxels in self._voxel_batches(Y, len(images))])

    def _fit_kernel(self, kernel: Tensor, Y: Tensor, folds: list | None, sum_to_lose: float = 0.0) -> None:
        """Penalties and dual weights ``_weights`` (n_images, n_voxels) from a float64 kernel between images.

        The default penalties are relative to its trace, less ``sum_to_lose``: what centering will take from that.
        """
        self._read_alphas(((kernel.trace() - sum_to_lose) / len(kernel)).item())
        if folds is not None:
            pairs = ((train.to(Y.device), held_out.to(Y.device)) for train, held_out in folds)
            self._search((self._kernel_fold(kernel, *pair, Y) for pair in pairs), len(folds), Y)
        everyone = torch.arange(len(Y), device=Y.device)
        kernel = part_of_kernel(kernel, everyone, everyone, self.fit_intercept, Y.dtype)
        spectrum = spectrum_of_kernel(kernel, self.fit_intercept, overwrite=True)
        if folds is None:
            self._search_leaving_one_out(spectrum, Y)
        self._weights = torch.empty_like(Y)
        for voxels in self._voxel_batches(Y, 3 * len(spectrum.values) + 2 * len(Y)):
            coordinates = spectrum.vectors.T @ (Y[:, voxels] - self._mean_y[voxels])
            coordinates /= spectrum.values[:, None] + self._best[voxels]
            self._weights[:, voxels] = spectrum.vectors @ coordinates

    def _kernel_fold(self, kernel: Tensor, train: Tensor, held_out: Tensor, Y: Tensor) -> _Fold:
        part = functools.partial(part_of_kernel, kernel, train=train, centre=self.fit_intercept, dtype=Y.dtype)
        vectors, values = spectrum_of_kernel(part(images=train), self.fit_intercept, overwrite=True)
        mean = self._mean_of(Y, train)

        def coordinates(voxels: slice) -> Tensor:
            return vectors.T @ Y[train, voxels].sub_(mean[voxels])

        return _Fold(values, part(images=held_out) @ vectors, coordinates, mean, held_out)


class RidgeCV(_PenaltySearch):
    """Ridge regression of every voxel on the same features, with a penalty per voxel chosen by cross-validation.

    Minimizes ``|y - X w - b|^2 + alpha |w|^2`` per voxel (no 1/n before the squares, the intercept b not penalized), as
    scikit-learn and himalaya do. Works on the smaller of the two Gram matrices; features are read in blocks and may
    be memory-mapped files larger than memory.

    Args:
        alphas: penalties to choose from, >= 0; None takes 20 from 1e-4 to 1e4 times the mean eigenvalue of the kernel
            between images (its trace over n_images). 0 is least squares (of least norm).
        cv: K unshuffled folds, "loo" (exact leave-one-out in closed form), "groups" (leave one run out, with
            ``fit(groups=)``), a scikit-learn splitter, or a list of (train, test) indices.
        fit_intercept: whether features and responses are centered, within each fold on its training part.
        standardize: whether each feature is z-scored with mean and SD of the images given to ``fit``; a constant one
            becomes zero. (Inner folds use the same SD, as a scikit-learn pipeline around the search would.)
        scoring: "neg_mse", "r2" or "pearson_r"; averaged over folds, pooled over images for leave-one-out.
        alpha_per_voxel: False chooses one penalty for all voxels, by the mean of their scores.
        solver: "auto" (the smaller Gram), "primal" (features) or "dual" (images).
        memory: bytes that temporary blocks of features and batches of voxels may take, beside the Gram matrix. A primal
            fit holds the held-out features of a fold, and reads the store once per batch of voxels and fold.

    Attributes:
        best_alphas_: (n_voxels,).
        cv_scores_: (n_alphas, n_voxels) float64; NaN for voxels that never change or hold a NaN.
        alphas_: (n_alphas,) the penalties tried.

    Arithmetic is float64 if features or responses are, else float32 with float64 where it matters: sums over blocks,
    centering, scores. Results live where the data do: numpy for numpy, tensors on the device of the features if
    they are on a GPU, else on that of the responses. A dual fit keeps a reference to its features to predict from.

    Raises:
        ValueError: from ``fit``, for differing numbers of images, fewer images than folds, negative penalties, NaN in
            features, or responses without a number for some image.

    Reference: Rifkin and Lippert (2007), MIT-CSAIL-TR-2007-025 (decompose once, leave-one-out by leverages).

    >>> X = np.random.default_rng(0).normal(size=(60, 4))
    >>> Y = X @ [[1.0, 0.0], [0.0, 2.0], [0.0, 0.0], [0.0, 0.0]] + 3
    >>> model = RidgeCV(alphas=[0.01, 1.0, 100.0]).fit(X, Y)
    >>> model.best_alphas_.tolist(), model.intercept_.round(1).tolist(), model.score(X, Y).round(4).tolist()
    ([0.01, 0.01], [3.0, 3.0], [1.0, 1.0])
    """

    @renamed(standardise="standardize")
    def __init__(
        self,
        alphas: Sequence[float] | None = None,
        cv: Any = 5,
        fit_intercept: bool = True,
        *,
        standardize: bool = False,
        scoring: str = "neg_mse",
        alpha_per_voxel: bool = True,
        solver: str = "auto",
        memory: int = 1 << 27,
    ):
        self.alphas = alphas
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.standardize = standardize
        self.scoring = scoring
        self.alpha_per_voxel = alpha_per_voxel
        self.solver = solver
        self.memory = memory

    def fit(self, X: Any, Y: Any, groups: Any = None) -> RidgeCV:
        """Chooses penalties and fits weights; X (n_images, n_features), Y (n_images, n_voxels) or (n_images,)."""
        if self.solver not in ("auto", "primal", "dual"):
            raise ValueError(f"solver is 'auto', 'primal' or 'dual', got {self.solver!r}.")
        features, Y = self._open(X, Y)
        folds = self._read_settings(Y, groups)
        self._dual = self.solver == "dual" or (self.solver == "auto" and features.width > len(Y))
        self._scaling = measure(features, self.fit_intercept, self.standardize, self.memory)
        self._mean_y = Y.mean(0) if self.fit_intercept else torch.zeros_like(Y[0])
        if self._dual:
            self._fitted = features
            self._fit_kernel(kernel_between(features, features, self._scaling, self.memory), Y, folds)
        else:
            self._fit_primal(features, Y, folds)
        return self

    def predict(self, X: Any) -> Any:
        """Predicted responses, (n_images, n_voxels), or (n_images,) for responses given so; NaN for NaN voxels."""
        features = self._reopen(X)
        out = self._mean_y.repeat(len(features), 1)
        if self._dual:
            kernel = kernel_between(features, self._fitted, self._scaling, self.memory)
            out += kernel.to(self._dtype) @ self._weights
        else:
            for place, block in features.rows(self.memory // 2):
                out[place] += self._scaling(block) @ self._weights
        return self._give_prediction(out)

    @property
    def coef_(self) -> Any:
        """(n_voxels, n_features) weights for the features as given; worked out at each call if the fit was dual."""
        return self._give(self._primal_weights().T)

    @property
    def intercept_(self) -> Any:
        """(n_voxels,) prediction where all features are zero."""
        return self._give(self._mean_y - self._scaling.mean.to(self._dtype) @ self._primal_weights())

    @property
    def dual_coef_(self) -> Any:
        """(n_images, n_voxels) weights on images, without the part no feature reaches; after dual fits only."""
        if not self._dual:
            raise AttributeError("this fit was primal and has no dual_coef_; ask for solver='dual'.")
        return self._give(self._weights)

    def _primal_weights(self) -> Tensor:
        """(n_features, n_voxels) for the features as given."""
        if self._dual:
            weights = self._weights.new_empty(self.n_features_in_, self._weights.shape[1])
            for part, block in self._fitted.columns(self.memory // 3):
                weights[part] = self._scaling(block, part).T @ self._weights
        else:
            weights = self._weights
        return weights if self._scaling.sd is None else weights / self._scaling.sd[:, None].to(self._dtype)

    def _fit_primal(self, features: Features, Y: Tensor, folds: list | None) -> None:
        everyone = torch.arange(len(Y))
        gram, _ = self._gram(features, everyone)
        self._read_alphas((gram.trace() / len(Y)).item())
        if folds is not None:
            self._search((self._feature_fold(features, gram, *fold, Y) for fold in folds), len(folds), Y)
        vectors, values = spectrum_of_kernel(gram.to(Y.dtype), centred=False, overwrite=True)
        if folds is None:
            left = torch.cat([self._scaling(block) @ vectors for _, block in features.rows(self.memory // 2)])
            self._search_leaving_one_out(Spectrum(left / values.sqrt(), values), Y)
        self._weights = Y.new_empty(features.width, Y.shape[1])
        for voxels in self._voxel_batches(Y, 4 * features.width + len(Y)):
            centred = Y[:, voxels] - self._mean_y[voxels]
            coordinates = vectors.T @ self._cross(features, everyone, centred)
            self._weights[:, voxels] = vectors @ coordinates.div_(values[:, None] + self._best[voxels])

    def _feature_fold(self, features: Features, gram: Tensor, train: Tensor, held_out: Tensor, Y: Tensor) -> _Fold:
        rest = torch.ones(len(Y), dtype=torch.bool).index_fill_(0, train, False).nonzero()[:, 0]
        outside, total_outside = self._gram(features, rest)
        inner = gram - outside
        mean_x = torch.zeros_like(self._scaling.mean)
        if self.fit_intercept:
            mean_x = -total_outside / len(train)  # all images together sum to zero
            inner = inner - len(train) * torch.outer(mean_x, mean_x)
        mean = self._mean_of(Y, train.to(Y.device))
        vectors, values = spectrum_of_kernel(inner.to(Y.dtype), centred=False, overwrite=True)
        offset = mean_x.to(Y.dtype)
        reads = [(self._scaling(x) - offset) @ vectors for _, x in features.rows(self.memory // 2, index=held_out)]

        def coordinates(voxels: slice) -> Tensor:
            # responses sum to zero over the training part, so the features' own mean there drops out
            return vectors.T @ self._cross(features, train, Y[train.to(Y.device), voxels].sub_(mean[voxels]))

        return _Fold(values, torch.cat(reads), coordinates, mean, held_out.to(Y.device))

    def _gram(self, features: Features, index: Tensor) -> tuple[Tensor, Tensor]:
        """Gram matrix (p, p) and sum (p,) of the features of some images, float64."""
        gram = torch.zeros(features.width, features.width, dtype=torch.float64, device=self._device)
        total = torch.zeros_like(gram[0])
        for _, block in features.rows(self.memory // 3, SUM_AT_ONCE, index=index):
            block = self._scaling(block)
            gram += block.T @ block
            total += block.sum(0, dtype=torch.float64)
        return gram, total

    def _cross(self, features: Features, index: Tensor, response: Tensor) -> Tensor:
        """Features' (p, b) products with responses (len(index), b)."""
        product = response.new_zeros(features.width, response.shape[1])
        for place, block in features.rows(self.memory // 3, index=index):
            product += self._scaling(block).T @ response[place]
        return product


class KernelRidgeCV(_PenaltySearch):
    """Kernel ridge regression of every voxel, with a penalty per voxel chosen by cross-validation.

    Args:
        kernel: "linear", "rbf" ``exp(-gamma |x - z|^2)``, "polynomial" ``(gamma x.z + 1)^degree``, "precomputed" (X is
            (n_images, n_images) in ``fit``, (n_new, n_images) in ``predict``), or a function of two feature matrices.
        gamma: None is 1 / n_features.
        degree: of the polynomial.
        alphas, cv, fit_intercept, scoring, alpha_per_voxel, memory: as for :class:`RidgeCV`; with an intercept the
            kernel is centered within each fold.

    Attributes:
        best_alphas_: as for :class:`RidgeCV`, and so are ``cv_scores_`` and ``alphas_``.
        dual_coef_: (n_images, n_voxels).

    >>> X = np.linspace(-2, 2, 60)[:, None]
    >>> model = KernelRidgeCV("rbf", gamma=1.0, alphas=[0.01, 10.0], cv="loo").fit(X, np.sin(3 * X))
    >>> model.score(X, np.sin(3 * X)).round(2)
    array([1.])
    """

    def __init__(
        self,
        kernel: str | Callable[[Tensor, Tensor], Tensor] = "linear",
        alphas: Sequence[float] | None = None,
        cv: Any = 5,
        fit_intercept: bool = True,
        *,
        gamma: float | None = None,
        degree: int = 3,
        scoring: str = "neg_mse",
        alpha_per_voxel: bool = True,
        memory: int = 1 << 27,
    ):
        self.kernel = kernel
        self.alphas = alphas
        self.cv = cv
        self.fit_intercept = fit_intercept
        self.gamma = gamma
        self.degree = degree
        self.scoring = scoring
        self.alpha_per_voxel = alpha_per_voxel
        self.memory = memory

    def fit(self, X: Any, Y: Any, groups: Any = None) -> KernelRidgeCV:
        """Chooses penalties and fits dual weights; X (n_images, n_features), Y (n_images, n_voxels) or (n_images,)."""
        features, Y = self._open(X, Y)
        folds = self._read_settings(Y, groups)
        self._dual = True
        self._mean_y = Y.mean(0) if self.fit_intercept else torch.zeros_like(Y[0])
        self._shift = self._shift_of(features)
        self._fitted = self._read(features)
        kernel = self._kernel(self._fitted).double()
        if kernel.shape != (len(Y), len(Y)):
            raise ValueError(f"the kernel must be ({len(Y)}, {len(Y)}), images by images; got {tuple(kernel.shape)}.")
        offset = kernel.mean().item() if self.kernel == "linear" and self.fit_intercept else 0.0
        self._fit_kernel(kernel, Y, folds, sum_to_lose=len(kernel) * offset)
        self._row_mean = kernel.mean(0)
        self.dual_coef_ = self._give(self._weights)
        return self

    def predict(self, X: Any) -> Any:
        """Predicted responses, (n_images, n_voxels), or (n_images,) for responses given so; NaN for NaN voxels."""
        kernel = self._kernel(self._read(self._reopen(X))).double()
        if self.fit_intercept:
            kernel = kernel - kernel.mean(1, keepdim=True) - self._row_mean + self._row_mean.mean()
        return self._give_prediction(kernel.to(self._dtype) @ self._weights + self._mean_y)

    def _shift_of(self, features: Features) -> Scaling | None:
        """What is taken off features far from zero, where the kernel after centering is the same without it."""
        if self.kernel == "rbf" or (self.kernel == "linear" and self.fit_intercept):
            scaling = measure(features, centre=True, scale=False, memory=self.memory)
            return None if scaling.rest is None else scaling
        return None

    def _read(self, features: Features) -> Tensor:
        block = features.read()
        return block if self._shift is None else self._shift(block)

    def _kernel(self, x: Tensor) -> Tensor:
        z = self._fitted
        gamma = 1 / x.shape[1] if self.gamma is None else self.gamma
        if callable(self.kernel):
            return torch.as_tensor(self.kernel(x, z)).to(x)
        kernels = {
            "linear": lambda: x @ z.T,
            "rbf": lambda: (-gamma * torch.cdist(x, z).square()).exp(),
            "polynomial": lambda: (gamma * (x @ z.T) + 1) ** self.degree,
            "precomputed": lambda: x,
        }
        if self.kernel not in kernels:
            raise ValueError(f"kernel is one of {', '.join(kernels)} or a function; got {self.kernel!r}.")
        return kernels[self.kernel]()


def _mean_square(error: Tensor) -> Tensor:
    return torch.linalg.vecdot(error, error, dim=0).double() / len(error)
