"""Tokens of any PyTorch network: the outputs of named modules, through hooks that live for one call.

The first pass runs to its end and learns two things: which axis of each feature map holds the channels, and when the
network may be stopped. Nothing is guessed: where the modules do not tell the axis, the call is refused; where the steps
of a network may depend on the image, every pass runs to its end.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from brainnet.backbone.axes import LayoutTrace, first_tensor, has_fixed_steps
from brainnet.backbone.base import FrozenBackbone, choose_layers
from brainnet.tokens import Preprocessing, Tokens


class HookedBackbone(FrozenBackbone):
    """Tokens from named modules of any network, through hooks that live for one call.

    Args:
        network: takes images (B, 3, H, W). It is frozen here.
        layers: module names as in ``network.named_modules()``, or a mapping from layer name to module name, in which ""
            is the network itself.
        name: for fingerprints and messages; by default the network's class.
        preprocessing: how a photograph becomes its input.
        prefix_tokens: how many tokens of a sequence come before the image's own. The first is the class token and
            becomes the global token; the others (registers, distillation) are dropped. With none, the global token
            is the mean over space.
        class_token: whether the first prefix token is one; False where there are registers only.
        sequence: "BNC" or "NBC", the order of axes in three-dimensional outputs.
        feature_map: "BCHW" or "BHWC", the order of axes in four-dimensional outputs; None finds it out for each layer
            from the modules that made it, and refuses where they do not tell.
        patch_size: pixels along a patch's side, from which the grid of a sequence follows; without it the grid is the
            one with the image's aspect.
        adapter: a function from a module's output to the tensor in it, where that is a dict or an object of one's own:
            ``lambda output: output["features"]``.
        fixed_steps: whether the network takes the same steps for all images; None finds out by tracing its code, and
            takes what cannot be traced for a network whose steps may differ.
        settings: whatever else changes its numbers; part of the fingerprint.

    A module that runs several times within a pass gives its last output. An output without space, (B, C), becomes a
    1 x 1 map. The first pass runs to its end. Later ones stop as soon as they have what they need, where the network's
    steps are fixed and every hooked module ran once.

    Raises:
        ValueError: an unknown module, or a feature map whose axes cannot be told (when tokens are asked for).
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
        layers: Sequence[str] | Mapping[str, str],
        *,
        name: str | None = None,
        preprocessing: Preprocessing | None = None,
        prefix_tokens: int = 0,
        class_token: bool = True,
        sequence: str = "BNC",
        feature_map: str | None = None,
        patch_size: int | None = None,
        adapter: Callable[[Any], Tensor] | None = None,
        fixed_steps: bool | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        places = dict(layers) if isinstance(layers, Mapping) else {layer: layer for layer in layers}
        if adapter is not None:
            settings = {**(settings or {}), "adapter": getattr(adapter, "__qualname__", type(adapter).__name__)}
        super().__init__(name or type(network).__name__, tuple(places), preprocessing, settings)
        if sequence not in ("BNC", "NBC") or feature_map not in (None, "BCHW", "BHWC"):
            raise ValueError(
                f"sequence is 'BNC' or 'NBC' and feature_map is 'BCHW' or 'BHWC', got {sequence!r} and {feature_map!r}"
            )
        if any(isinstance(module, torch.jit.ScriptModule) for module in network.modules()):
            raise TypeError(
                f"{self.name} is a ScriptModule, or holds one: its modules run out of reach of hooks. Give the "
                "nn.Module it was made from, or an object whose get_tokens(images) calls it."
            )
        choose_layers([module for module, _ in network.named_modules()], places.values())
        self.network = network
        self.places = places
        self.prefix_tokens = prefix_tokens
        self.class_token = class_token and prefix_tokens > 0
        self.sequence = sequence
        self.feature_map = feature_map
        self.patch_size = patch_size
        self.adapter = adapter
        self.fixed_steps = fixed_steps
        self._axes: dict[str, str] | None = {} if feature_map is not None else None  # of layers; None until learned
        self._may_stop: bool | None = None  # None until learned
        self.freeze()

    def run_network(self, images: Tensor) -> Any:
        """One pass of the network; subclasses whose network is not called with images alone write their own."""
        return self.network(images)

    def compute_tokens(self, images: Tensor) -> Tokens:
        """Tokens of the hooked modules, in the order of ``layers``."""
        capture = _Capture(self, images)
        with ExitStack() as hooks:  # takes the hooks off whatever happens
            hooks.enter_context(capture)
            if capture.trace is not None:
                for module in self.network.modules():
                    hooks.callback(module.register_forward_pre_hook(capture.entering).remove)
                    hooks.callback(module.register_forward_hook(capture.leaving).remove)
            for layer, place in self.places.items():
                hooks.callback(self.network.get_submodule(place).register_forward_hook(capture.hook(layer)).remove)
            try:
                self.run_network(images)
                capture.learn()
            except _HasEverything:
                pass
        absent = [layer for layer in self.layers if layer not in capture.tokens]
        if absent:
            raise ValueError(
                f"{self.name}: {', '.join(absent)} never ran on these images (a module used in training only, or one "
                "that is called by another way than module(x)). Choose other layers."
            )
        pairs = {layer: capture.tokens[layer] for layer in self.layers}
        return Tokens({k: local for k, (local, _) in pairs.items()}, {k: whole for k, (_, whole) in pairs.items()})

    def tensor_of(self, layer: str, output: Any) -> Tensor:
        """The tensor in a module's output, (B, C, H, W), (B, N, C) or (B, C) with its axes in the module's order."""
        tensor = first_tensor(output) if self.adapter is None else self.adapter(output)
        if not isinstance(tensor, Tensor) or tensor.ndim not in (2, 3, 4):
            shape = tuple(tensor.shape) if isinstance(tensor, Tensor) else type(tensor).__name__
            raise ValueError(
                f"{self.name}: {layer} gives {shape}; tokens come from (B, C, H, W), (B, N, C) or (B, C) outputs. "
                'Say where such a tensor is in it: adapter=lambda output: output["..."].'
            )
        return tensor

    def tokens_of(self, layer: str, output: Tensor, image_size: tuple[int, int], axes: str) -> tuple[Tensor, Tensor]:
        """Local (B, C, H, W) and global (B, C) tokens, float32 copies, of one module's output.

        Args:
            layer: which one, for messages.
            output: see :meth:`tensor_of`.
            image_size: pixels, height and width, from which the grid of a sequence follows.
            axes: "BCHW" or "BHWC", of a four-dimensional output.
        """
        if output.ndim == 4:
            local = output if axes == "BCHW" else output.permute(0, 3, 1, 2)
            prefix = None
        elif output.ndim == 3:
            output = output if self.sequence == "BNC" else output.transpose(0, 1)
            prefix, patches = output[:, : self.prefix_tokens], output[:, self.prefix_tokens :]
            local = patches.transpose(1, 2).unflatten(2, token_grid(patches.shape[1], image_size, self.patch_size))
        else:
            local, prefix = output[:, :, None, None], None
        local = local.to(torch.float32, copy=True, memory_format=torch.contiguous_format)
        if prefix is not None and self.class_token:
            return local, prefix[:, 0].to(torch.float32, copy=True)
        return local, local.mean((2, 3))


def token_grid(n_tokens: int, image_size: tuple[int, int], patch_size: int | None = None) -> tuple[int, int]:
    """Height and width of the grid that ``n_tokens`` square patches make on an image.

    >>> token_grid(196, (224, 224)), token_grid(8, (64, 128))
    ((14, 14), (2, 4))
    """
    height, width = image_size
    if patch_size is None:
        rows = max(1, round((n_tokens * height / width) ** 0.5))
        grid = rows, n_tokens // rows
    else:
        grid = height // patch_size, width // patch_size
    if grid[0] * grid[1] != n_tokens:
        raise ValueError(
            f"{n_tokens} tokens make no grid on an image of {height} x {width} pixels. Are there class or register "
            "tokens among them? Say how many, prefix_tokens=, and if need be the side of a patch, patch_size=."
        )
    return grid


class _HasEverything(Exception):
    """Ends a pass early; never leaves ``compute_tokens``."""


class _Capture:
    """What one call has seen so far.

    Hooks sit on the modules, which threads and nested calls share; so a hook listens only while its own capture is
    the innermost one of its own thread.
    """

    _under_way = threading.local()

    def __init__(self, backbone: HookedBackbone, images: Tensor):
        self.backbone = backbone
        self.image_size = tuple(images.shape[-2:])
        self.tokens: dict[str, tuple[Tensor, Tensor]] = {}
        self.turns = dict.fromkeys(backbone.layers, 0)
        self.axes = dict(backbone._axes or {})
        self.trace = LayoutTrace(images) if backbone._axes is None else None

    def __enter__(self) -> _Capture:
        if not hasattr(self._under_way, "stack"):
            self._under_way.stack = []
        self._under_way.stack.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._under_way.stack.pop()

    def _listens(self) -> bool:
        stack = getattr(self._under_way, "stack", None)
        return bool(stack) and stack[-1] is self

    def entering(self, module: nn.Module, args: Any) -> None:
        """Hook of every module, on the pass that learns."""
        if self._listens():
            self.trace.enter(module, args)

    def leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        """Hook of every module, on the pass that learns."""
        if self._listens():
            self.trace.leave(module, args, output)

    def hook(self, layer: str):
        """The hook of the module that gives a layer's output."""

        def listen(module: nn.Module, args: Any, output: Any) -> None:
            if not self._listens():
                return
            self.turns[layer] += 1
            values = self.backbone.tensor_of(layer, output)
            axes = self._axes_of(layer, values) if values.ndim == 4 else ""
            self.tokens[layer] = self.backbone.tokens_of(layer, values, self.image_size, axes)
            if self.backbone._may_stop and all(self.turns.values()):
                raise _HasEverything

        return listen

    def _axes_of(self, layer: str, values: Tensor) -> str:
        if self.trace is not None:
            self.axes[layer] = self.trace.layout_of(values)
        axes = self.backbone.feature_map or self.axes.get(layer)
        if axes is None:
            raise ValueError(
                f"{self.backbone.name}: {layer} gives {tuple(values.shape)}, and the modules before it do not tell "
                "which axis holds the channels. Say feature_map='BCHW' where it is the second, 'BHWC' where it is the "
                "last."
            )
        return axes

    def learn(self) -> None:
        """Keeps what a whole pass has shown."""
        backbone = self.backbone
        if self.trace is not None:
            backbone._axes = self.axes
        if backbone._may_stop is None:
            once = all(turns == 1 for turns in self.turns.values())
            fixed = backbone.fixed_steps
            backbone._may_stop = once and (has_fixed_steps(backbone.network) if fixed is None else fixed)
