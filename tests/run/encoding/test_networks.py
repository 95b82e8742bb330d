"""The networks of an encoding: whose weights and options go where, who has which layer, and who is let go when."""

from __future__ import annotations

import gc
import weakref
from typing import ClassVar

import pytest
import torch

from brainnet.backbone import BACKBONES
from brainnet.config import load_config
from brainnet.run.encoding.networks import build_stores, check_networks, plan_networks
from tests.toys import ToyBackbone, toy_dataset


class Net(ToyBackbone):
    """A toy family with weights, layers and a setting of its own."""

    built: ClassVar[list] = []
    has = ("a", "b")

    def __init__(self, variant=None, *, layers=None, weights="trained", seed=0, width=1, precision="fp32"):
        super().__init__(layers or self.has)
        self.settings = {"width": width}
        self.given = {"variant": variant, "weights": weights, "precision": precision}
        self.weights = f"{weights} {seed} {width}" if weights == "random" else f"{weights} {width}"
        Net.built.append(weakref.ref(self))

    def fingerprint(self):
        return {"name": "net", "weights": self.weights}


class Other(Net):
    has = ("c",)


@pytest.fixture(autouse=True)
def families():
    Net.built.clear()
    with BACKBONES.temporarily("net", Net), BACKBONES.temporarily("other", Other):
        yield


def config(*words):
    return load_config(None, ["BACKBONE.NAME", "net:x", "BACKBONE.WEIGHTS", "mine.pth", *words])


def checked(backbones=(), layers=(), twins=False, *words, seed=0):
    return check_networks(plan_networks(config(*words), backbones), layers, twins, seed)


def test_what_the_config_says_of_its_network_goes_to_no_other():
    words = ("BACKBONE.OPTIONS.width", "3", "MODEL.LAYERS", "['a']", "BACKBONE.PRECISION", "bf16")
    own, other, chosen = plan_networks(config(*words), ["net:x", "other", "net:y=theirs.pth"])
    assert own.options == {"width": 3, "weights": "mine.pth", "layers": ["a"], "precision": "bf16"}
    assert other.options == {}
    assert chosen.options == {"weights": "theirs.pth"}
    assert [one.label for one in (own, other, chosen)] == ["net:x", "other", "net:y"]
    assert plan_networks(config(), ())[0].name == "net:x"


def test_one_network_with_two_weights_has_two_labels():
    found = plan_networks(config(), ["net:x=one.pth", "net:x=folder/two.pth"])
    assert [one.label for one in found] == ["net:x=one", "net:x=two"]
    with pytest.raises(ValueError, match="net:x=one"):
        plan_networks(config(), ["net:x=one.pth", "net:x=one.pth"])


def test_random_weights_are_in_the_label_of_a_network():
    assert [one.label for one in plan_networks(config(), ["net:x=random", "other"])] == ["net:x=random", "other"]
    assert plan_networks(config("BACKBONE.WEIGHTS", "random"), ())[0].label == "net:x=random"


def test_each_network_takes_the_layers_it_has():
    networks, _ = checked(["net:x", "other"], ["b", "c"])
    assert [one.layers for one in networks] == [("b",), ("c",)]
    with pytest.raises(ValueError, match="'d'") as refused:
        checked(["net:x", "other"], ["a", "c", "d"])
    assert "net:x has a, b" in str(refused.value)
    with pytest.raises(ValueError, match="other has none of the layers a"):
        checked(["net:x", "other"], ["a"])


def test_a_lone_network_is_asked_for_any_of_its_modules():
    (network,), built = checked(layers=["deep"])
    assert network.options["layers"] == ["deep"]
    assert built["net:x"].layers == ("deep",)


def test_the_twin_differs_by_its_weights_alone():
    (network,), _ = checked((), (), True, "BACKBONE.OPTIONS.width", "3", seed=7)
    twin = network.twin.build()
    assert twin.given["weights"] == "random"
    assert twin.settings == {"width": 3}
    assert twin.weights == "random 7 3"
    assert twin.layers == ("a", "b")
    assert network.twin.fingerprint != network.fingerprint
    with pytest.raises(ValueError, match="net:x has random weights already"):
        checked(["net:x=random"], (), True)


def test_networks_are_let_go_before_the_next_one_is_built(tmp_path):
    networks, built = checked(["net:x", "other"])
    gc.collect()
    assert not built
    assert [ref() for ref in Net.built] == [None, None]
    subjects = {"s1": toy_dataset(12), "s2": toy_dataset(12, seed=3)}
    stores, twins, described = build_stores(config(), networks, built, subjects, tmp_path, 1, progress=False)
    gc.collect()
    assert [ref() for ref in Net.built] == [None] * 4
    assert not twins
    assert {label: sorted(by_subject) for label, by_subject in described.items()} == {
        label: ["s1", "s2"] for label in stores
    }
    assert {label: sorted(by_subject) for label, by_subject in stores.items()} == {
        "net:x": ["s1", "s2"], "other": ["s1", "s2"],
    }  # fmt: skip
    assert len(list((tmp_path / "tokens").glob("*.bin"))) == 4  # several do not fit in memory


def test_a_lone_store_stays_in_memory_unless_processes_share_it(tmp_path):
    for n_jobs, on_disk in ((1, 0), (2, 1)):
        networks, built = checked()
        build_stores(config(), networks, built, {"s1": toy_dataset(12)}, tmp_path, n_jobs, progress=False)
        assert len(list(tmp_path.rglob("*.bin"))) == on_disk
        assert not built  # handed over


def test_precision_and_image_size_are_of_every_network():
    cfg = load_config(None, ["BACKBONE.NAME", "torchvision:squeezenet1_0", "BACKBONE.WEIGHTS", "random"])
    words = ["torchvision:squeezenet1_0", "torchvision:squeezenet1_1=random"]
    for network in plan_networks(cfg, words, "bf16", (64, 96)):
        assert (network.options["precision"], network.options["image_size"]) == ("bf16", (64, 96))
        backbone = network.build()
        assert backbone.preprocessing.size == (64, 96)
        assert {value.dtype for value in backbone.parameters()} == {torch.bfloat16}
    assert not {"precision", "image_size"} & set(plan_networks(cfg, words)[0].options)
