from __future__ import annotations

from typer.testing import CliRunner

from brainnet.cli import app as cli
from tests.run.page.test_scenes import searched


def test_the_report_of_a_folder_is_written_and_opened(tmp_path, monkeypatch):
    searched(tmp_path / "run")
    opened = []
    monkeypatch.setattr("webbrowser.open", opened.append)
    out = tmp_path / "r.html"
    result = CliRunner().invoke(cli.app, ["report", str(tmp_path / "run"), "--out", str(out), "--open"])
    assert result.exit_code == 0
    assert "r.html" in result.output
    assert opened == [out.as_uri()]
    assert "What the maps do not say" in out.read_text(encoding="utf-8")


def test_a_report_needs_a_run():
    assert CliRunner().invoke(cli.app, ["report"]).exit_code == 2
