from __future__ import annotations

import os
import random
import signal
import subprocess
import sys
import time

import pandas as pd
import pytest
import yaml

from brainnet._files import read_json
from brainnet.run.sweep.state import status_of
from brainnet.run.sweep.sweep import run_sweep
from tests.run.sweep.toys import FIT, LARGE_CELLS, asked, large, network, subject


def test_it_leaves_a_table_a_card_and_no_tokens(tmp_path):
    table = run_sweep(asked(2, 1), tmp_path, progress=False)
    assert set(table["model"]) == {"net00", "net01"}
    card = read_json(tmp_path / "run.json")
    assert card["cells"] == {"done": 8, "failed": 0, "left": 0}
    assert card["kind"] == "sweep"
    assert not list(tmp_path.rglob("*.bin*"))


def test_a_sweep_that_grows_does_only_what_is_new(tmp_path):
    run_sweep(asked(1, 1), tmp_path, progress=False)
    before = {path: path.stat().st_mtime_ns for path in tmp_path.rglob("cell.json")}
    table = run_sweep(asked(2, 1), tmp_path, progress=False)
    assert set(table["model"]) == {"net00", "net01"}
    assert all(path.stat().st_mtime_ns == then for path, then in before.items())


def test_the_folder_of_another_command_is_left_alone(tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "encode"}')
    with pytest.raises(FileExistsError, match="encode"):
        run_sweep(asked(1, 1), tmp_path, progress=False)


def test_tokens_that_a_killed_worker_left_are_dropped_at_the_end(tmp_path):
    run_sweep(asked(1, 1, methods=["rsa"]), tmp_path, progress=False)
    left = tmp_path / "tokens" / "net00" / "own_0123.bin"
    left.parent.mkdir(parents=True)
    left.write_bytes(b"x")
    run_sweep(asked(1, 1, methods=["rsa"]), tmp_path, progress=False)
    assert not left.exists()


# ---------------------------------------------------------------------- killed


def words(path, out, jobs=2):
    return [sys.executable, "-m", "brainnet", "sweep", "run", str(path), "--out", str(out), "--jobs", str(jobs)]


def killed(path, out, moments) -> None:
    """Runs the line, killed with all its processes at these moments, and then to its end."""
    for moment in moments:
        process = subprocess.Popen(words(path, out), start_new_session=True, stderr=subprocess.DEVNULL)
        time.sleep(moment)
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
    done = subprocess.run(words(path, out), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def same_tables(out, other) -> None:
    for name in ("sweep.csv", "failures.csv"):
        assert (out / name).read_bytes() == (other / name).read_bytes()
    assert set(status_of(out)["state"]) == {"done"}


@pytest.mark.slow
def test_killed_five_times_at_random_it_ends_with_the_tables_of_an_undisturbed_run(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(large()))
    began = time.monotonic()
    undisturbed = run_sweep(path, tmp_path / "undisturbed", n_jobs=2, progress=False)
    took = time.monotonic() - began
    assert undisturbed["model"].nunique() == 24
    card = read_json(tmp_path / "undisturbed" / "run.json")
    assert card["cells"] == {"done": LARGE_CELLS, "failed": 0, "left": 0}
    chance = random.Random(0)
    killed(path, tmp_path / "killed", [8 + chance.uniform(0, 0.25) * took for _ in range(5)])
    same_tables(tmp_path / "killed", tmp_path / "undisturbed")


@pytest.mark.slow
def test_memory_does_not_grow_with_the_number_of_networks(tmp_path):
    """The peak of a process of 6 networks and of one of 24; the networks are wide, so that held ones would be seen."""
    code = (
        "import sys; from brainnet.run.sweep import run_sweep; from brainnet.run.record.card import peak_memory; "
        "run_sweep(sys.argv[1], sys.argv[2], progress=False); print(peak_memory())"
    )
    peaks = {}
    for n in (6, 24):
        path = tmp_path / f"{n}.yaml"
        backbones = [network(seed, width=400) for seed in range(n)]  # 11.5 MB of weights each, 21 MB of tokens
        path.write_text(yaml.safe_dump(asked(backbones=backbones, subjects=1, methods=["rsa"], controls=[])))
        done = subprocess.run([sys.executable, "-c", code, str(path), str(tmp_path / str(n))], capture_output=True,
                              text=True, check=True)  # fmt: skip
        peaks[n] = int(done.stdout)
    assert peaks[24] < peaks[6] + 40e6, peaks


# ---------------------------------------------------------------------- planted


def test_a_killed_sweep_of_a_few_cells_goes_on(tmp_path):
    path = tmp_path / "sweep.yaml"
    path.write_text(yaml.safe_dump(asked(2, 1, methods=["ridge", "rsa", {**FIT, "backbones": ["net00"]}])))
    run_sweep(path, tmp_path / "undisturbed", progress=False)
    killed(path, tmp_path / "killed", [6.0])
    same_tables(tmp_path / "killed", tmp_path / "undisturbed")


def test_the_source_of_a_subject_is_first_in_its_region(tmp_path):
    given = asked(5, methods=["ridge"], subjects={"s": subject(0, source=3, n_images=120, noise=0.2)}, controls=[])
    table = run_sweep(given, tmp_path, progress=False)
    rows = table[(table["roi"] == "IT") & (table["layer"] == "best")].sort_values("mean", ascending=False)
    assert rows["model"].iloc[0] == "net03"
    assert isinstance(table, pd.DataFrame)
