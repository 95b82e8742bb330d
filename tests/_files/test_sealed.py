"""What is damaged is never believed."""

from __future__ import annotations

import numpy as np

from brainnet._files import (
    read_sealed,
    write_npz,
    write_sealed,
)

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
