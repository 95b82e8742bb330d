import numpy as np
import pytest
import torch
from sklearn.discriminant_analysis import LinearDiscriminantAnalysis

from brainnet.rsa import rdm


@pytest.fixture
def epochs(rng):
    """Four conditions with 9, 7, 8 and 12 trials of 5 channels at two times; no signal at the first."""
    labels = np.repeat(list("abcd"), [9, 7, 8, 12])
    order = torch.randperm(len(labels), generator=rng).numpy()
    labels = labels[order]
    trials = torch.randn(2, len(labels), 5, generator=rng, dtype=torch.float64)
    means = torch.randn(4, 5, generator=rng, dtype=torch.float64)
    trials[1] += means[torch.from_numpy(np.searchsorted(list("abcd"), labels))]
    return trials, labels


def _explicit(trials, labels, folds, shrinkage):
    """Balanced accuracy by a loop over pairs, folds and scikit-learn discriminants."""
    known = np.unique(labels)
    accuracies = []
    for i, first in enumerate(known):
        for second in known[i + 1 :]:
            hits = {first: [], second: []}
            for fold in range(folds):
                train, test = [], []
                for c in (first, second):
                    of_c = np.flatnonzero(labels == c)
                    train += of_c[np.arange(len(of_c)) % folds != fold].tolist()
                    test += of_c[np.arange(len(of_c)) % folds == fold].tolist()
                machine = LinearDiscriminantAnalysis(solver="lsqr", shrinkage=shrinkage, priors=[0.5, 0.5])
                guess = machine.fit(trials[train], labels[train]).predict(trials[test])
                for truth, answer in zip(labels[test], guess, strict=True):
                    hits[truth].append(answer == truth)
            accuracies.append(np.mean([np.mean(hits[first]), np.mean(hits[second])]))
    return np.array(accuracies)


@pytest.mark.parametrize("shrinkage", ["auto", 0.3, 0.0])
def test_accuracies_equal_a_loop_over_sklearn(epochs, shrinkage):
    trials, labels = epochs
    found = rdm(trials, "decoding", labels=labels, shrinkage=shrinkage)
    assert found.conditions == tuple("abcd")
    for t in range(2):
        expected = _explicit(trials[t].numpy(), labels, 5, None if shrinkage == 0.0 else shrinkage)
        np.testing.assert_allclose(found.values[t].numpy(), expected, atol=1e-12)


def test_runs_are_left_out_in_turn(epochs):
    trials, labels = epochs
    runs = np.empty(len(labels), dtype=int)
    for c in "abcd":
        runs[labels == c] = np.arange((labels == c).sum()) % 5
    by_run = rdm(trials, "decoding", labels=labels, runs=runs)
    torch.testing.assert_close(by_run.values, rdm(trials, "decoding", labels=labels).values)


def test_noise_decodes_at_chance_whatever_the_counts(rng):
    labels = np.repeat([0, 1, 2], [6, 12, 30])
    noise = torch.randn(120, len(labels), 8, generator=rng)
    for covariance in ("pair", "pooled"):
        values = rdm(noise, "decoding", labels=labels, covariance=covariance).values
        standard_error = values.mean(1).std() / 120**0.5
        assert abs(values.mean() - 0.5) < 4 * standard_error


def test_pooled_covariance_decodes_separated_conditions_perfectly(rng):
    labels = np.repeat(np.arange(5), 6)
    means = torch.eye(5, 10) * 50
    trials = means[torch.from_numpy(labels)] + torch.randn(30, 10, generator=rng)
    assert (rdm(trials, "decoding", labels=labels, covariance="pooled").values == 1).all()


def test_a_seeded_generator_deals_the_folds(epochs):
    trials, labels = epochs
    one, two, other = (
        rdm(trials, "decoding", labels=labels, generator=torch.Generator().manual_seed(s)).values for s in (1, 1, 2)
    )
    assert torch.equal(one, two)
    assert not torch.equal(one, other)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({}, "give labels="),
        ({"labels": [0, 0, 0, 1]}, "'1' has a single trial"),
        ({"labels": [0, 0, 0, 0]}, "at least 2 conditions"),
        ({"labels": [0, 0, 1, 1], "runs": [0, 0, 1, 1]}, "absent outside one run"),
        ({"labels": [0, 0, 1, 1], "shrinkage": 2}, "weight in"),
        ({"labels": [0, 0, 1, 1], "covariance": "all"}, "'pair' or 'pooled'"),
    ],
)
def test_bad_input_gets_one_clear_line(options, message):
    with pytest.raises(ValueError, match=message):
        rdm(torch.rand(4, 3), "decoding", **options)
