from __future__ import annotations

import sys
from pathlib import Path

import pytest

from brainnet._files import write_json
from brainnet.run.record.card import opening
from brainnet.run.record.runs import find_runs, read_run, words_again


def write_card(folder: Path, **entries) -> Path:
    folder.mkdir(parents=True)
    write_json(folder / "run.json", {"kind": "fit", "created": "2026-01-02T00:00:00Z", **entries})
    return folder


def test_runs_are_found_in_the_order_of_time_and_other_files_passed_over(tmp_path):
    write_card(tmp_path / "b", created="2026-01-01T00:00:00Z", time={"data": {"wall_s": 1.5}, "tokens": {"wall_s": 2}})
    write_card(tmp_path / "a" / "deep", kind="encode")
    write_card(tmp_path / "c", kind=3)
    write_card(tmp_path / "d", time=[1])
    (tmp_path / "e").mkdir()
    (tmp_path / "e" / "run.json").write_text("{")
    found = find_runs(tmp_path)
    assert [(run.folder.name, run.kind, run.seconds) for run in found] == [("b", "fit", 3.5), ("deep", "encode", 0.0)]


def test_what_a_tracker_keeps_of_a_run_is_no_further_run(tmp_path):
    folder = write_card(tmp_path / "run")
    write_card(folder / "log" / "wandb" / "offline-run" / "files")
    other = write_card(tmp_path / "log" / "other")  # a folder of results that is called so
    assert {run.folder for run in find_runs(tmp_path)} == {folder, other}


def test_a_run_is_named_by_its_folder_or_card(tmp_path):
    folder = write_card(tmp_path / "run")
    assert read_run(folder) == read_run(folder / "run.json")
    with pytest.raises(FileNotFoundError, match="nothing"):
        read_run(tmp_path / "nothing")
    (folder / "run.json").write_text("[]")
    with pytest.raises(ValueError, match=r"run\.json"):
        read_run(folder)


@pytest.mark.parametrize("out", [["--out", "old"], ["-o", "old"], ["--out=old"], ["-oold"], []])
def test_words_come_back_as_they_were_typed_but_for_the_folder(out, tmp_path, monkeypatch):
    monkeypatch.setattr(sys, "argv", ["/usr/bin/brainnet", "fit", "DATASET.DATA_DIR", "my data/it's", *out, "--draw"])
    run, _ = read_run(write_card(tmp_path / "run", command=opening("fit", [])["command"]))
    assert words_again(run, "new") == ["fit", "DATASET.DATA_DIR", "my data/it's", "--draw", "--out", "new"]


@pytest.mark.parametrize(
    ("program", "named"),
    [("/home/jane/env/bin/brainnet", "brainnet"), ("/home/jane/brainnet/__main__.py", "brainnet"), ("a.py", "a.py"),
     ("/home/jane/benchmarks/__main__.py", "/home/jane/benchmarks/__main__.py")],
)  # fmt: skip
def test_a_card_does_not_say_where_brainnet_is_installed(program, named, monkeypatch):
    monkeypatch.setattr(sys, "argv", [program, "fit", "--out", "it's"])
    assert opening("fit", [])["command"] == f"""{named} fit --out 'it'"'"'s'"""


def test_only_a_command_of_brainnet_is_run_again(tmp_path):
    for number, command in enumerate(["rm -rf x", "", "python script.py"]):
        run, _ = read_run(write_card(tmp_path / str(number), command=command))
        with pytest.raises(ValueError, match="command line"):
            words_again(run, "new")


def test_the_card_of_features_says_both_commit_and_pictures():
    assert "source" not in opening("extract", [])  # the name of what a command read
