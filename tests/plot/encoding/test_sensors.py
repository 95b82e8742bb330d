"""Scores over time and by sensor are drawn as they are."""

import numpy as np
import pytest
import torch

from brainnet import plot
from brainnet.space import BrainSpace, sensor_space

SPACE = sensor_space(["Oz", "Pz", "Cz"], [-0.1, 0.0, 0.1, 0.2])
VALUES = torch.arange(12.0).view(3, 4) / 12


def test_a_course_is_the_mean_over_sensors_that_have_a_score():
    values = VALUES.clone()
    values[1, 2] = torch.nan
    values[:, 3] = torch.nan
    ax = plot.time_course(values.flatten(), SPACE, noise_ceiling=torch.ones(12)).axes[0]
    course = ax.lines[-1]
    np.testing.assert_allclose(course.get_xdata(), [-0.1, 0, 0.1, 0.2])
    expected = [*values[:, :2].mean(0), values[[0, 2], 2].mean(), np.nan]
    np.testing.assert_allclose(course.get_ydata(), expected)
    traces = [line for line in ax.lines if line.get_linewidth() == 0.5]
    np.testing.assert_allclose([line.get_ydata() for line in traces], values)
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["mean noise ceiling"]


def test_lines_of_some_sensors_and_of_several_models():
    two = {"net": VALUES.flatten(), "other": -VALUES.flatten()}
    ax = plot.time_course(two, SPACE, sensors=["Cz", "Oz"]).axes[0]
    drawn = {text.get_text(): line.get_ydata() for text, line in
             zip(ax.get_legend().get_texts(), ax.lines[-4:], strict=True)}  # fmt: skip
    assert list(drawn) == ["net Cz", "net Oz", "other Cz", "other Oz"]
    np.testing.assert_allclose(drawn["net Cz"], VALUES[2])
    np.testing.assert_allclose(drawn["other Oz"], -VALUES[0])
    mean = plot.time_course(two, SPACE, ordered=True).axes[0].lines[-1]
    np.testing.assert_allclose(mean.get_ydata(), -VALUES.mean(0))


def test_the_map_has_a_row_for_each_sensor_in_order():
    ax = plot.sensor_times(VALUES.flatten(), SPACE, limits=(0, 1)).axes[0]
    np.testing.assert_allclose(ax.collections[0].get_array().reshape(3, 4), VALUES)
    assert [text.get_text() for text in ax.get_yticklabels()] == ["Oz", "Pz", "Cz"]
    assert ax.get_ylim() == (2.5, -0.5)
    assert ax.collections[0].get_clim() == (0, 1)
    many = sensor_space([f"MLO{i}-1609" for i in range(200)], [0.0])
    assert len(plot.sensor_times(torch.rand(200), many).axes[0].get_yticks()) == 40


@pytest.mark.parametrize("draw", [plot.time_course, plot.sensor_times])
def test_what_has_no_sensors_is_refused(draw):
    with pytest.raises(ValueError, match="sensor_space"):
        draw(torch.rand(3), BrainSpace.free(3))
    with pytest.raises(ValueError, match="12"):
        draw(torch.rand(3), SPACE)


def test_an_unknown_sensor_is_refused():
    with pytest.raises(ValueError, match="'Qz'.*Known: Oz"):
        plot.time_course(VALUES.flatten(), SPACE, sensors=["Qz"])
