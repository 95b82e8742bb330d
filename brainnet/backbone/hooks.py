"""Tokens of any PyTorch network: the outputs of named modules, through hooks that live for one call.

The first pass runs to its end and learns two things: which axes of each output hold the channels and the places, and
when the network may be stopped. Nothing is guessed: where the modules do not tell the axes, the call is refused; where
the steps of a network may depend on the image, every pass runs to its end.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from typing import Any

import torch
from torch import Tensor, nn

from brainnet._checks import check_word
from brainnet.backbone.axes import FIRST, LAST, OUT_OF_ORDER, has_grid, of_other_heights, token_grid
from brainnet.backbone.base import FrozenBackbone
from brainnet.backbone.capture import Ambiguous, Capture
from brainnet.backbone.modules import Place, choose_layers, choose_places, describe, module_names, part_of, place_of
from brainnet.tokens import Preprocessing, Tokens

GLOBAL_TOKENS = ("class", "mean", "registers")


class HookedBackbone(FrozenBackbone):
    """Tokens from named modules of any network, through hooks that live for one call.

    Args:
        network: takes images (B, 3, H, W). It is frozen here.
        layers: module names as in ``network.named_modules()``, or patterns of them (``"blocks.*"``); or a mapping from
            layer name to module name, in which "" is the network itself. ``"relu@1"`` is the second call of a module
            within one pass; without ``@`` it is the last. ``"encoder:hidden_states.2"`` says where in a module's
            output the tensor is, when that is a tuple, a dict or an object.
        name: for fingerprints and messages; by default the network's class.
        preprocessing: how a photograph becomes its input.
        prefix_tokens: how many tokens of a sequence come before the image's own. The first is the class token, the
            others are registers. An output that has none of them yet, as of a patch embedding, is read without.
        class_token: whether the first prefix token is one; False where there are registers only.
        global_token: what the global token of a sequence is: its "class" token (where it has none, the mean of its
            patches), the "mean" of its patches, or the mean of its "registers". Of a feature map it is the mean.
        sequence: "BNC" or "NBC", the order of axes in three-dimensional outputs; None finds it out.
        feature_map: "BCHW" or "BHWC", the order of axes in four-dimensional outputs; None finds it out for each layer
            from the modules that made it, and refuses where they do not tell.
        patch_size: pixels along a patch's side, from which the grid of a sequence follows; without it the grid is the
            one with the image's aspect.
        frames: number of time steps in a sequence, over which its map is averaged; None where it has no time.
        adapter: a function from a module's output to the tensor in it, where that is a dict or an object of one's own:
            ``lambda output: output["features"]``.
        fixed_steps: whether the network takes the same steps for all images; None finds out by tracing its code, and
            takes what cannot be traced for a network whose steps may differ.
        settings: whatever else changes its numbers; part of the fingerprint.

    An output without space, (B, C), becomes a 1 x 1 map; one with time, (B, C, T, H, W), its mean over time. The first
    pass runs to its end. Later ones stop as soon as they have what they need, where the network's steps are fixed and
    every hooked module ran once, or where the calls were named.

    Raises:
        ValueError: an unknown module, or an output whose axes cannot be told (when tokens are asked for).
        TypeError: a ScriptModule, whose inner modules run out of reach of hooks.

    >>> network = nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d(1))
    >>> backbone = HookedBackbone(network, {"early": "0"})
    >>> local_tokens, global_tokens = backbone.get_tokens(torch.randn(2, 3, 8, 10))
    >>> local_tokens["early"].shape, bool((local_tokens["early"] < 0).any())    # what conv gave, not what ReLU left
    (torch.Size([2, 4, 6, 8]), True)
    """

    def __init__(
        self,
        network: nn.Module,
        layers: Iterable[str] | Mapping[str, str | Place],
        *,
        name: str | None = None,
        preprocessing: Preprocessing | None = None,
        prefix_tokens: int = 0,
        class_token: bool = True,
        global_token: str = "class",
        sequence: str | None = None,
        feature_map: str | None = None,
        patch_size: int | None = None,
        frames: int | None = None,
        adapter: Callable[[Any], Tensor] | None = None,
        fixed_steps: bool | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        if isinstance(layers, Mapping):
            places = {name: place_of(place) if isinstance(place, str) else place for name, place in layers.items()}
            if places:
                choose_layers(["", *module_names(network)], {place.module for place in places.values()})
        else:
            places = choose_places(network, layers)
        settings = dict(settings or {})
        if adapter is not None:
            settings["adapter"] = getattr(adapter, "__qualname__", type(adapter).__name__)
        if global_token != "class":
            settings["global_token"] = global_token
        super().__init__(name or type(network).__name__, tuple(places), preprocessing, settings)
        if sequence not in (None, "BNC", "NBC") or feature_map not in (None, "BCHW", "BHWC"):
            raise ValueError(
                f"sequence is 'BNC' or 'NBC' and feature_map is 'BCHW' or 'BHWC', got {sequence!r} and {feature_map!r}"
            )
        check_word("global token", global_token, GLOBAL_TOKENS)
        if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
            raise TypeError(
                f"{self.name} is a ScriptModule, or holds one: its modules run out of reach of hooks. Give the "
                "nn.Module it was made from, or an object whose get_tokens(images) calls it."
            )
        self.network = network
        self.places = places
        self.prefix_tokens = prefix_tokens
        self.class_token = class_token and prefix_tokens > 0
        self.global_token = global_token
        self.sequence = sequence
        self.feature_map = feature_map
        self.patch_size = patch_size
        self.frames = frames
        self.adapter = adapter
        self.fixed_steps = fixed_steps
        self.in_order = not any(type(module).__name__ in OUT_OF_ORDER for module in network.modules())
        self._layouts: dict[str, str | None] | None = None  # of layers; None until learned
        self._may_stop: bool | None = None  # None until learned
        self.runs_whole = False  # whether what ``run_network`` returns is needed, so that no pass may stop
        self.freeze()

    def run_network(self, images: Tensor) -> Any:
        """One pass of the network; subclasses whose network is not called with images alone write their own."""
        return self.network(images)

    def compute_tokens(self, images: Tensor) -> Tokens:
        """Tokens of the hooked modules, in the order of ``layers``."""
        capture = self._run(images)
        if self._layouts is None:
            capture.learn()
        pairs = {layer: capture.tokens[layer] for layer in self.layers}
        return Tokens({k: local for k, (local, _) in pairs.items()}, {k: whole for k, (_, whole) in pairs.items()})

    def _run(self, images: Tensor) -> Capture:
        capture = Capture(self, images, self.places)
        try:
            capture.run()
        except Ambiguous as doubt:
            self._learn_elsewhere(images, doubt)
            capture = Capture(self, images, self.places)
            capture.run()
        absent = [layer for layer in self.places if layer not in capture.tokens]
        if absent:
            turns = max(capture.turns[layer] for layer in absent)
            raise ValueError(
                f"{self.name}: {', '.join(absent)} never ran on these images "
                + (f"(there are {turns} calls, counted from 0). " if turns else "(a module used in training only, or "
                   "one that is called by another way than module(x)). ")
                + "Choose other layers."
            )  # fmt: skip
        return capture

    def _learn_elsewhere(self, images: Tensor, doubt: Ambiguous) -> None:
        """Learns the axes from inputs whose axes differ in length: one image alone, or one of another height."""
        for other in (images[:1], *of_other_heights(images[:1])):
            capture = Capture(self, other, self.places)
            with suppress(Exception):  # networks of one size refuse the other one in their own words
                capture.run()
                capture.learn()
                return
        raise ValueError(str(doubt))

    def tensor_of(self, layer: str, output: Any, key: str | None = None) -> Tensor:
        """The tensor in a module's output, with two to five axes in the module's order."""
        try:
            tensor = part_of(output, key) if self.adapter is None else self.adapter(output)
        except ValueError as error:
            raise ValueError(f"{self.name}: {layer}: {error}") from None
        if not isinstance(tensor, Tensor) or tensor.ndim not in (2, *LAST) or not tensor.is_floating_point():
            kind = f" {tensor.dtype}" if isinstance(tensor, Tensor) and not tensor.is_floating_point() else ""
            raise ValueError(
                f"{self.name}: {layer} gives {describe(tensor)}{kind}; tokens come from floating-point outputs "
                "(B, C, H, W), (B, N, C), (B, C) or (B, C, T, H, W). Say where such a tensor is in it: "
                f"'{place_of(layer).module}:KEY', or adapter=lambda output: output[\"...\"]."
            )
        return tensor

    def tokens_of(self, layer: str, output: Tensor, image_size: tuple[int, int], layout: str) -> tuple[Tensor, Tensor]:
        """Local (B, C, H, W) and global (B, C) tokens, float32 copies, of one module's output.

        Args:
            layer: which one, for messages.
            output: see :meth:`tensor_of`.
            image_size: pixels, height and width, from which the grid of a sequence follows.
            layout: a letter per axis of the output, see ``axes``.
        """
        if layout == "BANN":
            seen = output[:, :, 0] if self.class_token and self.prefix_tokens else output.mean(2)  # (B, heads, N)
            local, prefix = self._unrolled(layer, seen.transpose(1, 2), image_size)[0], None
        elif output.ndim == 2 or layout == "BQC":
            local, prefix = output.flatten(1)[:, :, None, None], None
        elif output.ndim == 3:
            local, prefix = self._unrolled(layer, output.permute([layout.index(axis) for axis in "BNC"]), image_size)
        else:
            local, prefix = output.permute([layout.index(axis) for axis in FIRST[output.ndim]]), None
            local = local.mean(2) if output.ndim == 5 else local
        local = local.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        return local, self.global_of(local, prefix)

    def global_of(self, local: Tensor, prefix: Tensor | None) -> Tensor:
        """The global token (B, C), a float32 copy, of a map (B, C, H, W) and its prefix tokens (B, P, C)."""
        if prefix is not None and self.global_token != "mean":
            n_class = int(self.class_token)
            wanted = prefix[:, :n_class] if self.global_token == "class" else prefix[:, n_class:]
            if wanted.shape[1]:
                return wanted.to(torch.float32, copy=True).mean(1)
        return local.mean((2, 3))

    def _unrolled(self, layer: str, sequence: Tensor, image_size: tuple[int, int]) -> tuple[Tensor, Tensor | None]:
        """Map (B, C, H, W) and prefix tokens of a sequence (B, N, C); a lone token is a 1 x 1 map."""
        n = sequence.shape[1]
        if n == 1:
            return sequence.transpose(1, 2)[..., None], None
        if not self.in_order:
            raise ValueError(
                f"{self.name}: the tokens of {layer} are not in the order in which an image is read, and nothing tells "
                "where they lie. Choose a stage of the network, or the default layers."
            )
        prefix, frames = self.prefix_tokens, self.frames
        if frames is not None and (n - prefix) % frames == 0:
            still = sequence[:, prefix:].unflatten(1, (frames, -1)).mean(1)
            grid = token_grid(still.shape[1], image_size)
            return still.transpose(1, 2).unflatten(2, grid), sequence[:, :prefix] if prefix else None
        if prefix and not has_grid(n - prefix, image_size, self.patch_size):
            prefix = prefix if not has_grid(n, image_size, self.patch_size) else 0
        try:
            grid = token_grid(n - prefix, image_size, self.patch_size)
        except ValueError as error:
            raise ValueError(f"{self.name}: {layer}: {error}") from None
        local = sequence[:, prefix:].transpose(1, 2).unflatten(2, grid)
        return local, sequence[:, :prefix] if prefix else None
