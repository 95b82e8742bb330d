"""Files are whole or absent."""

from __future__ import annotations

import errno
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet._files import (
    read_json,
    write_csv,
    write_json,
    write_npz,
    writing,
)


def test_an_error_in_the_middle_keeps_what_was_there(tmp_path):
    path = tmp_path / "a.txt"
    path.write_text("before")
    with pytest.raises(ZeroDivisionError), writing(path) as unfinished:
        unfinished.write_text(f"half of it {1 / 0}")
    assert [file.name for file in tmp_path.iterdir()] == ["a.txt"]
    assert path.read_text() == "before"


def test_a_full_disk_names_the_path(tmp_path):
    with pytest.raises(OSError, match=r"a\.txt") as stopped, writing(tmp_path / "a.txt"):
        raise OSError(errno.ENOSPC, "No space left on device")
    assert stopped.value.errno == errno.ENOSPC
    assert not list(tmp_path.iterdir())


def test_a_kill_inside_a_write_leaves_the_old_file(tmp_path):
    path = tmp_path / "scores.json"
    write_json(path, {"r": 0.5})
    code = f"""
import sys, time
from brainnet._files import writing
with writing({str(path)!r}) as unfinished:
    unfinished.write_text('{{"r": 0.')
    print("half", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"half\n"
    process.kill()
    process.wait()
    process.stdout.close()
    assert read_json(path) == {"r": 0.5}
    code = f"from brainnet._files import write_json; write_json({str(path)!r}, {{'r': 0.6}})"
    subprocess.run([sys.executable, "-c", code], check=True)
    assert read_json(path) == {"r": 0.6}
    assert [file.name for file in tmp_path.iterdir()] == ["scores.json"]  # what the killed process left is gone


@pytest.mark.parametrize("text", ["", "{", "[1, 2]", "\x00", '{"a": ' * 3000])
def test_a_damaged_json_file_is_named(tmp_path, text):
    (tmp_path / "run.json").write_text(text)
    with pytest.raises(ValueError, match=r"run\.json is damaged"):
        read_json(tmp_path / "run.json")


def test_json_has_no_nan_and_takes_arrays(tmp_path):
    write_json(tmp_path / "a.json", {"x": np.array([1.0, np.nan]), "t": torch.tensor(2), "p": tmp_path, 3: (np.inf,)})
    assert read_json(tmp_path / "a.json") == {"x": [1.0, None], "t": 2, "p": str(tmp_path), "3": [None]}


def test_a_name_in_a_table_is_no_formula_for_a_spreadsheet(tmp_path):
    table = pd.DataFrame({"roi": ["=1+1", "@x", "V1", "-a"], "r": [-0.5, 1.0, 2.0, 3.0]})
    write_csv(tmp_path / "a.csv", table)
    found = pd.read_csv(tmp_path / "a.csv")
    assert found["roi"].tolist() == ["'=1+1", "'@x", "V1", "'-a"]
    assert found["r"].tolist() == [-0.5, 1.0, 2.0, 3.0]
    assert table["roi"][0] == "=1+1"  # the caller's table is left alone


def test_the_same_arrays_give_the_same_bytes(tmp_path):
    arrays = {"a": np.arange(5), "b": np.ones((2, 2))}
    for compressed in (False, True):
        write_npz(tmp_path / "one.npz", arrays, compressed)
        time.sleep(2.1 if not compressed else 0)  # a zip keeps times of two seconds
        write_npz(tmp_path / "two.npz", arrays, compressed)
        assert (tmp_path / "one.npz").read_bytes() == (tmp_path / "two.npz").read_bytes()
