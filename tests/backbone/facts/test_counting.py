"""The table keeps its promise: what it lists can be built, and has as many parameters as it says."""

from __future__ import annotations

import tempfile

import pytest
import torch

from brainnet.backbone import build_backbone
from brainnet.backbone.facts.counting import count_parameters, with_parameters
from brainnet.backbone.facts.transformers import SERIES
from brainnet.backbone.networks import Network, all_networks, installed_version, read_table

# torchvision says how many parameters the published network has, which is without the heads that only train
SAID = {"torchvision"}


def listed() -> list[Network]:
    """All that can be built here; of another version of a library, what it lists itself."""
    return [network for network in all_networks() if not network.needs]


def spread() -> list[Network]:
    """The smallest network of each family and kind, and of every third series."""
    chosen = {}
    for network in sorted(listed(), key=lambda n: n.parameters or float("inf")):
        chosen.setdefault((network.family, network.kind), network)
        chosen.setdefault(network.series, network)
    kinds = [n for key, n in chosen.items() if isinstance(key, tuple)]
    series = [n for key, n in chosen.items() if isinstance(key, str)]
    return list(dict.fromkeys([*kinds, *series[::2]]))


def check(network: Network) -> str:
    """What is wrong with a row, or nothing."""
    try:
        counted = count_parameters(network.name)
    except Exception as error:
        return f"{network.name}: {type(error).__name__}: {error}"
    if network.family not in SAID and network.parameters not in (None, counted):
        return f"{network.name}: {counted:,} parameters, and the table says {network.parameters}"
    return ""


def test_a_spread_of_the_table_is_built():
    networks = spread()
    assert len(networks) >= 60
    assert {n.family for n in networks} == {n.family for n in listed()}
    assert [wrong for network in networks if (wrong := check(network))] == []


@pytest.mark.slow
@pytest.mark.parametrize("tenth", range(10))
def test_the_whole_table_is_built(tenth):
    assert [wrong for network in listed()[tenth::10] if (wrong := check(network))] == []


@pytest.mark.slow
def test_the_whole_table_names_every_network_of_its_libraries():
    import open_clip
    import timm

    kept, made_with = read_table()
    if any(installed_version(library) != made for library, made in made_with.values()):
        pytest.skip("the file is of other versions of the libraries")
    assert {n.name.partition(":")[2] for n in kept["timm"]} >= set(timm.list_pretrained())
    assert {n.name.partition(":")[2] for n in kept["clip"]} >= {f"{a}={t}" for a, t in open_clip.list_pretrained()}


@pytest.mark.slow
@pytest.mark.parametrize("series", sorted({one.series for one in SERIES}))
def test_every_series_of_transformers_is_built_from_its_settings(series):
    """What a row needs is the settings of the hub; the library's own of the same kind stand in for them."""
    transformers = pytest.importorskip("transformers")
    with tempfile.TemporaryDirectory() as folder:
        transformers.AutoConfig.for_model(series).save_pretrained(folder)
        assert build_backbone(f"transformers:{folder}", weights="random").layers


def test_what_cannot_be_built_is_left_out_with_its_reason():
    rows = [Network("cornet:z", "cornet"), Network("cornet:q", "cornet"), Network("x:y", "x", needs="a ladder")]
    counted, refused = with_parameters(rows)
    assert [(n.name, n.parameters) for n in counted] == [("cornet:z", 2071656), ("x:y", None)]
    assert list(refused) == ["cornet:q"]
    assert "'q'" in refused["cornet:q"]


def test_counting_takes_no_memory():
    assert count_parameters("expansion:full") == 350292000
    assert torch.zeros(1).device.type == "cpu"  # the device "meta" is no longer the usual one
