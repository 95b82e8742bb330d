"""Scores over layers and time are those of the table, with its intervals and marks."""

import numpy as np
import pandas as pd
import pytest
import torch
from matplotlib.backends.backend_agg import FigureCanvasAgg

from brainnet import plot


def test_layers_are_filled_where_significant():
    table = pd.DataFrame(
        {"roi": ["V1"] * 3 + ["IT"] * 3, "model": "net", "layer": ["1", "2", "3"] * 2, "score": [3, 2, 1, 1, 2, 3.0],
         "low": 0.0, "high": [4.0] * 3 + [9.0] * 3, "p_corrected": [0.01, 0.2, 0.9, 0.9, 0.01, 0.01]}
    )  # fmt: skip
    figure = plot.rsa_layers(table)
    assert [ax.get_title(loc="left") for ax in figure.axes] == ["V1", "IT"]
    for ax, score, hollow in zip(figure.axes, ([3, 2, 1], [1, 2, 3]), ([2, 1], [1]), strict=True):
        assert ax.lines[1].get_ydata().tolist() == score
        assert ax.lines[3].get_ydata().tolist() == hollow
    assert figure.axes[0].get_ylim() == figure.axes[1].get_ylim()


def test_labels_beside_narrow_scales_stay_inside_the_figure():
    """Scores of a few thousandths take long tick labels, which pushed the name of the axis off the page."""
    table = pd.DataFrame({"roi": "V1", "model": "net", "layer": ["1", "2"], "score": [0.0015, 0.0]})
    table = table.assign(low=-0.0025, high=0.0025)
    figure = plot.rsa_layers(table, score_name="weight, and its SD over splits")
    assert figure.axes[0].yaxis.get_tightbbox(FigureCanvasAgg(figure).get_renderer()).x0 >= 0


def test_steps_are_counted_in_whole_numbers():
    ax = plot.time_by_time(np.eye(3)).axes[0]
    assert all(tick % 1 == 0 for tick in [*ax.get_xticks(), *ax.get_yticks()])


def test_time_by_time_outlines_what_is_significant():
    scores = torch.zeros(3, 4)
    scores[1, 2] = 1.0
    ax = plot.time_by_time(scores, [0, 1, 2], [0.0, 0.1, 0.2, 0.3], significant=scores > 0.5).axes[0]
    edges = np.concatenate(ax.collections[-1].get_segments())
    np.testing.assert_allclose([edges[:, 0].min(), edges[:, 0].max()], [0.15, 0.25])
    np.testing.assert_allclose([edges[:, 1].min(), edges[:, 1].max()], [0.5, 1.5])
    with pytest.raises(ValueError, match="one time a row and a column"):
        plot.time_by_time(scores, [0, 1])


@pytest.mark.parametrize("title", [None, "A title"])
def test_legends_of_several_rows_stay_inside_the_figure(title):
    times = [0.0, 0.1]
    models = [f"a model with a name, {i}" for i in range(9)]
    table = pd.concat(
        [pd.DataFrame({"roi": "V1", "model": m, "layer": "", "time": times, "score": 0.1}) for m in models]
    )
    figure = plot.rsa_time(table, title=title)
    figure.canvas.draw()
    legend = figure.axes[0].get_legend().get_window_extent()
    assert legend.y1 <= figure.bbox.y1 - (figure.texts[0].get_window_extent().height if title else 0)
    height = figure.axes[0].get_position().height
    assert height * figure.get_figheight() == pytest.approx(2.1)  # axes keep their size


def test_courses_carry_marks_where_and_only_where_significant():
    times = np.arange(5) * 0.1 - 0.1
    table = pd.DataFrame(
        {"roi": "MEG", "model": ["a"] * 5 + ["b"] * 5, "layer": "", "time": [*times, *times],
         "score": np.arange(10.0), "p_corrected": [1, 0.01, 0.01, 1, 1, 1, 1, 1, 1, 0.04],
         "ceiling_lower": 8.0, "ceiling_upper": 9.0}
    )  # fmt: skip
    ax = plot.rsa_time(table).axes[0]
    courses = [line for line in ax.lines if len(line.get_xdata()) == 5]
    assert [line.get_ydata().tolist() for line in courses] == [[0, 1, 2, 3, 4], [5, 6, 7, 8, 9]]
    assert courses[0].get_linestyle() != courses[1].get_linestyle()
    marks = [line for line in ax.lines if line.get_linewidth() == 2.4]
    assert [float(np.mean(line.get_xdata())) for line in marks] == pytest.approx([0.0, 0.1, 0.3])
    lanes = {float(line.get_ydata()[0]) for line in marks}
    assert len(lanes) == 2
    assert max(lanes) < 0
