from __future__ import annotations

import shutil

import numpy as np
import pytest

from brainnet.run.prediction import predict
from brainnet.run.training import fit
from tests.toys import toy_config


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_is_not_written_over_by_another_command(finished, tmp_path, begun):
    from brainnet.run.extraction import extract_features
    from brainnet.run.rsa import compare_rdms, write_rdms

    run = tmp_path / "run"
    shutil.copytree(finished[0], run)
    if begun:  # no card yet
        (run / "run.json").unlink()
    before = {path: path.stat().st_mtime_ns for path in run.iterdir()}
    np.save(tmp_path / "x.npy", np.random.default_rng(0).random((6, 5)))
    np.save(tmp_path / "rdms.npy", np.random.default_rng(0).random((3, 15)))
    for write in (
        lambda: write_rdms(tmp_path / "x.npy", run, progress=False),
        lambda: compare_rdms([tmp_path / "rdms.npy"], run, progress=False),
        lambda: extract_features([], run, "expansion:small", progress=False, overwrite=True),
    ):
        with pytest.raises(FileExistsError, match="holds the results of `brainnet fit`; choose another --out"):
            write()
    assert {path: path.stat().st_mtime_ns for path in run.iterdir()} == before


def test_a_run_and_predictions_do_not_replace_other_results(toys, finished, tmp_path):
    (tmp_path / "run.json").write_text('{"kind": "extract"}')
    for write in (
        lambda: fit(toy_config(), tmp_path, overwrite=True, progress=False),
        lambda: predict(finished[0], np.zeros((1, 8, 8, 3), np.uint8), tmp_path, progress=False),
    ):
        with pytest.raises(FileExistsError, match="`brainnet extract`"):
            write()
    assert [path.name for path in tmp_path.iterdir()] == ["run.json"]
