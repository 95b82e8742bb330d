"""The simulated subject is what it says: planted maps, known noise, exact ceilings, one seed."""

from __future__ import annotations

import pickle

import numpy as np
import pytest
import torch
from torch import nn

from brainnet.dataset import SimulatedSubject
from brainnet.dataset.simulation import planting
from brainnet.dataset.simulation.planting import (
    patch_coordinates,
    planted_selectors,
    planted_weights,
    whitened_components,
)
from brainnet.selection import read_out
from brainnet.space import load_mesh, occipital_vertices
from brainnet.tokens import Preprocessing, Tokens


class Filters(nn.Module):
    """A tiny backbone: three layers of strided random filters."""

    preprocessing = Preprocessing(size=(64, 64))

    def __init__(self, seed: int = 0):
        super().__init__()
        generator = torch.Generator().manual_seed(seed)
        self.filters = nn.ParameterDict(
            {name: torch.randn(20, 3, size, size, generator=generator) for name, size in (("a", 8), ("b", 5), ("c", 3))}
        )
        self.calls = 0

    def get_tokens(self, images):
        self.calls += 1
        local = {name: nn.functional.conv2d(images, f, stride=7).relu() for name, f in self.filters.items()}
        return local, {name: tokens.mean((2, 3)) for name, tokens in local.items()}

    def fingerprint(self):
        return {"name": "filters", "weights": str(self.filters["a"].sum().item())}


def tiny(seed=0, n_train=40, n_val=5, n_test=12, **kwargs):
    kwargs = {"backbone": Filters(), "n_voxels": 60, "progress": False} | kwargs
    return SimulatedSubject(seed, n_train, n_val, n_test, **kwargs)


@pytest.fixture(scope="module")
def subject():
    return tiny(n_train=60, n_test=60, n_voxels=200)


def test_the_same_seed_gives_the_same_subject_whatever_the_global_generators_do(subject):
    torch.manual_seed(123)
    np.random.seed(5)  # noqa: NPY002
    state = torch.get_rng_state()
    again = tiny(n_train=60, n_test=60, n_voxels=200)
    assert torch.equal(again.responses, subject.responses)
    assert torch.equal(torch.get_rng_state(), state)
    other = tiny(seed=1, n_train=60, n_test=60, n_voxels=200)
    assert torch.equal(other.truth.selectors.space, subject.truth.selectors.space)
    assert not torch.equal(other.truth.clusters, subject.truth.clusters)
    assert abs(np.corrcoef(other.responses.flatten(), subject.responses.flatten())[0, 1]) < 0.2
    assert not np.array_equal(np.array(other.load_image(3)), np.array(subject.load_image(3)))


def test_pictures_and_responses_survive_pickling(subject):
    copy = pickle.loads(pickle.dumps(subject))
    assert np.array_equal(np.array(copy.load_image(7)), np.array(subject.load_image(7)))
    assert torch.equal(copy[7][1], subject.responses[7])


def test_the_default_patch_is_the_occipital_cortex():
    patch = patch_coordinates(occipital_vertices(40), 40)
    assert len(patch.distance) == 2364
    assert patch.distance.max() <= 1
    assert np.allclose(np.hypot(patch.up, patch.lateral), patch.distance)
    for side in (0, 1):
        here = patch.hemisphere == side
        # mirrored axes: the flat map's sheet reaches about as far up and out in both hemispheres
        assert patch.up[here].max() > 0.9
        assert patch.lateral[here].max() > 0.9
    # neighbours in index need not be neighbours in cortex, but both poles are in the patch
    assert (patch.distance < 0.03).sum() >= 2


def test_lateral_means_away_from_the_midline_in_both_hemispheres():
    vertices = occipital_vertices(40)
    patch = patch_coordinates(vertices, 40)
    for side, (name, sign) in enumerate((("left", -1), ("right", 1))):
        here = patch.hemisphere == side
        points = load_mesh("fsaverage5", "pial", name).points[vertices.numpy()[here] % 10242]
        assert np.corrcoef(sign * points[:, 0], patch.lateral[here])[0, 1] > 0.5
        assert np.corrcoef(points[:, 2], patch.up[here])[0, 1] > 0.5


def test_planted_maps_have_the_promised_course():
    patch = patch_coordinates(occipital_vertices(40), 40)
    space, layer, scale = planted_selectors(patch, 5)
    centre = (layer @ torch.arange(5.0)).numpy()
    assert torch.allclose(layer.sum(1), torch.ones(len(layer)))
    assert np.corrcoef(centre, patch.distance)[0, 1] > 0.99
    assert np.corrcoef(scale[:, 0], patch.distance)[0, 1] > 0.9
    assert scale.min() > 0
    assert scale.max() < 1
    left = torch.from_numpy(patch.hemisphere == 0)
    assert bool((space[left, 0] > 0).all())  # the left hemisphere sees the right half of the image
    assert bool((space[~left, 0] < 0).all())
    assert space.abs().max() <= 0.875
    # what a constant guess would score, as in the recipe these maps follow
    accuracy = torch.bincount(layer.argmax(1)).max() / len(layer)
    assert float(accuracy) == pytest.approx(0.387, abs=0.01)
    assert float(np.abs(centre - np.median(centre)).mean()) == pytest.approx(0.733, abs=0.01)


def test_clusters_are_eight_connected_groups_of_similar_weights():
    patch = patch_coordinates(occipital_vertices(40), 40)
    weights, clusters = planted_weights(patch, 16, np.random.default_rng(0))
    assert clusters.unique().numel() == 8
    assert torch.allclose(weights.norm(dim=1), torch.ones(len(weights)))
    cosine = weights @ weights.T
    same = clusters[:, None] == clusters
    assert float(cosine[same].mean()) > 0.8
    assert abs(float(cosine[~same].mean())) < 0.1


def test_components_are_white_on_training_rows_and_the_leading_ones(monkeypatch):
    monkeypatch.setattr(planting, "N_COMPONENTS", 16)  # of 24 channels
    monkeypatch.setattr(planting, "_IMAGES_AT_ONCE", 7)  # sums run over several chunks, whose means differ
    generator = torch.Generator().manual_seed(0)
    mixing = torch.randn(24, 24, generator=generator)
    local = torch.einsum("bchw,cd->bdhw", torch.randn(30, 24, 8, 8, generator=generator), mixing) + 5
    local = local + torch.arange(30.0)[:, None, None, None] / 3  # later images are brighter
    tokens = Tokens({"a": local}, {"a": local.mean((2, 3))})
    train = torch.arange(20)
    white, global_ = whitened_components(tokens, train, np.random.default_rng(0))
    flat = white[train, 0].transpose(0, 1).flatten(1)
    assert torch.allclose(flat.mean(1), torch.zeros(16), atol=1e-3)
    assert torch.allclose(flat @ flat.T / flat.shape[1], torch.eye(16), atol=2e-3)
    assert torch.allclose(global_[train].std(0), torch.ones(1, 16))
    # the global token is the mean over places, up to scale
    assert np.corrcoef(global_[:, 0, 3], white[:, 0, 3].mean((1, 2)))[0, 1] == pytest.approx(1)
    # sixteen leading components explain what the sixteen largest eigenvalues say, and no other sixteen do
    raw = local[train].transpose(0, 1).flatten(1)
    raw = raw - raw.mean(1, keepdim=True)
    left = raw - (raw @ flat.T / flat.shape[1]) @ flat
    variances = torch.linalg.eigvalsh(raw @ raw.T)
    assert float(left.square().sum() / variances.sum()) == pytest.approx(
        float(variances[:8].sum() / variances.sum()), rel=0.01
    )


def test_signal_is_the_contraction_of_the_planted_selectors(subject):
    """Redone for single voxels without the chunks, then scaled to the signal's own mean and SD."""
    local, global_ = whitened_components(subject._tokens, subject.splits["train"], np.random.default_rng([0, 2]))
    for voxel in (0, 77, 199):
        space, layer, scale = (part[voxel : voxel + 1] for part in subject.truth.selectors)
        weight = subject.truth.weights[voxel : voxel + 1]
        expected = read_out(local, global_, layer, space, scale, weight, head="sum", implementation="reference")[:, 0]
        assert np.corrcoef(expected, subject.truth.signal[:, voxel])[0, 1] == pytest.approx(1, abs=1e-5)


def test_noise_and_signal_have_the_planted_ratio(subject):
    train = subject.splits["train"]
    noise = (subject.responses - subject.truth.signal)[train]
    ratio = subject.truth.signal[train].std(0) / noise.std(0)
    # SD over 60 images is known to 9 %, so the mean log ratio of 200 voxels to less than 1 %
    assert float((ratio.log() - subject.truth.snr.log()).mean()) == pytest.approx(0, abs=0.04)
    assert float(subject.truth.snr.log().mean()) == pytest.approx(np.log(0.6), abs=0.15)
    assert torch.allclose(subject.truth.signal[train].std(0), torch.ones(200), atol=1e-4)


def test_the_ceiling_is_what_the_signal_itself_scores(subject):
    """Over 400 voxels the mean r of the noiseless signal on the test rows is the mean ceiling."""
    test = subject.splits["test"]
    signal, responses = subject.truth.signal[test], subject.responses[test]
    r = [np.corrcoef(signal[:, v], responses[:, v])[0, 1] for v in range(subject.n_voxels)]
    # one r over 60 images has a standard error near 0.07; 200 of them 0.005, and sample r is biased by less than that
    assert np.mean(r) == pytest.approx(float(subject.noise_ceiling.mean()), abs=0.015)
    assert 0.1 < subject.noise_ceiling.min() < subject.noise_ceiling.max() < 1


def test_test_responses_are_the_mean_of_the_kept_presentations(subject):
    assert subject.test_repeats.shape == (60, 3, 200)
    assert torch.allclose(subject.test_repeats.mean(1), subject.responses[subject.splits["test"]])
    spread = (subject.test_repeats - subject.test_repeats.mean(1, keepdim=True)).square().sum(1) / 2
    noise = subject.truth.snr**-2
    assert float((spread.mean(0) / noise).mean()) == pytest.approx(1, abs=0.04)  # 24,000 degrees of freedom: SE 0.009


def test_kept_tokens_are_those_of_the_backbone(subject):
    backbone = Filters()
    fingerprint = backbone.fingerprint() | {
        "preprocessing": str(backbone.preprocessing), "grid": "8x8", "resize": "mean", "dtype": "float16",
    }  # fmt: skip
    tokens = subject.known_tokens(fingerprint)
    images = torch.stack([subject.image(i, backbone.preprocessing) for i in (0, 90)])
    again = Tokens(*backbone.get_tokens(images)).resize((8, 8))
    for layer in "abc":
        assert torch.allclose(tokens.local[layer][[0, 90]].float(), again.local[layer], rtol=2**-10, atol=1e-6)
        assert torch.allclose(tokens.global_[layer][[0, 90]].float(), again.global_[layer], rtol=2**-10, atol=1e-6)


@pytest.mark.parametrize(
    "change",
    [{"weights": "other"}, {"grid": "4x4"}, {"resize": "bilinear"}, {"dtype": "float32"}, {"preprocessing": "other"}],
)
def test_tokens_of_anything_else_are_not_handed_out(subject, change):
    fingerprint = Filters().fingerprint() | {
        "preprocessing": str(Filters.preprocessing), "grid": "8x8", "resize": "mean", "dtype": "float16",
    }  # fmt: skip
    assert subject.known_tokens(fingerprint) is not None
    assert subject.known_tokens(fingerprint | change) is None


def test_a_backbone_without_fingerprint_is_never_matched():
    class Plain:
        def get_tokens(self, images):
            return Filters().get_tokens(images)

    assert tiny(backbone=Plain()).known_tokens({"grid": "8x8", "resize": "mean", "preprocessing": "x"}) is None


def test_the_backbone_is_used_in_evaluation_mode_and_put_back():
    backbone = Filters().train()
    modes = []
    backbone.register_module("child", nn.Dropout())
    inner = backbone.get_tokens
    backbone.get_tokens = lambda images: modes.append(backbone.child.training) or inner(images)
    tiny(backbone=backbone, n_voxels=10)
    assert set(modes) == {False}
    assert backbone.training
    assert backbone.child.training


def test_overflowing_tokens_are_refused():
    class Loud(Filters):
        def get_tokens(self, images):
            local, global_ = super().get_tokens(images)
            return {k: v * 1e6 for k, v in local.items()}, global_

    with pytest.raises(ValueError, match="beyond 65,504"):
        tiny(backbone=Loud())


def test_bands_of_cortex_cover_the_patch_once(subject):
    rois = subject.space.rois
    assert list(rois) == ["V1", "V2", "V3", "V4", "IT"]
    assert torch.equal(torch.stack(list(rois.values())).sum(0), torch.ones(200, dtype=torch.long))


def test_the_control_keeps_the_truth_but_loses_the_signal(subject):
    control = subject.shuffled(seed=3)
    assert control.truth is subject.truth
    assert control.test_repeats is None
    assert control.noise_ceiling is None
    rows = subject.splits["train"]
    r = [np.corrcoef(control.responses[rows, v], subject.truth.signal[rows, v])[0, 1] for v in range(200)]
    assert np.mean(r) == pytest.approx(0, abs=0.05)  # 200 values of standard error 0.13


def test_too_many_voxels_are_refused():
    with pytest.raises(ValueError, match=r"radius 5 has \d+ vertices, got n_voxels=9999"):
        SimulatedSubject(radius=5, n_voxels=9999)
