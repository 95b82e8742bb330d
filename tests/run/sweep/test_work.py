from __future__ import annotations

import multiprocessing
import os
import signal

import pandas as pd
import pytest

from brainnet._files import read_json, write_json
from brainnet.run.sweep import work as work_module
from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.plan import make_plan
from brainnet.run.sweep.state import folder_of, status_of, taken
from brainnet.run.sweep.table import gather
from brainnet.run.sweep.work import Worker, work
from tests.run.sweep.toys import asked, network


def begun(out, **change):
    plan = make_plan(read_definition(asked(**change)))
    out.mkdir(exist_ok=True)
    plan.save(out)
    return plan


def test_a_cell_that_fails_is_recorded_and_the_others_go_on(tmp_path):
    plan = begun(tmp_path, backbones=[network(0, broken=True), network(1)], subjects=1)
    assert work(tmp_path) == len(plan.cells)
    states = status_of(tmp_path).set_index("model")["state"]
    assert set(states["net00"]) == {"failed"}
    assert set(states["net01"]) == {"done"}
    table, failed = gather(plan, tmp_path)
    assert set(table["model"]) == {"net01"}
    assert failed["error"].str.contains("cannot be read").all()


def test_what_is_done_is_not_done_again_but_for_what_failed_when_asked(tmp_path):
    begun(tmp_path, backbones=[network(0, broken=True), network(1)], subjects=1, controls=[], methods=["rsa"])
    work(tmp_path)
    assert work(tmp_path) == 0
    assert work(tmp_path, again=True) == 1


def test_other_settings_do_the_cells_again(tmp_path):
    begun(tmp_path, networks=1, subjects=1, methods=["rsa"])
    assert work(tmp_path) == 2
    begun(tmp_path, networks=1, subjects=1, methods=[{"method": "rsa", "name": "rsa", "metric": "cosine"}])
    assert work(tmp_path) == 2


def test_a_cell_of_another_worker_is_left_to_it(tmp_path):
    plan = begun(tmp_path, networks=1, subjects=1, methods=["rsa"])
    worker, cell = Worker(tmp_path), plan.cells[0]
    with taken(folder_of(tmp_path, cell)), pytest.raises(BlockingIOError):
        worker._do(cell)
    assert worker._do(cell)


def test_a_cell_in_which_workers_die_is_given_up(tmp_path):
    plan = begun(tmp_path, networks=1, subjects=1, methods=["rsa"], controls=[])
    folder = folder_of(tmp_path, plan.cells[0])
    folder.mkdir(parents=True)
    write_json(folder / "begun.json", {"workers": 6, "identity": plan.identity(plan.cells[0])})
    work(tmp_path)
    assert "workers died" in read_json(folder / "cell.json")["error"]


def test_the_cell_of_a_killed_worker_is_done_by_another(tmp_path):
    plan = begun(tmp_path, networks=2, subjects=2)
    child = multiprocessing.get_context("fork").Process(target=_die_in_the_third_cell, args=(tmp_path,))
    child.start()
    child.join()
    assert child.exitcode == -signal.SIGKILL
    states = status_of(tmp_path)["state"].tolist()
    assert states.count("done") == 2
    assert len(list(tmp_path.rglob("begun.json"))) == 1
    work(tmp_path)
    begun(tmp_path / "undisturbed", networks=2, subjects=2)
    work(tmp_path / "undisturbed")
    tables = [gather(plan, out)[0] for out in (tmp_path, tmp_path / "undisturbed")]
    pd.testing.assert_frame_equal(*tables, check_exact=True)
    assert not list(tmp_path.rglob("begun.json"))
    assert not list(tmp_path.rglob("*.lock"))


def _die_in_the_third_cell(out):
    worker, real = Worker(out), Worker._run
    cells = []

    def run(self, cell, *more):
        cells.append(cell)
        if len(cells) == 3:
            os.kill(os.getpid(), signal.SIGKILL)
        return real(self, cell, *more)

    Worker._run = run
    worker.work()


def test_two_workers_do_every_cell_once(tmp_path):
    plan = begun(tmp_path, networks=3, subjects=2)
    context = multiprocessing.get_context("fork")
    counts = context.Queue()
    workers = [context.Process(target=_count, args=(tmp_path, counts)) for _ in range(2)]
    for one in workers:
        one.start()
    done = sum(counts.get(timeout=120) for _ in workers)
    for one in workers:
        one.join()
    assert done == len(plan.cells)
    assert set(status_of(tmp_path)["state"]) == {"done"}
    assert not list((tmp_path / "tokens").rglob("*.bin"))


def _count(out, counts):
    counts.put(work(out))


def test_what_a_cell_does_in_parallel_stays_in_its_worker(tmp_path, monkeypatch):
    """A worker of dask whose cell asked the other workers for help waited for them, and they for the cell."""
    import joblib
    from joblib.parallel import get_active_backend

    seen = []
    real = work_module.run_cell
    monkeypatch.setattr(work_module, "run_cell", lambda *given: seen.append(get_active_backend()[0]) or real(*given))
    begun(tmp_path, networks=1, subjects=1, methods=["ridge"], controls=[])
    with joblib.parallel_config("threading", n_jobs=2):
        work(tmp_path)
    assert [type(backend).__name__ for backend in seen] == ["SequentialBackend"]
