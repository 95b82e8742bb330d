"""The expansion network against the published statistics, and against a loop that says it plainly."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from brainnet.backbone import Expansion5L, build_backbone
from brainnet.backbone.families import expansion as expansion_module
from brainnet.backbone.families.expansion import Expansion, curvature_bank, gabor_bank


@pytest.fixture(scope="module")
def images():
    """The images of the published statistics."""
    return torch.randn(2, 3, 224, 224, generator=torch.Generator().manual_seed(0))


def tiny(**options) -> Expansion:
    return Expansion((16, 24, 32, 8), **options)


def test_curvature_bank_matches_the_published_one():
    bank = curvature_bank()
    assert bank.shape == (36, 15, 15)
    assert bank.std().item() == pytest.approx(0.0686846, abs=1e-7)
    assert bank.mean((1, 2)).abs().max() < 1e-8
    norms = bank.flatten(1).norm(dim=1)
    assert (norms.min().item(), norms.max().item()) == pytest.approx((0.8645, 1.1654), abs=1e-4)
    half = [0.04626, 0.09741, 0.16230, 0.23227, 0.29739, 0.34922, 0.38219]
    assert bank[0, 7].tolist() == pytest.approx([*half, 0.39346, *half[::-1]], abs=5e-6)
    sixth = [-.00009, -.00036, -.00523, -.03997, -.12807, -.11885, .17365, .39339,
             .18388, -.09832, -.14179, -.06894, -.01917, -.00351, -.00050]  # fmt: skip
    assert bank[5, 7].tolist() == pytest.approx(sixth, abs=5.1e-6)


def test_gabor_bank_matches_the_published_one():
    bank = gabor_bank()
    assert bank.mean().item() == pytest.approx(0.0106992, abs=1e-7)
    assert bank.std().item() == pytest.approx(0.126919, abs=1e-6)
    assert (bank[:, 7, 7] == 1).all()


@pytest.mark.parametrize(
    ("bank", "mean", "std", "first"),
    [
        ("curvature", -3.60344e-05, 1.02691, [0.614968, 0.477124, 0.265170, -0.0103733, -0.367481]),
        ("gabor", -0.00974953, 1.90811, [1.07228, 1.68273, -3.93717, 3.17540, 1.04568]),
    ],
)
def test_first_layer_matches_the_published_statistics(images, bank, mean, std, first):
    response = tiny(bank=bank).convolve(1, images)
    assert response.shape == (2, 108, 222, 222)
    assert response.mean().item() == pytest.approx(mean, abs=1e-7)
    assert response.std().item() == pytest.approx(std, rel=1e-5)
    assert response.flatten()[:5].tolist() == pytest.approx(first, rel=1e-5)


@pytest.mark.parametrize(
    ("options", "mean", "std", "first"),
    [
        ({}, 0.0160618, 0.0419913, [0.0] * 5),
        ({"nonlinearity": "leaky_relu"}, 0.0128435, 0.0443610,
         [-0.00720599, -0.00726145, -0.00708681, -0.00701759, -0.00700927]),
        ({"nonlinearity": "gelu"}, -0.0358679, 0.0590076, [-0.0642468, -0.0646887, -0.0611295, -0.0583226, -0.0556931]),
        ({"nonlinearity": "abs"}, 2.64294, 1.63750, [5.42318, 5.45606, 5.37158, 5.31050, 5.31388]),
        ({"nonlinearity": "none"}, 1.62505e-05, 0.0178985,
         [-0.0150272, -0.000589217, -0.0231522, -0.00324937, -0.0238582]),
        ({"initialisation": "kaiming_normal"}, 0.616475, 0.559689, [1.22043, 1.22144, 1.23037, 1.22908, 1.25863]),
        ({"initialisation": "xavier_uniform"}, 0.00555114, 0.0145126, [0.0] * 5),
        ({"bank": "random", "first_width": 12}, 0.140254, 0.258503, [0.355501, 0.338563, 0.342166, 0.327182, 0.336220]),
        ({"nonlinearity": ["relu"] * 4 + ["none"]}, -0.344153, 0.280845,
         [-0.727148, -0.732668, -0.714911, -0.708169, -0.707215]),
    ],
    ids=lambda value: str(value) if isinstance(value, dict) else "",
)  # fmt: skip
def test_published_draw_and_statistics(images, options, mean, std, first):
    features = tiny(**options).get_tokens(images).features("5", "flatten")
    assert features.shape == (2, 288)
    # printed with six digits; sums in another order move the smallest of these by 1e-7
    assert features.mean().item() == pytest.approx(mean, rel=2e-5, abs=2e-7)
    assert features.std().item() == pytest.approx(std, rel=2e-5)
    assert features[0, :5].tolist() == pytest.approx(first, rel=1e-4, abs=2e-6)
    if not options:
        assert (features == 0).float().mean().item() == pytest.approx(0.795, abs=0.003)


@pytest.mark.slow
def test_full_network_matches_the_published_statistics(images):
    features = build_backbone("expansion:full", filters_5=3).get_tokens(images).features("5", "flatten")
    assert features.shape == (2, 108)
    assert features.mean().item() == pytest.approx(0.727954, rel=1e-5)
    assert features.std().item() == pytest.approx(0.661916, rel=1e-5)
    first = [0.586936, 0.585154, 0.575901, 0.590635, 0.591539]
    assert features[0, :5].tolist() == pytest.approx(first, rel=1e-4)


def plainly(backbone: Expansion, x, nonlinearity, same: bool):
    """The network as its description reads: filter by filter, without any of the short cuts."""
    by_layer = {}
    for number, kernel in enumerate((15, 7, 5, 3, 3), start=1):
        half = kernel // 2
        if same:
            x = F.pad(x, (half,) * 4, mode="reflect")
        elif number == 1:
            x = F.pad(x, (6,) * 4)
        if number == 1:
            x = torch.cat([F.conv2d(x[:, c : c + 1], backbone.bank[:, None]) for c in range(3)], 1)
        else:
            x = F.conv2d(x, getattr(backbone, f"filters_{number}"))
        x = nonlinearity(x)
        if number < 5:
            x = F.avg_pool2d(x, 2)
        elif not same:
            x = F.avg_pool2d(x, 4, stride=1)
        by_layer[str(number)] = x
    return by_layer


def zscore(x):
    return (x - x.mean(1, keepdim=True)) / x.std(1, keepdim=True)


@pytest.mark.parametrize("padding", ["same", "valid"])
@pytest.mark.parametrize(("name", "function"), [("relu", F.relu), ("elu", F.elu), ("zscore", zscore)])
def test_every_layer_is_what_its_description_says(rng, padding, name, function):
    images = torch.randn(2, 3, 142, 150, generator=rng)
    backbone = Expansion((5, 6, 7, 8), nonlinearity=name, padding=padding, seed=3)
    found = backbone.get_tokens(images)
    with torch.no_grad():
        expected = plainly(backbone, images, function, padding == "same")
    for layer, value in expected.items():
        torch.testing.assert_close(found.local[layer], value, rtol=0, atol=2e-5 * float(value.abs().max()))
        torch.testing.assert_close(found.global_[layer], found.local[layer].mean((2, 3)))


def test_grids_of_both_geometries():
    full = Expansion((2, 2, 2, 2)).get_tokens(torch.zeros(1, 3, 224, 224))
    assert [v.shape[-1] for v in full.local.values()] == [111, 52, 24, 11, 6]
    small = Expansion((2, 2, 2, 2), padding="same").get_tokens(torch.zeros(1, 3, 128, 128))
    assert [v.shape[-1] for v in small.local.values()] == [64, 32, 16, 8, 8]
    assert Expansion((2, 2, 2, 2)).get_tokens(torch.zeros(1, 3, 142, 142)).local["5"].shape[-1] == 1
    random_first = Expansion((2, 2, 2, 2), bank="random", first_width=2)
    assert random_first.get_tokens(torch.zeros(1, 3, 224, 224)).local["1"].shape[-1] == 112


def test_widths_of_the_named_networks():
    assert build_backbone("expansion:small").layer_widths == (108, 32, 128, 256, 256)
    assert build_backbone("expansion:small", filters_5=30).layer_widths[-1] == 30
    assert build_backbone("expansion:small").preprocessing.size == (128, 128)


def test_middle_layers_do_not_depend_on_the_last_width():
    narrow, wide = (build_backbone("expansion:small", filters_5=f) for f in (3, 8))
    assert torch.equal(narrow.filters_4, wide.filters_4)
    assert not torch.equal(narrow.filters_5, wide.filters_5[:3])


def test_constant_images_are_invisible_to_a_bank_without_mean():
    local, _ = Expansion((4, 4, 4, 4), padding="same", layers=["1"]).get_tokens(torch.full((1, 3, 32, 32), 2.0))
    assert local["1"].abs().max() < 1e-5


def test_nothing_is_computed_beyond_the_last_layer_asked_for(rng):
    backbone = Expansion((4, 4, 4, 4), layers=["1"])
    local, _ = backbone.get_tokens(torch.randn(1, 3, 40, 40, generator=rng))  # too small for layer 5
    assert local["1"].shape == (1, 108, 19, 19)


def test_bf16_is_close_and_says_so(rng):
    images = torch.randn(2, 3, 64, 64, generator=rng)
    exact, coarse = (build_backbone("expansion:small", precision=p) for p in ("fp32", "bf16"))
    a, b = exact.get_tokens(images), coarse.get_tokens(images)
    errors = {k: float((a.local[k] - b.local[k]).norm() / a.local[k].norm()) for k in a.layers}
    assert all(1e-5 < error < 0.01 for error in errors.values()), errors
    assert exact.fingerprint()["settings"] != coarse.fingerprint()["settings"]
    assert exact.fingerprint()["weights"] == coarse.fingerprint()["weights"]


def test_new_weights_are_seen_after_a_pass(rng):
    images = torch.randn(1, 3, 64, 64, generator=rng)
    backbone, other = (Expansion((4, 5, 6, 7), padding="same", seed=seed) for seed in (1, 2))
    backbone.get_tokens(images)  # keeps the spectrum of layer 2
    backbone.load_state_dict(other.state_dict())
    assert torch.equal(backbone.get_tokens(images).local["5"], other.get_tokens(images).local["5"])


def test_the_spectrum_is_used_and_only_where_it_fits(rng, monkeypatch):
    images = torch.randn(1, 3, 64, 64, generator=rng)
    backbone = Expansion((4, 5, 6, 7), padding="same")
    with_spectrum = backbone.get_tokens(images)
    assert backbone._kept_spectrum is not None
    monkeypatch.setattr(expansion_module, "SPECTRUM_BYTES", 0)
    without = Expansion((4, 5, 6, 7), padding="same")
    torch.testing.assert_close(without.get_tokens(images).local["2"], with_spectrum.local["2"], rtol=0, atol=1e-4)
    assert without._kept_spectrum is None


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"bank": "banana"}, "Unknown bank 'banana'"),
        ({"nonlinearity": "tanh"}, "Unknown nonlinearity 'tanh'"),
        ({"initialisation": "zeros"}, "Unknown initialisation"),
        ({"padding": "full"}, "Unknown padding"),
        ({"precision": "fp16"}, "Unknown precision"),
        ({"widths": (1, 2)}, "four widths"),
        ({"weights": "imagenet"}, "not trained"),
    ],
)
def test_wrong_options_are_named(options, message):
    with pytest.raises(ValueError, match=message):
        build_backbone("expansion:small", **options)


def test_unknown_variant_is_named():
    with pytest.raises(ValueError, match="Known: full, small"):
        build_backbone("expansion:huge")


def test_the_published_call_gives_rows_of_features(images):
    small = {"filters_2": 16, "filters_3": 24, "filters_4": 32, "filters_5": 8}
    maker = Expansion5L(**small, device="cpu")
    network = maker.Build()
    features = network(images)
    assert features.shape == (2, 8 * 36)
    tokens = Expansion((16, 24, 32, 8)).get_tokens(images)
    assert torch.equal(features, tokens.local["5"].flatten(1))
    assert torch.equal(network.get_tokens(images).global_["5"], tokens.global_["5"])  # it is a backbone as well
    again = maker.Build()
    assert again is not network
    assert torch.equal(again(images), features)
    assert not features.requires_grad
    assert not torch.equal(Expansion5L(**small, device="cpu", seed=1).Build()(images), features)


def test_the_published_words_reach_the_network(images):
    small = {"filters_2": 16, "filters_3": 24, "filters_4": 32, "filters_5": 8, "device": "cpu"}
    network = Expansion5L(12, **small, filter_type="random", non_linearity="gelu", init_type="xavier_normal").Build()
    other = Expansion((16, 24, 32, 8), bank="random", first_width=12, nonlinearity="gelu",
                      initialisation="xavier_normal")  # fmt: skip
    assert torch.equal(network(images), other.get_tokens(images).local["5"].flatten(1))
    with pytest.raises(ValueError, match="bank 'curved'"):
        Expansion5L(filter_type="curved")
    with pytest.raises(ValueError, match="cuda:99"):
        Expansion5L(device="cuda:99")
    full = Expansion5L()  # nothing is drawn yet: 1.6 billion numbers
    assert full.widths == (1000, 3000, 5000, 30000)
