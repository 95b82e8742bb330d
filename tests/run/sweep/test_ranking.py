from __future__ import annotations

import numpy as np
import pytest
from scipy import stats

from brainnet.run.sweep.ranking import estimate, rank


def test_over_subjects_it_is_the_t_test():
    scores = np.random.default_rng(0).normal(0.3, 0.1, (1, 8))
    found = estimate(scores, generalise="subjects")
    expected = stats.ttest_1samp(scores[0], 0)
    assert found.p()[0] == pytest.approx(expected.pvalue)
    assert [end[0] for end in found.interval()] == pytest.approx(list(expected.confidence_interval()))


def test_over_stimuli_it_is_the_spread_of_the_samples():
    samples = np.random.default_rng(0).normal(0.3, 0.02, (1, 1, 1000))
    assert estimate(np.array([[0.3]]), samples).error[0] == pytest.approx(samples.std())


def test_both_errors_add():
    rng = np.random.default_rng(0)
    scores, samples = rng.normal(size=(2, 5)), rng.normal(size=(2, 5, 50))
    parts = [estimate(scores, samples, which).error ** 2 for which in ("subjects", "stimuli", "both")]
    np.testing.assert_allclose(parts[0] + parts[1], parts[2])


def test_shared_noise_of_stimuli_does_not_blur_a_difference():
    """Two networks that follow the same stimuli up and down: their intervals overlap, their difference is sure."""
    shared = np.random.default_rng(0).normal(0, 0.1, 500)
    samples = np.stack([0.5 + shared, 0.45 + shared + np.random.default_rng(1).normal(0, 0.005, 500)])[:, None]
    found = rank(np.array([[0.5], [0.45]]), samples)
    low, high = found.estimate.interval()
    assert low[0] < high[1]
    assert (found.rank_low.tolist(), found.rank_high.tolist()) == ([1, 2], [1, 2])


def test_what_cannot_be_told_apart_shares_its_places():
    rng = np.random.default_rng(0)
    scores = np.concatenate([rng.normal(0.5, 0.01, (1, 10)), rng.normal(0.2, 0.05, (3, 10))])
    found = rank(scores)
    assert found.rank_low.tolist() == [1, 2, 2, 2]
    assert found.rank_high.tolist() == [1, 4, 4, 4]


def test_noise_ranks_nobody_in_nineteen_of_twenty_studies():
    rng, wrong = np.random.default_rng(0), 0
    for _ in range(300):
        found = rank(rng.normal(size=(4, 12)), generalise="subjects")
        wrong += (found.rank_low > 1).any()
    assert 0.01 < wrong / 300 < 0.08  # Holm over 6 couples: at most 0.05, with the error of 300 studies


def test_one_subject_without_samples_has_no_error_and_no_rank():
    found = rank(np.array([[0.5], [0.1]]))
    assert np.isnan(found.estimate.error).all()
    assert found.rank_high.tolist() == [2, 2]


def test_one_network_is_first_and_last():
    found = rank(np.array([[0.5, 0.4]]))
    assert (found.rank_low.tolist(), found.rank_high.tolist()) == ([1], [1])


def test_words_and_missing_samples_are_refused():
    with pytest.raises(ValueError, match="subjects"):
        estimate(np.zeros((1, 3)), generalise="subject")
    with pytest.raises(ValueError, match="stimuli"):
        estimate(np.zeros((1, 3)), generalise="stimuli")
