import numpy as np
import pytest
import torch
from scipy import stats

from brainnet.rsa import Neighbourhoods, RDMs, SearchlightMaps, group_searchlight, searchlight
from brainnet.space import BrainSpace

N_SUBJECTS = 8


def _maps(score, space=None, models=None):
    """A subject's maps from scores (n_models, n_centres) alone."""
    score = torch.as_tensor(score)
    best = score.nan_to_num(-torch.inf).argmax(0)
    models = models or tuple("abcdef"[: len(score)])
    space = space or BrainSpace.free(score.shape[1])
    return SearchlightMaps(models, score, None, best, best.double(), None, torch.full_like(best, 9), space, {})


def _volume(mask, shift=0.0):
    affine = torch.diag(torch.tensor([2.0, 2.0, 2.0, 1.0])).double()
    affine[0, 3] = shift
    return BrainSpace(mask=mask, affine=affine)


@pytest.fixture
def scores(rng):
    return torch.randn(N_SUBJECTS, 2, 6, generator=rng, dtype=torch.float64) + 0.5


def test_t_and_p_equal_scipy(scores):
    expected = stats.ttest_1samp(scores.numpy(), 0, alternative="greater")
    for n_permutations in (0, 5000):
        found = group_searchlight(map(_maps, scores), n_permutations=n_permutations, generator=torch.Generator())
        np.testing.assert_allclose(found.test.statistic, expected.statistic)
        torch.testing.assert_close(found.score, scores.mean(0))
    np.testing.assert_allclose(group_searchlight(map(_maps, scores), n_permutations=0).test.p, expected.pvalue)
    exact = [
        [
            stats.permutation_test((scores[:, m, v].numpy(),), lambda x, axis: stats.ttest_1samp(x, 0, axis=axis)[0],
                                   permutation_type="samples", n_resamples=np.inf, alternative="greater").pvalue
            for v in range(6)
        ]
        for m in range(2)
    ]  # fmt: skip
    np.testing.assert_allclose(found.test.p, exact)


def test_family_wise_p_is_that_of_the_largest_t_over_centres(scores, monkeypatch):
    signs = torch.tensor([[1 if i >> s & 1 else -1 for s in range(N_SUBJECTS)] for i in range(2**N_SUBJECTS)])
    t = torch.stack([torch.from_numpy(stats.ttest_1samp((scores * s[:, None, None]).numpy(), 0)[0]) for s in signs])
    monkeypatch.setattr("brainnet.rsa.search.group.AT_ONCE", 2 * 3 * 2**N_SUBJECTS)  # two centres at a time
    found = group_searchlight(map(_maps, scores), n_permutations=1000, generator=torch.Generator())
    for m in range(2):
        expected = (t[:, m].amax(1)[:, None] >= found.test.statistic[m] - 1e-9).double().mean(0)
        torch.testing.assert_close(found.test.p_max[m], expected)
    of_best = (t.amax((1, 2))[:, None] >= found.test.statistic.amax(0) - 1e-9).double().mean(0)
    torch.testing.assert_close(found.best_test.p_max, of_best)


@pytest.mark.parametrize("n_permutations", [0, 5000])
def test_a_contrast_is_a_paired_test(scores, n_permutations):
    expected = stats.ttest_rel(scores[:, 1].numpy(), scores[:, 0].numpy(), alternative="greater")
    flips = {"n_permutations": n_permutations, "generator": torch.Generator()}
    found = group_searchlight(map(_maps, scores), contrast=("b", "a"), **flips)
    assert found.models == ("b minus a",)
    assert found.settings["contrast"] == ["b", "a"]
    np.testing.assert_allclose(found.test.statistic[0], expected.statistic)
    torch.testing.assert_close(found.score[0], (scores[:, 1] - scores[:, 0]).mean(0))
    if not n_permutations:
        np.testing.assert_allclose(found.test.p[0], expected.pvalue)
        return
    alone = group_searchlight([_maps(score[1:] - score[:1]) for score in scores], **flips)  # the differences as scores
    for mine, theirs in zip(found.test, alone.test, strict=True):
        torch.testing.assert_close(mine, theirs)


def test_subjects_meet_where_all_have_a_score(rng):
    masks = torch.zeros(2, 3, 2, 2, dtype=torch.bool)
    masks[0, :2], masks[1, 1:] = True, True  # share the four voxels of the middle
    values = torch.randn(3, 2, 2, generator=rng)
    one, two = (_maps(values[mask][None] + i, _volume(mask)) for i, mask in enumerate(masks))
    two.score[0, 1] = torch.nan  # the second of the middle
    found = group_searchlight([one, two], n_permutations=0)
    middle = values[1].flatten()[[0, 2, 3]] + 0.5
    torch.testing.assert_close(found.score[0], middle.double())
    assert found.space.volume_index.tolist() == [4, 6, 7]
    assert found.settings["centres_lost"] == [5, 5]


def test_centres_in_another_order_are_matched_by_place(rng):
    vertices = torch.tensor([5, 2, 9])
    score = torch.randn(1, 3, generator=rng)
    one = _maps(score, BrainSpace(vertices=vertices, mesh="fsaverage5"))
    two = _maps(score.flip(1), BrainSpace(vertices=vertices.flip(0), mesh="fsaverage5"))
    found = group_searchlight([one, two], n_permutations=0)
    torch.testing.assert_close(found.score, score[:, [1, 0, 2]].double())
    assert found.space.vertices.tolist() == [2, 5, 9]


def test_a_planted_effect_is_found_and_nothing_else(rng):
    score = 0.1 * torch.randn(12, 2, 300, generator=rng)
    score[:, 1, :40] += 0.25
    found = group_searchlight(map(_maps, score), n_permutations=1000, generator=rng)
    significant = found.test.p_max <= 0.05
    assert significant[1, :40].double().mean() > 0.9
    assert not significant[1, 40:].any()
    assert not significant[0].any()
    assert (found.significant_best()[:40] == 1).double().mean() > 0.9


@pytest.mark.parametrize("place", ["volume", "surface", "none"])
def test_saved_maps_are_read_back(place, rng, tmp_path):
    mask = torch.zeros(4, 4, 3, dtype=torch.bool)
    mask[1:3, 1:3] = True
    vertices = torch.tensor([*range(8), *range(10242, 10246)])  # of both hemispheres
    surface = BrainSpace(vertices=vertices, mesh="fsaverage5")
    spaces = {"volume": _volume(mask), "surface": surface, "none": BrainSpace.free(12)}
    lights = Neighbourhoods.from_lists([[i, (i + 1) % 12, (i + 2) % 12] for i in range(12)], spaces[place])
    patterns = torch.randn(8, 12, generator=rng)
    patterns[:, 3:6] = 1.0  # no variance: the centre at 3 is undefined
    models = RDMs(torch.rand(2, 28, generator=rng), names=("low", "high"))
    with pytest.warns(UserWarning, match="undefined"):
        saved = searchlight(patterns, models, lights, n_permutations=20, generator=rng, metric="euclidean")
    saved.save(tmp_path)
    found = SearchlightMaps.load(tmp_path)
    assert found.models == saved.models
    assert found.settings == saved.settings
    assert torch.equal(found.size, saved.size)
    assert torch.equal(found.best, saved.best)
    for name, values in saved.maps().items():
        torch.testing.assert_close(found.maps()[name].double(), values.double(), equal_nan=True, rtol=1e-6, atol=1e-7)
    assert found.space.n_voxels == 12
    assert (found.space.vertices is None) == (saved.space.vertices is None)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda m: m[:1], "at least 2 subjects, got 1"),
        (lambda m: [*m, _maps(m[0].score, models=("a", "x"))], "subject 9 has the models a, x but subject 1 a, b"),
        (lambda m: [*m, _maps(m[0].score[:, :5])], "subject 9 lies in 5 centers without a place"),
        (lambda m: [*m, _maps(m[0].score * torch.nan)], "no center has a score in every subject"),
        (lambda m: [_maps(m[0].score[:, :4], _volume(torch.ones(2, 2, 1).bool(), s)) for s in (0, 5)],
         "affine 2 0 0 5 .* bring all subjects into one space"),
    ],
)  # fmt: skip
def test_subjects_that_do_not_belong_together_are_refused(scores, change, message):
    with pytest.raises(ValueError, match=message):
        group_searchlight(change([_maps(score) for score in scores]), n_permutations=0)


@pytest.mark.parametrize(
    ("contrast", "message"),
    [(("a", "x"), "no model 'x' to contrast; the maps are of a, b"), (("a", "a"), "of two different models, got a, a")],
)
def test_contrasts_of_other_models_are_refused(scores, contrast, message):
    with pytest.raises(ValueError, match=message):
        group_searchlight(map(_maps, scores), contrast=contrast, n_permutations=0)


def test_few_subjects_and_missing_generators_are_told(scores):
    with pytest.warns(UserWarning, match=r"3 subjects have 8 sign patterns: no p can be below 0.125"):
        group_searchlight(map(_maps, scores[:3]), generator=torch.Generator())
    with pytest.raises(ValueError, match="sign flips are drawn from a generator"):
        group_searchlight(map(_maps, scores))


@pytest.mark.slow
def test_noise_is_rejected_as_often_as_it_says():
    """Skewed scores that are alike in neighbouring centres and between models, as those of a searchlight."""
    n, rng, claims = 800, torch.Generator().manual_seed(21), torch.zeros(6)
    for _ in range(n):
        common = torch.randn(10, 2, 32, generator=rng)
        score = common + common.roll(1, -1) + common.roll(2, -1) + torch.randn(10, 1, 32, generator=rng)
        found = group_searchlight(map(_maps, score), n_permutations=199, generator=rng)
        parametric = group_searchlight(map(_maps, score), n_permutations=0)
        score += 1.0  # both models hold, and equally
        paired = group_searchlight(map(_maps, score), contrast=("a", "b"), n_permutations=199, generator=rng)
        claims += torch.stack(
            [(found.test.p_max[0] <= 0.05).any(), (found.best_test.p_max <= 0.05).any(),
             (found.test.p <= 0.05).double().mean(), (parametric.test.p <= 0.05).double().mean(),
             (paired.test.p_max <= 0.05).any(), (paired.test.p <= 0.05).double().mean()]
        )  # fmt: skip
    rates, error = claims / n, (0.05 * 0.95 / n) ** 0.5
    names = "max, max over models, one centre, Student; contrast: max, one centre"
    print(f"group searchlight rejects {rates.tolist()} ({names}), error {error:.3f}")
    assert ((rates >= 0.03) & (rates <= 0.07)).all()
