"""What every backbone of brainnet shares: it is frozen, it hands out copies, and it stops when it has them.

``FrozenBackbone`` is a network that never trains; ``HookedBackbone`` reads the outputs of named modules of any
PyTorch network and turns sequences and feature maps into tokens. Families subclass one of the two, but nothing in
brainnet asks for them: a plain object with ``get_tokens(images)`` is a backbone too.
"""

from __future__ import annotations

import threading
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from typing import Any

import torch
from torch import Tensor, nn

from brainnet._checks import nearest
from brainnet.backbone.catalogue import BACKBONES
from brainnet.backbone.weights import weights_hash
from brainnet.tokens import Backbone, Preprocessing, Tokens


def build_backbone(name: str, **kwargs: Any) -> Backbone:
    """A backbone by name, ``"family:variant"``.

    Args:
        name: for example ``"expansion:small"``, ``"clip:ViT-B-16"``, ``"torchvision:squeezenet1_0"``,
            ``"timm:vit_small_patch14_dinov2"``, or whatever another package announced.
        kwargs: for the family. All of brainnet's take ``layers`` (names, indices or a range; None takes the family's
            own choice), ``weights`` (a file, ``"random"`` with ``seed``, or a published name) and ``preprocessing``.

    Raises:
        ValueError: unknown family, variant or layer; the message names the nearest known one.

    >>> backbone = build_backbone("expansion:small", layers=["1", "3"])
    >>> local_tokens, global_tokens = backbone.get_tokens(torch.zeros(2, 3, 128, 128))
    >>> local_tokens["3"].shape, global_tokens["3"].shape
    (torch.Size([2, 128, 16, 16]), torch.Size([2, 128]))
    """
    return BACKBONES.build(name, **kwargs)


def backbone_of(text: str, layers: Iterable[str | int] | None = None) -> Backbone:
    """A backbone from one word of a command line, "family:variant" or "family:variant=weights".

    >>> backbone_of("torchvision:squeezenet1_0=random", ["features.3"]).layers
    ('features.3',)
    """
    name, _, weights = text.partition("=")
    choices = {"layers": None if layers is None else list(layers), "weights": weights or None}
    return build_backbone(name, **{choice: value for choice, value in choices.items() if value is not None})


def choose_layers(
    available: Sequence[str],
    layers: Iterable[str | int] | None = None,
    default: Sequence[str] | None = None,
) -> tuple[str, ...]:
    """Layer names from what a user wrote.

    Args:
        available: every layer there is.
        layers: names; or indices into ``default`` (negative ones count from the end, a range will do); None takes
            all of ``default``.
        default: the layers taken where nothing is said, in the network's order; by default all.

    >>> choose_layers(["0", "1", "2", "3"], range(1, 3))
    ('1', '2')
    >>> choose_layers(["conv1", "conv2"], ["conv3"])
    Traceback (most recent call last):
    ValueError: Unknown layer 'conv3'. Did you mean 'conv2'? Known: conv1, conv2
    """
    default = tuple(available if default is None else default)
    if layers is None:
        return default
    if isinstance(layers, str | int):
        layers = [layers]
    chosen = []
    for layer in layers:
        if isinstance(layer, str):
            if layer not in available:
                close = nearest(layer, available)
                hint = f" Did you mean {close!r}?" if close else ""
                known = ", ".join(default if len(available) > 40 else available)
                raise ValueError(f"Unknown layer {layer!r}.{hint} Known: {known}")
            chosen.append(layer)
        elif -len(default) <= layer < len(default):
            chosen.append(default[layer])
        else:
            raise ValueError(f"layer index {layer} is out of range: there are {len(default)}, {', '.join(default)}")
    if len(set(chosen)) != len(chosen) or not chosen:
        raise ValueError(f"layers must name at least one layer, each once; got {chosen}")
    return tuple(chosen)


class FrozenBackbone(nn.Module):
    """A network that is read and never trained: no gradients, evaluation mode for ever.

    Subclasses build their modules, call :meth:`freeze`, and write ``compute_tokens``.

    Args:
        name: what it is called in fingerprints and messages, ``"family:variant"``.
        layers: names of the layers whose tokens it gives, in order.
        preprocessing: how a photograph becomes its input; None for 224 x 224 with ImageNet's mean and SD.
        settings: whatever else changes its numbers (precision, non-linearity); part of the fingerprint.
    """

    def __init__(
        self,
        name: str,
        layers: Sequence[str],
        preprocessing: Preprocessing | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        super().__init__()
        self.name = name
        self.layers = tuple(layers)
        self.preprocessing = Preprocessing() if preprocessing is None else preprocessing
        self.settings = dict(settings or {})
        self._layer_widths: tuple[int, ...] | None = None

    def compute_tokens(self, images: Tensor) -> Tokens:
        """Tokens of ``self.layers`` for images (B, 3, H, W); called without gradients. Subclasses write this."""
        raise NotImplementedError

    def get_tokens(self, images: Tensor) -> Tokens:
        """Local tokens (B, C, H, W) and global tokens (B, C), float32, for every layer; unpacks as a pair.

        Args:
            images: (B, 3, H, W) floating point, preprocessed, on the backbone's device; left as they are.

        Returns:
            New tensors on the images' device, detached, that share no memory with the network.
        """
        if not isinstance(images, Tensor) or images.ndim != 4 or images.shape[1] != 3:
            got = tuple(images.shape) if isinstance(images, Tensor) else type(images).__name__
            raise ValueError(
                f"{self.name} takes images as a tensor (B, 3, H, W), got {got}. "
                "One image? Add the batch axis: image[None]. A PIL image? backbone.preprocessing(image)[None]."
            )
        if not images.is_floating_point():
            raise TypeError(f"{self.name} takes preprocessed floating-point images, got {images.dtype}")
        with torch.no_grad():
            tokens = self.compute_tokens(images)
        self._layer_widths = tuple(value.shape[1] for value in tokens.global_.values())
        return tokens

    def forward(self, images: Tensor) -> Tokens:
        """The same as :meth:`get_tokens`."""
        return self.get_tokens(images)

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Number of channels of each layer; the first look may cost one pass over a blank image."""
        if self._layer_widths is None:
            like = next(self.parameters(), torch.zeros(()))
            self.get_tokens(torch.zeros(1, 3, *self.preprocessing.size, device=like.device))
        return self._layer_widths

    def freeze(self) -> None:
        """Switches gradients off and evaluation mode on, for every module it has by now."""
        self.requires_grad_(False)
        self.train(False)

    def train(self, mode: bool = True) -> FrozenBackbone:
        """Stays in evaluation mode whatever is asked: a trainer that switches its model to training finds it so."""
        return super().train(False)

    def fingerprint(self) -> dict[str, str]:
        """What must agree for stored tokens to be reused: name, weights (sha256), layers, preprocessing, settings."""
        return {
            "name": self.name,
            "weights": weights_hash(self),
            "layers": " ".join(self.layers),
            "preprocessing": str(self.preprocessing),
            "settings": " ".join(f"{key}={value}" for key, value in sorted(self.settings.items())),
        }


class HookedBackbone(FrozenBackbone):
    """Tokens from named modules of any network, through hooks that live for one call.

    Args:
        network: takes images (B, 3, H, W). It is frozen here.
        layers: module names as in ``network.named_modules()``, or a mapping from layer name to module name.
        name: for fingerprints and messages; by default the network's class.
        preprocessing: how a photograph becomes its input.
        prefix_tokens: how many tokens of a sequence come before the image's own. The first is the class token and
            becomes the global token; the others (registers, distillation) are dropped. With none, the global token
            is the mean over space.
        class_token: whether the first prefix token is one; False where there are registers only.
        sequence: "BNC" or "NBC", the order of axes in three-dimensional outputs.
        feature_map: "BCHW" or "BHWC", the order of axes in four-dimensional outputs.
        patch_size: pixels along a patch's side, from which the grid of a sequence follows; without it the grid is the
            one with the image's aspect.
        settings: whatever else changes its numbers; part of the fingerprint.

    A module that runs several times within a pass gives its last output. An output without space, (B, C), becomes a
    1 x 1 map. The first pass runs to its end to learn when each module has had its last turn; later passes stop as
    soon as they have what they need.

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
        feature_map: str = "BCHW",
        patch_size: int | None = None,
        settings: Mapping[str, Any] | None = None,
    ):
        places = dict(layers) if isinstance(layers, Mapping) else {layer: layer for layer in layers}
        super().__init__(name or type(network).__name__, tuple(places), preprocessing, settings)
        if sequence not in ("BNC", "NBC") or feature_map not in ("BCHW", "BHWC"):
            raise ValueError(
                f"sequence is 'BNC' or 'NBC' and feature_map is 'BCHW' or 'BHWC', got {sequence!r} and {feature_map!r}"
            )
        known = [module for module, _ in network.named_modules() if module]
        choose_layers(known, places.values())
        self.network = network
        self.places = places
        self.prefix_tokens = prefix_tokens
        self.class_token = class_token and prefix_tokens > 0
        self.sequence = sequence
        self.feature_map = feature_map
        self.patch_size = patch_size
        self._turns: dict[str, int] | None = None
        self.freeze()

    def run_network(self, images: Tensor) -> Any:
        """One pass of the network; subclasses whose network is not called with images alone write their own."""
        return self.network(images)

    def compute_tokens(self, images: Tensor) -> Tokens:
        """Tokens of the hooked modules, in the order of ``layers``."""
        capture = _Capture(self, tuple(images.shape[-2:]))
        with ExitStack() as hooks:  # takes the hooks off whatever happens
            hooks.enter_context(capture)
            for layer, module in self.places.items():
                hook = self.network.get_submodule(module).register_forward_hook(capture.hook(layer))
                hooks.callback(hook.remove)
            try:
                self.run_network(images)
                self._turns = dict(capture.turns)
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

    def tokens_of(self, layer: str, output: Any, image_size: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Local (B, C, H, W) and global (B, C) tokens, float32 copies, of one module's output."""
        if isinstance(output, tuple | list):
            output = next((part for part in output if isinstance(part, Tensor)), None)
        if not isinstance(output, Tensor) or output.ndim not in (2, 3, 4):
            shape = tuple(output.shape) if isinstance(output, Tensor) else type(output).__name__
            raise ValueError(
                f"{self.name}: {layer} gives {shape}; tokens come from (B, C, H, W), (B, N, C) or (B, C) outputs."
            )
        if output.ndim == 4:
            local = output if self.feature_map == "BCHW" else output.permute(0, 3, 1, 2)
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

    def __init__(self, backbone: HookedBackbone, image_size: tuple[int, int]):
        self.backbone = backbone
        self.image_size = image_size
        self.tokens: dict[str, tuple[Tensor, Tensor]] = {}
        self.turns = dict.fromkeys(backbone.layers, 0)

    def __enter__(self) -> _Capture:
        if not hasattr(self._under_way, "stack"):
            self._under_way.stack = []
        self._under_way.stack.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._under_way.stack.pop()

    def hook(self, layer: str):
        def listen(module: nn.Module, args: Any, output: Any) -> None:
            stack = getattr(self._under_way, "stack", None)
            if not stack or stack[-1] is not self:
                return
            self.turns[layer] += 1
            self.tokens[layer] = self.backbone.tokens_of(layer, output, self.image_size)
            if self.turns == self.backbone._turns:
                raise _HasEverything

        return listen
