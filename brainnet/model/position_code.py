"""Places on the cortex as numbers a small network can read: sines and cosines of every axis."""

from __future__ import annotations

import torch
from torch import Tensor, nn


class PositionalEncoding(nn.Module):
    """Sines and cosines of coordinates, (n, n_axes * 2 * n_frequencies), on bounds fixed once.

    ``p = (x - low) * span / longest range``, so that the longest axis fills 0..span and the others keep their
    proportion; then sin(p w_k), cos(p w_k) with ``w_k = base^(-k / n_frequencies)``, in the order axis, frequency,
    (sin, cos). The bounds come from the *full* set of coordinates and are kept: a subset of voxels has the codes it
    has in the whole.

    Args:
        coords: every voxel's coordinates, (n, n_axes), any unit; only their bounds are kept.
        n_frequencies: frequencies per axis.
        base: ratio between the highest frequency and the (missing) next after the lowest.
        span: length of the longest axis in radians of the highest frequency.

    >>> code = PositionalEncoding(torch.tensor([[0., 0, 0], [10, 5, 0], [20, 10, 5]]))
    >>> code(torch.tensor([[10., 5, 0]]))[0, :4]
    tensor([-0.2624,  0.9650,  0.5215, -0.8533])
    """

    def __init__(self, coords: Tensor, n_frequencies: int = 32, base: float = 1000.0, span: float = 100.0):
        super().__init__()
        if coords.ndim != 2 or not torch.isfinite(coords).all():
            raise ValueError(f"coords must be finite and (n_voxels, n_axes), got {tuple(coords.shape)}.")
        self.n_frequencies, self.base, self.span = n_frequencies, base, span
        low, high = coords.amin(0), coords.amax(0)
        self.register_buffer("low", low, persistent=False)
        self.register_buffer("range", (high - low).amax(), persistent=False)
        if not self.range > 0:
            raise ValueError("all coords are equal: they cannot tell voxels apart. Use topology='free'.")

    @torch.no_grad()
    def forward(self, coords: Tensor) -> Tensor:
        """Codes of any voxels, (n, n_axes * 2 * n_frequencies)."""
        place = (coords - self.low) * self.span / self.range
        k = torch.arange(self.n_frequencies, device=coords.device, dtype=coords.dtype)
        phase = place[:, :, None] * self.base ** (-k / self.n_frequencies)
        return torch.stack([phase.sin(), phase.cos()], dim=-1).flatten(1)
