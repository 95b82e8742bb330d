from __future__ import annotations

import pytest

from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.plan import make_plan
from brainnet.run.sweep.state import (
    DONE,
    State,
    begin,
    folder_of,
    is_at_work,
    prepare,
    read_state,
    status_of,
    taken,
    write_state,
)
from tests.run.sweep.toys import asked


def test_a_cell_is_taken_by_one_worker_at_a_time(tmp_path):
    with taken(tmp_path / "cell"), pytest.raises(BlockingIOError), taken(tmp_path / "cell"):
        pass
    with taken(tmp_path / "cell"):
        pass


def test_the_state_of_other_settings_is_none(tmp_path):
    write_state(tmp_path, "these", State(DONE, 1.5))
    assert read_state(tmp_path, "these").word == DONE
    assert read_state(tmp_path, "others").word == "left"


def test_a_damaged_card_is_no_state(tmp_path):
    write_state(tmp_path, "these", State(DONE))
    (tmp_path / "cell.json").write_text('{"state": "do')
    assert read_state(tmp_path, "these").word == "left"


def test_a_worker_that_died_is_counted(tmp_path):
    with taken(tmp_path) as deaths:
        begin(tmp_path, "these", deaths)
    with taken(tmp_path) as deaths:
        assert deaths == 1
        write_state(tmp_path, "these", State(DONE))
    with taken(tmp_path) as deaths:
        assert deaths == 0


def test_what_was_made_for_other_settings_goes_and_what_a_dead_worker_left_stays(tmp_path):
    begin(tmp_path, "these", 0)
    (tmp_path / "half").mkdir()
    prepare(tmp_path, "these")
    assert (tmp_path / "half").is_dir()
    prepare(tmp_path, "others")
    assert not list(tmp_path.iterdir())


def test_at_work_is_who_has_the_lock(tmp_path):
    begin(tmp_path, "these", 0)
    assert not is_at_work(tmp_path)  # its worker died
    with taken(tmp_path):
        assert is_at_work(tmp_path)


def test_status_has_a_row_for_each_cell(tmp_path):
    plan = make_plan(read_definition(asked()))
    plan.save(tmp_path)
    write_state(folder_of(tmp_path, plan.cells[0]), plan.identity(plan.cells[0]), State(DONE, 2.0))
    table = status_of(tmp_path)
    assert table["state"].tolist() == ["done", *["left"] * (len(plan.cells) - 1)]
    with pytest.raises(FileNotFoundError, match=r"plan\.json"):
        status_of(tmp_path / "nothing")
