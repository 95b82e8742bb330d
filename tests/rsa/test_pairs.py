"""The pairs of a square matrix stand in scipy's order, there and back."""

import numpy as np
import torch
from scipy.spatial.distance import squareform as scipys

from brainnet.rsa.pairs import n_conditions_of, pair_index, pairs_of, squareform, upper_triangle


def test_vectors_and_matrices_are_scipys(rng):
    values = torch.rand(2, 15, generator=rng, dtype=torch.float64)
    matrices = squareform(values)
    for row, matrix in zip(values, matrices, strict=True):
        np.testing.assert_array_equal(matrix, scipys(row.numpy()))
    assert torch.equal(upper_triangle(matrices), values)
    assert (squareform(values, 1.0).diagonal(dim1=1, dim2=2) == 1).all()
    rows, columns = pairs_of(6)
    assert torch.equal(matrices[0, rows, columns], values[0])


def test_pair_index_covers_every_couple():
    n = 7
    square = torch.zeros(n, n, dtype=torch.long)
    rows, columns = torch.triu_indices(n, n, 1)
    square[rows, columns] = square[columns, rows] = torch.arange(n * (n - 1) // 2)
    order = torch.tensor([6, 2, 5, 0])
    i, j = torch.triu_indices(4, 4, 1)
    assert torch.equal(pair_index(order, n), square[order[i], order[j]])


def test_number_of_conditions():
    assert [n_conditions_of(k) for k in (1, 3, 4186, 499500)] == [2, 3, 92, 1000]
