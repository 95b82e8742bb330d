"""Figures of layers draw the rows of the table, and the best layer of what is predicted at all."""

import math

import numpy as np
import pytest
import torch

from brainnet import plot
from brainnet.space import BrainSpace


@pytest.fixture
def space():
    first = torch.tensor([True, True, False, False])
    rois = {"V1": first, "V4": ~first, "MT": torch.zeros(4, dtype=torch.bool)}
    return BrainSpace.free(4, rois)


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
    return table.assign(low=table["mean"] - 0.02, high=table["mean"] + 0.02)


def test_layers_are_lines_and_methods_over_all_layers_points(table):
    ax = plot.layers(table).axes[0]
    lines = {line.get_linestyle(): list(line.get_ydata()) for line in ax.lines if len(line.get_xdata()) == 2
             and line.get_marker() == "o"}  # fmt: skip
    assert lines == {"-": [0.3, 0.5], "--": [0.0, 0.01]}
    assert [text.get_text() for text in ax.get_legend().get_texts()] == ["all", "shuffled"]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["early", "late", "best: late", "banded"]
    points = [line.get_ydata()[0] for line in ax.lines if line.get_marker() == "D"]
    assert points == [0.5, 0.6]


def test_the_noise_ceiling_is_a_dotted_line_and_no_layer(table):
    import pandas

    ceiling = table.iloc[[0]].assign(model="", method="noise ceiling", layer="", mean=0.7, low=math.nan, high=math.nan)
    ax = plot.layers(pandas.concat([ceiling, table])).axes[0]
    assert [line.get_ydata()[0] for line in ax.lines if line.get_linestyle() == ":" and len(line.get_ydata())] == [0.7]
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["early", "late", "best: late", "banded"]


def test_many_rois_become_a_matrix_of_scores(table):
    import pandas

    rois = [f"roi{number}" for number in range(12)]
    many = pandas.concat([table.assign(roi=roi, mean=table["mean"] + 0.01 * i) for i, roi in enumerate(rois)])
    ax = plot.layers(many, rois=rois).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == rois
    assert [tick.get_text() for tick in ax.get_xticklabels()] == ["early", "late", "best: late", "banded"]
    dots = [(line.get_xdata()[0], line.get_ydata()[0]) for line in ax.lines if line.get_marker() == "o"]
    assert dots == [
        (1, row) for row in range(12)
    ]  # the late layer is best in every ROI, and method columns have no dot
    picture = ax.images[0].get_array()
    assert picture.shape[:2] == (12, 4)
    early, late, best, banded = (tuple(color) for color in picture[0].round(6).tolist())
    assert early != late == best != banded  # a column per layer, then one per method


def test_the_best_layer_of_each_unit_is_counted(space):
    nan = math.nan
    layers = {"early": torch.tensor([0.5, 0.1, nan, 0.0]), "late": torch.tensor([0.4, 0.3, nan, 0.0])}
    bars, heat, _ = plot.best_layer(layers, space, title="subject").axes
    assert [bar.get_height() for bar in bars.patches] == [1, 1]
    assert bars.get_title(loc="left") == "best layer of 2 voxels"  # one has no scores, of one no layer is the best
    assert heat.images[0].get_array().shape[:2] == (2, 2)
    assert [tick.get_text() for tick in heat.get_xticklabels()] == ["early", "late"]
    with pytest.raises(ValueError, match=r"early has shape \(3,\), expected \(4,\)"):
        plot.best_layer({"early": torch.ones(3)}, space)
    with pytest.raises(ValueError, match="names no layers"):
        plot.best_layer({}, space)


def test_units_are_counted_in_whole_numbers():
    layers = {"early": torch.tensor([0.3, 0.1]), "late": torch.tensor([0.1, 0.4])}
    heat = plot.best_layer(layers, BrainSpace.free(2)).axes[1]
    assert all(tick % 1 == 0 for tick in heat.get_yticks())


def test_no_unit_may_have_a_best_layer(space):
    bars, heat, _ = plot.best_layer({"early": torch.ones(4), "late": torch.ones(4)}, space).axes
    assert bars.get_title(loc="left") == "best layer of 0 voxels"
    assert not heat.images


def test_many_units_keep_their_layers_apart():
    generator = torch.Generator().manual_seed(0)
    layers = {"early": torch.rand(1500, generator=generator), "late": torch.rand(1500, generator=generator)}
    _, heat, _ = plot.best_layer(layers, BrainSpace.free(1500)).axes
    picture = heat.images[0]
    assert picture.get_array().shape[:2] == (400, 2)
    assert picture.get_interpolation() == "nearest"  # any other blurs one layer into the next
    assert picture.get_extent() == [-0.5, 1.5, 1500, 0]
    best = [tuple(color) for color in picture.get_array()[[0, 399], [0, 1]].round(6).tolist()]
    assert best[0] == best[1]  # first units read the early layer, last ones the late
    early = (picture.get_array()[:, 0].round(6) == best[0]).all(1).argmin()  # the first row that is not of the early
    assert early == pytest.approx((layers["early"] > layers["late"]).sum().item() / 1500 * 400, abs=1)


def test_the_best_layer_is_painted_on_the_cortex_in_the_colors_of_layers():
    from brainnet.plot._colors import layer_colors
    from brainnet.space import occipital_vertices, surface_space

    cortex = surface_space(occipital_vertices(15))
    upper = cortex.coords[:, 2] > cortex.coords[:, 2].median()
    scores = {"early": torch.where(upper, 0.1, 0.5), "middle": torch.full((cortex.n_voxels,), 0.2), "late": upper * 0.6}
    figure = plot.best_layer(scores, cortex, title="subject")
    early, middle, late = (tuple(color) for color in (255 * layer_colors(3)).round().astype(int).tolist())
    colors = lambda figure: {tuple(c) for c in figure.axes[0].images[0].get_array()[..., :3].reshape(-1, 3).tolist()}  # noqa: E731
    painted = colors(figure)
    near = lambda wanted: any(max(abs(a - b) for a, b in zip(wanted, c, strict=True)) <= 1 for c in painted)  # noqa: E731
    assert [near(color) for color in (early, middle, late)] == [True, False, True]
    assert [tick.get_text() for tick in figure.axes[1].get_xticklabels()] == ["early", "middle", "late"]
    painted = colors(plot.best_layer(scores, cortex, alpha=torch.full((cortex.n_voxels,), 0.2)))
    assert not near(early)


def test_layers_of_two_models_are_not_mixed(table):
    table.loc[0, "model"] = "other"
    with pytest.raises(ValueError, match="several models"):
        plot.layers(table)
    with pytest.raises(ValueError, match="no rows of score 'r2'"):
        plot.layers(table, score="r2")


def test_layers_show_the_rows_of_one_split_and_score_with_their_intervals(table):
    import pandas

    other = [table.assign(mean=9.0, split="sketches"), table.assign(mean=8.0, score="r2")]
    ceiling = table.iloc[[0]].assign(method="noise ceiling", layer="", mean=0.7)
    rows = pandas.concat([ceiling, ceiling.assign(roi="V1", mean=0.8), table, table.assign(roi="V1"), *other])
    ax = plot.layers(rows, rois=["all", "V1"]).axes[0]
    assert ax.get_ylabel() == "mean r"
    band = ax.collections[0].get_paths()[0].vertices
    assert {tuple(corner) for corner in band.round(6).tolist()} == {(0, 0.28), (0, 0.32), (1, 0.48), (1, 0.52)}
    legend = ax.get_legend()
    lines = {text.get_text(): line for text, line in zip(legend.get_texts(), legend.get_lines(), strict=True)}
    bars = [line for line in ax.lines if len(set(line.get_xdata())) == 1 and len(line.get_xdata()) == 2]
    assert [list(bar.get_ydata()) for bar in bars] == [pytest.approx(ends) for ends in [[0.48, 0.52], [0.58, 0.62]] * 2]
    dotted = {line.get_ydata()[0]: line.get_color() for line in ax.lines if line.get_linestyle() == ":"
              and len(line.get_ydata())}  # fmt: skip
    for value, roi in ((0.7, "all"), (0.8, "V1")):
        assert (dotted[value] == lines[roi].get_color()).all()
    assert max(line.get_ydata()[0] for line in ax.lines if len(line.get_ydata())) < 1
    squared = plot.layers(rows, score="r2").axes[0]
    assert squared.get_ylabel() == "mean r2"
    assert max(squared.lines[0].get_ydata()) == 8


def test_units_of_one_layer_begin_with_the_best_predicted():
    layers = {"early": torch.tensor([0.2, 0.9, 0.4]), "late": torch.tensor([0.18, 0.2, 0.35])}
    _, heat, _ = plot.best_layer(layers, BrainSpace.free(3)).axes
    from brainnet.plot._colors import SEQUENTIAL, continuous_colors

    gaps = torch.tensor([[0, -0.7], [0, -0.05], [0, -0.02]]).numpy()  # of units 1, 2 and 0
    expected = continuous_colors(gaps, SEQUENTIAL, -0.05, 0.0)
    np.testing.assert_allclose(heat.images[0].get_array(), expected, rtol=0, atol=1 / 255)


def test_a_unit_that_no_layer_predicts_has_no_best_layer(space):
    layers = {"early": torch.tensor([0.5, -0.2, 0.05, 0.2]), "late": torch.tensor([0.4, -0.1, 0.04, 0.3])}
    bars = plot.best_layer(layers, space).axes[0]
    assert [bar.get_height() for bar in bars.patches] == [2, 1]  # the second unit is worse than the mean response
    figure = plot.best_layer(layers, space, floor=0.1)
    assert [bar.get_height() for bar in figure.axes[0].patches] == [1, 1]
    assert "2 voxels of 4" in figure.texts[-1].get_text()
    assert "0.1" in figure.texts[-1].get_text()


def test_spaces_without_an_order_are_not_joined(table):
    ax = plot.layers(table, ordered=False).axes[0]
    assert {line.get_linestyle() for line in ax.lines if line.get_marker() == "o"} == {"None"}


def test_intervals_of_many_rois_do_not_lie_on_each_other(table):
    import pandas

    rois = ["all", "V1", "V2", "V4"]
    ax = plot.layers(pandas.concat([table.assign(roi=roi) for roi in rois]), rois=rois).axes[0]
    lines = [collection.get_segments() for collection in ax.collections]
    assert len(lines) == 4  # lines at the points, no bands
    places = [segment[0, 0] for some in lines for segment in some]
    assert len(set(np.round(places, 6))) == len(places)


def test_former_names_of_columns_are_read(table):
    old = plot.layers(table.rename(columns={"low": "lower", "high": "upper"})).axes[0]
    band = old.collections[0].get_paths()[0].vertices
    assert {y for _, y in band.round(6).tolist()} == {0.28, 0.32, 0.48, 0.52}
