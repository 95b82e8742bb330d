"""Settings to objects: what a config says arrives, and what a target does not take is refused."""

from __future__ import annotations

import copy

import nibabel
import numpy as np
import pytest
import torch

from brainnet.backbone import BACKBONES
from brainnet.config import load_config
from brainnet.dataset import DATASETS, ArrayDataset, BrainDataset, SimulatedSubject
from brainnet.plmodel import build_backbone_of, build_dataset
from brainnet.plmodel.build import planted
from brainnet.space import surface_space
from tests.toys import toy_dataset


def noting(kind, calls):
    """The class with its own ``from_settings``, whose constructor notes what arrives instead of reading data."""

    class Noting(kind):
        def __init__(self, *args, **options):
            calls.append((args, options))

        @classmethod
        def from_folder(cls, root, **options):
            calls.append(((root,), options))

    return Noting


@pytest.mark.parametrize(
    ("name", "kind", "words", "expected"),
    [
        (
            "simulated", SimulatedSubject,
            ("DATASET.N_TRAIN", "11", "DATASET.N_TEST", "12", "DATASET.N_VOXELS", "13", "DATASET.OPTIONS.snr", "0.3"),
            ((5,), {"n_train": 11, "n_val": 50, "n_test": 12, "n_voxels": 13, "backbone": "a network", "snr": 0.3,
                    "n_repeats": 3}),
        ),
        ("algonauts", BrainDataset, ("DATASET.RESOLUTION", "(6,7)"), (("/there", (6, 7)), {"seed": 5})),
        (
            "array", ArrayDataset, ("DATASET.SESSION", "s1", "DATASET.OPTIONS.test", "0.3"),
            (("/there",), {"session": "s1", "seed": 5, "test": 0.3, "val": 0.1}),
        ),
    ],
)  # fmt: skip
def test_a_data_set_is_built_as_the_config_says(name, kind, words, expected):
    calls = []
    words = ["DATASET.NAME", name, "SEED", "5", "DATASET.DATA_DIR", "/there", *words]
    with DATASETS.temporarily(name, noting(kind, calls)):
        build_dataset(load_config(None, words), "a network")
    assert calls == [expected]


def test_whatever_is_planted_in_a_network_gets_the_one_that_the_config_describes():
    """With its weights and options, not another one of the same name."""
    data = toy_dataset()

    class Planted(type(data)):
        @classmethod
        def from_settings(cls, data_dir, seed, *, backbone):
            return backbone

    words = ["DATASET.NAME", "toy", "BACKBONE.NAME", "a", "BACKBONE.WEIGHTS", "w", "BACKBONE.OPTIONS.depth", "3"]
    with (
        DATASETS.temporarily("toy", Planted),
        BACKBONES.temporarily("a", lambda variant, *, weights="w0", depth=1: (weights, depth)),
    ):
        cfg = load_config(None, words)
        assert planted(cfg)
        assert build_dataset(cfg) == ("w", 3)
        assert build_dataset(cfg, "mine") == "mine"
    assert not planted(load_config(None, ["DATASET.NAME", "array"]))


@pytest.mark.parametrize(
    ("words", "named"),
    [
        (("DATASET.OPTIONS.snrr", "1"), ("'snrr'", "'snr'")),
        (("DATASET.SESSION", "s1"), ("DATASET.SESSION",)),
    ],
)
def test_what_a_data_set_does_not_take_is_refused(words, named):
    with pytest.raises(ValueError, match="simulated") as refused:
        build_dataset(load_config(None, ["DATASET.NAME", "simulated", *words]))
    assert all(name in str(refused.value) for name in named)


def test_the_negative_control_is_shuffled_by_the_seed():
    data = toy_dataset()

    class Toy(type(data)):
        @classmethod
        def from_settings(cls, data_dir, seed):
            return data

    with DATASETS.temporarily("toy", Toy):
        found = build_dataset(load_config(None, ["DATASET.NAME", "toy", "DATASET.SHUFFLED", "True", "SEED", "5"]))
        assert torch.equal(found.responses, data.shuffled(seed=5).responses)
        assert build_dataset(load_config(None, ["DATASET.NAME", "toy"])) is data


def test_a_backbone_is_built_as_the_config_says():
    calls = []

    def family(variant, *, weights="w0", precision="fp32", layers=None, depth=1):
        calls.append((variant, weights, precision, layers, depth))

    words = ["BACKBONE.NAME", "a:b", "BACKBONE.WEIGHTS", "w", "BACKBONE.PRECISION", "bf16", "MODEL.LAYERS", "[1,2]",
             "BACKBONE.OPTIONS.depth", "3"]  # fmt: skip
    with BACKBONES.temporarily("a", family):
        build_backbone_of(load_config(None, words))
        build_backbone_of(load_config(None, ["BACKBONE.NAME", "a"]))
    assert calls == [("b", "w", "bf16", [1, 2], 3), (None, "w0", "fp32", None, 1)]


@pytest.mark.parametrize("name", ["torchvision:squeezenet1_1", "timm:resnet10t", "clip:RN50", "expansion:small"])
def test_the_demo_takes_any_family(name):
    """One family's option does not travel to another."""
    backbone = build_backbone_of(load_config("demo", ["BACKBONE.NAME", name, "BACKBONE.WEIGHTS", "random"]))
    assert backbone.layers


def test_an_option_that_a_family_does_not_know_is_refused():
    words = ["BACKBONE.NAME", "torchvision:squeezenet1_1", "BACKBONE.WEIGHTS", "random"]
    with pytest.raises(ValueError, match="'filters_5'"):
        build_backbone_of(load_config(None, [*words, "BACKBONE.OPTIONS.filters_5", "3"]))


def test_a_precision_works_for_every_family():
    """And shows in what the network is: tokens of another precision are other tokens."""
    words = ["BACKBONE.NAME", "torchvision:squeezenet1_1", "BACKBONE.WEIGHTS", "random"]
    plain, half = (
        build_backbone_of(load_config(None, [*words, "BACKBONE.PRECISION", precision]))
        for precision in ("fp32", "bf16")
    )
    a, b = (backbone.get_tokens(torch.ones(1, 3, 64, 64))[0] for backbone in (plain, half))
    for layer, maps in a.items():
        difference = (maps - b[layer].float()).abs().max()
        assert 0 < difference < 0.05 * maps.abs().max()
    assert plain.fingerprint() != half.fingerprint()


def test_an_atlas_of_the_config_gives_the_space_its_areas(tmp_path, monkeypatch):
    values = np.zeros(10_242, np.float32)
    for number in (1, 2, 3):
        values[1000 * number : 1000 * number + 1000] = number
    for side in ("lh", "rh"):
        nibabel.save(nibabel.MGHImage(values[:, None, None], np.eye(4)), tmp_path / f"{side}.wang15_mplbl.mgz")
    data = toy_dataset()
    v1 = torch.ones(data.n_voxels).bool()
    data.space = surface_space(torch.arange(980, 980 + 7 * data.n_voxels, 7), "fsaverage5", {"V1": v1})

    class Toy(type(data)):
        @classmethod
        def from_settings(cls, data_dir, seed):
            return copy.copy(data)

    words = ["DATASET.NAME", "toy", "DATASET.ATLASES"]
    file = tmp_path / "lh.wang15_mplbl.mgz"
    with DATASETS.temporarily("toy", Toy):
        found = build_dataset(load_config(None, [*words, f"['{file}=V1*']"]))
        assert found.space.roi_names == ("V1", "Wang2015.V1v")
        assert torch.equal(
            found.space.rois["Wang2015.V1v"], (data.space.vertices >= 1000) & (data.space.vertices < 2000)
        )
        monkeypatch.setattr(Toy, "from_settings", lambda data_dir, seed: pytest.fail("the data were read first"))
        with pytest.raises(ValueError, match="DATASET.ATLASES .*'V9'"):
            build_dataset(load_config(None, [*words, f"['{file}=V9']"]))
        with pytest.raises(FileNotFoundError, match="lh.other.mgz"):
            build_dataset(load_config(None, [*words, f"['{tmp_path}/lh.other.mgz']"]))
