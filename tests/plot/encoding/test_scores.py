import math

import pytest
import torch

from brainnet import plot
from brainnet.space import BrainSpace


@pytest.fixture
def space():
    first = torch.tensor([True, True, False, False])
    rois = {"V1": first, "V4": ~first, "MT": torch.zeros(4, dtype=torch.bool)}
    return BrainSpace.free(4, rois)


def test_bars_are_means_of_known_voxels(space):
    values = torch.tensor([0.2, 0.4, math.nan, 0.6])
    ax = plot.scores(values, space).axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.4, 0.3, 0.6])
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["all\n3", "V1\n2", "V4\n1"]  # MT has no voxels
    assert ax.get_ylabel() == "r"


def test_models_stand_side_by_side_below_their_ceiling(space):
    models = {"FactorTopy": torch.full((4,), 0.5), "ridge": torch.full((4,), 0.25)}
    ceiling = torch.tensor([0.8, 0.6, 0.9, math.nan])
    ax = plot.scores(models, space, noise_ceiling=ceiling, score_name="test r", title="both").axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.5] * 3 + [0.25] * 3)
    labels = [text.get_text() for text in ax.get_legend().get_texts()]
    assert set(labels) == {"FactorTopy", "ridge", "mean noise ceiling"}
    dashes = [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":"]
    assert dashes == pytest.approx([(0.8 + 0.6 + 0.9) / 3, 0.7, 0.9])
    colors = {bar.get_facecolor() for bar in ax.patches}
    assert len(colors) == 2


def test_a_line_on_a_bar_is_the_interval_that_was_given_and_says_so(space):
    """Readers take a line on a bar for an interval; the spread of voxels, which stood there, is none."""
    models = {name: torch.linspace(0, 1, 4) for name in "abcdefgh"}
    spans = {name: {"all": (0.4, 0.6), "V1": (0.1, math.nan)} for name in "abcdefgh"}
    figure = plot.scores(models, space, intervals=spans, interval_name="95 % interval of the mean, images resampled")
    lines = [line for line in figure.axes[0].lines if len(set(line.get_xdata())) == 1]
    assert len(lines) == 2 * len(models)
    for casing, line in zip(lines[::2], lines[1::2], strict=True):  # seen on bars of any color
        assert list(line.get_ydata()) == list(casing.get_ydata()) == [0.4, 0.6]
        assert casing.get_color() == "white"
        assert casing.get_linewidth() > line.get_linewidth()
    assert [text.get_text() for text in figure.texts] == ["Line on a bar: 95 % interval of the mean, images resampled."]
    single = plot.scores(models["a"], space, intervals={"V1": (0.1, 0.2)})
    assert [list(line.get_ydata()) for line in single.axes[0].lines if line.get_color() == "0.1"] == [[0.1, 0.2]]
    without = plot.scores(models, space)
    assert not without.texts
    assert not [line for line in without.axes[0].lines if len(set(line.get_xdata())) == 1]


def test_lengths_are_checked(space):
    with pytest.raises(ValueError, match=r"ridge has shape \(3,\), expected \(4,\)"):
        plot.scores({"ridge": torch.ones(3)}, space)
    with pytest.raises(ValueError, match="noise_ceiling has shape"):
        plot.scores(torch.ones(4), space, noise_ceiling=torch.ones(5))


def test_a_region_nobody_scored_has_no_bar(space):
    ax = plot.scores(torch.tensor([math.nan, math.nan, 0.1, 0.3]), space).axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.2, 0.2])


@pytest.fixture
def test_few_voxels_are_points_under_a_title():
    rng = torch.Generator().manual_seed(0)
    a, b = torch.rand(2, 199, generator=rng)
    a[3] = torch.nan
    figure = plot.joint_histogram(a, b, title="monkey")
    few = figure.axes[0]
    assert not few.images
    drawn = torch.as_tensor(few.collections[0].get_offsets().data).float()
    torch.testing.assert_close(drawn, torch.stack([a, b], 1)[~a.isnan()])
    assert "monkey" in [text.get_text() for text in figure.texts]
    low, high = few.get_xlim()
    assert low < min(0, b.min()) < b.max() < high
    many = plot.joint_histogram(*torch.rand(2, 200, generator=rng)).axes[0]
    assert many.images
    assert not many.collections
    assert plot.joint_histogram(a, b, bins=5).axes[0].images


def test_joint_histogram_counts_each_known_voxel_once():
    a, b = torch.tensor([0.1, 0.2, 0.9, 0.9, math.nan]), torch.tensor([0.3, 0.1, 0.9, 0.9, 0.5])
    figure = plot.joint_histogram(a, b, names=("ridge", "banded"), bins=10)
    ax = figure.axes[0]
    counts = 10 ** ax.images[0].get_array().astype(float)
    assert counts.sum() == pytest.approx(4)  # masked cells are empty
    assert [text.get_text() for text in figure.texts] == ["Brighter: more voxels in a cell, at most 2."]
    assert counts[3, 1] == 1  # row is b: the second model is on the vertical axis
    assert "banded better in 25 % of 4 voxels" in ax.get_title(loc="left")
    with pytest.raises(ValueError, match="no voxel"):
        plot.joint_histogram(a[4:], b[4:])


def test_split_variance_is_stacked_and_negative_parts_hang_below(space):
    parts = {"a": torch.tensor([0.2, 0.2, 0.4, 0.4]), "b": torch.full((4,), -0.1), "c": torch.full((4,), 0.3)}
    ax = plot.variance_split(parts, space).axes[0]
    boxes = [(round(bar.get_y(), 6), round(bar.get_height(), 6)) for bar in ax.patches[1::3]]  # V1
    assert boxes == [(0, 0.2), (0, -0.1), (0.2, 0.3)]
    ordered = plot.variance_split(parts, space, ordered=True).axes[0]
    brightness = [sum(bar.get_facecolor()[:3]) for bar in ordered.patches[::3]]
    assert brightness == sorted(brightness)
    with pytest.raises(ValueError, match=r"a has shape \(3,\)"):
        plot.variance_split({"a": torch.ones(3)}, space)


def test_bars_stand_over_the_name_of_their_region(space):
    ax = plot.scores({"a": torch.rand(4), "b": torch.rand(4)}, space).axes[0]
    centres = [round(bar.get_x() + bar.get_width() / 2, 6) for bar in ax.patches]
    assert centres == [-0.2, 0.8, 1.8, 0.2, 1.2, 2.2]


def test_each_axis_of_a_joint_histogram_names_its_model():
    ax = plot.joint_histogram(torch.rand(9), torch.rand(9), names=("ridge", "banded"), score_name="r").axes[0]
    assert (ax.get_xlabel(), ax.get_ylabel()) == ("ridge, r", "banded, r")


def test_the_legend_of_split_variance_is_stacked_as_its_bars(space):
    parts = {name: torch.full((4,), 0.1) for name in ("early", "middle", "late")}
    ax = plot.variance_split(parts, space).axes[0]
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["late", "middle", "early"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["all\n4", "V1\n2", "V4\n2"]
    assert ax.get_ylabel() == "R2"
