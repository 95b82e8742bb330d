"""Killed anywhere, the same line ends with the same files: every command that fills a folder.

The slow tests kill as often as ``BRAINNET_TEST_KILLS`` says (default 20): at so many random moments of a command, and
inside the write of so many of its files; from 20 on, of every file.
"""

from __future__ import annotations

import json
import os
import random
import shutil
import time
from pathlib import Path

import pytest
import torch

from tests.contract.killing import Nursery
from tests.contract.toy_inputs import lines, write_inputs

KILLS = int(os.environ.get("BRAINNET_TEST_KILLS", "20"))
COMMANDS = ("extract", "rdm", "compare", "fit", "encode", "encode with weights", "searchlight", "searchlight group",
            "rsa compare", "rsa time", "rsa fit", "rsa partition", "rsa steps", "predict", "plot", "demo",
            "sweep", "sweep compare")  # fmt: skip
OF_THE_MOMENT = {"created", "time", "seconds", "peak_memory_gb", "command", "commit", "source", "machine", "process",
                 "forecast", "seal"}  # fmt: skip  # of a card; a seal is over all of it, also the commit
DEMO = ["demo", "TRAINER.MAX_EPOCHS", "2", "TRAINER.VAL_EVERY", "1", "TOKENS.PCA", "0", "TOKENS.WHITEN", "False",
        "DATASET.OPTIONS.n_train", "60", "DATASET.OPTIONS.n_val", "20", "DATASET.OPTIONS.n_test", "20",
        "DATASET.OPTIONS.n_voxels", "60"]  # fmt: skip


class Study:
    """Toy inputs, a nursery, and every command's finished folder with how long it took and how many files it put."""

    def __init__(self, folder: Path):
        self.inputs = write_inputs(folder / "inputs")
        self.nursery = Nursery(folder / "said.txt")
        self.folder, self.out = folder, folder / "out"  # every line fills the same folder: paths stand in files
        self._whole: dict[str, tuple[Path, float, int]] = {}

    def words(self, command: str, out: Path) -> list[str]:
        """Of the line that fills ``out``."""
        toy = lines(self.inputs)
        at = ["--out", str(out)]
        if command == "plot":
            return ["plot", str(out)]
        if command == "sweep compare":
            return ["sweep", "compare", str(out), "--format", "png"]
        if command == "predict":
            return ["predict", str(self.whole("fit")[0]), str(self.inputs / "data" / "images"), *at]
        if command == "demo":
            return [*DEMO, *at]
        if command == "encode with weights":
            return [*toy["encode"], "--keep-weights", *at]
        if command == "searchlight group":
            maps = str(self.whole("searchlight")[0])
            return ["searchlight", "group", *6 * [maps], "--permutations", "50", *at]
        return [*toy[command], *at]

    def begin(self, command: str) -> Path:
        """The folder as it is before the line runs: a finished one for lines that add to it, none for the others."""
        out = self.out
        if out.exists():
            shutil.rmtree(out)
        if command == "plot":
            shutil.copytree(self.whole("fit")[0], out)
            for picture in out.glob("maps.*"):
                picture.unlink()
        if command == "sweep compare":
            shutil.copytree(self.whole("sweep")[0], out)
        return out

    def finish(self, command: str) -> None:
        """Runs the line again as a user would: fit is told to go on, or to begin anew where nothing is kept."""
        out = self.out
        words = self.words(command, out)
        if command == "fit" and out.exists() and any(out.iterdir()):
            words = [*words, "--resume" if (out / "checkpoints" / "last.ckpt").is_file() else "--overwrite"]
        code = self.nursery.run(words)
        if (
            code == 2
            and "holds results already" in " ".join(self.nursery.said().split())
            and (out / "run.json").is_file()
        ):
            return  # the kill came when all was done
        assert code == 0, self.nursery.said()

    def whole(self, command: str) -> tuple[Path, float, int]:
        """(folder of a run that nobody disturbed, seconds it took, files it put in their places)."""
        if command not in self._whole:
            words, out = self.words(command, self.out), self.begin(command)
            began = time.monotonic()
            code = self.nursery.run(words)
            took = time.monotonic() - began
            assert code == 0, self.nursery.said()
            whole = self.folder / command.replace(" ", "_")
            shutil.copytree(out, whole)
            self._whole[command] = whole, took, len(self.nursery.files())
        return self._whole[command]

    def check(self, command: str) -> None:
        """Fails where the folder holds other files than those of an undisturbed run, or other bytes or numbers."""
        undisturbed, out = self.whole(command)[0], self.out
        found, expected = content(out), content(undisturbed)
        assert found.keys() == expected.keys()
        differing = [name for name in found if found[name] != expected[name]]
        of_fits = [name for name in differing if command == "fit" or "_fit_" in name]
        for name in [name for name in of_fits if name.endswith(".ckpt")]:
            # the pickle of a training that went on has the same numbers, but other bytes
            weights, others = (torch.load(at / name, weights_only=True)["state_dict"] for at in (out, undisturbed))
            torch.testing.assert_close(weights, others, rtol=0, atol=0)
        of_fits = {name for name in of_fits if name.endswith((".ckpt", "run.json"))}
        differing = [name for name in differing if name not in of_fits]
        assert not differing


def content(out: Path) -> dict[str, object]:
    """What the files of a folder hold, but for what every run does at another time."""
    found: dict[str, object] = {}
    for path in sorted(out.rglob("*")):
        name = str(path.relative_to(out))
        if path.is_dir() or path.suffix == ".lock" or name.startswith("log"):
            continue
        if path.name in ("run.json", "cell.json"):
            card = json.loads(path.read_text())
            found[name] = {key: value for key, value in card.items() if key not in OF_THE_MOMENT}
        else:
            found[name] = path.read_bytes()
    return found


@pytest.fixture(scope="module")
def study(tmp_path_factory):
    study = Study(tmp_path_factory.mktemp("study"))
    yield study
    study.nursery.close()


def killed_at_random(study: Study, command: str, kills: int) -> None:
    _, duration, _ = study.whole(command)
    moments = random.Random(command)
    for _ in range(kills):
        study.nursery.run(study.words(command, study.begin(command)), kill_after=moments.uniform(0, 1) * duration)
        study.finish(command)
        study.check(command)


def killed_in_writes(study: Study, command: str, kills: int) -> None:
    _, _, n_files = study.whole(command)
    assert n_files, "no file was ever put in its place by the house's tool"
    every = range(1, n_files + 1)
    for number in every if kills >= 20 else random.Random(command).sample(every, min(kills, n_files)):
        code = study.nursery.run(study.words(command, study.begin(command)), kill_at=number)
        assert code == -9, study.nursery.said()
        study.finish(command)
        study.check(command)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_at_random_moments_the_same_line_ends_with_the_same_files(command, study):
    killed_at_random(study, command, KILLS)


@pytest.mark.slow
@pytest.mark.parametrize("command", COMMANDS)
def test_killed_inside_the_write_of_every_file(command, study):
    killed_in_writes(study, command, KILLS)


def test_a_killed_searchlight_goes_on(study):
    killed_at_random(study, "searchlight", 1)
    killed_in_writes(study, "searchlight", 1)
