"""Tables of samples x columns: rows in the order asked for, and columns by key."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.dataset.readers import _bdpy
from tests.dataset.readers.fmri_folders import write_bdata


def test_rows_come_in_the_order_asked_for_whatever_is_read_at_once(tmp_path, monkeypatch):
    generator = np.random.default_rng(0)
    voxels, label = generator.normal(size=(11, 4)), np.arange(11.0)
    write_bdata(tmp_path / "a.h5", {"Label": label, "VoxelData": voxels}, {"ROI_V1": np.array([1, 0, 1, np.nan])},
                {"Label": {"3.0": "three"}})  # fmt: skip
    table = _bdpy.BData(tmp_path / "a.h5")
    order = np.array([7, 0, 10, 3])
    for n in (1, 4, 256):
        monkeypatch.setattr(_bdpy, "AT_ONCE", n)
        np.testing.assert_array_equal(table.rows(order, table.columns("ROI_V1")), voxels[order][:, [0, 2]])
    np.testing.assert_array_equal(table.column("nothing", "Label"), label)
    assert table.column("nothing") is None
    assert table.labels == {"Label": {"3.0": "three"}}
    with pytest.raises(ValueError, match="has 4 columns of 'VoxelData'; expected one"):
        table.column("VoxelData")
