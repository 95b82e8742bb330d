from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from brainnet._files import read_json
from brainnet.encode import encode
from brainnet.run.sweep.cells import COLUMNS, run_cell
from brainnet.run.sweep.definition import read_definition
from brainnet.run.sweep.held import Held
from brainnet.run.sweep.plan import make_plan
from tests.run.sweep.toys import asked, network

METHODS = ["ridge", "banded", "window", "rsa", "cka",
           {"method": "fit", "settings": {"TRAINER.MAX_EPOCHS": 1, "MODEL.BOTTLENECK_DIM": 4}}]  # fmt: skip


@pytest.fixture(scope="module")
def done(tmp_path_factory):
    """Method -> (folder of its cell, rows, card)."""
    out = tmp_path_factory.mktemp("cells")
    held = Held(make_plan(read_definition(asked(1, 1, methods=METHODS, controls=[]))), out)
    found = {}
    for cell in held.plan.cells:
        folder = out / cell.method.name
        folder.mkdir()
        run_cell(cell, held, folder)
        found[cell.method.name] = folder, pd.read_csv(folder / "cell.csv"), read_json(folder / "run.json")
    return held, found


@pytest.mark.parametrize("method", ["ridge", "banded", "window", "rsa", "cka", "fit"])
def test_every_method_leaves_a_card_and_rows_of_every_region(method, done):
    folder, rows, card = done[1][method]
    assert tuple(rows.columns) == COLUMNS
    headline = rows[rows["layer"].isin(["best", "all"])]
    assert set(headline["roi"]) == {"all", "V1", "IT"}
    assert (rows["model"] == "net00").all()
    assert card["kind"] == {"rsa": "sweep cell", "cka": "sweep cell", "fit": "fit"}.get(method, "encode")
    assert not (folder / "jobs").exists()


def test_ridge_has_the_numbers_of_encode(done):
    held, found = done
    cell = held.plan.cells[0]
    expected = encode({"net00": lambda _: held.store(cell)}, {"s0": held.dataset(cell)}, n_resamples=50, n_jobs=1,
                      progress=False).table  # fmt: skip
    expected = expected[(expected["score"] == "r") & (expected["layer"] == "best")].set_index("roi")
    rows = found["ridge"][1]
    rows = rows[rows["layer"] == "best"].set_index("roi")
    for name in ("mean", "low", "high"):
        np.testing.assert_allclose(rows[name], expected[name].loc[rows.index], rtol=1e-12)


def test_samples_are_the_bootstrap_of_the_interval(done):
    folder, rows, _ = done[1]["ridge"]
    with np.load(folder / "samples.npz") as samples:
        low, high = np.quantile(samples["V1"], [0.025, 0.975])
    row = rows[(rows["layer"] == "best") & (rows["roi"] == "V1")].iloc[0]
    assert row["low"] == pytest.approx(low, abs=0.03)  # the interval itself is shifted to have no bias
    assert row["high"] == pytest.approx(high, abs=0.03)


def test_a_layer_that_a_network_lacks_is_told(tmp_path):
    methods = [{"method": "ridge", "layers": ["conv9"]}]
    held = Held(make_plan(read_definition(asked(1, 1, methods=methods))), tmp_path)
    with pytest.raises(ValueError, match="early, middle, late"):
        run_cell(held.plan.cells[0], held, tmp_path)


def test_voxels_need_not_be_kept(tmp_path):
    held = Held(make_plan(read_definition(asked(1, 1, methods=["ridge"], keep_voxels=False))), tmp_path)
    run_cell(held.plan.cells[0], held, tmp_path)
    assert not (tmp_path / "voxels").exists()
    assert (tmp_path / "encoding.csv").is_file()


def test_a_fit_of_the_random_twin_is_that_of_random_weights(tmp_path):
    methods = METHODS[-1:]
    plan = make_plan(read_definition(asked(1, 1, methods=methods, controls=["random"])))
    untrained = {**network(0), "options": {"seed": 0, "weights": "random"}}
    other = make_plan(read_definition(asked(backbones=[untrained], subjects=1, methods=methods, controls=[])))
    rows = []
    for name, one, cell in (("twin", plan, plan.cells[-1]), ("untrained", other, other.cells[0])):
        (tmp_path / name).mkdir()
        run_cell(cell, Held(one, tmp_path / f"{name}_sweep"), tmp_path / name)
        rows.append(pd.read_csv(tmp_path / name / "cell.csv").drop(columns="control"))
    assert plan.cells[-1].control == "random"
    pd.testing.assert_frame_equal(*rows)
