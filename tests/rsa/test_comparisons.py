import numpy as np
import pytest
import torch
from scipy import stats

from brainnet.rsa import COMPARISONS, RDMs, compare, rdm

rsatoolbox = pytest.importorskip("rsatoolbox", reason="the oracle of these numbers is rsatoolbox")
from rsatoolbox.rdm import RDMs as OracleRDMs  # noqa: E402
from rsatoolbox.rdm import compare as oracle_compare  # noqa: E402

N = 14
PAIRS = N * (N - 1) // 2


@pytest.fixture
def vectors(rng):
    """Three and four RDMs with something in common and, rounded to a grid, many ties."""
    common = torch.rand(PAIRS, generator=rng, dtype=torch.float64)
    a, b = (torch.rand(k, PAIRS, generator=rng, dtype=torch.float64) + common for k in (3, 4))
    return (a * 10).round() / 10, (b * 10).round() / 10


def _explicit_covariance(sigma):
    """V = (D S D')^2 of all pairs: what the whitened comparisons avoid to build."""
    contrasts = np.zeros((PAIRS, N))
    rows, columns = np.triu_indices(N, 1)
    contrasts[np.arange(PAIRS), rows], contrasts[np.arange(PAIRS), columns] = 1, -1
    return (contrasts @ sigma @ contrasts.T) ** 2


@pytest.mark.parametrize(
    ("method", "oracle"),
    [
        ("pearson", "corr"),
        ("spearman", "spearman"),
        ("cosine", "cosine"),
        ("kendall", "kendall"),
        ("tau-a", "tau-a"),
        ("rho-a", "rho-a"),
        ("whitened-cosine", "cosine_cov"),
        ("whitened-pearson", "corr_cov"),
    ],
)
def test_comparisons_equal_rsatoolbox(vectors, method, oracle):
    a, b = vectors
    expected = oracle_compare(OracleRDMs(a.numpy()), OracleRDMs(b.numpy()), oracle)
    np.testing.assert_allclose(compare(a, b, method).numpy(), expected, atol=1e-10)


def test_procrustes_equals_bures_similarity(rng):
    a, b = (rdm(torch.randn(k, N, 20, generator=rng, dtype=torch.float64), "sqeuclidean") for k in (2, 3))
    expected = oracle_compare(OracleRDMs(a.values.numpy()), OracleRDMs(b.values.numpy()), "bures")
    np.testing.assert_allclose(compare(a, b, "procrustes").numpy(), expected, atol=1e-7)  # roots of rounded zeros


def test_comparisons_equal_scipy(vectors):
    a, b = vectors
    for method, reference in (
        ("pearson", stats.pearsonr),
        ("spearman", stats.spearmanr),
        ("kendall", stats.kendalltau),
    ):
        expected = [[reference(x, y).statistic for y in b.numpy()] for x in a.numpy()]
        np.testing.assert_allclose(compare(a, b, method).numpy(), expected, atol=1e-12)


@pytest.mark.parametrize("n_pairs", [3, 66, 2016, 4950])
def test_kendall_counts_across_merges_of_every_size(rng, n_pairs):
    a, b = (torch.rand(1, n_pairs, generator=rng, dtype=torch.float64) for _ in range(2))
    a, b = a.mul(20).round(), (b + a).mul(30).round()
    expected = stats.kendalltau(a[0].numpy(), b[0].numpy()).statistic
    assert compare(a, b, "kendall").item() == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("form", ["full", "diagonal"])
@pytest.mark.parametrize("method", ["whitened-cosine", "whitened-pearson"])
def test_whitening_equals_the_explicit_inverse(vectors, rng, form, method):
    a, b = vectors
    root = torch.randn(N, 2 * N, generator=rng, dtype=torch.float64)
    sigma = root @ root.T if form == "full" else torch.rand(N, generator=rng, dtype=torch.float64) + 0.5
    inverse = np.linalg.inv(_explicit_covariance(sigma.numpy() if form == "full" else np.diag(sigma.numpy())))
    x, y = a.numpy(), b.numpy()
    if method == "whitened-pearson":
        x, y = x - x.mean(1, keepdims=True), y - y.mean(1, keepdims=True)
    lengths = [np.sqrt(np.einsum("ij,jk,ik->i", v, inverse, v)) for v in (x, y)]
    expected = x @ inverse @ y.T / np.outer(*lengths)
    np.testing.assert_allclose(compare(a, b, method, noise_covariance=sigma).numpy(), expected, rtol=1e-8)
    if form == "full":  # the oracle's conjugate gradients stop at about 1e-5
        oracle = oracle_compare(
            OracleRDMs(a.numpy()),
            OracleRDMs(b.numpy()),
            {"whitened-cosine": "cosine_cov"}.get(method, "corr_cov"),
            sigma.numpy(),
        )
        np.testing.assert_allclose(expected, oracle, rtol=2e-3)


def test_every_comparison_is_largest_for_the_same_rdm(rng):
    features = torch.randn(3, N, 40, generator=rng, dtype=torch.float64)
    for method in COMPARISONS:
        rdms = rdm(features, "euclidean" if method == "distance-correlation" else "sqeuclidean")
        similarity = compare(rdms, rdms, method)
        assert similarity.shape == (3, 3)
        off_diagonal = similarity[~torch.eye(3, dtype=torch.bool)]
        assert (similarity.diagonal()[:, None] > off_diagonal).all(), method
        torch.testing.assert_close(similarity, similarity.T, msg=method)


def test_regression_gives_no_credit_for_the_opposite(vectors):
    a, b = vectors
    r = compare(a, b, "pearson")
    torch.testing.assert_close(compare(a, b, "regression"), r.square())
    assert (compare(-a, b, "regression") == 0).all()


def test_conditions_are_matched_by_name(rng):
    names = [f"im{i}" for i in range(N)]
    a = RDMs(torch.rand(2, PAIRS, generator=rng), conditions=names)
    b = a.reorder(names[::-1])
    with pytest.raises(ValueError, match="align=True"):
        compare(a, b)
    torch.testing.assert_close(compare(a, b, align=True).diagonal(), torch.ones(2))
    with pytest.raises(ValueError, match="only the first has"):
        compare(a, RDMs(b.values, conditions=[f"x{i}" for i in range(N)]), align=True)


def test_square_matrices_vectors_and_objects_are_the_same_input(vectors):
    a, b = vectors
    expected = compare(RDMs(a), RDMs(b))
    torch.testing.assert_close(compare(RDMs(a).to_square(), b.numpy()), expected)


def test_nan_is_refused_by_name_or_left_out(vectors):
    a, b = vectors
    holed = RDMs(a).to_square()
    holed[1, 4, :] = holed[1, :, 4] = torch.nan
    with pytest.raises(ValueError, match=r"13 of 91 pairs are NaN \(in RDM '1'; all pairs with: 'row 4'\)"):
        compare(holed, b)
    keep = [i for i in range(N) if i != 4]
    torch.testing.assert_close(compare(holed, b, nan="omit"), compare(RDMs(a).subset(keep), RDMs(b).subset(keep)))
    with pytest.raises(ValueError, match="needs every pair"):
        compare(holed, b, "cka", nan="omit")


def test_a_constant_rdm_is_named(vectors):
    a, b = vectors
    a = a.clone()
    a[1] = 0.3
    with pytest.warns(UserWarning, match="spearman is undefined for 4 of 12 couples.*'1' of the first set"):
        found = compare(a, b)
    assert found[1].isnan().all()
    assert not found[[0, 2]].isnan().any()


def test_two_conditions_and_unknown_methods_are_refused(vectors):
    with pytest.raises(ValueError, match="single pair"):
        compare(torch.rand(2, 1), torch.rand(2, 1))
    with pytest.raises(ValueError, match="Did you mean 'spearman'"):
        compare(*vectors, "spearmann")
    with pytest.raises(ValueError, match=r"noise_covariance must be \(14, 14\)"):
        compare(*vectors, "whitened-cosine", noise_covariance=torch.eye(3))
    with pytest.raises(ValueError, match="positive definite"):
        compare(*vectors, "whitened-cosine", noise_covariance=torch.zeros(N))


def test_plain_distances_where_squared_ones_are_meant_warn(rng):
    rdms = rdm(torch.randn(2, N, 40, generator=rng), "euclidean")
    with pytest.warns(UserWarning, match="'cka' takes squared .* got 'euclidean'"):
        compare(rdms, rdms, "cka")
