from __future__ import annotations

import pytest
from typer.testing import CliRunner

from brainnet.cli import app as cli
from brainnet.cli import page
from tests.run.page.test_scenes import searched


def said(*words: str) -> tuple[int, str]:
    result = CliRunner().invoke(cli.app, list(map(str, words)))
    return result.exit_code, result.output


def test_the_page_of_a_folder_is_written_and_opened(tmp_path, monkeypatch):
    searched(tmp_path)
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    out = tmp_path / "p.html"
    code, text = said("page", tmp_path, "--out", out, "--open", "--surface", "flat")
    assert code == 0
    assert "p.html" in text
    assert opened == [out.as_uri()]
    assert '"surface":2' in out.read_text(encoding="utf-8")


def test_the_page_lies_beside_the_results(tmp_path):
    searched(tmp_path)
    assert page.page_beside(tmp_path) == tmp_path / "page.html"


def test_a_run_without_a_place_is_told_and_goes_on(tmp_path, capsys):
    from brainnet._files import write_json

    write_json(tmp_path / "run.json", {"kind": "extract", "command": "brainnet extract", "created": ""})
    assert page.page_beside(tmp_path) is None
    assert "no page" in capsys.readouterr().err


@pytest.mark.parametrize("command", [["fit"], ["encode"], ["searchlight", "run"], ["searchlight", "group"]])
def test_commands_that_make_maps_can_leave_a_page(command):
    code, text = said(*command, "--help")
    assert code == 0
    assert "--page" in text
