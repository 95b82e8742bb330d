"""Figures of time series hold the numbers they were given."""

from __future__ import annotations

import numpy as np
import pytest
import torch

from brainnet import plot
from brainnet.plot.series import mean_delay
from brainnet.space import BrainSpace


def test_a_latency_is_the_mean_of_the_delays():
    delay = np.array([[1.0, 0, 0], [0, 0.5, 0.5], [-1, 0, 1], [0, 0, 0]])
    np.testing.assert_allclose(mean_delay(delay, [1, 2, 4]), [1, 3, 2.5, np.nan])
    with pytest.raises(ValueError, match="2"):
        mean_delay(delay, [1, 2])


def test_latency_is_a_map_or_a_distribution():
    rng = np.random.default_rng(0)
    delay = rng.dirichlet([1, 1, 1], 40)
    surface = BrainSpace(vertices=torch.arange(40), mesh="fsaverage5")
    for space in (surface, BrainSpace(mask=torch.ones(4, 5, 2, dtype=torch.bool), affine=torch.eye(4))):
        assert len(plot.latency(delay, [1, 2, 3], space, tr=2.0).axes) == 2
    figure = plot.latency(delay, [1, 2, 3], BrainSpace.free(40))
    assert figure.axes[0].get_xlabel() == "latency (volumes)"
    faded = plot.latency(delay, [1, 2, 3], BrainSpace.free(40), alpha=torch.arange(40) / 30)
    heights = [sum(bar.get_height() for bar in bars) for bars in faded.axes[0].containers]
    assert heights == [10, 30]  # voxels with a high score, and those with a low one
    assert sum(patch.get_height() for patch in figure.axes[0].patches) == 40
    with pytest.raises(ValueError, match="40.*39"):
        plot.latency(delay, [1, 2, 3], BrainSpace.free(39))


def test_delay_weights_are_means_in_the_order_of_time():
    rng = np.random.default_rng(0)
    weights = {"A1": rng.normal(size=(20, 3)), "IFG": rng.normal(size=(5, 3))}
    ax = plot.delay_weights(weights, [3, 1, 2], tr=2.0).axes[0]
    np.testing.assert_allclose(ax.lines[1].get_xdata(), [2, 4, 6])
    np.testing.assert_allclose(ax.lines[2].get_ydata(), weights["IFG"].mean(0)[[1, 2, 0]])
    assert len(ax.collections) == 2
    with pytest.raises(ValueError, match="'A1'.*3 columns"):
        plot.delay_weights(weights, [1, 2])
    with pytest.raises(ValueError, match="no group"):
        plot.delay_weights({}, [1, 2])


def test_a_course_shows_both_and_their_correlation():
    rng = np.random.default_rng(0)
    y = rng.normal(size=100)
    p = 0.3 * y + 0.1 * rng.normal(size=100)
    figure = plot.predicted_course(p, torch.from_numpy(y), tr=2.0, start=10.0, ceiling=0.12, voxel="v17", unit="SD")
    ax = figure.axes[0]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), y)
    np.testing.assert_allclose(ax.lines[2].get_ydata(), p)
    assert ax.lines[2].get_xdata()[-1] == 10 + 99 * 2
    said = " ".join(text.get_text() for text in ax.get_legend().get_texts())
    assert f"r = {np.corrcoef(p, y)[0, 1]:.2f}" in said
    assert "v17" in said
    assert "noise ceiling 0.12" in said  # an estimate, which an r can pass: it is not the most there can be
    assert ax.get_ylabel() == "response (SD)"
    with pytest.raises(ValueError, match="100 and 99"):
        plot.predicted_course(p, y[:99])


def test_scores_over_runs_are_means_over_voxels():
    scores = {"words": {"a": [0.1, 0.3], "b": [0.2, np.nan]}, "sound": {"a": 0.0, "b": -0.1}}
    ax = plot.scores_over_runs(scores).axes[0]
    np.testing.assert_allclose(ax.lines[1].get_ydata(), [0.2, 0.2])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["a", "b"]
    with pytest.raises(ValueError, match="'sound'.*'b', 'a'"):
        plot.scores_over_runs(scores | {"sound": {"b": 0, "a": 0}})
    with pytest.raises(ValueError, match="no run"):
        plot.scores_over_runs({})
