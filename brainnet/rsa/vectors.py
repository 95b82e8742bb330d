"""RDMs as vectors of pairs: centered, of unit length, whitened; the pieces that comparisons are made of."""

from __future__ import annotations

import torch
from torch import Tensor

from brainnet.rsa.pairs import n_conditions_of, pairs_of, squareform


def centred(values: Tensor) -> Tensor:
    """Rows (n_rdms, n_pairs) with a mean of 0."""
    return values - values.mean(1, keepdim=True)


def unit(values: Tensor) -> Tensor:
    """Rows of length 1; NaN for rows that are zero up to rounding."""
    length = values.norm(dim=1, keepdim=True)
    return values / length.masked_fill(length == 0, torch.nan)


def double_centred(matrices: Tensor) -> Tensor:
    """Square matrices (..., n, n) whose rows and columns have a mean of 0."""
    rows = matrices.mean(-1, keepdim=True)
    return matrices - rows - rows.mT + rows.mean(-2, keepdim=True)


def u_centred(values: Tensor) -> Tensor:
    """Off-diagonal entries of the U-centered matrices, (n_rdms, n_pairs): unbiased where double centering is not."""
    n = n_conditions_of(values.shape[1])
    if n < 4:
        raise ValueError(f"the unbiased estimate needs at least 4 conditions, got {n}; pass unbiased=False.")
    rows, columns = pairs_of(n, values.device)
    sums = squareform(values).sum(-1)
    return values - (sums[:, rows] + sums[:, columns]) / (n - 2) + sums.sum(1, keepdim=True) / ((n - 1) * (n - 2))


def whitened(values: Tensor, noise_covariance: Tensor | None = None) -> Tensor:
    """Rows whose plain products are products under V^-1, up to one common factor.

    With an identity covariance V has three eigenspaces (the mean, the conditions' row means, the rest) with eigenvalues
    2n, n and 2, so that V^-1/2 x stays a vector of pairs, (n_rdms, n_pairs). Else (n_rdms, (n - 1)^2).
    """
    n = n_conditions_of(values.shape[1])
    if noise_covariance is not None:
        basis = _whitening_basis(n, noise_covariance, values)
        return (basis.T @ squareform(values) @ basis).flatten(1)  # the basis' columns sum to 0: centering is done
    mean = values.mean(1, keepdim=True)
    rest = values - mean
    if n > 2:
        rows, columns = pairs_of(n, values.device)
        effects = squareform(rest).sum(-1) / (n - 2)
        of_rows = effects[:, rows] + effects[:, columns]
        rest = (rest - of_rows) * (n / 2) ** 0.5 + of_rows
    return rest + mean / 2**0.5


def _whitening_basis(n: int, noise_covariance: Tensor, like: Tensor) -> Tensor:
    """(n, n - 1) B with B B' the pseudo-inverse of the centered covariance; its columns sum to zero."""
    covariance = torch.as_tensor(noise_covariance).to(like)
    covariance = torch.diag(covariance) if covariance.ndim == 1 else covariance
    if covariance.shape != (n, n):
        raise ValueError(
            f"noise_covariance must be ({n}, {n}) or ({n},), over the {n} conditions,"
            f" got {tuple(noise_covariance.shape)}."
        )
    centring = torch.eye(n, dtype=like.dtype, device=like.device) - 1 / n
    values, vectors = torch.linalg.eigh(centring @ covariance @ centring)
    # The constant vector has eigenvalue 0 and comes first unless the covariance is not positive definite.
    if bool(values[1] <= n * torch.finfo(like.dtype).eps * values[-1]):
        raise ValueError("noise_covariance must be positive definite over the conditions; shrink it first.")
    return vectors[:, 1:] / values[1:].sqrt()
