from __future__ import annotations

from typer.testing import CliRunner

from brainnet.cli import app as cli


def test_the_command_says_what_it_takes_and_refuses_unknown_words(tmp_path):
    shown = CliRunner().invoke(cli.app, ["plot", "--help"])
    assert shown.exit_code == 0
    for option in ("--surface", "--view", "--cmap", "--threshold", "--width"):
        assert option in shown.output
    refused = CliRunner().invoke(cli.app, ["plot", str(tmp_path), "--surface", "inflatd"])
    assert isinstance(refused.exception, ValueError)
    assert "'inflated'" in str(refused.exception)
