"""The folders of Net2Brain and THINGSvision, written and read; what Python alone would write there is the oracle."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.features.formats import Table
from brainnet.features.layouts import (
    Entries,
    Parts,
    file_of,
    joined,
    read_net2brain,
    rows_in,
    thingsvision_files,
    write_layer,
    write_separate,
)

IDS = ["p9", "p10", "p2"]
VALUES = np.random.default_rng(0).normal(size=(3, 6)).astype(np.float32)


def table(values=VALUES):
    return Table(iter([values[:2], values[2:]]), values.shape, IDS)


def test_net2brains_consolidated_files_have_an_entry_for_every_stimulus(tmp_path):
    path = tmp_path / file_of("layer4.1", "net2brain")
    write_layer(path, table(), "net2brain")
    assert path.name == "consolidated_layer4.1.npz"
    with np.load(path, allow_pickle=False) as archive:
        assert archive.files == IDS
        for name, row in zip(IDS, VALUES, strict=True):
            np.testing.assert_array_equal(archive[name], row[None])


def test_net2brains_separate_files_have_an_entry_for_every_layer(tmp_path):
    write_separate(tmp_path / "separate", {"a": table(), "b": table(-VALUES)})
    assert sorted(path.name for path in (tmp_path / "separate").iterdir()) == ["p10.npz", "p2.npz", "p9.npz"]
    with np.load(tmp_path / "separate" / "p10.npz") as archive:
        assert archive.files == ["a", "b"]
        np.testing.assert_array_equal(archive["b"], -VALUES[1:2])


def consolidated(folder):
    for layer, sign in (("conv1", 1), ("fc", -1)):
        arrays = {name: sign * row.reshape(1, 2, 3) for name, row in zip(IDS, VALUES, strict=True)}
        np.savez_compressed(folder / f"consolidated_{layer}.npz", **arrays)


def separate(folder):
    for name, row in zip(IDS, VALUES, strict=True):
        np.savez(folder / f"{name}.npz", conv1=row.reshape(1, 2, 3), fc=-row.reshape(1, 2, 3))


def reduced(folder):  # after its reduction of dimensions the arrays are vectors
    for name, row in zip(IDS, VALUES, strict=True):
        np.savez(folder / f"{name}.npz", conv1=row, fc=-row)


@pytest.mark.parametrize("write", [consolidated, separate, reduced])
def test_net2brains_folders_are_read(tmp_path, write):
    write(tmp_path)
    layers, ids = read_net2brain(tmp_path)
    assert ids == ["p2", "p9", "p10"]  # in the order a person counts
    assert list(layers) == ["conv1", "fc"]
    for layer, sign in (("conv1", 1), ("fc", -1)):
        rows = np.concatenate(list(rows_in(layers[layer], 2)))
        np.testing.assert_array_equal(rows, sign * VALUES[[2, 0, 1]])
        assert len(layers[layer]) == 3
    np.testing.assert_array_equal(np.ravel(layers["fc"][1]), -VALUES[0])


def test_what_net2brain_did_not_finish_is_named(tmp_path):
    separate(tmp_path)
    np.savez(tmp_path / "p3.npz", conv1=VALUES[:1])
    with pytest.raises(ValueError, match=r"p3\.npz"):
        read_net2brain(tmp_path)
    (tmp_path / "p3.npz").write_bytes(b"PK broken")
    with pytest.raises(ValueError, match=r"p3\.npz"):
        read_net2brain(tmp_path)
    np.savez(tmp_path / "consolidated_a.npz", p1=VALUES[:1], p2=VALUES[:1])
    np.savez(tmp_path / "consolidated_b.npz", p1=VALUES[:1])
    with pytest.raises(ValueError, match=r"consolidated_b\.npz"):
        read_net2brain(tmp_path)


def test_files_of_layers_are_no_stimuli(tmp_path):
    for layer in ("a", "b"):
        np.savez(tmp_path / f"{layer}.npz", features=VALUES, images=IDS)
    assert read_net2brain(tmp_path) is None
    for layer in ("a", "b"):  # an entry for each of more stimuli than there are files
        np.savez(tmp_path / f"{layer}.npz", **dict(zip(IDS, VALUES, strict=True)))
    assert read_net2brain(tmp_path) is None


def test_parts_of_thingsvision_come_in_the_order_of_their_pictures(tmp_path):
    """Also where a fault of it gives modules after the first names like features_64-64."""
    for module in ("features.2", "fc"):
        (tmp_path / module).mkdir()
    for first, last in ((0, 4), (4, 8), (8, 12), (12, 100)):
        np.save(tmp_path / "features.2" / f"features_{first}-{last}.npy", np.full((4, 2), first))
        np.save(tmp_path / "fc" / f"features_{last}-{last}.npy", np.full((4, 1), first))
    (tmp_path / "file_names.txt").write_text("x")
    found = thingsvision_files(tmp_path)
    assert set(found) == {"features.2", "fc"}
    for files in found.values():
        assert [int(np.load(path)[0, 0]) for path in files] == [0, 4, 8, 12]


def test_splits_in_one_folder_are_one_module(tmp_path):
    for part in (1, 2, 10):
        np.save(tmp_path / f"features_{part:02d}.npy", np.full((4, 2), part))
    (tmp_path / "file_names.txt").write_text("x")
    (files,) = thingsvision_files(tmp_path).values()
    assert [path.stem for path in files] == ["features_01", "features_02", "features_10"]
    np.save(tmp_path / "layer.npy", VALUES)
    assert thingsvision_files(tmp_path) == {}


def test_rows_in_parts_are_those_of_one_array():
    arrays = [VALUES[:1], VALUES[1:], VALUES[:0]]
    parts = joined(arrays)
    assert isinstance(parts, Parts)
    assert joined([VALUES]) is VALUES
    assert (len(parts), parts.shape, parts.dtype) == (3, (3, 6), np.float32)
    for index in (slice(None), [2, 0, 0], slice(1, 3), np.array([False, True, True])):
        np.testing.assert_array_equal(parts[index], VALUES[index])
    with pytest.raises(ValueError, match="differ in shape"):
        Parts([VALUES, VALUES[:, :2]])


def test_rows_of_entries_must_be_alike():
    rows = [np.zeros(3), np.zeros(3), np.zeros(2)]
    entries = Entries(rows.__getitem__, 3)
    assert str(rows[0].dtype) in repr(entries)
    assert "0x" not in repr(entries)  # what a reader of features sees when she prints them
    assert entries[:2].shape == (2, 3)
    with pytest.raises(ValueError, match="differ in shape"):
        entries[:]
