"""Freeman and Ziemba's recordings: the window of the benchmark by default, courses of bins on request."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.dataset import DATASETS
from brainnet.dataset.readers.freemanziemba import FreemanZiemba
from tests.dataset.readers.brainscore_folder import write_brainscore

pytest.importorskip("netCDF4")


def test_a_response_is_the_mean_within_the_window(tmp_path):
    planted = write_brainscore(tmp_path / "data", name="assy_movshon_FreemanZiemba2013.nc", n_bins=15)  # 70 to 220 ms
    data = FreemanZiemba(planted.root, progress=False)
    assert type(data) is DATASETS["freemanziemba"]
    row = data.image_ids.index(planted.ids[3])
    expected = planted.counts[:, planted.shown == 3, :13].mean((1, 2))  # to 200 ms
    np.testing.assert_allclose(data.responses[row], expected, rtol=1e-5)
    course = FreemanZiemba(planted.root, over_time=True, average=5, window=None, progress=False)
    np.testing.assert_allclose(course.space.time_points, [0.095, 0.145, 0.195])
    expected = planted.counts[:, planted.shown == 3].mean(1).reshape(6, 3, 5).mean(2)
    np.testing.assert_allclose(course.space.to_sensors(course.responses[row]), expected, atol=1e-6)
