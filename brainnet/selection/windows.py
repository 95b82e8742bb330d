"""Gaussian windows on a grid of tokens: where FactorTopy and window ridge read an image."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional as F

NEGLIGIBLE = 1e-17  # of a window's mass: far below rounding, and without it GEMMs meet denormals, which are slow


def window_axes(position: Tensor, width: Tensor, grid: tuple[int, int]) -> tuple[Tensor, Tensor]:
    """Weights of Gaussian windows over rows (n, H) and columns (n, W); each sums to 1, their product too.

    The window is separable: normalizing each axis over the tokens' centers equals normalizing over the grid.

    Args:
        position: (n, 2) x and y, in image half-widths from the image's center.
        width: (n, 1) standard deviation, in half-widths.
        grid: H and W. Cell i of W is centered at (2 i + 1) / W - 1.
    """

    def along(place: Tensor, size: int) -> Tensor:
        centres = (2 * torch.arange(size, device=place.device, dtype=place.dtype) + 1) / size - 1
        return F.threshold(torch.softmax(-0.5 * ((centres - place) / width) ** 2, dim=-1), NEGLIGIBLE, 0.0)

    return along(position[:, 1:], grid[0]), along(position[:, :1], grid[1])


def gaussian_windows(windows: Tensor, grid: tuple[int, int]) -> Tensor:
    """Weights of Gaussian windows over a grid of tokens, each summing to 1: (n_windows, H, W).

    Args:
        windows: (n_windows, 3) x, y and standard deviation, in image half-widths from the image's center.
        grid: H and W. Cell i of W is centered at (2 i + 1) / W - 1.

    >>> gaussian_windows(torch.tensor([[0.0, 0.0, 100.0]]), (2, 2))
    tensor([[[0.2500, 0.2500],
             [0.2500, 0.2500]]])
    """
    rows, columns = window_axes(windows[:, :2], windows[:, 2:], grid)
    return F.threshold(rows[:, :, None] * columns[:, None, :], NEGLIGIBLE, 0.0)
