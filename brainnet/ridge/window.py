"""Window ridge: every voxel reads the tokens of all layers through one Gaussian window on the image.

The feature-weighted receptive field in closed form: for each window of a grid of centers and widths the tokens are
pooled, the layers' kernels added with equal trace, and ridge scored by exact leave-one-out; each voxel keeps its best
window and penalty. It is a strong control for learned read-outs, and what FactorTopy's training starts from.

Tokens pass once per block of windows and are never held as pooled features of all windows together.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from brainnet._work import progress as show_progress
from brainnet.ridge.estimator import VoxelwiseRegressor
from brainnet.ridge.folds import left_out_together
from brainnet.ridge.spectrum import best_penalty, residual_score, spectrum_of_kernel
from brainnet.ridge.token_maps import TokenMaps, pool, window_grid
from brainnet.ridge.window_kernels import unit_gains
from brainnet.scores import r2, usable_voxels
from brainnet.selection import gaussian_windows

CENTRES = (-0.7, -0.35, 0.0, 0.35, 0.7)
WIDTHS = (0.18, 0.28, 0.42)
ALPHAS = tuple(10 ** (-4 + 0.5 * i) for i in range(12))
_SELECTIONS = ("r2", "pearson_r")


class WindowRidgeCV(VoxelwiseRegressor):
    """Ridge on window-pooled tokens of all layers, window and penalty chosen per voxel by exact leave-one-out.

    The pooled vector of a layer is ``(1 - scale) * window + scale * global``, with windows normalized to sum 1 over the
    grid: exactly what FactorTopy reads at that position, width and scale.

    Args:
        centres: along each axis, in image half-widths from the image's center; all pairs are tried.
        widths: standard deviations of the Gaussian, in half-widths.
        alphas: penalties, as multiples of the mean eigenvalue (trace / n_images) of the kernel.
        cv: what is left out together: "loo" (one image), "groups" (for instance a run), a number of folds, or a
            splitter that holds every image out once. None is "groups" where ``fit`` is given groups, else "loo".
        scale: share of the global token in the pooled vector, in [0, 1]; 0 needs no global tokens.
        selection: "r2" or "pearson_r" between leave-one-out predictions and responses.
        memory: bytes that pooled features may take; smaller means more passes over the tokens.
        dtype: of the arithmetic. float32 keeps four digits of the scores, float64 costs twice the time.
        progress: whether a bar shows on a terminal.

    Attributes:
        position_: (n_voxels, 2) in half-widths, x (width) before y (height).
        width_: (n_voxels, 1) standard deviation of the window.
        best_alphas_: (n_voxels,) penalties as given, relative.
        loo_scores_: (n_voxels,) the selection score of the chosen window and penalty; optimistic by that choice. NaN
            for voxels that never change or hold a NaN: they get zero weights.
        window_scores_: (n_windows, n_voxels) best score over penalties of each window; rows as ``windows_``.
        windows_: (n_windows, 3) x, y and width of each window.
        coef_: layer -> (n_voxels, C), for the pooled tokens as they come.
        intercept_: (n_voxels,).

    All are float32 (or ``dtype``) tensors on the device of the responses.

    Reference: St-Yves and Naselaris (2018), NeuroImage 180, 188-202 (feature-weighted receptive fields); leave-one-out
    by leverages as in Rifkin and Lippert (2007), MIT-CSAIL-TR-2007-025.

    >>> tokens = {"a": torch.randn(30, 2, 4, 4, generator=torch.Generator().manual_seed(0))}
    >>> response = tokens["a"][:, :1, 0, 3] + 5    # channel 0 in the top right corner
    >>> model = WindowRidgeCV(widths=(0.2,)).fit(tokens, response)
    >>> model.position_, model.predict(tokens).shape
    (tensor([[ 0.7000, -0.7000]]), torch.Size([30, 1]))
    """

    reads = "tokens"
    per_voxel = ("best_alphas_", "position_", "width_")

    def __init__(
        self,
        centres: Sequence[float] = CENTRES,
        widths: Sequence[float] = WIDTHS,
        alphas: Sequence[float] = ALPHAS,
        *,
        cv: Any = None,
        scale: float = 0.0,
        selection: str = "r2",
        memory: int = 1 << 30,
        dtype: torch.dtype = torch.float32,
        progress: bool = False,
    ):
        self.centres = centres
        self.widths = widths
        self.alphas = alphas
        self.cv = cv
        self.scale = scale
        self.selection = selection
        self.memory = memory
        self.dtype = dtype
        self.progress = progress

    def fit(self, tokens: Any, responses: Any, groups: Any = None) -> WindowRidgeCV:
        """Chooses window and penalty per voxel and fits the weights.

        Args:
            tokens: layer -> (n_images, C, H, W); or ``Tokens``; or a callable without arguments (or a list) that gives
                batches of ``Tokens`` in the order of the responses, for instance ``lambda: store.batches(train)``. A
                callable is called once per pass.
            responses: (n_images, n_voxels).
            groups: (n_images,) labels, for instance runs: window and penalty are then chosen by exact predictions of
                one group at a time from all others, and not by leave-one-out, see ``cv``.

        Raises:
            ValueError: unknown selection, a penalty or width that is not positive, fewer than three images or two
                groups, images of tokens and responses that differ in number, or global tokens missing at a scale above
                0.
        """
        self._check()
        y, self._mean, _ = centred_responses(responses, self.dtype)
        self._groups = left_out_together(self.cv, groups, y)
        maps = TokenMaps(tokens)
        self._score_of = residual_score(self.selection, y)
        n_channels = sum(maps.widths.values())
        self._start(n_channels, y)
        self.windows_ = window_grid(self.centres, self.widths).to(y)

        bytes_per_window = len(y) * n_channels * torch.finfo(self.dtype).bits // 8
        block = max(1, min(len(self.windows_), self.memory // bytes_per_window))
        blocks = self.windows_.split(block)
        scores = []
        for windows in show_progress(blocks, "window ridge", enabled=self.progress):
            pooled = maps.pooled(windows, len(y), self.scale)
            for window, features in zip(windows, zip(*pooled.values(), strict=True), strict=True):
                scores.append(self._fit_window(window, features, y))
        self.window_scores_ = torch.stack(scores)
        constant = self._score.isneginf()
        self.loo_scores_ = self._score.masked_fill(constant, torch.nan)
        self.coef_ = dict(zip(maps.widths, self._coef.split(list(maps.widths.values()), 1), strict=True))
        self.n_features_in_ = n_channels  # of all layers
        del self._score, self._score_of, self._coef, self._mean, self._groups
        return self

    def predict(self, tokens: Any) -> Tensor:
        """Predicted responses (n_images, n_voxels) for tokens given as to :meth:`fit`."""
        self._check_fitted()
        maps, fitted = TokenMaps(tokens), {name: weight.shape[1] for name, weight in self.coef_.items()}
        if maps.widths != fitted:
            raise ValueError(f"tokens have layers and widths {maps.widths} but the model was fitted on {fitted}.")
        places = torch.cat([self.position_, self.width_], 1)
        chosen, which = places.unique(dim=0, return_inverse=True)
        windows = gaussian_windows(chosen, maps.grid)
        rows = []
        for batch in maps.batches():
            row = self.intercept_.repeat(len(next(iter(batch.local.values()))), 1)
            for layer, weight in self.coef_.items():
                pooled = pool(batch, layer, windows, self.scale)
                for index in range(len(chosen)):
                    voxels = which == index
                    row[:, voxels] += pooled[index] @ weight[voxels].T
            rows.append(row)
        return torch.cat(rows)

    def training_score(self) -> Tensor:
        """(n_voxels,) the leave-one-out score of the chosen window and penalty, ``loo_scores_``."""
        self._check_fitted()
        return self.loo_scores_

    def score(self, tokens: Any, responses: Any) -> Tensor:
        """R2 of the predictions, (n_voxels,) float64."""
        return r2(self.predict(tokens), responses)

    def _fit_window(self, window: Tensor, features: Sequence[Tensor], y: Tensor) -> Tensor:
        """Scores one window for all voxels, keeps weights where it beats the best so far; returns its scores."""
        means = [x.mean(0) for x in features]
        centred = [x - mean for x, mean in zip(features, means, strict=True)]
        traces, sizes = (dict(enumerate(x.square().sum() for x in some)) for some in (centred, features))
        gains = list(unit_gains(traces, sizes, self.dtype).values())
        kernel = sum(gain * (x @ x.T) for gain, x in zip(gains, centred, strict=True))
        spectrum = spectrum_of_kernel(kernel, centred=True)
        coordinates = spectrum.vectors.T @ y
        mean_eigenvalue = kernel.trace() / len(y)
        penalties = [alpha * mean_eigenvalue for alpha in self.alphas]
        best, alpha_of = best_penalty(spectrum, coordinates, y, penalties, self._score_of, self._groups)
        won = best > self._score
        if won.any():
            alphas = torch.tensor(self.alphas, dtype=y.dtype, device=y.device)[alpha_of[won]]
            shrunk = coordinates[:, won] / (spectrum.values[:, None] + alphas * mean_eigenvalue)
            dual = spectrum.vectors @ shrunk  # (n_images, n_won)
            weights = [gain * (dual.T @ x) for gain, x in zip(gains, centred, strict=True)]
            self._coef[won] = torch.cat(weights, 1)
            offset = sum(weight @ mean for weight, mean in zip(weights, means, strict=True))
            self.intercept_[won] = self._mean[won] - offset
            self.position_[won], self.width_[won] = window[:2], window[2:]
            self.best_alphas_[won] = alphas
            self._score[won] = best[won]
        return best.masked_fill(best.isneginf(), torch.nan)

    def _start(self, n_channels: int, y: Tensor) -> None:
        n_voxels = y.shape[1]
        self._score = y.new_full((n_voxels,), -torch.inf)
        self._coef = y.new_zeros(n_voxels, n_channels)
        self.intercept_ = self._mean.clone()
        self.position_ = y.new_zeros(n_voxels, 2)
        self.width_ = y.new_full((n_voxels, 1), max(self.widths))
        self.best_alphas_ = y.new_full((n_voxels,), max(self.alphas))

    def _check(self) -> None:
        if self.selection not in _SELECTIONS:
            raise ValueError(f"selection is 'r2' or 'pearson_r', got {self.selection!r}.")
        check_grids(self.alphas, self.widths)
        if not 0 <= self.scale <= 1:
            raise ValueError(f"scale is the share of the global token, in [0, 1]; got {self.scale}.")


def centred_responses(responses: Any, dtype: torch.dtype) -> tuple[Tensor, Tensor, Tensor]:
    """Responses less their means, and 0 for a voxel that cannot be fitted; the means; which voxels can be fitted.

    (n_images, n_voxels) and two times (n_voxels,); the mean of a voxel with NaN is NaN.

    Raises:
        ValueError: no (n_images, n_voxels), or fewer than three images.
    """
    responses = torch.as_tensor(responses)
    if responses.ndim != 2 or len(responses) < 3:
        raise ValueError(f"responses must be (n_images >= 3, n_voxels), got {tuple(responses.shape)}.")
    y = responses.to(dtype)
    mean = torch.where(y.isfinite().all(0), y.mean(0), torch.nan)
    usable = usable_voxels(y)
    return torch.where(usable, y - y.mean(0), 0.0), mean, usable


def check_grids(alphas: Sequence[float], widths: Sequence[float]) -> None:
    """Refuses penalties and widths that are none, or not positive."""
    if not alphas or min(alphas) <= 0 or not widths or min(widths) <= 0:
        raise ValueError(f"alphas and widths must be positive, got {list(alphas)} and {list(widths)}.")
