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
