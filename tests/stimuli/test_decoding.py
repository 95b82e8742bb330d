"""Pictures of every kind become RGB as they are meant to be seen; damaged ones are told in one line."""

from __future__ import annotations

import struct
import zlib

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.stimuli import Images
from brainnet.stimuli.decoding import UnreadableImage, channels_are_first
from brainnet.tokens import Preprocessing


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


def test_deep_pixels_are_refused_rather_than_clipped(tmp_path):
    Image.fromarray(np.full((4, 4), 40_000, dtype=np.uint16)).save(tmp_path / "deep.png")
    with pytest.raises(ValueError, match=r"deep\.png has I;?16? pixels"):
        Images(tmp_path)[0]


def test_every_way_a_camera_was_held_is_turned_back(tmp_path):
    """All eight orientations, with the picture stored so that showing it by the tag gives the same one."""
    upright = Image.fromarray(np.random.default_rng(0).integers(0, 256, (6, 10, 3), dtype=np.uint8))
    turn = Image.Transpose
    stored = {1: None, 2: turn.FLIP_LEFT_RIGHT, 3: turn.ROTATE_180, 4: turn.FLIP_TOP_BOTTOM, 5: turn.TRANSPOSE,
              6: turn.ROTATE_90, 7: turn.TRANSVERSE, 8: turn.ROTATE_270}  # fmt: skip
    for orientation, how in stored.items():
        exif = Image.Exif()
        exif[0x0112] = orientation
        (upright if how is None else upright.transpose(how)).save(tmp_path / f"{orientation}.png", exif=exif)
    for image in Images(tmp_path):
        assert np.array_equal(np.array(image), np.array(upright))


def test_colours_are_what_they_should_be(tmp_path):
    color = (200, 100, 50)
    one = Image.new("RGB", (4, 4), color)
    palette = one.convert("P", palette=Image.Palette.ADAPTIVE)
    palette.info["transparency"] = 0
    for name, image in {"rgba.png": one.convert("RGBA"), "palette.png": palette, "cmyk.tif": one.convert("CMYK"),
                        "grey.png": one.convert("L")}.items():  # fmt: skip
        image.save(tmp_path / name)
    found = {name: image.getpixel((0, 0)) for name, image in zip(Images(tmp_path).ids, Images(tmp_path), strict=True)}
    grey = one.convert("L").getpixel((0, 0))
    assert found == {"rgba": color, "palette": color, "cmyk": color, "grey": (grey,) * 3}


def bomb(width, height):
    """A PNG of a few bytes that says it is huge."""

    def chunk(kind, data):
        return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", zlib.compress(b"")) + chunk(b"IEND", b"")


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "0 bytes"),
        (b"<html>404</html>", "no picture"),
        (bomb(60_000, 60_000), "decompression bomb"),
        (b"\x89PNG\r\n\x1a\n", ""),
    ],
)
def test_what_cannot_be_a_picture_is_named_in_one_line(tmp_path, content, reason):
    (tmp_path / "bad.png").write_bytes(content)
    with pytest.raises(UnreadableImage, match=r"^cannot read image 0, .*bad\.png: ") as said:
        Images(tmp_path)[0]
    assert reason in said.value.reason
    assert "\n" not in str(said.value)
    assert "BytesIO" not in str(said.value)
    assert "BufferedReader" not in str(said.value)


def test_a_picture_that_ends_early_is_refused_rather_than_filled_with_grey(tmp_path):
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(tmp_path / "a.jpg")
    whole = (tmp_path / "a.jpg").read_bytes()
    (tmp_path / "a.jpg").write_bytes(whole[: len(whole) * 2 // 3])
    with pytest.raises(UnreadableImage, match="truncated"):
        Images(tmp_path)[0]


def test_which_axis_has_the_channels():
    assert channels_are_first((2, 3, 8, 8))
    assert not channels_are_first((2, 8, 8, 3))
    for shape in [(2, 3, 8, 3), (2, 8, 8, 4), (8, 8, 3)]:
        with pytest.raises(ValueError, match="got shape"):
            channels_are_first(shape)
