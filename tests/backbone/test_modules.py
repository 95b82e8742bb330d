"""Modules by name: patterns, calls, parts of an output, and the blocks a network has."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
import torch
from torch import nn

from brainnet.backbone.modules import Place, choose_layers, choose_places, module_names, part_of, place_of

NAMES = ["layer3.0", "layer3.0.conv1", "layer3.1", "layer4.0", "layer4.0.conv1", "fc"]


def test_patterns_stay_between_two_dots_and_in_order():
    assert choose_layers(NAMES, ["layer[34].*"]) == ("layer3.0", "layer3.1", "layer4.0")
    assert choose_layers(NAMES, "*") == ("fc",)
    assert choose_layers(NAMES, ["fc", "layer?.0.conv1"]) == ("fc", "layer3.0.conv1", "layer4.0.conv1")
    with pytest.raises(ValueError, match=r"Unknown layer 'layer5\.\*'"):
        choose_layers(NAMES, ["layer5.*"])
    with pytest.raises(ValueError, match="each once"):
        choose_layers(NAMES, ["layer3.*", "layer3.0"])


def test_a_name_goes_on_with_a_call_and_a_key():
    assert place_of("relu@1") == Place("relu", 1)
    assert place_of(":hidden_states.3") == Place("", None, "hidden_states.3")
    assert place_of("fpn@0:pool") == Place("fpn", 0, "pool")
    for wrong in ("relu@x", "relu@1@2"):
        with pytest.raises(ValueError, match="MODULE@CALL"):
            place_of(wrong)
    network = nn.Sequential(nn.Conv2d(3, 3, 1), nn.ReLU())
    assert choose_places(network, ["*@0"]) == {"0@0": Place("0", 0), "1@0": Place("1", 0)}
    stages = {"IT": "1"}
    assert choose_places(network, ["IT@3", "0"], stages) == {"IT@3": Place("1", 3), "0": Place("0")}
    assert choose_places(network, None, stages) == {"IT": Place("1")}
    with pytest.raises(ValueError, match="Unknown layer 'IQ@3'"):
        choose_places(network, ["IQ@3"], stages)


def test_lists_of_modules_are_no_layers():
    network = nn.ModuleDict({"blocks": nn.ModuleList([nn.Linear(2, 2)])})
    assert module_names(network) == ["blocks.0"]

    class Called(nn.ModuleDict):
        """As DenseNet's blocks: a dict of layers that is called itself."""

        def forward(self, x):
            return self["first"](x)

    assert module_names(nn.Sequential(Called({"first": nn.ReLU()}))) == ["0", "0.first"]


def test_the_tensor_in_an_output():
    a, b = torch.zeros(2, 3), torch.ones(2, 3)
    assert part_of((None, a, b)) is a
    assert part_of({"features": a, "step": 3}) is a
    assert part_of({"last_hidden_state": b, "pooler_output": a}) is b
    several = {"a": a, "b": b}
    assert part_of(several) is several  # nothing says which
    assert part_of(several, "b") is b
    assert part_of({"hidden_states": (a, b)}, "hidden_states.-1") is b
    assert part_of(SimpleNamespace(maps=[a, b]), "maps.0") is a
    for key in ("c", "a.x.y"):
        with pytest.raises(ValueError, match="there is no"):
            part_of(several, key)
