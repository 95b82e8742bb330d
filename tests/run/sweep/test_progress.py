from __future__ import annotations

import logging

from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.plan import make_plan
from brainnet.run.sweep.progress import Progress
from brainnet.run.sweep.state import DONE, FAILED, State, folder_of, write_state
from tests.run.sweep.toys import asked


def test_it_counts_what_is_done_failed_and_left_whoever_did_it(tmp_path, caplog):
    plan = make_plan(read_definition(asked()))
    shown = Progress(plan, tmp_path)
    for cell, word in zip(plan.cells, (DONE, FAILED, DONE), strict=False):
        write_state(folder_of(tmp_path, cell), plan.identity(cell), State(word))
    with caplog.at_level(logging.INFO, "brainnet.progress"):
        shown.look()
    assert f"2 of {len(plan.cells)} cells done, 1 failed, {len(plan.cells) - 3} left" in caplog.text


def test_a_failure_is_said_at_once(tmp_path, caplog):
    plan = make_plan(read_definition(asked()))
    with caplog.at_level(logging.INFO, "brainnet.progress"):
        Progress(plan, tmp_path).add(plan.cells[0], State(FAILED, error="ValueError: no such layer"))
    assert "net00, s0, ridge" in caplog.text
    assert "no such layer" in caplog.text
