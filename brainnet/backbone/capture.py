"""One pass of a network with hooks on its modules, and what the hooks have seen.

Hooks live for the pass and are off again whatever happens. On the first pass they follow the axes of every output; on
later ones they end the pass as soon as nothing that comes can change the tokens.
"""

from __future__ import annotations

import threading
from collections.abc import Mapping
from contextlib import ExitStack, suppress
from typing import Any

from torch import Tensor, nn

from brainnet.backbone.axes import MIXED, LayoutTrace, fits_aspect, has_fixed_steps, has_grid
from brainnet.backbone.modules import Place


class _HasEverything(Exception):
    """Ends a pass early; never leaves ``Capture.run``."""


class Ambiguous(ValueError):
    """The axes of an output cannot be told on these images; on others, of another number or height, they may."""


class Capture:
    """What one pass has seen so far.

    Hooks sit on the modules, which threads and nested calls share; so a hook listens only while its own capture is
    the innermost one of its own thread.

    Args:
        backbone: a ``HookedBackbone``, whose network runs.
        images: what it runs on.
        places: layer name to place.
    """

    _under_way = threading.local()

    def __init__(self, backbone: Any, images: Tensor, places: Mapping[str, Place]):
        self.backbone, self.images, self.places = backbone, images, places
        self.tokens: dict[str, tuple[Tensor, Tensor]] = {}
        self.output: Any = None
        self.turns = dict.fromkeys(places, 0)
        self.layouts = dict(backbone._layouts or {})
        self.trace = LayoutTrace(images) if backbone._layouts is None else None

    def __enter__(self) -> Capture:
        if not hasattr(self._under_way, "stack"):
            self._under_way.stack = []
        self._under_way.stack.append(self)
        return self

    def __exit__(self, *_: object) -> None:
        self._under_way.stack.pop()

    def run(self) -> None:
        """One pass with hooks, which are off again whatever happens; it ends early where that is safe."""
        network = self.backbone.network
        with ExitStack() as hooks:
            hooks.enter_context(self)
            if self.trace is not None:
                for module in network.modules():
                    hooks.callback(module.register_forward_pre_hook(self._entering).remove)
                    hooks.callback(module.register_forward_hook(self._leaving).remove)
            for layer, place in self.places.items():
                hooks.callback(network.get_submodule(place.module).register_forward_hook(self._hook(layer)).remove)
            with suppress(_HasEverything):
                self.output = self.backbone.run_network(self.images)
                for layer, place in self.places.items():
                    if place.module == "" and layer not in self.tokens:  # the network was not called as a whole
                        self.take(layer, self.output)

    def _listens(self) -> bool:
        stack = getattr(self._under_way, "stack", None)
        return bool(stack) and stack[-1] is self

    def _entering(self, module: nn.Module, args: Any) -> None:
        if self._listens():
            self.trace.enter(module, args)

    def _leaving(self, module: nn.Module, args: Any, output: Any) -> None:
        if self._listens():
            self.trace.leave(module, args, output)

    def _hook(self, layer: str):
        """The hook of the module that gives a layer's output."""
        call = self.places[layer].call

        def listen(module: nn.Module, args: Any, output: Any) -> None:
            if not self._listens():
                return
            self.turns[layer] += 1
            if call is None or self.turns[layer] == call + 1:
                self.take(layer, output)
            if not self.backbone.runs_whole and all(map(self._is_final, self.places)):
                raise _HasEverything

        return listen

    def _is_final(self, layer: str) -> bool:
        """Whether nothing later in the pass can change a layer's tokens."""
        call = self.places[layer].call
        if call is not None:
            return self.turns[layer] > call
        return bool(self.backbone._may_stop) and self.turns[layer] > 0

    def take(self, layer: str, output: Any) -> None:
        """Keeps the tokens of a layer's output."""
        values = self.backbone.tensor_of(layer, output, self.places[layer].key)
        layout = "BC" if values.ndim == 2 else self.places[layer].layout or self._layout_of(layer, values)
        if values.shape[layout.index("B")] != len(self.images):
            raise ValueError(
                f"{self.backbone.name}: {layer} gives {tuple(values.shape)} for {len(self.images)} images: no axis "
                "holds the images (they may be cut into windows or regions there). Choose a module further out."
            )
        self.tokens[layer] = self.backbone.tokens_of(layer, values, tuple(self.images.shape[-2:]), layout)

    def _layout_of(self, layer: str, values: Tensor) -> str:
        said = {3: self.backbone.sequence, 4: self.backbone.feature_map}.get(values.ndim)
        if said is not None:
            return said
        if layer not in self.layouts or self.trace is not None:
            self.layouts[layer] = self._learned(layer, values)
        return self.layouts[layer]

    def _learned(self, layer: str, values: Tensor) -> str:
        """What the modules so far tell of a tensor's layout."""
        layout = self.trace.layout_of(values) if self.trace is not None else None
        shape, image_size = tuple(values.shape), tuple(self.images.shape[-2:])
        if values.ndim == 3 and layout is None:
            layout = self._sequence_by_size(shape, image_size)
        if layout in ("BNC", "BCN", "NBC"):
            self._check_places(layer, shape[layout.index("N")], image_size)
        if layout == "BHWC" and not fits_aspect(shape[1:3], image_size):
            layout = None
        if layout is None or layout == MIXED:
            said = "feature_map='BCHW' where it is the second, 'BHWC' where it is the last"
            if values.ndim != 4:
                said = "sequence='BNC' or 'NBC', or an adapter= that gives (B, C, H, W)"
            raise (ValueError if layout == MIXED else Ambiguous)(
                f"{self.backbone.name}: {layer} gives {shape}, and the modules before it do not tell which axis holds "
                f"the channels{' of which place' if layout == MIXED else ''}. Say {said}."
            )
        return layout

    def _check_places(self, layer: str, n: int, image_size: tuple[int, int]) -> None:
        """Refuses a sequence that would make a grid, but is not as long as any map has places."""
        if self.trace is None or n == 1 or self.backbone.patch_size:
            return
        counts = [n - k for k in {0, self.backbone.prefix_tokens} if n > k]
        gridded = any(has_grid(count, image_size, None) for count in counts)
        if gridded and not any(map(self.trace.has_places, counts)):
            raise ValueError(
                f"{self.backbone.name}: the {n} tokens of {layer} are no places of the image (they may be the queries "
                "of a decoder). Choose another layer."
            )

    def _sequence_by_size(self, shape: tuple[int, ...], image_size: tuple[int, int]) -> str | None:
        """The layout of a sequence that no module tells: the only one in which images and a grid of places are."""
        n_images = len(self.images)
        if shape[0] == shape[1] == n_images and n_images > 1:
            return None
        if shape[1] == n_images and shape[0] != n_images:
            return "NBC"
        backbone = self.backbone
        grids = [
            any(has_grid(n - prefix, image_size, backbone.patch_size) for prefix in {0, backbone.prefix_tokens})
            for n in shape[1:]
        ]
        return {(True, False): "BNC", (False, True): "BCN", (False, False): "BNC"}.get(tuple(grids))

    def learn(self) -> None:
        """Keeps what a whole pass has shown."""
        backbone = self.backbone
        backbone._layouts = self.layouts
        if backbone._may_stop is None:
            turns = [n for layer, n in self.turns.items() if self.places[layer].call is None]
            fixed = backbone.fixed_steps
            once = all(n == 1 for n in turns)
            backbone._may_stop = once and (has_fixed_steps(backbone.network) if fixed is None else fixed)
