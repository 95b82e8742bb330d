"""Mixed ridge: a voxel reads its window and, beside it, the whole image.

The kernel is ``share * window + (1 - share) * whole image``: a prior that says how much of a voxel's weights lie in one
Gaussian window, the same weight at every place of it, and how much in weights of their own at every place. Window,
share and penalty are judged by exact leave-one-out, and the fits of the few best windows are averaged: neighboring
windows predict almost alike, so choosing one of them throws away what the others know.

Everything is held in dual form, (n_images, n_voxels) numbers per window of a voxel; weights of chosen voxels are made
when they are asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet._work import progress as show_progress
from brainnet.ridge.estimator import VoxelwiseRegressor
from brainnet.ridge.evidence import Evidence, KernelFit, LeftOut, weigh
from brainnet.ridge.folds import left_out_together
from brainnet.ridge.spectrum import best_penalty, residual_score, spectrum_of_kernel
from brainnet.ridge.token_maps import TokenMaps, window_grid
from brainnet.ridge.window import ALPHAS, CENTRES, WIDTHS, centred_responses, check_grids
from brainnet.ridge.window_kernels import WindowKernels
from brainnet.scores import r2
from brainnet.selection import gaussian_windows

SHARES = (1.0, 0.85, 0.7, 0.4, 0.0)
TEMPER = 0.2


class Field(NamedTuple):
    """The whole-image part of a fit, ``patterns @ (offset + sum of maps * tokens)``, to be added to the mean response.

    Attributes:
        patterns: (n_voxels, r), orthonormal columns.
        maps: layer -> (r, C, H, W).
        offset: (r,).
        kept: share of the variance of its training predictions that is left, in [0, 1].
    """

    patterns: Tensor
    maps: dict[str, Tensor]
    offset: Tensor
    kept: float


class MixedWindowRidgeCV(VoxelwiseRegressor):
    """Ridge that reads a Gaussian window and the whole image, mixed and chosen per voxel by exact leave-one-out.

    Kernel of a voxel: ``share * K(window) + (1 - share) * K(whole image)``. Each is the sum over layers of kernels with
    equal trace, as in :class:`WindowRidgeCV` and in ridge on the flattened maps. A first pass scores every window alone
    and keeps the best ``n_windows`` of each voxel; with these every share is tried at every penalty. What is tried
    counts as ``prior(share) * (1 - R2) ** (-temper * n_images / 2)``, with the prior over shares estimated from all
    voxels together, so that a share that few voxels speak for needs more evidence. The best ``n_windows`` fits are
    averaged with these weights; ``n_windows=1`` is one window, share and penalty for each voxel.

    Args:
        centres: along each axis, in image half-widths from the image's center; all pairs are tried.
        widths: standard deviations of the Gaussian, in half-widths.
        alphas: penalties, as multiples of the mean eigenvalue (trace / n_images) of the kernel.
        cv: what is left out together: "loo" (one image), "groups" (for instance a run), a number of folds, or a
            splitter that holds every image out once. None is "groups" where ``fit`` is given groups, else "loo".
        shares: of the window kernel in the mix, each in [0, 1]; 1 alone is window ridge, 0 alone is ridge on the whole
            token maps.
        n_windows: how many windows of a voxel are tried with every share, and how many fits are averaged.
        temper: how far the leave-one-out likelihood is believed, in (0, 1]. Its errors are not independent of one
            another, and taken at its word (1) it picks a single window.
        memory: bytes that tokens or pooled features may take at once, and twice as many for kernels that are kept;
            smaller means more passes over the tokens.
        dtype: of the arithmetic. float32 keeps four digits of the scores, float64 costs twice the time.
        progress: whether a bar shows on a terminal.

    Attributes:
        position_: (n_voxels, 2) in half-widths, x (width) before y (height): the mean of the voxel's windows.
        width_: (n_voxels, 1) standard deviation, the mean of the voxel's windows.
        share_: (n_voxels,) the share of the window kernel, the mean of what is averaged.
        window_share_: (n_voxels,) how much of what the fit explains its window part explains: the covariance of that
            part with the responses, over the covariance of the whole prediction, both left out (product measure). It is
            1 where the whole image adds nothing and 0 where the window does; noise moves it beyond both.
        share_prior_: (n_shares,) how common each share is among the voxels; sums to 1.
        best_alphas_: (n_voxels,) penalty of the fit that counts most, relative.
        loo_scores_: (n_voxels,) R2 of the averaged leave-one-out predictions; optimistic by what was chosen. NaN for
            voxels that never change or hold a NaN: they are predicted as their mean, or as NaN.
        left_out_: (n_images, n_voxels) the averaged leave-one-out predictions, less the mean response.
        window_scores_: (n_windows, n_voxels) leave-one-out R2 of every window alone; rows as ``windows_``.
        windows_: (n_windows, 3) x, y and width of every window that is tried.
        chosen_windows_: (k, n_voxels) which of them each voxel reads, and
        window_weights_: (k, n_voxels) how much each counts; they sum to 1, less what counts of the whole image alone.

        widths_in_: layer -> channels, and
        grid_: (H, W) of the tokens given to ``fit``.

    All are float32 (or ``dtype``) tensors on the device of the responses. The training tokens are read again by
    ``predict``, ``weights`` and ``intercept_``, so what was given to ``fit`` must still be there.

    Reference: leave-one-out by leverages, Rifkin and Lippert (2007), MIT-CSAIL-TR-2007-025; the product measure, Pratt
    (1987) and, for ridge, Dupre la Tour et al. (2022), NeuroImage 264, 119728; averaging of models, Hoeting et al.
    (1999), Statistical Science 14, 382-401.

    >>> generator = torch.Generator().manual_seed(0)
    >>> tokens = torch.randn(300, 20, 4, 4, generator=generator)
    >>> corner = tokens[:, :1, 0, 3]
    >>> everywhere = tokens.flatten(1) @ torch.randn(320, 1, generator=generator) / 18
    >>> responses = torch.cat([corner, everywhere], 1) + 0.3 * torch.randn(300, 2, generator=generator)
    >>> model = MixedWindowRidgeCV(widths=(0.1, 0.2)).fit({"a": tokens}, responses)
    >>> model.window_share_[0] > 0.9, model.window_share_[1] < 0.2, model.predict({"a": tokens}).shape
    (tensor(True), tensor(True), torch.Size([300, 2]))
    """

    reads = "tokens"
    per_voxel = ("best_alphas_", "position_", "width_", "share_", "window_share_")

    def __init__(
        self,
        centres: Sequence[float] = CENTRES,
        widths: Sequence[float] = WIDTHS,
        alphas: Sequence[float] = ALPHAS,
        *,
        cv: Any = None,
        shares: Sequence[float] = SHARES,
        n_windows: int = 8,
        temper: float = TEMPER,
        memory: int = 1 << 28,
        dtype: torch.dtype = torch.float32,
        progress: bool = False,
    ):
        self.centres = centres
        self.widths = widths
        self.alphas = alphas
        self.cv = cv
        self.shares = shares
        self.n_windows = n_windows
        self.temper = temper
        self.memory = memory
        self.dtype = dtype
        self.progress = progress

    def fit(self, tokens: Any, responses: Any, groups: Any = None) -> MixedWindowRidgeCV:
        """Judges windows, shares and penalties per voxel and fits the weights.

        Args:
            tokens: layer -> (n_images, C, H, W); or ``Tokens``; or a callable without arguments (or a list) that gives
                batches of ``Tokens`` in the order of the responses, for instance ``lambda: store.batches(train)``. A
                callable is called once per pass.
            responses: (n_images, n_voxels).
            groups: (n_images,) labels, for instance runs: what is left out, everywhere, is then one group at a time and
                not one image, see ``cv``.

        Raises:
            ValueError: a penalty, a width, a share or a number of windows out of its range, fewer than three images or
                two groups, or images of tokens and responses that differ in number.
        """
        self._check()
        y, self._mean, usable = centred_responses(responses, self.dtype)
        self._groups = left_out_together(self.cv, groups, y)
        self.windows_ = window_grid(self.centres, self.widths).to(y)
        self._shares = sorted({float(share) for share in self.shares}, reverse=True)
        kernels = self._kernels = WindowKernels(TokenMaps(tokens), len(y), self.windows_, self.memory)
        whole = kernels.whole() if self._shares[-1] < 1 else None

        self.window_scores_, first = self._score_windows(kernels, y)
        ranked = self.window_scores_.nan_to_num(nan=-torch.inf)
        self.chosen_windows_ = ranked.topk(min(self.n_windows, len(ranked)), 0).indices
        evidence = self._score_shares(kernels, whole, y, first)
        counts, self.share_prior_ = weigh(evidence.r2, len(y), self.temper, self.n_windows)
        left_out = self._solve(kernels, whole, y, evidence, counts)
        self._describe(y, evidence, counts, left_out, usable)
        self.left_out_ = left_out.prediction
        kernels.forget()
        del self._groups
        self.widths_in_, self.grid_ = dict(kernels.maps.widths), kernels.maps.grid
        self.n_features_in_ = sum(self.widths_in_.values())  # channels of all layers
        return self

    def predict(self, tokens: Any) -> Tensor:
        """Predicted responses (n_images, n_voxels) for tokens given as to :meth:`fit`."""
        parts = self.split(tokens)
        return parts["window"] + parts["whole image"] + self._mean

    def split(self, tokens: Any) -> dict[str, Tensor]:
        """What the "window" and the "whole image" add to the mean response, (n_images, n_voxels) each."""
        kernels, maps = self._fitted(), TokenMaps(tokens)
        if (maps.widths, maps.grid) != (kernels.maps.widths, kernels.maps.grid):
            raise ValueError(
                f"tokens have layers and widths {maps.widths} on the grid {maps.grid} but the model was fitted on "
                f"{kernels.maps.widths} on {kernels.maps.grid}."
            )
        n = maps.count()
        window = self._mean.new_zeros(n, len(self._mean))
        for index, kernel in kernels.between(maps, n, self._windows_read()):
            for rank, voxels in self._readers(index):
                window[:, voxels] += kernel @ self._dual[rank][:, voxels]
        read_whole = bool(self._field_dual.any())
        field = kernels.whole_between(maps, n) @ self._field_dual if read_whole else torch.zeros_like(window)
        return {"window": window, "whole image": field}

    def weights(self, voxels: Sequence[int] | Tensor) -> dict[str, Tensor]:
        """Layer -> (len(voxels), C, H, W): the weight of every token, window and whole image together.

        With ``intercept_`` they predict as :meth:`predict` does: ``intercept_ + sum of weights * tokens`` over layers,
        channels and places. Memory is that of the answer.
        """
        kernels = self._fitted()
        voxels = torch.as_tensor(voxels, dtype=torch.long, device=self._dual.device)
        maps = kernels.maps
        found = {k: self._dual.new_zeros(len(voxels), width, *maps.grid) for k, width in maps.widths.items()}
        if self._field_dual[:, voxels].any():
            for layer, part, features, _ in kernels.whole_features():
                weights = self._field_dual[:, voxels].T @ features
                found[layer][:, part] += weights.reshape(len(voxels), -1, *maps.grid)
        shapes = gaussian_windows(self.windows_, maps.grid)
        for index, layers in kernels.features(self._windows_read()):
            for rank in range(len(self._dual)):
                readers = (self.chosen_windows_[rank, voxels] == index).nonzero()[:, 0]
                dual = self._dual[rank][:, voxels[readers]]
                for layer, features in layers.items():
                    pooled = features.gain * (dual.T @ features.centred)  # (n_readers, C)
                    found[layer][readers] += pooled[..., None, None] * shapes[index]
        return found

    def field(self, rank: int, tolerance: float = 1e-3) -> Field:
        """The whole-image part in low rank, which predicts without the training tokens.

        All voxels' weights are projected on those patterns over voxels that carry most of what the part predicts of the
        training images (reduced-rank regression), as few as lose no more than ``tolerance`` of it.

        Args:
            rank: the most there may be.
            tolerance: share of the variance of the training predictions that may be lost.
        """
        kernels = self._fitted()
        predicted = (kernels.whole() @ self._field_dual).double()
        values, left = torch.linalg.eigh(predicted @ predicted.T)  # of n images, however many voxels there are
        values, left = values.flip(0).clamp(min=0), left.flip(1)
        kept = values.cumsum(0) / values.sum().clamp(min=torch.finfo(values.dtype).tiny)
        most = int((values > 1e-14 * values[0]).sum())
        r = max(1, min(rank, most, int((kept < 1 - tolerance).sum()) + 1))
        patterns = (predicted.T @ left[:, :r]) / values[:r].sqrt().clamp(min=torch.finfo(values.dtype).tiny)
        dual = (self._field_dual.double() @ patterns).to(self._dual)
        maps = {k: dual.new_zeros(r, width, *kernels.maps.grid) for k, width in kernels.maps.widths.items()}
        offset = dual.new_zeros(r, dtype=torch.float64)
        for layer, part, features, mean in kernels.whole_features():
            weights = dual.T @ features
            maps[layer][:, part] = weights.reshape(r, -1, *kernels.maps.grid)
            offset -= weights.double() @ mean.double()
        return Field(patterns.to(dual), maps, offset.to(dual), float(kept[r - 1]) if values[0] > 0 else 1.0)

    @property
    def coef_(self) -> dict[str, Tensor]:
        """Layer -> weights (k, n_voxels, C) of the tokens pooled in each of a voxel's windows, ``chosen_windows_``.

        Worked out at each call. The whole-image part is not in it, see :meth:`weights`.
        """
        kernels = self._fitted()
        shape = self.chosen_windows_.shape
        coef = {k: self._dual.new_zeros(*shape, width) for k, width in kernels.maps.widths.items()}
        for index, layers in kernels.features(self._windows_read()):
            for rank, voxels in self._readers(index):
                for layer, features in layers.items():
                    coef[layer][rank, voxels] = features.gain * (self._dual[rank][:, voxels].T @ features.centred)
        return coef

    @property
    def intercept_(self) -> Tensor:
        """(n_voxels,) prediction where all tokens are zero; worked out at each call."""
        maps = self._fitted().maps
        return self.predict({k: self._mean.new_zeros(1, width, *maps.grid) for k, width in maps.widths.items()})[0]

    def training_score(self) -> Tensor:
        """(n_voxels,) leave-one-out R2 of the averaged predictions, ``loo_scores_``."""
        self._check_fitted()
        return self.loo_scores_

    def score(self, tokens: Any, responses: Any) -> Tensor:
        """R2 of the predictions, (n_voxels,) float64."""
        return r2(self.predict(tokens), responses)

    # ------------------------------------------------------------------ what fit does, in its order

    def _score_windows(self, kernels: WindowKernels, y: Tensor) -> tuple[Tensor, Tensor]:
        """R2 of every window alone and the index of its best penalty, (n_windows, n_voxels) both."""
        scores = y.new_zeros(len(self.windows_), y.shape[1])
        alphas = torch.zeros(scores.shape, dtype=torch.long, device=y.device)
        read = range(len(scores)) if self._shares[0] > 0 else ()  # without a window, which comes first does not matter
        for index, kernel in show_progress(kernels.windows(read), "windows", len(read), self.progress):
            scores[index], alphas[index] = self._best_penalty(kernel, y)
        return scores, alphas

    def _score_shares(self, kernels: WindowKernels, whole: Tensor | None, y: Tensor, first: Tensor) -> Evidence:
        """Every share with every candidate window of a voxel."""
        candidates = self.chosen_windows_
        shape = (len(self._shares), *candidates.shape)
        found = Evidence(y.new_full(shape, -torch.inf), torch.zeros(shape, dtype=torch.long, device=y.device))

        def note(at: Any, score: Tensor, alpha: Tensor) -> None:
            found.r2[at], found.alpha[at] = score.nan_to_num(nan=-torch.inf), alpha

        if self._shares[0] == 1:
            note(0, self.window_scores_.gather(0, candidates), first.gather(0, candidates))
        if self._shares[-1] == 0:
            note((-1, 0), *self._best_penalty(whole, y))
        mixed = [i for i, share in enumerate(self._shares) if 0 < share < 1]
        read = candidates.unique().tolist() if mixed else []
        for index, kernel in show_progress(kernels.windows(read), "shares", len(read), self.progress):
            rank, voxels = (candidates == index).nonzero(as_tuple=True)
            for i in mixed:
                note((i, rank, voxels), *self._best_penalty(torch.lerp(whole, kernel, self._shares[i]), y[:, voxels]))
        return found

    def _best_penalty(self, kernel: Tensor, y: Tensor) -> tuple[Tensor, Tensor]:
        """The best leave-one-out R2 over penalties, NaN where there is none, and the index of that penalty."""
        spectrum = spectrum_of_kernel(kernel, centred=True)
        score = residual_score("r2", y)
        best, at = best_penalty(spectrum, spectrum.vectors.T @ y, y, self.alphas, score, self._groups)
        return best.masked_fill(best.isneginf(), torch.nan), at

    def _solve(
        self, kernels: WindowKernels, whole: Tensor | None, y: Tensor, evidence: Evidence, counts: Tensor
    ) -> LeftOut:
        """The dual weights of all fits that count, and what they predict of the images left out."""
        candidates = self.chosen_windows_
        self._dual, self._field_dual = y.new_zeros(len(candidates), *y.shape), torch.zeros_like(y)
        left_out = LeftOut(torch.zeros_like(y), torch.zeros_like(y))

        def add(i: int, kernel: Tensor, rank: Tensor, voxels: Tensor) -> None:
            fit = KernelFit(kernel, whole, self._shares[i], y, self._groups)
            chosen = evidence.alpha[i, rank, voxels]
            for index in chosen.unique().tolist():
                ranks, some = rank[chosen == index], voxels[chosen == index]
                count = counts[i, ranks, some].to(y)
                dual, predicted, field = fit.solve(float(self.alphas[index]), some)
                left_out.prediction[:, some] += count * predicted
                left_out.field[:, some] += count * field
                self._dual[ranks, :, some] += (count * fit.share * dual).T
                self._field_dual[:, some] += count * (1 - fit.share) * dual

        counted = counts > 0
        if self._shares[-1] == 0 and counted[-1].any():
            add(-1, whole, *counted[-1].nonzero(as_tuple=True))
        windowed = [i for i, share in enumerate(self._shares) if share > 0]
        read = candidates[counted[windowed].any(0)].unique().tolist() if windowed else []
        for index, window in show_progress(kernels.windows(read), "weights", len(read), self.progress):
            for i in windowed:
                here = counted[i] & (candidates == index)
                if here.any():
                    kernel = window if self._shares[i] == 1 else torch.lerp(whole, window, self._shares[i])
                    add(i, kernel, *here.nonzero(as_tuple=True))
        return left_out

    def _describe(self, y: Tensor, evidence: Evidence, counts: Tensor, left_out: LeftOut, usable: Tensor) -> None:
        """Fills the attributes that say of each voxel what was chosen and how well it predicts."""
        shares = counts.new_tensor(self._shares)
        read = counts[shares > 0].sum(0)  # (k, n_voxels)
        self.window_weights_ = read.to(y)
        self.share_ = (counts.sum(1) * shares[:, None]).sum(0).to(y)
        normal = read / read.sum(0)
        normal[:, read.sum(0) == 0] = 1 / len(read)  # reads the whole image alone
        place = (normal[..., None] * self.windows_.double()[self.chosen_windows_]).sum(0).to(y)
        self.position_, self.width_ = place[:, :2], place[:, 2:]
        heaviest = counts.flatten(0, 1).argmax(0, keepdim=True)
        self.best_alphas_ = y.new_tensor(self.alphas)[evidence.alpha.flatten(0, 1).gather(0, heaviest)[0]]
        score = residual_score("r2", y)(y - left_out.prediction)
        self.loo_scores_ = score.masked_fill(~usable, torch.nan).to(y)
        # both parts without the mean response of the images that are not left out
        missed = left_out.prediction - y
        for rows in self._groups or ():
            missed[rows] = missed[rows].sum(0)
        parts = left_out.prediction - missed / len(y)
        for rows in self._groups or ():
            for part in (parts, left_out.field):
                part[rows] += part[rows].sum(0) / (len(y) - len(rows))
        explained, field = ((x * y).sum(0, dtype=torch.float64) for x in (parts, left_out.field))
        self.window_share_ = (1 - field / explained).masked_fill(~usable | (explained <= 0), torch.nan).to(y)

    def _readers(self, index: int) -> Iterator[tuple[int, Tensor]]:
        """Ranks at which a window is read, and the voxels that read it there."""
        for rank, here in enumerate((self.chosen_windows_ == index) & (self.window_weights_ > 0)):
            if here.any():
                yield rank, here.nonzero()[:, 0]

    def _windows_read(self) -> list[int]:
        return self.chosen_windows_[self.window_weights_ > 0].unique().tolist()

    def _fitted(self) -> WindowKernels:
        self._check_fitted()
        return self._kernels

    def _check(self) -> None:
        check_grids(self.alphas, self.widths)
        if not self.shares or not 0 <= min(self.shares) <= max(self.shares) <= 1:
            raise ValueError(f"shares are of the window kernel in the mix, in [0, 1]; got {list(self.shares)}.")
        if self.n_windows < 1 or not 0 < self.temper <= 1:
            raise ValueError(
                f"n_windows must be at least 1 and temper in (0, 1]; got {self.n_windows} and {self.temper}."
            )
