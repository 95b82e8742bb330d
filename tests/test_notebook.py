"""What notebooks show: escaped, small, and of every object that a user looks at."""

from __future__ import annotations

import re
import sys
from html.parser import HTMLParser
from types import SimpleNamespace

import pytest
import torch

from brainnet import _work
from brainnet._notebook import MOST, Bar, in_notebook, table_html
from brainnet.encode import encode
from brainnet.plmodel import PLModel
from brainnet.rsa import RDMs
from brainnet.selection import Selectors
from brainnet.space import BrainSpace, sensor_space
from brainnet.store import TokenStore
from tests.toys import ToyBackbone, toy_config, toy_dataset

EVIL = "<script>alert(1)</script>"


class Shown(HTMLParser):
    """The tags, which must close, and the text of a piece of HTML."""

    def __init__(self, html: str):
        super().__init__()
        self.open, self.tags, self.text = [], set(), ""
        self.feed(html)
        assert not self.open

    def handle_starttag(self, tag, attrs):
        self.open.append(tag)
        self.tags.add(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += f"{data} "


def encoding():
    data = toy_dataset()
    store = TokenStore.build(ToyBackbone(), data, progress=False)
    return encode({"toy": store}, {"s<1>": data}, n_resamples=5, progress=False)


def objects():
    data = toy_dataset()
    selectors = Selectors(torch.zeros(4, 2), torch.eye(4)[:, :3] + 0.0, torch.full((4, 1), 0.3))
    return {
        "Selectors": selectors,
        "RDMs": RDMs(torch.tensor([[1.0, float("nan"), 3.0]]), names=(EVIL,), conditions=("a", EVIL, "c")),
        "BrainSpace": BrainSpace.free(3, {EVIL: torch.ones(3).bool()}),
        "TokenStore": TokenStore.build(ToyBackbone(), data, progress=False),
        "ArrayDataset": data,
        "PLModel": PLModel(toy_config(), ToyBackbone(), data=data),
        "Encoding": encoding(),
    }


def test_every_object_is_shown_escaped_and_small():
    for name, one in objects().items():
        html = one._repr_html_()
        shown = Shown(html)
        assert shown.text.startswith(name)
        assert shown.tags <= {"div", "table", "tr", "td", "th", "span"}
        assert len(html) < 15_000
        # of the page: no color of text or ground is set, so that it can be read in dark and light
        assert not re.search(r"(?<!-)color:(?!inherit)|background:(?!none|#4a90c2)", html)


def test_what_is_shown_is_so():
    found = objects()
    assert "free" not in found
    text = Shown(found["Selectors"]._repr_html_()).text
    assert re.search(r"voxels\s+4\s+layers\s+3", text)
    assert "share of voxels" in text  # a number between 0 and 1 says of what it is a share
    assert "0.500" in text  # the fourth voxel has equal weights: the first layer is taken, by two of four
    text = Shown(found["RDMs"]._repr_html_()).text
    assert re.search(r"undefined\s+1 ", text)
    assert "1.000 to 3.000" in text
    text = Shown(found["TokenStore"]._repr_html_()).text
    assert re.search(r"images\s+60 ", text)
    assert re.search(r"a\s+6\s+8 x 8", text)
    text = Shown(found["Encoding"]._repr_html_()).text
    best = found["Encoding"].table.query("roi == 'all' and score == 'r' and split == 'test' and method == 'ridge'")
    assert f"{best['mean'].max():.3f}" in text
    assert "s<1>" in text
    text = Shown(found["ArrayDataset"]._repr_html_()).text
    assert re.search(r"train\s+\d+", text)
    assert re.search(rf"place\s+{found['ArrayDataset'].space.place}", text)
    assert "BrainSpace(" not in text  # words, and no code


def test_empty_and_odd_objects_are_shown():
    for one in (
        Selectors(torch.zeros(0, 2), torch.zeros(0, 3), torch.zeros(0, 1)),
        RDMs(torch.full((1, 3), float("nan"))),
        RDMs(torch.rand(60, 3), axes={"subject": [str(k) for k in range(20)], "time": ["0", "1", "2"]}),
        sensor_space(["Oz"], torch.tensor([0.1])),
        PLModel(toy_config(), None, skip_data=True),
        PLModel(toy_config(), ToyBackbone(), skip_data=True),
    ):
        assert Shown(one._repr_html_()).text


def test_long_tables_and_texts_are_cut():
    html = table_html("x" * 1000, [("a", None)], ("n",), [(k,) for k in range(100)])
    shown = Shown(html)
    assert f"and {100 - MOST} more" in shown.text
    assert "a" not in shown.text.split("…")[1].split("n")[0].strip().split()
    assert len(shown.text) < 400
    assert "width:6.00em" in table_html("", [("share", Bar(7.0))])
    assert "width:0.00em" in table_html("", [("share", Bar(float("nan")))])


def test_a_notebook_is_told_from_a_terminal(monkeypatch):
    shells = {"ZMQInteractiveShell": True, "TerminalInteractiveShell": False}
    assert not in_notebook()
    for name, expected in shells.items():
        shell = type(name, (), {})()
        monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda shell=shell: shell))
        assert in_notebook() is expected
    derived = type("Shell", (type("ZMQInteractiveShell", (), {}),), {})()
    monkeypatch.setitem(sys.modules, "IPython", SimpleNamespace(get_ipython=lambda: derived))
    assert in_notebook()


def test_progress_in_a_notebook_is_tqdms(monkeypatch, capsys):
    pytest.importorskip("tqdm")
    monkeypatch.setattr(_work, "in_notebook", lambda: True)
    assert list(_work.progress(range(3), "Counting")) == [0, 1, 2]
    assert "Counting" in capsys.readouterr().err
    assert list(_work.progress(range(3), "Counting", enabled=False)) == [0, 1, 2]
    assert not capsys.readouterr().err


def test_no_figure_is_shown_by_itself():
    from pathlib import Path

    import brainnet

    for path in Path(brainnet.__file__).parent.rglob("*.py"):
        assert not re.search(r"plt\.show|import pyplot|matplotlib\.pyplot|\.show\(\)", path.read_text(encoding="utf-8"))
