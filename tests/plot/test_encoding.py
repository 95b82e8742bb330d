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
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["all\n4", "V1\n2", "V4\n2"]  # MT has no voxels
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
    colours = {bar.get_facecolor() for bar in ax.patches}
    assert len(colours) == 2


def test_lengths_are_checked(space):
    with pytest.raises(ValueError, match=r"ridge has shape \(3,\), expected \(4,\)"):
        plot.scores({"ridge": torch.ones(3)}, space)
    with pytest.raises(ValueError, match="noise_ceiling has shape"):
        plot.scores(torch.ones(4), space, noise_ceiling=torch.ones(5))


def test_a_region_nobody_scored_has_no_bar(space):
    ax = plot.scores(torch.tensor([math.nan, math.nan, 0.1, 0.3]), space).axes[0]
    assert [bar.get_height() for bar in ax.patches] == pytest.approx([0.2, 0.2])


@pytest.fixture
def table():
    pandas = pytest.importorskip("pandas")
    rows = [
        {"layer": layer, "method": method, "control": control, "mean": mean, "chosen_layer": chosen}
        for layer, method, control, mean, chosen in [
            ("early", "ridge", "", 0.3, ""),
            ("late", "ridge", "", 0.5, ""),
            ("early", "ridge", "shuffled", 0.0, ""),
            ("late", "ridge", "shuffled", 0.01, ""),
            ("best", "ridge", "", 0.5, "late"),
            ("all", "banded", "", 0.6, ""),
        ]
    ]
    table = pandas.DataFrame(rows).assign(model="net", subject="s", split="test", roi="all", score="r")
    return table.assign(lower=table["mean"] - 0.02, upper=table["mean"] + 0.02)


def test_layers_are_lines_and_methods_over_all_layers_points(table):
    ax = plot.layers(table).axes[0]
    lines = {line.get_label(): list(line.get_ydata()) for line in ax.lines if not line.get_label().startswith("_")}
    assert lines == {"all": [0.3, 0.5], "all shuffled": [0.0, 0.01]}
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["early", "late", "best: late", "banded"]
    points = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert points == [0.5, 0.6]


def test_layers_of_two_models_are_not_mixed(table):
    table.loc[0, "model"] = "other"
    with pytest.raises(ValueError, match="several models"):
        plot.layers(table)
    with pytest.raises(ValueError, match="no rows of score 'r2'"):
        plot.layers(table, score="r2")


def test_joint_histogram_counts_each_known_voxel_once():
    a, b = torch.tensor([0.1, 0.2, 0.9, math.nan]), torch.tensor([0.3, 0.1, 0.9, 0.5])
    ax = plot.joint_histogram(a, b, names=("ridge", "banded"), bins=10).axes[0]
    counts = 10 ** ax.images[0].get_array().astype(float)
    assert counts.sum() == pytest.approx(3)  # masked cells are empty
    assert counts[3, 1] == 1  # row is b: the second model is on the vertical axis
    assert "banded better in 33 % of 3 voxels" in ax.get_title(loc="left")
    with pytest.raises(ValueError, match="no voxel"):
        plot.joint_histogram(a[3:], b[3:])


def test_split_variance_is_stacked_and_negative_parts_hang_below(space):
    parts = {"a": torch.tensor([0.2, 0.2, 0.4, 0.4]), "b": torch.full((4,), -0.1), "c": torch.full((4,), 0.3)}
    ax = plot.variance_split(parts, space).axes[0]
    boxes = [(round(bar.get_y(), 6), round(bar.get_height(), 6)) for bar in ax.patches[1::3]]  # V1
    assert boxes == [(0, 0.2), (0, -0.1), (0.2, 0.3)]
    with pytest.raises(ValueError, match=r"a has shape \(3,\)"):
        plot.variance_split({"a": torch.ones(3)}, space)
