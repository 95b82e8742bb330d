"""Readers of text, safetensors and zarr: what the writers and the formats' own libraries write."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import h5py
import numpy as np
import pytest
import torch

from brainnet.features.formats import Table, write_table
from brainnet.features.layouts import rows_in
from brainnet.features.reading import READERS, mapped_tensors, slices_of

IDS = ["p9", "a # sharp", "p2"]
VALUES = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


@pytest.mark.parametrize("suffix", READERS)
def test_what_brainnet_writes_is_read(tmp_path, suffix, monkeypatch):
    monkeypatch.setattr("brainnet.features.formats.BLOCK", 48)  # chunks of two rows
    path = tmp_path / f"layer{suffix}"
    write_table(path, Table(iter([VALUES]), VALUES.shape, IDS), suffix[1:])
    [(_, array)], ids = READERS[suffix](path)
    np.testing.assert_array_equal(np.asarray(array[np.array([2, 0])]), VALUES[[2, 0]])
    assert (len(array), tuple(array.shape), np.dtype(array.dtype)) == (3, (3, 6), np.float32)
    assert ids == IDS


def test_text_without_names_has_none(tmp_path):
    np.savetxt(tmp_path / "a.txt", VALUES)
    [(name, array)], ids = READERS[".txt"](tmp_path / "a.txt")
    np.testing.assert_allclose(array, VALUES, rtol=1e-6)
    assert (name, ids) == ("a", None)


def test_tensors_of_several_kinds(tmp_path):
    from safetensors.torch import save_file

    tensors = {"half": torch.arange(6.0).half().view(2, 3), "counts": torch.arange(4), "odd": torch.zeros(2).bfloat16()}
    save_file(tensors, tmp_path / "a.safetensors")
    arrays, ids = READERS[".safetensors"](tmp_path / "a.safetensors")
    assert ids is None
    assert {name: array.tolist() for name, array in arrays} == {"half": [[0, 1, 2], [3, 4, 5]], "counts": [0, 1, 2, 3]}


@pytest.mark.parametrize("damage", [b"", b"\xff" * 20, b"\x05\0\0\0\0\0\0\0[[[[["])
def test_a_damaged_header_is_an_error(tmp_path, damage):
    (tmp_path / "a.safetensors").write_bytes(damage)
    with pytest.raises(Exception, match="."):
        READERS[".safetensors"](tmp_path / "a.safetensors")


def test_a_zarr_of_another_kind_needs_its_library(tmp_path):
    write_table(tmp_path / "a.zarr", Table(iter([VALUES]), VALUES.shape, IDS), "zarr")
    told = tmp_path / "a.zarr" / "features" / ".zarray"
    told.write_text(json.dumps({**json.loads(told.read_text()), "compressor": {"id": "blosc"}}))
    try:
        import zarr  # noqa: F401
    except ModuleNotFoundError:
        with pytest.raises(ModuleNotFoundError, match="zarr"):
            READERS[".zarr"](tmp_path / "a.zarr")


@pytest.mark.parametrize("suffix", [".h5", ".hdf5", ".mat"])
def test_rows_of_hdf5_are_read_in_any_order(tmp_path, suffix):
    values = np.random.default_rng(1).normal(size=(7, 3, 2)).astype(np.float32)
    path = tmp_path / f"a{suffix}"
    with h5py.File(path, "w") as file:
        file["maps"], file["wide"] = (values.T, values[:, 0].T) if suffix == ".mat" else (values, values[:, 0])
        file["images"], file["one"] = ["x"] * 7, np.arange(7.0)
    found = slices_of(path)
    assert list(found) == ["maps", "wide"]
    maps = pickle.loads(pickle.dumps(found["maps"]))  # goes to other processes
    assert (len(maps), maps.shape, maps.size, maps.ndim, maps.dtype) == (7, (7, 3, 2), 42, 3, np.float32)
    for index in (slice(2, 5), np.array([5, 1, 1, 6]), np.array([], int), slice(None), 3, slice(6, None, -2)):
        np.testing.assert_array_equal(maps[index], values[index])
    np.testing.assert_array_equal(np.asarray(maps), values)
    np.testing.assert_array_equal(np.concatenate(list(rows_in(maps, 3))), values.reshape(7, -1))
    assert list(slices_of(path, ["wide"])) == ["maps"]


def test_a_file_of_tensors_is_mapped_into_memory(tmp_path):
    write_table(tmp_path / "own.pt", Table(iter([VALUES]), VALUES.shape, IDS), "pt")
    torch.save(torch.from_numpy(VALUES), tmp_path / "plain.pt")
    torch.save({"features": torch.from_numpy(VALUES)}, tmp_path / "old.pt", _use_new_zipfile_serialization=False)
    for name, key in (("own.pt", "features"), ("plain.pt", "array")):
        found = mapped_tensors(tmp_path / name)[key]
        np.testing.assert_array_equal(found.numpy(), VALUES)
        if Path("/proc/self/maps").exists():
            assert str(tmp_path / name) in Path("/proc/self/maps").read_text()
    assert mapped_tensors(tmp_path / "old.pt") is None
