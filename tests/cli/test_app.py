from __future__ import annotations

import gc
import platform
import subprocess
import sys

import pytest
from typer.testing import CliRunner

from brainnet._work import Interrupted
from brainnet.cli import app as cli
from brainnet.cli import networks
from brainnet.cli.process import loading
from brainnet.config import load_config
from brainnet.run import prediction
from brainnet.run import training as run

COMMANDS = ["demo", "fit", "predict", "plot", "extract", "encode", "rdm", "rsa", "searchlight", "backbones", "datasets"]


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
        (["predict", "/nowhere", "/nowhere"], "no finished run"),
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


def test_help_of_encode_shows_a_line_that_works(monkeypatch):
    """The example in the help: its options are parsed and reach the function behind the command."""
    from brainnet.run import encoding as run_encode

    shown = " ".join(CliRunner().invoke(cli.app, ["encode", "--help"]).output.replace("│", " ").split())
    words = shown.partition("and a control: brainnet encode")[2].partition("Training and")[0].split()
    seen = {}

    def record(cfg, out, **options):
        seen.update(options, out=str(out), folder=cfg.DATASET.DATA_DIR)
        raise ValueError("as far as this")

    monkeypatch.setattr(run_encode, "encode_subjects", record)
    CliRunner().invoke(cli.app, ["encode", *words])
    assert seen["methods"] == ["ridge", "banded", "window"]
    assert seen["subjects"] == "DATASET.SESSION=201025,210325"
    assert (seen["controls"], seen["out"], seen["folder"]) == (["shuffled"], "encoding", "v4")


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
    assert "`" not in result.output  # the markup of docstrings is none of the terminal's
    result = CliRunner().invoke(cli.app, ["datasets"])
    assert all(name in result.output for name in ("algonauts", "array", "simulated"))


def test_python_minus_m_is_the_command_line():
    found = subprocess.run([sys.executable, "-m", "brainnet", "--version"], capture_output=True, text=True, check=False)
    assert (found.returncode, found.stdout.split()[:1]) == (0, ["brainnet"]), found.stderr


def test_every_setting_is_listed():
    result = CliRunner().invoke(cli.app, ["fit", "--keys"])
    assert "OPTIMIZER.WEIGHT_DECAY" in result.output
    assert "AdamW step size" in result.output


def test_the_version_is_printed():
    from brainnet import __version__

    assert __version__ in CliRunner().invoke(cli.app, ["--version"]).output


# ------------------------------------------------------------------ each option reaches the function it names


@pytest.fixture
def calls(monkeypatch):
    """Notes what ``fit`` and ``predict`` are given, and runs neither."""
    noted = []
    monkeypatch.setattr(run, "fit", lambda cfg, out, **options: noted.append((cfg, out, options)) or METRICS)
    monkeypatch.setattr(
        prediction, "predict", lambda *args, **options: noted.append((args, options)) or args[2] / "p.npy"
    )
    return noted


METRICS = {
    "test": {
        "all": {"n": 90, "n_scored": 80, "r": {"mean": 0.111, "median": 0.222, "low": 0.077, "high": 0.144},
                "r2": {"mean": 0.333}, "ceiling_share": 0.555},
        "V1": {"n": 9, "n_scored": 8, "r": {"mean": 0.666}, "r2": {"mean": 0.777}, "ceiling_share": None},
    },
    "n_test_images": 70,
    "recovery": {"layer": {"raw": 0.812, "gain_corrected": 0.913, "constant_guess": 0.214}, "not_identifiable": "size"},
}  # fmt: skip


def said(*words: str) -> str:
    result = CliRunner().invoke(cli.app, list(words))
    assert result.exit_code == 0, result.output
    return " ".join(result.output.split())


def test_fit_passes_its_options_on(calls, tmp_path):
    (tmp_path / "some.yaml").write_text("SEED: 7")
    said("fit", "OPTIMIZER.LR", "0.5", "--config", str(tmp_path / "some.yaml"), "--out", str(tmp_path / "a"))
    cfg, out, options = calls.pop()
    assert (cfg.SEED, cfg.OPTIMIZER.LR, out) == (7, 0.5, tmp_path / "a")
    assert options == {"resume": False, "overwrite": False, "draw": False, "progress": True}
    said("fit", "--resume", "--overwrite", "--draw", "--quiet", "--out", str(tmp_path / "a"))
    assert calls.pop()[2] == {"resume": True, "overwrite": True, "draw": True, "progress": False}


def test_the_demo_passes_its_options_on(calls, tmp_path):
    said("demo", "--seed", "3", "--shuffled", "--out", str(tmp_path), "OPTIMIZER.LR", "0.5")
    cfg, out, _ = calls.pop()
    assert (cfg.SEED, cfg.DATASET.SHUFFLED, cfg.OPTIMIZER.LR, out) == (3, True, 0.5, tmp_path)
    assert cfg.DATASET.NAME == "simulated"
    said("demo", "--out", str(tmp_path))
    assert not calls.pop()[0].DATASET.SHUFFLED


def test_the_demo_replaces_a_demo_and_no_other_run(calls, tmp_path):
    (tmp_path / "config.yaml").write_text(load_config("demo").dump())
    said("demo", "--out", str(tmp_path))
    assert calls.pop()[2]["overwrite"]
    (tmp_path / "config.yaml").write_text(load_config().dump())
    said("demo", "--out", str(tmp_path))
    assert not calls.pop()[2]["overwrite"]


def test_predict_passes_its_options_on(calls, tmp_path):
    said("predict", "there", "images", "--out", str(tmp_path), "--batch-size", "3")
    (folder, images, out), options = calls.pop()
    assert (str(folder), str(images), out) == ("there", "images", tmp_path)
    assert options == {"batch_size": 3, "progress": True}


def test_the_report_prints_each_number_under_its_name(calls, tmp_path):
    text = said("fit", "--out", str(tmp_path))
    assert "roi voxels mean r mean R2 share of the ceiling all 80 0.111 0.333 0.555 V1 8 0.666 0.777 " in text
    assert "mean test r 0.111 (95 % interval over images 0.077 to 0.144), 70 images, 80 of 90 voxels" in text
    assert "raw gain-corrected constant guess layer 0.812 0.913 0.214 size" in text


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


@pytest.mark.parametrize(("word", "exit_code"), [("--version", 0), ("--vision", 2)])
def test_the_end_comes_at_once_but_handlers_and_threads_finish(word, exit_code):
    code = f"""
import atexit, os, sys, threading, time
from brainnet.cli import app as cli
class Slow:
    def __del__(self):
        os.write(1, b"taken apart")
kept = Slow()
atexit.register(print, "handler done")
if {exit_code} == 2:
    threading.Thread(target=lambda: (time.sleep(0.5), print("thread done"))).start()
sys.argv = ["brainnet", "{word}"]
cli.command_line()
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == exit_code
    assert "handler done" in done.stdout
    assert ("thread done" in done.stdout) == (exit_code == 2)
    assert ("taken apart" in done.stdout) == (exit_code == 2)  # with a thread at work Python ends as ever


def test_networks_of_a_family_are_listed_by_part_of_their_names():
    found = CliRunner().invoke(cli.app, ["backbones", "torchvision", "--like", "SQUEEZE"])
    assert found.output.split() == ["torchvision:squeezenet1_0", "torchvision:squeezenet1_1"]
    with pytest.raises(ValueError, match="none of the 2 networks of expansion is like 'huge'"):
        networks.backbones("expansion", "huge")


def test_modules_load_without_a_search_for_garbage():
    with loading():
        assert not gc.isenabled()
    assert gc.isenabled()


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="another C library decides for itself what it keeps")
def test_arrays_freed_are_kept_for_the_next_ones():
    code = """
import resource, sys
import numpy as np
from brainnet.cli import app as cli
sys.argv = ["brainnet", "--version"]
try:
    cli.main()
except SystemExit:
    pass
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    arrays = [np.ones(3 * 2**20, np.uint8) for _ in range(40)]  # larger ones ask for huge pages
    del arrays
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""
    found = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert int(found.stdout.split()[-1]) < 10 * 3 * 2**20 // 4096  # all arrays anew would be four times as many
