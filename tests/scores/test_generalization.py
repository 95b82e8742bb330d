"""Temporal generalization against a loop over times, and planted codes."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.ridge import RidgeCV
from brainnet.scores import pearson_r, temporal_generalization
from brainnet.space import sensor_space


def test_it_is_a_loop_over_pairs_of_times(rng):
    p, y = torch.randn(2, 20, 3, 5, generator=rng)
    y[:, 1, 2] = 4.0  # never changes
    p[:, 2, 0] = 1.0
    y[3, 0, 1] = torch.nan
    found = temporal_generalization(p, y)
    for sensor in range(3):
        for fitted in range(5):
            for tested in range(5):
                expected = pearson_r(p[:, sensor, [fitted]], y[:, sensor, [tested]])[0]
                torch.testing.assert_close(found[sensor, fitted, tested], expected, equal_nan=True)


def test_a_code_that_stays_is_a_square_and_one_that_moves_a_diagonal():
    """One sensor reads the same features all the time, another one other features at each time."""
    rng = np.random.default_rng(0)
    x = rng.normal(size=(400, 6))
    weights = rng.normal(size=(6, 2, 6))
    weights[:, 0] = weights[:, 0, :1]
    weights[:, 1] = np.linalg.qr(weights[:, 1])[0]
    response = np.einsum("if,fst->ist", x, weights) + 0.1 * rng.normal(size=(400, 2, 6))
    space = sensor_space(["stays", "moves"], np.arange(6) * 0.1)
    columns = response.reshape(400, -1)
    model = RidgeCV().fit(x[:300], columns[:300])
    prediction = space.to_sensors(torch.as_tensor(model.predict(x[300:])))
    found = temporal_generalization(prediction, space.to_sensors(torch.as_tensor(columns[300:])))
    diagonal = torch.eye(6, dtype=torch.bool)
    assert found[0].min() > 0.9
    assert found[1][diagonal].min() > 0.9
    assert found[1][~diagonal].abs().max() < 0.4


def test_shapes_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match=r"\(5, 2, 3\) and \(5, 2, 4\)"):
        temporal_generalization(torch.ones(5, 2, 3), torch.ones(5, 2, 4))
    with pytest.raises(ValueError, match="two or more"):
        temporal_generalization(torch.ones(1, 2, 3), torch.ones(1, 2, 3))
