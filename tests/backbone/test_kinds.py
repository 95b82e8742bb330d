"""Which kind of stimuli a backbone reads, also before it is built."""

from __future__ import annotations

import pytest

from brainnet.backbone import BACKBONES, build_backbone
from brainnet.backbone.kinds import kind_read_by


@pytest.mark.parametrize(
    ("name", "kind"),
    [("expansion:small", "image"), ("video:expansion:small", "video"), ("silero:vad", "sound"), ("clip_text", "text")],
)
def test_a_name_says_what_the_built_one_does(name, kind):
    assert kind_read_by(name) == kind
    options = {} if kind in ("image", "video") else {"weights": "random"}
    if name != "clip_text":
        assert kind_read_by(build_backbone(name, **options)) == kind


def test_every_family_says_a_kind():
    for family in BACKBONES.names():
        if family != "transformers":
            assert kind_read_by(f"{family}:anything") in ("image", "text", "sound", "video"), family


def test_a_network_of_transformers_is_asked_by_its_settings(tmp_path):
    transformers = pytest.importorskip("transformers")
    transformers.BertConfig().save_pretrained(tmp_path)
    assert kind_read_by(f"transformers:{tmp_path}") == "text"
    transformers.CLIPConfig().save_pretrained(tmp_path / "clip")
    assert kind_read_by(f"transformers:{tmp_path / 'clip'}") == "image"
    assert kind_read_by(f"transformers:{tmp_path / 'clip'}", modality="text", steps=4) == "text"


def test_of_the_users_own(tmp_path):
    (tmp_path / "mine.py").write_text("class Net:\n    reads = 'sound'\n\nclass Old:\n    pass\n")
    assert kind_read_by(f"{tmp_path / 'mine.py'}:Net") == "sound"
    assert kind_read_by(f"{tmp_path / 'mine.py'}:Old") == "image"
    with pytest.raises(ValueError, match="Did you mean 'silero'"):
        kind_read_by("silro:vad")
