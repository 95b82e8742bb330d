from __future__ import annotations

import pytest

from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.plan import make_plan
from brainnet.run.sweep.state import folder_of
from brainnet.run.sweep.table import gather, headlines, read_samples, write_tables
from brainnet.run.sweep.work import work
from tests.run.sweep.toys import asked


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    out = tmp_path_factory.mktemp("table")
    plan = make_plan(read_definition(asked(2, 1)))
    plan.save(out)
    work(out)
    return plan, out


def test_rows_stand_in_the_order_of_the_plan(done):
    table, failed = gather(*done)
    keys = table[["model", "subject", "method", "control"]].drop_duplicates().agg("|".join, axis=1).tolist()
    assert keys == ["|".join((c.network.label, c.subject, c.method.name, c.control)) for c in done[0].cells]
    assert not len(failed)


def test_one_headline_row_a_cell_and_region(done):
    rows = headlines(gather(*done)[0])
    assert len(rows) == len(done[0].cells) * 3
    assert set(rows["roi"]) == {"all", "V1", "IT"}


def test_samples_are_found_by_the_names_of_their_cell(done):
    samples = read_samples(*done)
    assert samples["net00", "s0", "ridge", ""]["IT"].shape == (50,)
    assert len(samples) == len(done[0].cells)


def test_a_damaged_table_of_a_cell_is_named(done):
    plan, out = done
    path = folder_of(out, plan.cells[0]) / "cell.csv"
    content = path.read_bytes()
    path.write_bytes(b"")
    with pytest.raises(ValueError, match=r"cell\.csv"):
        gather(plan, out)
    path.write_bytes(content)
    assert (write_tables(plan, out)["model"] == "net00").any()
    assert (out / "failures.csv").is_file()
