"""Killed anywhere, the same line ends with the same files: every command that keeps something on its way.

The slow test kills at random moments, as many as ``BRAINNET_TEST_KILLS`` says (default 3 a command).
"""

from __future__ import annotations

import json
import os
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from tests.contract.toy_inputs import lines, write_inputs

KILLS = int(os.environ.get("BRAINNET_TEST_KILLS", "3"))
COMMANDS = ("extract", "rdm", "fit", "encode", "searchlight", "rsa compare")
OF_THE_MOMENT = {"created", "time", "peak_memory_gb", "command", "source", "machine"}  # of a card: when and how long
# kills before the n-th file is put in its place: the file is complete under another name, and nothing else happened
KILL_IN_WRITE = """
import os, signal, sys
from brainnet import _files
real, left = os.replace, [{n}]
def replace(*paths):
    left[0] -= 1
    if not left[0]:
        os.kill(os.getpid(), signal.SIGKILL)
    return real(*paths)
_files.os.replace = replace
from brainnet.cli.app import command_line
sys.argv = ["brainnet", *{words!r}]
command_line()
"""


@pytest.fixture(scope="module")
def inputs(tmp_path_factory) -> Path:
    return write_inputs(tmp_path_factory.mktemp("inputs"))


def start(words: list[str], code: str | None = None) -> subprocess.Popen:
    call = ["-m", "brainnet", *words] if code is None else ["-c", code]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.Popen([sys.executable, *call], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, env=environment,
                            start_new_session=True)  # fmt: skip


def finish(words: list[str], out: Path) -> None:
    """Runs the line again as a user would: fit is told to go on, or to begin anew where nothing is kept."""
    if words[0] == "fit" and out.exists() and any(out.iterdir()):
        words = [*words, "--resume" if (out / "checkpoints" / "last.ckpt").is_file() else "--overwrite"]
    process = start(words)
    said, _ = process.communicate(timeout=300)
    was_through = (out / "run.json").is_file() and b"holds results already" in b" ".join(said.split())
    assert process.returncode == 0 or was_through, said.decode()


def content(out: Path) -> dict[str, object]:
    """What the files of a folder hold, but for what every run does at another time."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out)).replace(str(out), "OUT")
        if path.is_dir() or path.suffix == ".lock" or name.startswith("log"):
            continue
        if path.name == "run.json":
            card = json.loads(path.read_text().replace(str(out), "OUT"))
            found[name] = {key: value for key, value in card.items() if key not in OF_THE_MOMENT}
        else:
            found[name] = path.read_bytes()
    return found


def numbers(out: Path) -> dict[str, object]:
    """Of a fit: its scores and selectors, to the digits in which sums in another order may differ."""
    with np.load(out / "selectors.npz", allow_pickle=False) as saved:
        arrays = {k: np.round(saved[k].astype(float), 4).tolist() for k in ("layer", "space", "scale")}
    return {**arrays, "metrics": json.loads((out / "metrics.json").read_text())["test"]["all"]["r"]["mean"]}


def same(command: str, out: Path, undisturbed: Path) -> None:
    if command == "fit":
        found, expected = numbers(out), numbers(undisturbed)
        assert found.pop("metrics") == pytest.approx(expected.pop("metrics"), abs=1e-4)
        assert found == expected
        return
    found, expected = content(out), content(undisturbed)
    assert found.keys() == expected.keys()
    differing = [name for name in found if found[name] != expected[name]]
    assert not differing


@pytest.fixture(scope="module")
def undisturbed(inputs, tmp_path_factory):
    """Command to (its finished folder, how long it took)."""
    done: dict[str, tuple[Path, float]] = {}

    def of(command: str) -> tuple[Path, float]:
        if command not in done:
            out, began = tmp_path_factory.mktemp("whole") / "out", time.monotonic()
            finish([*lines(inputs)[command], "--out", str(out)], out)
            done[command] = out, time.monotonic() - began
        return done[command]

    return of


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_random_moments_the_same_line_ends_with_the_same_files(command, inputs, undisturbed, tmp_path):
    whole, duration = undisturbed(command)
    moments = random.Random(command)
    for number in range(KILLS):
        out = tmp_path / str(number) / "out"
        out.parent.mkdir()
        words = [*lines(inputs)[command], "--out", str(out)]
        process = start(words)
        time.sleep(moments.uniform(0.4, 1) * duration)
        os.killpg(process.pid, signal.SIGKILL)
        process.communicate()
        finish(words, out)
        same(command, out, whole)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_inside_the_write_of_every_file(command, inputs, undisturbed, tmp_path):
    whole, _ = undisturbed(command)
    number, killed = 0, True
    while killed and number < 40:
        number += 1
        out = tmp_path / str(number) / "out"
        out.parent.mkdir()
        words = [*lines(inputs)[command], "--out", str(out)]
        process = start([], KILL_IN_WRITE.format(n=number, words=words))
        said, _ = process.communicate(timeout=300)
        killed = process.returncode == -signal.SIGKILL
        assert killed or process.returncode == 0, said.decode()
        if killed:
            finish(words, out)
        same(command, out, whole)
    assert number > 1, "no file was ever put in its place by the house's tool"
