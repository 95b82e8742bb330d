"""Tokens of networks whose stimuli last: a text, a sound, a clip. Time is the width of a token map.

A *reader* knows one kind of stimulus: how it becomes numbers, how a batch of it is run, and where in the network's
output the places of each stimulus are. What was only added to make a batch rectangular is no place, so no token is of
padding: local tokens are (B, C, 1, T) for a sequence, (B, C, F, T) for a spectrogram, (B, C, H, W) for a clip.
"""

from __future__ import annotations

import copy
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import ExitStack
from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainnet._checks import check_word
from brainnet.backbone.base import FrozenBackbone
from brainnet.backbone.modules import Place, choose_places, part_of
from brainnet.tokens import Tokens

INSTALLED = "_output_capturing_hooks_installed"  # where transformers notes that its hooks are on
GLOBAL_TOKENS = ("mean", "last", "class")
ALL = "all"  # every place in time by itself
STEPS = 8  # places in time that a sequence is averaged to, by default


class Placed(NamedTuple):
    """What one layer gives for one stimulus.

    Args:
        local: (C, F, T), its places alone; F is 1 for a sequence.
        first: (C,), the class token, where there is one.
        timed: False for what the network made of the whole stimulus, one place without time.
    """

    local: Tensor
    first: Tensor | None = None
    timed: bool = True


class Reader(Protocol):
    """One kind of stimulus, for one network."""

    reads: str
    preprocessing: Any

    def collate(self, items: Sequence[Tensor]) -> Tensor:
        """One tensor (B, ...) of what ``preprocessing`` gives; it must show where each stimulus ends."""

    def groups(self, batch: Tensor) -> Iterator[tuple[Sequence[int], Tensor]]:
        """Rows of a batch that are run together, and the part of the batch that they are."""

    def run(self, network: nn.Module, part: Tensor) -> Any:
        """The network's output for such a part, with its hidden states."""

    def place(self, state: Tensor, part: Tensor) -> list[Placed]:
        """The places of each stimulus of a part in a state (B, N, C)."""

    def example(self) -> Tensor:
        """A batch of one short stimulus."""


class SequenceBackbone(FrozenBackbone):
    """Tokens of a network of texts, sounds or clips.

    Layers ``"0"``, ``"1"``, ... are its hidden states 1, 2, ...; ``"embeddings"`` is hidden state 0, which the first
    block is given. Modules are named as in the network, and parts of its output as ``":last_hidden_state"``.

    Args:
        network: what ``reader`` runs. It is frozen here.
        reader: of its kind of stimulus.
        layers: names, patterns or indices; None takes all hidden states but the first.
        name: for fingerprints and messages.
        steps: number of places in time to which every stimulus is averaged, so that all have as many, whatever they
            last. "all" leaves every place by itself; then stimuli of one call that last less than the longest get the
            mean of their own places behind their end, which changes no mean and no maximum, and a token store takes
            only stimuli that last equally long.
        global_token: "mean" of a stimulus's places, the "last" of them, or the "class" token in front.
        settings: whatever else changes its numbers; part of the fingerprint.
    """

    def __init__(
        self,
        network: nn.Module,
        reader: Reader,
        layers: Iterable[str | int] | None = None,
        *,
        name: str,
        steps: int | str = STEPS,
        global_token: str = "mean",
        settings: Mapping[str, Any] | None = None,
    ):
        check_word("global token", global_token, GLOBAL_TOKENS)
        if steps != ALL and (isinstance(steps, bool) or not isinstance(steps, int) or steps < 1):
            raise ValueError(f"steps is a number of places in time of at least 1, or {ALL!r}; got {steps!r}.")
        network.eval()
        try:
            with torch.no_grad():
                shown = reader.run(network, reader.example())
        except (ValueError, TypeError, RuntimeError) as error:
            said = str(error).strip().partition("\n")[0]
            kind = type(network).__name__
            raise ValueError(f"{name} ({kind}) cannot be run on {reader.reads}s as it is built here: {said}") from error
        n_states = len(getattr(shown, "hidden_states", None) or ())
        stages = {str(i): Place("", key=f"hidden_states.{i + 1}") for i in range(n_states - 1)}
        further = {"embeddings": Place("", key="hidden_states.0")} if n_states else {}
        places = choose_places(network, layers, {**stages, **further}, list(stages) or None)
        settings = {**(settings or {}), "steps": steps, "global_token": global_token}
        super().__init__(name, tuple(places), reader.preprocessing, settings)
        self.network, self.reader, self.places = network, reader, places
        self.steps, self.global_token = steps, global_token
        self.freeze()

    @property
    def reads(self) -> str:
        """The kind of its stimuli: "text", "sound" or "video"."""
        return self.reader.reads

    def collate(self, items: Sequence[Tensor]) -> Tensor:
        """One batch of what ``preprocessing`` gives, stimulus by stimulus."""
        return self.reader.collate(items)

    def get_tokens(self, stimuli: Any) -> Tokens:
        """Local tokens (B, C, F, T) and global tokens (B, C), float32, for every layer; unpacks as a pair.

        Args:
            stimuli: a list of texts, sounds or clips, whatever the network reads; or a batch that :meth:`collate` made.

        Raises:
            TypeError, ValueError: stimuli of another kind, or that the network cannot take; says which.
        """
        given = isinstance(stimuli, Tensor)
        if not given:
            if isinstance(stimuli, str) or not isinstance(stimuli, Iterable):
                raise TypeError(f"{self.name} takes a list of {self.reads}s, got {type(stimuli).__name__}.")
            stimuli = list(stimuli)
            if not stimuli:
                raise ValueError(f"{self.name} was given no {self.reads}s.")
            stimuli = self.collate([self.preprocessing(one) for one in stimuli])
        with torch.no_grad():
            tokens = self.compute_tokens(stimuli.to(next(self.parameters()).device), not given)
        self._layer_widths = tuple(value.shape[1] for value in tokens.global_.values())
        return tokens

    def compute_tokens(self, batch: Tensor, may_differ: bool = True) -> Tokens:
        """Tokens of the chosen layers; ``may_differ`` where stimuli of several lengths may keep all their places."""
        found: dict[str, list[Any]] = {layer: [None] * len(batch) for layer in self.layers}
        for rows, part in self.reader.groups(batch):
            for layer, state in self._states(part).items():
                for row, pair in zip(rows, self.tokens_of(layer, state, part), strict=True):
                    found[layer][row] = pair
        local = {layer: _stacked([one for one, _ in rows], self.name, may_differ) for layer, rows in found.items()}
        return Tokens(local, {layer: torch.stack([whole for _, whole in rows]) for layer, rows in found.items()})

    def _states(self, part: Tensor) -> dict[str, Tensor]:
        """Layer to what it gives, from one pass."""
        seen: dict[str, Any] = {}
        with ExitStack() as hooks:
            for layer, place in self.places.items():
                if place.module:
                    module = self.network.get_submodule(place.module)
                    keep = lambda _, __, output, layer=layer: seen.update({layer: output})  # noqa: E731
                    hooks.callback(module.register_forward_hook(keep).remove)
            output = self.reader.run(self.network, part)
        found = {}
        for layer, place in self.places.items():
            if place.module and layer not in seen:
                raise ValueError(f"{self.name}: {layer} never ran. Choose another layer.")
            found[layer] = part_of(seen[layer] if place.module else output, place.key)
        return found

    def tokens_of(self, layer: str, state: Any, part: Tensor) -> list[tuple[Tensor, Tensor]]:
        """Local (C, F, T) and global (C,) tokens, float32 copies, of each stimulus of a part.

        Raises:
            ValueError: what a layer gives are no places of the stimuli.
        """
        return [self._pooled(one) for one in self._placed(layer, state, part)]

    def outputs_of_modules(self, batch: Tensor) -> dict[str, list[Any]]:
        """Module to what it gave, call by call, in one pass."""
        found: dict[str, list[Any]] = {}
        _, part = next(iter(self.reader.groups(batch)))
        with ExitStack() as hooks, torch.no_grad():
            for name, module in self.network.named_modules():
                keep = lambda _, __, output, name=name: found.setdefault(name, []).append(output)  # noqa: E731
                hooks.callback(module.register_forward_hook(keep).remove)
            self.reader.run(self.network, part)
        return found

    def example(self) -> Tensor:
        """A batch of one short stimulus."""
        return self.reader.example().to(next(self.parameters()).device)

    def _placed(self, layer: str, state: Any, part: Tensor) -> list[Placed]:
        if isinstance(state, Tensor) and state.ndim == 2 and len(state) == len(part):
            return [Placed(one[:, None, None], timed=False) for one in state]
        if not isinstance(state, Tensor) or state.ndim != 3 or len(state) != len(part):
            shape = tuple(state.shape) if isinstance(state, Tensor) else type(state).__name__
            raise ValueError(
                f"{self.name}: {layer} gives {shape}; tokens come from (B, N, C) or (B, C). Choose other layers."
            )
        try:
            return self.reader.place(state, part)
        except ValueError as error:
            raise ValueError(f"{self.name}: {layer}: {error}") from None

    def _pooled(self, placed: Placed) -> tuple[Tensor, Tensor]:
        local = placed.local.to(torch.float32, copy=True)
        whole = {"mean": local.mean((1, 2)), "last": local[:, :, -1].mean(1)}.get(self.global_token)
        if whole is None:
            whole = local.mean((1, 2)) if placed.first is None else placed.first.to(torch.float32, copy=True)
        if self.steps != ALL and placed.timed:
            local = F.adaptive_avg_pool2d(local[None], (local.shape[1], self.steps))[0]
        return local, whole

    def __getstate__(self) -> dict:
        """Everything but the hooks that transformers has put on the network, which it puts on again."""
        return {**self.__dict__, "_modules": {**self._modules, "network": without_hooks(self.network)}}

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Number of channels of each layer; the first look may cost one pass over a short stimulus."""
        if self._layer_widths is None:
            self.get_tokens(self.example())
        return self._layer_widths


def without_hooks(network: nn.Module) -> nn.Module:
    """A twin of a network that shares its numbers and has no hooks; those of transformers cannot be pickled."""
    shared = {id(value): value for value in (*network.parameters(), *network.buffers())}
    twin = copy.deepcopy(network, shared)
    for module in twin.modules():
        module._forward_hooks.clear()
        if hasattr(module, INSTALLED):
            setattr(module, INSTALLED, False)
    return twin


def _stacked(maps: Sequence[Tensor], name: str, may_differ: bool) -> Tensor:
    """Maps (C, F, T) of stimuli as one tensor; behind the end of the shorter ones the mean of their own places."""
    lengths = {one.shape[-1] for one in maps}
    if len(lengths) == 1:
        return torch.stack(list(maps))
    if not may_differ:
        raise ValueError(
            f"{name} gives {min(lengths)} to {max(lengths)} places for these stimuli, and a token store keeps as many "
            f"for all: give steps, the number of places that each is averaged to, such as steps={STEPS}."
        )
    longest = max(lengths)
    return torch.stack([
        torch.cat([one, one.mean(2, keepdim=True).expand(-1, -1, longest - one.shape[-1])], 2) for one in maps
    ])  # fmt: skip


def by_length(lengths: Iterable[int]) -> dict[int, list[int]]:
    """Length to the rows that have it.

    >>> by_length([3, 5, 3])
    {3: [0, 2], 5: [1]}
    """
    found: dict[int, list[int]] = {}
    for row, length in enumerate(lengths):
        found.setdefault(int(length), []).append(row)
    return found
