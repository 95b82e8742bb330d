from __future__ import annotations

import json

import pytest
import torch

from brainnet.plmodel import PLModel
from brainnet.plmodel.encoder_files import CONFIG
from tests.plmodel.test_encoder_files import changed, rewritten
from tests.plmodel.trainings import fitted
from tests.toys import toys_registered


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    return fitted(tmp_path_factory.mktemp("model"))


@pytest.fixture
def saved(model, tmp_path):
    return model.save_pretrained(tmp_path / "card")


def settings(**values):
    def change(folder):
        config = json.loads((folder / CONFIG).read_text())
        config["settings"] |= {key.replace("__", "."): value for key, value in values.items()}
        (folder / CONFIG).write_text(json.dumps(config))

    return change


BAD = {
    "no settings": (changed(settings=None), "settings"),
    "settings of another kind": (changed(settings=[1]), "settings"),
    "an unknown setting": (settings(MODEL__HEADS=3), "MODEL.HEADS"),
    "a setting out of range": (settings(MODEL__BOTTLENECK_DIM=0), "MODEL.BOTTLENECK_DIM"),
    "a setting that is a section": (settings(MODEL=3), "MODEL"),
    "a huge bottleneck": (settings(MODEL__BOTTLENECK_DIM=10**12), "names the size"),
    "a large bottleneck": (settings(MODEL__BOTTLENECK_DIM=100_000), "names the size"),
    "a huge grid": (settings(MODEL__GRID=[10**9, 1]), "grid"),
    "another bottleneck": (settings(MODEL__BOTTLENECK_DIM=5), "encoder.weight|bottleneck"),
    "another topology": (settings(MODEL__TOPOLOGY="free"), "other names"),
    "code as a read-out": (settings(MODEL__READOUT="/tmp/evil.py:Net"), "is not run"),
    "an unknown read-out": (settings(MODEL__READOUT="tree"), "read-out"),
    "code as a network": (settings(BACKBONE__NAME="evil.py:Net"), "is not run"),
    "an unknown network": (settings(BACKBONE__NAME="nowhere:net"), "no installed package"),
    "a network of a hub's own code": (settings(BACKBONE__NAME="timm:hf_hub:evil/net"), "no installed package"),
    "a file of weights": (settings(BACKBONE__WEIGHTS="/etc/passwd"), "/etc/passwd"),
    "an address of weights": (settings(BACKBONE__WEIGHTS="http://evil.org/x"), "evil"),
    "an option that is a file": (settings(BACKBONE__OPTIONS__bank="/etc/passwd"), "bank"),
    "an option that runs code": (settings(BACKBONE__OPTIONS__source="hub"), "downloaded code"),
    "an unknown option": (settings(BACKBONE__OPTIONS__nobody=3), "nobody"),
    "no layers": (changed(layers=[]), "layers"),
    "a layer twice": (changed(layers=["a", "a", "b"]), "layers"),
    "fewer widths": (changed(layer_widths=[6]), "layers"),
    "a width below one": (changed(layer_widths=[6, 6, -1]), "layers"),
    "a huge width": (changed(layer_widths=[6, 6, 10**9]), "names the size"),
    "another width": (changed(layer_widths=[6, 6, 7]), "bottleneck|transform"),
    "no preprocessing": (changed(preprocessing=None), "preprocessing"),
    "another preprocessing": (changed(preprocessing={"sise": 3}), "preprocessing"),
    "a huge image": (changed(preprocessing={"size": [10**9, 4]}), "preprocessing"),
    "no backbone": (changed(backbone=None), "backbone"),
    "no space": (changed(space=None), "space|voxels"),
    "other weights": (rewritten(x=torch.ones(1)), "space|usable|names"),
    "a linear encoder": (changed(kind="linear"), "load_encoder"),
}


@pytest.mark.parametrize("name", BAD)
def test_a_strangers_encoder_ends_in_one_line(name, saved):
    change, message = BAD[name]
    change(saved)
    with toys_registered(), pytest.raises(ValueError, match=message) as said:
        PLModel.from_pretrained(saved)
    assert "\n" not in str(said.value)


def test_weights_of_other_names_shapes_and_kinds(model, saved):
    state = model.state_dict()
    from safetensors.torch import load_file

    whole = load_file(saved / "model.safetensors")
    lacking = {name: value for name, value in whole.items() if name != "encoder.bias"}
    cases = {
        "lacks 1 .encoder.bias.": lacking,
        "others 1 .encoder.x.": whole | {"encoder.x": torch.ones(1)},
        r"encoder.bias.*\(8,\).*\(7,\)": whole | {"encoder.bias": torch.ones(8)},
        "encoder.bias.*float64": whole | {"encoder.bias": state["encoder.bias"].double()},
        "usable": whole | {"usable": torch.ones(3).bool()},
        "FieldRidge": whole | {"field.map0": torch.ones(2, 3)},
    }
    for message, tensors in cases.items():
        rewritten(**tensors)(saved)
        with pytest.raises(ValueError, match=message) as said:
            PLModel.from_pretrained(saved, backbone=None)
        assert "\n" not in str(said.value)
