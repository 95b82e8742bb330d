"""Concordant and discordant couples of pairs, counted by merge sort: O(P log^2 P), batched, no (P, P) matrix."""

from __future__ import annotations

import torch
from torch import Tensor

from brainnet.rsa.ranks import sort_last

CHUNK = 2**22  # entries sorted at a time
FEW_VALUES = 512  # up to here all couples at once are faster than sorting


def concordance(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor, Tensor, int]:
    """Concordant minus discordant couples of every row of ``a`` with every row of ``b``.

    Args:
        a: (n_a, P).
        b: (n_b, P).

    Returns:
        difference: (n_a, n_b) concordant minus discordant couples, float64 (exact integers).
        untied_a: (n_a,) couples that differ in ``a``.
        untied_b: (n_b,) the same for ``b``.
        couples: P (P - 1) / 2.

    Reference: Knight (1966), J. Am. Stat. Assoc. 61, 436-439.

    >>> concordance(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[1.0, 3.0, 2.0]]))[0]
    tensor([[1.]], dtype=torch.float64)
    """
    n_values = a.shape[1]
    couples = n_values * (n_values - 1) // 2
    if n_values <= FEW_VALUES:
        rows, columns = torch.triu_indices(n_values, n_values, offset=1, device=a.device)
        signs_a, signs_b = ((x[:, columns] - x[:, rows]).sign().double() for x in (a, b))
        return signs_a @ signs_b.T, signs_a.abs().sum(1), signs_b.abs().sum(1), couples
    a, b = _dense_ranks(a), _dense_ranks(b)
    tied_a, tied_b = _tied_couples(a.sort(-1).values), _tied_couples(b.sort(-1).values)
    difference = torch.empty(len(a), len(b), dtype=torch.float64, device=a.device)
    step = max(1, CHUNK // n_values)
    for i in range(len(a)):
        for start in range(0, len(b), step):
            rows = slice(start, start + step)
            # One key sorts by a and, within ties of a, by b: what is then out of order in b is discordant.
            key = (a[i] * n_values + b[rows]).sort(-1).values
            discordant = _inversions(key % n_values)
            difference[i, rows] = couples - tied_a[i] - tied_b[rows] + _tied_couples(key) - 2 * discordant
    return difference, couples - tied_a, couples - tied_b, couples


def _dense_ranks(values: Tensor) -> Tensor:
    ordered, order = sort_last(values)
    steps = torch.zeros_like(order)
    steps[:, 1:] = (ordered[:, 1:] != ordered[:, :-1]).cumsum(-1)
    return torch.empty_like(steps).scatter_(-1, order, steps)


def _tied_couples(ordered: Tensor) -> Tensor:
    """Couples of equal entries in sorted rows: each entry counts the equal ones before it."""
    position = torch.arange(ordered.shape[-1], device=ordered.device)
    starts = torch.ones_like(ordered, dtype=torch.bool)
    starts[:, 1:] = ordered[:, 1:] != ordered[:, :-1]
    first = torch.where(starts, position, 0).cummax(-1).values
    return (position - first).sum(-1).double()


def _inversions(sequence: Tensor) -> Tensor:
    """Couples i < j with x_i > x_j, per row, counted while merging blocks of doubling length."""
    n_rows, n_values = sequence.shape
    length = 64
    padded = -(-n_values // length) * length
    blocks = torch.full((n_rows, padded), n_values, dtype=sequence.dtype, device=sequence.device)  # above every rank
    blocks[:, :n_values] = sequence
    blocks = blocks.view(n_rows, -1, length)
    count = torch.zeros(n_rows, dtype=torch.float64, device=sequence.device)
    for shift in range(1, length):
        count += (blocks[..., :-shift] > blocks[..., shift:]).sum((1, 2))
    blocks = blocks.sort(-1).values
    while blocks.shape[1] > 1:
        if blocks.shape[1] % 2:
            filler = torch.full_like(blocks[:, :1], n_values)
            blocks = torch.cat([blocks, filler], dim=1)
        left, right = blocks[:, 0::2].contiguous(), blocks[:, 1::2].contiguous()
        not_above = torch.searchsorted(left, right, right=True)
        count += (left.shape[-1] - not_above).sum((1, 2))
        blocks = torch.cat([left, right], dim=-1).sort(-1).values
    return count
