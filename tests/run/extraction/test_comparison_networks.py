"""A comparison that is cut short keeps its networks, says so, and goes on; bad pictures are left out."""

from __future__ import annotations

import json
import logging

import pandas as pd
import pytest
import torch
from PIL import Image

from brainnet._work import Interrupted
from brainnet.run.extraction import comparison, comparison_networks
from brainnet.run.extraction.comparison import compare_models, write_comparison
from brainnet.store import TokenStore

NETWORKS = ["cornet:z=random", "torchvision:squeezenet1_1=random"]
HOW = {"layers": ["cornet:z=V1", "cornet:z=IT", "torchvision:squeezenet1_1=features.12"], "pool": "mean",
       "image_size": (64, 64), "progress": False}  # fmt: skip


@pytest.fixture
def pictures(tmp_path, rng):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(5):
        pixels = (255 * torch.rand(48, 48, 3, generator=rng)).byte().numpy()
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


@pytest.fixture
def asked(monkeypatch):
    """The names of the networks that were asked for tokens."""
    names, build = [], TokenStore.build.__func__

    def noted(cls, backbone, *args, **options):
        names.append(backbone.name)
        return build(cls, backbone, *args, **options)

    monkeypatch.setattr(TokenStore, "build", classmethod(noted))
    return names


def interrupted_at(monkeypatch, layer):
    """From here on the distances of a layer are interrupted."""
    before = comparison_networks._distances

    def distances(store, name, *args):
        if name == layer:
            raise KeyboardInterrupt
        return before(store, name, *args)

    monkeypatch.setattr(comparison_networks, "_distances", distances)


def test_what_is_done_is_kept_and_not_made_again(pictures, tmp_path, monkeypatch, asked):
    whole = write_comparison(pictures, tmp_path / "whole", NETWORKS, **HOW)
    out = tmp_path / "out"
    with monkeypatch.context() as patched:
        interrupted_at(patched, "features.12")
        with pytest.raises(Interrupted, match=r"distances of 1 of 2 networks and the tokens of 5 images"):
            write_comparison(pictures, out, NETWORKS, **HOW)
    asked.clear()
    pd.testing.assert_frame_equal(write_comparison(pictures, out, NETWORKS, **HOW), whole)
    assert asked == ["torchvision:squeezenet1_1"]
    assert {path.name for path in out.iterdir()} == {path.name for path in (tmp_path / "whole").iterdir()}


def test_a_layer_that_is_done_is_not_made_again(pictures, tmp_path, monkeypatch):
    with monkeypatch.context() as patched:
        interrupted_at(patched, "IT")
        with pytest.raises(Interrupted, match=r"keeps the tokens of 5 images"):
            write_comparison(pictures, tmp_path / "out", NETWORKS[:1], **{**HOW, "layers": None})
    made, before = [], comparison_networks._distances
    monkeypatch.setattr(comparison_networks, "_distances", lambda *args: made.append(args[1]) or before(*args))
    write_comparison(pictures, tmp_path / "out", NETWORKS[:1], **{**HOW, "layers": None})
    assert made == ["IT"]


@pytest.mark.parametrize("change", [{"pool": "max"}, {"dissimilarity": "euclidean"}, {"seed": 4}])
def test_what_was_made_otherwise_is_made_again(pictures, tmp_path, monkeypatch, asked, change):
    with monkeypatch.context() as patched:
        interrupted_at(patched, "features.12")
        with pytest.raises(Interrupted):
            write_comparison(pictures, tmp_path / "out", NETWORKS, **HOW)
    asked.clear()
    found = write_comparison(pictures, tmp_path / "out", NETWORKS, **{**HOW, **change})
    assert asked == ["cornet:z", "torchvision:squeezenet1_1"]
    pd.testing.assert_frame_equal(found, write_comparison(pictures, tmp_path / "new", NETWORKS, **{**HOW, **change}))


def test_other_pictures_are_noticed(pictures, tmp_path, monkeypatch, asked):
    with monkeypatch.context() as patched:
        interrupted_at(patched, "features.12")
        with pytest.raises(Interrupted):
            write_comparison(pictures, tmp_path / "out", NETWORKS, **HOW)
    Image.new("RGB", (48, 48), (9, 200, 3)).save(pictures / "2.png")
    asked.clear()
    write_comparison(pictures, tmp_path / "out", NETWORKS, **HOW)
    assert asked == ["cornet:z", "torchvision:squeezenet1_1"]


def test_interrupted_before_anything_was_done_nothing_is_left(pictures, tmp_path, monkeypatch):
    def interrupt(*args, **options):
        raise KeyboardInterrupt

    monkeypatch.setattr(comparison_networks, "adjusted_of", interrupt)
    with pytest.raises(Interrupted, match="nothing is kept"):
        write_comparison(pictures, tmp_path / "out", NETWORKS, **HOW)
    assert not (tmp_path / "out").exists()


def test_a_mistake_in_the_second_network_keeps_the_first(pictures, tmp_path, asked):
    wrong = {**HOW, "layers": ["cornet:z=V1", "torchvision:squeezenet1_1=features.99"]}
    with pytest.raises(ValueError, match=r"squeezenet1_1: .*features\.99"):
        write_comparison(pictures, tmp_path / "out", NETWORKS, **wrong)
    asked.clear()
    write_comparison(pictures, tmp_path / "out", NETWORKS, **{**wrong, "layers": ["cornet:z=V1"]})
    assert asked == ["torchvision:squeezenet1_1"]


def test_bad_pictures_are_left_out_where_that_is_asked_for(pictures, tmp_path):
    expected = write_comparison(pictures, tmp_path / "good", NETWORKS, **HOW)
    (pictures / "broken.png").write_bytes(b"no picture")
    with pytest.raises(ValueError, match=r"broken\.png"):
        write_comparison(pictures, tmp_path / "out", NETWORKS, **HOW)
    found = write_comparison(pictures, tmp_path / "out", NETWORKS, skip_bad=True, **HOW)
    pd.testing.assert_frame_equal(found, expected)
    card = json.loads((tmp_path / "out" / "run.json").read_text())
    assert list(card["source"]["skipped"]) == ["broken.png"]
    assert card["n_images"] == 5


def test_what_a_network_takes_is_said_before(pictures, tmp_path, monkeypatch, caplog):
    for i in range(5, 40):
        Image.new("RGB", (48, 48), (i, 2 * i, 255 - i)).save(pictures / f"{i}.png")
    monkeypatch.setattr("brainnet.run.forecast.LEAST_SAID", 0)
    caplog.set_level(logging.INFO, "brainnet.progress")
    write_comparison(pictures, tmp_path / "out", NETWORKS, batch_size=1, **HOW)
    said = [record.getMessage() for record in caplog.records]
    for name in ("cornet:z", "torchvision:squeezenet1_1"):
        assert any(line.startswith(f"forecast of {name}: about") for line in said)
    card = json.loads((tmp_path / "out" / "run.json").read_text())["forecast"]
    assert card["seconds"] > 0
    assert card["peak_memory_gb"] > 0
    monkeypatch.setattr("brainnet.run.forecast.free_bytes", lambda device: 1000)
    with pytest.raises(MemoryError, match="more memory"):
        write_comparison(pictures, tmp_path / "two", NETWORKS, batch_size=1, **HOW)
    assert not (tmp_path / "two").exists()
    write_comparison(pictures, tmp_path / "two", NETWORKS[:1], batch_size=1, force=True, **{**HOW, "layers": ["V1"]})


def test_nothing_is_written_through_a_link(pictures, tmp_path):
    (tmp_path / "out").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "out" / comparison.KEPT).symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ValueError, match="is a link"):
        write_comparison(pictures, tmp_path / "out", NETWORKS, **HOW)
    assert not list((tmp_path / "elsewhere").iterdir())


def test_in_memory_and_in_a_folder_the_table_is_the_same(pictures, tmp_path):
    layers = {"cornet:z": ["V1", "IT"], "torchvision:squeezenet1_1": [-1]}
    in_memory = compare_models(NETWORKS, pictures, **{**HOW, "layers": layers})
    pd.testing.assert_frame_equal(write_comparison(pictures, tmp_path / "out", NETWORKS, **HOW), in_memory)
