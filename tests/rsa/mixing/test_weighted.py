"""Weighted RSA: planted weights come back, noise gains nothing from flexibility, and the test holds its level."""

import numpy as np
import pytest
import torch
from scipy.optimize import nnls
from scipy.stats import pearsonr, spearmanr, zscore

from brainnet.rsa import RDMs, feature_rdms, rdm, weighted_rsa
from brainnet.rsa.mixing.fitting import condition_splits, p_value
from brainnet.rsa.pairs import pair_index

N, PAIRS = 18, 153


@pytest.fixture
def planted(rng):
    """Four components, of which two make up five subjects' RDMs 3 : 1."""
    components = RDMs(torch.rand(4, PAIRS, generator=rng, dtype=torch.float64), names=tuple("abcd"))
    truth = torch.tensor([3.0, 0.0, 1.0, 0.0]).double()
    noise = torch.rand(5, PAIRS, generator=rng, dtype=torch.float64)
    return components, RDMs(truth @ components.values + noise), truth


@pytest.mark.parametrize("weights", ["nonnegative", "ridge", "ols"])
def test_planted_weights_come_back(planted, rng, weights):
    components, subjects, truth = planted
    found = weighted_rsa(components, subjects, weights=weights, generator=rng)
    assert (found.weights / found.weights.sum() - truth / 4).abs().max() < 0.06
    assert found.mean > found.unweighted.mean() + 0.2
    assert found.mean > found.ceiling.lower - 0.02  # a model of the truth reaches the ceiling
    assert found.mean < found.ceiling.upper


@pytest.mark.parametrize("method", ["pearson", "spearman"])
def test_scores_are_those_of_a_loop_over_scipy(planted, rng, method):
    components, subjects, _ = planted
    state = rng.get_state()
    found = weighted_rsa(components, subjects, method=method, n_folds=2, n_repeats=2, generator=rng)
    x, y = (zscore(rdms.values.numpy(), axis=1) for rdms in (components, subjects))
    correlate = {"pearson": pearsonr, "spearman": spearmanr}[method]
    scores = []
    for split in condition_splits(N, 2, 2, rng.set_state(state)):
        train, test = (pair_index(part, N).numpy() for part in (split.train, split.test))
        for s in range(5):
            other = np.delete(y, s, axis=0).mean(0)
            centre = x[:, train].mean(1)
            w = nnls((x[:, train] - centre[:, None]).T, other[train] - other[train].mean())[0]
            scores.append(correlate(w @ x[:, test], y[s, test])[0])
    np.testing.assert_allclose(found.score, np.reshape(scores, (4, 5)).mean(0), atol=1e-7)


def test_reweighted_features_beat_equal_ones(rng):
    features = torch.randn(24, 30, generator=rng)
    gain = torch.zeros(30)
    gain[:4] = 1.0
    brains = RDMs(torch.cat([rdm(features * gain + 0.1 * torch.randn(24, 30, generator=rng), "sqeuclidean").values
                             for _ in range(4)]))  # fmt: skip
    parts = feature_rdms(features)
    found = weighted_rsa(parts, brains, weights="ridge", generator=rng, n_repeats=1)
    assert found.mean > found.unweighted.mean() + 0.2
    assert found.weights[:4].min() > 3 * found.weights[4:].abs().max()


def test_sum_of_feature_rdms_is_the_squared_distance(rng):
    features = torch.randn(7, 5, generator=rng, dtype=torch.float64)
    features[:, 3] = 2.0
    parts = feature_rdms(features)
    assert parts.names == ("0", "1", "2", "4")
    scaled = features[:, [0, 1, 2, 4]] / features[:, [0, 1, 2, 4]].std(0)
    torch.testing.assert_close(parts.values.sum(0), rdm(scaled, "sqeuclidean").values[0])


def test_flexible_weights_gain_nothing_on_noise(rng):
    """In-sample, 12 components would explain noise; held-out conditions and subjects give nothing away."""
    means = []
    for _ in range(20):
        components, subjects = torch.rand(12, PAIRS, generator=rng), torch.rand(6, PAIRS, generator=rng)
        found = weighted_rsa(components, subjects, weights="ols", generator=rng, n_repeats=1)
        means.append(found.mean)
    assert abs(np.mean(means)) < 3 * np.std(means) / 20**0.5


def test_shared_stimulus_noise_is_no_score(rng):
    """Noise common to all subjects but unrelated to the models: weights fitted over subjects alone would follow it."""
    means = []
    for _ in range(15):
        shared = torch.rand(1, PAIRS, generator=rng)
        subjects = shared + 0.1 * torch.rand(6, PAIRS, generator=rng)
        components = torch.rand(20, PAIRS, generator=rng)
        means.append(weighted_rsa(components, subjects, weights="ols", generator=rng, n_repeats=1).mean)
    assert abs(np.mean(means)) < 3 * np.std(means) / 15**0.5


def test_permutations_find_what_is_there(planted, rng):
    components, subjects, _ = planted
    found = weighted_rsa(components, subjects, n_permutations=49, generator=rng)
    assert found.p == 1 / 50
    assert len(found.null) == 49
    assert found.null.abs().max() < found.mean


def test_one_subject_is_fitted_on_itself_when_asked(planted, rng):
    components, subjects, _ = planted
    with pytest.raises(ValueError, match="over_subjects=False"):
        weighted_rsa(components, subjects[0], generator=rng)
    found = weighted_rsa(components, subjects[0], over_subjects=False, generator=rng)
    assert found.score.shape == (1,)
    assert found.mean > 0.7
    assert np.isnan(found.ceiling.lower)


def test_bad_input_is_one_clear_line(planted, rng):
    components, subjects, _ = planted
    broken = components.values.clone()
    broken[1, 3] = torch.nan
    flat = RDMs(torch.ones(2, PAIRS), names=("flat", "too"))
    for call, message in [
        (lambda: weighted_rsa(broken, subjects, generator=rng), "RDM '1' holds NaN"),
        (lambda: weighted_rsa(flat, subjects, generator=rng), "'flat' has the same dissimilarity"),
        (lambda: weighted_rsa(components, subjects, weights="lasso", generator=rng), "weights must be one of"),
        (lambda: weighted_rsa(components, subjects, method="kendall", generator=rng), "method must be one of"),
        (lambda: weighted_rsa(components, subjects, n_folds=9, generator=rng), "use n_folds <= 4"),
        (lambda: weighted_rsa(components.values[:, :45], subjects, generator=rng), "cannot be compared"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


def test_p_value_counts_the_statistic_itself():
    assert p_value(torch.tensor(5.0), torch.arange(4.0)) == 0.2


@pytest.mark.slow
@pytest.mark.parametrize("weights", ["nonnegative", "ridge"])
def test_weighted_rsa_rejects_noise_as_often_as_it_says(weights):
    n, rng, rejected = 600, torch.Generator().manual_seed(2), 0
    for _ in range(n):
        components = rdm(torch.randn(3, 12, 8, generator=rng))  # RDMs with structure of their own
        subjects = rdm(torch.randn(4, 12, 8, generator=rng))
        found = weighted_rsa(
            components, subjects, weights=weights, n_folds=2, n_repeats=1, n_permutations=39, generator=rng
        )
        rejected += found.p <= 0.05
    rate, error = rejected / n, (0.05 * 0.95 / n) ** 0.5
    print(f"weighted RSA ({weights}) rejects {rate:.3f} of noise, Monte-Carlo error {error:.3f}")
    assert abs(rate - 0.05) <= 0.02
