"""What the modules of a network are and give: the list from which a user chooses layers."""

from __future__ import annotations

from contextlib import suppress
from typing import Any, NamedTuple

import torch
from torch import Tensor

from brainnet.backbone.axes import LayoutTrace, of_other_heights
from brainnet.backbone.base import FrozenBackbone
from brainnet.backbone.capture import Ambiguous, Capture
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import Place, describe, is_container, part_of


class ModuleRow(NamedTuple):
    """A module of a network.

    Args:
        name: as ``layers`` takes it; "" is the network itself.
        kind: its class.
        n_parameters: of it and all modules inside.
        n_calls: how often it ran in one pass; the calls are ``NAME@0``, ``NAME@1``, ...
        output: shape of its output for a batch of two images, or what it gave.
        tokens: channels, height and width of its tokens; None where it gives none.
        why: why it gives none.
    """

    name: str
    kind: str
    n_parameters: int
    n_calls: int = 0
    output: str = ""
    tokens: tuple[int, int, int] | None = None
    why: str = ""


def survey(backbone: FrozenBackbone, image_size: tuple[int, int] | None = None) -> list[ModuleRow]:
    """Every module of a backbone's network in order, with the tokens it gives for images of noise.

    Args:
        backbone: a network of brainnet; one without hooks has its layers in place of modules.
        image_size: height and width in pixels; by default those of the backbone's preprocessing.

    >>> from torch import nn
    >>> rows = survey(HookedBackbone(nn.Sequential(nn.Conv2d(3, 4, 3), nn.ReLU()), ["0"]), (8, 10))
    >>> [(row.name, row.kind, row.tokens) for row in rows]
    [('0', 'Conv2d', (4, 6, 8)), ('1', 'ReLU', (4, 6, 8))]
    """
    if hasattr(backbone, "example"):
        return _of_example(backbone)
    like = next((value for value in backbone.parameters() if value.is_floating_point()), torch.zeros(()))
    noise = torch.randn(2, 3, *(image_size or backbone.preprocessing.size), generator=torch.Generator().manual_seed(0))
    images = noise.to(like.device, like.dtype)
    if not isinstance(backbone, HookedBackbone):
        local, _ = backbone.get_tokens(images)
        return [
            ModuleRow(layer, "", 0, 1, str(tuple(values.shape)), tuple(values.shape[1:]))
            for layer, values in local.items()
        ]
    modules = {name: module for name, module in backbone.network.named_modules() if name}
    places = {name: Place(name) for name, module in modules.items() if not is_container(module)}
    seen = _Survey(backbone, images, places).noted()
    if seen.doubtful:  # axes that are equally long here
        for other in of_other_heights(images):
            with suppress(Exception):  # networks of one size refuse another
                told = _Survey(backbone, other, places).noted().layouts
                again = {name: places[name] for name in seen.doubtful & told.keys()}
                seen.found |= _Survey(backbone, images, again, told).noted().found
                break
    return [
        ModuleRow(
            name,
            type(module).__name__,
            sum(value.numel() for value in module.parameters()),
            seen.turns.get(name, 0),
            **seen.found.get(name, {"why": "never ran" if name in places else ""}),
        )
        for name, module in modules.items()
    ]


def _of_example(backbone: Any) -> list[ModuleRow]:
    """The layers of a backbone of other stimuli than images, and its modules, with the tokens of an example."""
    example = backbone.example()
    local, _ = backbone.get_tokens(example)
    rows = [
        ModuleRow(layer, "", 0, 1, str(tuple(values.shape)), tuple(values.shape[1:])) for layer, values in local.items()
    ]
    if not hasattr(backbone, "outputs_of_modules"):
        return rows
    outputs, listed = backbone.outputs_of_modules(example), {row.name for row in rows}
    for name, module in backbone.network.named_modules():
        if name and name not in listed and not is_container(module):
            runs = outputs.get(name, [])
            note: dict[str, Any] = {"why": "never ran"}
            if runs:
                note = {"output": describe(part_of(runs[-1]))}
                try:
                    note["tokens"] = tuple(backbone.tokens_of(name, part_of(runs[-1]), example)[0][0].shape)
                except ValueError as error:
                    note["why"] = str(error).removeprefix(f"{backbone.name}: {name}").strip(": ").partition(". ")[0]
            n = sum(value.numel() for value in module.parameters())
            rows.append(ModuleRow(name, type(module).__name__, n, len(runs), **note))
    return rows


class _Survey(Capture):
    """A capture that notes what each module gives, or why its tokens cannot be had, and keeps none.

    Args:
        backbone, images, places: see :class:`Capture`.
        layouts: of the layers, where they are known already.
    """

    def __init__(
        self,
        backbone: HookedBackbone,
        images: Tensor,
        places: dict[str, Place],
        layouts: dict[str, str | None] | None = None,
    ):
        super().__init__(backbone, images, places)
        self.found: dict[str, dict[str, Any]] = {}
        self.doubtful: set[str] = set()
        self.layouts, self.trace = (layouts, None) if layouts else ({}, LayoutTrace(images))

    def noted(self) -> _Survey:
        """Itself, after one pass."""
        with torch.no_grad():
            self.run()
        return self

    def _is_final(self, layer: str) -> bool:
        return False

    def take(self, layer: str, output: Any) -> None:
        """Notes the shapes."""
        part = part_of(output)
        self.found[layer] = note = {"output": describe(part)}
        try:
            super().take(layer, output)
        except Ambiguous:
            self.doubtful.add(layer)
            note["why"] = f"gives {note['output']}, whose axes cannot be told"
        except ValueError as error:
            told = str(error).removeprefix(f"{self.backbone.name}: ").removeprefix(layer).strip(": ")
            note["why"] = told.partition(". ")[0]
        else:
            note["tokens"] = tuple(self.tokens.pop(layer)[0].shape[1:])
