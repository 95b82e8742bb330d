"""Random tokens for the tests of several rooms."""

from __future__ import annotations

import torch

from brainnet.tokens import Tokens


def make_tokens(rng, layers=("0", "1", "2"), widths=(6, 6, 6), batch=3, grid=(8, 8), dtype=torch.float32):
    draw = lambda *shape: torch.randn(*shape, generator=rng, dtype=dtype)  # noqa: E731
    pairs = [(w, w) if isinstance(w, int) else w for w in widths]
    return Tokens(
        {k: draw(batch, w, *grid) for k, (w, _) in zip(layers, pairs, strict=True)},
        {k: draw(batch, w) for k, (_, w) in zip(layers, pairs, strict=True)},
    )


def split(tokens, size):
    n = len(next(iter(tokens.global_.values())))
    return [tokens.map(lambda t, i=i: t[i : i + size]) for i in range(0, n, size)]
