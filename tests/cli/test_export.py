from __future__ import annotations

import pytest
from typer.testing import CliRunner

from brainnet.cli import app as cli


def export(*words):
    return CliRunner().invoke(cli.app, ["export", *map(str, words)])


def test_the_command_says_what_it_takes(tmp_path):
    shown = export("--help")
    assert shown.exit_code == 0
    assert "pycortex" in shown.output
    refused = export(tmp_path)
    assert isinstance(refused.exception, FileNotFoundError)


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--to", "modle"], "Did you mean 'model'"),
        (["--to", "model", "--format", "csv"], "--format is for --to maps"),
        (["--license", "mit"], "--license is for --to model"),
        (["--to", "brainscore", "--push", "me/x"], "--push is for --to model"),
        (["--to", "model", "--identifier", "x"], "--identifier is for --to brainscore"),
        (["--private"], "--private is for --to model"),
        (["--layer", "x"], "--to model"),
    ],
)
def test_options_of_another_target_are_refused(words, message, tmp_path):
    refused = export(tmp_path, *words)
    assert isinstance(refused.exception, ValueError)
    assert message in str(refused.exception)
