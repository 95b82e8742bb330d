import numpy as np
import pytest

from brainnet import plot


def test_a_figure_has_a_row_for_the_image_the_mixture_and_each_channel():
    images = [np.full((8, 8, 3), 60 * number, dtype=np.uint8) for number in range(3)]
    maps = np.random.default_rng(0).normal(size=(3, 3, 5, 5))
    rgb = np.random.default_rng(1).random((3, 5, 5, 3))
    figure = plot.channel_images(images, rgb, maps, [0.5, 0.3, 0.1], names=["a", "b", "c"], title="V1")
    assert len(figure.axes) == 15
    assert np.array_equal(figure.axes[0].images[0].get_array(), images[0])
    assert np.array_equal(figure.axes[1].images[0].get_array(), rgb[0])
    drawn = figure.axes[2].images[0]
    assert (drawn.norm.vmin, drawn.norm.vmax) == tuple(np.percentile(maps[:, 0], (5, 95)))
    assert any("50%" in text.get_text() for text in figure.texts)
    with pytest.raises(ValueError, match="3 images for 2"):
        plot.channel_images(images, rgb[:2], maps, [0.5])


def test_best_stand_left_and_worst_right_with_their_values():
    red, blue = (np.full((4, 4, 3), color, dtype=np.uint8) for color in ((255, 0, 0), (0, 0, 255)))
    figure = plot.best_images([plot.Ranking("FFA", [red, red], [blue], [2.5, 2.0], [-1.0], "a remark")], title="t")
    left, _, right = figure.axes
    assert left.get_position().x0 < right.get_position().x0
    assert np.array_equal(left.images[0].get_array(), red)
    assert np.array_equal(right.images[0].get_array(), blue)
    assert [ax.texts[0].get_text() for ax in figure.axes] == ["+2.50 SD", "+2.00 SD", "-1.00 SD"]
    assert {"FFA", "a remark"} <= {text.get_text() for text in figure.texts}
    with pytest.raises(ValueError, match="empty"):
        plot.best_images([])
