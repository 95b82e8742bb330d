"""Matrices of similarity show the numbers and the names they were given, whatever their size."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest
import torch

from brainnet import plot
from brainnet.plot.rsa.similarity import alike_together
from brainnet.rsa import RDMs, compare


def shown(ax):
    return np.ma.filled(ax.images[0].get_array(), np.nan)


def table_of(models, seed=0):
    keys = [(model, layer) for model, layers in models.items() for layer in layers]
    walk = np.cumsum(np.random.default_rng(seed).normal(size=(len(keys), 40)), 0)
    labels = pd.MultiIndex.from_tuples(keys, names=["model", "layer"])
    return pd.DataFrame(np.corrcoef(walk), labels, labels)


def test_similarity_of_models_is_that_of_compare(rng):
    models = RDMs(torch.rand(4, 45, generator=rng), names=("a", "b", "c", "d"))
    figure = plot.model_similarity(models, method="pearson")
    np.testing.assert_allclose(shown(figure.axes[0]), compare(models, models, "pearson"), atol=1e-6)
    ordered = plot.model_similarity(models, sort=True)
    names = [tick.get_text() for tick in ordered.axes[0].get_xticklabels()]
    picture = shown(ordered.axes[0])
    expected = compare(models[names], models[names])
    np.testing.assert_allclose(picture, expected, atol=1e-6)


def test_layers_stand_under_the_name_of_their_model():
    table = table_of({"resnet": ["layer1", "layer2", "layer3"], "vit": ["0", "1", "2"]})
    ax = plot.similarity_matrix(table, scale="CKA").axes[0]
    np.testing.assert_allclose(shown(ax), table.to_numpy())
    names = ["layer1", "layer2", "layer3", "layer 0", "layer 1", "layer 2"]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == names
    assert [tick.get_text() for tick in ax.get_xticklabels()] == names
    texts = [text.get_text() for text in ax.texts]
    assert texts.count("resnet") == texts.count("vit") == 2
    assert ax.figure.axes[1].get_xlabel() == "CKA"
    edges = [line.get_ydata()[0] for line in ax.lines if line.get_color() == "white" and len(set(line.get_ydata())) < 2]
    assert edges == [2.5]


def test_a_model_without_room_for_its_name_has_it_in_front_of_every_layer():
    table = table_of({"torchvision:resnet18": ["layer1"], "vit": ["0", "1", "2"]})  # shorter does not fit either
    ax = plot.similarity_matrix(table).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == [
        "torchvision:resnet18 layer1", "vit 0", "vit 1", "vit 2",
    ]  # fmt: skip
    one_each = plot.similarity_matrix(table_of({"a": ["0"], "b": ["layer4"]})).axes[0]
    assert [tick.get_text() for tick in one_each.get_yticklabels()] == ["a 0", "b layer4"]
    family = {"torchvision:resnet": ["layer1", "layer2"], "torchvision:vgg": ["1", "2"]}
    texts = [text.get_text() for text in plot.similarity_matrix(table_of(family)).axes[0].texts]
    assert texts.count("resnet") == texts.count("vgg") == 2


@pytest.mark.parametrize("n", [2, 12, 60])
def test_every_number_is_on_the_page(n):
    table = table_of({"one": [f"block {i}" for i in range(n // 2)], "other": [str(i) for i in range(n - n // 2)]})
    figure = plot.similarity_matrix(table, title="Two networks")
    figure.draw_without_rendering()
    cells = [text for text in figure.axes[0].texts if text.get_text() not in ("one", "other")]
    assert len(cells) == (n * n if n <= 24 else 0)
    boxes = [text.get_window_extent() for text in (*figure.axes[0].texts, *figure.axes[0].get_yticklabels())]
    assert all(figure.bbox.x0 <= box.x0 and box.x1 <= figure.bbox.x1 for box in boxes)
    assert all(figure.bbox.y0 <= box.y0 and box.y1 <= figure.bbox.y1 for box in boxes)


def test_alike_layers_are_brought_together_and_undefined_ones_are_grey():
    table = table_of({"m": list("abc")})
    table.iloc[:, :] = [[1, 0, 0.9], [0, 1, 0], [0.9, 0, 1]]
    ax = plot.similarity_matrix(table, sort=True).axes[0]
    assert [tick.get_text() for tick in ax.get_yticklabels()] == ["b", "c", "a"]
    table.iloc[1] = table.iloc[:, 1] = np.nan
    figure = plot.similarity_matrix(table)
    np.testing.assert_array_equal(shown(figure.axes[0]), table)
    assert figure.axes[0].images[0].get_cmap().get_bad()[0] == pytest.approx(0.82)
    assert any("Gray" in text.get_text() for text in figure.texts)
    assert set(alike_together(table.to_numpy())) == {0, 1, 2}
    assert [tick.get_text() for tick in plot.similarity_matrix(table, sort=True).axes[0].get_yticklabels()][:3]


def test_a_table_that_is_not_square_is_refused():
    with pytest.raises(ValueError, match="square"):
        plot.similarity_matrix(table_of({"m": list("abc")}).iloc[:2])
