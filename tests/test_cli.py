from __future__ import annotations

import subprocess
import sys

import pytest
from typer.testing import CliRunner

from brainnet import cli

COMMANDS = ["demo", "fit", "predict", "plot", "rdm", "rsa", "searchlight", "backbones", "datasets"]


def brainnet(*words: str) -> tuple[int, str, str]:
    """Exit code, output and messages of one command, as a shell would see them."""
    code = "import sys; from brainnet.cli import main; sys.argv[0] = 'brainnet'; main()"
    done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
    return done.returncode, done.stdout, done.stderr


@pytest.mark.parametrize("command", [[], *[[name] for name in COMMANDS]])
def test_help_teaches(command):
    result = CliRunner().invoke(cli.app, [*command, "--help"])
    assert result.exit_code == 0
    assert len(result.output) > 200


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["fit", "OPTIMIZR.LR", "1"], "unknown key OPTIMIZR.LR in the command line. Did you mean OPTIMIZER.LR?"),
        (["fit", "--config", "dem"], "Did you mean"),
        (["fit", "SEED"], "KEY VALUE"),
        (["fit", "--config", "folder", "DATASET.DATA_DIR", "/nowhere", "BACKBONE.NAME", "expansion:small"], "/nowhere"),
        (["fit", "DATASET.NAME", "algonaut", "BACKBONE.WEIGHTS", "random"], "Did you mean 'algonauts'"),
        (["fit", "--config", "folder", "BACKBONE.NAME", "clipp:x"], "Did you mean 'clip'"),
        (["plot", "/nowhere"], "no selectors.npz"),
        (["predict", "/nowhere", "/nowhere"], "no finished run"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        sys, "argv", ["brainnet", *words, *(["--out", str(tmp_path / "run")] if words[0] == "fit" else [])]
    )
    with pytest.raises(SystemExit) as stop:
        cli.main()
    printed = " ".join(capsys.readouterr().err.split())
    assert stop.value.code == 2
    assert message in printed
    assert "Traceback" not in printed


def test_an_unknown_option_is_exit_code_2_without_traceback():
    code, _, err = brainnet("fit", "--nope")
    assert code == 2
    assert "Traceback" not in err


def test_verbose_shows_the_traceback():
    code, _, err = brainnet("-v", "plot", "/nowhere")
    assert code != 0
    assert "Traceback" in err


def test_every_backbone_and_dataset_is_listed():
    result = CliRunner().invoke(cli.app, ["backbones"])
    assert all(name in result.output for name in ("expansion", "torchvision", "timm", "clip", "original"))
    result = CliRunner().invoke(cli.app, ["datasets"])
    assert all(name in result.output for name in ("algonauts", "array", "simulated"))


def test_every_setting_is_listed():
    result = CliRunner().invoke(cli.app, ["fit", "--keys"])
    assert "OPTIMIZER.WEIGHT_DECAY" in result.output


def test_the_version_is_printed():
    from brainnet import __version__

    assert __version__ in CliRunner().invoke(cli.app, ["--version"]).output
