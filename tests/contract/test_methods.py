"""One battery for every method of linear encoding: what a loop over ``METHODS`` may rely on."""

from __future__ import annotations

import pytest
import torch

from brainnet.dataset import ArrayDataset
from brainnet.encode import METHODS, encode
from brainnet.store import TokenStore
from tests.contract.test_datasets import Filters

N_IMAGES = 90


@pytest.fixture(scope="module")
def study():
    """Tokens, and responses that are linear in them."""
    generator = torch.Generator().manual_seed(0)
    images = torch.rand(N_IMAGES, 3, 32, 32, generator=generator)
    store = TokenStore.build(Filters(), images, progress=False)
    tokens = store.features("0", "flatten")
    tokens = (tokens - tokens.mean(0)) / tokens.std(0)
    weights = torch.zeros(tokens.shape[1], 6)
    weights[: tokens.shape[1] : 97] = torch.randn(len(weights[::97]), 6, generator=generator)
    responses = tokens @ weights
    noise = 0.1 * responses.std(0) * torch.randn(responses.shape, generator=generator)
    return store, ArrayDataset(images, responses + noise, seed=0)


@pytest.fixture(params=sorted(METHODS))
def encoded(request, study):
    store, data = study
    return lambda: encode(store, data, methods=[request.param], controls=["shuffled"], n_resamples=2, progress=False)


def mean_r(encoding, control: str) -> float:
    table = encoding.table
    rows = table[(table.score == "r") & (table.roi == "all") & (table.control == control) & (table.model != "")]
    return float(rows["mean"].iloc[-1])


def test_it_finds_what_is_there_and_nothing_where_nothing_is(encoded):
    encoding = encoded()
    assert mean_r(encoding, "") > mean_r(encoding, "shuffled") + 0.1
    assert abs(mean_r(encoding, "shuffled")) < 0.25  # 6 voxels, 18 images: the mean's standard error is 0.1


def test_it_gives_the_same_twice(encoded):
    first, second = encoded(), encoded()
    for key, fit in first.fits.items():
        torch.testing.assert_close(fit.predictions["test"], second.fits[key].predictions["test"], rtol=0, atol=0)
