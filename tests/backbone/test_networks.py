"""The table of networks: what the file holds, and what families say that are not in it."""

from __future__ import annotations

import re
import sys
from types import ModuleType

import pytest
from hypothesis import given
from hypothesis import strategies as st

from brainnet.backbone import BACKBONES, build_backbone
from brainnet.backbone import networks as module
from brainnet.backbone.networks import (
    COLUMNS,
    Network,
    all_networks,
    ask_family,
    check_known,
    network_of,
    networks_of,
    read_table,
    write_table,
)

OWN = ("cornet", "ecoset", "expansion", "original", "places365", "ssl", "taskonomy", "transformers", "untrained")


@pytest.fixture
def toys(monkeypatch):
    """Files one family, "toys", whose module is the one given back."""
    family = ModuleType("toy_family")
    exec("def build(variant, **options):\n    return variant, options", family.__dict__)
    monkeypatch.setitem(sys.modules, "toy_family", family)
    with BACKBONES.temporarily("toys", family.build):
        yield family


def test_the_table_is_large_and_every_name_stands_once():
    names = [network.name for network in all_networks()]
    assert len(names) == len(set(names))
    assert sum(not network.needs for network in all_networks()) >= 2400
    assert {network.family for network in all_networks()} >= {"timm", "torchvision", "clip", *OWN}


def test_what_is_known_of_nearly_every_network():
    rows = [network for rows in read_table()[0].values() for network in rows]
    for column, share in {"architecture": 1, "series": 1, "kind": 1, "task": 1, "training_set": 0.93, "method": 0.99,
                          "source": 0.88, "image_size": 0.89}.items():  # fmt: skip
        assert sum(getattr(n, column) not in ("", None) for n in rows) >= share * len(rows), column
    assert all(network.parameters for network in rows if not network.needs)
    assert all(0 < network.top1 < 100 for network in rows if network.top1 is not None)
    assert all(re.fullmatch("([0-9a-f]{8,64})?", network.digest) for network in rows)
    assert all(network.source.startswith(("https://", "http://")) for network in rows if network.source)
    assert not [n.name for n in rows if (n.method == "untrained") != (n.training_set == "none")]


@pytest.mark.parametrize("family", OWN)
def test_the_file_holds_what_the_family_says(family):
    kept, _ = read_table()
    said = ask_family(family)
    assert [n.name for n in said] == [n.name for n in kept[family]]
    for new, old in zip(said, kept[family], strict=True):
        different = [c for c in COLUMNS if c != "parameters" and getattr(new, c) != getattr(old, c)]
        assert not different, f"{new.name}: python -m brainnet.backbone.facts makes the file anew"


def test_every_family_of_the_folder_is_in_the_file():
    from pathlib import Path

    from brainnet.backbone import families

    own = {path.stem for path in Path(families.__path__[0]).glob("[!_]*.py")}
    assert own == set(read_table()[0]), "python -m brainnet.backbone.facts makes the file anew"


def test_names_of_a_family_are_what_it_builds():
    for family in ("cornet", "ssl", "ecoset", "places365", "expansion", "untrained", "original"):
        assert {n.name for n in networks_of(family)} == {f"{family}:{v}" for v in BACKBONES.variants(family)}
    assert build_backbone("cornet:z", weights="random").name == "cornet:z"


def test_a_family_of_another_package_joins_by_what_it_says(toys):
    toys.describe = lambda: [{"variant": "deep=v2", "method": "supervised", "parameters": 7}, {"variant": "flat"}]
    assert networks_of("toys") == [
        Network("toys:deep=v2", "toys", "deep", method="supervised", parameters=7),
        Network("toys:flat", "toys", "flat"),
    ]
    assert "toys:flat" in [network.name for network in all_networks()]


def test_a_family_that_only_lists_names_joins_too(toys):
    with pytest.raises(ValueError, match="'toys' does not list its networks"):
        networks_of("toys")
    toys.variants = lambda: ["one", "two"]
    assert [network.name for network in networks_of("toys")] == ["toys:one", "toys:two"]


def test_a_mistake_in_one_family_does_not_hide_the_others(toys):
    toys.describe = lambda: 1 / 0
    with pytest.warns(UserWarning, match="toys are left out: ZeroDivisionError"):
        assert len(list(all_networks())) > 2000


@pytest.mark.parametrize(
    ("said", "words"),
    [
        ({"method": "x"}, "without its 'variant'"),
        ({"variant": "a", "trainingset": "x"}, "'trainingset'.*'training_set'"),
    ],
)
def test_a_wrong_record_is_named(said, words):
    with pytest.raises(ValueError, match=words):
        network_of("mine", said)


def test_another_version_of_the_library_is_asked_itself(monkeypatch, toys):
    toys.describe = lambda: [{"variant": "new"}, {"variant": "kept"}]
    old = (Network("toys:kept", "toys", "kept", parameters=5, top1=70.5), Network("toys:gone", "toys", "gone"))
    monkeypatch.setattr(module, "read_table", lambda: ({"toys": old}, {"toys": ("pip", "0.0.1")}))
    assert networks_of("toys") == [Network("toys:new", "toys", "new"), old[0]]
    monkeypatch.setattr(module, "read_table", lambda: ({"toys": old}, {"toys": ("no-such-package", "1")}))
    assert networks_of("toys") == list(old)


texts = st.text(st.characters(blacklist_categories=("Cs", "Cc")), max_size=12)
records = st.builds(
    Network, texts, st.sampled_from(["a", "b"]), texts, texts, texts, texts, texts, texts,
    st.none() | st.integers(0, 10**12), st.none() | st.integers(1, 9999), st.none() | st.floats(0, 100), texts,
)  # fmt: skip


@given(st.lists(records, max_size=6))
def test_what_is_written_is_read(tmp_path_factory, rows):
    file = tmp_path_factory.mktemp("table") / "networks.csv"
    write_table(rows, {"a": ("torch", "2.0")}, file)
    kept, libraries = read_table.__wrapped__(file)
    assert kept == {f: tuple(r for r in rows if r.family == f) for f in dict.fromkeys(r.family for r in rows)}
    assert libraries == {"a": ("torch", "2.0")}


@pytest.mark.parametrize(
    "name",
    ["torchvision:alexnet", "torchvision:alexnet=random", "timm:resnet50", "timm:resnet50.a1_in1k", "timm:test_vit",
     "transformers:me/mine", "clip", "cornet", "clip:ViT-B-16=openai", "original:dinov2-base",
     "video:torchvision:r3d_18", "video:cornet:z"],
)  # fmt: skip
def test_a_family_knows_its_networks_with_any_weights(name):
    check_known(name)


@pytest.mark.parametrize(
    ("name", "nearest"),
    [("torchvision:AlexNet", "alexnet"), ("timm:resnet5O", "resnet5"), ("clip:ViT-B-61", "ViT-B"),
     ("video:cornet:y", "z, r"), ("corent:z", "cornet"), ("original:dinov2-huge", "dinov2")],
)  # fmt: skip
def test_an_unknown_network_is_refused_without_building(name, nearest):
    with pytest.raises(ValueError, match=nearest) as refused:
        check_known(name)
    assert len(str(refused.value)) < 400


def test_a_family_that_lists_nothing_is_not_asked():
    with BACKBONES.temporarily("mine", lambda variant: None):
        check_known("mine:anything")
