from __future__ import annotations

from itertools import pairwise

import pandas as pd
import pytest

from brainnet import plot


def ranking(n=3):
    rows = [{"roi": roi, "model": f"m{k}", "mean": 0.1 * (k + 1), "low": 0.1 * k, "high": 0.1 * (k + 2),
             "rank_low": 1 if k == n - 1 else 2, "ceiling": 0.9} for roi in ("V1", "IT") for k in range(n)]  # fmt: skip
    return pd.DataFrame(rows)


def test_the_best_network_stands_first():
    figure = plot.model_ranking(ranking())
    assert [text.get_text() for text in figure.axes[0].get_yticklabels()] == ["m2", "m1", "m0"]
    assert [ax.get_title() for ax in figure.axes] == ["V1", "IT"]


def test_numbers_under_small_scores_do_not_touch():
    rows = ranking().drop(columns="ceiling")
    figure = plot.model_ranking(rows.assign(mean=0.05, low=-0.031, high=0.138))
    figure.canvas.draw()
    for ax in figure.axes:
        ticks = zip(ax.get_xticks(), ax.get_xticklabels(), strict=True)
        boxes = [label.get_window_extent() for x, label in ticks if ax.get_xlim()[0] <= x <= ax.get_xlim()[1]]
        assert all(other.x0 - one.x1 > 6 for one, other in pairwise(boxes))  # pixels: a digit and more


def test_of_very_many_networks_the_best_are_drawn_and_the_others_counted():
    figure = plot.model_ranking(ranking(50))
    assert len(figure.axes[0].get_yticklabels()) == 40
    assert any("10 further networks" in " ".join(text.get_text().split()) for text in figure.texts)


def test_a_cell_of_the_matrix_holds_its_score():
    figure = plot.model_regions(ranking())
    assert [text.get_text() for text in figure.axes[0].texts] == [".30", ".30", ".20", ".20", ".10", ".10"]


def test_a_network_without_the_property_is_not_drawn():
    figure = plot.model_property(ranking(), {"m0": 1e6, "m1": 2e6, "m2": float("nan")}, "parameters")
    assert figure.axes[0].get_xscale() == "log"
    assert all(len(line.get_xdata()) == 2 for line in figure.axes[0].lines)


@pytest.mark.parametrize("draw", [plot.model_ranking, plot.model_regions])
def test_nothing_to_draw_is_said(draw):
    with pytest.raises(ValueError, match="no rows"):
        draw(ranking().iloc[:0])


def test_a_property_is_a_bar_and_is_blue_where_it_is_sure():
    rows = [("V1", "size", 0.4, 0.6, 0.01), ("V1", "set", 0.1, 0.5, 0.4), ("IT", "size", float("nan"), 0.2, 0.9)]
    effects = pd.DataFrame(rows, columns=["roi", "property", "partial_r2", "r2_alone", "p_corrected"])
    figure = plot.model_effects(effects.assign(n_models=[9, 9, 8]))
    left, right = figure.axes
    assert {round(bar.get_width(), 3): bar.get_facecolor()[2] > bar.get_facecolor()[0] for bar in left.patches} == {
        0.4: True, 0.1: False,
    }  # fmt: skip
    assert [text.get_text() for text in left.get_yticklabels()] == ["size", "set"]
    assert left.lines[0].get_xdata().tolist() == [0.6, 0.5]
    assert right.lines[0].get_xdata()[0] == 0.2
    said = " ".join(" ".join(text.get_text() for text in figure.texts).split())
    assert "8 to 9 networks" in said


def test_the_depth_of_the_best_layer_of_each_region_is_drawn_with_the_order():
    rows = [("V1", "a", 0.0, 0.3), ("V1", "a", 1.0, 0.1), ("IT", "a", 0.0, 0.1), ("IT", "a", 1.0, 0.2),
            ("V1", "b", 0.5, 0.9), ("IT", "b", float("nan"), 0.9), ("IT", "b", 0.25, float("nan"))]  # fmt: skip
    layers = pd.DataFrame(rows, columns=["roi", "model", "depth", "mean"])
    order = pd.DataFrame({"model": ["a", "b"], "rho": [1.0, float("nan")]})
    figure = plot.model_depths(layers, order)
    matrix = figure.axes[0]
    assert [text.get_text() for text in matrix.get_yticklabels()] == ["b", "a"]
    assert matrix.images[0].get_array().filled(-1).tolist() == [[0.5, -1], [0, 1]]
    assert [text.get_text() for text in matrix.texts] == [".50", ".00", "1.00", "–", "1.00", "order"]


def test_depths_of_networks_of_one_layer_are_not_drawn():
    layers = pd.DataFrame([("V1", "a", float("nan"), 0.3)], columns=["roi", "model", "depth", "mean"])
    with pytest.raises(ValueError, match="no rows"):
        plot.model_depths(layers)
