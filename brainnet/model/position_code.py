"""Places on the cortex as numbers, sines and cosines of every axis, and the small networks that read them."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional as F

HIDDEN = 128  # units of a selector network's two hidden layers
CODES_AT_ONCE = 8192  # on a CPU: activations small enough for the allocator to hand the same memory out again


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


class SelectorNetwork(nn.Module):
    """Three linear layers with GELUs between: a voxel's code in, one selector before its squashing out.

    The layers' names in the state dict are those of the published weights: 1, 3 and 5, where 0 was the code. The last
    one starts at zero, so that all voxels begin alike.

    Args:
        code_size: numbers per code.
        size: outputs.
    """

    def __init__(self, code_size: int, size: int):
        super().__init__()
        last = nn.Linear(HIDDEN, size, bias=False)
        nn.init.zeros_(last.weight)
        self.add_module("1", nn.Linear(code_size, HIDDEN))
        self.add_module("3", nn.Linear(HIDDEN, HIDDEN))
        self.add_module("5", last)

    @property
    def first(self) -> nn.Linear:
        """From the code to the first hidden layer."""
        return self.get_submodule("1")

    @property
    def second(self) -> nn.Linear:
        """From the first hidden layer to the second."""
        return self.get_submodule("3")

    @property
    def last(self) -> nn.Linear:
        """From the second hidden layer to the selector; without offset."""
        return self.get_submodule("5")

    def hidden(self, code: Tensor) -> Tensor:
        """Units of the second hidden layer, (n, HIDDEN), for codes (n, code_size)."""
        return F.gelu(self.second(F.gelu(self.first(code))))

    def forward(self, code: Tensor) -> Tensor:
        """The selector before its squashing, (n, size)."""
        return self.last(self.hidden(code))


def run_together(networks: list[SelectorNetwork], codes: Tensor, dtype: torch.dtype) -> list[Tensor]:
    """What each network makes of codes (n, code_size): its (n, size); their first layers run as one product.

    Args:
        networks: of one code size.
        codes: of any voxels.
        dtype: of the products; results have that of the codes.
    """
    parts: list[list[Tensor]] = [[] for _ in networks]
    weight = torch.cat([network.first.weight for network in networks]).to(dtype)
    bias = torch.cat([network.first.bias for network in networks]).to(dtype)
    for rows in codes.split(CODES_AT_ONCE if codes.device.type == "cpu" else max(1, len(codes))):
        hidden = F.gelu(F.linear(rows.to(dtype), weight, bias)).split(HIDDEN, dim=1)
        for part, network, units in zip(parts, networks, hidden, strict=True):
            second, last = network.second, network.last
            units = F.gelu(F.linear(units, second.weight.to(dtype), second.bias.to(dtype)))
            part.append(F.linear(units, last.weight.to(dtype)).to(codes.dtype))
    return [torch.cat(part) for part in parts]
