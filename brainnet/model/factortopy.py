"""FactorTopy: for every voxel a layer mix, a place, a scale and channel weights, learned together.

The voxel's coordinates on the cortex pass through a positional code and small networks that answer *where to
look*: so neighbors look alike. One bottleneck per layer brings every layer to the same channels, one linear
head per voxel reads them. The module refuses to know of configs, files or training loops.
Reference: Yang, Gee & Shi (2024), Brain Decodes Deep Nets, CVPR; state-dict keys are those of its weights.
"""

from __future__ import annotations

import copy
import functools
import math
from collections.abc import Iterable, Mapping, Sequence

import torch
from einops import rearrange
from torch import Tensor, nn
from torch.nn import functional as F

from brainnet._checks import check_word
from brainnet.model.closed_form import factorize
from brainnet.model.position_code import PositionalEncoding, SelectorNetwork, run_together
from brainnet.model.readout import READOUTS, Contributions
from brainnet.selection import Selectors, read_out
from brainnet.selection.definition import MAX_WIDTH, MIN_WIDTH, arithmetic
from brainnet.tokens import RunningMoments, Tokens, TokenTransform
from brainnet.tokens.transform import module_keys

__all__ = ["Contributions", "FactorTopy", "PositionalEncoding", "Selectors", "TokenTransform"]


def _in_full_precision(method):
    """Keeps autocast out: places rounded to half precision cross token borders, and their gradients go wrong."""

    @functools.wraps(method)
    def wrapped(self, *args, **kwargs):
        with torch.autocast(self.weight.device.type, enabled=False):
            return method(self, *args, **kwargs)

    return wrapped


@READOUTS.register("factortopy")
class FactorTopy(nn.Module):
    """Factorized, topological selection of tokens: (prediction (B, n_vertices), regularizer) from tokens.

    Args:
        layers: names of the layers, as they come in the tokens.
        layer_widths: channels per layer; an entry may be a pair (local, global) where the two differ.
        n_vertices: number of voxels.
        coords: coordinates of *all* voxels, (n_vertices, n_axes). They may follow later, by :meth:`set_coords`.
        bottleneck_dim: channels every layer is brought to.
        grid: height and width the local tokens are brought to.
        topology: "coords" computes selectors from coordinates, "free" keeps parameters per voxel.
        window: "point" samples one place bilinearly (the original), "gaussian" averages over a learned width.
        head: "mean" over channels (the original) or "sum"; the mean is a sum with a learning rate D times smaller.
        resize: how local tokens reach ``grid``: "mean" or "bilinear" (the original), see :meth:`Tokens.resize`.
        width_init: first width of the Gaussian window, in half-widths of the image.
        implementation: of the selection, see :func:`brainnet.selection.read_out`.
        precision: "fp32" computes in the parameters' precision; "bf16" rounds bottlenecks, read-out and the hidden
            layers behind layer and scale to bfloat16, never those behind places and widths; parameters, sums and
            results keep their precision. Twice as fast, or more, on processors that multiply bfloat16, and slower on
            others: "auto" is "bf16" on the former alone.
        n_axes: of coordinates that follow later.

    At the start every voxel looks at the image's center, at all layers alike and half at the global token.

    >>> model = FactorTopy(["0", "1"], [6, 6], n_vertices=4, coords=torch.rand(4, 3), bottleneck_dim=5)
    >>> local = {name: torch.rand(2, 6, 8, 8) for name in model.layers}
    >>> prediction, regulariser = model(local, {name: torch.rand(2, 6) for name in model.layers})
    >>> prediction.shape, regulariser.shape
    (torch.Size([2, 4]), torch.Size([]))
    >>> model.get_selectors().layer[0].tolist()
    [0.5, 0.5]
    """

    def __init__(
        self,
        layers: Sequence[str | int],
        layer_widths: Sequence[int | tuple[int, int]],
        n_vertices: int,
        coords: Tensor | None = None,
        *,
        bottleneck_dim: int = 128,
        grid: tuple[int, int] = (8, 8),
        topology: str = "coords",
        window: str = "point",
        head: str = "mean",
        resize: str = "mean",
        width_init: float = 0.35,
        implementation: str = "auto",
        precision: str = "fp32",
        n_axes: int = 3,
    ):
        super().__init__()
        check_word("topology", topology, ("coords", "free"))
        check_word("window", window, ("point", "gaussian"))
        check_word("head", head, ("mean", "sum"))
        check_word("resize", resize, ("mean", "bilinear"))
        check_word("precision", precision, ("fp32", "bf16", "auto"))
        if not MIN_WIDTH < width_init < MAX_WIDTH:
            raise ValueError(f"width_init must lie between {MIN_WIDTH} and {MAX_WIDTH} half-widths, got {width_init}")
        self.layers = tuple(str(name) for name in layers)
        if len(self.layers) != len(layer_widths) or len(set(self.layers)) != len(self.layers) or not self.layers:
            raise ValueError(f"layers must be distinct and have a width each: got {list(layers)} and {layer_widths}.")
        self.layer_widths = tuple((w, w) if isinstance(w, int) else (int(w[0]), int(w[1])) for w in layer_widths)
        self.n_vertices, self.bottleneck_dim, self.grid = n_vertices, bottleneck_dim, (int(grid[0]), int(grid[1]))
        self.topology, self.window, self.head, self.resize = topology, window, head, resize
        self.implementation, self.precision = implementation, precision

        self.local_token_bottleneck, self.global_token_bottleneck = nn.ModuleDict(), nn.ModuleDict()
        self._keys = list(module_keys(self.layers).values())
        for key, (local_width, global_width) in zip(self._keys, self.layer_widths, strict=True):
            self.local_token_bottleneck[key] = nn.Conv2d(local_width, bottleneck_dim, 1, bias=False)
            self.global_token_bottleneck[key] = nn.Linear(global_width, bottleneck_dim, bias=False)
        linear = nn.Linear(bottleneck_dim, n_vertices)
        self.weight, self.bias = nn.Parameter(linear.weight.detach()), nn.Parameter(linear.bias.detach())

        self._outputs = {"space": 2, "layer": len(self.layers), "scale": 1}
        if window == "gaussian":
            self._outputs["width"] = 1
        start = math.log(width_init / MIN_WIDTH) / math.log(MAX_WIDTH / MIN_WIDTH)
        self._width_offset = math.log(start / (1 - start))
        self.position_code: PositionalEncoding | None = None
        self.register_buffer("coords", None, persistent=False)
        self._code: Tensor | None = None
        n_axes = n_axes if coords is None else coords.shape[-1]
        for name, size in list(self._outputs.items()):
            self._add_selector(name, size, n_axes)
        if coords is not None and topology == "coords":
            self.set_coords(coords)

    def _add_selector(self, name: str, size: int, n_axes: int) -> None:
        self._outputs[name] = size
        if self.topology == "coords":
            setattr(self, f"{name}_selector_mlp", SelectorNetwork(64 * n_axes, size))
        else:
            setattr(self, f"{name}_selector", nn.Parameter(torch.zeros(self.n_vertices, size)))

    def set_coords(self, coords: Tensor) -> None:
        """Gives every voxel its place and fixes the bounds of the positional code by them.

        Args:
            coords: of all voxels, (n_vertices, n_axes). To select a few voxels of a trained model use :meth:`subset`.
        """
        if self.topology == "free":
            raise ValueError("topology='free' has parameters per voxel and takes no coords.")
        expected = self.n_vertices, self.space_selector_mlp.first.in_features // 64
        if tuple(coords.shape) != expected:
            raise ValueError(f"coords must be {expected}, a row for every voxel; got {tuple(coords.shape)}.")
        coords = coords.detach().to(self.weight)
        self.position_code = PositionalEncoding(coords)
        self.register_buffer("coords", coords, persistent=False)
        self._code = None

    @_in_full_precision
    def forward(
        self, local_tokens: Mapping[str, Tensor], global_tokens: Mapping[str, Tensor], coords: Tensor | None = None
    ) -> tuple[Tensor, Tensor]:
        """Predictions (B, n_vertices) and the scalar regularizer; the tokens are left untouched.

        Args:
            local_tokens: layer -> (B, C, h, w), any grid; it is brought to ``self.grid``.
            global_tokens: layer -> (B, C).
            coords: of all voxels; None takes those the model was built with, whose code is computed only once.

        Raises:
            ValueError: layers or channels other than the model's, or coords of a subset (see :meth:`subset`).
        """
        tokens = self._check_tokens(local_tokens, global_tokens)
        selectors, width = self._select(coords)
        if len(selectors.scale) != self.n_vertices:
            raise ValueError(
                f"coords have {len(selectors.scale)} rows but the model has {self.n_vertices} voxels. "
                "To predict some of them use model.subset(index)(local_tokens, global_tokens)."
            )
        local, global_ = self._bottleneck(tokens)
        prediction = self._read(local, global_, selectors, width, self.bias)
        return prediction, self.regulariser(selectors)

    def get_selectors(self, coords: Tensor | None = None) -> Selectors:
        """Where each voxel looks; of the model's voxels, or (topology "coords") of any place on the same cortex.

        Gradients flow; wrap in ``torch.no_grad()`` to plot.
        """
        return self._select(coords)[0]

    def width(self, coords: Tensor | None = None) -> Tensor:
        """Standard deviation of each voxel's Gaussian window, (n, 1), in half-widths of the image."""
        if self.window != "gaussian":
            raise ValueError("window='point' has no width; build the model with window='gaussian'.")
        return self._select(coords)[1]

    def regulariser(self, selectors: Selectors) -> Tensor:
        """Scalar that falls as layer mixes become uniform and scales approach 1/2: in [-1, 1/4].

        Mean over voxels of the negative layer entropy over log L, plus mean of (scale - 1/2)^2.
        """
        spread = (selectors.scale - 0.5).square().mean()
        if len(self.layers) == 1:
            return spread
        a = selectors.layer
        return (a * (a + 1e-8).log()).sum(-1).mean() / math.log(len(self.layers)) + spread

    def selector_parameters(self) -> list[nn.Parameter]:
        """The parameters that decide where to look, for a learning rate or weight decay of their own."""
        return [p for name, p in self.named_parameters() if "_selector" in name]

    def subset(self, index: Tensor) -> FactorTopy:
        """A copy that holds only the voxels of ``index`` (integers or a mask) and predicts them as this one does."""
        part = copy.deepcopy(self)
        per_voxel = ["weight", "bias"]
        if self.topology == "free":
            per_voxel += [f"{name}_selector" for name in self._outputs]
        for name in per_voxel:
            setattr(part, name, nn.Parameter(getattr(part, name).detach()[index].clone()))
        if self.coords is not None:
            part.register_buffer("coords", self.coords[index].clone(), persistent=False)
        part._code = None
        part.n_vertices = len(part.weight)
        return part

    @torch.no_grad()
    @_in_full_precision
    def contributions(self, batches: Iterable[Tokens]) -> Contributions:
        """What each layer and scale really adds to every voxel's prediction, over many images.

        The softmax alone does not say it: a layer's mix and the norm of its bottleneck trade off freely. Corrected
        for that gain, a layer's share is ``mix_l * SD over images of <w, B_l token_l>`` at the voxel's place and scale,
        over the sum of all; the global share compares the SDs of the global and the local part of the prediction.

        Args:
            batches: tokens of at least two images in all.
        """
        selectors, width = self._select(None)
        n_layers = len(self.layers)
        spread = RunningMoments()
        for tokens in batches:
            local, global_ = self._bottleneck(self._check_tokens(*tokens))
            parts = [
                self._read(local[:, [k]], global_[:, [k]], selectors._replace(layer=selectors.layer[:, [k]]), width)
                for k in range(n_layers)
            ]
            parts.append(self._read(local, torch.zeros_like(global_), selectors, width))
            parts.append(self._read(torch.zeros_like(local), global_, selectors, width))
            spread.update(torch.stack(parts, dim=-1))
        if spread.count < 2:
            raise ValueError(f"contributions need tokens of at least two images, got {spread.count}.")
        sd = spread.sd()  # (n, L + 2): layers, then the local and the global part
        layer, part = sd[:, :n_layers], sd[:, n_layers:]
        shares = layer / layer.sum(1, keepdim=True), part[:, 1:] / part.sum(1, keepdim=True)
        return Contributions(*(share.to(self.weight.dtype) for share in shares))

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
        """Starts the model from linear fits on window-pooled tokens; returns the share of their energy kept.

        Given ``response_n ~ sum_l <coefficients[l][n], window_n(local_l)> + intercept_n`` (a ridge regression, say),
        bottlenecks and head become the truncated SVD of all voxels' coefficients, stacked over layers: exact, hence
        predictions equal to the linear fits, where ``bottleneck_dim`` is at least their rank (at most n_vertices).
        Spare bottleneck channels stay at their random start with a head weight of zero, free to be learned.

        With topology "free" the selectors become exactly those given. With "coords" they are functions of the
        coordinates: the selectors' last layers are fitted to them by least squares, and what the functions cannot
        follow (abrupt changes between neighbors) is lost; the coefficients are corrected for what layer mix and scale
        became, not for places and widths.

        Args:
            coefficients: per layer, (n_vertices, C_local).
            intercept: (n_vertices,).
            position: (n_vertices, 2) in (-1, 1), see :class:`Selectors`.
            width: (n_vertices, 1) half-widths; with window "gaussian" only.
            global_coefficients: per layer, (n_vertices, C_global); None sets the global bottleneck to zero, so that
                the global token starts without a say (and the local part is scaled up by 1 / (1 - scale)).
            layer: mix to start from, (n_vertices, L), positive; None is uniform.
            scale: share of the global token to start from, inside (0, 1).

        Raises:
            ValueError: shapes that do not fit the model, or a width that is missing or not wanted.
        """
        if (width is None) == (self.window == "gaussian"):
            raise ValueError(f"window={self.window!r} {'needs' if width is None else 'takes no'} width.")
        n_voxels, n_layers = self.n_vertices, len(self.layers)
        stacks = [list(stack) for stack in (coefficients, global_coefficients) if stack is not None]
        for kind, stack in enumerate(stacks):
            expected = [(n_voxels, widths[kind]) for widths in self.layer_widths]
            if [tuple(c.shape) for c in stack] != expected:
                raise ValueError(f"coefficients must be {expected}, got {[tuple(c.shape) for c in stack]}.")
        wanted = {
            "space": torch.atanh(position.double().clamp(-0.9999, 0.9999)),
            "layer": torch.zeros(n_voxels, n_layers) if layer is None else layer.double().log(),
            "scale": torch.logit(torch.as_tensor(scale).double().expand(n_voxels, 1)),
        }
        if width is not None:
            ratio = (width.double() / MIN_WIDTH).log() / math.log(MAX_WIDTH / MIN_WIDTH)
            wanted["width"] = torch.logit(ratio.clamp(1e-3, 1 - 1e-3)) - self._width_offset
        for name, logit in wanted.items():
            self._set_selector(name, logit.to(self.weight.device))

        selectors = self.get_selectors()
        gain = self.bottleneck_dim if self.head == "mean" else 1
        stacks = [[gain * c.double() for c in stack] for stack in stacks]
        weight, blocks, kept = factorize(
            stacks, (1 - selectors.scale, selectors.scale), selectors.layer, self.bottleneck_dim
        )
        rank = weight.shape[1]
        self.weight.zero_()
        self.weight[:, :rank] = weight.to(self.weight)
        for kind, bottleneck in enumerate((self.local_token_bottleneck, self.global_token_bottleneck)):
            for k, key in enumerate(self._keys):
                rows = bottleneck[key].weight.flatten(1)  # a view: the bottleneck changes with it
                rows[:rank] = blocks[kind][k].to(rows) if kind < len(blocks) else 0
        self.bias.copy_(intercept)
        return kept

    def extra_repr(self) -> str:
        """The choices a printed model shows."""
        return (
            f"{len(self.layers)} layers, n_vertices={self.n_vertices}, bottleneck_dim={self.bottleneck_dim}, "
            f"grid={self.grid}, topology={self.topology!r}, window={self.window!r}, head={self.head!r}"
        )

    def _check_tokens(self, local: Mapping[str, Tensor], global_: Mapping[str, Tensor]) -> Tokens:
        for given in (local, global_):
            if set(given) != set(self.layers):
                raise ValueError(
                    f"tokens have layers {_abridged(given)} but the model was built for {_abridged(self.layers)}.\n"
                    f"  Name in layers those the backbone gives (MODEL.LAYERS in a config), or choose them in the "
                    f"backbone: build_backbone(..., layers={_abridged(self.layers)})."
                )
        for name, (local_width, global_width) in zip(self.layers, self.layer_widths, strict=True):
            channels = local[name].shape[1], global_[name].shape[1]
            if channels != (local_width, global_width):
                raise ValueError(
                    f"tokens of layer {name!r} have {channels[0]} local and {channels[1]} global channels but the "
                    f"model was built for {local_width} and {global_width}: give layer_widths to match."
                )
        tokens = Tokens({name: local[name] for name in self.layers}, {name: global_[name] for name in self.layers})
        needs_resizing = any(t.shape[-2:] != self.grid for t in tokens.local.values())
        return (
            tokens.map(lambda t: t.to(self.weight.dtype)).resize(self.grid, self.resize) if needs_resizing else tokens
        )

    def _bottleneck(self, tokens: Tokens) -> tuple[Tensor, Tensor]:
        """Local (B, L, D, H, W) and global (B, L, D) tokens on the channels all layers share."""
        local = [rearrange(t, "b c h w -> b (h w) c") for t in tokens.local.values()]
        local = self._project(local, [self.local_token_bottleneck[key].weight.flatten(1) for key in self._keys])
        global_ = [rearrange(t, "b c -> b 1 c") for t in tokens.global_.values()]
        global_ = self._project(global_, [self.global_token_bottleneck[key].weight for key in self._keys])
        height = self.grid[0]
        return rearrange(local, "l b (h w) d -> b l d h w", h=height), rearrange(global_, "l b 1 d -> b l d")

    def _project(self, tokens: list[Tensor], weights: list[Tensor]) -> Tensor:
        """Tokens (B, P, C) of every layer times that layer's weights (D, C): (L, B, P, D)."""
        batch, places, _ = tokens[0].shape
        dtype = torch.bfloat16 if self._rounds() else self.weight.dtype
        tokens = [t.to(dtype) for t in tokens]
        if tokens[0].is_cuda and len({t.shape[2] for t in tokens}) == 1:
            # few launches matter more than a copy of the tokens; only stacked do they fold into rows without another
            out = torch.bmm(torch.stack(tokens).flatten(1, 2), torch.stack(weights).to(dtype).transpose(1, 2))
        else:
            out = torch.stack([F.linear(t.flatten(0, 1), w.to(dtype)) for t, w in zip(tokens, weights, strict=True)])
        return out.unflatten(1, (batch, places))

    def _read(self, local, global_, selectors: Selectors, width: Tensor | None, bias: Tensor | None = None) -> Tensor:
        return read_out(
            local,
            global_,
            selectors.layer,
            selectors.space,
            selectors.scale,
            self.weight,
            bias,
            width=width,
            head=self.head,
            implementation=self.implementation,
            precision="bf16" if self._rounds() else "fp32",
        )

    def _rounds(self) -> bool:
        """Whether bfloat16 is used where the weights are now."""
        return arithmetic(self.precision, self.weight.device) == "bf16"

    @_in_full_precision
    def _select(self, coords: Tensor | None) -> tuple[Selectors, Tensor | None]:
        if self.topology == "free":
            if coords is not None:
                raise ValueError("topology='free' has parameters per voxel and takes no coords.")
            logits = {name: getattr(self, f"{name}_selector") for name in self._outputs}
        else:
            logits = self._logits(self._encode(coords))
        return self._squash(logits)

    def _squash(self, logits: Mapping[str, Tensor]) -> tuple[Selectors, Tensor | None]:
        selectors = Selectors(logits["space"].tanh(), logits["layer"].softmax(-1), logits["scale"].sigmoid())
        if self.window == "point":
            return selectors, None
        # between its two limits on a log scale: a width never gets stuck at a limit, as a clamped one would
        return selectors, MIN_WIDTH * (MAX_WIDTH / MIN_WIDTH) ** (logits["width"] + self._width_offset).sigmoid()

    def _logits(self, code: Tensor) -> dict[str, Tensor]:
        """What each selector's network makes of the positional codes; places and widths are never rounded."""
        exact = [name for name in self._outputs if not self._rounds() or name in ("space", "width")]
        rounded = [name for name in self._outputs if name not in exact]
        found = {}
        for names, dtype in ((exact, code.dtype), (rounded, torch.bfloat16)):
            if names:
                networks = [getattr(self, f"{name}_selector_mlp") for name in names]
                found |= zip(names, run_together(networks, code, dtype), strict=True)
        return {name: found[name] for name in self._outputs}

    def _encode(self, coords: Tensor | None) -> Tensor:
        if self.position_code is None:
            raise ValueError("the model has no coords yet: call set_coords(coords) with those of all voxels.")
        if coords is not None and coords is not self.coords:
            return self.position_code(coords.to(self.weight))
        if self._code is None or self._code.device != self.coords.device or self._code.dtype != self.coords.dtype:
            with torch.inference_mode(False):  # a training may follow a prediction, and differentiates through it
                self._code = self.position_code(self.coords)
        return self._code

    def _set_selector(self, name: str, logit: Tensor) -> None:
        """Makes a selector's output before its squashing ``logit``, or the nearest its last layer can come."""
        if self.topology == "free":
            getattr(self, f"{name}_selector").copy_(logit)
            return
        mlp = getattr(self, f"{name}_selector_mlp")
        hidden = mlp.hidden(self._encode(None)).double()
        gram = hidden.T @ hidden
        gram.diagonal().add_(1e-9 * gram.trace())  # hidden units may be collinear
        mlp.last.weight.copy_(torch.linalg.solve(gram, hidden.T @ logit.double()).T)


def _abridged(names: Iterable[str]) -> str:
    names = [repr(name) for name in names]
    return f"[{', '.join(names if len(names) <= 5 else [names[0], '...', names[-1]])}]"
