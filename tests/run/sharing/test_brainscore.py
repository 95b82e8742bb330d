from __future__ import annotations

import ast
import csv
import json
import re
import sys
from types import ModuleType, SimpleNamespace

import pytest
import torch

from brainnet.run.record.run_folder import read_selectors
from brainnet.run.sharing.brainscore import export_brainscore

FILES = {"__init__.py", "model.py", "test.py", "README.md", "requirements.txt", "scores.csv", "region_layer_map"}


def test_a_plugin_has_the_layers_of_the_regions(mapped, tmp_path):
    paths = export_brainscore(mapped[0], tmp_path / "plugin", identifier="toy-1", regions=["V1=early", "IT=la*"])
    assert {path.name for path in (tmp_path / "plugin").iterdir()} == FILES
    assert all(path.is_file() for path in paths)
    read = read_selectors(mapped[0] / "selectors.npz")
    expected = {
        region: read["layer_names"][int(read["chosen"].layer[read["space"].rois[roi]].mean(0).argmax())]
        for region, roi in (("V1", "early"), ("IT", "late"))
    }
    assert json.loads((tmp_path / "plugin/region_layer_map/toy-1.json").read_text()) == expected
    with open(tmp_path / "plugin/scores.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["roi"] for row in rows] == ["early", "late"]
    assert float(rows[0]["mean"]) == pytest.approx(mapped[1]["test"]["early"]["r"]["mean"])
    init = (tmp_path / "plugin/__init__.py").read_text()
    assert 'model_registry["toy-1"]' in init  # the package looks for this line
    for name in ("__init__.py", "model.py", "test.py"):
        ast.parse((tmp_path / "plugin" / name).read_text())
        assert not re.search(r"@\w+@", (tmp_path / "plugin" / name).read_text())


def test_the_same_run_gives_the_same_bytes_and_another_folder_is_kept(mapped, tmp_path):
    for name in ("one", "two", "one"):
        export_brainscore(mapped[0], tmp_path / name, identifier=f"toy-{name[0]}", regions=["V1=early"])
    assert [path.name for path in (tmp_path / "one/region_layer_map").iterdir()] == ["toy-o.json"]
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine/a.txt").write_text("x")
    with pytest.raises(FileExistsError, match="mine"):
        export_brainscore(mapped[0], tmp_path / "mine", regions=["V1=early"])


def test_what_cannot_be_a_plugin(mapped, tmp_path):
    for words, message in (
        ({}, "--region"), ({"regions": ["V3=early"]}, "V1, V2, V4, IT"), ({"regions": ["IT"]}, "IT=FFA"),
        ({"regions": ["IT=earl"]}, "Did you mean 'early'"), ({"subject": "x"}, "this is a fit"),
        ({"regions": ["V1=early"], "identifier": "a b"}, "--identifier"),
        ({"regions": ["V1=early"], "identifier": '"]; import os'}, "--identifier"),
        ({"regions": ["V1=none"]}, "--region"),
    ):  # fmt: skip
        with pytest.raises(ValueError, match=message):
            export_brainscore(mapped[0], tmp_path / "plugin", **words)
    with pytest.raises(FileNotFoundError):
        export_brainscore(tmp_path, tmp_path / "plugin")
    assert not (tmp_path / "plugin").exists()


def test_the_plugin_gives_the_tokens_of_the_network(mapped, tmp_path, monkeypatch, rng):
    """In place of the package stands a module with the names that a plugin imports of it."""
    export_brainscore(mapped[0], tmp_path / "toyplugin", identifier="toy", regions=["V1=early"])
    registry = {}

    class Helper:
        def __init__(self, identifier, get_activations, preprocessing):
            self.identifier = identifier

        def insert_attrs(self, wrapper):
            wrapper.from_paths = None

    commitment = SimpleNamespace(ModelCommitment=lambda **given: given)
    modules = {
        "brainscore_vision": SimpleNamespace(model_registry=registry),
        "brainscore_vision.model_helpers": ModuleType("model_helpers"),
        "brainscore_vision.model_helpers.brain_transformation": commitment,
        "brainscore_vision.model_helpers.activations": ModuleType("activations"),
        "brainscore_vision.model_helpers.activations.core": SimpleNamespace(ActivationsExtractorHelper=Helper),
    }
    for name, module in modules.items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.delitem(sys.modules, "toyplugin", raising=False)
    monkeypatch.syspath_prepend(str(tmp_path))
    __import__("toyplugin")
    made = registry["toy"]()
    assert made["identifier"] == "toy"
    assert set(made["region_layer_map"].values()) <= set(made["layers"])
    model, images = made["activations_model"], torch.rand(2, 3, 32, 32, generator=rng)
    found = model.get_activations(list(images.numpy()), ["b"])
    from tests.toys import ToyBackbone

    assert (found["b"] == ToyBackbone().get_tokens(images)[0]["b"].numpy()).all()
    with pytest.raises(ValueError, match="no layer z"):
        model.get_activations(list(images.numpy()), ["z"])
    monkeypatch.delitem(sys.modules, "toyplugin")
