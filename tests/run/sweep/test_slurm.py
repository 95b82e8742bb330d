from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from brainnet._files import read_json
from brainnet.run.sweep import slurm as room
from brainnet.run.sweep.slurm import write_job
from brainnet.run.sweep.state import status_of
from brainnet.run.sweep.sweep import run_sweep
from tests.run.sweep import toy_slurm
from tests.run.sweep.toys import asked, check_same, large

JOB = {"cores": 1, "memory": "2GB", "processes": 1, "walltime": "00:20:00", "interface": "lo"}


def test_the_job_script_does_the_sweep(tmp_path):
    """As Slurm runs it: bash reads it, and #SBATCH lines are comments."""
    alone = run_sweep(asked(2, 2), tmp_path / "alone", progress=False)
    (tmp_path / "my sweep.yaml").write_text(yaml.safe_dump(asked(2, 2)))
    path = write_job(tmp_path / "my sweep.yaml", tmp_path / "out", tmp_path / "job.sh", 3, {"gres": "gpu:1"})
    lines = path.read_text().splitlines()
    assert {"#SBATCH --array=0-2", "#SBATCH --gres=gpu:1"} <= set(lines)
    done = subprocess.run([shutil.which("bash"), path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "sweep.csv", keep_default_na=False, na_values=[""])
    assert len(table) == len(alone)
    assert table["mean"].tolist() == pytest.approx(alone["mean"].tolist(), rel=1e-12)


def test_a_task_that_comes_near_its_time_limit_stops_its_worker_and_is_queued_again(commands, tmp_path, monkeypatch):
    commands(worker="trap 'echo stopped >> said; exit 130' TERM; echo begun >> said; while true; do sleep 0.1; done",
             scontrol="echo $* >> said")  # fmt: skip
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "worker"))
    monkeypatch.setenv("SLURM_JOB_ID", "71")
    path = write_job(tmp_path / "sweep.yaml", tmp_path / "out", tmp_path / "job.sh", 1, {"time": "1:00:00"})
    assert {"#SBATCH --requeue", "#SBATCH --signal=B:USR1@120"} <= set(path.read_text().splitlines())
    job = subprocess.Popen(["bash", path])
    until = time.monotonic() + 120
    while not (tmp_path / "said").is_file() and time.monotonic() < until:
        time.sleep(0.05)
    job.send_signal(signal.SIGUSR1)
    job.wait(timeout=120)
    assert (tmp_path / "said").read_text().split("\n") == ["begun", "stopped", "requeue 71", ""]


@pytest.mark.parametrize("code", [0, 1])
def test_a_task_ends_as_its_worker_did(code, commands, tmp_path, monkeypatch):
    commands(worker=f"exit {code}", scontrol="echo $* >> said")
    monkeypatch.setattr(sys, "executable", str(tmp_path / "bin" / "worker"))
    path = write_job(tmp_path / "sweep.yaml", tmp_path / "out", tmp_path / "job.sh", 1)
    assert subprocess.run(["bash", path], check=False).returncode == code
    assert not (tmp_path / "said").exists()


def test_an_option_of_two_lines_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one line"):
        write_job("a", tmp_path, tmp_path / "job.sh", 1, {"time": "1\nrm -r x"})


# ---------------------------------------------------------------------- workers of dask


@pytest.fixture
def commands(tmp_path, monkeypatch):
    """Puts commands onto the PATH in place of Slurm's: name and lines of bash."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:{Path(sys.executable).parent}:/usr/bin:/bin")
    monkeypatch.setenv("PYTHONPATH", os.environ.get("PYTHONPATH", str(Path.cwd())))
    monkeypatch.chdir(tmp_path)

    def put(**lines: str) -> None:
        for name, text in lines.items():
            (folder / name).write_text(f"#!/bin/bash\n{text}\n")
            (folder / name).chmod(0o755)

    put(scancel="exit 0")
    return put


def swept_by_jobs(out, networks=2, **job):
    return run_sweep(asked(networks, 1, methods=["rsa"], controls=[]), out, n_jobs=2, engine_name="slurm",
                     engine_options={**JOB, **job}, progress=False)  # fmt: skip


def test_what_sbatch_refuses_is_said_and_what_is_done_is_kept(commands, tmp_path):
    pytest.importorskip("dask_jobqueue")
    commands(sbatch="echo 'sbatch: error: invalid partition specified: nowhere' >&2; exit 1")
    run_sweep(asked(1, 1, methods=["rsa"], controls=[]), tmp_path / "out", progress=False)
    with pytest.raises(OSError, match=r"invalid partition specified: nowhere.*is kept") as said:
        swept_by_jobs(tmp_path / "out", queue="nowhere")
    assert "\n" not in str(said.value)
    assert status_of(tmp_path / "out")["state"].tolist() == ["done", "left"]


def test_a_machine_without_sbatch_is_told_so(commands, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setenv("PATH", str(tmp_path / "bin"))
    with pytest.raises(FileNotFoundError, match="sbatch"):
        swept_by_jobs(tmp_path / "out")


def test_jobs_that_end_before_a_worker_is_there_are_not_waited_for(commands, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    monkeypatch.setattr(room, "LOOKS_EVERY", 0.1)
    commands(sbatch="echo Submitted batch job 71", squeue="echo 'slurm_load_jobs error: Invalid job id' >&2; exit 1")
    with pytest.raises(OSError, match=r"71.*slurm-NUMBER.out"):
        swept_by_jobs(tmp_path / "out")


# ---------------------------------------------------------------------- Slurm itself


@pytest.fixture(scope="module")
def large_alone(tmp_path_factory):
    """The folder of the large sweep, done by one worker in this process."""
    out = tmp_path_factory.mktemp("large")
    run_sweep(large(), out, progress=False)
    return out


@pytest.fixture
def slurm(tmp_path):
    """The environment of a Slurm of this machine alone, which ends with the test."""
    if missing := toy_slurm.what_is_missing():
        pytest.skip(missing)
    with toy_slurm.running(tmp_path / "slurm") as environment:
        if environment is None:
            pytest.skip("Slurm does not start here")
        yield environment


@pytest.fixture
def here(slurm, tmp_path, monkeypatch):
    """This process is one of Slurm's."""
    for name in ("SLURM_CONF", "PYTHONPATH"):
        monkeypatch.setenv(name, slurm.get(name, str(Path.cwd())))
    monkeypatch.chdir(tmp_path)


@pytest.mark.slow
def test_daemons_of_slurm_end_with_a_test_that_is_killed(tmp_path):
    if missing := toy_slurm.what_is_missing():
        pytest.skip(missing)
    code = (
        "import pathlib, sys, time; from tests.run.sweep.toy_slurm import keeper; "
        "print(*keeper(pathlib.Path(sys.argv[1]))[2], flush=True); time.sleep(600)"
    )
    test = subprocess.Popen([sys.executable, "-c", code, tmp_path / "slurm"], stdout=subprocess.PIPE, text=True,
                            start_new_session=True, env={**os.environ, "PYTHONPATH": os.getcwd()})  # fmt: skip
    daemons = [int(word) for word in test.stdout.readline().split()]
    assert len(daemons) == 3
    assert all(Path(f"/proc/{one}").exists() for one in daemons)
    os.killpg(test.pid, signal.SIGKILL)
    test.wait()
    until = time.monotonic() + 60
    while any(Path(f"/proc/{one}").exists() for one in daemons) and time.monotonic() < until:
        time.sleep(0.2)
    assert [one for one in daemons if Path(f"/proc/{one}").exists()] == []


@pytest.mark.slow
@pytest.mark.parametrize("wrong", [{"queue": "nowhere"}, {"job_extra_directives": ["--constraint=nowhere"]}])
def test_slurm_itself_refuses_in_one_line(wrong, here, tmp_path):
    pytest.importorskip("dask_jobqueue")
    with pytest.raises(OSError, match="sbatch: error"):
        swept_by_jobs(tmp_path / "out", **wrong)


@pytest.mark.slow
def test_a_job_array_of_slurm_gives_the_same_table(large_alone, slurm, tmp_path):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(large()))
    out = tmp_path / "out"
    out.mkdir()
    path = write_job(tmp_path / "sweep.yaml", out, tmp_path / "job.sh", 2)
    done = subprocess.run(["sbatch", "--wait", path], env=slurm, capture_output=True, text=True, check=False,
                          timeout=1800)  # fmt: skip
    logs = [path.read_text() for path in sorted(out.glob("slurm-*.log"))]
    assert done.returncode == 0, (done.stderr, logs)
    assert len(logs) == 2
    check_same(out, large_alone)
    workers = {read_json(path)["process"] for path in out.rglob("cell.json")}
    assert len(workers) == 2, "one task did all the cells"


@pytest.mark.slow
def test_dask_workers_that_are_jobs_of_slurm_give_the_same_table(large_alone, here, tmp_path):
    pytest.importorskip("dask_jobqueue")
    run_sweep(large(), tmp_path / "out", n_jobs=2, engine_name="slurm", engine_options=JOB, progress=False)
    check_same(tmp_path / "out", large_alone)
