"""The words of the command rsa partition."""

from __future__ import annotations

from typer.testing import CliRunner

from brainnet.cli import app


def test_a_span_is_of_courses(tmp_path):
    found = CliRunner().invoke(app.app, ["rsa", "partition", str(tmp_path), "--span", "0", "1", "-m", "a.npz"])
    assert found.exit_code == 2
    assert "--time" in found.output
