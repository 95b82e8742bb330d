"""Texts as word pieces: which word each is of, and what of a longer text is kept."""

from __future__ import annotations

import pytest

from brainnet.backbone.sequences.text import TextPieces
from tests.backbone.toy_sequences import save_tokenizer

T = pytest.importorskip("transformers")


@pytest.fixture
def tokenizer(tmp_path):
    save_tokenizer(tmp_path)
    return T.AutoTokenizer.from_pretrained(tmp_path)


def test_pieces_know_their_words(tokenizer):
    pieces, words = TextPieces.of(tokenizer, "net", 20, "beginning")("  a bird\nxyz!  sings")
    assert words.tolist() == [-1, 0, 1, 2, 2, 2, 2, 3, -1]  # [CLS] a bird x ##y ##z ! sings [SEP]
    assert tokenizer.convert_ids_to_tokens(pieces)[3:6] == ["x", "##y", "##z"]


@pytest.mark.parametrize(("keep", "kept"), [("beginning", ["a", "bird"]), ("end", ["old", "tree"])])
def test_what_a_tokenizer_adds_stays_when_a_text_is_cut(tokenizer, keep, kept):
    pieces = TextPieces.of(tokenizer, f"net {keep}", 4, keep)
    with pytest.warns(UserWarning, match=f"9 word pieces .*4: its {keep}"):
        found, _ = pieces("a bird sings in the old tree")
    assert tokenizer.convert_ids_to_tokens(found) == ["[CLS]", *kept, "[SEP]"]


def test_two_vocabularies_are_told_apart(tokenizer, tmp_path):
    save_tokenizer(tmp_path / "other", ends=False)
    other = T.AutoTokenizer.from_pretrained(tmp_path / "other")
    a, b = (TextPieces.of(one, "net", 9, "end") for one in (tokenizer, other))
    assert a == TextPieces.of(tokenizer, "net", 9, "end")
    assert a != b
    assert "tokenizer=" not in str(a)


def test_what_is_no_text_is_refused(tokenizer):
    pieces = TextPieces.of(tokenizer, "net", 9, "end")
    with pytest.raises(TypeError, match="float"):
        pieces(1.0)
    for empty in ("", " \n"):
        with pytest.raises(ValueError, match="empty"):
            pieces(empty)
    with pytest.raises(ValueError, match="'middle'"):
        TextPieces.of(tokenizer, "net", 9, "middle")
