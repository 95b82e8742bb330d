from __future__ import annotations

import contextlib
import os
import platform
import shutil
import subprocess
import time
from pathlib import Path

import pandas as pd
import pytest
import yaml

from brainnet._files import read_json
from brainnet.run.sweep.engines import engine, write_job
from brainnet.run.sweep.state import status_of
from brainnet.run.sweep.sweep import run_sweep
from tests.run.sweep.toys import LARGE_CELLS, asked, large


@pytest.fixture(scope="module")
def alone(tmp_path_factory):
    """The table of one worker in this process."""
    return run_sweep(asked(2, 2), tmp_path_factory.mktemp("alone"), progress=False)


@pytest.fixture(scope="module")
def large_alone(tmp_path_factory):
    """The folder of the large sweep, done by one worker in this process."""
    out = tmp_path_factory.mktemp("large")
    run_sweep(large(), out, progress=False)
    return out


def check_same(out, other) -> None:
    states = status_of(out)["state"].tolist()
    assert states == ["done"] * LARGE_CELLS
    assert (out / "sweep.csv").read_bytes() == (other / "sweep.csv").read_bytes()


def test_processes_give_the_same_table(alone, tmp_path):
    table = run_sweep(asked(2, 2), tmp_path, n_jobs=2, progress=False)
    pd.testing.assert_frame_equal(table, alone, check_exact=True)


@pytest.mark.slow
def test_dask_gives_the_same_table(large_alone, tmp_path):
    pytest.importorskip("distributed")
    run_sweep(large(), tmp_path, n_jobs=2, engine_name="dask", progress=False)
    check_same(tmp_path, large_alone)


def test_an_unknown_engine_is_refused():
    with pytest.raises(ValueError, match="processes"), engine("proceses", 2):
        pass


def test_an_engine_that_is_not_installed_says_what_to_install():
    with pytest.raises(ModuleNotFoundError, match="pip install"), engine("ray", 2):
        pytest.skip("ray is installed here")


def test_the_job_script_does_the_sweep(alone, tmp_path):
    """As Slurm runs it: bash reads it, and #SBATCH lines are comments."""
    (tmp_path / "my sweep.yaml").write_text(yaml.safe_dump(asked(2, 2)))
    path = write_job(tmp_path / "my sweep.yaml", tmp_path / "out", tmp_path / "job.sh", 3, {"gres": "gpu:1"})
    lines = path.read_text().splitlines()
    assert {"#SBATCH --array=0-2", "#SBATCH --gres=gpu:1"} <= set(lines)
    done = subprocess.run([shutil.which("bash"), path], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    table = pd.read_csv(tmp_path / "out" / "sweep.csv", keep_default_na=False, na_values=[""])
    assert len(table) == len(alone)
    assert table["mean"].tolist() == pytest.approx(alone["mean"].tolist(), rel=1e-12)


def test_an_option_of_two_lines_is_refused(tmp_path):
    with pytest.raises(ValueError, match="one line"):
        write_job("a", tmp_path, tmp_path / "job.sh", 1, {"time": "1\nrm -r x"})


# ---------------------------------------------------------------------- Slurm itself

NEEDED = ("slurmctld", "slurmd", "sbatch", "sinfo")
SLURM = """
ClusterName=brainnet
SlurmctldHost={host}
AuthType=auth/munge
SlurmUser=root
SlurmdUser=root
StateSaveLocation={folder}/state
SlurmdSpoolDir={folder}/spool
SlurmctldPidFile={folder}/control.pid
SlurmdPidFile={folder}/node.pid
SlurmctldLogFile={folder}/control.log
SlurmdLogFile={folder}/node.log
SlurmctldPort=16817
SlurmdPort=16818
ProctrackType=proctrack/linuxproc
TaskPlugin=task/none
SelectType=select/cons_tres
SelectTypeParameters=CR_Core
MpiDefault=none
ReturnToService=2
NodeName={host} CPUs=2 RealMemory=4000 State=UNKNOWN
PartitionName=main Nodes=ALL Default=YES MaxTime=INFINITE State=UP
"""


@pytest.fixture
def slurm(tmp_path):
    """The environment of a Slurm of this machine alone, which ends with the test."""
    missing = [name for name in NEEDED if shutil.which(name) is None]
    if missing or os.getuid() != 0 or shutil.which("munged") is None:
        pytest.skip("needs Slurm and munge (apt install slurm-wlm munge), and to be root")
    folder, host = tmp_path / "slurm", platform.node().partition(".")[0]
    (folder / "state").mkdir(parents=True)
    (folder / "spool").mkdir()
    (folder / "slurm.conf").write_text(SLURM.format(host=host, folder=folder))
    environment = {**os.environ, "SLURM_CONF": str(folder / "slurm.conf")}
    subprocess.run(["su", "-s", "/bin/sh", "munge", "-c", "mkdir -p /run/munge; munged"], check=False,
                   capture_output=True)  # fmt: skip
    daemons = []
    try:
        for name in ("slurmctld", "slurmd"):
            daemons.append(subprocess.Popen([name, "-D"], env=environment, stderr=subprocess.DEVNULL))
        for _ in range(40):
            time.sleep(0.5)
            state = subprocess.run(
                ["sinfo", "-h", "-o", "%T"], env=environment, capture_output=True, text=True, check=False
            )
            if state.stdout.strip() == "idle":
                break
        else:
            pytest.skip("Slurm does not start here")
        yield environment
    finally:
        for one in daemons:
            one.terminate()
        for one in daemons:
            with contextlib.suppress(subprocess.TimeoutExpired):
                one.wait(10)


@pytest.mark.slow
def test_a_job_array_of_slurm_gives_the_same_table(large_alone, slurm, tmp_path):
    (tmp_path / "sweep.yaml").write_text(yaml.safe_dump(large()))
    out = tmp_path / "out"
    out.mkdir()
    path = write_job(tmp_path / "sweep.yaml", out, tmp_path / "job.sh", 2)
    done = subprocess.run(
        ["sbatch", "--wait", path], env=slurm, capture_output=True, text=True, check=False, timeout=900
    )
    logs = [path.read_text() for path in sorted(out.glob("slurm-*.log"))]
    assert done.returncode == 0, (done.stderr, logs)
    assert len(logs) == 2
    check_same(out, large_alone)
    workers = {read_json(path)["process"] for path in out.rglob("cell.json")}
    assert len(workers) == 2, "one task did all the cells"


@pytest.mark.slow
def test_dask_workers_that_are_jobs_of_slurm_give_the_same_table(large_alone, slurm, tmp_path, monkeypatch):
    pytest.importorskip("dask_jobqueue")
    for name in ("SLURM_CONF", "PYTHONPATH"):
        monkeypatch.setenv(name, slurm.get(name, str(Path.cwd())))
    monkeypatch.chdir(tmp_path)
    job = {"cores": 1, "memory": "2GB", "processes": 1, "walltime": "00:20:00", "interface": "lo"}
    run_sweep(large(), tmp_path / "out", n_jobs=2, engine_name="slurm", engine_options=job, progress=False)
    check_same(tmp_path / "out", large_alone)
