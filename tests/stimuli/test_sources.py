"""Files, archives and pixels behind one interface; a stranger's archive does nothing but be read."""

from __future__ import annotations

import multiprocessing
import os
import pickle
import tracemalloc
import zipfile

import numpy as np
import pytest
import torch
from PIL import Image

from brainnet.stimuli import Images
from brainnet.stimuli.sources import Archive, Handle, pictures_in


def png(red=0):
    """The bytes of a small picture."""
    import io

    file = io.BytesIO()
    Image.new("RGB", (5, 4), (red, 0, 0)).save(file, "PNG")
    return file.getvalue()


def zipped(path, members):
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in members:
            archive.writestr(name, content)
    return path


def reds(images):
    return [image.getpixel((0, 0))[0] for image in images]


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


def test_a_broken_member_is_named(tmp_path):
    archive = zipped(tmp_path / "images.zip", [("set/im1.png", png()), ("set/im2.png", png())])
    whole = archive.read_bytes()
    start = (
        whole.rindex(b"IHDR") if b"IHDR" in whole else whole.rindex(b"set/im2.png", 0, whole.rindex(b"PK\x01\x02")) + 30
    )
    archive.write_bytes(whole[:start] + b"XXXX" + whole[start + 4 :])
    with pytest.raises(ValueError, match=r"cannot read image 1, set/im2\.png in .*images\.zip"):
        Images(archive)[1]


def test_a_handle_is_opened_once_and_again_after_pickling():
    opened = Handle(list)
    assert opened() is opened()
    assert pickle.loads(pickle.dumps(opened))() is not opened()


def test_a_name_that_stands_twice_in_an_archive_gives_both_pictures(tmp_path):
    with pytest.warns(UserWarning, match="Duplicate name"):
        path = zipped(tmp_path / "twice.zip", [("a.png", png(1)), ("a.png", png(2)), ("b.png", png(3))])
    images = Images(path)
    assert reds(images) == [1, 2, 3]
    assert len(set(images.ids)) == 3


@pytest.mark.parametrize(
    "name", ["../evil.png", "set/../../evil.png", "/etc/evil.png", "set\\..\\..\\evil.png", "C:\\evil.png"]
)
def test_an_archive_whose_names_lead_out_of_it_is_refused(tmp_path, name):
    path = zipped(tmp_path / "a.zip", [("good.png", png()), (name, png())])
    with pytest.raises(ValueError, match=r"evil\.png.*leads out of the archive"):
        Images(path)
    images = Images(path, skip_bad=True, progress=False)
    assert images.ids == ["good"]
    assert list(images.skipped.values()) == ["its name leads out of the archive"]
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["a.zip"]  # nothing was unpacked


def test_a_member_that_unpacks_to_gigabytes_is_not_unpacked(tmp_path, monkeypatch):
    monkeypatch.setattr("brainnet.stimuli.sources.LARGEST", 10**6)
    webp = b"RIFF" + (40_000_000).to_bytes(4, "little") + b"WEBPVP8 "  # whose reader takes all there is
    path = zipped(tmp_path / "bomb.zip", [("a.webp", webp + bytes(40_000_000)), ("b.webp", webp + bytes(40_000_000))])
    assert path.stat().st_size < 10**6
    images = Images(path)
    tracemalloc.start()
    with pytest.raises(ValueError, match=r"a\.webp.*unpacks to 40,000,016 bytes"):
        images[0]
    images.copies()
    images.signature()
    assert tracemalloc.get_traced_memory()[1] < 5e6
    tracemalloc.stop()


def test_damaged_and_locked_archives_are_one_line(tmp_path):
    path = zipped(tmp_path / "a.zip", [("a.png", png()), ("b.png", png())])
    whole = bytearray(path.read_bytes())
    path.write_bytes(whole[: len(whole) // 2])
    with pytest.raises(ValueError, match=r"a\.zip is damaged, or no zip file"):
        Images(path)
    directory = whole.index(b"PK\x01\x02")
    whole[6], whole[directory + 8] = 1, 1  # the flag of a password
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"cannot read image 0, a\.png.*password"):
        Images(path)[0]
    whole[directory : directory + 4] = b"XXXX"
    path.write_bytes(whole)
    with pytest.raises(ValueError, match=r"cannot read .*a\.zip"):
        Images(path)


def test_members_are_read_in_the_order_of_their_names(tmp_path):
    members, skipped = pictures_in(
        zipped(tmp_path / "a.zip", [("b.png", png(2)), ("notes.txt", b""), ("a.png", png(1))])
    )
    assert ([member.filename for member in members], skipped) == (["b.png", "a.png"], {})
    assert Archive(tmp_path / "a.zip", members).names == ["b.png", "a.png"]
    assert reds(Images(tmp_path / "a.zip")) == [1, 2]


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="no pipes here")
@pytest.mark.parametrize("name", ["pipe.png", "a/pipe.png"])
def test_a_pipe_is_no_picture_and_blocks_nobody(tmp_path, name):
    (tmp_path / name).parent.mkdir(exist_ok=True)
    (tmp_path / name).with_name("a.png").write_bytes(png(1))
    os.mkfifo(tmp_path / name)
    assert reds(Images(tmp_path, layout="nested")) == [1]


def test_a_link_to_nothing_and_a_folder_called_as_a_picture(tmp_path):
    (tmp_path / "a.png").write_bytes(png(1))
    (tmp_path / "b.png").symlink_to(tmp_path / "gone.png")
    (tmp_path / "c.png").mkdir()
    images = Images(tmp_path)
    assert images.ids == ["a", "b"]
    for read in (lambda: images[1], images.signature):
        with pytest.raises(FileNotFoundError, match=r"image 1, .*b\.png: it is a link to nothing\."):
            read()
