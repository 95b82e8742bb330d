"""The cheap convolutions against the plain one, over shapes nobody thought of."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional as F

from brainnet.backbone.convolution import filter_and_pool, filter_spectrum, spectral_convolution


@settings(max_examples=40, derandomize=True)
@given(
    batch=st.integers(1, 3),
    channels=st.integers(1, 3),
    height=st.integers(17, 34),
    width=st.integers(17, 34),
    kernel=st.sampled_from([1, 2, 7, 14, 15]),
    n=st.integers(1, 5),
    seed=st.integers(0, 99),
)
def test_filter_and_pool_is_convolution_then_relu_then_pool(batch, channels, height, width, kernel, n, seed):
    rng = torch.Generator().manual_seed(seed)
    images = torch.randn(batch, channels, height, width, generator=rng)
    bank = torch.randn(n, kernel, kernel, generator=rng)
    plain = F.conv2d(images.flatten(0, 1)[:, None], bank[:, None])
    plain = F.avg_pool2d(plain.relu(), 2).unflatten(0, (batch, channels)).flatten(1, 2)
    for memory in (torch.contiguous_format, torch.channels_last):
        found = filter_and_pool(images, bank, torch.relu_, memory)
        assert found.shape == plain.shape
        assert found.is_contiguous(memory_format=memory)
        torch.testing.assert_close(found, plain, rtol=0, atol=2e-6 * kernel**2)


@settings(max_examples=30, derandomize=True)
@given(
    shape=st.tuples(st.integers(1, 3), st.integers(1, 4), st.integers(7, 20), st.integers(7, 20)),
    kernel=st.integers(1, 7),
    n=st.integers(1, 5),
)
def test_spectral_convolution_is_convolution(shape, kernel, n):
    rng = torch.Generator().manual_seed(0)
    images = torch.randn(shape, generator=rng)
    filters = torch.randn(n, shape[1], kernel, kernel, generator=rng)
    found = spectral_convolution(images, filter_spectrum(filters, shape[2:]), kernel)
    plain = F.conv2d(images.double(), filters.double())
    torch.testing.assert_close(found.double(), plain, rtol=0, atol=1e-5 * float(plain.abs().max()))


def test_inputs_are_untouched(rng):
    images, bank = torch.randn(1, 2, 20, 20, generator=rng), torch.randn(3, 5, 5, generator=rng)
    before = images.clone(), bank.clone()
    filter_and_pool(images, bank, torch.abs_)
    assert torch.equal(images, before[0])
    assert torch.equal(bank, before[1])


def test_numbers_match_in_bf16_to_its_precision(rng):
    images, bank = torch.randn(2, 3, 40, 40, generator=rng), torch.randn(6, 15, 15, generator=rng)
    exact = filter_and_pool(images, bank, torch.relu_)
    coarse = filter_and_pool(images.bfloat16(), bank.bfloat16(), torch.relu_).float()
    assert (coarse - exact).norm() / exact.norm() == pytest.approx(0, abs=2**-7)
