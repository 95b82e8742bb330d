"""Tiny networks of texts, sounds and clips in folders, as transformers saves them."""

from __future__ import annotations

from pathlib import Path

import torch

SENTENCE = "a bird sings in the old tree and many people listen to its song until night falls over us"
WORDS = SENTENCE.split()
SIZES = {"hidden_size": 32, "num_hidden_layers": 3, "num_attention_heads": 4, "intermediate_size": 64}
SOUND = {"hidden_size": 24, "num_hidden_layers": 2, "num_attention_heads": 4, "intermediate_size": 32,
         "conv_dim": (8, 8), "conv_kernel": (10, 4), "conv_stride": (5, 4), "num_feat_extract_layers": 2,
         "num_conv_pos_embeddings": 8, "num_conv_pos_embedding_groups": 4}  # fmt: skip


def save(network, folder) -> Path:
    """The network in the folder, every number drawn."""
    generator = torch.Generator().manual_seed(0)
    for value in network.parameters():
        value.data = 0.3 * torch.randn(value.shape, generator=generator)
    network.eval().save_pretrained(folder)
    return Path(folder)


def save_tokenizer(folder, ends: bool = True) -> None:
    """A tokenizer of whole words and single letters, which puts [CLS] and [SEP] around a text where ``ends``."""
    import transformers
    from tokenizers import Tokenizer, models, pre_tokenizers, processors

    pieces = ["[PAD]", "[CLS]", "[SEP]", "[UNK]", *WORDS, *(f"##{c}" for c in "abcdefghijklmnopqrstuvwxyz"),
              *(c for c in "bcdefghijklmnopqrstuvwxyz")]  # fmt: skip
    vocabulary = {piece: number for number, piece in enumerate(dict.fromkeys(pieces))}
    tokenizer = Tokenizer(models.WordPiece(vocabulary, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    if ends:
        tokenizer.post_processor = processors.TemplateProcessing(
            single="[CLS] $A [SEP]", special_tokens=[("[CLS]", 1), ("[SEP]", 2)]
        )
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", cls_token="[CLS]", sep_token="[SEP]", unk_token="[UNK]"
    ).save_pretrained(folder)
