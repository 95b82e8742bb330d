import numpy as np
import pytest
import torch

from brainnet.plot.brain.drawing import Look, checked_values, inches, limits_of
from brainnet.space import BrainSpace


def test_widths_have_units():
    assert inches("2.54cm") == pytest.approx(1.0)
    assert inches("88.9 mm") == inches("3.5in") == inches(3.5) == pytest.approx(3.5)
    for wrong in ("", "3 feet", "0.1", "1e9", -2):
        with pytest.raises(ValueError, match="width"):
            inches(wrong)


def test_limits_are_those_given_or_those_of_known_values():
    values = np.array([1.0, np.nan, 3.0, np.inf])
    assert limits_of(values, Look()) == (1.0, 3.0)
    assert limits_of(values, Look(vmin=0.0)) == (0.0, 3.0)
    assert limits_of(values * np.nan, Look()) == (0.0, 1.0)


def test_values_are_numbers_or_colors_of_every_voxel():
    space = BrainSpace.free(4)
    for shape in ((4,), (4, 3), (4, 4)):
        assert checked_values(torch.ones(shape), space).shape == shape
    for shape in ((), (5,), (4, 2), (4, 3, 1)):
        with pytest.raises(ValueError, match=r"expected \(4,\)"):
            checked_values(torch.ones(shape), space)


def test_names_that_would_overlap_are_left_out_and_those_of_one_atlas_are_bare():
    from brainnet import plot
    from brainnet.space import surface_space

    space = surface_space(torch.arange(10_242))
    z = space.coords[:, 2]
    scene = plot.Scene("sphere", ("lateral",), pixels=300)
    rois = {f"Toy.{name}": (z > low) & (z < low + 50) for name, low in (("low", -90), ("high", 40))}
    ax = plot.cortex(z, space, scene, outlines=rois).axes[0]
    assert {"low", "high"} <= {text.get_text() for text in ax.texts}
    figure = plot.cortex(z, space, scene, outlines={"a": z > 0, "b": z > 1})
    assert len({text.get_text() for text in figure.axes[0].texts} & {"a", "b"}) == 1
    assert any("overlap" in text.get_text() for text in figure.texts)


@pytest.mark.parametrize(
    ("low", "high", "says"), [(1.0, 0.0, "vmin is 1"), (np.nan, None, "vmin"), (0.0, np.inf, "vmax")]
)
def test_limits_that_are_none_are_refused(low, high, says):
    with pytest.raises(ValueError, match=says):
        limits_of(np.zeros(3), Look(vmin=low, vmax=high))
