"""Texts from folders, lines, tables and strings; their windows and contexts; and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.stimuli import Texts

STORY = "onset,duration,word\n0.5,0.2,Once\n0.9,0.2,upon\n2.1,0.3,a\n2.2,0.1,time\n7,1,there\n"


def test_a_file_is_a_text_in_natural_order(tmp_path):
    for name in ("s10", "s9", "sub/s1"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / f"{name}.txt").write_text(f"about {name}\n", encoding="utf-8")
    (tmp_path / "notes.md").write_text("no stimulus")
    texts = Texts(tmp_path)
    assert texts.ids == ["s9", "s10", "sub/s1"]
    assert texts.load(2) == texts[2] == "about sub/s1"


def test_lines_of_a_file_without_the_empty_ones(tmp_path):
    (tmp_path / "a.txt").write_text("\ufeffEine Amsel singt.\n\n  Zwei  \n", encoding="utf-8")
    texts = Texts(tmp_path / "a.txt")
    assert list(texts) == ["Eine Amsel singt.", "Zwei"]
    assert texts.ids == ["line0001", "line0002"]


@pytest.mark.parametrize("name", ["a.csv", "a.tsv"])
def test_a_table_has_ids_and_times(tmp_path, name):
    rows = ["id,onset,duration,sentence", 's1,0,1.5,"one, two"', "s2,2.5,1,three"]
    content = "\n".join(rows)
    if name == "a.tsv":
        content = content.replace('"one, two"', "one; two").replace(",", "\t").replace(";", ",")
    (tmp_path / name).write_text(content)
    texts = Texts(tmp_path / name)
    assert texts.ids == ["s1", "s2"]
    assert list(texts) == ["one, two", "three"]
    assert texts.onsets.tolist() == [0, 2.5]
    assert texts.durations.tolist() == [1.5, 1]


def test_windows_join_what_begins_in_them(tmp_path):
    (tmp_path / "story.csv").write_text(STORY)
    story = Texts(tmp_path / "story.csv")
    with pytest.warns(UserWarning, match="1 of the 4 windows"):
        windows = story.windows(2.0)
    assert list(windows) == ["Once upon", "a time", "there"]
    assert windows.onsets.tolist() == [0, 2, 6]
    assert windows.ids == ["window0001", "window0002", "window0004"]


def test_every_text_is_in_one_window_and_overlapping_ones_in_two(tmp_path):
    generator = np.random.default_rng(0)
    onsets = np.sort(generator.uniform(0, 60, 200))
    onsets[10] = 6.0  # at the edge of a window
    onsets.sort()
    story = Texts([f"w{i}" for i in range(200)], onsets=onsets)
    apart = " ".join(story.windows(1.5)).split()
    assert apart == list(story)
    found = story.windows(3.0, 1.5)
    for start, text in zip(found.onsets, found, strict=True):
        assert text.split() == [f"w{i}" for i in np.flatnonzero((onsets >= start) & (onsets < start + 3))]


def test_context_ends_with_the_text_itself():
    texts = Texts(["a", "b", "c", "d"], onsets=[0, 1, 2, 3])
    assert list(texts.in_context(0)) == list(texts)
    assert list(texts.in_context(2)) == ["a", "a b", "a b c", "b c d"]
    assert texts.in_context(2).onsets.tolist() == [0, 1, 2, 3]
    assert texts.in_context(2).ids == texts.ids


def test_the_signature_is_of_every_letter_and_of_the_order(tmp_path):
    texts = Texts(["a bird", "a house"])
    assert texts.signature() == Texts({"x": "a bird", "y": "a house"}).signature()
    assert texts.signature() != Texts(["a bird", "a house."]).signature()
    assert texts.signature() != Texts(["a house", "a bird"]).signature()
    assert Texts(["ab", "c"]).signature() != Texts(["a", "bc"]).signature()
    assert texts.select([1]).signature() == Texts(["a house"]).signature()


def test_rows_choose_texts_with_their_times():
    texts = Texts(["a", "b", "c"], onsets=[0, 1, 2], rows=[2, 0])
    assert (list(texts), texts.ids, texts.onsets.tolist()) == (["c", "a"], ["2", "0"], [2, 0])


BAD = {
    "empty file": (b"", "empty"),
    "other encoding": ("Übung".encode("latin-1"), "UTF-8"),
    "UTF-16": ("hello".encode("utf-16"), "UTF-8"),
    "no text": (b"\x89PNG\r\n\x1a\n\x00\x00", "UTF-8"),
    "bytes of zero": (b"a\x00b", "no text"),
}


@pytest.mark.parametrize("kind", BAD)
@pytest.mark.parametrize("where", ["file", "folder", "table"])
def test_a_file_that_is_no_text_is_named(tmp_path, kind, where):
    content, said = BAD[kind]
    path = tmp_path / ("a.csv" if where == "table" else "a.txt")
    path.write_bytes(content)
    with pytest.raises(ValueError, match=said) as raised:
        Texts(tmp_path if where == "folder" else path)
    assert path.name in str(raised.value)
    assert "\n" not in str(raised.value)


@pytest.mark.parametrize(
    ("table", "said"),
    [
        ("onset,word\n0,a\nsoon,b\n", "row 3 .*'soon'"),
        ("onset,word\n0,a\n1,\n", "row 3"),
        ("onset,duration,word\n0,1,a\n1,-1,b\n", "row 3 .*-1"),
        ("onset,other\n0,a\n", "no column 'text'"),
        ("word\n", "no rows"),
    ],
)
def test_a_table_with_a_mistake_names_the_row(tmp_path, table, said):
    (tmp_path / "a.csv").write_text(table)
    with pytest.raises(ValueError, match=said):
        Texts(tmp_path / "a.csv")


def test_what_is_no_text_is_refused(tmp_path):
    with pytest.raises(ValueError, match="text '1' .* is empty"):
        Texts(["a", "  "])
    with pytest.raises(TypeError, match="float"):
        Texts(["a", 1.0])
    with pytest.raises(ValueError, match="1 ids for 2"):
        Texts(["a", "b"], ["x"])
    with pytest.raises(ValueError, match="'x'"):
        Texts(["a", "b"], ["x", "x"])
    with pytest.raises(FileNotFoundError, match=r"\.txt"):
        Texts(tmp_path)
    with pytest.raises(FileNotFoundError, match="none.txt"):
        Texts(tmp_path / "none.txt")
    with pytest.raises(ValueError, match="no texts"):
        Texts([])
    with pytest.raises(ValueError, match="onset of text '1'"):
        Texts(["a", "b"], onsets=[0, float("nan")])


def test_windows_need_onsets_in_order():
    with pytest.raises(ValueError, match="onsets"):
        Texts(["a"]).windows(1)
    with pytest.raises(ValueError, match="'2'"):
        Texts(["a", "b", "c"], onsets=[0, 2, 1]).windows(1)
    with pytest.raises(ValueError, match="-1"):
        Texts(["a", "b"], onsets=[-1, 2]).windows(1)
    with pytest.raises(ValueError, match="above 0"):
        Texts(["a"], onsets=[0]).windows(0)
