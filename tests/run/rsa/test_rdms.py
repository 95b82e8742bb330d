"""RDMs of networks and features from files to files."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch.nn import functional as F

from brainnet.backbone import BACKBONES
from brainnet.rsa import RDMs, compare, rdm
from brainnet.run.rsa.rdms import write_rdms
from brainnet.tokens import Preprocessing


def test_rdms_of_features_in_the_order_a_person_counts(tmp_path, rng):
    features = torch.rand(12, 5, generator=rng).numpy()
    np.savez(tmp_path / "layer.npz", **{f"image_{i}": features[i] for i in range(12)})  # by name, 10 comes before 2
    found = write_rdms(tmp_path / "layer.npz", tmp_path / "a", metric="euclidean", progress=False)
    assert found.conditions[2] == "image_2"
    torch.testing.assert_close(found.values, rdm(features, "euclidean").values)
    saved = RDMs.load(tmp_path / "a" / "rdms.npz")
    assert saved.names == ("layer",)
    assert torch.equal(saved.values, found.values)
    table = pd.read_csv(tmp_path / "a" / "rdms.csv")
    row = table[(table["condition_a"] == "image_1") & (table["condition_b"] == "image_3")]
    assert row["layer"].item() == pytest.approx(np.linalg.norm(features[1] - features[3]), rel=1e-5)


def test_rdms_of_a_folder_of_layers(tmp_path, rng):
    for name in ("block2", "block10"):
        np.save(tmp_path / f"{name}.npy", torch.rand(6, 3, 4, generator=rng).numpy())
    out = tmp_path / "out"
    found = write_rdms(tmp_path, out, progress=False)
    assert found.names == ("block2", "block10")
    assert (out / "layers.png").is_file()
    assert write_rdms(tmp_path, out, layers=["block10"], progress=False).names == ("block10",)
    with pytest.raises(ValueError, match="no layer 'block3'; there are block2, block10"):
        write_rdms(tmp_path, out, layers=["block3"])


def test_rdms_of_a_network_that_looks_at_pictures(tmp_path, rng, invoke):
    (tmp_path / "images").mkdir()
    for i in range(5):
        pixels = (255 * torch.rand(32, 32, 3, generator=rng)).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    out = tmp_path / "out"
    invoke("rdm", tmp_path / "images", "-b", "expansion:small", "-l", "1", "--pool", "mean", "--out", out)
    found = RDMs.load(out / "rdms.npz")
    assert found.conditions == tuple("01234")
    assert found.names == ("1",)
    from brainnet.backbone import build_backbone
    from brainnet.store import TokenStore

    store = TokenStore.build(
        build_backbone("expansion:small", layers=["1"]), sorted((tmp_path / "images").iterdir()), progress=False,
        dtype=torch.float32,
    )  # fmt: skip
    assert compare(found, rdm(store.features("1", "mean")), "pearson").item() == pytest.approx(1.0, abs=1e-4)
    assert "expansion" in json.loads((out / "run.json").read_text())["source"]["backbone"]


def test_each_layer_is_compared_on_its_own_grid_and_no_map_grows(tmp_path, rng):
    """Maps of 12 x 12 and 1 x 1: neither 8 x 8 means of the first nor 64 copies of the second."""

    class Net:
        layers = ("wide", "one")

        def get_tokens(self, images):
            local = {"wide": images[..., ::2, ::2], "one": images.mean((2, 3), keepdim=True)}
            return local, {name: maps.mean((2, 3)) for name, maps in local.items()}

    class Pictures(Net):
        preprocessing = Preprocessing(size=(24, 24))

    (tmp_path / "images").mkdir()
    for i in range(4):
        pixels = (255 * torch.rand(24, 24, 3, generator=rng)).byte().numpy()
        Image.fromarray(pixels).save(tmp_path / "images" / f"{i}.png")
    with BACKBONES.temporarily("net", lambda variant, **options: Pictures()):
        found = write_rdms(tmp_path / "images", tmp_path / "a", backbone="net", metric="euclidean", progress=False)
        small = write_rdms(
            tmp_path / "images", tmp_path / "b", backbone="net", metric="euclidean", grid=(3, 3), progress=False
        )
    images = torch.stack([Pictures.preprocessing(Image.open(tmp_path / "images" / f"{i}.png")) for i in range(4)])
    local, _ = Net().get_tokens(images)
    for name, values, reduced in zip(found.names, found.values, small.values, strict=True):
        expected = torch.pdist(local[name].flatten(1))
        torch.testing.assert_close(values, expected, rtol=1e-4, atol=1e-5)
        if name == "one":
            torch.testing.assert_close(reduced, expected, rtol=1e-4, atol=1e-5)
        else:
            torch.testing.assert_close(
                reduced, torch.pdist(F.avg_pool2d(local[name], 4).flatten(1)), rtol=1e-4, atol=1e-5
            )
    assert json.loads((tmp_path / "a" / "run.json").read_text())["settings"]["grid"] == "native"
    assert json.loads((tmp_path / "b" / "run.json").read_text())["settings"]["grid"] == [3, 3]


def test_weights_of_ones_own_follow_the_network(tmp_path):
    (tmp_path / "images").mkdir()
    for i in range(3):
        Image.new("RGB", (32, 32), (40 * i, 80, 200 - 60 * i)).save(tmp_path / "images" / f"{i}.png")
    with pytest.raises(FileNotFoundError, match="nothing.npz"):
        write_rdms(tmp_path / "images", tmp_path / "o", backbone=f"torchvision:squeezenet1_0={tmp_path}/nothing.npz")


def test_wrong_features_are_one_clear_line(files, tmp_path):
    np.save(tmp_path / "objects.npy", np.array([{}, None], dtype=object))
    for call, message in [
        (lambda: write_rdms(files / "random" / "..", tmp_path / "o", layers=["x"]), "different shapes|no layer"),
        (lambda: write_rdms(files / "random", tmp_path / "o" / "p"), "different shapes|one entry"),
        (lambda: write_rdms(tmp_path / "objects.npy", tmp_path / "o"), "objects.npy"),
    ]:
        with pytest.raises((ValueError, FileNotFoundError), match=message):
            call()
        assert not (tmp_path / "o").exists(), message


def test_a_distance_of_ones_own_is_named_by_its_file(tmp_path, rng, invoke):
    (tmp_path / "mine.py").write_text("""
import torch

def chebyshev(patterns):
    n = patterns.shape[-2]
    rows, columns = torch.triu_indices(n, n, offset=1)
    return (patterns[:, rows] - patterns[:, columns]).abs().amax(-1)
""")
    features = torch.rand(6, 5, generator=rng)
    np.save(tmp_path / "features.npy", features.numpy())
    invoke("rdm", tmp_path / "features.npy", "--metric", f"{tmp_path}/mine.py:chebyshev", "--out", tmp_path / "out")
    found = RDMs.load(tmp_path / "out" / "rdms.npz")
    expected = (features[:, None] - features[None]).abs().amax(-1)
    torch.testing.assert_close(found.to_square()[0], expected)
    with pytest.raises(ValueError, match="defines no 'manhattan'; it defines chebyshev"):
        write_rdms(tmp_path / "features.npy", tmp_path / "o", metric=f"{tmp_path}/mine.py:manhattan")


def test_bad_pictures_are_left_out_of_an_rdm_and_listed(tmp_path):
    folder = tmp_path / "set"
    folder.mkdir()
    for i in range(5):
        pixels = np.random.default_rng(i).integers(0, 255, (40, 40, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")
    (folder / "3.png").write_bytes(b"damaged")
    how = {"backbone": "expansion:small", "layers": ["1"], "progress": False}
    rdms = write_rdms(folder, tmp_path / "out", skip_bad=True, **how)
    assert list(rdms.conditions) == ["0", "1", "2", "4"]
    assert list(json.loads((tmp_path / "out/run.json").read_text())["source"]["skipped"]) == ["3.png"]
    with pytest.raises(ValueError, match="--skip-bad is of a network"):
        write_rdms(tmp_path / "features.npy", tmp_path / "other", skip_bad=True, progress=False)
