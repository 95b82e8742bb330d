"""Bad input gets one line: no traceback, nothing outside the output folder touched, no empty folder left behind.

Lines that succeed on toy inputs are spoiled: a word is dropped, doubled or replaced, or a file is damaged. Every line
runs in this process. The slow test tries as many as ``BRAINNET_TEST_BAD_INPUTS`` says (default 120), the fast one 12.
"""

from __future__ import annotations

import contextlib
import io
import os
import shutil
import sys
import tempfile
import warnings
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from brainnet.cli import app as cli
from tests.contract.toy_inputs import lines, write_inputs

MANY = int(os.environ.get("BRAINNET_TEST_BAD_INPUTS", "120"))
JUNK = [
    "",
    " ",
    "-1",
    "0",
    "nan",
    "1e999",
    "[",
    "{}",
    "None",
    "no such thing",
    "../..",
    "/",
    "a:b:c",
    "=",
    "x" * 5000,
    "\u00fc\u4e2d",
    "$x$ {y} \\z",
    "line\nbreak",
    "--",
    "--nonesuch",
    "=1+1",
    "true",
    "(0, 0)",
    "a.py:B",
]
TEXT = st.one_of(st.sampled_from(JUNK), st.text(st.characters(blacklist_categories=("Cs",), blacklist_characters="\0"),
                                                max_size=12))  # fmt: skip
WORDS = lines(Path("INPUTS"))
FILES = ("data/responses.npy", "data/repeats.npy", "data/images/im3.png", "brain.npy", "meg.npy", "model.npy",
         "other.npy", "features.npy", "patterns.nii.gz", "sweep.yaml")  # fmt: skip


def truncated(path: Path) -> None:
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def emptied(path: Path) -> None:
    path.write_bytes(b"")


def random_bytes(path: Path) -> None:
    path.write_bytes(np.random.default_rng(0).bytes(500))


def gone(path: Path) -> None:
    path.unlink()


def a_folder(path: Path) -> None:
    path.unlink()
    path.mkdir()


def array_of(value):
    def write(path: Path) -> None:
        if path.suffix == ".npy":
            np.save(path, value)
        else:
            emptied(path)

    write.__name__ = f"array_of_{np.asarray(value).dtype}_{np.shape(value)}"
    return write


DAMAGES = (truncated, emptied, random_bytes, gone, a_folder, array_of(np.array(["a", "b"])), array_of(np.zeros((0, 3))),
           array_of(np.float64(3)), array_of(np.full((4, 28), np.nan)), array_of(np.ones((24, 3), complex)),
           array_of(np.zeros((2, 2, 2, 2))), array_of(np.array([object()], dtype=object)))  # fmt: skip


@st.composite
def spoiled(draw):
    """(name of the line, its words, what is done to which file)."""
    name = draw(st.sampled_from(sorted(WORDS)))
    words = list(WORDS[name])
    harm = draw(st.sampled_from(("drop", "double", "replace", "replace", "add", "damage", "damage")))
    if harm == "damage":
        named = [file for file in FILES if any(str(Path("INPUTS") / file).startswith(word) for word in words)]
        return name, words, (draw(st.sampled_from(named)), draw(st.sampled_from(DAMAGES)))
    place = draw(st.integers(1, len(words) - 1))
    if harm == "drop":
        del words[place]
    elif harm == "double":
        words.insert(place, words[place])
    elif harm == "add":
        words.insert(place, draw(TEXT))
    else:
        words[place] = draw(TEXT)
    return name, words, None


def states(folder: Path, without: Path) -> dict[str, tuple[int, int]]:
    """Every file below a folder, but for those below another: size and time of change."""
    return {
        str(path): (path.stat().st_size, path.stat().st_mtime_ns)
        for path in sorted(folder.rglob("*"))
        if path.is_file() and without not in path.parents
    }


def call(words: list[str]) -> tuple[int, str]:
    """Exit code and what was said, of a line that runs in this process; an exception that gets out is raised."""
    said = io.StringIO()
    before = sys.argv
    sys.argv = ["brainnet", *words]
    try:
        with contextlib.redirect_stdout(said), contextlib.redirect_stderr(said), warnings.catch_warnings():
            warnings.simplefilter("ignore")
            cli.main()
    except SystemExit as stop:
        return (stop.code if isinstance(stop.code, int) else int(stop.code is not None)), said.getvalue()
    finally:
        sys.argv = before
    return 0, said.getvalue()


def check(case, template: Path) -> None:
    name, words, damage = case
    with tempfile.TemporaryDirectory() as root:
        inputs, home = Path(root) / "inputs", Path(root) / "home"
        shutil.copytree(template, inputs)
        home.mkdir()
        out = home / "out"
        if damage is not None:
            damage[1](inputs / damage[0])
        words = [word.replace("INPUTS", str(inputs)) for word in words]
        before, here = states(Path(root), out), Path.cwd()
        os.chdir(home)
        try:
            code, said = call([*words, "--out", str(out), "--quiet"])
        finally:
            os.chdir(here)
        context = f"{name}: {words}, {damage and (damage[0], damage[1].__name__)}\n{said}"
        assert code in (0, 1, 2), context
        assert "Traceback" not in said, context
        locks = {path for path in states(Path(root), out) if path.endswith(".lock")}
        assert {k: v for k, v in states(Path(root), out).items() if k not in locks} == before, context
        if code:
            assert not out.exists() or any(path.is_file() for path in out.rglob("*")), f"an empty folder. {context}"


@pytest.fixture(scope="module")
def template(tmp_path_factory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("template"))


COMMON = {"suppress_health_check": list(HealthCheck), "database": None, "print_blob": False}


@given(case=spoiled())
@settings(max_examples=12, derandomize=True, **COMMON)
def test_a_spoiled_line_ends_in_one_line(template, case):
    check(case, template)


@pytest.mark.slow
@given(case=spoiled())
@settings(max_examples=MANY, **COMMON)
def test_many_spoiled_lines_end_in_one_line(template, case):
    check(case, template)


@pytest.mark.slow
@pytest.mark.parametrize("name", sorted(WORDS))
def test_the_unspoiled_lines_succeed(template, name):
    """Or the tests above would test nothing."""
    with tempfile.TemporaryDirectory() as root:
        words = [word.replace("INPUTS", str(template)) for word in WORDS[name]]
        code, said = call([*words, "--out", str(Path(root) / "out"), "--quiet"])
        assert code == 0, said
