"""Methods mixed by their left-out predictions: an explicit loop, planted weights, what is refused."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from brainnet.dataset import ResponseDataset
from brainnet.encode import encode, find_estimators
from brainnet.encode.reading import Reading
from brainnet.encode.stacking import StackedMethodsCV, mix_of
from brainnet.ridge import BandedRidgeCV, RidgeCV, convex_weights
from brainnet.space import BrainSpace
from brainnet.store import TokenStore
from tests.toys import ToyBackbone, toy_dataset


@pytest.fixture
def reading(rng):
    """60 images with two layers; voxels that read one, the other, and both."""
    layers = {name: torch.randn(60, 5, generator=rng, dtype=torch.float64) for name in ("early", "late")}
    signal = [x @ torch.randn(5, 3, generator=rng, dtype=torch.float64) for x in layers.values()]
    response = torch.stack([signal[0][:, 0], signal[1][:, 1], signal[0][:, 2] + signal[1][:, 2]], 1)
    response = response + 0.5 * torch.randn(60, 3, generator=rng, dtype=torch.float64)
    return Reading(layers, ("early", "late"), "flatten", torch.arange(60)), response


def test_it_equals_a_loop_over_folds_and_a_constrained_minimum(reading):
    images, response = reading
    model = StackedMethodsCV({"ridge": RidgeCV([0.1, 1.0]), "banded": BandedRidgeCV(n_iter=3)}, cv=4)
    model.fit(images, response)
    assert model.members_ == ["ridge, early", "ridge, late", "banded"]
    left_out = np.empty((3, 60, 3))
    fits = []
    for member, name in enumerate(["early", "late", None]):
        read = (lambda rows, n=name: images.source[n][rows]) if name else (
            lambda rows: {k: v[rows] for k, v in images.source.items()}
        )  # fmt: skip
        make = (lambda: RidgeCV([0.1, 1.0])) if name else (lambda: BandedRidgeCV(n_iter=3))
        for held in np.array_split(np.arange(60), 4):
            rest = np.setdiff1d(np.arange(60), held)
            left_out[member, held] = make().fit(read(rest), response[rest]).predict(read(held))
        fits.append(make().fit(read(slice(None)), response).predict(read(slice(None))))
    expected = torch.zeros(60, 3, dtype=torch.float64)
    errors = (left_out - response.numpy()) / response.numpy().std(0)
    common = np.einsum("inv,jnv->ij", errors, errors) / 3
    for voxel in range(3):
        products = errors[:, :, voxel] @ errors[:, :, voxel].T + model.pooling_ * common
        found = minimize(
            lambda s, p=products: s @ p @ s, np.ones(3) / 3, bounds=[(0, 1)] * 3,
            constraints={"type": "eq", "fun": lambda s: s.sum() - 1}, method="SLSQP", options={"ftol": 1e-12},
        )  # fmt: skip
        np.testing.assert_allclose(model.weights_[:, voxel], found.x, atol=1e-4)
        expected[:, voxel] = sum(w * fit[:, voxel] for w, fit in zip(model.weights_[:, voxel], fits, strict=True))
    torch.testing.assert_close(model.predict(images).double(), expected, rtol=1e-5, atol=1e-5)


def test_a_method_that_cannot_predict_gets_no_weight(reading):
    images, response = reading
    model = StackedMethodsCV({"ridge": RidgeCV([0.1, 1.0])}).fit(images, response)
    assert model.weights_[0, 0] > 0.95
    assert model.weights_[1, 1] > 0.95
    assert model.weights_[:, 2].min() > 0.2
    torch.testing.assert_close(model.weights_.sum(0), torch.ones(3, dtype=torch.float64))


def test_images_that_no_fold_leaves_out_do_not_count():
    response = torch.arange(6.0)[:, None]
    left_out = torch.full((2, 6, 1), torch.nan)
    left_out[0, :3], left_out[1, :3] = response[:3], 0.0
    mix = mix_of(left_out, response)
    assert mix.weights[:, 0].tolist() == pytest.approx([1, 0], abs=1e-6)
    assert mix.r2[0, 0] == 1


@pytest.mark.parametrize("alike", [True, False])
def test_voxels_speak_for_one_another_where_they_are_alike(rng, alike):
    """Two members with errors of their own; which is better is one thing for all voxels, or each voxel's own."""
    response = torch.randn(400, 40, generator=rng, dtype=torch.float64)
    noise = torch.tensor([0.5, 1.0]).double()[:, None].expand(2, 40).clone()
    if not alike:
        noise[:, 20:] = noise[:, 20:].flip(0)
    left_out = response + noise[:, None] * torch.randn(2, 400, 40, generator=rng, dtype=torch.float64)
    best = noise.pow(-2) / noise.pow(-2).sum(0)
    few = mix_of(left_out[:, :40], response[:40])
    own = convex_weights(torch.einsum("inv,jnv->vij", *[left_out[:, :40] - response[:40]] * 2)).T
    assert few.pooling >= 4 if alike else few.pooling <= 1
    if alike:
        assert (few.weights - best).square().mean() < 0.3 * (own - best).square().mean()
    many = mix_of(left_out, response)
    torch.testing.assert_close(many.weights, best, rtol=0, atol=0.12)


def test_voxels_without_responses_neither_speak_nor_are_spoken_for(rng):
    response = torch.randn(60, 12, generator=rng, dtype=torch.float64)
    left_out = response + torch.randn(2, 60, 12, generator=rng, dtype=torch.float64)
    whole = mix_of(left_out, response)
    response, left_out = torch.cat([response, response[:, :2]], 1), torch.cat([left_out, left_out[:, :, :2]], 2)
    response[3, 12], response[:, 13] = torch.nan, 1.0
    more = mix_of(left_out, response)
    torch.testing.assert_close(more.weights[:, :12], whole.weights)
    assert more.weights[:, 12:].isnan().all()
    assert more.pooling == whole.pooling


@pytest.mark.parametrize("name", ["stacked:window", "stacked:", "stacked:window+windw"])
def test_a_mix_that_is_none_is_refused(name):
    with pytest.raises(ValueError, match="windw|names"):
        find_estimators([name])


def test_groups_are_left_out_by_every_method(reading):
    images, response = reading
    found = find_estimators(["stacked:ridge+banded"], cv="groups")["stacked:ridge+banded"]
    assert {part.cv for part in found.methods.values()} == {"groups"}
    found.methods["banded"].n_iter = 2
    runs = np.repeat(["a", "b", "c"], 20)
    model = found.fit(images, response, groups=runs)
    assert model.predict(images).shape == (60, 3)
    mix = find_estimators(["stacked:window+mixed"], cv="groups")["stacked:window+mixed"]
    assert (mix.cv, {part.cv for part in mix.methods.values()}) == ("groups", {"groups"})


def test_a_grid_takes_a_mix_and_keeps_its_weights(reading, tmp_path):
    images, response = reading
    splits = {"train": range(45), "test": range(45, 60)}
    subject = ResponseDataset([str(i) for i in range(60)], response.float(), BrainSpace.free(3), splits)
    features = {k: v.float() for k, v in images.source.items()}
    methods = ["stacked:ridge+banded", "banded"]
    encoding = encode(features, subject, methods=methods, n_resamples=5, out=tmp_path)
    again = encode(features, subject, methods=methods, n_resamples=5, out=tmp_path)
    [key] = [key for key in encoding.fits if key.method.startswith("stacked")]
    assert encoding.fits[key].details["weights"].shape == (3, 3)
    assert encoding.table.equals(again.table)


def test_a_mix_reads_token_maps():
    subject = toy_dataset(n_images=40)
    store = TokenStore.build(ToyBackbone(), subject, grid=(2, 2), progress=False)
    encoding = encode(store, subject, methods=["stacked:window+banded"], n_resamples=5)
    assert encoding.table["mean"].notna().any()
    with pytest.raises(ValueError, match="stacked:window"):
        encode({"a": np.zeros((len(subject), 2))}, subject, methods=["stacked:window+banded"], n_resamples=5)
