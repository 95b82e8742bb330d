"""Files are whole or absent, names do not collide, and what is damaged is never believed."""

from __future__ import annotations

import contextlib
import errno
import os
import subprocess
import sys
import time

import numpy as np
import pandas as pd
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from brainnet._files import (
    array_digest,
    file_digest,
    locked,
    read_json,
    read_sealed,
    slug,
    weights_digest,
    write_csv,
    write_json,
    write_npz,
    write_sealed,
    writing,
)

NAMES = st.text(max_size=300)


@given(st.lists(NAMES, min_size=1, max_size=3), st.lists(NAMES, min_size=1, max_size=3))
def test_other_names_never_give_the_same_file_name(a, b):
    assert (slug(*a) == slug(*b)) == (a == b)


@given(st.lists(NAMES, min_size=1, max_size=4))
def test_a_file_name_is_one_on_every_system(names):
    name = slug(*names)
    assert name
    assert name[0] not in ".-"
    assert not set(name) - set("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789._-")
    assert len(name) < 150
    assert name.split(".")[0].lower() not in ("con", "prn", "aux", "nul", "com1", "lpt1")


def test_digests_tell_types_shapes_and_values_apart():
    array = np.arange(6, dtype=np.float32)
    same = [array, torch.from_numpy(array), np.repeat(array, 2)[::2], torch.arange(12.0)[:6]]
    assert len({array_digest(a) for a in same}) == 1
    other = [array.astype(np.float64), array.reshape(2, 3), -array, torch.from_numpy(array).bfloat16(), array[:0]]
    assert len({array_digest(a) for a in [array, *other]}) == 6


def test_the_digest_of_weights_tells_names_types_shapes_and_values_apart():
    def network() -> torch.nn.Sequential:
        torch.manual_seed(0)
        return torch.nn.Sequential(torch.nn.Conv2d(3, 4, 3), torch.nn.BatchNorm2d(4))

    changed = network()
    changed[1].running_mean[2] += 1e-6  # a buffer is a part of what a network computes
    others = [network()[:1], torch.nn.Sequential(*reversed(network())), network().double(), changed]
    assert weights_digest(network()) == weights_digest(network())
    assert len({weights_digest(one) for one in (network(), *others)}) == 5


def test_the_digest_of_a_file_follows_its_bytes(tmp_path):
    path = tmp_path / "a.bin"
    path.write_bytes(b"one")
    before = file_digest(path)
    assert file_digest(path) == before
    time.sleep(0.01)
    path.write_bytes(b"two")
    assert file_digest(path) != before


def test_the_digest_of_a_folder_is_of_the_names_and_bytes_below(tmp_path):
    (tmp_path / "a" / "in").mkdir(parents=True)
    (tmp_path / "a" / "in" / "x").write_bytes(b"1")
    before = file_digest(tmp_path / "a")
    (tmp_path / "a" / "in" / "x").rename(tmp_path / "a" / "in" / "y")
    assert file_digest(tmp_path / "a") != before
    (tmp_path / "a" / "in" / "y").rename(tmp_path / "a" / "in" / "x")
    assert file_digest(tmp_path / "a") == before


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


# ---------------------------------------------------------------------- sealed results


ARRAYS = {"score": np.linspace(0, 1, 50), "names": np.array(["a", "b"]), "mask": np.array(True)}


def test_sealed_arrays_come_back(tmp_path):
    write_sealed(tmp_path / "a.npz", {"seed": 1, "path": tmp_path}, ARRAYS)
    found = read_sealed(tmp_path / "a.npz", {"path": tmp_path, "seed": 1})  # the order of the fields is free
    assert found.keys() == ARRAYS.keys()
    assert all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)
    assert read_sealed(tmp_path / "a.npz") is not None
    assert read_sealed(tmp_path / "a.npz", {"seed": 2}) is None
    assert read_sealed(tmp_path / "none.npz") is None


def test_no_damaged_file_is_believed(tmp_path, caplog):
    path = tmp_path / "a.npz"
    write_sealed(path, {"seed": 1}, ARRAYS)
    whole, rng = path.read_bytes(), np.random.default_rng(0)
    for _ in range(200):
        damaged = bytearray(whole)
        damaged[rng.integers(len(whole))] ^= 1 << rng.integers(8)
        path.write_bytes(damaged)
        found = read_sealed(path, {"seed": 1})
        # a bit that the format itself does not read (a date, an attribute) changes nothing
        assert found is None or all(np.array_equal(found[name], ARRAYS[name]) for name in ARRAYS)
    for length in (0, 1, 100, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:length])
        assert read_sealed(path, {"seed": 1}) is None
    assert "damaged" in caplog.text
    write_npz(path, ARRAYS)  # without a seal
    assert read_sealed(path) is None


def test_two_sealed_files_that_changed_places_are_noticed(tmp_path):
    for seed in (1, 2):
        write_sealed(tmp_path / f"{seed}.npz", {"seed": seed}, {"x": np.full(3, seed)})
    (tmp_path / "1.npz").rename(tmp_path / "0.npz")
    (tmp_path / "2.npz").rename(tmp_path / "1.npz")
    assert read_sealed(tmp_path / "1.npz", {"seed": 1}) is None


def test_a_second_writer_is_told_at_once(tmp_path):
    pytest.importorskip("fcntl")
    path = tmp_path / "out"
    code = f"""
import time
from brainnet._files import locked
with locked({str(path)!r}):
    print("locked", flush=True)
    time.sleep(60)
"""
    process = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE)
    assert process.stdout.readline() == b"locked\n"
    with pytest.raises(BlockingIOError, match="another process"), locked(path, wait=False):
        pass
    process.kill()
    process.wait()
    process.stdout.close()
    with locked(path, wait=False):  # the holder's death let go of it
        pass


@pytest.mark.parametrize("code", [errno.ENOLCK, errno.EOPNOTSUPP, errno.EIO])
def test_a_file_system_without_locks_is_written_to_all_the_same(tmp_path, monkeypatch, code):
    fcntl = pytest.importorskip("fcntl")

    def refuse(*args):
        raise OSError(code, "no locks here")

    monkeypatch.setattr(fcntl, "flock", refuse)
    entered = False
    with contextlib.suppress(OSError), locked(tmp_path / "a"):
        entered = True
    assert entered == (code != errno.EIO)


@pytest.mark.skipif(not hasattr(os, "O_NOFOLLOW"), reason="links are followed here")
def test_a_lock_is_never_made_through_a_link(tmp_path):
    (tmp_path / "a.lock").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="a.lock"), locked(tmp_path / "a"):
        pass
    assert not (tmp_path / "elsewhere").exists()
