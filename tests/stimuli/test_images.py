"""Pictures from folders, archives, lists and arrays."""

from __future__ import annotations

import os
import pickle
import sys
import zipfile

import numpy as np
import pytest
from PIL import Image

from brainnet.stimuli import Images

NAMES = ["im1.png", "im2.png", "im10.png"]


@pytest.fixture
def folder(tmp_path):
    """Three flat pictures, whose red is their number, and three files that are none."""
    for name in NAMES:
        Image.new("RGB", (5, 4), (int(name[2:-4]), 0, 0)).save(tmp_path / name)
    (tmp_path / "notes.txt").write_text("not a picture")
    (tmp_path / "._im1.png").write_bytes(b"resource fork")
    return tmp_path


@pytest.fixture
def archive(folder, tmp_path_factory):
    path = tmp_path_factory.mktemp("zip") / "images.zip"
    with zipfile.ZipFile(path, "w") as file:
        for name in reversed(NAMES):
            file.write(folder / name, f"set/{name}")
        file.writestr("__MACOSX/set/._im1.png", b"resource fork")
    return path


def reds(images):
    return [images[i].getpixel((0, 0))[0] for i in range(len(images))]


def test_folder_and_archive_are_in_natural_order(folder, archive):
    for images in (Images(folder), Images(archive)):
        assert images.ids == ["im1", "im2", "im10"]
        assert reds(images) == [1, 2, 10]


def test_lists_keep_their_order(folder):
    assert reds(Images([folder / "im10.png", str(folder / "im2.png")])) == [10, 2]
    assert Images([Image.new("L", (2, 2), 9)])[0].mode == "RGB"


def test_a_broken_file_is_named(folder):
    (folder / "im2.png").write_bytes((folder / "im2.png").read_bytes()[:40])
    images = Images(folder)
    assert images[0].size == (5, 4)
    with pytest.raises(ValueError, match=r"cannot read image 1, .*im2\.png"):
        images[1]
    (folder / "im10.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"image 2, .*im10\.png"):
        images[2]


def test_missing_files_are_counted_before_anything_is_read(folder):
    with pytest.raises(FileNotFoundError, match=r"2 of 3 images do not exist, the first is .*no1\.png"):
        Images([folder / "no1.png", folder / "im1.png", folder / "no2.png"])
    with pytest.raises(FileNotFoundError, match="no such folder or zip"):
        Images(folder / "absent")
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="none of its files ends in"):
        Images(folder / "empty")


def test_an_open_archive_survives_pickling(archive):
    images = Images(archive)
    assert reds(images) == [1, 2, 10]
    assert reds(pickle.loads(pickle.dumps(images))) == [1, 2, 10]


def test_every_picture_and_every_byte_counts_in_the_signature(folder, archive):
    pixels = np.zeros((40, 4, 6, 3), dtype=np.uint8)
    pictures = [Image.fromarray(one) for one in pixels]
    before = [Images(source).signature() for source in (folder, archive, pixels, pictures)]
    assert len(set(before)) == 4
    assert [Images(source).signature() for source in (folder, archive, pixels, pictures)] == before
    pixels[17, 2, 3, 1] = 1
    pictures[17] = Image.fromarray(pixels[17])
    (folder / "im2.png").write_bytes((folder / "im2.png").read_bytes() + b"\0")
    archive.write_bytes(archive.read_bytes()[:-1] + b"\1")
    after = [Images(source).signature() for source in (folder, archive, pixels, pictures)]
    assert not set(before) & set(after)
    images = Images(folder)
    (folder / "im2.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"im2\.png"):
        images.signature()


@pytest.mark.parametrize("name", ["a\nb.png", "a\rb.png", "a\u2028b.png", b"caf\xe9.png"])
def test_names_that_break_a_list_of_names_are_refused_at_once(tmp_path, name):
    picture = Image.new("RGB", (2, 2))
    path = os.fsencode(tmp_path) + b"/" + (name if isinstance(name, bytes) else name.encode())
    with open(path, "wb") as file:
        picture.save(file, "PNG")
    with pytest.raises(ValueError, match="UTF-8") as refused:
        Images(tmp_path)
    assert "\n" not in str(refused.value)
    str(refused.value).encode()  # what a terminal or a log can print
    assert Images(tmp_path, ids=["a"]).ids == ["a"]
    with pytest.raises(ValueError, match="UTF-8"):
        Images([picture], ids=["two\nlines"])


def test_equal_stems_keep_their_folders(folder):
    assert Images([folder / "im1.png", folder / ".." / folder.name / "im1.png"]).ids[0].endswith("im1.png")
    assert Images([folder / "im1.png", folder / "im1.png"]).ids == ["0:im1", "1:im1"]


def test_a_path_is_read_as_what_it_is(folder, archive):
    found = [Images(source).layout for source in (folder, archive, [folder / "im1.png"], np.zeros((1, 2, 2, 3), "u1"))]
    assert found == ["flat", "flat", "list", "array"]
    with pytest.raises(ValueError, match=r"im1\.png is neither .* A single image is given as a list of one"):
        Images(folder / "im1.png")
    with pytest.raises(FileNotFoundError, match=r"1 of 1 images do not exist, .*not a picture"):
        Images(folder / "notes.txt")
    (folder / "bad.zip").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"bad\.zip is damaged, or no zip file"):
        Images(folder / "bad.zip")
    with pytest.raises(ValueError, match="'flat' is not for .*which is a list"):
        Images(folder / "notes.txt", layout="flat")
    for how in ({"fps": 1}, {"every": 2}, {"key": "x"}):
        with pytest.raises(ValueError, match=f"{next(iter(how))} is for"):
            Images(folder, **how)


def test_rows_of_any_source_keep_their_names(folder, archive):
    for source in (folder, archive):
        images = Images(source, rows=[2, 0])
        assert (images.ids, reds(images)) == (["im10", "im1"], [10, 1])
        assert images.signature() != Images(source).signature()
    assert Images(folder, ["a", "b", "c"], rows=slice(1, None)).ids == ["b", "c"]


def test_of_takes_what_the_constructor_takes_and_leaves_images_alone(folder):
    images = Images(folder, rows=[1])
    assert Images.of(images) is images
    assert Images.of(images, ["im2"]) is images
    assert Images.of(folder, rows=[1]).ids == ["im2"]
    with pytest.raises(ValueError, match="have ids already"):
        Images.of(images, ["other"])


def test_an_index_beyond_the_end_ends_a_loop(folder):
    assert [image.size for image in Images(folder)] == [(5, 4)] * 3
    with pytest.raises(IndexError):
        Images(folder)[3]


def test_old_sources_keep_the_signatures_that_stores_hold(folder, archive):
    """What a store was built of is known by these; another way to compute them would make every store anew."""
    import hashlib

    digests = [hashlib.sha256((folder / name).read_bytes()).hexdigest() for name in NAMES]
    assert Images(folder).signature() == hashlib.sha256("".join(digests).encode()).hexdigest()
    whole = hashlib.sha256(archive.read_bytes()).hexdigest()
    names = "".join(f"set/{name}" for name in NAMES)
    assert Images(archive).signature() == hashlib.sha256((whole + names).encode()).hexdigest()


def test_a_video_without_its_package_is_told_in_one_line(tmp_path, monkeypatch):
    (tmp_path / "clip.mp4").write_bytes(b"film")
    monkeypatch.setitem(sys.modules, "av", None)
    with pytest.raises(ModuleNotFoundError, match=r"clip\.mp4 needs av, which is not installed:  pip install av"):
        Images(tmp_path / "clip.mp4")
