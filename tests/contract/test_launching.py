"""``brainnet fit`` and ``extract`` as several processes, however these are started, and what happens when one dies.

All on CPUs, by gloo. A second machine is a second command with the variables that a launcher gives it.
"""

from __future__ import annotations

import json
import os
import re
import socket
import subprocess
import sys
import textwrap
from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from PIL import Image

from brainnet._files import file_digest

pytestmark = pytest.mark.slow

ROOT = Path(__file__).resolve().parents[2]
# the training images divide neither into whole batches nor among two or four processes
FIT = ["fit", "--config", "demo", "DATASET.N_TRAIN", "43", "DATASET.N_TEST", "13", "DATASET.N_VOXELS", "40",
       "DATASET.OPTIONS.n_val", "11", "TRAINER.MAX_EPOCHS", "6", "TRAINER.VAL_EVERY", "1", "TRAINER.ACCELERATOR", "cpu",
       "OPTIMIZER.WARMUP", "4", "BACKBONE.PRECISION", "fp32", "--quiet"]  # fmt: skip
EXTRACT = ["extract", "-b", "expansion:small", "-l", "2", "-l", "4", "--pool", "mean", "--batch-size", "1", "-q",
           "--device", "cpu"]  # fmt: skip
BATCH = 8
DYING = '''
    import os, signal
    from pathlib import Path
    import torch
    from torch.nn import functional as F

    HERE, calls = Path(__file__).parent, 0

    def die(after, rank):
        """Kills the process of this rank, or of any, at a call, once: the mark says that it did."""
        global calls
        if torch.distributed.is_initialized():
            here = torch.distributed.get_rank()
        else:
            here = int(os.environ.get("RANK", os.environ.get("NODE_RANK", 0)))
        if rank in (here, None) and not (HERE / "died").exists():
            calls += 1
            if calls > after:
                (HERE / "died").touch()
                os.kill(os.getpid(), signal.SIGKILL)

    class Linear(torch.nn.Module):
        def __init__(self, layers, layer_widths, n_vertices, coords):
            super().__init__()
            self.layer, width = layers[-1], layer_widths[-1]  # of a pair, the second is the width of the whole image
            self.head = torch.nn.Linear(width if isinstance(width, int) else width[1], n_vertices)

        def forward(self, local, global_):
            if self.training:
                die(8, 1)  # an epoch has six steps
            prediction = self.head(global_[self.layer])
            return prediction, prediction.new_zeros(())

    class Net:
        layers, layer_widths = ("a",), (3,)

        def __init__(self, rank):
            self.rank = rank

        def get_tokens(self, images):
            die(2, self.rank)
            local = {"a": F.avg_pool2d(images, 8)}
            return local, {"a": local["a"].mean((2, 3))}

        def fingerprint(self):
            return {"name": "net", "weights": "none"}

    def build():
        return Net(1)

    def build_any():
        return Net(None)
'''
# Forks processes from one that has loaded brainnet, since most of what a small command takes is the import. A line is a
# list of words and variables, one pair for each process that works beside the others.
NURSERY = """
import json, os, sys
import brainnet.cli.app
import brainnet.run.extraction.extraction, brainnet.run.fitting.training
import pytorch_lightning, lightning_fabric, timm

for line in sys.stdin:
    children = []
    for number, (words, variables, log) in enumerate(json.loads(line)):
        child = os.fork()
        if not child:
            os.environ.update(variables)
            for place, suffix in ((1, ".out"), (2, ".err")):
                os.dup2(os.open(log + suffix, os.O_WRONLY | os.O_CREAT | os.O_TRUNC), place)
            os.dup2(os.open(os.devnull, os.O_RDONLY), 0)
            sys.argv = ["brainnet", *words]
            brainnet.cli.app.command_line()
            os._exit(99)
        children.append(child)
    print(json.dumps([os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) for child in children]), flush=True)
"""


class Done(NamedTuple):
    """How a process of brainnet ended, and what it said."""

    returncode: int
    stdout: str
    stderr: str


def variables() -> dict[str, str]:
    """The environment of the tests, without what a launcher of the tests themselves would say."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("SLURM_")}
    return kept | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"}


@pytest.fixture(scope="module")
def launches(tmp_path_factory):
    """``launches(how, n, words)``: a line of brainnet as ``n`` processes, and how each of them ended.

    "torchrun" and "srun" are the variables that these give their processes, each "srun" task on a machine of its own;
    "machines" those by which a user starts the same line on several.
    """
    folder = tmp_path_factory.mktemp("logs")
    nursery = subprocess.Popen([sys.executable, "-c", NURSERY], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                               env=variables(), text=True)  # fmt: skip

    def of(how: str, n: int, words: list) -> list[Done]:
        if how == "machines":
            words = [*words, *(["TRAINER.NUM_NODES", n] if words[0] == "fit" else ["--num-nodes", n])]
        told = variables_of(how, n) if how else [{}]
        logs = [str(folder / str(rank)) for rank in range(n)]
        line = [(list(map(str, words)), one, log) for one, log in zip(told, logs, strict=True)]
        nursery.stdin.write(json.dumps(line) + "\n")
        nursery.stdin.flush()
        codes = json.loads(nursery.stdout.readline())
        return [Done(code, *(Path(log + suffix).read_text() for suffix in (".out", ".err")))
                for code, log in zip(codes, logs, strict=True)]  # fmt: skip

    yield of
    nursery.stdin.close()
    nursery.wait(timeout=60)


def variables_of(how: str, n: int) -> list[dict[str, str]]:
    """What each process finds in its environment."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": probe.getsockname()[1]}
    alike = {
        "machines": {},
        "torchrun": {"TORCHELASTIC_RUN_ID": "none", "WORLD_SIZE": n, "LOCAL_WORLD_SIZE": n, "GROUP_RANK": 0},
        "srun": {"SLURM_NTASKS": n, "SLURM_NNODES": n, "SLURM_NTASKS_PER_NODE": 1, "SLURM_STEP_NUM_TASKS": n,
                 "SLURM_JOB_NAME": "map", "SLURM_JOB_ID": 7, "SLURM_LOCALID": 0},
    }[how]  # fmt: skip
    ranks = {"machines": ["NODE_RANK"], "torchrun": ["RANK", "LOCAL_RANK"], "srun": ["SLURM_PROCID", "SLURM_NODEID"]}
    each = [meeting | alike | dict.fromkeys(ranks[how], rank) for rank in range(n)]
    return [{name: str(value) for name, value in one.items()} for one in each]


@pytest.fixture(scope="module")
def pictures(tmp_path_factory):
    folder = tmp_path_factory.mktemp("pictures")
    for i in range(67):  # a chunk of 64, and one of three
        pixels = np.random.default_rng(i).integers(0, 255, (16, 20, 3), dtype=np.uint8)
        Image.fromarray(pixels).resize((48, 48)).save(folder / f"p{i:02d}.png")
    return folder


@pytest.fixture(scope="module")
def alone(launches, tmp_path_factory, pictures):
    """The run and the features of one process."""
    folder = tmp_path_factory.mktemp("alone")
    for words in (fit_words(folder, 1), [*EXTRACT, pictures, "--out", folder / "features"]):
        (done,) = launches("", 1, words)
        assert done.returncode == 0, done.stderr
    return folder


def fit_words(folder: Path, n: int) -> list:
    """A fit whose ``n`` processes have a batch together; its store and its run lie in ``folder``."""
    return [*FIT, "DATASET.BATCH_SIZE", BATCH // n, "TOKENS.STORE", folder / "store.bin", "--out", folder / "run"]


def scores(folder: Path) -> dict[str, float]:
    """Validation and test scores of a run."""
    found = json.loads((folder / "run" / "metrics.json").read_text())
    return {"val": found["validation"]["val_r"], **{roi: row["r"]["mean"] for roi, row in found["test"].items()}}


def names(out: Path) -> set[str]:
    return {str(path.relative_to(out)) for path in out.rglob("*")}


def content(out: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in out.iterdir() if path.name != "run.json"}


@pytest.mark.parametrize(("how", "n"), [("torchrun", 2), ("torchrun", 4), ("machines", 2), ("srun", 2)])
def test_a_fit_is_that_of_one_process(launches, alone, tmp_path, how, n):
    check_fit(launches(how, n, fit_words(tmp_path, n)), alone, tmp_path)


def check_fit(done: list[Done], alone: Path, folder: Path) -> None:
    """Processes have trained the same model as one, kept the same tokens, and written once."""
    assert all(one.returncode == 0 for one in done), [one.stderr for one in done]
    assert scores(alone)["all"] > 0.1
    assert scores(folder) == pytest.approx(scores(alone), abs=1e-3)
    assert file_digest(folder / "store.bin") == file_digest(alone / "store.bin")
    assert "".join(one.stdout for one in done).count("mean test r") == 1
    assert names(folder / "run") == names(alone / "run")
    assert not any("distributed" in one.stderr for one in done)


def test_a_fit_that_torchrun_has_started(alone, tmp_path):
    call = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "brainnet"]
    done = subprocess.run([sys.executable, *call, *map(str, fit_words(tmp_path, 2))], capture_output=True, text=True,
                          env=variables(), timeout=900, check=False)  # fmt: skip
    check_fit([done], alone, tmp_path)


@pytest.mark.parametrize(("how", "n"), [("torchrun", 4), ("srun", 2)])
def test_features_are_those_of_one_process(launches, alone, pictures, tmp_path, how, n):
    done = launches(how, n, [*EXTRACT, pictures, "--out", tmp_path / "out"])
    assert all(one.returncode == 0 for one in done), [one.stderr for one in done]
    assert content(tmp_path / "out") == content(alone / "features")
    assert "".join(one.stdout for one in done).count("4.npy") == 1


# ---------------------------------------------------------------------- a process that dies


@pytest.fixture
def dying(tmp_path):
    """The file with what kills a process once; the mark that it did lies beside it."""
    folder = tmp_path / "code"
    folder.mkdir()
    (folder / "dying.py").write_text(textwrap.dedent(DYING))
    return folder / "dying.py"


def check_told(done: list[Done], dying: Path) -> str:
    """The process died, the other has ended too and says why in one line; which is given back."""
    assert (dying.parent / "died").exists()
    assert [one.returncode for one in done] == [2, -9], done[0].stderr
    said = " ".join(done[0].stderr.split())
    assert said.count("error:") == 1
    assert "Traceback" not in said
    assert "another of the 2 processes has ended" in said
    return said


@pytest.mark.parametrize("how", ["torchrun", "machines"])
def test_a_worker_that_dies_in_training_ends_the_fit(launches, tmp_path, dying, how):
    words = [*fit_words(tmp_path, 2), "MODEL.READOUT", f"{dying}:Linear"]
    said = check_told(launches(how, 2, words), dying)
    assert "--resume" in said
    assert not (tmp_path / "run" / "run.json").exists()
    again = launches(how, 2, [*words, "--resume"])
    assert all(one.returncode == 0 for one in again), [one.stderr for one in again]
    assert (tmp_path / "run" / "run.json").exists()


@pytest.mark.parametrize("how", ["torchrun", "lightning"])
def test_a_worker_that_dies_ends_the_extraction_and_the_same_line_goes_on(launches, tmp_path, pictures, dying, how):
    words = ["extract", "-b", f"{dying}:build", "--pool", "mean", "--batch-size", "1", "-q", "--device", "cpu",
             pictures]  # fmt: skip
    if how == "torchrun":
        check_told(launches(how, 2, [*words, "--out", tmp_path / "out"]), dying)
    else:  # which starts the second process by itself
        done = subprocess.run(
            [sys.executable, "-m", "brainnet", *map(str, words), "--devices", "2", "--out", str(tmp_path / "out")],
            capture_output=True, text=True, env=variables(), timeout=900, check=False,
        )  # fmt: skip
        check_told([done, Done(-9, "", "")], dying)
    (again,), (whole,) = (launches("", 1, [*words, "--out", tmp_path / name]) for name in ("out", "whole"))
    assert again.returncode == whole.returncode == 0, (again.stderr, whole.stderr)
    assert content(tmp_path / "out") == content(tmp_path / "whole")


def test_a_process_that_dies_while_tokens_are_made_leaves_them_to_the_next(launches, tmp_path, dying):
    """The one that makes tokens dies; torchrun ends the other."""
    images, store = tmp_path / "data" / "images", tmp_path / "tokens.bin"
    images.mkdir(parents=True)
    random = np.random.default_rng(0)
    for i in range(40):
        Image.fromarray(random.integers(0, 255, (32, 32, 3), dtype=np.uint8)).save(images / f"{i:02d}.png")
    np.save(images.parent / "responses.npy", random.normal(size=(40, 5)))
    words = ["fit", "DATASET.NAME", "array", "DATASET.DATA_DIR", images.parent, "BACKBONE.NAME", f"{dying}:build_any",
             "TOKENS.BATCH_SIZE", "4", "DATASET.BATCH_SIZE", "4", "MODEL.GRID", "(4,4)", "MODEL.BOTTLENECK_DIM", "4",
             "TRAINER.MAX_EPOCHS", "1", "TRAINER.ACCELERATOR", "cpu", "--quiet"]  # fmt: skip
    call = ["-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "2", "-m", "brainnet", *words]
    done = subprocess.run(
        [sys.executable, *map(str, [*call, "TOKENS.STORE", store, "--out", tmp_path / "run"])], capture_output=True,
        text=True, env=variables(), timeout=900, check=False,
    )  # fmt: skip
    assert done.returncode != 0
    assert (dying.parent / "died").exists()
    assert not (tmp_path / "run" / "run.json").exists()
    (again,) = launches("", 1, [*words, "TOKENS.STORE", store, "--out", tmp_path / "run"])
    (whole,) = launches("", 1, [*words, "TOKENS.STORE", tmp_path / "whole.bin", "--out", tmp_path / "whole"])
    assert again.returncode == whole.returncode == 0, (again.stderr, whole.stderr)
    assert file_digest(store) == file_digest(tmp_path / "whole.bin")


# ---------------------------------------------------------------------- Slurm itself


@pytest.fixture
def slurm(tmp_path):
    """The environment of a Slurm of this machine alone, which ends with the test."""
    toy_slurm = pytest.importorskip("tests.run.sweep.toy_slurm")
    if missing := toy_slurm.what_is_missing("srun"):
        pytest.skip(missing)
    with toy_slurm.running(tmp_path / "slurm") as environment:
        if environment is None:
            pytest.skip("Slurm does not start here")
        yield environment


def test_the_job_of_the_page_is_the_fit_and_the_features_of_one_process(alone, pictures, tmp_path, slurm):
    """The page's script, on one machine without a GPU, with the lines of these tests."""
    page = (ROOT / "docs" / "howto" / "processes.md").read_text()
    script = re.search(r"^#!/bin/bash\n(.*?)^```", page, flags=re.DOTALL | re.MULTILINE)[0].removesuffix("```")
    shown = re.findall(r"brainnet .*", script)
    lines = [fit_words(tmp_path, 2), [*EXTRACT, pictures, "--out", tmp_path / "out"]]
    assert [line.split()[1] for line in shown] == [words[0] for words in lines]
    for line, words in zip(shown, lines, strict=True):
        script = script.replace(line, " ".join(map(str, [sys.executable, "-m", "brainnet", *words])))
    for there, here in (("--nodes=2", "--nodes=1"), ("--ntasks-per-node=4", "--ntasks-per-node=2"),
                        ("#SBATCH --gpus-per-node=4\n", f"#SBATCH --output={tmp_path}/job.log\n")):  # fmt: skip
        assert there in script
        script = script.replace(there, here)
    (tmp_path / "job.sh").write_text(script)
    done = subprocess.run(
        ["sbatch", "--wait", tmp_path / "job.sh"], capture_output=True, text=True, check=False, timeout=400,
        env=slurm | {"PYTHONPATH": str(ROOT), "OMP_NUM_THREADS": "1"},
    )  # fmt: skip
    assert done.returncode == 0, (done.stderr, (tmp_path / "job.log").read_text())
    assert scores(tmp_path) == pytest.approx(scores(alone), abs=1e-3)
    assert file_digest(tmp_path / "store.bin") == file_digest(alone / "store.bin")
    assert content(tmp_path / "out") == content(alone / "features")
