from __future__ import annotations

import pandas as pd
import pytest

from brainnet.run.sweep.engines import engine
from brainnet.run.sweep.sweep import run_sweep
from tests.run.sweep.toys import asked, check_same, large


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
