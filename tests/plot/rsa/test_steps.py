"""The best step over time and the similarity over lags are those of the tables."""

from __future__ import annotations

import pandas as pd
import pytest

from brainnet import plot


def test_steps_are_filled_where_significant():
    table = pd.DataFrame({"time": [0.0, 0.1, 0.2], "score": [0.1, 0.3, 0.2], "sem": 0.05, "layer": ["a", "b", "a"],
                          "step": [2, 0, 1], "p_max": [0.9, 0.01, 0.01]})  # fmt: skip
    top, below = plot.best_steps(table).axes
    assert top.lines[1].get_ydata().tolist() == [0.1, 0.3, 0.2]
    filled = [(x, y) for line in below.lines if not isinstance(line.get_markerfacecolor(), str)
              for x, y in zip(line.get_xdata(), line.get_ydata(), strict=True)]  # fmt: skip
    assert sorted(filled) == [(0.1, 0), (0.2, 1)]
    with pytest.raises(ValueError, match="'step'"):
        plot.best_steps(table.drop(columns="step"))


def test_without_a_test_nothing_is_said_of_one():
    table = pd.DataFrame({"time": [0.0, 0.1], "score": [0.1, 0.3], "layer": "a", "step": [0, 1], "p_max": float("nan")})
    figure = plot.best_steps(table)
    assert not any("corrected" in text.get_text() for text in figure.texts)
    assert len(figure.axes[1].lines[0].get_xdata()) == 2


def test_a_dot_marks_the_lag_of_the_highest_similarity():
    table = pd.DataFrame({"layer": ["a"] * 3 + ["b"] * 3, "lag": [0.0, 0.5, 1.0] * 2,
                          "similarity": [0.1, 0.4, 0.2, 0.3, 0.1, 0.0]})  # fmt: skip
    ax = plot.lags(table).axes[0]
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [(0.5, 0.4), (0.0, 0.3)]
    ax = plot.lags(table.assign(n=[2, 1, 2] * 2)).axes[0]  # a half is enough
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == [0.5, 0.0]
    ax = plot.lags(table.assign(n=[9, 1, 9] * 2)).axes[0]
    assert [line.get_xdata()[0] for line in ax.lines if line.get_marker() == "o"] == [1.0, 0.0]
