"""Pictures from folders, archives, lists and arrays."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.stimuli import Images, natural_sort
from brainnet.tokens import Preprocessing

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


def test_natural_sort_compares_numbers_with_numbers():
    assert natural_sort(["a1b", "1a", "a", "a01c", "10", "9"]) == ["1a", "9", "10", "a", "a1b", "a01c"]


def test_lists_keep_their_order(folder):
    assert reds(Images([folder / "im10.png", str(folder / "im2.png")])) == [10, 2]
    assert Images([Image.new("L", (2, 2), 9)])[0].mode == "RGB"


@pytest.mark.parametrize("layout", ["nhwc", "nchw"])
@pytest.mark.parametrize("as_float", [True, False])
def test_pixels_in_either_layout(layout, as_float):
    pixels = np.random.default_rng(0).integers(0, 256, (2, 4, 6, 3), dtype=np.uint8)
    given = pixels if layout == "nhwc" else np.moveaxis(pixels, 3, 1)
    images = Images(torch.from_numpy((given / 255).astype(np.float32)) if as_float else given)
    assert np.array_equal(np.array(images[1]), pixels[1])


def test_normalised_pixels_are_refused():
    with pytest.raises(ValueError, match=r"must lie in 0\.\.1, got -1 to 1\. .*TokenStore"):
        Images(torch.linspace(-1, 1, 48).view(1, 3, 4, 4))


def test_a_broken_file_is_named(folder):
    (folder / "im2.png").write_bytes((folder / "im2.png").read_bytes()[:40])
    images = Images(folder)
    assert images[0].size == (5, 4)
    with pytest.raises(ValueError, match=r"cannot read image 1, .*im2\.png"):
        images[1]
    (folder / "im10.png").unlink()
    with pytest.raises(FileNotFoundError, match=r"image 2, .*im10\.png"):
        images[2]


def test_a_broken_member_is_named(archive):
    whole = archive.read_bytes()
    start = whole.index(b"IHDR")
    archive.write_bytes(whole[:start] + b"XXXX" + whole[start + 4 :])
    with pytest.raises(ValueError, match=r"cannot read image 2, set/im10\.png in .*images\.zip"):
        Images(archive)[2]


def test_missing_files_are_counted_before_anything_is_read(folder):
    with pytest.raises(FileNotFoundError, match=r"2 of 3 images do not exist, the first is .*no1\.png"):
        Images([folder / "no1.png", folder / "im1.png", folder / "no2.png"])
    with pytest.raises(FileNotFoundError, match="no such folder or zip"):
        Images(folder / "absent")
    (folder / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match="none of its files ends in"):
        Images(folder / "empty")


def test_deep_pixels_are_refused_rather_than_clipped(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png has I;?16? pixels"):
        Images(tmp_path)[0]


def _reads_what_was_written(turn):
    generator = np.random.default_rng(turn)
    return all(np.array_equal(np.array(_shared[i]), _pixels[i]) for i in generator.integers(0, len(_pixels), 60))


def test_forked_workers_share_no_file_position(tmp_path):
    """A handle that is open when workers fork would have one position for all of them."""
    global _shared, _pixels  # forked workers inherit globals; arguments would be pickled, which closes the handle
    _pixels = np.random.default_rng(0).integers(0, 256, (12, 64, 64, 3), dtype=np.uint8)
    with zipfile.ZipFile(tmp_path / "noise.zip", "w") as file:
        for i, pixels in enumerate(_pixels):
            Image.fromarray(pixels).save(tmp_path / f"{i}.png")
            file.write(tmp_path / f"{i}.png", f"{i}.png")
    _shared = Images(tmp_path / "noise.zip")
    assert _reads_what_was_written(0)
    with multiprocessing.get_context("fork").Pool(2) as pool:
        assert all(pool.map(_reads_what_was_written, range(8), chunksize=1))


def test_an_open_archive_survives_pickling(archive):
    images = Images(archive)
    assert reds(images) == [1, 2, 10]
    assert reds(pickle.loads(pickle.dumps(images))) == [1, 2, 10]


def test_equal_stems_keep_their_folders(folder):
    assert Images([folder / "im1.png", folder / ".." / folder.name / "im1.png"]).ids[0].endswith("im1.png")
    assert Images([folder / "im1.png", folder / "im1.png"]).ids == ["0:im1", "1:im1"]


def test_a_folder_around_the_pictures_is_told(tmp_path):
    for name in ("responses", "images"):
        (tmp_path / name).mkdir()
    Image.new("RGB", (2, 2)).save(tmp_path / "images" / "a.png")
    with pytest.raises(FileNotFoundError, match=r"no images in .* Did you mean .*images\?$"):
        Images(tmp_path)
    Image.new("RGB", (2, 2)).save(tmp_path / "responses" / "a.png")
    with pytest.raises(FileNotFoundError, match=r"\.ppm\.$"):  # which of the two is not known
        Images(tmp_path)


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


def test_pictures_are_turned_as_they_are_meant_to_be_seen(tmp_path):
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8))
    held = Image.Exif()
    held[0x0112] = 6  # to be turned by a quarter
    upright.transpose(Image.Transpose.ROTATE_90).save(tmp_path / "phone.png", exif=held)
    images = Images(tmp_path)
    assert np.array_equal(np.array(images[0]), np.array(upright))
    with Image.open(tmp_path / "phone.png") as opened:
        preprocessing = Preprocessing((6, 10))
        assert torch.equal(preprocessing(opened), preprocessing(upright))
        assert torch.equal(preprocessing(images[0]), preprocessing(upright))  # not turned twice
    with Image.open(tmp_path / "phone.png") as opened:
        assert np.array_equal(np.array(Images([opened])[0]), np.array(upright))


@pytest.mark.parametrize(
    ("mode", "suffix", "size"),
    [("CMYK", "jpg", (9, 7)), ("L", "jpg", (9, 7)), ("1", "png", (9, 7)), ("LA", "png", (9, 7)), ("RGB", "png", (1, 1)),
     ("P", "gif", (9, 7)), ("RGBA", "webp", (1, 9))],
)  # fmt: skip
def test_pictures_of_every_kind_become_rgb(tmp_path, mode, suffix, size):
    Image.new("RGB", size, (200, 100, 50)).convert(mode).save(tmp_path / f"a.{suffix}")
    image = Images(tmp_path)[0]
    assert (image.mode, image.size) == ("RGB", size)
    assert Preprocessing((8, 8))(image).isfinite().all()


def test_the_first_frame_is_taken_and_said(tmp_path):
    frames = [Image.new("RGB", (4, 4), (shade, 0, 0)) for shade in (10, 200)]
    frames[0].save(tmp_path / "moving.gif", save_all=True, append_images=frames[1:])
    with pytest.warns(UserWarning, match=r"moving\.gif.*frames"):
        assert Images(tmp_path)[0].getpixel((0, 0))[0] == pytest.approx(10, abs=2)


@pytest.mark.filterwarnings("ignore::UserWarning")  # PIL says of some damage that it goes on without
@pytest.mark.parametrize("suffix", ["jpg", "png", "gif", "bmp", "tif", "webp"])
def test_damage_anywhere_in_a_picture_is_one_line_or_a_picture(tmp_path, suffix):
    noise = np.random.default_rng(0).integers(0, 256, (24, 24, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / f"a.{suffix}")
    path = tmp_path / f"a.{suffix}"
    whole = path.read_bytes()
    generator = np.random.default_rng(1)
    for _ in range(60):
        damaged = bytearray(whole[: int(generator.integers(0, len(whole) + 1))])
        for place in generator.integers(0, max(1, len(damaged)), 4) if damaged else ():
            damaged[place] ^= 255
        path.write_bytes(damaged)
        said = None
        try:
            mode = Images([path])[0].mode
        except ValueError as error:
            said = str(error)
        assert mode == "RGB" if said is None else (f"a.{suffix}" in said and "\n" not in said)
