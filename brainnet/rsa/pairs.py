"""The pairs of a square matrix: vectors in scipy's ``pdist`` order, and the way between the two."""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache

import torch
from torch import Tensor


def n_conditions_of(n_pairs: int) -> int:
    """The number of conditions n with n (n - 1) / 2 = ``n_pairs``; a ValueError where there is none.

    >>> n_conditions_of(4186)
    92
    """
    n = round((1 + (1 + 8 * n_pairs) ** 0.5) / 2)
    if n_pairs < 1 or n * (n - 1) // 2 != n_pairs:
        raise ValueError(
            f"{n_pairs} is not a number of pairs n (n - 1) / 2;"
            " RDM vectors hold the upper triangle without the diagonal."
        )
    return n


@lru_cache(maxsize=8)
def _triangle(n: int, device: torch.device) -> tuple[Tensor, Tensor]:
    rows, columns = torch.triu_indices(n, n, offset=1, device=device)
    return rows, columns


def pairs_of(n: int, device: torch.device | str = "cpu") -> tuple[Tensor, Tensor]:
    """Row and column of every pair, each (n_pairs,), in scipy's ``pdist`` order."""
    return _triangle(n, torch.device(device))


def upper_triangle(matrices: Tensor) -> Tensor:
    """Vectors (..., n_pairs) of square matrices (..., n, n)."""
    rows, columns = pairs_of(matrices.shape[-1], matrices.device)
    return matrices[..., rows, columns]


def squareform(values: Tensor, diagonal: float = 0.0) -> Tensor:
    """Square matrices (..., n, n) of vectors (..., n_pairs)."""
    n = n_conditions_of(values.shape[-1])
    rows, columns = pairs_of(n, values.device)
    matrices = values.new_full((*values.shape[:-1], n, n), diagonal)
    matrices[..., rows, columns] = values
    matrices[..., columns, rows] = values
    return matrices


def pair_index(conditions: Sequence[int] | Tensor, n: int) -> Tensor:
    """Where the pairs of the chosen conditions stand among the pairs of all ``n``, (n_pairs of the choice,).

    >>> pair_index([2, 0, 1], 3)      # pairs (2,0), (2,1), (0,1)
    tensor([1, 2, 0])
    """
    chosen = torch.as_tensor(conditions, dtype=torch.long)
    rows, columns = pairs_of(len(chosen))
    low, high = torch.minimum(chosen[rows], chosen[columns]), torch.maximum(chosen[rows], chosen[columns])
    return low * (2 * n - low - 1) // 2 + high - low - 1
