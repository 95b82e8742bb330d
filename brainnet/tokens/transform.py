"""Standardized tokens: one affine map per layer, fitted on training images, before any bottleneck sees them.

Channels of trained networks differ in size by orders of magnitude, and a model that starts from raw tokens spends
its first thousands of steps on that alone. The map is linear plus an offset and is fitted once, in float64 sums over
batches of images; local and global tokens of a layer have their own.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence

import torch
from torch import Tensor, nn

from brainnet.tokens.tokens import Tokens

SAME_AS_MEAN = 0.02  # share of variance by which a global token may differ from the mean local one: rounding, resizing
RELATIVE_FLOOR = 1e-6  # a channel or component this much smaller than the layer's largest SD is constant up to rounding


def module_keys(layers: Iterable[str]) -> dict[str, str]:
    """For every layer a name for a submodule, in which dots are not allowed; no two layers share one.

    A dot becomes a dash. A layer whose name is then taken, by another layer or by a method of ``nn.ModuleDict``, gets a
    number behind it.

    >>> module_keys(["features.2", "a.b", "a-b", "keys"])
    {'features.2': 'features-2', 'a.b': 'a-b', 'a-b': 'a-b~1', 'keys': 'keys~1'}
    """
    keys: dict[str, str] = {}
    taken = {*dir(nn.ModuleDict()), ""}
    for layer in layers:
        key = plain = layer.replace(".", "-")
        number = 0
        while key in taken:
            number += 1
            key = f"{plain}~{number}"
        taken.add(key)
        keys[layer] = key
    return keys


class TokenTransform(nn.Module):
    """An affine map of every layer's tokens: standardized channels, and on request their principal components.

    Local and global tokens of a layer are standardized apart: local statistics run over images and places.
    With ``pca`` each becomes its leading components, divided by one number per layer so that their mean variance is
    1, or, with ``whiten``, each by its own SD. Channels and components that never vary become zero. Where the global
    token is the mean of the local ones (networks without a class token) it is expressed in the local components, of
    which thousands of places give a better estimate than one row per image.

    Make one with :meth:`fit`; the constructor makes the identity on which ``load_state_dict`` can act.

    Args:
        layers: names of the layers.
        layer_widths: channels per layer, an entry may be a pair (local, global).
        pca: components kept at most per layer, or None for none.

    >>> tokens = Tokens({"a": torch.randn(20, 3, 4, 4) * 7 + 5}, {"a": torch.randn(20, 3) - 2})
    >>> out = TokenTransform.fit([tokens], ["a"])(tokens)
    >>> out.local["a"].mean().abs() < 1e-5, out.local["a"].std(correction=0).round(decimals=4)
    (tensor(True), tensor(1.))
    """

    def __init__(self, layers: Sequence[str], layer_widths: Sequence[int | tuple[int, int]], pca: int | None = None):
        super().__init__()
        self.layers, self.pca = tuple(str(name) for name in layers), pca
        self.maps, self._keys = nn.ModuleDict(), module_keys(self.layers)
        for name, width in zip(self.layers, layer_widths, strict=True):
            pair = (width, width) if isinstance(width, int) else width
            for kind, size in zip(("local", "global"), pair, strict=True):
                self.maps[f"{kind}_{self._keys[name]}"] = _Affine(size, None if pca is None else min(pca, size))

    @classmethod
    def fit(
        cls,
        batches: Iterable[Tokens],
        layers: Sequence[str],
        standardize: bool = True,
        pca: int | None = None,
        whiten: bool = False,
    ) -> TokenTransform:
        """The transform whose output, over these images, is standardized.

        Args:
            batches: tokens of the *training* images, (B, C, H, W) and (B, C) per layer; read once.
            layers: the layers to transform.
            standardize: divide every channel by its SD; False only removes the mean.
            pca: number of components kept per layer (fewer where a layer has fewer channels), or None.
            whiten: every component to unit variance; False keeps their proportions.

        Raises:
            ValueError: no images, or fewer than two.
        """
        if pca is not None and pca < 1:
            raise ValueError(f"pca is a number of components of at least 1, or None; got {pca}")
        layers = [str(name) for name in layers]
        moments: dict[tuple[str, str], RunningMoments] = {}
        from_mean = dict.fromkeys(layers, 0.0)  # squared distance of the global tokens from the mean local ones
        for tokens in batches:
            for name in layers:
                if name not in tokens.local:
                    raise ValueError(f"tokens have layers {list(tokens.local)}, not {name!r}.")
                for kind, rows in (("local", tokens.local[name]), ("global", tokens.global_[name])):
                    rows = rows.flatten(2).transpose(1, 2).flatten(0, 1) if kind == "local" else rows
                    moments.setdefault((name, kind), RunningMoments(pca is not None)).update(rows)
                local, global_ = tokens.local[name].double(), tokens.global_[name].double()
                if local.shape[1] == global_.shape[1]:
                    from_mean[name] += (global_ - local.mean((2, 3))).square().sum()
                else:
                    from_mean[name] = math.inf
        if not moments or moments[layers[0], "global"].count < 2:
            raise ValueError("a token transform needs tokens of at least two images.")
        widths = [tuple(len(moments[name, kind].mean) for kind in ("local", "global")) for name in layers]
        transform = cls(layers, widths, pca).to(moments[layers[0], "local"].mean.device)  # where the tokens are
        for name in layers:
            local_map, global_map = (transform.maps[f"{kind}_{transform._keys[name]}"] for kind in ("local", "global"))
            local_map.set_from(moments[name, "local"], standardize, whiten)
            means = moments[name, "global"]
            if pca is not None and from_mean[name] < SAME_AS_MEAN * means.scatter.trace():
                global_map.follow(local_map, means, whiten)
            else:
                global_map.set_from(means, standardize, whiten)
        return transform

    @property
    def layer_widths(self) -> tuple[tuple[int, int], ...]:
        """Channels (local, global) that come out of each layer, FactorTopy's ``layer_widths``."""
        return tuple(tuple(len(self.linear_map(name, kind)[1]) for kind in ("local", "global")) for name in self.layers)

    def linear_map(self, layer: str, kind: str = "local") -> tuple[Tensor, Tensor]:
        """Matrix (k, C) and offset (k,) of one layer: out = matrix @ token + offset.

        A bottleneck B after the transform equals ``B @ matrix`` on raw tokens plus the constant ``B @ offset``.
        """
        return self.maps[f"{kind}_{self._keys[layer]}"].linear_map()

    @torch.no_grad()
    def forward(self, tokens: Tokens) -> Tokens:
        """New tokens, (B, k, H, W) and (B, k) per layer; those given stay as they are."""
        local, global_ = tokens
        # never in autocast's halves: raw tokens may lie far from zero, and only the difference from their mean counts
        with torch.autocast(local[self.layers[0]].device.type, enabled=False):
            return Tokens(
                {name: self.maps[f"local_{self._keys[name]}"](local[name]) for name in self.layers},
                {name: self.maps[f"global_{self._keys[name]}"](global_[name]) for name in self.layers},
            )


class _Affine(nn.Module):
    """``gain * (x - mean)``, or ``components @ (gain * (x - mean))``, along the second axis."""

    def __init__(self, width: int, n_components: int | None):
        super().__init__()
        self.register_buffer("mean", torch.zeros(width))
        self.register_buffer("gain", torch.ones(width))
        self.register_buffer("components", None if n_components is None else torch.eye(n_components, width))

    def set_from(self, moments: RunningMoments, standardize: bool, whiten: bool) -> None:
        sd = moments.sd()
        if self.components is None and not standardize:
            gain = torch.ones_like(sd)
        else:
            alive = sd > RELATIVE_FLOOR * sd.max()
            gain = torch.where(alive, 1 / sd if standardize else torch.ones_like(sd), 0)
        self.mean.copy_(moments.mean)
        self.gain.copy_(gain)
        if self.components is None:
            return
        covariance = moments.covariance() * gain[:, None] * gain
        variance, directions = torch.linalg.eigh(covariance)
        kept = len(self.components)
        variance, directions = variance.flip(0)[:kept].clamp_min(0), directions.flip(1)[:, :kept]
        alive = variance > RELATIVE_FLOOR**2 * variance.max()
        spread = variance.sqrt() if whiten else (variance.sum() / alive.sum().clamp_min(1)).sqrt().expand_as(variance)
        # eigenvectors have no sign of their own: make their largest entry positive
        sign = directions.gather(0, directions.abs().argmax(0, keepdim=True)).sign()
        self.components.copy_((torch.where(alive, 1 / spread, 0) * directions * sign).T)

    def follow(self, other: _Affine, moments: RunningMoments, whiten: bool) -> None:
        """The components of another map, each or all scaled anew to the variance these rows have along them."""
        matrix = (other.components * other.gain).double()
        variance = (matrix @ moments.covariance() * matrix).sum(1)
        alive = variance > RELATIVE_FLOOR**2 * variance.max()
        spread = variance.sqrt() if whiten else (variance.sum() / alive.sum().clamp_min(1)).sqrt().expand_as(variance)
        self.mean.copy_(moments.mean)
        self.gain.copy_(other.gain)
        self.components.copy_(torch.where(alive, 1 / spread, 0)[:, None] * other.components)

    def linear_map(self) -> tuple[Tensor, Tensor]:
        matrix = torch.diag(self.gain) if self.components is None else self.components * self.gain
        return matrix, -matrix @ self.mean

    def forward(self, x: Tensor) -> Tensor:
        if self.components is None:
            shape = (-1,) + (1,) * (x.ndim - 2)
            return (x.to(self.mean.dtype) - self.mean.view(shape)) * self.gain.view(shape)
        matrix, offset = self.linear_map()
        if x.ndim == 2:
            return nn.functional.linear(x.to(matrix.dtype), matrix, offset)
        out = torch.matmul(matrix, x.to(matrix.dtype).flatten(2)) + offset[:, None]
        return out.unflatten(2, x.shape[2:])


class RunningMoments:
    """Mean and SD of rows (n, ...) that come in batches, with ``full`` the covariance of (n, C): float64, one pass.

    Chan's pairwise update keeps the sums centered, so that a large mean costs no digits.

    >>> moments = RunningMoments()
    >>> for batch in torch.tensor([[1.0], [2.0], [4.0], [5.0]]).split(3):
    ...     moments.update(batch)
    >>> moments.count, moments.mean.item(), round(moments.sd().item(), 4)
    (4, 3.0, 1.5811)
    """

    def __init__(self, full: bool = False):
        self.full, self.count = full, 0
        self.mean: Tensor | float = 0.0
        self.scatter: Tensor | float = 0.0

    def update(self, rows: Tensor) -> None:
        """Takes in further rows, (m, ...) or (m, C)."""
        rows = rows.double()
        mean, n = rows.mean(0), len(rows)
        rows = rows - mean
        scatter = rows.T @ rows if self.full else rows.square().sum(0)
        delta, total = mean - self.mean, self.count + n
        between = torch.outer(delta, delta) if self.full else delta.square()
        self.scatter = self.scatter + scatter + between * (self.count * n / total)
        self.mean, self.count = self.mean + delta * (n / total), total

    def sd(self) -> Tensor:
        """Standard deviation over all rows so far, divided by n."""
        return ((self.scatter.diagonal() if self.full else self.scatter) / self.count).sqrt()

    def covariance(self) -> Tensor:
        """Covariance (C, C) over all rows so far, divided by n; needs ``full``."""
        return self.scatter / self.count
