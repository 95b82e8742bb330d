"""The words of the command rsa steps."""

from __future__ import annotations

from typer.testing import CliRunner

from brainnet.cli import app


def test_its_help_says_what_a_model_is():
    shown = " ".join(CliRunner().invoke(app.app, ["rsa", "steps", "--help"]).output.split())
    assert "A model is a file of RDMs, one per step" in shown
