"""Prediction and response over time: kept whole, scored run by run, and told to the page."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet.dataset import ArrayDataset, Cleaning, TimeSeries
from brainnet.run.record.courses import (
    DELAY,
    LATENCY,
    best_course,
    course_figures,
    courses_of,
    delay_maps,
    page_courses,
    read_courses,
)


@pytest.fixture
def series():
    """Two test runs, of which the second is predicted by chance alone."""
    rng = np.random.default_rng(0)
    runs = {name: rng.normal(size=(60, 4)) for name in ("a", "b", "c")}
    data = TimeSeries(runs, tr=2.0, test=["b", "c"])
    predicted = data.responses[data.splits["test"]] + 0.1 * torch.from_numpy(rng.normal(size=(120, 4)))
    predicted[60:] = torch.from_numpy(rng.normal(size=(60, 4)))
    return data, predicted


def test_runs_are_scored_each(series, tmp_path):
    data, predicted = series
    found = courses_of(data, predicted)
    found.save(tmp_path / "courses.npz")
    again = read_courses(tmp_path / "courses.npz")
    assert again.run_names == ["b", "c"]
    assert again.tr == 2.0
    assert again.axis == "response (SD)"  # runs are brought to SD 1
    np.testing.assert_array_equal(again.response, data.responses[data.splits["test"]].numpy())
    scores = again.scores()
    assert (scores["b"] > 0.95).all()
    assert (np.abs(scores["c"]) < 0.5).all()
    expected = np.corrcoef(again.prediction[60:, 1], again.response[60:, 1])[0, 1]
    assert scores["c"][1] == pytest.approx(expected, abs=1e-5)


def test_responses_whose_scale_is_kept_have_the_unit_of_the_data():
    runs = {name: 7 * np.random.default_rng(0).normal(size=(60, 4)) for name in ("a", "b")}
    data = TimeSeries(runs, tr=2.0, test=["b"], cleaning=Cleaning(scale="none"))
    found = courses_of(data, data.responses[data.splits["test"]])
    assert found.axis == "response"
    assert page_courses(found)["Prediction and response over time"].unit == "response, in b"


def test_time_is_that_of_the_run_also_where_volumes_are_left_out_or_a_sound_starts_late(tmp_path):
    runs = {name: np.random.default_rng(0).normal(size=(60, 4)) for name in ("a", "b", "c")}
    data = TimeSeries(runs, tr=2.0, test=["b", "c"], trim=(5, 2), start=-4.0)
    responses = data.responses[data.splits["test"]]
    courses_of(data, responses).save(tmp_path / "courses.npz")
    found = read_courses(tmp_path / "courses.npz")
    expected = np.arange(5, 58) * 2.0 - 4.0
    np.testing.assert_array_equal(found.times, np.tile(expected, 2))
    table, draw = best_course(found, [0.1, 0.5, 0.2, 0.3])
    np.testing.assert_array_equal(table["time"], expected)
    for line in draw().axes[0].lines[1:]:
        np.testing.assert_array_equal(line.get_xdata(), expected)
    course = page_courses(found)["Prediction and response over time"]
    assert (course.gaps, list(course.starts)) == ([53], [6.0, 6.0])
    np.testing.assert_array_equal(course.x, np.arange(106) * 2.0)
    files = dict(np.load(tmp_path / "courses.npz"))
    del files["times"]  # of an earlier brainnet, which counted from the first volume that is kept
    np.savez(tmp_path / "earlier.npz", **files)
    np.testing.assert_array_equal(read_courses(tmp_path / "earlier.npz").times, np.tile(np.arange(53) * 2.0, 2))


def test_a_volume_a_second_is_told_in_seconds():
    runs = {name: np.random.default_rng(0).normal(size=(60, 4)) for name in ("a", "b")}
    data = TimeSeries(runs, tr=1.0, test=["b"], start=-10.0)
    found = courses_of(data, data.responses[data.splits["test"]])
    assert course_figures(found, [0.1] * 4)["course"].axes[0].get_xlabel() == "time (s)"
    assert page_courses(found)["Prediction and response over time"].x_name == "time (s)"


def test_images_have_no_course(tmp_path):
    data = ArrayDataset(torch.rand(20, 3, 8, 8), torch.rand(20, 3))
    assert courses_of(data, torch.rand(len(data.splits["test"]), 3)) is None
    assert read_courses(tmp_path / "courses.npz") is None
    assert page_courses(None) == course_figures(None, [0.1]) == {}
    (tmp_path / "bad.npz").write_bytes(b"no archive")
    with pytest.raises(ValueError, match=r"bad\.npz"):
        read_courses(tmp_path / "bad.npz")


def test_the_page_is_told_of_delays_time_and_runs(series):
    data, predicted = series
    delays = {"delay": np.eye(4, 3), "delays": np.array([3, 1, 2]), "tr": np.array(2.0)}
    found = page_courses(courses_of(data, predicted), delays)
    assert list(found) == ["Weight of each delay", "Prediction and response over time", "Score of each run"]
    weights, course, runs = found.values()
    assert list(weights.x) == [2.0, 4.0, 6.0]
    assert weights.lines["weight"][0].tolist() == [0, 0, 1]  # delay 3, the first as given, is the last on the axis
    assert course.gaps == [60]
    np.testing.assert_array_equal(course.lines["measured"], data.responses[data.splits["test"]].numpy().T)
    assert runs.ticks == ["b", "c"]
    assert (runs.lines["r"][:, 0] > 0.95).all()


def test_maps_of_delays_are_means_and_the_largest():
    maps = delay_maps(np.array([[0.0, 1.0, 0.0], [0.5, 0.0, 0.5], [np.nan] * 3]), [3, 1, 2], 2.0)
    np.testing.assert_allclose(maps[LATENCY].values[:2], [2.0, 5.0])
    assert (maps[LATENCY].vmin, maps[LATENCY].vmax, maps[LATENCY].unit) == (2.0, 6.0, "s")
    assert maps[DELAY].values.tolist() == [0, 1, -1]
    assert maps[DELAY].labels == ["2 s", "4 s", "6 s"]


def test_the_figures_are_of_the_best_voxel_and_of_all_runs(series):
    data, predicted = series
    figures = course_figures(courses_of(data, predicted), [0.1, 0.5, float("nan"), 0.2], [0.9] * 4)
    assert list(figures) == ["course", "runs"]
    measured = figures["course"].axes[0].lines[1].get_ydata()
    np.testing.assert_allclose(measured, data.responses[data.splits["test"]][:60, 1])
