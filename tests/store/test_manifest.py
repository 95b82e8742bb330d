"""A manifest is believed where it is whole and sound, and refused in one line where it is not."""

from __future__ import annotations

from pathlib import Path

import pytest

from brainnet.store import TokenStore
from brainnet.store.manifest import Manifest
from tests.store.toys import Toy, built


def test_a_foreign_file_is_left_alone(images, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    with pytest.raises(ValueError, match="no token store"):
        TokenStore.build(Toy(), images, path=tmp_path / "thesis.txt", overwrite=True)
    assert (tmp_path / "thesis.txt").read_text() == "years of work"
    with pytest.raises(ValueError, match="is a folder"):
        TokenStore.build(Toy(), images, path=tmp_path)


def tampered(path: Path, **changes) -> None:
    """A manifest that somebody wrote with care: its own checksum fits."""
    manifest = Manifest.read(path)
    for name, value in changes.items():
        setattr(manifest, name, value)
    manifest.write(path)


@pytest.mark.parametrize(
    "change",
    [
        {"n_complete": 10**6}, {"n_complete": -4}, {"n_complete": 5}, {"scales": []}, {"scales": [[1.0]] * 3},
        {"checksums": []}, {"checksums": [1, 2, 3]}, {"layers": ["a"]}, {"layers": []}, {"layer_widths": [4, -6]},
        {"layer_widths": None}, {"grids": [[8], [8]]}, {"grids": [[0, 8], [8, 8]]}, {"grids": 3}, {"chunk_size": 0},
        {"chunk_size": 3}, {"dtype": "int8"}, {"dtype": ["float16"]}, {"image_ids": []}, {"image_ids": [1] * 11},
        {"fingerprint": [1]}, {"format": "brainnet tokens, version 1"}, {"format": None},
    ],
    ids=str,
)  # fmt: skip
def test_a_manifest_that_was_changed_is_refused_in_one_line(tmp_path, change):
    path = tmp_path / "t"
    built(path)
    tampered(path, **change)
    for read in (lambda: TokenStore.open(path), lambda: built(path)):
        with pytest.raises(ValueError, match=r"t\.json") as refused:
            read()
        assert "\n" not in str(refused.value)
    assert len(built(path, overwrite=True)) == 11
    assert len(TokenStore.open(path)) == 11


@pytest.mark.parametrize("damage", ["empty", "truncated", "bit", "list", "other", "nested"])
def test_a_damaged_manifest_is_refused_in_one_line(tmp_path, damage):
    path = tmp_path / "t"
    built(path)
    beside = Manifest.beside(path)
    text = beside.read_text()
    beside.write_text(
        {"empty": "", "truncated": text[:-30], "bit": text.replace('"3"', '"2"', 1), "list": "[1]", "other": "{}",
         "nested": "[" * 100_000}[damage]
    )  # fmt: skip
    for read in (lambda: TokenStore.open(path), lambda: built(path)):
        with pytest.raises(ValueError, match=r"t\.json") as refused:
            read()
        assert "\n" not in str(refused.value)
    assert len(built(path, overwrite=True)) == 11


def test_tokens_without_their_manifest_are_replaced_on_request(tmp_path):
    path = tmp_path / "t"
    built(path)
    Manifest.beside(path).unlink()
    with pytest.raises(ValueError, match="overwrite=True"):
        built(path)
    assert len(built(path, overwrite=True)) == 11


@pytest.mark.parametrize(("asked", "taken"), [(None, 255), (7, 6), (2, 3)])
def test_a_chunk_is_whole_batches(images, tmp_path, asked, taken):
    """Else a continued build would run other batches than one never stopped, and differ in the last bits."""
    TokenStore.build(Toy(), images, path=tmp_path / "t", batch_size=3, chunk_size=asked)
    assert Manifest.read(tmp_path / "t").chunk_size == taken
