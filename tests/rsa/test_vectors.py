"""RDMs as vectors: centred, of unit length, doubly centred and whitened."""

import pytest
import torch

from brainnet.rsa.pairs import pairs_of, squareform
from brainnet.rsa.vectors import centred, double_centred, u_centred, unit, whitened


def test_rows_are_centred_and_of_length_one(rng):
    values = torch.rand(3, 15, generator=rng, dtype=torch.float64)
    assert centred(values).mean(1).abs().max() < 1e-15
    torch.testing.assert_close(unit(values).norm(dim=1), torch.ones(3).double())
    assert unit(torch.zeros(1, 3)).isnan().all()


def test_double_centring_is_that_of_the_centring_matrix(rng):
    matrix = squareform(torch.rand(1, 15, generator=rng, dtype=torch.float64))
    centring = torch.eye(6, dtype=torch.float64) - 1 / 6
    torch.testing.assert_close(double_centred(matrix), centring @ matrix @ centring)


def test_rows_of_u_centred_matrices_sum_to_zero(rng):
    values = torch.rand(2, 15, generator=rng, dtype=torch.float64)
    assert squareform(u_centred(values)).sum(-1).abs().max() < 1e-12
    with pytest.raises(ValueError, match="at least 4 conditions"):
        u_centred(torch.rand(1, 3, generator=rng))


def test_four_conditions_are_enough_for_u_centring(rng):
    found = u_centred(torch.rand(1, 6, generator=rng, dtype=torch.float64))
    assert squareform(found).sum(-1).abs().max() < 1e-14


def test_whitened_products_are_those_of_the_inverse_covariance(rng):
    n, (rows, columns) = 6, pairs_of(6)
    contrast = torch.zeros(15, n, dtype=torch.float64)
    contrast[torch.arange(15), rows], contrast[torch.arange(15), columns] = 1, -1
    covariance = (contrast @ contrast.T).square()  # of the dissimilarities, under independent noise
    values = torch.rand(2, 15, generator=rng, dtype=torch.float64)
    expected = values @ torch.linalg.inv(covariance) @ values.T
    found = whitened(values) @ whitened(values).T
    torch.testing.assert_close(found / found[0, 0], expected / expected[0, 0])
