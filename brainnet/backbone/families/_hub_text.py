"""Networks of text of transformers: BERT and its kin, causal language models, encoders, the text side of CLIP."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from torch import nn

from brainnet.backbone.families._hub import loaded, name_of
from brainnet.backbone.sequences.base import ALL, STEPS, SequenceBackbone
from brainnet.backbone.sequences.text import TextPieces, TextReader

TOWERS = ("text_model", "text_encoder", "language_model")  # names of the text side in a model that reads more
WORDS = "words"


class TextTower(nn.Module):
    """The text side of a model that reads more, with its projection into the joint space.

    Args:
        tower: the text side.
        projection: of what it pools; None where it pools nothing that is joint.
        padded: whether it was trained on texts that padding fills up to its context, and reads that too (SigLIP).
    """

    def __init__(self, tower: nn.Module, projection: nn.Module | None, padded: bool = False):
        super().__init__()
        self.tower, self.projection, self.config, self.padded = tower, projection, tower.config, padded

    def forward(self, input_ids: Any, attention_mask: Any = None, **options: Any) -> Any:
        """The tower's output; what it pooled is projected too, as ``text_embeds``."""
        output = self.tower(input_ids=input_ids, attention_mask=attention_mask, **options)
        if self.projection is not None and getattr(output, "pooler_output", None) is not None:
            output["text_embeds"] = self.projection(output.pooler_output)
        return output


def text_backbone(
    transformers: Any, variant: str, config: Any, *, layers: Iterable[str | int] | None, weights: str | Path, seed: int,
    revision: str, global_token: str | None = None, steps: int | str = STEPS, length: int | None = None,
) -> SequenceBackbone:  # fmt: skip
    """A network of text; see ``build`` of the family transformers."""
    network = loaded(transformers, variant, config, weights, seed, revision, text_part)
    is_tower = isinstance(network, TextTower)
    causal = is_causal(transformers, network.config) or (is_tower and network.projection is None)
    tokenizer = _tokenizer(transformers, variant, revision)
    most = longest(tokenizer, network.config)
    if length is not None and not 3 <= length <= most:
        raise ValueError(
            f"length is a number of word pieces from 3 to the {most} of transformers:{variant}, got {length}."
        )
    name = name_of(variant, config)
    pieces = TextPieces.of(tokenizer, name, length or most, "end" if causal else "beginning")
    return SequenceBackbone(
        network,
        TextReader(network, pieces, words=steps == WORDS, fill=most if is_tower and network.padded else None),
        layers,
        name=name,
        steps=ALL if steps == WORDS else steps,
        global_token=global_token or ("last" if causal or is_tower else "mean"),
        settings={"places": WORDS} if steps == WORDS else None,
    )


def text_part(network: nn.Module) -> nn.Module:
    """The part of a model that reads text: all of it, an encoder, or one side of a model of image and text."""
    name = next((name for name in TOWERS if isinstance(getattr(network, name, None), nn.Module)), None)
    if name is not None and hasattr(network.config, "text_config"):
        if network.config.model_type.startswith("siglip"):  # its head projects already
            return TextTower(getattr(network, name), nn.Identity(), padded=True)
        return TextTower(getattr(network, name), getattr(network, "text_projection", None))
    if all(isinstance(getattr(network, side, None), nn.Module) for side in ("encoder", "decoder")):
        return network.encoder
    return network


def is_causal(transformers: Any, config: Any) -> bool:
    """Whether a network of these settings was made to tell the next word."""
    of_causal = transformers.AutoModelForCausalLM._model_mapping
    of_masked = transformers.AutoModelForMaskedLM._model_mapping
    return (
        type(config) in of_causal and type(config) not in of_masked and not getattr(config, "is_encoder_decoder", False)
    )


def longest(tokenizer: Any, config: Any) -> int:
    """The most word pieces that a network takes: the smallest number that it or its tokenizer says."""
    said = [getattr(config, "max_position_embeddings", None), getattr(tokenizer, "model_max_length", None)]
    known = [int(number) for number in said if isinstance(number, int | float) and 0 < number < 1e7]
    most = min(known, default=2048)
    if getattr(config, "model_type", "") in ("roberta", "xlm-roberta", "camembert", "mpnet") and known == [most]:
        most -= 2  # their positions begin behind that of the padding
    return most


def _tokenizer(transformers: Any, variant: str, revision: str) -> Any:
    try:
        found = transformers.AutoTokenizer.from_pretrained(variant, revision=revision)
    except Exception as error:  # of a repository without one, in whatever words
        why = str(error).strip().splitlines()[0] if str(error).strip() else type(error).__name__
        raise ValueError(
            f"transformers:{variant} has no tokenizer that can be read ({why}). Save one beside the network, by "
            "AutoTokenizer.from_pretrained(name).save_pretrained(folder)."
        ) from None
    if set(found.get_vocab()) <= set(found.all_special_tokens):  # made by the library from nothing
        raise ValueError(f"transformers:{variant} has no tokenizer: save one beside the network.")
    return found
