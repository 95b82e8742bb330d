"""The maps of a read-out's selectors: which mean something, and where a place lies."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.plot import PageRun
from brainnet.plot.selector.maps import PANELS as PANELS_OF_FIGURES
from brainnet.run.page.selector_maps import CONTRIBUTIONS, PANELS, WEIGHTS, planted_scene, selector_maps
from brainnet.space import surface_space

ARRAYS = {
    "space": np.array([[-1.0, 0.5], [0.0, 0.0], [0.5, -1.0]]), "layer": np.full((3, 2), 0.5),
    "scale": np.zeros((3, 1)), "layer_names": ["1", "b"], "cluster": np.arange(3), "layer_share": np.full((3, 2), 0.5),
    "width": np.ones((3, 1)),
}  # fmt: skip
LISTED = {"layer 1: weight", "b: weight", "layer 1: contribution", "b: contribution"}


def test_every_map_of_an_image_is_there_and_has_its_role():
    maps, roles = selector_maps(ARRAYS)
    assert set(maps) == {"Layer", "Space", "Scale", "Channels", "Layer entropy", "Window width"} | LISTED
    assert list(roles["bars"]) == [WEIGHTS, CONTRIBUTIONS]
    assert list(maps["Layer"].labels) == ["layer 1", "b"]
    np.testing.assert_allclose(maps["Layer entropy"].values, 1)
    assert roles["window"] == ("Space", "Window width")
    assert roles["scale"] == "Scale"
    assert "image" in maps["Space"].meaning


def test_what_means_nothing_is_left_out():
    maps, roles = selector_maps(ARRAYS, ("layer", "scale", "channels"))
    assert set(maps) == {"Space", "Window width"}
    assert set(roles) == {"window"}
    # tokens of one place: no place, no window and no scale, on the page as in the figures
    maps, roles = selector_maps(ARRAYS, ("space", "scale"))
    assert set(maps) == {"Layer", "Channels", "Layer entropy"} | LISTED
    assert set(roles) == {"bars"}
    assert set(PANELS.values()) <= set(PANELS_OF_FIGURES)


@pytest.mark.parametrize("reads", ["text", "sound"])
def test_a_place_in_one_row_of_tokens_is_a_moment(reads):
    maps, roles = selector_maps(ARRAYS | {"reads": np.array(reads)}, one_row=True)
    assert not {"Space", "Window width"} & set(maps)
    assert "window" not in roles
    np.testing.assert_allclose(maps["Time within"].values, [0, 0.5, 0.75])
    assert reads in maps["Time within"].meaning


@pytest.mark.parametrize(("reads", "word"), [("sound", "frequency"), ("video", "frame"), ("image", "image")])
def test_a_place_says_in_what_it_lies(reads, word):
    maps, roles = selector_maps(ARRAYS | {"reads": np.array(reads)}, one_row=reads != "sound")
    assert word in maps["Space"].meaning
    assert roles["window"] == ("Space", "Window width")


def test_a_planted_series_is_shown_beside_what_was_found():
    arrays = ARRAYS | {
        "delay": np.full((3, 2), 0.5), "delays": np.array([1, 2]), "tr": np.array(2.0),
        "planted:layer": np.array([[1.0, 0], [1, 0], [0, 1]]), "planted:delay": np.array([[1.0, 0], [0, 1], [0, 1]]),
        "planted:delays": np.array([1, 2]),
    }  # fmt: skip
    maps, _ = selector_maps(arrays, ("space", "scale"))
    assert maps["Layer, planted"].values.tolist() == [0, 0, 1]
    assert maps["Latency, planted"].values.tolist() == [2.0, 4.0, 4.0]
    assert maps["Latency"].values.tolist() == [3.0, 3.0, 3.0]
    truth = planted_scene(PageRun(maps, surface_space(np.arange(3))))
    assert set(truth.maps) == {"Layer", "Latency"}
    for word in ("kind", "labels", "colors", "cmap", "vmin", "vmax", "unit"):
        for name, one in truth.maps.items():
            assert getattr(one, word) == getattr(maps[name], word)
