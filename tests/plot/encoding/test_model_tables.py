from __future__ import annotations

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
