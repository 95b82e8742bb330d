"""FactorTopy over time: a selector more, which delay after the stimulus a voxel reads.

The channels of a layer come at several delays, side by side. All delays of a layer share one bottleneck, and each voxel
mixes them by a softmax: its mean is the voxel's latency. The contraction is that of FactorTopy with the pairs of layer
and delay in place of the layers, so that nothing else is new.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from einops import rearrange
from torch import Tensor

from brainnet.model.factortopy import FactorTopy
from brainnet.model.readout import READOUTS
from brainnet.selection import Selectors
from brainnet.tokens import Tokens


class TimedSelectors(Selectors):
    """:class:`Selectors` with ``delay``: (n, n_delays), non-negative, sums to 1; and ``delays``, in volumes."""

    delay: Tensor
    delays: tuple[int, ...]

    def _replace(self, **changes: Tensor) -> TimedSelectors:
        found = super()._replace(**changes)
        found.delay, found.delays = self.delay, self.delays
        return found


@READOUTS.register("delayed")
class DelayedFactorTopy(FactorTopy):
    """FactorTopy on a time series: for each voxel a layer mix, a place, a scale and a delay.

    Args:
        layers, n_vertices, coords, **options: as of :class:`~brainnet.model.factortopy.FactorTopy`.
        layer_widths: channels per layer over all delays, ``len(delays)`` times those of a stimulus.
        delays: in volumes, in the order in which the channels hold them; see
            :func:`brainnet.dataset.volume_tokens`.

    At the start every voxel reads all delays alike.

    Raises:
        ValueError: channels that are no multiple of the number of delays.

    >>> model = DelayedFactorTopy(["0", "1"], [12, 12], n_vertices=4, coords=torch.rand(4, 3), delays=[1, 2, 3])
    >>> tokens = {name: torch.rand(2, 12, 1, 1) for name in model.layers}
    >>> model(tokens, {name: token[..., 0, 0] for name, token in tokens.items()})[0].shape
    torch.Size([2, 4])
    >>> model.latency(tr=2.0)[0].tolist()
    [4.0]
    """

    def __init__(
        self, layers: Sequence[str | int], layer_widths: Sequence[int | tuple[int, int]], n_vertices: int,
        coords: Tensor | None = None, *, delays: Sequence[int] = (1, 2, 3, 4), bottleneck_dim: int = 128,
        grid: tuple[int, int] = (1, 1), topology: str = "coords", window: str = "point", head: str = "mean",
        precision: str = "fp32",
    ):  # fmt: skip
        delays = tuple(int(delay) for delay in delays)
        if not delays or len(set(delays)) < len(delays):
            raise ValueError(f"delays are one or more numbers of volumes, each once; got {list(delays)}.")
        widths = [(w, w) if isinstance(w, int) else (int(w[0]), int(w[1])) for w in layer_widths]
        for layer, pair in zip(layers, widths, strict=False):
            if any(width % len(delays) for width in pair):
                raise ValueError(
                    f"layer {layer!r} has {max(pair)} channels, which are not those of {len(delays)} delays "
                    f"{list(delays)}: give tokens at these delays, one after another."
                )
        super().__init__(
            layers, [(a // len(delays), b // len(delays)) for a, b in widths], n_vertices, coords,
            bottleneck_dim=bottleneck_dim, grid=grid, topology=topology, window=window, head=head, precision=precision,
        )  # fmt: skip
        self.delays = delays
        self._add_selector("delay", len(delays), 3 if coords is None else coords.shape[-1])

    def get_delays(self, coords: Tensor | None = None) -> Tensor:
        """(n, n_delays) how much each voxel reads each delay; sums to 1."""
        return self.get_selectors(coords).delay

    def latency(self, tr: float = 1.0, coords: Tensor | None = None) -> Tensor:
        """(n, 1) mean delay of each voxel, in volumes, or with ``tr`` in seconds."""
        delays = torch.tensor(self.delays, dtype=self.weight.dtype, device=self.weight.device)
        return tr * (self.get_delays(coords) @ delays)[:, None]

    def regulariser(self, selectors: Selectors) -> Tensor:
        """That of FactorTopy, and the negative entropy of the delays over log n_delays: falls as delays even out."""
        known = super().regulariser(selectors)
        if len(self.delays) == 1:
            return known
        a = selectors.delay
        return known + (a * (a + 1e-8).log()).sum(-1).mean() / math.log(len(self.delays))

    @torch.no_grad()
    def closed_form_start(
        self,
        coefficients: Sequence[Tensor],
        intercept: Tensor,
        position: Tensor,
        width: Tensor | None = None,
        *,
        global_coefficients: Sequence[Tensor] | None = None,
        layer: Tensor | None = None,
        scale: float | Tensor = 0.12,
    ) -> float:
        """As of FactorTopy, from coefficients of all delays (n_vertices, n_delays * C).

        A voxel's delays start at the share of the size of its coefficients, and its channels at what predicts the
        coefficients of all delays best, given these shares.
        """
        stacks = [list(stack) for stack in (coefficients, global_coefficients) if stack is not None]
        parted = [[rearrange(c.double(), "n (d c) -> n d c", d=len(self.delays)) for c in stack] for stack in stacks]
        size = sum(c.square().sum(-1) for stack in parted for c in stack).sqrt()  # (n, n_delays)
        share = (size / size.sum(1, keepdim=True)).nan_to_num(nan=1 / len(self.delays)).clamp(min=1e-3)
        share = share / share.sum(1, keepdim=True)
        joined = [
            [torch.einsum("nd,ndc->nc", share, c) / share.square().sum(1, keepdim=True) for c in stack]
            for stack in parted
        ]
        self._set_selector("delay", share.log().to(self.weight.device))
        return super().closed_form_start(
            joined[0], intercept, position, width,
            global_coefficients=joined[1] if len(joined) > 1 else None, layer=layer, scale=scale,
        )  # fmt: skip

    @torch.enable_grad()
    def evidence_start(self, evidence: Tensor, steps: int = 150) -> None:
        """Starts layers and delays where a voxel is likely to read, by the evidence of each pair of them alone.

        Layers and delays of all voxels become those under which the evidence is largest, with the selectors as the
        prior of each voxel. With topology "coords" they are functions of the place, so that neighbors help each other.

        Args:
            evidence: (n_vertices, n_layers, n_delays) logarithms of likelihoods, up to a constant of each voxel.
            steps: of the optimizer.

        Raises:
            ValueError: evidence of another shape.
        """
        expected = (self.n_vertices, len(self.layers), len(self.delays))
        if tuple(evidence.shape) != expected:
            raise ValueError(f"evidence must be {expected}, got {tuple(evidence.shape)}.")
        known = evidence.isfinite().all(-1).all(-1)
        asked = [p for name, p in self.named_parameters() if name.startswith(("layer_selector", "delay_selector"))]
        optimizer = torch.optim.AdamW(asked, lr=1e-2 if self.topology == "coords" else 0.1)
        likelihood = (evidence - evidence.flatten(1).amax(1)[:, None, None])[known].to(self.weight)
        for _ in range(steps):
            selectors = self.get_selectors()
            prior = (selectors.layer + 1e-8).log()[:, :, None] + (selectors.delay + 1e-8).log()[:, None]
            loss = -(likelihood + prior[known]).flatten(1).logsumexp(1).mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
        optimizer.zero_grad()

    def _squash(self, logits: Mapping[str, Tensor]) -> tuple[Selectors, Tensor | None]:
        selectors, width = super()._squash(logits)
        timed = TimedSelectors(*selectors)
        timed.delay, timed.delays = logits["delay"].softmax(-1), self.delays
        return timed, width

    def _check_tokens(self, local: Mapping[str, Tensor], global_: Mapping[str, Tensor]) -> Tokens:
        """Tokens with the delays as rows of their own: (B * n_delays, C, h, w)."""
        n = len(self.delays)
        if all(t.shape[1] % n == 0 for part in (local, global_) for t in part.values()):
            local = {k: rearrange(t, "b (d c) h w -> (b d) c h w", d=n) for k, t in local.items()}
            global_ = {k: rearrange(t, "b (d c) -> (b d) c", d=n) for k, t in global_.items()}
        return super()._check_tokens(local, global_)

    def _bottleneck(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Local (B, L, n_delays, D, H, W) and global (B, L, n_delays, D) tokens."""
        local, global_ = super()._bottleneck(tokens)
        n = len(self.delays)
        return (
            rearrange(local, "(b d) l c h w -> b l d c h w", d=n),
            rearrange(global_, "(b d) l c -> b l d c", d=n),
        )

    def _read(self, local, global_, selectors: Selectors, width: Tensor | None, bias: Tensor | None = None) -> Tensor:
        pairs = rearrange(selectors.layer[:, :, None] * selectors.delay[:, None], "n l d -> n (l d)")
        mixed = Selectors(selectors.space, pairs, selectors.scale)
        return super()._read(local.flatten(1, 2), global_.flatten(1, 2), mixed, width, bias)


def delays_of(readout: Any) -> Tensor | None:
    """How much each voxel reads each delay, (n, n_delays), on the CPU; None of a read-out without delays."""
    ask = getattr(readout, "get_delays", None)
    return ask().detach().cpu() if callable(ask) else None
