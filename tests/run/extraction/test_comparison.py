"""Layers of networks beside each other, against other libraries and a few lines of numpy."""

from __future__ import annotations

import gc
import json
import warnings
import weakref

import numpy as np
import pandas as pd
import pytest
import torch
from PIL import Image
from torch import nn

import brainnet
from brainnet.backbone import HookedBackbone, build_backbone
from brainnet.run.extraction import comparison, comparison_networks
from brainnet.run.extraction.comparison import compare_models, write_comparison
from brainnet.store import TokenStore
from tests.tables import unlisted_columns

N = 12


class Given:
    """A backbone whose features of image i are row i of arrays: images hold nothing but their number."""

    def __init__(self, **features):
        self.features = {name: torch.as_tensor(values) for name, values in features.items()}
        self.layers = tuple(features)

    def get_tokens(self, images):
        rows = images[:, 0, 0, 0].long()
        local = {name: values[rows][..., None, None].float() for name, values in self.features.items()}
        return local, {name: maps[..., 0, 0].clone() for name, maps in local.items()}


@pytest.fixture
def numbers():
    """Images that are their own number."""
    return torch.arange(N).float()[:, None, None, None].expand(N, 3, 2, 2).contiguous()


@pytest.fixture
def features(rng):
    wide, narrow = torch.randn(N, 40, generator=rng), torch.randn(N, 5, generator=rng)
    return {"wide": wide, "narrow": narrow, "mixed": torch.cat([wide[:, :7], 3 * narrow], 1)}


def square(backbone, images, **how):
    return compare_models({"net": backbone}, images, pool="mean", progress=False, **how)


def cka(x, y):
    """Song et al. (2012), from kernels with an empty diagonal, as written there."""
    n = len(x)
    kernels = []
    for features in (x, y):
        kernel = features.double().numpy() @ features.double().numpy().T
        np.fill_diagonal(kernel, 0)
        kernels.append(kernel)
    ones = np.ones(n)

    def hsic(k, m):
        both = k @ m
        return (
            np.trace(both)
            + ones @ k @ ones * (ones @ m @ ones) / ((n - 1) * (n - 2))
            - 2 / (n - 2) * (ones @ both @ ones)
        )

    k, m = kernels
    return hsic(k, m) / np.sqrt(hsic(k, k) * hsic(m, m))


def procrustes(x, y):
    x, y = (f.double().numpy() - f.double().numpy().mean(0) for f in (x, y))
    return np.linalg.svd(x.T @ y, compute_uv=False).sum() / np.linalg.norm(x) / np.linalg.norm(y)


@pytest.mark.parametrize(("metric", "expected"), [("cka", cka), ("procrustes", procrustes)])
def test_features_are_compared_as_written_in_the_papers(numbers, features, metric, expected):
    table = square(Given(**features), numbers, metric=metric)
    assert list(table.index) == list(table.columns) == [("net", name) for name in features]
    assert table.index.names == ["model", "layer"]
    for (_, a), row in table.iterrows():
        for (_, b), value in row.items():
            assert value == pytest.approx(expected(features[a], features[b]), abs=2e-6), (a, b)


def test_rdms_are_compared_as_another_library_does(numbers, features):
    rsatoolbox = pytest.importorskip("rsatoolbox")
    theirs = [
        rsatoolbox.rdm.calc_rdm(rsatoolbox.data.Dataset(values.numpy()), method="correlation")
        for values in features.values()
    ]
    stacked = rsatoolbox.rdm.concat(theirs)
    for ours, method in [("pearson", "corr"), ("spearman", "spearman"), ("cosine", "cosine"), ("kendall", "kendall")]:
        table = square(Given(**features), numbers, correlation=ours)
        expected = rsatoolbox.rdm.compare(stacked, stacked, method=method)
        np.testing.assert_allclose(table.to_numpy(), expected, atol=1e-5)
    assert table.attrs["scale"] == "kendall of correlation RDMs"


@pytest.mark.parametrize("metric", ["rdm", "cka", "procrustes"])
def test_the_same_geometry_is_one_and_the_table_symmetric(numbers, rng, metric):
    x = torch.randn(N, 9, generator=rng)
    turn = torch.linalg.qr(torch.randn(9, 9, generator=rng)).Q
    net = Given(x=x, turned=5 * x @ turn + (0 if metric == "rdm" else 100), other=torch.randn(N, 9, generator=rng))
    table = square(net, numbers, metric=metric, dissimilarity="euclidean")
    values = table.to_numpy()
    assert (values == values.T).all()
    assert (values.diagonal() == 1).all()
    assert values[0, 1] == pytest.approx(1, abs=1e-4)
    assert values[0, 2] < 0.8


@pytest.mark.parametrize("metric", ["rdm", "cka", "procrustes"])
def test_blocks_of_columns_and_of_layers_change_nothing(numbers, features, metric, monkeypatch):
    whole = square(Given(**features), numbers, metric=metric)
    for module in (comparison, comparison_networks):
        monkeypatch.setattr(module, "BLOCK_BYTES", 4 * N * 6)  # six columns; a layer at a time
    monkeypatch.setattr(comparison_networks, "ROWS", 5)
    blocked = square(Given(**features), numbers, metric=metric)
    np.testing.assert_allclose(blocked, whole, atol=1e-6)


def test_features_of_many_columns_are_never_all_in_memory(numbers, rng, monkeypatch):
    read = []
    before = TokenStore.features

    def features(self, layer, pool="mean", index=None):
        found = before(self, layer, pool, index)
        read.append(found.numel())
        return found

    monkeypatch.setattr(TokenStore, "features", features)
    monkeypatch.setattr(comparison_networks, "BLOCK_BYTES", 4 * N * 100)
    monkeypatch.setattr(comparison_networks, "ROWS", 3)
    square(Given(wide=torch.randn(N, 1000, generator=rng)), numbers)
    assert max(read) == 3 * 1000


def test_networks_are_built_one_at_a_time_and_let_go(tmp_path, monkeypatch):
    alive, most = weakref.WeakSet(), []
    before = comparison_networks.adjusted_of

    def build(*args, **options):
        gc.collect()
        alive.add(backbone := before(*args, **options))
        most.append(len(alive))
        return backbone

    monkeypatch.setattr(comparison_networks, "adjusted_of", build)
    images = torch.rand(5, 3, 64, 64)
    table = compare_models(["cornet:z=random", "torchvision:squeezenet1_1=random"], images,
                           {"cornet:z": ["IT", "V?"], "torchvision:squeezenet1_1": [-1]}, folder=tmp_path,
                           pool="mean", progress=False)  # fmt: skip
    assert most == [1, 1]
    assert list(table.index) == [("cornet:z", area) for area in ("IT", "V1", "V2", "V4")] + [
        ("torchvision:squeezenet1_1", "features.12")
    ]
    assert not list(tmp_path.iterdir())  # tokens and distances are gone
    assert set(table.attrs["networks"]) == {"cornet:z", "torchvision:squeezenet1_1"}


def test_the_same_network_twice_is_one(rng):
    images = torch.rand(6, 3, 64, 64, generator=rng)
    table = compare_models({"a": "cornet:z=random", "b": build_backbone("cornet:z", weights="random")}, images,
                           {"a": "V1", "b": ["V1", "IT"]}, metric="cka", progress=False)  # fmt: skip
    assert table.loc[("a", "V1"), ("b", "V1")] == pytest.approx(1, abs=1e-6)
    assert table.loc[("a", "V1"), ("b", "IT")] < 0.999
    other = compare_models(["cornet:z=random"], images, "V1", seed=3, metric="cka", progress=False)
    assert other.attrs["networks"]["cornet:z"]["weights"] != table.attrs["networks"]["a"]["weights"]


@pytest.mark.filterwarnings("error")
def test_a_layer_without_differences_is_empty_and_named(numbers, features):
    silent = features["wide"].clone()
    silent[3] = 0
    with pytest.warns(UserWarning, match=r"undefined.*net silent") as told:
        table = square(Given(**features, silent=silent), numbers)
    assert len([one for one in told if "rows are NaN" in str(one.message)]) == 1
    assert table.loc[("net", "silent")].isna().all()
    assert table.drop(index=("net", "silent"), columns=("net", "silent")).notna().all(axis=None)
    with pytest.warns(UserWarning, match="constant RDM 'net same'"):
        table = square(Given(**features, same=torch.ones(N, 3)), numbers, metric="cka")
    assert table.loc[("net", "same")].isna().all()


def test_wrong_words_are_named_before_any_work(numbers, features, monkeypatch):
    monkeypatch.setattr(TokenStore, "build", lambda *args, **options: pytest.fail("work was done"))
    net = Given(**features)
    for how, message in [
        ({"metric": "ckaa"}, "metric 'ckaa'"),
        ({"dissimilarity": "correlations"}, "correlations"),
        ({"correlation": "spearmen"}, "spearmen"),
        ({"pool": "maxi"}, "pool 'maxi'"),
        ({"device": "cuda:99"}, "cuda:99"),
        ({"layers": {"nets": ["wide"]}}, "'nets', which is no network here. Did you mean 'net'"),
        ({"seed": 3}, "seed are of networks named by text"),
    ]:
        with pytest.raises(ValueError, match=message.replace(".", r"\.")):
            compare_models({"net": net}, numbers, **how)
    with pytest.raises(ValueError, match="two networks are called 'Given'"):
        compare_models([net, net], numbers)
    with pytest.raises(ValueError, match="no network"):
        compare_models([], numbers)
    with pytest.raises(TypeError, match="got int"):
        compare_models([3], numbers)


def test_wrong_layers_and_too_few_images_name_the_network(numbers, features):
    with pytest.raises(ValueError, match=r"net: Unknown layer 'wid'.*'wide'"):
        square(Given(**features), numbers, layers=["wid"])
    with pytest.raises(ValueError, match=r"cornet:z: Unknown layer 'V3'"):
        compare_models(["cornet:z=random"], torch.rand(4, 3, 64, 64), ["V3"], progress=False)
    with pytest.raises(ValueError, match="at least 4 images"):
        square(Given(**features), numbers[:3])


def test_a_backbone_keeps_its_place_and_mode(numbers):
    network = HookedBackbone(nn.Sequential(nn.Conv2d(3, 4, 1), nn.Conv2d(4, 4, 1)), ["0", "1"])
    images = torch.randn(5, 3, 4, 4)
    before = network.get_tokens(images)
    table = compare_models(network, images, progress=False)
    assert list(table.index) == [("Sequential", "0"), ("Sequential", "1")]
    assert torch.equal(network.get_tokens(images).local["1"], before.local["1"])


def test_it_stands_at_the_top_of_the_package():
    assert brainnet.compare_models is compare_models
    assert "compare_models" in dir(brainnet)
    with pytest.raises(AttributeError, match="compare_model'"):
        _ = brainnet.compare_model


@pytest.fixture
def pictures(tmp_path, rng):
    folder = tmp_path / "images"
    folder.mkdir()
    for i in range(5):
        pixels = (255 * torch.rand(48, 48, 3, generator=rng)).byte().numpy()
        Image.fromarray(pixels).save(folder / f"{i}.png")
    return folder


def test_the_folder_of_a_comparison(pictures, tmp_path):
    networks = ["cornet:z=random", "torchvision:squeezenet1_1=random"]
    layers = ["cornet:z=V1", "cornet:z=IT", "torchvision:squeezenet1_1=features.12"]
    out = tmp_path / "out"
    with warnings.catch_warnings():
        warnings.simplefilter("error", UserWarning)
        table = write_comparison(pictures, out, networks, layers=layers, metric="cka", pool="mean", progress=False,
                                 image_size=(64, 64))  # fmt: skip
    expected = compare_models(networks, pictures, {"cornet:z": ["V1", "IT"], "torchvision:squeezenet1_1": [-1]},
                              metric="cka", pool="mean", progress=False, image_size=(64, 64))  # fmt: skip
    pd.testing.assert_frame_equal(table, expected)
    assert sorted(path.name for path in out.iterdir()) == ["run.json", "similarity.csv", "similarity.png",
                                                           "similarity.svg"]  # fmt: skip
    written = pd.read_csv(out / "similarity.csv")
    back = written.pivot(index=["model_a", "layer_a"], columns=["model_b", "layer_b"], values="similarity")
    np.testing.assert_allclose(back.loc[list(table.index), list(table.columns)], table, atol=1e-9)
    assert not unlisted_columns(tmp_path)
    card = json.loads((out / "run.json").read_text())
    assert card["kind"] == "compare"
    assert card["settings"]["metric"] == "cka"
    assert "dissimilarity" not in card["settings"]
    assert card["source"]["networks"]["cornet:z"]["layers"] == "V1 IT"
    assert card["n_images"] == 5


def test_one_network_with_other_weights_beside_itself(pictures, tmp_path):
    torch.save(build_backbone("cornet:z", weights="random", seed=5).network.state_dict(), tmp_path / "other.pth")
    table = compare_models(["cornet:z=random", f"cornet:z={tmp_path / 'other.pth'}"], pictures, "V1",
                           image_size=64, progress=False)  # fmt: skip
    assert list(table.index.get_level_values("model")) == ["cornet:z=random", "cornet:z=other"]
    assert table.iloc[0, 1] < 0.9999
