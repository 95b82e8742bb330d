"""Merging is the reverse of splitting, and what does not fit together is told."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.run.extraction.feature_files import read_features
from brainnet.run.extraction.feature_parts import merge_features, split_features

IDS = [f"p{i}" for i in range(11)]
LAYERS = {"conv": np.random.default_rng(0).normal(size=(11, 2, 3)), "fc": np.random.default_rng(1).normal(size=(11, 4))}


def write(folder, rows=slice(None), ids=IDS, layers=LAYERS):
    folder.mkdir()
    for layer, values in layers.items():
        np.save(folder / f"{layer}.npy", values[rows].astype(np.float32))
    (folder / "images.txt").write_text("\n".join(ids[rows]))
    return folder


@pytest.mark.parametrize("file_format", ["npy", "mat", "zarr", "thingsvision", "net2brain", "net2brain-separate"])
@pytest.mark.parametrize("n_parts", [2, 10])
def test_parts_are_as_many_as_asked_for_and_together_the_whole(tmp_path, file_format, n_parts):
    folders = split_features(write(tmp_path / "whole"), tmp_path / "parts", n_parts, format=file_format)
    parts = [read_features(folder) for folder in folders]
    assert len(parts) == n_parts
    assert {len(part.ids) for part in parts} <= {11 // n_parts, -(-11 // n_parts)}
    written = merge_features(folders, tmp_path / "again", format=file_format)
    assert list(written) == list(LAYERS)
    again = read_features(tmp_path / "again")
    found = again.of(IDS)
    for layer, values in LAYERS.items():
        np.testing.assert_array_equal(found[layer][:], values.reshape(11, -1).astype(np.float32))
    if file_format in ("npy", "mat"):
        assert again.ids == IDS


def test_what_does_not_fit_together_is_told(tmp_path):
    first = write(tmp_path / "a", slice(0, 5))
    with pytest.raises(ValueError, match="two sources"):
        merge_features([first], tmp_path / "out")
    with pytest.raises(ValueError, match="'p4'"):
        merge_features([first, write(tmp_path / "b", slice(4, 11))], tmp_path / "out")
    other = write(tmp_path / "c", slice(5, 11), layers={"conv": LAYERS["conv"]})
    with pytest.raises(ValueError, match="conv, fc"):
        merge_features([first, other], tmp_path / "out")
    wide = write(tmp_path / "d", slice(5, 11), layers={**LAYERS, "fc": LAYERS["fc"][:, :3]})
    with pytest.raises(ValueError, match="'fc' has 3 and 4"):
        merge_features([first, wide], tmp_path / "out")
    (first / "images.txt").unlink()
    with pytest.raises(ValueError, match="no names"):
        split_features(first, tmp_path / "out", 2)
    with pytest.raises(ValueError, match="2 to 6"):
        split_features(tmp_path / "d", tmp_path / "out", 7)
    assert not (tmp_path / "out").exists()


def test_results_that_are_there_stay_unless_told(tmp_path):
    whole = write(tmp_path / "whole")
    split_features(whole, tmp_path / "parts", 2)
    with pytest.raises(FileExistsError, match="part_01"):
        split_features(whole, tmp_path / "parts", 3)
    assert len(split_features(whole, tmp_path / "parts", 3, overwrite=True)) == 3
