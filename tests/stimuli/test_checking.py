"""Leaving out what cannot be read: found once, listed with the reason, and not looked for again."""

from __future__ import annotations

import json
import zipfile

import numpy as np
import pytest
from PIL import Image

from brainnet.stimuli import Images, say_skipped
from brainnet.stimuli.sources import Archive, Listed


@pytest.fixture
def folder(tmp_path):
    """Ten pictures, of which four cannot be read, each for a reason of its own."""
    folder = tmp_path / "set"
    folder.mkdir()
    for i in range(10):
        pixels = np.random.default_rng(i).integers(0, 256, (20, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"p{i}.png")
    (folder / "p1.png").write_bytes(b"")
    (folder / "p3.png").write_bytes((folder / "p3.png").read_bytes()[:200])
    (folder / "p4.png").unlink()
    (folder / "p4.png").symlink_to(folder / "nowhere.png")
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(folder / "p7.png")
    (folder / "a\nb.png").write_bytes((folder / "p0.png").read_bytes())
    return folder


def test_what_cannot_be_read_is_left_out_and_listed(folder):
    images = Images(folder, skip_bad=True, progress=False)
    assert images.ids == ["p0", "p2", "p5", "p6", "p8", "p9"]
    assert list(images.skipped) == [r"'a\nb.png'", "p1.png", "p3.png", "p4.png", "p7.png"]
    reasons = " | ".join(images.skipped.values())
    for said in ("UTF-8", "0 bytes", "link to nothing", "more than 8 bits"):
        assert said in reasons
    assert "\n" not in reasons
    assert images.signature() == Images([folder / f"{name}.png" for name in images.ids]).signature()
    for index in range(len(images)):
        assert images[index].mode == "RGB"


def test_by_default_the_first_is_named(folder):
    (folder / "a\nb.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"p4\.png"):
        Images(folder).signature()
    with pytest.raises(ValueError, match=r"p1\.png"):
        Images(folder)[1]


def test_ids_classes_and_rows_go_with_the_pictures(folder, tmp_path):
    (folder / "a\nb.png").unlink()
    given = [f"my {i}" for i in range(10)]
    assert Images(folder, given, skip_bad=True, progress=False).ids == ["my 0", "my 2", "my 5", "my 6", "my 8", "my 9"]
    assert Images(folder, rows=[9, 1, 0], skip_bad=True, progress=False).ids == ["p9", "p0"]
    for name, target in (("x/p0.png", "p0.png"), ("x/p1.png", "p1.png"), ("y/p2.png", "p2.png")):
        (tmp_path / "classes" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "classes" / name).symlink_to(folder / target)
    images = Images(tmp_path / "classes", skip_bad=True, progress=False)
    assert (images.ids, images.classes, images.targets) == (["x/p0", "y/p2"], ["x", "y"], [0, 1])
    assert list(images.skipped) == ["x/p1.png"]


def test_answers_are_kept_by_the_bytes(folder, tmp_path, monkeypatch):
    (folder / "a\nb.png").unlink()
    kept = tmp_path / "checked.json"
    decoded = []
    decode = Listed.image
    monkeypatch.setattr(Listed, "image", lambda self, place, name: decoded.append(place) or decode(self, place, name))
    first = Images(folder).readable(kept, progress=False)
    assert sorted(decoded) == list(range(10))
    decoded.clear()
    again = Images(folder).readable(kept, progress=False)
    assert (again.ids, again.skipped) == (first.ids, first.skipped)
    assert decoded == [4]  # what is not there has no bytes to know it by
    decoded.clear()
    (folder / "p1.png").write_bytes((folder / "p0.png").read_bytes())  # replaced by a picture that was checked
    (folder / "p2.png").write_bytes(b"damaged")
    changed = Images(folder).readable(kept, progress=False)
    assert sorted(decoded) == [2, 4]
    assert changed.ids == ["p0", "p1", "p5", "p6", "p8", "p9"]


@pytest.mark.parametrize("content", [b"", b"{}", b'{"pillow": "0", "images": {}}', b'{"images": 3}', b"\xff"])
def test_damaged_answers_are_no_answers(folder, tmp_path, content):
    kept = tmp_path / "checked.json"
    kept.write_bytes(content)
    images = Images(folder, skip_bad=True, progress=False)
    (folder / "a\nb.png").unlink()
    assert Images(folder).readable(kept, progress=False).ids == images.ids
    assert len(json.loads(kept.read_text())["images"]) == 9


def test_answers_of_another_decoder_are_not_taken(folder, tmp_path):
    (folder / "a\nb.png").unlink()
    kept = tmp_path / "checked.json"
    first = Images(folder).readable(kept, progress=False)
    answers = json.loads(kept.read_text())
    answers["images"] = dict.fromkeys(answers["images"], "an older decoder could not")
    kept.write_text(json.dumps(answers))
    with pytest.raises(ValueError, match="an older decoder could not"):
        Images(folder).readable(kept, progress=False)
    kept.write_text(json.dumps({**answers, "pillow": "0"}))
    assert Images(folder).readable(kept, progress=False).ids == first.ids


def test_an_interrupted_check_keeps_what_it_knows(folder, tmp_path, monkeypatch):
    (folder / "a\nb.png").unlink()
    kept = tmp_path / "checked.json"
    decode = Listed.image

    def stopping(self, place, name):
        if place == 8:
            raise KeyboardInterrupt
        return decode(self, place, name)

    monkeypatch.setattr(Listed, "image", stopping)
    with pytest.raises(KeyboardInterrupt):
        Images(folder).readable(kept, workers=0, progress=False)
    assert len(json.loads(kept.read_text())["images"]) == 7


def test_members_of_archives_are_checked(folder, tmp_path, monkeypatch):
    with zipfile.ZipFile(tmp_path / "a.zip", "w") as archive:
        for name in ("p0.png", "p1.png", "p3.png"):
            archive.write(folder / name, f"set/{name}")
    images = Images(tmp_path / "a.zip", skip_bad=True, progress=False)
    assert (images.ids, list(images.skipped)) == (["p0"], ["set/p1.png", "set/p3.png"])
    assert isinstance(images.signature(), str)
    kept = tmp_path / "checked.json"
    Images(tmp_path / "a.zip").readable(kept, progress=False)
    monkeypatch.setattr(Archive, "image", None)  # nothing is decoded again
    assert Images(tmp_path / "a.zip").readable(kept, progress=False).ids == ["p0"]


def test_a_set_of_bad_pictures_alone_is_refused(tmp_path):
    (tmp_path / "a.png").write_bytes(b"")
    with pytest.raises(ValueError, match=r"no image in .* can be read; the first is a\.png: it is empty"):
        Images(tmp_path, skip_bad=True, progress=False)


def test_the_line_about_them_is_short():
    skipped = {f"{i}.png": "it is empty" for i in range(9)}
    assert say_skipped({}, 9) == ""
    said = say_skipped(skipped, 20)
    assert said.startswith("9 of 20 images")
    assert said.endswith("and 6 more")
    assert "2.png" in said
    assert "3.png" not in said


def test_a_class_whose_name_is_no_line_goes_with_its_pictures(tmp_path):
    for kind in ("a", "b\nc", "d"):
        (tmp_path / kind).mkdir()
        Image.new("RGB", (2, 2)).save(tmp_path / kind / "1.png")
    with pytest.raises(ValueError, match="UTF-8"):
        Images(tmp_path)
    images = Images(tmp_path, skip_bad=True, progress=False)
    assert (images.ids, images.classes, images.targets) == (["a/1", "d/1"], ["a", "d"], [0, 1])


def test_real_photographs_are_all_read_and_cut_ones_found(test_data, tmp_path):
    source = test_data / "algonauts2019/images_92"
    whole = Images(source, skip_bad=True, progress=False)
    assert (len(whole), whole.skipped) == (92, {})
    for number, image in enumerate(sorted(source.iterdir())[:12]):
        content = image.read_bytes()
        (tmp_path / image.name).write_bytes(content[: len(content) * 3 // 4] if number % 3 == 0 else content)
    cut = Images(tmp_path, skip_bad=True, progress=False)
    assert list(cut.skipped) == ["image_01.jpg", "image_04.jpg", "image_07.jpg", "image_10.jpg"]
    assert all("truncated" in reason for reason in cut.skipped.values())
