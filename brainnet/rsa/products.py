"""Comparisons that are inner products: the form in which a thousand permutations are one matrix product.

Pearson, Spearman and their kin first turn each RDM into a vector by itself and then multiply. Where that first step
does not care how conditions are ordered, the RDM of permuted conditions needs no second look: its vector is the old
one with its pairs moved. ``embed`` is the first step; ``compare`` remains the definition of every similarity.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor

from brainnet.rsa.comparisons import COMPARISONS
from brainnet.rsa.pairs import n_conditions_of, pairs_of
from brainnet.rsa.ranks import rank
from brainnet.rsa.vectors import centred, u_centred, unit, whitened

PRODUCTS: dict[str, Callable[[Tensor], Tensor]] = {
    "pearson": lambda values: unit(centred(values)),
    "spearman": lambda values: unit(centred(rank(values))),
    "rho-a": lambda values: centred(rank(values)) * (12 / (values.shape[1] ** 3 - values.shape[1])) ** 0.5,
    "cosine": unit,
    "whitened-cosine": lambda values: unit(whitened(values)),
    "whitened-pearson": lambda values: unit(whitened(centred(values))),
    "cka": lambda values: unit(u_centred(values)),
    "distance-correlation": lambda values: unit(u_centred(values)),
}


def is_product(method: str, options: dict[str, Any]) -> bool:
    """Whether ``compare(a, b, method, **options)`` is a product of rows that move with the conditions."""
    return method in PRODUCTS and not options


def embed(values: Tensor, method: str, options: dict[str, Any]) -> Tensor:
    """Rows whose inner products are the similarities, or the RDMs themselves where the method is no product."""
    return PRODUCTS[method](values) if is_product(method, options) else values


def similarities(a: Tensor, b: Tensor, method: str, options: dict[str, Any]) -> Tensor:
    """(n_a, n_b) similarities of embedded RDMs."""
    return a @ b.T if is_product(method, options) else COMPARISONS[method](a, b, **options)


def permuted(values: Tensor, orders: Tensor) -> Tensor:
    """RDMs with their conditions permuted, rows and columns together.

    Args:
        values: (n_rdms, n_pairs).
        orders: (n_permutations, n_conditions), each row an order of the conditions.

    Returns:
        (n_rdms, n_permutations, n_pairs).

    >>> permuted(torch.tensor([[1.0, 2.0, 3.0]]), torch.tensor([[2, 1, 0]]))
    tensor([[[3., 2., 1.]]])
    """
    n, orders = n_conditions_of(values.shape[1]), orders.to(values.device)
    rows, columns = pairs_of(n, values.device)
    low, high = torch.minimum(orders[:, rows], orders[:, columns]), torch.maximum(orders[:, rows], orders[:, columns])
    return values[:, low * (2 * n - low - 1) // 2 + high - low - 1]


def draw_orders(n_conditions: int, n_permutations: int, generator: torch.Generator | None) -> Tensor:
    """(n_permutations, n_conditions) random orders from a seeded CPU generator, which none need.

    Raises:
        ValueError: a negative number, or no generator.
    """
    if n_permutations < 0:
        raise ValueError(f"n_permutations must be 0 or more, got {n_permutations}.")
    if n_permutations and generator is None:
        raise ValueError("permutations are drawn from a generator: pass generator=torch.Generator().manual_seed(0).")
    orders = [torch.randperm(n_conditions, generator=generator) for _ in range(n_permutations)]
    return torch.stack(orders) if orders else torch.empty(0, n_conditions, dtype=torch.long)
