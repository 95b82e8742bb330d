"""Comparisons as inner products: the same similarities, also of permuted conditions."""

import pytest
import torch

from brainnet.rsa import COMPARISONS, RDMs
from brainnet.rsa.products import PRODUCTS, draw_orders, embed, is_product, permuted, similarities


@pytest.mark.parametrize("method", PRODUCTS)
def test_products_of_embedded_rdms_are_the_similarities(rng, method):
    a, b = torch.rand(2, 3, 28, generator=rng, dtype=torch.float64)
    found = similarities(embed(a, method, {}), embed(b, method, {}), method, {})
    torch.testing.assert_close(found, COMPARISONS[method](a, b))


@pytest.mark.parametrize("method", PRODUCTS)
def test_an_embedding_moves_with_the_conditions(rng, method):
    values = torch.rand(2, 28, generator=rng, dtype=torch.float64)
    orders = draw_orders(8, 3, rng)
    moved = embed(permuted(values, orders).flatten(0, 1), method, {})
    torch.testing.assert_close(moved, permuted(embed(values, method, {}), orders).flatten(0, 1))


def test_permuted_rdms_are_those_of_reordered_conditions(rng):
    rdms, orders = RDMs(torch.rand(2, 15, generator=rng)), draw_orders(6, 4, rng)
    for k, order in enumerate(orders):
        assert torch.equal(permuted(rdms.values, orders)[:, k], rdms.reorder(order.tolist()).values)


def test_options_and_other_methods_are_no_products(rng):
    values = torch.rand(2, 15, generator=rng)
    assert not is_product("kendall", {})
    assert not is_product("cka", {"unbiased": False})
    assert embed(values, "kendall", {}) is values


def test_draws_are_seeded_orders_and_their_number_is_checked(rng):
    orders = draw_orders(5, 20, rng)
    assert torch.equal(orders.sort(1).values, torch.arange(5).expand(20, 5))
    assert torch.equal(orders, draw_orders(5, 20, torch.Generator().manual_seed(0)))
    assert draw_orders(5, 0, None).shape == (0, 5)
    with pytest.raises(ValueError, match="n_permutations must be 0 or more, got -3"):
        draw_orders(5, -3, rng)
    with pytest.raises(ValueError, match="generator"):
        draw_orders(5, 3, None)
