import os
import subprocess
import sys
import warnings

import numpy as np
import pytest
import torch
from scipy.spatial.distance import pdist

from brainnet.rsa import DISTANCES, rdm, shrinkage_covariance
from brainnet.rsa.distances import without_rounding

rsatoolbox = pytest.importorskip("rsatoolbox", reason="the oracle of these numbers is rsatoolbox")
from rsatoolbox.data import Dataset  # noqa: E402
from rsatoolbox.data.noise import cov_from_residuals  # noqa: E402
from rsatoolbox.rdm import calc_rdm  # noqa: E402

EXACT = {"rtol": 0, "atol": 1e-10}


@pytest.fixture
def patterns(rng):
    return torch.randn(14, 30, generator=rng, dtype=torch.float64)


@pytest.fixture
def precision(rng):
    root = torch.randn(30, 60, generator=rng, dtype=torch.float64)
    return torch.linalg.inv(root @ root.T / 60)


def _oracle(patterns, method, **options):
    return torch.from_numpy(calc_rdm(Dataset(patterns.numpy()), method=method, **options).dissimilarities[0])


@pytest.mark.parametrize(
    ("metric", "options", "scipy_name"),
    [
        ("correlation", {}, "correlation"),
        ("cosine", {}, "cosine"),
        ("euclidean", {}, "euclidean"),
        ("sqeuclidean", {}, "sqeuclidean"),
        ("manhattan", {}, "cityblock"),
    ],
)
def test_distances_equal_scipy(patterns, metric, options, scipy_name):
    expected = torch.from_numpy(pdist(patterns.numpy(), scipy_name))
    torch.testing.assert_close(rdm(patterns, metric, **options).values[0], expected, **EXACT)


def test_distances_equal_rsatoolbox(patterns, precision):
    covariance = torch.linalg.inv(precision)
    for metric, options, oracle, oracle_options in (
        ("correlation", {}, "correlation", {}),
        ("sqeuclidean", {"per_channel": True}, "euclidean", {}),
        ("mahalanobis", {"noise_covariance": covariance}, "mahalanobis", {"noise": precision.numpy()}),
    ):
        expected = _oracle(patterns, oracle, **oracle_options)
        torch.testing.assert_close(rdm(patterns, metric, **options).values[0], expected, **EXACT)
    rates = patterns.abs() * 5
    torch.testing.assert_close(rdm(rates, "poisson").values[0], _oracle(rates, "poisson"), **EXACT)


def test_mahalanobis_equals_scipy(patterns, precision):
    expected = pdist(patterns.numpy(), "mahalanobis", VI=precision.numpy()) ** 2
    values = rdm(patterns, "mahalanobis", noise_covariance=torch.linalg.inv(precision), per_channel=False).values[0]
    np.testing.assert_allclose(values.numpy(), expected, atol=1e-9)


def test_gaussian_equals_its_definition(patterns):
    squared = torch.cdist(patterns, patterns).square()
    expected = 1 - torch.exp(-squared / squared.mean())
    torch.testing.assert_close(
        rdm(patterns, "gaussian").to_square()[0].fill_diagonal_(0), expected.fill_diagonal_(0), **EXACT
    )


def test_crossnobis_equals_rsatoolbox_and_the_sum_over_pairs_of_runs(rng, precision):
    observations = torch.randn(3 * 8, 30, generator=rng, dtype=torch.float64)
    labels, runs = np.tile(np.arange(8), 3), np.repeat([0, 1, 2], 8)
    data = Dataset(observations.numpy(), obs_descriptors={"conds": labels, "runs": runs})
    expected = calc_rdm(data, method="crossnobis", descriptor="conds", cv_descriptor="runs", noise=precision.numpy())
    covariance = torch.linalg.inv(precision)
    found = rdm(observations, "crossnobis", labels=labels, runs=runs, noise_covariance=covariance)
    torch.testing.assert_close(found.values[0], torch.from_numpy(expected.dissimilarities[0]), **EXACT)
    by_run = rdm(observations.view(3, 8, 30), "crossnobis", noise_covariance=covariance)
    torch.testing.assert_close(by_run.values, found.values, **EXACT)
    difference = observations.view(3, 8, 30)[:, 2] - observations.view(3, 8, 30)[:, 5]
    pairs = [difference[r] @ precision @ difference[s] / 30 for r in range(3) for s in range(3) if r != s]
    assert found.to_square()[0, 2, 5].item() == pytest.approx(sum(pairs).item() / 6, abs=1e-10)


def test_crossnobis_of_noise_is_zero_on_average_and_may_be_negative(rng):
    noise = torch.randn(400, 4, 6, 20, generator=rng)
    values = rdm(noise, "crossnobis").values
    assert abs(values.mean().item()) < 4 * values.mean(1).std().item() / 20  # 4 standard errors over 400 simulations
    assert (values < 0).float().mean() > 0.3


@pytest.mark.parametrize("n_residuals", [3, 25])
@pytest.mark.parametrize("target", ["diagonal", "identity"])
def test_shrinkage_equals_rsatoolbox(rng, target, n_residuals):
    residuals = torch.randn(n_residuals, 12, generator=rng, dtype=torch.float64) @ torch.randn(
        12, 12, generator=rng, dtype=torch.float64
    )
    method = {"diagonal": "shrinkage_diag", "identity": "shrinkage_eye"}[target]
    expected = cov_from_residuals((residuals - residuals.mean(0)).numpy(), method=method)
    np.testing.assert_allclose(shrinkage_covariance(residuals, target).numpy(), expected, atol=1e-10)


def test_independent_features_are_shrunk_to_their_variances_and_no_further(rng):
    for _ in range(8):  # the estimated weight exceeds 1 in about half of these
        residuals = torch.randn(30, 5, generator=rng, dtype=torch.float64)
        expected = cov_from_residuals((residuals - residuals.mean(0)).numpy(), method="shrinkage_diag")
        np.testing.assert_allclose(shrinkage_covariance(residuals).numpy(), expected, atol=1e-10)


def test_residuals_stand_in_for_the_covariance(patterns, rng):
    residuals = torch.randn(50, 30, generator=rng, dtype=torch.float64)
    covariance = shrinkage_covariance(residuals)
    torch.testing.assert_close(
        rdm(patterns, "mahalanobis", residuals=residuals).values,
        rdm(patterns, "mahalanobis", noise_covariance=covariance).values,
    )


@pytest.mark.parametrize(
    "metric", ["correlation", "cosine", "euclidean", "sqeuclidean", "manhattan", "gaussian", "poisson"]
)
def test_several_rdms_at_once_equal_single_ones(rng, metric):
    movie = torch.rand(3, 300, 20, generator=rng, dtype=torch.float64)  # 300 conditions: more than one band of rows
    together = rdm(movie, metric)
    for t in range(3):
        torch.testing.assert_close(together.values[t], rdm(movie[t], metric).values[0], **EXACT)


def test_repeats_are_averaged_and_conditions_sorted(rng):
    observations = torch.randn(9, 5, generator=rng)
    labels = np.array(["b", "a", "c"] * 3)
    found = rdm(observations, "euclidean", labels=labels)
    means = torch.stack([observations[torch.from_numpy(labels == c)].mean(0) for c in "abc"])
    torch.testing.assert_close(found.values, rdm(means, "euclidean").values)
    assert found.conditions == ("a", "b", "c")


def test_tokens_are_pooled(rng):
    tokens = torch.randn(6, 4, 3, 7, generator=rng)
    for pool, expected in (
        ("mean", tokens.mean((1, 2))),
        ("max", tokens.amax((1, 2))),
        ("first", tokens[:, 0, 0]),
        ("last", tokens[:, -1, -1]),
        ("flatten", tokens.reshape(6, -1)),
    ):
        torch.testing.assert_close(rdm(tokens, pool=pool).values, rdm(expected).values)


def test_correlation_ignores_gain_and_offset_of_each_pattern(patterns, rng):
    gain, offset = torch.rand(14, 1, generator=rng).double() + 0.5, torch.randn(14, 1, generator=rng).double() * 10
    torch.testing.assert_close(rdm(patterns * gain + offset).values, rdm(patterns).values)


def test_euclidean_ignores_rotation_and_shift(patterns, rng):
    rotation = torch.linalg.qr(torch.randn(30, 30, generator=rng, dtype=torch.float64)).Q
    shift = torch.randn(30, generator=rng, dtype=torch.float64) * 100
    torch.testing.assert_close(rdm(patterns @ rotation + shift, "euclidean").values, rdm(patterns, "euclidean").values)


@pytest.mark.parametrize("metric", ["correlation", "euclidean", "sqeuclidean", "gaussian"])
def test_an_offset_costs_no_digits_in_single_precision(rng, metric):
    base = torch.randn(20, 200, generator=rng, dtype=torch.float64)
    offset = (base + 1000).float()  # what is left of the patterns after storage in float32
    expected = rdm(offset.double(), metric).values
    torch.testing.assert_close(rdm(offset, metric).values.double(), expected, rtol=2e-5, atol=1e-6)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("shape", [(3, 14, 30), (2, 200, 1100)])  # one band and one slice; several of both
def test_both_ways_of_taking_products_are_exact(rng, dtype, shape):
    """BLAS's product of a matrix with its transpose on a CPU; bands elsewhere and where gradients are wanted."""
    x = (torch.randn(shape, generator=rng, dtype=torch.float64) + 100 * torch.arange(shape[1])[:, None]).to(dtype)
    expected = torch.stack([torch.from_numpy(pdist(one, "correlation")) for one in x.double().numpy()])
    within = {"rtol": 0, "atol": 1e-12} if dtype == torch.float64 else {"rtol": 0, "atol": 5e-5}  # x is stored to 1e-3
    for way in (x, x.mT.contiguous().mT, x.clone().requires_grad_()):
        torch.testing.assert_close(rdm(way).values.detach().double(), expected, **within)
    rdm(way).values.sum().backward()
    assert way.grad.isfinite().all()


def test_nearly_equal_patterns_far_from_the_others_keep_their_distance(rng):
    x = torch.randn(10, 50, generator=rng) * 100
    x[1] = x[0] + 1e-3 * torch.randn(50, generator=rng)
    x[9] = x[8]
    found = rdm(x, "sqeuclidean").to_square()[0]
    assert found[0, 1].item() == pytest.approx((x[0] - x[1]).double().square().sum().item(), rel=1e-4)
    assert found[8, 9].item() == 0


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_what_rounding_leaves_of_zero_is_zero_and_more_stays(dtype):
    eps = torch.finfo(dtype).eps
    found = without_rounding(torch.tensor([-3 * eps, eps, 8 * eps, 9 * eps, 1.0, 2 + 4 * eps], dtype=dtype))
    assert found.tolist() == [0, 0, 0, 9 * eps, 1, 2]


def test_constant_patterns_are_nan_and_named():
    x = torch.rand(5, 7, dtype=torch.float64)
    x[3] = 0.1
    with pytest.warns(UserWarning, match="constant patterns; pairs with 'grey' are NaN"):
        found = rdm(x, conditions=["a", "b", "c", "grey", "d"])
    square = found.to_square()[0]
    assert square[3, [0, 1, 2, 4]].isnan().all()
    assert not square[:3, :3].isnan().any()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        rdm(x, "euclidean")


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.int64, torch.float32, torch.float64])
def test_dtype_follows_the_input(dtype):
    x = (torch.arange(24).reshape(4, 6) % 7).to(dtype)
    assert rdm(x).values.dtype == (torch.float64 if dtype == torch.float64 else torch.float32)


@pytest.mark.parametrize(
    "metric", ["correlation", "cosine", "euclidean", "sqeuclidean", "manhattan", "gaussian", "poisson"]
)
def test_blocks_of_features_add_up_to_the_whole(rng, metric):
    x = torch.rand(11, 50, generator=rng, dtype=torch.float64)
    blocks = (x[:, i : i + 7] for i in range(0, 50, 7))
    torch.testing.assert_close(rdm(blocks, metric).values, rdm(x, metric).values, **EXACT)


def test_streamed_correlation_survives_an_offset_that_drifts(rng):
    base = torch.randn(8, 4000, generator=rng)
    drift = (base + 1000 + torch.linspace(0, 50, 4000)).float()
    blocks = (drift[:, i : i + 500] for i in range(0, 4000, 500))
    torch.testing.assert_close(rdm(blocks).values.double(), rdm(drift.double()).values, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize(
    ("features", "metric", "options", "message"),
    [
        (torch.tensor([[1.0, 2.0], [torch.nan, 1.0]]), "correlation", {}, "NaN or infinite for .row 1"),
        (torch.tensor([[1.0, 2.0], [torch.inf, 1.0]]), "correlation", {"conditions": ["a", "b"]}, "for 'b'"),
        (torch.rand(1, 5), "correlation", {}, "at least 2 conditions, got 1"),
        (torch.rand(4, 3, 5, 5), "correlation", {}, "pool='flatten'"),
        (torch.rand(4, 5), "correlation", {"conditions": ["a"] * 4}, "named twice"),
        (torch.rand(4, 5), "correlation", {"conditions": ["a"]}, "1 condition names for 4"),
        (torch.rand(4, 5) - 1, "poisson", {}, "rates >= 0"),
        (torch.rand(4, 5), "mahalanobis", {}, "needs the noise"),
        (torch.rand(4, 5), "mahalanobis", {"noise_covariance": torch.eye(4)}, "4, 4.*5 features"),
        (torch.rand(4, 5), "mahalanobis", {"noise_covariance": torch.zeros(5, 5)}, "not positive definite"),
        (torch.rand(1, 4, 5), "crossnobis", {}, "at least 2"),
        (torch.rand(4, 5), "crossnobis", {"labels": [0, 1, 0, 1]}, "give runs="),
        (torch.rand(4, 5), "crossnobis", {"labels": [0, 1, 0, 2], "runs": [0, 0, 1, 1]}, "every run must hold"),
        (torch.rand(4, 5), "correlation", {"runs": [0, 1, 0, 1]}, "needs labels"),
        (np.array([["a", "b"]], dtype=object), "correlation", {}, "dtype object"),
        (torch.rand(4, 5), "correlaton", {}, "Did you mean 'correlation'"),
        (iter([torch.rand(3, 2), torch.rand(4, 2)]), "cosine", {}, "blocks must be .3, some features"),
        (iter([]), "cosine", {}, "no blocks"),
        (iter([torch.rand(3, 2)]), "mahalanobis", {}, "needs all features at once"),
    ],
)
def test_bad_input_gets_one_clear_line(features, metric, options, message):
    with pytest.raises((ValueError, TypeError), match=message):
        rdm(features, metric, **options)


TWO_THREADS = """
import time
import torch
from brainnet.rsa import rdm
patterns = torch.randn(100, 20000, generator=torch.Generator().manual_seed(0))
def taken(threads):
    torch.set_num_threads(threads)
    times = []
    for _ in range(5):
        began = time.process_time()
        values = rdm(patterns).values
        times.append(time.process_time() - began)
    return min(times), values
(two, one) = (taken(2), taken(1))
print(two[0] / one[0], torch.equal(two[1], one[1]))
"""


def test_two_threads_do_not_wait_for_each_other():
    """Where torch and BLAS took turns, each with threads that wait awake, a hundred patterns took a hundred times."""
    done = subprocess.run([sys.executable, "-c", TWO_THREADS], env={**os.environ, "OMP_NUM_THREADS": "2"}, text=True,
                          capture_output=True, check=True)  # fmt: skip
    times, same = done.stdout.split()
    assert float(times) < 10
    assert same == "True"


def test_every_metric_leaves_its_input_alone(rng):
    for name in DISTANCES:
        if name in ("crossnobis", "mahalanobis", "decoding"):
            continue
        x = torch.rand(5, 6, generator=rng)
        before = x.clone()
        rdm(x, name)
        assert torch.equal(x, before), name
