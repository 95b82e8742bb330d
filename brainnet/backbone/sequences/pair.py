"""Pairs of stimuli for networks of image and text: the tokens of both sides, and the joint embedding of the two."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from brainnet.backbone.base import FrozenBackbone
from brainnet.tokens import Tokens

JOINT = "joint"


class Bundle(dict):
    """Batches of several kinds, kind to tensor (B, ...), that go to a device and come apart as one tensor does."""

    def to(self, *args: Any, **kwargs: Any) -> Bundle:
        """See ``torch.Tensor.to``."""
        return Bundle({kind: values.to(*args, **kwargs) for kind, values in self.items()})

    def pin_memory(self) -> Bundle:
        """See ``torch.Tensor.pin_memory``."""
        return Bundle({kind: values.pin_memory() for kind, values in self.items()})

    def chunk(self, n_parts: int) -> list[Bundle]:
        """See ``torch.Tensor.chunk``."""
        parts = zip(*(values.chunk(n_parts) for values in self.values()), strict=True)
        return [Bundle(zip(self, part, strict=True)) for part in parts]

    def __len__(self) -> int:
        return len(next(iter(self.values()))) if self.values() else 0


class PairSeer:
    """A pair as tensors, kind to tensor.

    Args:
        parts: kind to what makes a tensor of a part of that kind.
    """

    def __init__(self, parts: Mapping[str, Any]):
        self.parts = dict(parts)

    def __call__(self, pair: Mapping[str, Any]) -> dict[str, Tensor]:
        """The tensors of a pair.

        Raises:
            TypeError: no mapping, or one that lacks a kind; names it.
        """
        if not isinstance(pair, Mapping):
            raise TypeError(f"a network of pairs reads mappings from kind to stimulus, got {type(pair).__name__}.")
        lacking = [kind for kind in self.parts if kind not in pair]
        if lacking:
            raise TypeError(f"a pair has no {lacking[0]}; it has {', '.join(pair) or 'nothing'}.")
        return {kind: see(pair[kind]) for kind, see in self.parts.items()}

    def __repr__(self) -> str:
        return f"PairSeer({self.parts})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, PairSeer) and self.parts == other.parts

    __hash__ = None


class PairBackbone(FrozenBackbone):
    """Tokens of both sides of a network of image and text.

    Layers are those of the sides with the kind in front, ``"image.3"``, ``"text.0"``; ``"image_embeds"`` and
    ``"text_embeds"`` are their places in the joint space, and ``"joint"`` is the mean of the two directions there.

    Args:
        sides: kind to backbone; each gives, beside the layers asked for, its layer ``":image_embeds"`` or
            ``":text_embeds"`` where ``layers`` needs that.
        layers: names as above.
        name: for fingerprints and messages.
    """

    reads = "pair"

    def __init__(self, sides: Mapping[str, Any], layers: Sequence[str], *, name: str):
        see = PairSeer({kind: side.preprocessing for kind, side in sides.items()})
        settings = {f"{kind} {key}": value for kind, side in sides.items() for key, value in side.settings.items()}
        super().__init__(name, layers, see, settings)
        self.sides = nn.ModuleDict(sides)
        self.freeze()

    def collate(self, items: Sequence[Mapping[str, Tensor]]) -> Bundle:
        """One batch of each kind."""
        stack = lambda kind: getattr(self.sides[kind], "collate", torch.stack)  # noqa: E731
        return Bundle({kind: stack(kind)([item[kind] for item in items]) for kind in self.sides})

    def get_tokens(self, pairs: Iterable[Mapping[str, Any]] | Bundle) -> Tokens:
        """Local tokens (B, C, H, W) and global tokens (B, C), float32, for every layer; unpacks as a pair.

        Args:
            pairs: mappings from kind to stimulus, such as those of :class:`~brainnet.stimuli.Pairs`; or a batch that
                :meth:`collate` made.
        """
        if not isinstance(pairs, Bundle):
            pairs = self.collate([self.preprocessing(pair) for pair in pairs])
        found: dict[str, tuple[Tensor, Tensor]] = {}
        for kind, side in self.sides.items():
            tokens = side.get_tokens(pairs[kind].to(next(side.parameters()).device))
            for layer in tokens.layers:
                found[layer.removeprefix(":") if layer.startswith(":") else f"{kind}.{layer}"] = (
                    tokens.local[layer],
                    tokens.global_[layer],
                )
        if JOINT in self.layers:
            both = [F.normalize(found[f"{kind}_embeds"][1], dim=1) for kind in self.sides]
            mean = torch.stack(both).mean(0)
            found[JOINT] = mean[:, :, None, None], mean.clone()
        tokens = Tokens(*({layer: found[layer][part] for layer in self.layers} for part in (0, 1)))
        self._layer_widths = tuple(value.shape[1] for value in tokens.global_.values())
        return tokens

    def example(self) -> Bundle:
        """A blank image with a text of a word."""
        size = self.sides["image"].preprocessing.size
        return Bundle({"image": torch.zeros(1, 3, *size), "text": self.sides["text"].example()})

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Number of channels of each layer; the first look may cost one pass."""
        if self._layer_widths is None:
            self.get_tokens(self.example())
        return self._layer_widths
