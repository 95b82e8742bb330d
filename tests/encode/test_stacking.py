"""Methods mixed by their left-out predictions: an explicit loop, planted weights, what is refused."""

import numpy as np
import pytest
import torch
from scipy.optimize import minimize

from brainnet.dataset import ResponseDataset
from brainnet.encode import encode, find_estimators
from brainnet.encode.reading import Reading
from brainnet.encode.stacking import StackedMethodsCV, mix_of
from brainnet.ridge import BandedRidgeCV, RidgeCV
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
    for voxel in range(3):
        errors = left_out[:, :, voxel] - response[:, voxel].numpy()
        found = minimize(
            lambda s, e=errors: ((s @ e) ** 2).sum(), np.ones(3) / 3, bounds=[(0, 1)] * 3,
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
    weights, r2, _ = mix_of(left_out, response)
    assert weights[:, 0].tolist() == pytest.approx([1, 0], abs=1e-6)
    assert r2[0, 0] == 1


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
    with pytest.raises(ValueError, match="window"):
        find_estimators(["stacked:window+banded"], cv="groups")


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
