from __future__ import annotations

import shutil
import signal

import numpy as np
import pytest

from brainnet._work import Interrupted
from brainnet.run.fitting.prediction import predict
from brainnet.run.fitting.training import fit
from brainnet.run.record.claiming import claimed, clear, file_to_write, stoppable
from tests.toys import toy_config


@pytest.mark.parametrize("begun", [False, True])
def test_a_run_is_not_written_over_by_another_command(finished, tmp_path, begun):
    from brainnet.run.extraction.extraction import extract_features
    from brainnet.run.rsa.rdms import write_rdms
    from brainnet.run.rsa.rsa import compare_rdms

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
        lambda: extract_features(
            np.zeros((1, 8, 8, 3), np.uint8), run, "expansion:small", progress=False, overwrite=True
        ),
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


BEGUN = ("run.json", "config.yaml")


def test_a_second_process_is_told_at_once(tmp_path):
    out = tmp_path / "run"
    second = claimed(out, "fit", BEGUN)
    with claimed(out, "fit", BEGUN), pytest.raises(BlockingIOError, match="another process"):
        second.__enter__()
    with claimed(out, "fit", BEGUN):  # and may come when the first has ended
        pass


def test_a_folder_in_which_nothing_was_put_is_gone_again(tmp_path):
    with pytest.raises(ValueError, match="no data"), claimed(tmp_path / "a" / "b", "fit", BEGUN):
        raise ValueError("no data")
    assert not list(tmp_path.iterdir())
    with claimed(tmp_path / "a" / "b", "fit", BEGUN) as out:
        (out / "run.json").write_text('{"kind": "fit"}')
    assert [path.name for path in (tmp_path / "a" / "b").iterdir()] == ["run.json"]
    with pytest.raises(FileExistsError, match="go on, or replace it with --overwrite"):
        claimed(tmp_path / "a" / "b", "fit", BEGUN, hint="go on, or ").__enter__()
    with pytest.raises(FileExistsError, match="brainnet fit"):
        claimed(tmp_path / "a" / "b", "rsa", BEGUN, overwrite=True).__enter__()


@pytest.mark.parametrize("card", ["", '{"kind": "fi', '{"kind": "fit", "format"'])
def test_a_card_cut_short_blocks_no_folder(tmp_path, card):
    (tmp_path / "run.json").write_text(card)
    with pytest.raises(FileExistsError), claimed(tmp_path, "fit", BEGUN):
        pass
    with claimed(tmp_path, "fit", BEGUN, overwrite=True):
        assert not (tmp_path / "run.json").exists()


def test_clearing_stays_inside(tmp_path):
    out = tmp_path / "run"
    (out / "checkpoints").mkdir(parents=True)
    (out / "checkpoints" / "last.ckpt").touch()
    for name in ("scores_a.csv", "mine.csv"):
        (out / name).touch()
    clear(out, ("checkpoints", "scores_*.csv", "absent"))
    assert [path.name for path in out.iterdir()] == ["mine.csv"]


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_in_what_is_kept(number):
    before = signal.getsignal(signal.SIGTERM)
    with pytest.raises(Interrupted, match="three of five"), stoppable(lambda: "three of five are kept"):
        signal.raise_signal(number)
    assert signal.getsignal(signal.SIGTERM) == before


def test_a_file_that_cannot_be_written_is_told_before_the_work(tmp_path):
    (tmp_path / "file").write_text("x")
    assert file_to_write(tmp_path / "new" / "a.html").parent.is_dir()
    with pytest.raises(IsADirectoryError, match="folder"):
        file_to_write(tmp_path)
    with pytest.raises(NotADirectoryError, match="file"):
        file_to_write(tmp_path / "file" / "deep" / "a.html")
