"""Which process of a run writes, how many there are, and what is said when one of them ends before its time."""

from __future__ import annotations

import re

import pytest

from brainnet.run.processes import ending_together, environment, is_first_process, processes, started_by_others

NAMES = ("RANK", "LOCAL_RANK", "NODE_RANK", "WORLD_SIZE", "LOCAL_WORLD_SIZE", "TORCHELASTIC_RUN_ID", "MASTER_ADDR",
         "MASTER_PORT", "SLURM_PROCID", "SLURM_NTASKS", "SLURM_NNODES", "SLURM_NTASKS_PER_NODE", "SLURM_JOB_NAME",
         "SLURM_STEP_NUM_TASKS")  # fmt: skip


@pytest.fixture
def variables(monkeypatch):
    """``variables(NAME=value)`` sets these of the environment, and no others of a distributed run."""

    def put(**values: object) -> None:
        for name in NAMES:
            monkeypatch.delenv(name, raising=False)
        for name, value in values.items():
            monkeypatch.setenv(name, str(value))

    put()
    return put


@pytest.mark.parametrize(
    ("values", "first"),
    [
        ({}, True),
        ({"RANK": 0, "LOCAL_RANK": 0}, True),
        ({"RANK": 2, "LOCAL_RANK": 0}, False),  # torchrun's, on a second machine
        ({"RANK": 0, "LOCAL_RANK": 0, "SLURM_PROCID": 1}, True),  # torchrun numbers the machines in its own order
        ({"RANK": 1, "LOCAL_RANK": 0, "SLURM_PROCID": 0}, False),
        ({"LOCAL_RANK": 1}, False),  # Lightning's second
        ({"LOCAL_RANK": 1, "SLURM_PROCID": 0}, False),  # which Lightning has started in the script of a job
        ({"NODE_RANK": 0}, True),
        ({"NODE_RANK": 1}, False),
        ({"SLURM_PROCID": 0}, True),
        ({"SLURM_PROCID": 3}, False),
        ({"RANK": "", "SLURM_PROCID": "none"}, True),
    ],
)
def test_the_first_process_of_all_machines_is_the_one_that_writes(variables, values, first):
    variables(**values)
    assert is_first_process() == first


def test_torchrun_and_srun_say_how_many_processes_there_are(variables):
    assert processes(3, 1) == (3, 1)
    variables(MASTER_ADDR=0, MASTER_PORT=0, NODE_RANK=0)
    assert processes(2, 3) == (2, 3)
    variables(TORCHELASTIC_RUN_ID="x", LOCAL_WORLD_SIZE=4, WORLD_SIZE=8)
    assert processes(1, 1) == (4, 2)
    assert started_by_others()
    variables(SLURM_STEP_NUM_TASKS=8, SLURM_NTASKS=8, SLURM_NNODES=2, SLURM_NTASKS_PER_NODE=4)
    assert processes(1, 1) == (4, 2)
    assert started_by_others()
    variables(SLURM_STEP_NUM_TASKS=1, SLURM_NTASKS=1)
    assert processes(5, 1) == (1, 1)


def test_the_script_of_a_job_without_srun_starts_its_own_processes(variables):
    variables(SLURM_NTASKS=4, SLURM_NNODES=1, SLURM_PROCID=0)
    assert processes(2, 1) == (2, 1)
    assert not started_by_others()
    (plugin,) = environment()
    assert not plugin.creates_processes_externally
    variables()
    assert environment() == []


@pytest.mark.parametrize(
    ("values", "named"),
    [
        ({"MASTER_ADDR": "first"}, "MASTER_PORT and NODE_RANK"),
        ({"SLURM_STEP_NUM_TASKS": 4, "SLURM_NTASKS": 4, "SLURM_NNODES": 2}, "--ntasks-per-node"),
    ],
)
def test_processes_that_would_wait_for_each_other_are_refused(variables, values, named):
    variables(**values)
    with pytest.raises(ValueError, match=named):
        processes(1, 2)


@pytest.mark.parametrize(
    "said",
    [
        "[gloo/transport/tcp/pair.cc:534] Connection closed by peer [127.0.0.1]:3",
        "NCCL communicator was aborted on rank 0.",
        "process 1 terminated with signal SIGKILL",
        "The client socket has timed out after 1800000ms while trying to connect to (first, 29500).",
    ],
)
def test_a_process_that_ended_is_told_in_one_line(said):
    told = pytest.raises(ConnectionError, match="another of the 4 processes.*Three of five")
    with told as found, ending_together(4, lambda: "Three of five are kept."):
        raise RuntimeError(said)
    assert "\n" not in str(found.value)
    with pytest.raises(RuntimeError, match=re.escape(said)), ending_together(1, str):  # there is no other
        raise RuntimeError(said)


def test_other_errors_stay_as_they_are():
    for error in (RuntimeError("mat1 and mat2 shapes cannot be multiplied"), ValueError("a socket"), KeyError("gloo")):
        with pytest.raises(type(error)) as told, ending_together(4, str):
            raise error
        assert told.value is error
