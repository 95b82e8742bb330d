"""Selectors of voxels without a place: who is drawn, in which order, and in which colors."""

import numpy as np
import pytest
import torch
from matplotlib import colormaps

from brainnet import plot
from brainnet.plot.selector._unplaced import layer_centre, summary
from brainnet.selection import Selectors
from brainnet.space import BrainSpace

N_LAYERS = 4


def titles(figure):
    return [text.get_text() for text in figure.texts if text.get_weight() == "bold"]


@pytest.fixture
def units(rng):
    n = 30
    layer = torch.softmax(3 * torch.randn(n, N_LAYERS, generator=rng), dim=1)
    position = torch.rand(n, 2, generator=rng) * 2 - 1
    return Selectors(position, layer, torch.rand(n, 1, generator=rng))


def axes_below(figure, title):
    header = next(text for text in figure.texts if text.get_text() == title)
    left, top = header.get_position()
    return min(figure.axes, key=lambda ax: np.hypot(ax.get_position().x0 - left, ax.get_position().y1 - top))


def test_units_are_sorted_by_the_centre_of_their_layers(units):
    space = BrainSpace.free(30)
    figure = plot.selectors(units, space, layer_names=["a", "b", "c", "d"])
    assert titles(figure) == ["Layer", "Space", "Scale"]
    heat = axes_below(figure, "Layer")
    assert [tick.get_text() for tick in heat.get_xticklabels()] == ["a", "b", "c", "d"]
    centre = units.layer @ torch.arange(1.0, N_LAYERS + 1)
    weights = units.layer[centre.argsort()].numpy()
    expected = colormaps["magma"]((weights / 0.75).clip(0, 1))[..., :3]  # 3 / 4 layers is the end of the bar
    assert np.allclose(np.asarray(heat.images[0].get_array()), expected, atol=0.01)


def test_units_lie_where_they_look_and_scores_are_counted(units, rng):
    score = torch.rand(30, generator=rng)
    score[4] = float("nan")
    ceiling = (score + 0.1).clamp(max=1)
    width = torch.full((30, 1), 0.3)
    clusters = torch.arange(30) % 6 - 1
    figure = plot.selectors(
        units, BrainSpace.free(30), scores=score, noise_ceiling=ceiling, width=width, clusters=clusters
    )
    assert titles(figure) == ["Layer", "Space", "Scale", "Score", "Score against noise ceiling"]
    square = axes_below(figure, "Space")
    assert square.get_ylim() == (1, -1)  # y grows downwards, as in the image
    circles, dots = square.collections
    offsets = np.asarray(dots.get_offsets())
    order = score.nan_to_num(-2).argsort()
    assert np.allclose(offsets, units.space[order])
    assert np.allclose(dots.get_facecolors()[-1, :3], colormaps["viridis"](score[order[-1]].item())[:3])
    assert np.allclose(circles.get_widths(), 0.6)
    counted = axes_below(figure, "Score")
    assert sum(bar.get_height() for bar in counted.patches) == 29
    assert len(counted.lines[0].get_xdata()) == 29
    scatter = axes_below(figure, "Score against noise ceiling")
    assert np.asarray(scatter.collections[0].get_offsets()).shape == (29, 2)
    share = score.nansum() / ceiling.nansum()
    assert f"mean score / mean ceiling = {share:.2f}" in [text.get_text() for text in scatter.texts]


def test_a_unit_without_selectors_is_no_row(units):
    layer = units.layer.clone()
    layer[3] = torch.nan
    figure = plot.selectors(Selectors(units.space, layer, units.scale), BrainSpace.free(30), scores=torch.ones(30))
    assert axes_below(figure, "Layer").images[0].get_array().shape[0] == 29
    assert any("1 of 30" in t.get_text() for t in figure.texts)
    nobody = Selectors(units.space, torch.full_like(layer, torch.nan), units.scale)
    assert any("30 of 30" in text.get_text() for text in plot.selectors(nobody, BrainSpace.free(30)).texts)


def test_a_summary_counts_known_scores_alone():
    assert summary(np.array([0.2, np.nan, 0.6])) == "mean 0.40, median 0.40 of 2 voxels"
    assert "all voxels" in summary(np.full(3, np.nan))
    assert layer_centre(np.array([[0.25, 0.75], [1, 0]])).tolist() == [1.75, 1.0]


def test_scores_stand_against_the_names_of_layers(units):
    """A layer that is called 0 stands at 0, and not at 1."""
    figure = plot.selectors(units, BrainSpace.free(30), layer_names=list("0123"), scores=torch.rand(30))
    ax = axes_below(figure, "Score against layer")
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["0", "1", "2", "3"]
    assert list(ax.get_xticks()) == [1, 2, 3, 4]
