"""Building blocks of a report: what is escaped, how columns are set, what a document may run."""

import re
from xml.etree import ElementTree

import pytest

from brainnet.run.report.html import Html, cell, document, framed, paragraphs, picture, score_bar, table

NASTY = '<script>alert("1")</script>&'


def test_every_text_is_escaped():
    parts = [cell(NASTY), table([NASTY], [[NASTY]], NASTY), paragraphs([NASTY]), picture(b"", ".png", NASTY),
             document(NASTY, ""), framed("", NASTY)]  # fmt: skip
    assert not any("<script" in part for part in parts)
    assert all('alert("' not in part for part in parts)


def test_columns_of_numbers_stand_to_the_right_and_long_texts_break():
    text = table(["a", "b", "c", "d"], [[1, "x", "y" * 100, None], [0.25, "", "z", 2]])
    assert re.findall(r'<th class="(\w+)">', text) == ["number", "text", "long", "number"]


def test_a_bar_is_as_long_as_its_score():
    tree = ElementTree.fromstring(score_bar(0.5, 0.25, 0.75, 1.5))
    bar, line, ceiling = tree[1], tree[2], tree[3]
    assert float(bar.get("width")) == pytest.approx(80)
    assert (float(line.get("x1")), float(line.get("x2"))) == (41, 121)
    assert float(ceiling.get("x1")) == 161  # within the picture
    assert float(ElementTree.fromstring(score_bar(-0.1, None, None, None))[1].get("width")) == 0
    assert "svg" not in score_bar(None, None, None, None)


def test_a_document_runs_what_its_pages_run_and_nothing_else():
    assert "script-src 'none'" in document("a", "")
    page = "<meta http-equiv=\"Content-Security-Policy\" content=\"script-src 'sha256-A'; style-src 'sha256-B'\">"
    text = document("a", framed(page, "b"), [page])
    policy = re.search(r'Content-Security-Policy" content="([^"]*)"', text)[1]
    assert "script-src 'sha256-A';" in policy
    assert "'sha256-B'" in policy
    assert "default-src 'none'" in policy
    assert "unsafe" not in policy
    assert isinstance(cell(Html("<b>")), str)
