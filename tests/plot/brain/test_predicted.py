import numpy as np
import pytest
import torch

from brainnet import plot
from brainnet.space import BrainSpace, surface_space


def test_images_stand_beside_their_maps_in_the_same_colors():
    space = surface_space(torch.arange(400))
    predicted = torch.linspace(-2, 2, 800).reshape(2, 400)
    predicted[:, 7] = torch.nan
    images = [np.full((6, 6, 3), 90 * k, np.uint8) for k in range(2)]
    figure = plot.predicted_maps(images, predicted, space, names=["zebra", "cup"], title="t")
    assert [ax.get_title() for ax in figure.axes[:4:2]] == ["zebra", "cup"]
    assert np.array_equal(figure.axes[2].images[0].get_array(), images[1])
    assert not np.array_equal(figure.axes[1].images[0].get_array(), figure.axes[3].images[0].get_array())
    assert figure.axes[4].get_xlim() == pytest.approx(
        [-plot.predicted_limit(predicted), plot.predicted_limit(predicted)]
    )
    assert plot.predicted_limit(predicted) == pytest.approx(1.98, abs=0.01)


def test_volumes_are_drawn_and_what_has_no_place_is_refused():
    place = BrainSpace(mask=torch.ones(4, 4, 3).bool(), affine=torch.diag(torch.tensor([2.0, 2, 2, 1])))
    assert len(plot.predicted_maps([np.zeros((4, 4))], torch.randn(1, 48), place).axes) == 3
    with pytest.raises(ValueError, match="2 images for 1"):
        plot.predicted_maps([np.zeros((4, 4))] * 2, torch.randn(1, 48), place)
    with pytest.raises(ValueError, match="no place"):
        plot.predicted_maps([np.zeros((4, 4))], torch.randn(1, 9), BrainSpace.free(9))
