"""Pictures from folders, archives, lists and arrays."""

from __future__ import annotations

import multiprocessing
import pickle
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.stimuli import Images, natural_sort

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
