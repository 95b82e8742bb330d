"""Pairs of stimuli by base name."""

from __future__ import annotations

import numpy as np
import pytest
from PIL import Image

from brainnet.stimuli import Pairs, Texts


def write(folder, names, captions):
    for k, name in enumerate(names):
        Image.fromarray(np.full((8, 8, 3), 9 * k, np.uint8)).save(folder / f"{name}.png")
    for name, caption in captions.items():
        (folder / f"{name}.txt").write_text(caption)


def test_files_of_one_name_are_a_pair(tmp_path):
    write(tmp_path, ["c2", "c10", "a"], {"a": "an ant", "c10": "ten cats", "c2": "two cats"})
    pairs = Pairs(tmp_path)
    assert pairs.ids == ["a", "c2", "c10"]
    assert pairs.kinds == ("image", "text")
    assert [pair["text"] for pair in pairs] == ["an ant", "two cats", "ten cats"]
    assert [np.array(pair["image"])[0, 0, 0] for pair in pairs] == [18, 0, 9]
    assert pairs.select([2])[0]["text"] == "ten cats"


def test_the_signature_is_of_every_part(tmp_path):
    write(tmp_path, ["a", "b"], {"a": "an ant", "b": "a bee"})
    before = Pairs(tmp_path).signature()
    (tmp_path / "b.txt").write_text("a bed")
    assert Pairs(tmp_path).signature() != before


def test_a_part_that_is_lacking_is_named(tmp_path):
    write(tmp_path, ["a", "cat"], {"a": "an ant", "cats": "a cat"})
    with pytest.raises(ValueError, match="'cat' .*no text.*'cats'"):
        Pairs(tmp_path)
    (tmp_path / "cats.txt").rename(tmp_path / "cat.txt")
    (tmp_path / "dog.txt").write_text("a dog")
    with pytest.raises(ValueError, match="'dog' .*no image"):
        Pairs(tmp_path)


def test_one_kind_makes_no_pairs(tmp_path):
    write(tmp_path, ["a"], {})
    with pytest.raises(ValueError, match="image"):
        Pairs(tmp_path)
    with pytest.raises(ValueError, match="two kinds"):
        Pairs({"text": Texts(["a"])})
    with pytest.raises(ValueError, match="smell"):
        Pairs({"text": Texts(["a"]), "smell": ["b"]})
    with pytest.raises(FileNotFoundError, match="away"):
        Pairs(tmp_path / "away")
