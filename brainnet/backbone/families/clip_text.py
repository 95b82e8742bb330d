"""``clip_text:*``: the text towers of open_clip, which share a space with the image towers of ``clip``.

Their stimuli are texts. A sequence is a map of one row: local tokens are (B, C, 1, T), a place for each of T word
pieces; the global token is the one at which the tower itself reads the sentence (its end, with most towers).
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from brainnet._checks import require
from brainnet._registry import takes_options_of
from brainnet.backbone.capture import Capture
from brainnet.backbone.families.clip import tower_of
from brainnet.backbone.hooks import HookedBackbone
from brainnet.backbone.modules import choose_places
from brainnet.tokens import Tokens

reads = "text"  # the kind of its stimuli


@dataclass(frozen=True)
class WordPieces:
    """How a text becomes numbers: the tokenizer of an open_clip model, padded or cut to ``length`` pieces."""

    variant: str
    length: int

    def __call__(self, text: str) -> Tensor:
        """(length,) int64."""
        if not isinstance(text, str):
            raise TypeError(
                f"clip_text:{self.variant} reads texts, got {type(text).__name__}; images are for clip:{self.variant}."
            )
        return _tokenizer(self.variant)([text], context_length=self.length)[0]


@lru_cache(maxsize=4)
def _tokenizer(variant: str) -> Any:
    return require("open_clip", f"clip_text:{variant}", "open_clip_torch").get_tokenizer(variant)


class CLIPTextBackbone(HookedBackbone):
    """Tokens of every block of a CLIP text tower.

    Layers ``"0"``, ``"1"``, ... are the residual blocks, before the last normalization; ``"text"`` is the joint
    embedding of image and text; modules are named as in open_clip (``"ln_final"``).

    Args:
        variant: open_clip's name, such as ``"ViT-B-16"``.
        layers: names, patterns or indices; None takes all blocks.
        weights: a file (the whole CLIP model's or the text tower's alone), ``"random"``, or open_clip's tag of
            published weights, ``"openai"``.
        seed: of random weights.
        quick_gelu: see :class:`brainnet.backbone.families.clip.CLIPBackbone`.

    >>> backbone = CLIPTextBackbone("ViT-S-32-alt", weights="random", layers=["0", "text"])
    >>> local, whole = backbone.get_tokens(["a bird", "a house by the sea"])
    >>> local["0"].shape, whole["text"].shape
    (torch.Size([2, 256, 1, 77]), torch.Size([2, 256]))
    """

    reads = "text"

    def __init__(
        self,
        variant: str = "ViT-B-16",
        *,
        layers: Iterable[str | int] | None = None,
        weights: str | Path = "openai",
        seed: int = 0,
        quick_gelu: bool | None = None,
    ):
        tower, _, quick_gelu = tower_of("text", variant, weights, seed, quick_gelu)
        stages = {str(i): f"transformer.resblocks.{i}" for i in range(len(tower.transformer.resblocks))}
        super().__init__(
            tower,
            choose_places(tower, layers, {**stages, "text": ""}, list(stages)),
            name=f"clip_text:{variant}",
            sequence="BNC" if tower.transformer.batch_first else "NBC",
            fixed_steps=True,
            settings={"quick_gelu": quick_gelu},
        )
        self.preprocessing = WordPieces(variant, tower.context_length)
        self._layouts, self._may_stop = {}, True  # there is no map whose axes would have to be found

    def get_tokens(self, texts: Sequence[str] | Tensor) -> Tokens:
        """Local tokens (B, C, 1, T) and global tokens (B, C), float32, for every layer; unpacks as a pair.

        Args:
            texts: sentences; or their word pieces (B, T), whole numbers, as ``preprocessing`` gives them.
        """
        if not isinstance(texts, Tensor):
            if isinstance(texts, str) or not all(isinstance(text, str) for text in texts):
                raise TypeError(f"{self.name} takes a list of texts, got {type(texts).__name__}.")
            texts = torch.stack([self.preprocessing(text) for text in texts])
        if texts.ndim != 2 or texts.is_floating_point():
            raise ValueError(
                f"{self.name} takes texts, or their word pieces as whole numbers (B, T), got {texts.dtype} "
                f"{tuple(texts.shape)}. An image? Its tower is {self.name.replace('clip_text', 'clip')!r}."
            )
        device = next(self.parameters()).device
        with torch.no_grad():
            tokens = self.compute_tokens(texts.to(device))
        self._layer_widths = tuple(value.shape[1] for value in tokens.global_.values())
        return tokens

    def compute_tokens(self, pieces: Tensor) -> Tokens:
        """Tokens of the chosen layers for word pieces (B, T)."""
        capture = Capture(self, pieces, self.places)
        capture.run()
        local = {layer: capture.tokens[layer][0] for layer in self.layers}
        return Tokens(local, {layer: self._sentence(values, pieces) for layer, values in local.items()})

    def tokens_of(self, layer: str, output: Tensor, image_size: tuple[int, int], layout: str) -> tuple[Tensor, Tensor]:
        """The sequence as a map of one row, and its mean."""
        if output.ndim == 3:
            output = output.permute([layout.index(axis) for axis in "BCN"])
        local = (output[:, :, None] if output.ndim == 3 else output[:, :, None, None]).to(torch.float32, copy=True)
        return local.contiguous(), local.mean((2, 3))

    def _sentence(self, local: Tensor, pieces: Tensor) -> Tensor:
        """The token at which the tower reads the sentence."""
        if local.shape[-1] == 1:
            return local[:, :, 0, 0].clone()
        kind = "last" if getattr(self.network, "cls_emb", None) is not None else self.network.pool_type
        if kind in ("first", "last"):
            return local[:, :, 0, 0 if kind == "first" else -1].clone()
        if kind == "argmax":  # the piece that ends a sentence has the largest number
            return local[torch.arange(len(local)), :, 0, pieces.argmax(1)].clone()
        return local.mean((2, 3))

    def example(self) -> Tensor:
        """An empty text."""
        return torch.zeros(1, self.preprocessing.length, dtype=torch.long)

    @property
    def layer_widths(self) -> tuple[int, ...]:
        """Number of channels of each layer; the first look may cost one pass over an empty text."""
        if self._layer_widths is None:
            self.get_tokens(self.example())
        return self._layer_widths


@takes_options_of(CLIPTextBackbone)
def build(variant: str | None, **options: Any) -> CLIPTextBackbone:
    """A CLIP text tower as a backbone; ``"clip_text"`` alone is ``"clip_text:ViT-B-16"``."""
    return CLIPTextBackbone(variant or "ViT-B-16", **options)


def variants() -> list[str]:
    """What can follow "clip_text:", with the tag of its weights after an equals sign."""
    open_clip = require("open_clip", "the clip_text family", "open_clip_torch")
    own = {
        name for name in open_clip.list_models() if "hf_model_name" not in open_clip.get_model_config(name)["text_cfg"]
    }
    return [f"{name}={tag}" for name, tag in sorted(open_clip.list_pretrained()) if name in own]


def knows(variant: str) -> bool:
    """Whether open_clip has the architecture, also where nobody publishes weights of it."""
    return variant in require("open_clip", "the clip_text family", "open_clip_torch").list_models()


LIBRARY = "open_clip_torch"  # of whose version the table of networks is


def describe() -> list[dict]:
    """What the table of networks says of each."""
    from brainnet.backbone.facts.clip import describe_text

    return list(describe_text())
