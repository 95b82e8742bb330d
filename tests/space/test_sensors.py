import pytest
import torch

from brainnet.space import sensor_space
from brainnet.space.sensors import sensor_groups


def test_columns_run_over_the_times_of_a_sensor_and_come_back():
    values = torch.rand(4, 3, 5)
    space = sensor_space(["a", "b", "c"], [-0.2, -0.1, 0.0, 0.1, 0.2], {"first": torch.tensor([True, False, False])})
    assert torch.equal(space.to_sensors(values.flatten(1)), values)
    assert values.flatten(1)[:, space.rois["first"]].equal(values[:, 0])
    assert space.subset(space.times >= 0).to_sensors(values.flatten(1)[:, space.times >= 0]).equal(values[..., 2:])


def test_groups_must_be_of_the_sensors():
    with pytest.raises(ValueError, match="'x'.*2,.*3,"):
        sensor_space(["a", "b", "c"], [0.0, 0.1], {"x": torch.tensor([True, False])})
    with pytest.raises(ValueError, match="'a', 0"):
        sensor_space(["a", "b", "a"], [0.0, 0.1])


def test_groups_of_electrodes_go_by_their_letters():
    groups = sensor_groups(["Pz", "P3", "PO7", "PO8", "Oz", "Cz", "FCz", "C3"])
    assert {name: mask.nonzero()[:, 0].tolist() for name, mask in groups.items()} == {
        "P": [0, 1], "PO": [2, 3], "C": [5, 7]
    }  # fmt: skip
