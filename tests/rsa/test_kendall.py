"""Concordance counted by merge sort is that of all couples, with ties of any kind."""

import numpy as np
import pytest
import torch
from scipy.stats import kendalltau

from brainnet.rsa import compare, kendall


def by_hand(a, b):
    rows, columns = torch.triu_indices(len(a), len(a), offset=1)
    return ((a[columns] - a[rows]).sign() * (b[columns] - b[rows]).sign()).sum().item()


@pytest.mark.parametrize("few", [0, 10_000])
@pytest.mark.parametrize("levels", [2, 5, 1000])
def test_couples_are_counted_exactly(rng, monkeypatch, few, levels):
    monkeypatch.setattr(kendall, "FEW_VALUES", few)  # by sorting, or all couples at once
    a, b = (torch.randint(levels, (2, 137), generator=rng).double() for _ in range(2))
    difference, untied_a, untied_b, couples = kendall.concordance(a, b)
    for i in range(2):
        for j in range(2):
            assert difference[i, j] == by_hand(a[i], b[j])
    assert untied_a.tolist() == [abs(by_hand(row, row)) for row in a]
    assert untied_b.tolist() == [abs(by_hand(row, row)) for row in b]
    assert couples == 137 * 136 // 2


def test_tau_b_is_scipys_for_many_pairs(rng):
    a, b = (torch.randint(9, (1, 780), generator=rng).double() for _ in range(2))  # 40 conditions
    expected = kendalltau(a[0].numpy(), b[0].numpy()).statistic
    np.testing.assert_allclose(compare(a, b, "kendall").item(), expected, atol=1e-12)
