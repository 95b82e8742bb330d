import numpy as np
import pytest
import torch
from scipy import stats

from brainnet.rsa import COMPARISONS, RDMs, compare, evaluate, noise_ceiling, pool, rdm
from brainnet.rsa.inference.bootstrap import Draws, bootstrap, contrast_variance

N_SUBJECTS, N_CONDITIONS = 7, 12


@pytest.fixture
def study(rng):
    """Two models with two layers each; V1 follows the first model, IT nobody."""
    truth = torch.randn(N_CONDITIONS, 30, generator=rng, dtype=torch.float64)
    other = torch.randn(4, N_CONDITIONS, 30, generator=rng, dtype=torch.float64)
    models = {
        "good": RDMs.stack([rdm(truth), rdm(truth + other[0])], names=["1", "2"]),
        "bad": RDMs.stack([rdm(other[1]), rdm(other[2])], names=["1", "2"]),
    }
    noise = torch.randn(2, N_SUBJECTS, N_CONDITIONS, 30, generator=rng, dtype=torch.float64)
    return models, {"V1": rdm(truth + noise[0]), "IT": rdm(noise[1])}


def test_the_table_has_one_row_per_roi_and_layer_and_finds_the_planted_model(study):
    models, subjects = study
    table = evaluate(models, subjects).table
    assert list(table.columns) == [
        "roi", "model", "layer", "time", "score", "standard_error", "low", "high", "p", "p_corrected",
        "ceiling", "ceiling_low", "ceiling_high", "ceiling_share", "n_subjects", "n_conditions",
    ]  # fmt: skip
    assert table[["roi", "model", "layer"]].values.tolist() == [
        [roi, model, layer] for roi in ("V1", "IT") for model in ("good", "bad") for layer in ("1", "2")
    ]
    found = table[table.p_corrected < 0.05]
    assert found[["roi", "model"]].drop_duplicates().values.tolist() == [["V1", "good"]]
    assert (table.low < table.score).all()
    assert (table.score < table.high).all()
    assert table.attrs["ceiling_share"].startswith("score / lower noise ceiling (spearman, leave-one-subject-out")
    lower, upper = noise_ceiling(subjects["V1"])
    assert table.ceiling_low[0] == pytest.approx(lower)
    assert table.ceiling_high[0] == pytest.approx(upper)
    assert table.ceiling_share[0] == pytest.approx(table.score[0] / lower)


def test_scores_and_subject_tests_equal_scipy(study):
    models, subjects = study
    found = evaluate(models, subjects, "pearson", generalise="subjects", alternative="two-sided", correction="fdr")
    similarity = torch.cat(
        [compare(RDMs.stack(models.values()), rdms, "pearson") for rdms in subjects.values()]
    ).numpy()
    expected = stats.ttest_1samp(similarity, 0, axis=1)
    np.testing.assert_allclose(found.table.score, similarity.mean(1), atol=1e-12)
    np.testing.assert_allclose(found.table.p, expected.pvalue, atol=1e-12)
    interval = expected.confidence_interval(0.95)
    np.testing.assert_allclose(found.table[["low", "high"]].values.T, [interval.low, interval.high], atol=1e-12)
    np.testing.assert_allclose(found.table.p_corrected, stats.false_discovery_control(expected.pvalue), atol=1e-12)
    differences = found.differences("none")
    assert len(differences) == 2 * 6
    row = differences.iloc[3]
    assert row[["roi", "model_a", "layer_a", "model_b", "layer_b"]].tolist() == ["V1", "good", "2", "bad", "1"]
    paired = stats.ttest_rel(similarity[1], similarity[2])
    assert row.p == pytest.approx(paired.pvalue, abs=1e-12)
    assert row.difference == pytest.approx((similarity[1] - similarity[2]).mean())


def test_errors_of_both_come_from_the_dual_bootstrap(study):
    models, subjects = study
    found = evaluate(models, {"V1": subjects["V1"]}, "pearson", errors="bootstrap", n_resamples=60)
    resampled = found.cells[0].resampled
    single = torch.eye(4, dtype=torch.float64)
    variance = contrast_variance(resampled, single, N_SUBJECTS, N_CONDITIONS)
    np.testing.assert_allclose(found.table.standard_error, variance.sqrt().numpy())
    p = stats.t.sf(found.table.score / found.table.standard_error, min(N_SUBJECTS, N_CONDITIONS) - 1)
    np.testing.assert_allclose(found.table.p, p, atol=1e-12)
    difference = found.differences("none").iloc[0]
    contrast = torch.tensor([[1.0, -1, 0, 0]], dtype=torch.float64)
    expected = contrast_variance(resampled, contrast, N_SUBJECTS, N_CONDITIONS).sqrt().item()
    assert difference.standard_error == pytest.approx(expected)
    only = evaluate(
        models, {"V1": subjects["V1"]}, "pearson", errors="bootstrap", n_resamples=60, generalise="conditions"
    )
    over_conditions = resampled.conditions.scores.var(0) * N_CONDITIONS / (N_CONDITIONS - 1)
    np.testing.assert_allclose(only.table.standard_error, over_conditions.sqrt().numpy())


def test_generalising_further_never_narrows_the_interval_much(study):
    models, subjects = study
    both, over_subjects = (evaluate(models, subjects, generalise=g).table.standard_error for g in ("both", "subjects"))
    assert both.mean() > 0.9 * over_subjects.mean()


def test_one_subject_can_be_tested_over_conditions_only(study):
    models, subjects = study
    one = subjects["V1"][0]
    for options in ({}, {"generalise": "subjects"}, {"generalise": "conditions", "test": "sign-flip"}):
        with pytest.raises(ValueError, match=r"the data has a single subject.*generalise='conditions'"):
            evaluate(models, one, **options)
    table = evaluate(models, one, generalise="conditions", test="permutation", n_permutations=200).table
    assert table.p[0] < 0.01
    assert table.ceiling_low.isna().all()
    assert table.ceiling_share.isna().all()


def test_time_courses_and_rois_share_one_table(study, rng):
    models, subjects = study
    quiet = rdm(torch.randn(N_SUBJECTS, N_CONDITIONS, 30, generator=rng, dtype=torch.float64))
    table = evaluate(
        models, {"MEG": [quiet, subjects["V1"], quiet]}, generalise="subjects", times=[-0.1, 0.1, 0.3]
    ).table
    assert table.time.tolist() == sorted([-0.1, 0.1, 0.3] * 4)
    best = table[(table.model == "good") & (table.layer == "1")].set_index("time").score
    assert best.idxmax() == 0.1
    with pytest.raises(ValueError, match="2 times for 3 time points"):
        evaluate(models, {"MEG": [quiet] * 3}, times=[0, 1])


def test_a_constant_model_is_nan_and_leaves_the_others_alone(study):
    models, subjects = study
    flat = RDMs(torch.full((1, 66), 0.5, dtype=torch.float64), names=("flat",))
    mixed = RDMs.stack([models["good"], flat])
    for settings in ({"generalise": "subjects"}, {"errors": "components"}, {"errors": "bootstrap", "n_resamples": 100}):
        with pytest.warns(UserWarning, match="constant RDM 'flat'"):
            found = evaluate(mixed, subjects["V1"], **settings)
        missing = found.table[["score", "standard_error", "p", "p_corrected"]].isna().values
        assert missing.all(1).tolist() == missing.any(1).tolist() == [False, False, True]
        alone = evaluate(models["good"], subjects["V1"], **settings).table
        np.testing.assert_allclose(found.table.standard_error[:2], alone.standard_error)
        assert found.differences().p.notna().tolist() == [True, False, False]


def test_the_same_seed_gives_the_same_table(study):
    models, subjects = study
    for test in ("t", "permutation", "sign-flip"):
        settings = {"test": test, "errors": "bootstrap", "n_resamples": 50, "n_permutations": 60}
        a, b, c = (evaluate(models, subjects, **settings, seed=s).table for s in (1, 1, 2))
        assert a.equals(b)
        assert not a.equals(c)


def test_conditions_must_match(study):
    models, subjects = study
    names = [f"im{i}" for i in range(N_CONDITIONS)]
    named = RDMs(models["good"].values, conditions=names)
    turned = RDMs(subjects["V1"].values, conditions=names).reorder(names[::-1])
    with pytest.raises(ValueError, match="align=True"):
        evaluate(named, turned, generalise="subjects")
    back = evaluate(named, turned, generalise="subjects", align=True).table.score
    straight = evaluate(named, RDMs(subjects["V1"].values, conditions=names), generalise="subjects").table.score
    np.testing.assert_allclose(back, straight)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"generalise": "stimuli"}, "generalise must be one of both, subjects, conditions"),
        ({"test": "z"}, "test must be one of"),
        ({"correction": "bonferroni"}, "correction must be one of"),
        ({"correction": "max"}, "needs permuted statistics"),
        ({"alternative": "less"}, "'greater' or 'two-sided'"),
        ({"method": "sperman"}, "Did you mean 'spearman'"),
        ({"method": "cka", "errors": "bootstrap"}, "cannot be resampled over conditions"),
        ({"method": "procrustes"}, "cannot be resampled over conditions"),
        ({"method": "kendall", "errors": "components"}, "variance components are known for"),
        (
            {"method": "cka", "errors": "components", "unbiased": False},
            "take no options of the comparison, got unbiased",
        ),
        ({"errors": "jackknife"}, "errors must be one of components, bootstrap"),
    ],
)
def test_bad_settings_get_one_clear_line(study, options, message):
    models, subjects = study
    with pytest.raises(ValueError, match=message):
        evaluate(models, subjects, **options)


def test_bad_subjects_get_one_clear_line(study):
    models, subjects = study
    with pytest.raises(ValueError, match="mapping is empty"):
        evaluate({}, subjects)
    with pytest.raises(ValueError, match="mapping is empty"):
        evaluate(models, {})
    with pytest.raises(ValueError, match=r"need the same subjects, got \[5, 7\]"):
        evaluate(models, {"V1": subjects["V1"], "IT": subjects["IT"][:5]}, test="sign-flip", n_permutations=50)
    with pytest.raises(ValueError, match="at least 2 models"):
        evaluate(models["good"][0], subjects, generalise="subjects").differences()


def test_draws_are_shared_by_rois(study):
    models, subjects = study
    twice = evaluate(models, {"a": subjects["V1"], "b": subjects["V1"]}, errors="bootstrap", n_resamples=40).table
    np.testing.assert_array_equal(twice.standard_error[:4].values, twice.standard_error[4:].values)


def test_resampled_scores_scatter_about_the_score(study):
    models, subjects = study
    cell = evaluate(models, subjects["V1"], "pearson", errors="bootstrap", n_resamples=400).cells[0]
    ones = Draws(torch.ones(1, N_SUBJECTS), torch.ones(1, N_CONDITIONS))
    values = RDMs.stack(models.values()).values
    whole = bootstrap(values, subjects["V1"].values, "pearson", ones).both.scores[0]
    torch.testing.assert_close(whole, cell.similarity.mean(1))
    assert (cell.resampled.subjects.scores.mean(0) - whole).abs().max() < 0.02


@pytest.mark.parametrize("settings", [{}, {"squared": True}, {"pooling": "mean"}, {"squared": True, "pooling": "mean"}])
def test_score_and_ceiling_have_one_unit(study, settings):
    """Squared scores stand against squared ceilings: the best RDM has all of the upper one, no more."""
    models, subjects = study
    kind = {"generalise": "subjects", "bound": "upper", **settings}
    group = {"group": pool(subjects["V1"], "spearman", pooling=settings.get("pooling", "optimal"))}
    table = evaluate({**group, **models}, subjects["V1"], **kind).table
    lower, upper = noise_ceiling(subjects["V1"], **settings)
    assert (table.ceiling_low[0], table.ceiling_high[0], table.ceiling[0]) == pytest.approx((lower, upper, upper))
    assert table.ceiling_share[0] == pytest.approx(1)
    similarity = compare(models["good"], subjects["V1"])
    expected = similarity.square().mean(1) if settings.get("squared") else similarity.mean(1)
    np.testing.assert_allclose(table.score[1:3], expected)


def test_squared_scores_are_tested_by_their_similarities(study):
    models, subjects = study
    turned = RDMs(torch.cat([models["good"].values, -models["good"].values[:1]]), names=("a", "b", "opposite"))
    for settings in ({"generalise": "subjects"}, {"errors": "components"}, {"errors": "bootstrap", "n_resamples": 200}):
        plain, squared = (evaluate(turned, subjects["V1"], squared=on, **settings) for on in (False, True))
        np.testing.assert_array_equal(squared.table.p, plain.table.p)
        assert squared.table.p[2] > 0.5  # the opposite of the truth, however large its square
        assert squared.table.score[2] == pytest.approx(squared.table.score[0])
        assert (squared.table.low < squared.table.score).all()
        assert (squared.table.high > squared.table.score).all()
        shown = squared.differences()
        assert shown.difference[0] == pytest.approx(squared.table.score[0] - squared.table.score[1])
        np.testing.assert_array_equal(shown.p, plain.differences().p)
    first_order = evaluate(turned, subjects["V1"], squared=True).table.standard_error[0]
    ratio = evaluate(turned, subjects["V1"]).table
    assert first_order == pytest.approx(2 * ratio.score[0] * ratio.standard_error[0])


def test_undefined_conditions_can_be_left_out(study):
    models, subjects = study
    kept = [i for i in range(N_CONDITIONS) if i != 3]
    holed = subjects["V1"].to_square()
    holed[2, 3], holed[2, :, 3] = torch.nan, torch.nan
    holed = RDMs.from_square(holed)
    whole = {name: rdms.subset(kept) for name, rdms in models.items()}
    for settings in ({}, {"generalise": "subjects", "test": "permutation", "n_permutations": 50}):
        with pytest.raises(ValueError, match="nan='omit'"):
            evaluate(models, holed, **settings)
        found = evaluate(models, holed, nan="omit", **settings).table
        expected = evaluate(whole, subjects["V1"].subset(kept), **settings).table
        columns = ["score", "standard_error", "p", "ceiling_low", "ceiling_high", "n_conditions"]
        np.testing.assert_allclose(found[columns], expected[columns])


def test_single_undefined_pairs_are_left_out_of_score_and_ceiling_alike(study):
    models, subjects = study
    values, model = subjects["V1"].values.clone(), models["good"].values.clone()
    values[1, 5] = model[0, 9] = torch.nan
    kept = [i for i in range(66) if i not in (5, 9)]
    table = evaluate(RDMs(model), RDMs(values), generalise="subjects", nan="omit").table
    expected = COMPARISONS["spearman"](model[:, kept], subjects["V1"].values[:, kept]).mean(1)
    np.testing.assert_allclose(table.score, expected)
    without = noise_ceiling(RDMs(subjects["V1"].values.index_fill(1, torch.tensor([5, 9]), torch.nan)), nan="omit")
    assert (table.ceiling_low[0], table.ceiling_high[0]) == pytest.approx(tuple(without))
    for settings in (
        {},
        {"generalise": "subjects", "test": "permutation"},
        {"generalise": "subjects", "method": "cka"},
    ):
        with pytest.raises(ValueError, match="2 single pairs are NaN"):
            evaluate(RDMs(model), RDMs(values), nan="omit", **settings)


def test_differences_after_permuted_labels_speak_to_new_conditions(rng):
    """Subjects who share a geometry agree on differences that the conditions brought about: no claim of the models."""
    rejected, n_studies = np.zeros(2), 60
    for _ in range(n_studies):
        shared, a, b = rdm(torch.randn(3, 10, 8, generator=rng, dtype=torch.float64)).values
        subjects = RDMs(shared + 0.05 * torch.rand(12, 45, generator=rng, dtype=torch.float64))
        found = evaluate(RDMs(torch.stack([a, b])), subjects, "pearson", generalise="subjects", test="permutation",
                         n_permutations=9)  # fmt: skip
        over_subjects = evaluate(RDMs(torch.stack([a, b])), subjects, "pearson", generalise="subjects")
        rejected += [found.differences().p[0] < 0.05, over_subjects.differences().p[0] < 0.05]
    assert rejected[0] / n_studies < 0.15
    assert rejected[1] / n_studies > 0.5  # what it was


def test_a_word_that_nobody_knows_is_refused(study):
    with pytest.raises(ValueError, match="Did you mean 'generalise'"):
        evaluate(*study, generalize="subjects")
    with pytest.raises(ValueError, match="n_permutations of at least 1, got -5"):
        evaluate(*study, test="permutation", n_permutations=-5)
