"""What leave-one-out says of a fit in parts, and how much each of several fits counts for a voxel."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from brainnet.ridge.spectrum import leave_one_out, spectrum_of_kernel

_STEPS = 200  # of the prior over shares, at most
_SETTLED = 1e-6
_LEAST = 1e-300  # of a share in the prior: a voxel that only this one predicts keeps it


class Evidence(NamedTuple):
    """Leave-one-out R2 at the best penalty, and the index of that penalty.

    Both (n_shares, n_windows, n_voxels), for the candidate windows of each voxel; R2 is minus infinity where there is
    no such fit: share 0 has one instead of one for each window.
    """

    r2: Tensor
    alpha: Tensor


class LeftOut(NamedTuple):
    """Left-out predictions of the training images, (n_images, n_voxels): all of it, and the whole-image part of it."""

    prediction: Tensor
    field: Tensor


class KernelFit:
    """Ridge with one kernel at any penalty: dual weights, and what is predicted of images left out."""

    def __init__(
        self, kernel: Tensor, whole: Tensor | None, share: float, y: Tensor, groups: Sequence[Tensor] | None = None
    ):
        self.share, self._whole, self._y, self._groups = share, whole, y, groups
        self._spectrum = spectrum_of_kernel(kernel, centred=True)
        self._coordinates = self._spectrum.vectors.T @ y
        self._own = None if share == 1 else whole @ self._spectrum.vectors
        if self._own is not None and groups is None:
            self._own.mul_(self._spectrum.vectors)

    def solve(self, alpha: float, voxels: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Dual weights, left-out prediction and the whole-image part of it, (n_images, n_voxels) each.

        Leaving image i out changes the dual weights c to ``c - G[:, i] c_i / G_ii``, with G the inverse of the centered
        kernel and its penalty; so its part of the prediction loses ``(K G)_ii c_i / G_ii``. Of images that are left out
        together, i stands for all of them, and the division for the inverse of a block.
        """
        vectors, values = self._spectrum
        coordinates, y = self._coordinates[:, voxels], self._y[:, voxels]
        dual = vectors @ (coordinates / (values + alpha)[:, None])
        [residual] = leave_one_out(self._spectrum, coordinates, y, [alpha], True, self._groups)
        predicted = y - residual
        if self._own is None:
            return dual, predicted, torch.zeros_like(y)
        # c_i / G_ii is the residual left out: with it, the part needs no inverse
        if self._groups is None:
            lost = (self._own @ (1 / (values + alpha)))[:, None] * residual
        else:
            lost = torch.empty_like(residual)
            for rows in self._groups:
                lost[rows] = (self._own[rows] / (values + alpha)) @ (vectors[rows].T @ residual[rows])
        return dual, predicted, (1 - self.share) * (self._whole @ dual - lost)


def weigh(r2: Tensor, n_images: int, temper: float, n_kept: int) -> tuple[Tensor, Tensor]:
    """How much each of several fits counts for each voxel, from leave-one-out R2 and a prior that all voxels share.

    A fit's likelihood is that of normal errors of unknown size, ``(1 - R2) ** (-n_images / 2)``, to the power of
    ``temper``. The prior over shares is what makes the voxels' likelihood largest (empirical Bayes, by EM).

    Args:
        r2: (n_shares, n_windows, n_voxels), minus infinity where there is no fit.
        n_images: how many it was measured on.
        temper: in (0, 1].
        n_kept: fits that count, of each voxel; the others are dropped.

    Returns:
        Weights as ``r2``, float64, summing to 1 over fits, 0 for a voxel without any; and the prior (n_shares,).

    >>> r2 = torch.tensor([[[0.5, 0.4, 0.1]], [[0.1, 0.1, 0.2]]])
    >>> weights, prior = weigh(r2, n_images=500, temper=0.2, n_kept=2)
    >>> prior.round(decimals=1).tolist(), weights.sum((0, 1)).tolist()
    ([0.7, 0.3], [1.0, 1.0, 1.0])
    """
    log = -0.5 * n_images * temper * torch.log1p(-r2.double().clamp(max=1 - 1e-12))
    prior = torch.full((len(r2),), 1 / len(r2), dtype=torch.float64, device=r2.device)
    known = log.isfinite().any(0).any(0)
    flat = log[..., known].flatten(0, 1)
    weights = torch.zeros_like(log)
    if not known.any():
        return weights, prior
    for _ in range(_STEPS):
        logit = (log[..., known] + prior.clamp(min=_LEAST).log()[:, None, None]).flatten(0, 1)
        posterior = torch.softmax(logit, 0)
        before, prior = prior, posterior.reshape(len(r2), -1).sum(1) / posterior.shape[1]
        if (prior - before).abs().max() < _SETTLED:
            break
    top = posterior.topk(min(n_kept, len(flat)), 0)
    kept = torch.zeros_like(posterior).scatter_(0, top.indices, top.values / top.values.sum(0))
    weights[..., known] = kept.reshape(log[..., known].shape)
    return weights, prior
