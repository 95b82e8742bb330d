"""Linear fits on window-pooled tokens, factorized: bottlenecks and read-out weights that predict as the fits do."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor


class Factors(NamedTuple):
    """Coefficients as read-out weights times bottlenecks.

    Attributes:
        weight: read-out weights, (n_voxels, r), float64.
        bottlenecks: for local and (where given) global tokens, per layer, (r, C).
        kept: share of the coefficients' energy that they keep, 0 to 1; 1 where r is at least their rank.
    """

    weight: Tensor
    bottlenecks: list[list[Tensor]]
    kept: float


def factorize(coefficients: Sequence[Sequence[Tensor]], shares: Sequence[Tensor], mix: Tensor, rank: int) -> Factors:
    """The truncated SVD of all voxels' coefficients, divided by what a voxel's layer mix and scale multiply them with.

    Args:
        coefficients: for local and maybe global tokens, per layer, (n_voxels, C).
        shares: what a voxel's scale leaves of local and of global tokens, each (n_voxels, 1).
        mix: layer mix, (n_voxels, L).
        rank: channels of the bottleneck, the most there are.

    >>> mix, share = torch.ones(4, 1), torch.ones(4, 1)
    >>> linear = torch.arange(12.0).reshape(4, 3)
    >>> weight, [[bottleneck]], kept = factorize([[linear]], [share], mix, rank=2)
    >>> torch.allclose((weight @ bottleneck).float(), linear, atol=1e-4), round(kept, 3)
    (True, 1.0)
    """
    undone = [
        c.to(mix.device).double() / (mix[:, [k]].double() * share.double())
        for per_layer, share in zip(coefficients, shares, strict=False)
        for k, c in enumerate(per_layer)
    ]
    stacked = torch.cat(undone, dim=1)
    left, values, right = _truncated_svd(stacked, rank)
    blocks = iter((values.sqrt()[:, None] * right).split([c.shape[1] for c in undone], dim=1))
    return Factors(
        left * values.sqrt(),
        [[next(blocks) for _ in per_layer] for per_layer in coefficients],
        float(values.square().sum() / stacked.square().sum()),
    )


def _truncated_svd(matrix: Tensor, rank: int) -> tuple[Tensor, Tensor, Tensor]:
    """Left vectors (n, r), values (r,), right vectors (r, m); exact where small, by subspace iteration where large."""
    if min(matrix.shape) > 8 * rank:
        generator = torch.Generator().manual_seed(0)
        probe = torch.randn(matrix.shape[1], rank + 16, generator=generator, dtype=matrix.dtype).to(matrix.device)
        basis = torch.linalg.qr(matrix @ probe).Q
        for _ in range(4):
            basis = torch.linalg.qr(matrix @ (matrix.T @ basis)).Q
        left, values, right = torch.linalg.svd(basis.T @ matrix, full_matrices=False)
        left = basis @ left
    else:
        left, values, right = torch.linalg.svd(matrix, full_matrices=False)
    rank = min(rank, len(values))
    return left[:, :rank], values[:rank], right[:rank]
