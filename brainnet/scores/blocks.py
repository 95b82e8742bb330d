"""What a resample draws: single images, or whole blocks of images that depend on each other, as volumes of a run do.

Neighboring volumes are alike. If each is drawn on its own, a resample looks as if there were many more independent
observations than there are: intervals are too narrow, and tests find what is not there.
"""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor


def block_numbers(blocks: Any, n_images: int) -> Tensor | None:
    """(n_images,) number of each image's block, counted from 0 in the order of their first image; None stays None.

    Raises:
        ValueError: not a label for each image, or fewer than two blocks.

    >>> block_numbers(["b", "b", "a"], 3)
    tensor([0, 0, 1])
    """
    if blocks is None:
        return None
    labels = blocks.cpu().numpy() if isinstance(blocks, Tensor) else np.asarray(blocks)
    if labels.shape != (n_images,):
        raise ValueError(f"blocks must hold one label for each of the {n_images} images, got shape {labels.shape}.")
    _, first, number = np.unique(labels, return_index=True, return_inverse=True)
    if len(first) < 2:
        raise ValueError("all images are of one block, which leaves nothing to draw: make smaller blocks.")
    rank = np.empty(len(first), dtype=np.int64)
    rank[first.argsort()] = np.arange(len(first))
    return torch.from_numpy(rank[number.reshape(-1)])


def multiplicities(n_images: int, n_resamples: int, generator: torch.Generator, blocks: Tensor | None = None) -> Tensor:
    """(n_resamples, n_images) float64: how often each image is drawn, alone or with its whole block.

    Without blocks each row sums to n_images; with blocks of unequal length a row may sum to more or less.
    """
    n = n_images if blocks is None else int(blocks.max()) + 1
    drawn = torch.randint(0, n, (n_resamples, n), generator=generator)
    counts = torch.zeros(n_resamples, n, dtype=torch.float64).scatter_add_(
        1, drawn, torch.ones(1, dtype=torch.float64).expand_as(drawn)
    )
    return counts if blocks is None else counts[:, blocks]


def orders(n_images: int, n_permutations: int, generator: torch.Generator, blocks: Tensor | None = None) -> Tensor:
    """(n_permutations, n_images): for each image the image whose response takes its place.

    With blocks these are laid end to end in a random order, and the images within a block stay as they are.
    """
    if blocks is None:
        return torch.stack([torch.randperm(n_images, generator=generator) for _ in range(n_permutations)])
    pieces = list(blocks.argsort(stable=True).split(blocks.bincount().tolist()))
    places = torch.cat(pieces)
    found = torch.empty(n_permutations, n_images, dtype=torch.long)
    for order in found:
        order[places] = torch.cat([pieces[b] for b in torch.randperm(len(pieces), generator=generator).tolist()])
    return found


def swaps(n_images: int, n_resamples: int, generator: torch.Generator, blocks: Tensor | None = None) -> Tensor:
    """(n_resamples, n_images) of 0 and 1, drawn for each image, or alike for the images of a block."""
    n = n_images if blocks is None else int(blocks.max()) + 1
    drawn = torch.randint(0, 2, (n_resamples, n), generator=generator)
    return drawn if blocks is None else drawn[:, blocks]
