"""Pictures listed in text files and tables."""

from __future__ import annotations

import pytest
from PIL import Image

from brainnet.stimuli import Images


@pytest.fixture
def folder(tmp_path):
    """Three pictures, one of them with a comma in its name, in a folder beside the list."""
    (tmp_path / "set").mkdir()
    for red, name in enumerate(["a.png", "b.png", "c, d.png"]):
        Image.new("RGB", (5, 4), (red, 0, 0)).save(tmp_path / "set" / name)
    return tmp_path


def reds(images):
    return [image.getpixel((0, 0))[0] for image in images]


def listed(folder, name, text, encoding="utf-8"):
    (folder / name).write_text(text, encoding=encoding, newline="")
    return folder / name


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("list.txt", "set/b.png\n\nset/a.png"),
        ("list.txt", "set/b.png\r\nset/a.png\r\n"),
        ("list.csv", "set/b.png\nset/a.png\n"),
        ("list.csv", "set/b.png,0\nset/a.png,1\n"),
        ("list.csv", "onset,Path\n0,set/b.png\n1,set/a.png\n"),
        ("list.csv", 'onset;path\n"0,5";set/b.png\n1;set/a.png\n'),
        ("list.tsv", "onset\tstimulus\n0\tset/b.png\n1\tset/a.png\n"),
    ],
)
def test_a_list_keeps_its_order_and_is_relative_to_itself(folder, monkeypatch, name, text):
    monkeypatch.chdir("/")
    for encoding in ("utf-8", "utf-8-sig"):
        images = Images(listed(folder, name, text, encoding))
        assert (images.layout, images.ids, reds(images)) == ("list", ["b", "a"], [1, 0])


def test_ids_and_classes_of_a_table_are_kept(folder):
    table = listed(
        folder, "list.csv", 'id,path,class\nsecond,set/b.png,dog\nfirst,set/a.png,cat\nthird,"set/c, d.png",dog\n'
    )
    images = Images(table)
    assert (images.ids, images.classes, images.targets) == (["second", "first", "third"], ["cat", "dog"], [1, 0, 1])
    assert reds(images) == [1, 0, 2]
    assert Images(table, classes=["dog", "cat"]).targets == [0, 1, 0]


def test_a_table_says_when_each_was_shown(folder):
    images = Images(listed(folder, "a.csv", "onset,path,duration\n0,set/b.png,1.5\n4,set/a.png,2\n7,set/b.png,1\n"))
    assert (images.onsets.tolist(), images.durations.tolist()) == ([0, 4, 7], [1.5, 2, 1])
    chosen = Images(folder / "a.csv", rows=[2, 0])
    assert (chosen.onsets.tolist(), chosen.durations.tolist()) == ([7, 0], [1, 1.5])
    (folder / "set" / "a.png").write_bytes(b"broken")
    kept = Images(folder / "a.csv", skip_bad=True, progress=False)
    assert (kept.onsets.tolist(), kept.durations.tolist()) == ([0, 7], [1.5, 1])
    only = Images(listed(folder, "b.csv", "time\tpath\n0\tset/b.png\n"))
    assert (only.onsets.tolist(), only.durations) == ([0], None)
    for without in (folder / "set", listed(folder, "list.txt", "set/b.png")):
        assert (Images(without, skip_bad=True, progress=False).onsets, Images(without).durations) == (None, None)


@pytest.mark.parametrize(("row", "named"), [("noon,set/b.png,1", "row 3.*'noon'"), (",set/b.png,1", "row 3.*onset ''"),
                                            ("3,set/b.png,0", "row 3.*above 0")])  # fmt: skip
def test_times_that_are_none_are_told_where_they_are_asked_for(folder, row, named):
    images = Images(listed(folder, "a.csv", f"onset,path,duration\n0,set/a.png,1\n{row}\n"))
    assert reds(images) == [0, 1]
    with pytest.raises(ValueError, match=named):
        _ = images.onsets


def test_a_picture_shown_twice_is_there_twice(folder):
    images = Images(listed(folder, "list.txt", "set/b.png\nset/a.png\nset/b.png\n"))
    assert (reds(images), images.ids) == ([1, 0, 1], ["0:b", "1:a", "2:b"])


def test_absolute_paths_and_any_suffix(folder):
    path = listed(folder, "list.lst", f"{folder / 'set' / 'c, d.png'}\n")
    assert reds(Images(path, layout="list")) == [2]
    with pytest.raises(ValueError, match=r"list\.lst is neither"):
        Images(path)


@pytest.mark.parametrize(
    ("name", "text", "message"),
    [
        ("list.txt", "\n", "lists no images"),
        ("list.csv", "", "lists no images"),
        ("list.csv", "path\n", "lists no images"),
        ("list.csv", "onset,shown\n0,yes\n", "no column 'path'.*it has onset, shown"),
        ("list.csv", "id,path\n1,set/a.png\n2\n", "row 3 of .* has nothing in column 2"),
    ],
)
def test_bad_lists_are_one_line(folder, name, text, message):
    with pytest.raises(ValueError, match=message):
        Images(listed(folder, name, text))


def test_missing_pictures_are_counted_or_left_out(folder):
    path = listed(folder, "list.txt", "set/b.png\nset/x.png\nset/y.png\n")
    with pytest.raises(FileNotFoundError, match=r"2 of 3 images do not exist, the first is .*x\.png"):
        Images(path)
    images = Images(path, skip_bad=True, progress=False)
    assert images.ids == ["b"]
    assert images.skipped == dict.fromkeys(["set/x.png", "set/y.png"], "there is no such file")


def test_a_list_in_another_encoding_is_told(folder):
    (folder / "list.txt").write_bytes(b"caf\xe9.png\n")
    with pytest.raises(ValueError, match="no list in UTF-8"):
        Images(folder / "list.txt")
