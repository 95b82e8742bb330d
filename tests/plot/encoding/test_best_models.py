import numpy as np
import pandas as pd
import pytest
import torch

from brainnet import plot
from brainnet.plot.encoding.best_models import model_colors
from brainnet.space import BrainSpace, occipital_vertices, surface_space

SCENE = plot.Scene("sphere", ("posterior",), pixels=200)


@pytest.fixture(scope="module")
def patch():
    space = surface_space(occipital_vertices(15))
    return surface_space(space.vertices, "fsaverage5", {"V1": space.hemisphere == 0, "IT": space.hemisphere == 1})


def test_a_map_has_only_the_colors_of_models_and_a_legend_of_those_present(patch):
    scores = torch.zeros(3, patch.n_voxels)
    scores[0, patch.rois["V1"]], scores[2, patch.rois["IT"]] = 0.5, 0.4
    groups = {"a": "2D", "b": "2D", "c": "3D"}
    figure = plot.best_model_map(scores, list("abc"), patch, groups=groups, scene=SCENE, outlines=True, title="t")
    best = figure.axes[0]
    pixels = np.asarray(best.images[0].get_array()).reshape(-1, 3)
    colored = {tuple(one) for one in pixels[np.ptp(pixels.astype(int), axis=1) > 0].tolist()}
    colors = (255 * model_colors(list("abc"), groups)).round().astype(int)
    assert colored == {tuple(colors[0].tolist()), tuple(colors[2].tolist())}
    assert [text.get_text() for text in best.get_legend().get_texts()] == ["2D: a", "3D: c"]
    masked = plot.best_model_map(scores, list("abc"), patch, ceiling=torch.zeros(patch.n_voxels), scene=SCENE)
    assert any("ceiling below 0.1" in text.get_text() for text in masked.texts)
    assert masked.axes[0].get_legend() is None


def test_a_table_of_regions_is_painted_on_them(patch):
    rows = [("V1", "a", 0.3, 0.01), ("V1", "b", 0.1, 0.5), ("IT", "a", 0.2, 0.2), ("IT", "b", 0.4, 0.2)]
    table = pd.DataFrame(rows, columns=["roi", "model", "score", "p_corrected"])
    figure = plot.best_model_map(table, space=patch, scene=SCENE)
    assert [text.get_text() for text in figure.axes[0].get_legend().get_texts()] == ["a"]  # IT is not significant
    assert any("p > 0.05" in text.get_text() for text in figure.texts)
    with pytest.raises(ValueError, match=r"V1, IT.*none"):
        plot.best_model_map(table, space=surface_space(torch.arange(4)))


def test_volumes_are_drawn_in_slices_and_other_spaces_refused(patch):
    mask = torch.ones(3, 3, 2, dtype=torch.bool)
    volume = BrainSpace(mask=mask, affine=torch.eye(4))
    assert len(plot.best_model_map(torch.rand(2, 18), ["a", "b"], volume).axes) == 3
    with pytest.raises(ValueError, match="no place"):
        plot.best_model_map(torch.rand(2, 3), ["a", "b"], BrainSpace.free(3))
    with pytest.raises(ValueError, match="'b'"):
        plot.best_model_map(torch.rand(2, 18), ["a", "b"], volume, groups={"a": "2D"})
    with pytest.raises(ValueError, match=r"expected \(1, 18\)"):
        plot.best_model_map(torch.rand(2, 18), ["a"], volume)
    with pytest.raises(ValueError, match="space"):
        plot.best_model_map(torch.rand(2, 18), ["a", "b"])


def test_the_best_three_of_each_region_are_bars_with_their_marks():
    table = pd.DataFrame({
        "roi": ["V1"] * 4 + ["IT"] * 4, "model": list("abcd") * 2, "score": [0.1, 0.4, 0.3, 0.2, 0.5, 0.1, 0.2, 0.3],
        "low": 0.05, "high": 0.6, "p_corrected": [0.5, 0.01, 0.2, 0.5] * 2, "ceiling_low": 0.6, "ceiling_high": 0.7,
    })  # fmt: skip
    figure = plot.top_models(table, groups=dict.fromkeys("abcd", "one"), title="t")
    first, second = figure.axes
    names = [[text.get_text() for text in ax.texts if text.get_text() != "*"] for ax in (first, second)]
    assert names == [["b", "c", "d"], ["a", "d", "c"]]
    assert [bar.get_height() for bar in first.patches] == [0.4, 0.3, 0.2]
    assert [text.get_text() for text in first.texts].count("*") == 1
    assert [text.get_text() for text in second.texts].count("*") == 0
    assert any("chosen by these scores" in text.get_text() for text in figure.texts)


def test_names_hide_no_interval_and_one_model_fills_its_panel():
    """A bar that is lower than its name is long had its interval under the name."""
    table = pd.DataFrame(
        {"roi": "V1", "model": ["expansion:small", "resnet50", "vit"], "score": 0.02, "low": 0, "high": 0.1}
    )
    figure = plot.top_models(table)
    figure.draw_without_rendering()
    ax = figure.axes[0]
    names, lines = (
        [text.get_window_extent() for text in ax.texts],
        [line for line in ax.lines if len(set(line.get_xdata())) == 1],
    )
    assert len(names) == len(lines) == 3
    for line in lines:
        x = ax.transData.transform((line.get_xdata()[0], 0))[0]
        assert not any(box.x0 - 1 <= x <= box.x1 + 1 for box in names)
    assert len(plot.top_models(table[:1]).axes[0].patches) == 1
    assert plot.top_models(table[:1]).axes[0].get_xlim()[1] < 1
