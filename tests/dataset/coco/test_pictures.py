"""A photograph of NSD is the right part of COCO's, with its masks; files get the names of the other set."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from brainnet.dataset.coco import NSDCoco, cut_out, pictures
from brainnet.dataset.coco.pictures import edges
from tests.dataset.coco.coco_folder import CAPTIONS, CROP, FIRST, SECOND, picture, write_coco, write_nsd
from tests.toy_server import Page, serving


@pytest.fixture
def nsd(tmp_path):
    return NSDCoco(write_nsd(tmp_path / "nsd"), write_coco(tmp_path / "coco"))


def test_a_photograph_has_its_captions_masks_and_whole(nsd):
    assert (nsd.coco_id("nsd-02950"), nsd.nsd_id(FIRST)) == (FIRST, 2950)
    assert nsd.captions(2950) == [text.strip() for text in CAPTIONS]
    whole = np.asarray(nsd.whole(2950)).astype(int)
    assert np.abs(whole - picture()).max() < 12  # a JPEG
    assert nsd.masks(2950, cropped=False).pixels.shape == (4, 40, 60)


def test_the_cut_shows_the_same_thing_in_picture_and_mask(nsd):
    shown, masks = np.asarray(nsd.picture(2950)).astype(int), nsd.masks("02950")
    assert shown.shape == (425, 425, 3)
    assert masks.pixels.shape == (3, 425, 425)
    assert masks.ids == (71, 72, 73)  # the fourth was cut off
    # each of the 40 x 40 pixels that are left is 10.625 pixels wide
    column = np.floor((np.arange(425) + 0.5) / 10.625).astype(int) + 10
    row = np.floor((np.arange(425) + 0.5) / 10.625).astype(int)
    expected = ((row >= 10) & (row < 20))[:, None] & ((column >= 20) & (column < 30))
    assert np.array_equal(masks.pixels[0], expected)
    assert np.abs(shown[..., 0] - 4 * column).max() < 16
    assert np.abs(shown[..., 1] - 6 * row[:, None]).max() < 16


@given(st.integers(20, 640), st.integers(20, 640))
def test_what_is_left_of_a_photograph_is_its_middle_square(height, width):
    """The table's shares are of the half of what is longer; a half pixel may be left out at one end."""
    cut = abs(height - width) / 2
    share = cut / max(height, width)
    crop = (share, share, 0.0, 0.0) if height > width else (0.0, 0.0, share, share)
    top, bottom, left, right = edges(crop, height, width)
    assert bottom - top == right - left == min(height, width)
    assert abs((top if height > width else left) - cut) <= 0.5


def test_labels_are_never_mixed():
    random = np.random.default_rng(0)
    labels = random.choice([0, 7, 90], (53, 71)).astype(np.uint8)
    cut = cut_out(labels, (0.1, 0.05, 0.2, 0.1), side=99)
    assert cut.dtype == np.uint8
    assert set(np.unique(cut)) == {0, 7, 90}
    rows, columns = edges((0.1, 0.05, 0.2, 0.1), 53, 71)[:2], edges((0.1, 0.05, 0.2, 0.1), 53, 71)[2:]
    same = Image.fromarray(labels[slice(*rows), slice(*columns)]).resize((99, 99), Image.Resampling.NEAREST)
    assert np.array_equal(cut, np.asarray(same))


def test_a_photograph_is_fetched_where_that_is_asked_for(tmp_path, nsd, monkeypatch):
    with pytest.raises(FileNotFoundError, match=rf"val2017/{SECOND:012d}.jpg.*download=True"):
        nsd.whole(0)
    with pytest.raises(FileNotFoundError, match="no folder of COCO"):
        NSDCoco(tmp_path / "nsd").whole(0)
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "home"))
    body = (tmp_path / "coco/train2017" / f"{FIRST:012d}.jpg").read_bytes()
    with serving({f"/val2017/{SECOND:012d}.jpg": Page(body)}) as served:
        monkeypatch.setattr(pictures, "ADDRESS", f"{served.address}/{{split}}/{{name}}")
        fetching = NSDCoco(tmp_path / "nsd", download=True)
        assert fetching.whole(0).size == (60, 40)
        assert fetching.whole("00000").size == (60, 40)
        assert len(served.asked) == 1
    assert (tmp_path / "home/coco/val2017" / f"{SECOND:012d}.jpg").is_file()


def test_without_coco_there_are_ids_alone(tmp_path):
    nsd = NSDCoco(write_nsd(tmp_path))
    assert nsd.coco_id(0) == SECOND
    with pytest.raises(ValueError, match="coco=FOLDER"):
        nsd.captions(0)


def test_a_damaged_photograph_is_named(tmp_path, nsd):
    path = tmp_path / "coco/train2017" / f"{FIRST:012d}.jpg"
    path.write_bytes(b"no picture")
    with pytest.raises(ValueError, match=path.name):
        nsd.whole(2950)


# ---------------------------------------------------------------------- names


def write(folder, *names):
    folder.mkdir(exist_ok=True)
    for name in names:
        (folder / name).write_text(name)
    return folder


def content(folder) -> dict[str, str]:
    return {path.name: path.read_text() for path in sorted(folder.iterdir())}


def test_files_get_the_names_of_the_other_set_and_back(tmp_path, nsd):
    folder = write(tmp_path / "files", "nsd-02950.png", "00000.txt", ".hidden")
    changed = nsd.rename(folder, "coco")
    assert changed == {"nsd-02950.png": f"{FIRST:012d}.png", "00000.txt": f"{SECOND:012d}.txt"}
    assert content(folder) == {
        ".hidden": ".hidden",
        f"{FIRST:012d}.png": "nsd-02950.png",
        f"{SECOND:012d}.txt": "00000.txt",
    }
    assert nsd.rename(folder, "coco") == {}  # a second call changes nothing
    nsd.rename(folder, "nsd")
    assert sorted(content(folder)) == [".hidden", "nsd-00000.txt", "nsd-02950.png"]


def test_the_challenge_s_names_lose_their_place_in_it(tmp_path, nsd):
    folder = write(tmp_path / "files", "train-0001_nsd-02950.png")
    assert nsd.rename(folder, "nsd") == {"train-0001_nsd-02950.png": "nsd-02950.png"}


def test_copies_leave_the_folder_as_it_is(tmp_path, nsd):
    folder = write(tmp_path / "files", "train-0001_nsd-02950.png", "nsd-00000.png")
    nsd.rename(folder, "nsd", tmp_path / "out")
    assert sorted(content(folder)) == ["nsd-00000.png", "train-0001_nsd-02950.png"]
    assert content(tmp_path / "out") == {"nsd-00000.png": "nsd-00000.png", "nsd-02950.png": "train-0001_nsd-02950.png"}


@pytest.mark.parametrize(
    ("names", "to", "words"),
    [
        (["nsd-02950.png", "02950.png"], "coco", "both be 000000262145.png"),
        (["nsd-02950.png", "readme.txt"], "coco", "'readme' is no id"), (["00005.png"], "coco", "'00005'"),
        (["000000000005.png"], "nsd", "none of the 3"), (["shared0001_nsd02951.png"], "coco", "counts from 1"),
        (["nsd-02950.png"], "cocoa", "'coco'"),
    ],
)  # fmt: skip
def test_nothing_is_renamed_where_one_name_will_not_do(tmp_path, nsd, names, to, words):
    folder = write(tmp_path / "files", *names)
    before = content(folder)
    with pytest.raises(ValueError, match=words):
        nsd.rename(folder, to)
    assert content(folder) == before


def test_a_crop_is_the_tables_own(nsd):
    assert nsd.table.row(2950).crop == CROP
