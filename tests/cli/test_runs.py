from __future__ import annotations

import subprocess

import pytest
from typer.testing import CliRunner

from brainnet._files import write_json
from brainnet.cli import app as cli
from brainnet.cli import runs


@pytest.fixture
def folder(tmp_path):
    card = {
        "kind": "fit",
        "created": "2026-01-02T03:04:05Z",
        "command": "brainnet demo --seed 1 --out old",
        "test": {"r": 0.5},
        "scores": [{"roi": "V1"}, {"roi": "V4"}],
    }
    write_json(tmp_path / "run.json", card)
    return tmp_path


def said(*words: str, answer: str = "") -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(words), input=answer)
    return result.exit_code, result.output


def test_runs_are_listed_and_shown(folder):
    code, text = said("runs", "list", str(folder))
    assert code == 0
    assert "2026-01-02T03:04:05Z" in text
    code, text = said("runs", "show", str(folder), "--like", "test")
    assert (code, text.split()) == (0, ["entry", "value", "test.r", "0.5"])
    whole = " ".join(said("runs", "show", str(folder))[1].split())
    assert "scores 2 rows; --like scores shows them" in whole
    assert "V4" not in whole
    assert "V4" in said("runs", "show", str(folder), "--like", "scores")[1]


@pytest.mark.parametrize(("words", "answer", "runs_it"), [(["--yes"], "", True), ([], "y\n", True), ([], "n\n", False)])
def test_a_run_is_made_again_once_the_user_agrees(folder, monkeypatch, words, answer, runs_it):
    called = []
    monkeypatch.setattr(
        runs.subprocess, "run", lambda words, check: called.append(words) or subprocess.CompletedProcess(words, 0)
    )
    code, text = said("runs", "rerun", str(folder), "--out", "new", *words, answer=answer)
    assert "brainnet demo --seed 1 --out new" in text
    assert [words[3:] for words in called] == [["demo", "--seed", "1", "--out", "new"]] * runs_it
    assert (code == 0) == runs_it


def test_kept_downloads_are_listed_and_deleted_by_name(tmp_path, monkeypatch):
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path / "none"))
    assert said("cache", "list")[0] == 0
    monkeypatch.setenv("BRAINNET_HOME", str(tmp_path))
    (tmp_path / "a.npz").write_bytes(b"1234")
    (tmp_path / "b.npz").write_bytes(b"12")
    assert "a.npz" in said("cache", "list")[1]
    assert said("cache", "clear", "c.npz", "--yes")[0] != 0
    assert said("cache", "clear", "../a.npz", "--yes")[0] != 0
    assert said("cache", "clear", "a.npz", answer="n\n")[0] != 0
    assert (tmp_path / "a.npz").exists()
    assert said("cache", "clear", "a.npz", "--yes")[0] == 0
    assert sorted(path.name for path in tmp_path.iterdir()) == ["b.npz"]
