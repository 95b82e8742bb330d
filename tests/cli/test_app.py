from __future__ import annotations

import subprocess
import sys
import warnings

import pytest
from typer.testing import CliRunner

from brainnet._work import Interrupted
from brainnet.cli import app as cli
from brainnet.run.fitting import training as run

COMMANDS = ["demo", "fit", "predict", "plot", "extract", "encode", "rdm", "rsa", "searchlight", "backbones", "datasets",
            "runs", "cache", "sweep"]  # fmt: skip


def brainnet(*words: str) -> tuple[int, str, str]:
    """Exit code, output and messages of one command, as a shell would see them."""
    code = "import sys; from brainnet.cli.app import command_line; sys.argv[0] = 'brainnet'; command_line()"
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
        (["fit", "--config", "demo", "BACKBONE.NAME", "clipp:x"], "Did you mean 'clip'"),
        (["encode", "--method", "rigde"], "Unknown method 'rigde'. Did you mean 'ridge'?"),
        (["encode", "--controls", "shuffled,rndom"], "Unknown control 'rndom'. Did you mean 'random'?"),
        (["encode", "--subjects", "201025,210325"], "--subjects is KEY=v1,v2"),
        (["encode", "--subjects", "DATASET.SESSIN=1"], "Did you mean DATASET.SESSION?"),
        (["encode", "--backbone", "expansion:small", "--layer", "9"], "Unknown layer '9'"),
        (["encode", "--backbone", "expansion:small", "--controls", "random"], "has random weights already"),
        (["encode", "--config", "folder", "BACKBONE.NAME", "expansion:small", "DATASET.DATA_DIR", "/no"], "folder /no"),
        (["plot", "/nowhere"], "no selectors.npz"),
        (["predict", "/nowhere", "/nowhere"], "no finished run at /nowhere"),
    ],
)
def test_a_users_mistake_is_one_line_and_exit_code_2(words, message, monkeypatch, capsys, tmp_path):
    monkeypatch.setattr(
        sys, "argv", ["brainnet", *words, *(["--out", str(tmp_path / "run")] if words[0] in ("fit", "encode") else [])]
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


def test_in_a_log_file_an_error_is_one_line_whatever_its_length(tmp_path):
    missing = tmp_path / "a-long-name" / ("x" * 120)
    done = subprocess.run(
        [sys.executable, "-m", "brainnet", "report", str(missing)], capture_output=True, text=True, check=False
    )
    assert done.returncode == 2
    assert len(done.stderr.splitlines()) == 1
    assert str(missing) in done.stderr


def test_python_minus_m_is_the_command_line():
    found = subprocess.run([sys.executable, "-m", "brainnet", "--version"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.split()[:1]) == (0, ["brainnet"]), found.stderr


def test_the_version_is_printed():
    from brainnet import __version__

    assert __version__ in CliRunner().invoke(cli.app, ["--version"]).output


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [(Interrupted("go on with --resume"), 130, "stopped: go on with --resume"), (OSError("disk full"), 2, "disk full"),
     (MemoryError("too many tokens"), 2, "error: too many tokens"), (TypeError("no such kind"), 2, "no such kind")],
)  # fmt: skip
def test_what_stops_a_command_decides_its_exit_code(error, code, message, monkeypatch, capsys):
    def stop(*args, **options):
        raise error

    monkeypatch.setattr(run, "fit", stop)
    monkeypatch.setattr(sys, "argv", ["brainnet", "fit"])
    with pytest.raises(SystemExit) as stopped:
        cli.main()
    assert stopped.value.code == code
    assert message in " ".join(capsys.readouterr().err.split())


def test_a_warning_is_said_once_a_command_as_it_was_written(monkeypatch, capsys):
    """Two steps that read the same file warn of it at two places; a name in brackets is no markup."""

    def warn_twice(*args, **options):
        for place in (1, 2):
            warnings.warn_explicit("layers ['a[red]b'] are left out.", UserWarning, "brainnet/steps.py", place)
        raise ValueError("stop here")

    monkeypatch.setattr(warnings, "showwarning", warnings.showwarning)
    monkeypatch.setattr(run, "fit", warn_twice)
    monkeypatch.setattr(sys, "argv", ["brainnet", "fit"])
    for _ in range(2):
        with warnings.catch_warnings():
            warnings.simplefilter("default")
            with pytest.raises(SystemExit):
                cli.main()
        assert capsys.readouterr().err.split("\n")[0] == "warning: layers ['a[red]b'] are left out."
