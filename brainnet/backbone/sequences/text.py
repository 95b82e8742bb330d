"""Texts for networks of transformers: word pieces, with a mask over what fills a batch up.

The context length is that of the network, or ``length``; of a longer text the beginning is kept, or of a causal network
the end, and a warning says so. A causal network sees what came before alone; padding stands behind the text.
"""

from __future__ import annotations

import inspect
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from brainnet._checks import check_word, warn_once
from brainnet._files import sha256
from brainnet.backbone.sequences.base import Placed

EMPTY = -1  # behind the end of a text in a batch
ENDS = ("beginning", "end")


@dataclass(frozen=True)
class TextPieces:
    """A text as the word pieces of a tokenizer.

    Args:
        name: of the tokenizer.
        length: the most pieces, those that the tokenizer adds included.
        keep: which end of a longer text is kept, "beginning" or "end".
        vocabulary: digest of the tokenizer's pieces and rules.
        tokenizer: of transformers.
    """

    name: str
    length: int
    keep: str
    vocabulary: str
    tokenizer: Any = field(repr=False, compare=False)

    def __post_init__(self):
        check_word("end of a text", self.keep, ENDS)

    @classmethod
    def of(cls, tokenizer: Any, name: str, length: int, keep: str) -> TextPieces:
        """The pieces of a tokenizer of transformers."""
        rules = (
            tokenizer.backend_tokenizer.to_str() if tokenizer.is_fast else str(sorted(tokenizer.get_vocab().items()))
        )
        return cls(name, int(length), keep, sha256(rules)[:16], tokenizer)

    def __call__(self, text: str) -> Tensor:
        """(2, n_pieces) int64: numbers of the pieces; and for each the word it is of, -1 where it is of none.

        Words are what lies between blanks, counted from 0.

        Raises:
            TypeError: no string.
            ValueError: an empty text.
        """
        if not isinstance(text, str):
            raise TypeError(f"{self.name} reads texts, got {type(text).__name__}.")
        if not text.strip():
            raise ValueError("the text is empty: give it words, or leave it out.")
        places = {"return_offsets_mapping": True} if self.tokenizer.is_fast else {}
        found = self.tokenizer(text, return_special_tokens_mask=True, verbose=False, **places)
        pieces, special = found["input_ids"], found["special_tokens_mask"]
        words = _words(text, found["offset_mapping"]) if places else [EMPTY] * len(pieces)
        rows = [
            (piece, EMPTY if added else word, added) for piece, word, added in zip(pieces, words, special, strict=True)
        ]
        surplus = len(rows) - self.length
        if surplus > 0:
            rows = self._cut(rows, surplus)
        if not any(not added for _, _, added in rows):
            raise ValueError(f"the text {text[:40]!r} has no pieces that {self.name} knows.")
        return torch.tensor([[piece for piece, _, _ in rows], [word for _, word, _ in rows]])

    def _cut(self, rows: list[tuple[int, int, int]], surplus: int) -> list[tuple[int, int, int]]:
        """Without as many pieces of the text at the end that is not kept; what the tokenizer adds stays."""
        warn_once(
            f"length {self.name} {self.length}",
            f"a text of {len(rows)} word pieces is longer than the context of {self.name}, {self.length}: its "
            f"{self.keep} is kept. So it is with every longer one.",
        )
        own = [place for place, (_, _, added) in enumerate(rows) if not added]
        gone = set(own[:surplus] if self.keep == "end" else own[-surplus:])
        return [row for place, row in enumerate(rows) if place not in gone]


def _words(text: str, offsets: Sequence[tuple[int, int]]) -> list[int]:
    """The word of each piece, by the last letter of it."""
    word_of, word = [], -1
    for place, letter in enumerate(text):
        if not letter.isspace() and (place == 0 or text[place - 1].isspace()):
            word += 1
        word_of.append(max(word, 0))
    return [word_of[end - 1] if end > start else EMPTY for start, end in offsets]


class TextReader:
    """Reads texts for a network that takes ``input_ids``.

    Args:
        network: whose ``forward`` is looked at.
        pieces: how a text becomes numbers.
        words: whether a place is a word, the mean of its pieces, and not a piece.
        fill: the number of pieces up to which padding fills every text, without a mask, where the network was trained
            so. The places of padding are still left out.
    """

    reads = "text"

    def __init__(self, network: nn.Module, pieces: TextPieces, words: bool = False, fill: int | None = None):
        self.preprocessing, self.words, self.fill = pieces, words, fill
        if words and not pieces.tokenizer.is_fast:
            raise ValueError(f"the tokenizer of {pieces.name} does not say which piece is of which word.")
        self._taken = set(inspect.signature(network.forward).parameters)
        padding = getattr(network.config, "pad_token_id", None)
        padding = pieces.tokenizer.pad_token_id if padding is None else padding
        self._padding = 0 if padding is None else int(padding)

    def collate(self, items: Sequence[Tensor]) -> Tensor:
        """(B, 2, T), with -1 behind the end of a text."""
        return nn.utils.rnn.pad_sequence([item.T for item in items], True, EMPTY).transpose(1, 2)

    def groups(self, batch: Tensor) -> Iterator[tuple[Sequence[int], Tensor]]:
        """All texts at once: the mask keeps them apart from what fills them up."""
        if batch.ndim != 3 or batch.shape[1] != 2 or batch.is_floating_point():
            raise ValueError(
                f"{self.preprocessing.name} takes a list of texts, or a batch (B, 2, T) of word pieces as whole "
                f"numbers; got {batch.dtype} {tuple(batch.shape)}."
            )
        yield range(len(batch)), batch

    def run(self, network: nn.Module, part: Tensor) -> Any:
        """One pass over word pieces."""
        pieces = part[:, 0]
        if self.fill is not None:
            pieces = nn.functional.pad(pieces, (0, self.fill - pieces.shape[1]), value=EMPTY)
            return network(input_ids=pieces.where(pieces >= 0, self._padding), output_hidden_states=True)
        mask = pieces >= 0
        options: dict[str, Any] = {"attention_mask": mask.long()} if "attention_mask" in self._taken else {}
        if "use_cache" in self._taken:
            options["use_cache"] = False
        return network(input_ids=pieces.where(mask, self._padding), output_hidden_states=True, **options)

    def place(self, state: Tensor, part: Tensor) -> list[Placed]:
        """The pieces of each text, or its words."""
        if self.fill is not None and state.shape[1] == self.fill:
            state = state[:, : part.shape[2]]
        if state.shape[1] != part.shape[2]:
            raise ValueError(f"it gives {state.shape[1]} places for {part.shape[2]} word pieces. Choose other layers.")
        found = []
        for values, (pieces, words) in zip(state, part, strict=True):
            own = values[pieces >= 0]
            local = self._of_words(own, words[pieces >= 0]) if self.words else own
            found.append(Placed(local.T[:, None], own[0]))
        return found

    @staticmethod
    def _of_words(values: Tensor, words: Tensor) -> Tensor:
        """The mean of the pieces of each word (n_words, C), in order."""
        spoken, which = words[words >= 0].unique(return_inverse=True)
        sums = values.new_zeros(len(spoken), values.shape[1]).index_add_(0, which, values[words >= 0])
        return sums / torch.bincount(which)[:, None]

    def example(self) -> Tensor:
        """A text of one word."""
        return self.collate([self.preprocessing("word")])
