"""Arrays from files: what was saved is read, and what cannot be told is refused."""

from __future__ import annotations

import gzip

import h5py
import numpy as np
import pytest
import torch

from brainnet.dataset.tables import check_end, read_rois, read_splits, read_table
from brainnet.dataset.trial_tables import read_trials


def write_hdf5(path, values):
    with h5py.File(path, "w") as file:
        file["responses"], file["other"], file["title"] = values, values[:1], "a text"


@pytest.mark.parametrize("suffix", ["npy", "npz", "csv", "h5"])
def test_every_format_holds_what_was_saved(tmp_path, suffix):
    values, path = np.arange(6.0).reshape(2, 3) / 7, tmp_path / f"responses.{suffix}"
    saved = {"npy": np.save, "npz": lambda p, v: np.savez(p, other=v[:1], responses=v),
             "csv": lambda p, v: np.savetxt(p, v, delimiter=","), "h5": write_hdf5}  # fmt: skip
    saved[suffix](path, values)
    np.testing.assert_allclose(read_table(path, "responses").values, values, rtol=1e-12)


def test_names_of_rows_and_columns_come_with_the_values(tmp_path):
    (tmp_path / "t.csv").write_text("image,v1,v2\ncat,1,2\ndog,3,4\n")
    table = read_table(tmp_path / "t.csv", "responses")
    assert table.labels == (["cat", "dog"], ["v1", "v2"])
    assert table.values.tolist() == [[1, 2], [3, 4]]


@pytest.mark.parametrize("suffix", [".npy", ".npz", ".h5"])
def test_numbers_of_other_machines_are_turned_round(tmp_path, suffix):
    """Big-endian files, as MATLAB and old workstations write them: torch refuses such arrays."""
    values = np.arange(6.0).reshape(2, 3)
    path, other = tmp_path / f"a{suffix}", np.asfortranarray(values).astype(">f4")
    if suffix == ".h5":
        with h5py.File(path, "w") as file:
            file["values"] = other
    else:
        np.save(path, other) if suffix == ".npy" else np.savez(path, values=other)
    for source in (path, other):
        assert torch.from_numpy(np.array(read_table(source, "values").values)).tolist() == values.tolist()


@pytest.mark.parametrize(
    "content", [b"", gzip.compress(b"a,b\n1,2\n", mtime=0), "a,b\nd\xe9j\xe0,2\n".encode("latin1")]
)
def test_a_damaged_table_is_one_line_that_names_it(tmp_path, content):
    path = tmp_path / "t.csv"
    path.write_bytes(content)
    for read in (lambda: read_table(path, "responses"), lambda: read_splits(path, ["a"]), lambda: read_rois(path),
                 lambda: read_trials(path)):  # fmt: skip
        with pytest.raises(ValueError, match=r"t\.csv") as caught:
            read()
        assert "\n" not in str(caught.value)


@pytest.mark.parametrize("width", [3, 3000])  # the second line is longer than what is read at first
def test_a_table_that_was_cut_in_its_last_line_is_refused(tmp_path, width, recwarn):
    path = tmp_path / "t.csv"
    header, row = ",".join(f"v{n}" for n in range(width)), ",".join(["0.5312"] * width)
    path.write_text(f"{header}\n{row}\n{row}\n")
    assert read_table(path, "responses").values.shape == (2, width)
    path.write_text(f"{header}\n{row}\n{row[:-7]}\n")
    with pytest.raises(ValueError, match=rf"t\.csv was cut.* {width - 1} cells; expected {width}"):
        read_table(path, "responses")
    assert not len(recwarn)
    path.write_text(f"{header}\n{row}\n{row[:-2]}")  # 0.53: the number alone tells nothing
    with pytest.warns(UserWarning, match=r"t\.csv does not end with a line break"):
        assert read_table(path, "responses").values[-1, -1] == 0.53


def test_the_end_of_a_text_of_several_lines_is_no_line_that_was_cut(tmp_path, recwarn):
    path = tmp_path / "t.csv"
    path.write_text('a,b,c\n1,2,"one\ntwo"\n')
    check_end(path, n_cells=3)
    path.write_text("")
    check_end(path, n_cells=3)
    assert not len(recwarn)


def test_an_archive_of_other_arrays_is_refused(tmp_path):
    np.savez(tmp_path / "t.npz", a=np.zeros(2), b=np.zeros(2))
    with pytest.raises(ValueError, match="'responses'"):
        read_table(tmp_path / "t.npz", "responses")
    with h5py.File(tmp_path / "t.h5", "w") as file:
        file["a/x"], file["b"] = np.zeros(2), np.zeros(2)
    with pytest.raises(ValueError, match=r"t\.h5.*a/x, b; name one of them 'responses'"):
        read_table(tmp_path / "t.h5", "responses")
    with h5py.File(tmp_path / "one.h5", "w") as file:
        file["a/x"], file["title"] = np.arange(2), "a text"
    assert read_table(tmp_path / "one.h5", "responses").values.tolist() == [0, 1]
    (tmp_path / "t.h5").write_bytes(b"nothing")
    with pytest.raises(ValueError, match="t.h5"):
        read_table(tmp_path / "t.h5", "responses")
    with pytest.raises(FileNotFoundError, match="none"):
        read_table(tmp_path / "none.npy", "responses")


def test_splits_and_regions_are_read_by_name(tmp_path):
    (tmp_path / "splits.csv").write_text("image,split\nb.png,test\na,train\n")
    assert read_splits(tmp_path / "splits.csv", ["a", "b"]) == {"test": [1], "train": [0]}
    (tmp_path / "rois.csv").write_text("roi\nV1\nV4\nV1\n")
    assert read_rois(tmp_path / "rois.csv")["V1"].tolist() == [True, False, True]
    (tmp_path / "rois.csv").write_text("V1,V2\n1,0\n2,1\n")
    with pytest.raises(ValueError, match="0/1"):
        read_rois(tmp_path / "rois.csv")
