"""Every format: what its own library reads is the table that was written, part by part, the same bytes each time."""

from __future__ import annotations

import json
import zipfile

import h5py
import numpy as np
import pandas as pd
import pytest
import torch
from safetensors import safe_open
from scipy.io import loadmat

from brainnet.features import formats
from brainnet.features.formats import WRITERS, Table, write_table

IDS = ["p9", "p10", "an odd name, \u00e9 and '=1'", "x/y", "z.z"]
VALUES = np.random.default_rng(0).normal(size=(5, 7)).astype(np.float32)


def table(values=VALUES, ids=IDS, step=2) -> Table:
    return Table((values[i : i + step] for i in range(0, len(values), step)), values.shape, ids)


def of_hdf5(path):
    with h5py.File(path) as file:
        return file["features"][:], [name.decode() for name in file["images"]]


def of_mat(path):
    content = loadmat(path)
    return content["features"], [str(cell[0]) for cell in content["images"][:, 0]]


def of_pt(path):
    content = torch.load(path, weights_only=True)
    return content["features"].numpy(), content["images"]


def of_npz(path):
    with np.load(path, allow_pickle=False) as content:
        return content["features"], content["images"].tolist()


def of_csv(path):
    content = pd.read_csv(path, index_col="image")
    return content.to_numpy(np.float32), content.index.tolist()


def of_txt(path):
    names = [line.partition(" # ")[2] for line in path.read_text(encoding="utf-8").splitlines()]
    return np.loadtxt(path, dtype=np.float32, ndmin=2), names


def of_safetensors(path):
    with safe_open(path, "np") as file:
        return file.get_tensor("features"), json.loads(file.metadata()["images"])


def of_zarr(path):
    zarr = pytest.importorskip("zarr")
    group = zarr.open_group(str(path), mode="r")
    return group["features"][:], group.attrs["images"]


READERS = {
    "npy": lambda path: (np.load(path), IDS), "npz": of_npz, "h5": of_hdf5, "hdf5": of_hdf5, "mat": of_mat,
    "csv": of_csv, "txt": of_txt, "pt": of_pt, "safetensors": of_safetensors, "zarr": of_zarr,
}  # fmt: skip


def bytes_of(path):
    files = sorted(path.rglob("*")) if path.is_dir() else [path]
    return [(file.name, file.read_bytes()) for file in files if file.is_file()]


@pytest.mark.parametrize("file_format", WRITERS)
def test_the_formats_own_library_reads_what_was_written(tmp_path, monkeypatch, file_format):
    monkeypatch.setattr(formats, "BLOCK", 44)  # two columns at a time, and chunks of one row
    path = tmp_path / f"layer.{file_format}"
    write_table(path, table(), file_format)
    assert [file.name for file in tmp_path.iterdir()] == [path.name]
    values, ids = READERS[file_format](path)
    assert values.dtype == np.float32
    np.testing.assert_array_equal(values, VALUES)
    assert list(ids) == IDS


@pytest.mark.parametrize("file_format", WRITERS)
def test_the_same_table_gives_the_same_bytes_whatever_its_parts(tmp_path, monkeypatch, file_format):
    monkeypatch.setattr("time.time", lambda: 1e9)
    first, second = tmp_path / "1" / f"a.{file_format}", tmp_path / "2" / f"a.{file_format}"
    for path, step in ((first, 2), (second, 3)):
        path.parent.mkdir()
        write_table(path, table(step=step), file_format)
        monkeypatch.setattr("time.time", lambda: 2e9)
    assert bytes_of(first) == bytes_of(second)


def test_a_variable_too_large_for_matlabs_version_5_is_written_as_version_7(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "MAT_LIMIT", 100)
    write_table(tmp_path / "a.mat", table(), "mat")
    assert (tmp_path / "a.mat").read_bytes().startswith(b"MATLAB 7.3 MAT-file")
    with h5py.File(tmp_path / "a.mat") as file:
        np.testing.assert_array_equal(file["features"][:].T, VALUES)
        names = ["".join(map(chr, file[pointer][:, 0])) for pointer in file["images"][0]]
    assert names == IDS


def test_every_chunk_of_a_zarr_is_as_long_as_the_others(tmp_path, monkeypatch):
    monkeypatch.setattr(formats, "BLOCK", 2 * 4 * 7)
    write_table(tmp_path / "a.zarr", table(), "zarr")
    sizes = {path.name: path.stat().st_size for path in (tmp_path / "a.zarr" / "features").glob("*.0")}
    assert sizes == {"0.0": 56, "1.0": 56, "2.0": 56}


def test_torch_maps_the_numbers_of_its_file(tmp_path):
    write_table(tmp_path / "a.pt", table(), "pt")
    mapped = torch.load(tmp_path / "a.pt", weights_only=True, mmap=True)["features"]
    np.testing.assert_array_equal(mapped.numpy(), VALUES)
    with zipfile.ZipFile(tmp_path / "a.pt") as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            raw = (tmp_path / "a.pt").read_bytes()
            n_name, n_extra = (int.from_bytes(raw[entry.header_offset + i :][:2], "little") for i in (26, 28))
            assert (entry.header_offset + 30 + n_name + n_extra) % 64 == 0, entry.filename


def test_a_file_of_torch_holds_what_torch_save_would_write(tmp_path):
    write_table(tmp_path / "a.pt", table(), "pt")
    torch.save({"features": torch.from_numpy(VALUES), "images": IDS}, tmp_path / "b.pt")
    ours, theirs = (zipfile.ZipFile(tmp_path / name) for name in ("a.pt", "b.pt"))
    for name in ("data/0", "byteorder", "version"):
        assert ours.read(f"a/{name}") == theirs.read(f"b/{name}")
