"""RDM regression: R2 against scikit-learn, parts that sum, planted sets, and a test that holds its level."""

import numpy as np
import pytest
import torch
from scipy.stats import zscore
from sklearn.linear_model import LinearRegression

from brainnet.rsa import RDMs, rdm, rdm_regression
from brainnet.rsa.mixing.fitting import condition_splits
from brainnet.rsa.pairs import pair_index

N, PAIRS = 18, 153


@pytest.fixture
def sets(rng):
    values = torch.rand(6, PAIRS, generator=rng, dtype=torch.float64)
    values[2] += values[0]  # sets that share something
    return {"2D": RDMs(values[:2]), "3D": RDMs(values[2:4]), "semantic": RDMs(values[4:])}


@pytest.fixture
def subjects(sets, rng):
    signal = sets["2D"].values[0] + sets["3D"].values[0] + 0.3 * sets["semantic"].values[1]
    return RDMs(signal + 0.5 * torch.rand(4, PAIRS, generator=rng, dtype=torch.float64))


def test_held_out_r2_is_that_of_a_loop_over_sklearn(sets, subjects, rng):
    state = rng.get_state()
    found = rdm_regression(sets, subjects, n_folds=2, n_repeats=2, generator=rng)
    splits = condition_splits(N, 2, 2, rng.set_state(state))
    y = zscore(subjects.values.numpy(), axis=1)
    for names in (("2D",), ("2D", "semantic"), ("2D", "3D", "semantic")):
        x = np.concatenate([sets[name].values.numpy() for name in names])
        for s in range(4):
            error = total = 0.0
            for split in splits:
                train, test = (pair_index(part, N).numpy() for part in (split.train, split.test))
                model = LinearRegression().fit(x[:, train].T, y[s, train])
                error += ((y[s, test] - model.predict(x[:, test].T)) ** 2).sum()
                total += ((y[s, test] - y[s, train].mean()) ** 2).sum()
            np.testing.assert_allclose(found.r2[names][s], 1 - error / total, atol=1e-10)


def test_published_scheme_is_adjusted_in_sample_r2(sets, subjects):
    found = rdm_regression(sets, subjects, scheme="dwivedi2021")
    y = subjects.values.mean(0).numpy()

    def adjusted(*names):
        x = np.concatenate([sets[name].values.numpy() for name in names]).T
        r2 = LinearRegression().fit(x, y).score(x, y)
        return 1 - (1 - r2) * (PAIRS - 1) / (PAIRS - x.shape[1] - 1)

    r1, r2, r3 = (adjusted(name) for name in sets)
    r12, r13, r23 = (adjusted(*two) for two in (("2D", "3D"), ("2D", "semantic"), ("3D", "semantic")))
    r123 = adjusted(*sets)
    y123 = r1 + r2 + r3 - r12 - r13 - r23 + r123  # the published arithmetic, by its own steps
    y12, y13 = r1 + r2 - r12 - y123, r1 + r3 - r13 - y123
    for value, expected in [
        (found.total, r123),
        (found.shared("2D", "3D", "semantic"), y123),
        (found.shared("2D", "3D"), y12),
        (found.unique("2D"), r1 - y12 - y13 - y123),
        (found.unique("semantic"), r123 - r12),
    ]:
        np.testing.assert_allclose(value, [expected], atol=1e-12)
    with pytest.raises(ValueError, match="rejects 27 % of noise"):
        rdm_regression(sets, subjects, scheme="dwivedi2021", n_permutations=10)


def test_parts_sum_to_the_total_and_to_each_set(sets, subjects, rng):
    found = rdm_regression(sets, subjects, generator=rng)
    table = found.table()
    parts = table[table["part"].isin(["unique", "shared"])]
    assert parts["r2"].sum() == pytest.approx(found.total.mean().item())
    inside = parts[parts["sets"].str.contains("3D")]["r2"].sum()
    assert inside == pytest.approx(found.alone("3D").mean().item())
    torch.testing.assert_close(found.shared("2D"), found.unique("2D"))


def test_planted_sets_are_told_apart(sets, subjects, rng):
    found = rdm_regression(sets, subjects, n_permutations=99, generator=rng)
    assert found.total.min() > 0.6
    assert found.unique("3D").mean() > 0.2
    assert found.shared("2D", "3D").mean() > 0.1
    assert found.p["unique 3D"] == found.p["total"] == 0.01
    extra = {**sets, "noise": RDMs(torch.rand(3, PAIRS, generator=rng))}
    found = rdm_regression(extra, subjects, n_permutations=99, generator=rng)
    assert found.unique("noise").mean() < 0.01
    assert found.p["unique noise"] > 0.05


def test_more_predictors_of_noise_only_lower_the_score(subjects, rng):
    scores = []
    for k in (1, 10, 30):
        noise = {"noise": RDMs(torch.rand(k, PAIRS, generator=rng))}
        scores.append(rdm_regression(noise, subjects, generator=rng).total.mean().item())
    assert max(scores) < 0.02
    assert scores[2] < scores[0]


def test_fit_on_other_subjects_and_ranks(sets, subjects, rng):
    own = rdm_regression(sets, subjects, generator=rng).total
    others = rdm_regression(sets, subjects, over_subjects=True, generator=rng).total
    assert (own - others).abs().max() < 0.1
    bent = RDMs(subjects.values.exp())
    state = rng.get_state()
    a = rdm_regression(sets, subjects, ranked=True, generator=rng)
    b = rdm_regression(sets, bent, ranked=True, generator=rng.set_state(state))
    torch.testing.assert_close(a.total, b.total)


def test_bad_input_is_one_clear_line(sets, subjects, rng):
    for call, message in [
        (lambda: rdm_regression({}, subjects, generator=rng), "1 to 8 names"),
        (lambda: rdm_regression(sets, subjects), "pass generator="),
        (lambda: rdm_regression(sets, subjects, scheme="published", generator=rng), "scheme must be one of"),
        (lambda: rdm_regression(sets, subjects[0], over_subjects=True, generator=rng), "there is one"),
        (lambda: rdm_regression(sets, subjects, n_folds=7, generator=rng), "use n_folds <= 4"),
        (lambda: rdm_regression(sets, subjects, generator=rng).unique("4D"), "no set named '4D'"),
        (lambda: rdm_regression({"x": torch.ones(PAIRS)}, subjects, generator=rng), "same dissimilarity everywhere"),
    ]:
        with pytest.raises(ValueError, match=message):
            call()


@pytest.mark.slow
def test_rdm_regression_rejects_noise_as_often_as_it_says():
    """Total of independent RDMs; and the unique part of a set correlated with one that drives the brain."""
    n, rng = 600, torch.Generator().manual_seed(3)
    rejected = np.zeros(2)
    for _ in range(n):
        features = torch.randn(12, 8, generator=rng)
        a = rdm(features)
        b = rdm(features + torch.randn(12, 8, generator=rng))  # like a, but no part of the brain
        noise = rdm(torch.randn(3, 12, 8, generator=rng)).values
        unrelated = rdm_regression(
            {"a": a, "b": b}, RDMs(noise), n_folds=2, n_repeats=1, n_permutations=39, generator=rng
        )
        driven = rdm_regression(
            {"a": a, "b": b}, RDMs(noise + a.values), n_folds=2, n_repeats=1, n_permutations=39, generator=rng
        )
        rejected += [unrelated.p["total"] <= 0.05, driven.p["unique b"] <= 0.05]
    rate, error = rejected / n, (0.05 * 0.95 / n) ** 0.5
    print(f"RDM regression rejects {rate} (total, unique) of noise, Monte-Carlo error {error:.3f}")
    assert ((rate >= 0.03) & (rate <= 0.07)).all()


def test_a_part_that_is_not_above_zero_is_never_significant(rng):
    """A noise set costs R2 on held-out conditions, and permuted noise may cost more: that is no unique part."""
    signal, noise = torch.rand(190, generator=rng), torch.rand(4, 190, generator=rng)
    brain = signal + 0.2 * torch.rand(3, 190, generator=rng)
    found = rdm_regression({"signal": signal, "noise": noise}, brain, n_permutations=19, generator=rng, progress=False)
    assert found.unique("noise").mean() < 0
    assert found.p["unique noise"] == 1
    assert found.alone("noise").mean() < 0
    assert found.p["noise"] == 1
    assert found.p["unique signal"] == 1 / 20


def test_a_set_that_another_one_equals_but_for_rounding_adds_nothing():
    """A mean of equal RDMs differs in the seventh digit; its unique part of 1e-10 was significant in some draws."""
    for seed in (2, 7):
        rng = torch.Generator().manual_seed(seed)
        a, b = torch.rand(2, 190, generator=rng)
        subjects = RDMs((a + b)[None] + torch.rand(5, 190, generator=rng))
        same = torch.stack([a] * 3).mul(1.1).mean(0)
        found = rdm_regression(
            {"a": a, "same": same, "b": b}, subjects, n_permutations=99, generator=rng, progress=False
        )
        assert (found.p["unique a"], found.p["unique same"], found.p["unique b"]) == (1, 1, 0.01)


def test_an_advice_on_folds_can_be_followed(rng):
    with pytest.raises(ValueError, match="7 conditions are too few .* 8 are the least"):
        rdm_regression({"a": torch.rand(21, generator=rng)}, torch.rand(2, 21, generator=rng), generator=rng)
    with pytest.raises(ValueError, match="use n_folds <= 2"):
        rdm_regression({"a": torch.rand(28, generator=rng)}, torch.rand(2, 28, generator=rng), generator=rng)
    for weights in ("ols", "ridge"):
        found = rdm_regression({"a": torch.rand(28, generator=rng)}, torch.rand(2, 28, generator=rng), n_folds=2,
                               weights=weights, generator=rng, progress=False)  # fmt: skip
        assert found.total.isfinite().all()
