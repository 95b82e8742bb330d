from __future__ import annotations

import pytest

from brainnet.backbone import build_backbone
from brainnet.backbone.folders import at_hand, folder_of, full_name, without_place


def test_a_folder_that_is_there_is_named_by_its_full_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "me" / "vit").mkdir(parents=True)
    assert full_name("transformers:me/vit") == f"transformers:{tmp_path}/me/vit"
    assert full_name("video:transformers:me/vit") == f"video:transformers:{tmp_path}/me/vit"
    assert full_name("mine.py:Net") == f"{tmp_path}/mine.py:Net"
    assert [full_name(name) for name in ("transformers:me/bert", "clip:me/vit")] == [
        "transformers:me/bert",
        "clip:me/vit",
    ]


def test_what_travels_names_the_last_part_and_is_found_at_hand(tmp_path, monkeypatch):
    there, card = tmp_path / "nets" / "vit", tmp_path / "cards" / "card"
    name = f"video:transformers:{there}"
    assert folder_of(name) == there
    travels, entry = without_place(name)
    assert (travels, entry) == ("video:transformers:vit", {"backbone_folder": "vit"})
    monkeypatch.chdir(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"card reads.*'vit'.*backbone=build_backbone") as told:
        at_hand(travels, "vit", card)
    assert "\n" not in str(told.value)
    (card.parent / "vit").mkdir(parents=True)
    assert at_hand(travels, "vit", card) == f"video:transformers:{card.parent}/vit"
    (tmp_path / "vit").mkdir()
    assert at_hand(travels, "vit", card) == f"video:transformers:{tmp_path}/vit"  # the working folder is the first


def test_a_full_path_of_no_folder_is_told_without_asking_the_hub(tmp_path):
    pytest.importorskip("transformers")
    with pytest.raises(FileNotFoundError, match="there is no folder /.*gone"):
        build_backbone(f"transformers:{tmp_path}/gone")
