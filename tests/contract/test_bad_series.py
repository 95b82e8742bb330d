"""A folder of a time series with something wrong: the command line and Python say the same line, which names it."""

from __future__ import annotations

import numpy as np
import pytest
from typer.testing import CliRunner

from brainnet.cli.app import app
from brainnet.dataset import DATASETS

WORDS = ("once", "upon", "a time", "there was", "a king", "and a", "queen", "who had", "no child", "at all")


def write_story(folder, changes=()):
    """Three runs of 30 volumes of 2 s with ten texts of 6 s; ``changes`` of the table are (row, column, value)."""
    rng = np.random.default_rng(0)
    (folder / "runs").mkdir(parents=True)
    for name in ("run1", "run2", "run3"):
        np.save(folder / "runs" / f"{name}.npy", rng.normal(size=(30, 4)).astype(np.float32))
    rows = [[name, 6.0 * i, 6.0, text] for name in ("run1", "run2", "run3") for i, text in enumerate(WORDS)]
    for row, column, value in changes:
        rows[row][("run", "onset", "duration", "text").index(column)] = value
    lines = [",".join(map(str, row)) for row in [("run", "onset", "duration", "text"), *rows]]
    (folder / "stimuli.csv").write_text("\n".join(lines) + "\n")
    np.savez(folder / "words.npz", ids=[f"text{k + 1:04d}" for k in range(30)], words=rng.normal(size=(30, 3)))
    return folder


def encode(folder, options="{tr: 2.0, test: run3, val: run2}", *further):
    words = ["encode", "--config", "series", "DATASET.DATA_DIR", folder, "DATASET.OPTIONS", options, "--features",
             folder / "words.npz", "--resamples", "20", "--quiet", "--out", folder / "out"]  # fmt: skip
    words += further or ("--delays", "1 2")
    return CliRunner().invoke(app, list(map(str, words)))


def refused(folder, options="{tr: 2.0, test: run3, val: run2}", *further):
    """The one line that the command says."""
    done = encode(folder, options, *further)
    assert isinstance(done.exception, ValueError), repr(done.exception) + done.output
    said = str(done.exception)
    assert "\n" not in said
    assert not (folder / "out" / "encoding.csv").exists()
    return said


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ([(1, "onset", 20.0)], ("run1", "number 2 (12 s)", "number 1 (20 s)")),
        ([(9, "onset", 64.0)], ("run1", "0 to 60 s", "64 s")),
        ([(0, "onset", -4.0)], ("run1", "-4 s")),
        ([(9, "duration", 60.0)], ("run1", "ends at 114 s", "60 s")),
        ([(12, "duration", 7.5)], ("run2", "overlap", "ends at 19.5 s", "begins at 18 s")),
        ([(3, "duration", 0.0)], ("run1", "number 3", "0 s")),
        ([(3, "duration", "nan")], ("run1", "durations", "number 3")),
        ([(3, "onset", "")], ("run1", "onsets", "number 3")),
        ([(3, "onset", "soon")], ("stimuli.csv", "onset", "soon")),
        ([(3, "text", "  ")], ("stimuli.csv", "row 5", "empty")),
        ([(3, "run", "run7")], ("run7", "run1")),
        ([(row, "run", "run1") for row in range(20, 30)], ("run1",)),
    ],
    ids=["out of order", "after the end", "before the start", "lasts too long", "overlap", "lasts no time", "nan",
         "no onset", "no number", "empty text", "unknown run", "a run twice"],
)  # fmt: skip
def test_a_table_that_cannot_be_is_one_line_that_names_the_run(tmp_path, changes, said):
    folder = write_story(tmp_path / "story", changes)
    line = refused(folder)
    for word in said:
        assert word in line
    with pytest.raises(ValueError, match=r"^.+$") as caught:
        DATASETS["time_series"](folder, 2.0, test="run3", val="run2")
    assert str(caught.value) in line


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ("{test: run3, val: run2}", "tr"),
        ("{tr: 0, test: run3, val: run2}", "tr"),
        ("{tr: -2.0, test: run3, val: run2}", "tr"),
        ("{tr: often, test: run3, val: run2}", "tr"),
        ("{tr: .inf, test: run3, val: run2}", "tr"),
        ("{tr: 1.0, test: run3, val: run2}", "0 to 30 s"),  # the clock is that of another TR
        ("{tr: 2.0, test: run9}", "run9"),
        ("{tr: 2.0, test: run3, val: run3}", "run3"),
        ("{tr: 2.0, test: 'run1,run2,run3'}", "held out"),
        ("{tr: 2.0, test: run3, trim: [20, 20]}", "trim"),
        ("{tr: 2.0, test: run3, trim: 3}", "trim"),
    ],
)
def test_options_that_cannot_be_are_one_line(tmp_path, options, said):
    assert said in refused(write_story(tmp_path / "story"), options)


def test_runs_that_do_not_go_together(tmp_path):
    folder = write_story(tmp_path / "story")
    np.save(folder / "runs" / "run2.npy", np.zeros((30, 5), np.float32))
    assert "run2" in refused(folder)
    np.save(folder / "runs" / "run2.npy", np.zeros((2, 4), np.float32))
    assert "run2" in refused(folder)
    np.save(folder / "runs" / "run2.npy", np.zeros(30, np.float32))
    assert "run2" in refused(folder)
    # the responses stop before the story does
    np.save(folder / "runs" / "run2.npy", np.random.default_rng(0).normal(size=(20, 4)).astype(np.float32))
    line = refused(folder)
    assert "run2" in line
    assert "40 s" in line


def test_runs_of_different_lengths_and_a_tr_that_divides_no_text_are_encoded(tmp_path):
    folder = write_story(tmp_path / "story")
    np.save(folder / "runs" / "run2.npy", np.random.default_rng(0).normal(size=(41, 4)).astype(np.float32))
    done = encode(folder, "{tr: 2.2, test: run3, val: run2}")
    assert done.exit_code == 0, repr(done.exception)
    assert (folder / "out" / "encoding.csv").is_file()


@pytest.mark.parametrize(
    ("delays", "said"), [("1 60", "60"), ("1.5", "whole numbers"), ("1 1", "1 1"), ("sound=1", "sound")]
)
def test_delays_that_cannot_be_are_one_line(tmp_path, delays, said):
    assert said in refused(write_story(tmp_path / "story"), "{tr: 2.0, test: run3}", "--delays", delays)


def test_a_stimulus_without_features_is_named(tmp_path):
    folder = write_story(tmp_path / "story")
    np.savez(folder / "words.npz", ids=[f"text{k + 1:04d}" for k in range(29)], words=np.zeros((29, 3)))
    assert "text0030" in refused(folder)
