import itertools

import numpy as np
import pytest
import torch
from scipy import stats

from brainnet.rsa import compare, evaluate, rdm
from brainnet.rsa.inference.significance import (
    Null,
    corrected,
    holm,
    p_values,
    permutation_null,
    sign_flip_null,
    t_test,
)
from brainnet.rsa.products import permuted

N = 8


@pytest.fixture
def rdms(rng):
    models = rdm(torch.randn(3, N, 20, generator=rng, dtype=torch.float64), "sqeuclidean")
    return models, [rdm(torch.randn(4, N, 20, generator=rng, dtype=torch.float64), "sqeuclidean") for _ in range(2)]


@pytest.mark.parametrize("method", ["spearman", "pearson", "whitened-cosine", "cka", "tau-a", "procrustes"])
@pytest.mark.parametrize("n_cells", [1, 2])
def test_permuted_scores_equal_comparisons_of_permuted_matrices(rdms, method, n_cells):
    models, cells = rdms
    models, cells = (models if n_cells == 1 else models[0]), cells[:n_cells]
    null = permutation_null(models.values, [c.values for c in cells], method, 300, torch.Generator().manual_seed(0))
    orders = [torch.randperm(N, generator=torch.Generator().manual_seed(0))]
    for c, cell in enumerate(cells):
        torch.testing.assert_close(null.observed[c], compare(models, cell, method).mean(1))
    order = orders[0].tolist()
    if n_cells == 1 and method not in ("tau-a", "procrustes"):  # one group RDM is cheaper to permute than three models
        expected = compare(models, cells[0].reorder(order), method).mean(1)[None]
    else:
        expected = torch.stack([compare(models.reorder(order), cell, method).mean(1) for cell in cells])
    torch.testing.assert_close(null.chance[0], expected)


def test_rows_and_columns_move_together(rdms):
    models, _ = rdms
    order = torch.tensor([[3, 1, 7, 0, 2, 6, 5, 4]])
    square = models.to_square()[:, order[0]][:, :, order[0]]
    rows, columns = torch.triu_indices(N, N, 1)
    assert torch.equal(permuted(models.values, order)[:, 0], square[:, rows, columns])


def test_sign_flips_equal_scipys_permutation_test(rng):
    scores = torch.randn(2, 6, generator=rng, dtype=torch.float64) + 0.4
    null = sign_flip_null(scores, 10_000, torch.Generator())
    assert null.exhaustive
    for alternative in ("greater", "two-sided"):
        expected = [
            stats.permutation_test(
                (row,), np.mean, permutation_type="samples", n_resamples=np.inf, alternative=alternative
            ).pvalue
            for row in scores.numpy()
        ]
        np.testing.assert_allclose(p_values(null, alternative).numpy(), expected, atol=1e-12)


def test_drawn_sign_flips_agree_with_all_of_them(rng):
    scores = torch.randn(12, generator=rng, dtype=torch.float64) + 0.3
    every = p_values(sign_flip_null(scores, 4096, torch.Generator()))
    some = p_values(sign_flip_null(scores, 4000, torch.Generator().manual_seed(0)))
    assert abs(every - some) < 4 * (every * (1 - every) / 4000).sqrt()


def test_maximum_statistic_by_hand():
    chance = torch.tensor([[0.0, 10.0], [1.0, -10.0], [-1.0, 0.0]], dtype=torch.float64)
    null = Null(torch.tensor([2.0, 15.0], dtype=torch.float64), chance, exhaustive=False)
    # standardised with the observed among the rest: observed 1.16 and 1.01; maxima over cells .56, .39, -.34
    assert p_values(null, family=True).tolist() == [0.25, 0.25]
    nearer = Null(torch.tensor([0.5, 15.0], dtype=torch.float64), chance, exhaustive=False)
    assert p_values(nearer, family=True).tolist() == [0.75, 0.5]  # observed .44 and 1.01; maxima .56, 1.02, -.34


def test_maximum_statistic_is_exact_for_few_permutations():
    """Every one of the observed and its permutations may be the observed: the least p comes up once in five."""
    statistics = torch.randn(4000, 5, 9, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    found = [p_values(Null(one[0], one[1:], exhaustive=False), family=True).min() for one in statistics]
    assert abs((torch.stack(found) <= 0.2).double().mean() - 0.2) < 3 * (0.2 * 0.8 / 4000) ** 0.5


def test_maximum_statistic_is_stricter_than_single_tests_and_milder_than_holm(rng):
    common = torch.randn(10, generator=rng, dtype=torch.float64)
    scores = common + 0.3 * torch.randn(20, 10, generator=rng, dtype=torch.float64) + 0.7  # alike, as layers are
    null = sign_flip_null(scores, 1024, torch.Generator())
    single = p_values(null)
    family = p_values(null, family=True)
    assert (family >= single).all()
    assert family.mean() < holm(single).mean()


def test_holm_equals_a_loop(rng):
    p = torch.rand(9, generator=rng, dtype=torch.float64) * 0.1
    p[4] = torch.nan
    known = sorted((v, i) for i, v in enumerate(p.tolist()) if v == v)
    expected, running = {}, 0.0
    for k, (value, i) in enumerate(known):
        running = max(running, min(1.0, (len(known) - k) * value))
        expected[i] = running
    found = holm(p)
    assert found[4].isnan()
    assert [found[i].item() for i in expected] == pytest.approx(list(expected.values()))
    assert holm([]).tolist() == []


def test_t_test_equals_scipy(rng):
    x = torch.randn(9, generator=rng, dtype=torch.float64) + 0.5
    for alternative in ("greater", "two-sided"):
        expected = stats.ttest_1samp(x.numpy(), 0, alternative=alternative).pvalue
        assert t_test(x.mean(), x.std() / 3, 8, alternative).item() == pytest.approx(expected, abs=1e-12)
    assert t_test(torch.tensor([1.0]), torch.tensor([0.0]), 5).isnan()


def test_a_permutation_that_changes_nothing_counts_against():
    null = Null(torch.tensor([0.3]), torch.tensor([[0.3]] * 9), exhaustive=False)
    assert p_values(null).item() == 1


def test_p_from_permutations_find_the_planted_model_after_correction(rng):
    truth = torch.randn(12, 30, generator=rng, dtype=torch.float64)
    others = torch.randn(4, 12, 30, generator=rng, dtype=torch.float64)
    models = rdm(torch.cat([truth[None], others]))
    subjects = rdm(truth + torch.randn(8, 12, 30, generator=rng, dtype=torch.float64))
    for test, correction in itertools.product(("permutation", "sign-flip"), ("max", "holm", "fdr")):
        table = evaluate(
            models, subjects, generalise="subjects", test=test, correction=correction, n_permutations=999
        ).table
        assert table.p_corrected[0] < 0.05, (test, correction)
        assert (table.p_corrected >= table.p - 1e-12).all(), (test, correction)


def test_exchangeability_is_asked_for(rdms):
    models, cells = rdms
    with pytest.raises(ValueError, match="not exchangeable"):
        permutation_null(
            models.values, [cells[0].values], "whitened-cosine", 5, torch.Generator(), noise_covariance=torch.eye(N)
        )
    with pytest.raises(ValueError, match="needs permuted statistics"):
        corrected(torch.tensor([0.1]), "max")
