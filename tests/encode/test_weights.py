"""Kept weights predict what the estimator predicts, also where features have a large offset."""

from __future__ import annotations

import pytest
import torch

from brainnet.encode import predict_with, weights_of
from brainnet.ridge import BandedRidgeCV, RidgeCV, StackedRegressionCV


@pytest.fixture
def data():
    generator = torch.Generator().manual_seed(0)
    spaces = {"a": torch.randn(50, 4, generator=generator) + 1e4, "b": torch.randn(50, 90, generator=generator) * 100}
    y = (spaces["a"] - 1e4) @ torch.randn(4, 3, generator=generator) + torch.randn(50, 3, generator=generator)
    y[3, 1] = torch.nan
    return spaces, y


@pytest.mark.parametrize("estimator", [RidgeCV(), RidgeCV(standardize=True), RidgeCV(fit_intercept=False)])
@pytest.mark.parametrize("layer", ["a", "b"])
def test_weights_of_one_layer(data, estimator, layer):
    spaces, y = data
    x = spaces[layer]
    estimator.fit(x[:40], y[:40])
    weights = weights_of(estimator, x[:40], (layer,))
    found, expected = predict_with(weights, (layer,), {layer: x[40:]}), estimator.predict(x[40:])
    torch.testing.assert_close(found, expected, rtol=1e-4, atol=3e-3, equal_nan=True)  # 1e4 in float32 has 1e-3
    assert found[:, 1].isnan().all()


@pytest.mark.parametrize("estimator", [BandedRidgeCV(n_iter=5), StackedRegressionCV()])
def test_weights_of_several_layers(data, estimator):
    spaces, y = data
    train, test = ({name: x[part] for name, x in spaces.items()} for part in (slice(40), slice(40, None)))
    estimator.fit(train, y[:40])
    weights = weights_of(estimator, train, ("a", "b"))
    found = predict_with(weights, ("a", "b"), test)
    torch.testing.assert_close(found, estimator.predict(test), rtol=1e-4, atol=3e-3, equal_nan=True)
    with pytest.raises(ValueError, match="'a' has 3 features and the weights are of 4"):
        predict_with(weights, ("a", "b"), {"a": test["a"][:, 1:], "b": test["b"]})


def test_what_is_not_linear_has_no_weights(data):
    spaces, y = data

    class Bent(RidgeCV):
        def predict(self, X):
            return super().predict(X) ** 2

    class Silent:
        def predict(self, X):
            return X[:, :1]

    x = spaces["b"]
    assert weights_of(Bent().fit(x, y), x, ("b",)) is None
    assert weights_of(Silent(), x, ("b",)) is None
