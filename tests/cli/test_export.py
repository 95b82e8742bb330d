from __future__ import annotations

from typer.testing import CliRunner

from brainnet.cli import app as cli


def test_the_command_says_what_it_takes(tmp_path):
    shown = CliRunner().invoke(cli.app, ["export", "--help"])
    assert shown.exit_code == 0
    assert "pycortex" in shown.output
    refused = CliRunner().invoke(cli.app, ["export", str(tmp_path)])
    assert isinstance(refused.exception, FileNotFoundError)
