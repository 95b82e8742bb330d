"""Pickles are read as data: the same values as numpy and pickle give, and nothing that a file names is called."""

from __future__ import annotations

import collections
import os
import pickle
import pickletools

import numpy as np
import pytest

from brainnet.dataset.readers._pickles import plain_from_bytes, read_pickle

VALUES = {
    "labels": {0: "Unknown", 1: "V1v", "nested": [1, 2.5, None, True, (3, "x")]},
    "matrix": np.arange(24.0).reshape(2, 3, 4),
    "fortran": np.asfortranarray(np.arange(6).reshape(2, 3)),
    "big endian": np.arange(5, dtype=">i2"),
    "texts": np.array(["a", "bcd"]),
    "bytes": np.array([b"a", b"bc"]),
    "scalars": [np.float32(1.5), np.int64(-3), np.bool_(True), np.str_("v")],
    "objects": np.array([{"a": 1}, None, "x", np.arange(3)], dtype=object),
    "of objects 2-d": np.array([["a", 1], [None, 2.5]], dtype=object),
    "empty": np.empty((0, 4)),
    "pair": (np.ones((2, 3)), ["vid0001", "vid0002"]),
}


def same(found, expected):
    assert type(found) is type(expected)
    if isinstance(expected, dict):
        assert list(found) == list(expected)
        found, expected = list(found.values()), list(expected.values())
    if isinstance(expected, list | tuple):
        assert len(found) == len(expected)
        for one, other in zip(found, expected, strict=True):
            same(one, other)
    elif isinstance(expected, np.ndarray) and expected.dtype == object:
        assert found.shape == expected.shape
        same(found.ravel().tolist(), expected.ravel().tolist())
    elif isinstance(expected, np.ndarray):
        assert found.dtype == expected.dtype
        np.testing.assert_array_equal(found, expected)
    else:
        assert found == expected


@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
@pytest.mark.parametrize("name", VALUES)
def test_plain_data_comes_back(tmp_path, name, protocol):
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps(VALUES[name], protocol=protocol))
    same(read_pickle(path), VALUES[name])
    same(plain_from_bytes(path.read_bytes()), VALUES[name])


def test_names_of_both_numpys_are_known(tmp_path):
    content = pickle.dumps(VALUES["matrix"], protocol=2)
    other = content.replace(b"numpy._core.", b"numpy.core.")
    other = other if other != content else content.replace(b"numpy.core.", b"numpy._core.")
    for number, one in enumerate((content, other)):
        (tmp_path / f"{number}.pkl").write_bytes(one)
        same(read_pickle(tmp_path / f"{number}.pkl"), VALUES["matrix"])


def test_files_of_numpy_save(tmp_path):
    np.save(tmp_path / "dict.npy", VALUES["labels"])
    np.save(tmp_path / "objects.npy", VALUES["objects"])
    np.save(tmp_path / "numbers.npy", VALUES["matrix"])
    same(read_pickle(tmp_path / "dict.npy"), VALUES["labels"])
    same(read_pickle(tmp_path / "objects.npy"), VALUES["objects"])
    same(read_pickle(tmp_path / "numbers.npy"), VALUES["matrix"])
    (tmp_path / "dumped.npy").write_bytes(pickle.dumps({"ch_names": ["Pz"]}))  # published so
    assert read_pickle(tmp_path / "dumped.npy") == {"ch_names": ["Pz"]}


def test_one_list_that_is_there_twice_is_one_list():
    one = [np.arange(2)]
    found = plain_from_bytes(pickle.dumps([one, one]))
    assert found[0] is found[1]


class Calls:
    def __init__(self, function, *arguments):
        self.made = function, arguments

    def __reduce__(self):
        return self.made


def touch(path):
    path.write_text("called")


def malicious(marker):
    return {
        "posix.system": Calls(os.system, f"touch {marker}"),
        "builtins.eval": Calls(eval, f"open({str(marker)!r}, 'w')"),
        "builtins.getattr": Calls(getattr, "x", "upper"),
        "numpy.load": Calls(np.load, "x.npy"),
        "collections.OrderedDict": collections.OrderedDict(a=1),
        "builtins.set": {1, 2},
        "numpy.ma": np.ma.masked_array([1, 2]),
        "touch": Calls(touch, marker),
    }


@pytest.mark.parametrize("name", malicious("x"))
@pytest.mark.parametrize("form", ["pickle", "npy", "nested"])
def test_whatever_else_is_refused_by_name_and_never_called(tmp_path, name, form):
    marker = tmp_path / "called"
    value = malicious(marker)[name]
    if name in ("touch", "numpy.load"):
        value.made = (touch if name == "touch" else np.load, (marker,))
    path = tmp_path / "x.pkl"
    if form == "npy":
        path = tmp_path / "x.npy"
        held = np.empty((), object)
        held[()] = value
        np.save(path, held, allow_pickle=True)
    else:
        path.write_bytes(pickle.dumps([{"a": (value,)}] if form == "nested" else value))
    with pytest.raises(ValueError, match=f"{path.name}.*it (names|holds) ") as refused:
        read_pickle(path)
    assert name == "builtins.set" or name.split(".")[-1] in str(refused.value)
    assert "\n" not in str(refused.value)
    assert not marker.exists()


def test_arrays_of_records_and_pointers_are_refused(tmp_path):
    records = pickle.dumps(np.zeros(2, dtype=[("a", "f8"), ("b", "O")]))
    dates = pickle.dumps(np.zeros(2, dtype="M8[s]"))
    forged = pickle.dumps(np.array([None, None], dtype=object), protocol=2)
    operations = [op.name for op, _, _ in pickletools.genops(forged)]
    assert "REDUCE" in operations
    for number, content in enumerate((records, dates)):
        path = tmp_path / f"{number}.pkl"
        path.write_bytes(content)
        with pytest.raises(ValueError, match="an array of another kind"):
            read_pickle(path)


def test_an_array_that_claims_more_than_it_has_is_refused(tmp_path):
    content = pickle.dumps(np.arange(4, dtype=np.uint8), protocol=2)
    wrong = content.replace(b"K\x04\x85", b"K\x09\x85")
    assert wrong != content
    (tmp_path / "x.pkl").write_bytes(wrong)
    with pytest.raises(ValueError, match=r"shape \(9,\)"):
        read_pickle(tmp_path / "x.pkl")


@pytest.mark.parametrize("content", [b"", b"\x80", b"\x93NUMPY", b"hello", pickle.dumps(np.arange(1000))[:300],
                                     b"\x80\x02cnumpy\ndtype\n}b.", b"\x80\x02cnumpy\nndarray\n."])  # fmt: skip
def test_damage_is_one_line_that_names_the_file(tmp_path, content):
    path = tmp_path / "x.npy"
    path.write_bytes(content)
    with pytest.raises(ValueError, match="cannot read .*x.npy") as refused:
        read_pickle(path)
    assert "\n" not in str(refused.value)


def test_a_missing_file_is_named(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nothing\.pkl"):
        read_pickle(tmp_path / "nothing.pkl")


def test_a_file_larger_than_the_memory_is_refused_before_it_is_read(tmp_path, monkeypatch):
    (tmp_path / "x.pkl").write_bytes(b"\0" * 4000)
    monkeypatch.setattr("brainnet.dataset.readers._pickles.free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match=r"x\.pkl"):
        read_pickle(tmp_path / "x.pkl")


def test_objects_that_are_expected_are_left_unmade(tmp_path):
    import nibabel

    mask = np.zeros((2, 3, 2), np.uint8)
    mask[1] = 1
    image = nibabel.Nifti1Image(mask, np.diag([2.0, 2, 2, 1]))
    image.header.extensions.append(nibabel.nifti1.Nifti1Extension("comment", b"hello"))
    path = tmp_path / "x.pkl"
    path.write_bytes(pickle.dumps((np.ones((2, 2)), ["a"], image)))
    with pytest.raises(ValueError, match="it names nibabel.nifti1.Nifti1Image"):
        read_pickle(path)
    values, names, found = read_pickle(path, skip=("nibabel.",))
    assert names == ["a"]
    np.testing.assert_array_equal(values, np.ones((2, 2)))
    assert found.named == "nibabel.nifti1.Nifti1Image"
    np.testing.assert_array_equal(found.part("_dataobj"), mask)
    np.testing.assert_array_equal(found.part("_affine"), np.diag([2.0, 2, 2, 1]))
    with pytest.raises(ValueError, match="has no part 'nothing'"):
        found.part("nothing")
    with pytest.raises(ValueError, match="is no plain data"):
        found.part("_header").part("_structarr")
    path.write_bytes(pickle.dumps((image, Calls(os.system, "true"))))
    with pytest.raises(ValueError, match="system"):
        read_pickle(path, skip=("nibabel.",))
