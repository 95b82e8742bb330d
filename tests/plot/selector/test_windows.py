"""The share of the window, in pictures."""

import numpy as np
import pytest
import torch

from brainnet import plot
from brainnet.space import BrainSpace, occipital_vertices, surface_space


def test_every_known_voxel_is_counted_and_drawn(rng):
    share = torch.rand(40, generator=rng)
    share[3] = torch.nan
    share[5] = 1.7
    figure = plot.window_share(
        share, BrainSpace.free(40), position=torch.rand(40, 2, generator=rng) - 0.5, width=torch.full((40, 1), 0.3)
    )
    common, windows = figure.axes[:2]
    assert sum(bar.get_height() for bar in common.patches) == 39
    assert common.patches[-1].get_height() >= 1  # what lies beyond 1 is in the last bar
    assert len(windows.collections[-1].get_offsets()) == 39
    assert np.isin("39", common.get_title(loc="left").split())
    assert any("1 of 40" in text.get_text() for text in figure.texts)


def test_a_surface_has_a_map():
    space = surface_space(occipital_vertices(15))
    share = torch.linspace(0, 1, space.n_voxels)
    figure = plot.window_share(share, space, alpha=torch.ones(space.n_voxels), title="subject")
    assert len(figure.axes) == 3
    assert figure.axes[0].images


@pytest.mark.parametrize(
    "wrong", [{"position": torch.zeros(3, 2)}, {"width": torch.zeros(5)}, {"share": torch.zeros(3)}]
)
def test_other_lengths_are_refused(wrong):
    given = {"share": torch.zeros(4)} | wrong
    with pytest.raises(ValueError, match="4 voxels"):
        plot.window_share(given.pop("share"), BrainSpace.free(4), **given)
