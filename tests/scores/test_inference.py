"""Resampling against explicit loops; calibration on noise."""

import numpy as np
import pytest
import torch
from scipy import stats

from brainnet import scores
from brainnet.scores.blocks import multiplicities


def noise(rng, *shape):
    return torch.randn(*shape, generator=rng, dtype=torch.float64)


@pytest.mark.parametrize("score", ["pearson_r", "r2"])
def test_bootstrap_equals_a_loop_over_resampled_images(rng, score):
    response = noise(rng, 20, 5) + 4
    prediction = response + noise(rng, 20, 5)
    response[:, 4] = 1.0  # no score: in no mean
    groups = torch.tensor([[1, 1, 0, 0, 0], [0, 1, 1, 1, 1]], dtype=torch.bool)
    found = scores.bootstrap_scores(prediction, response, score, 30, groups, generator=torch.Generator().manual_seed(5))
    weights = multiplicities(20, 30, torch.Generator().manual_seed(5))
    for resample, counts in enumerate(weights):
        drawn = torch.arange(20).repeat_interleave(counts.long())
        value = scores.SCORES[score](prediction[drawn], response[drawn])
        expected = torch.stack([value[g].nanmean() for g in groups])
        torch.testing.assert_close(found[resample], expected, rtol=0, atol=1e-10)


def test_bootstrap_in_small_batches_is_the_same(rng, monkeypatch):
    response = noise(rng, 20, 9)
    prediction = response + noise(rng, 20, 9)
    runs = []
    for elements in (1 << 22, 60):
        monkeypatch.setattr("brainnet.scores.inference._ELEMENTS_AT_ONCE", elements)
        runs.append(scores.bootstrap_scores(prediction, response, n_resamples=40, generator=rng.manual_seed(2)))
    torch.testing.assert_close(*runs, rtol=0, atol=1e-12)


def test_resamples_that_leave_a_voxel_constant_do_not_count(rng):
    response = torch.tensor([[0.0, 1.0], [0.0, 2.0], [1.0, 4.0]])
    samples = scores.bootstrap_scores(
        response, response, n_resamples=50, groups=torch.eye(2, dtype=torch.bool), generator=rng
    )
    assert samples[:, 0].isnan().any()  # the one image that moves voxel 0 is drawn in 70 % of resamples
    assert (samples[~samples.isnan()] - 1).abs().max() < 1e-9


def test_interval_covers_the_mean_score_of_new_images(rng):
    truth = 0.5  # r of signal and signal plus noise of three times its variance
    covered = 0
    for _ in range(60):
        signal = noise(rng, 100, 4)
        response = signal + 3**0.5 * noise(rng, 100, 4)
        samples = scores.bootstrap_scores(signal, response, n_resamples=200, generator=rng)
        _, lower, upper = scores.interval(scores.pearson_r(signal, response).mean(), samples)
        covered += lower <= truth <= upper
    assert covered >= 51  # 95 % of 60 is 57; fewer than 51 has p < .01


@pytest.mark.parametrize("score", ["pearson_r", "r2"])
def test_interval_of_many_voxels_and_few_images_covers_its_expectation(rng, score):
    """Resamples repeat images: without moving them by that bias, 45 and 0 of 60 studies cover."""
    studies = []
    for _ in range(60):
        signal = noise(rng, 20, 400)
        response = signal + 1.5 * noise(rng, 20, 400)
        samples = scores.bootstrap_scores(signal, response, score, n_resamples=200, generator=rng)
        studies.append(scores.interval(scores.SCORES[score](signal, response).mean(), samples))
    expected = np.mean([study.mean for study in studies])
    assert all(study.low < study.mean < study.high for study in studies)
    assert sum(study.low <= expected <= study.high for study in studies) >= 51


@pytest.mark.parametrize("score", ["pearson_r", "r2"])
def test_above_chance_equals_a_loop_over_permutations(rng, score):
    response = noise(rng, 15, 4)
    prediction = 0.3 * response + noise(rng, 15, 4) + 0.2
    test = scores.above_chance(prediction, response, score, 50, generator=torch.Generator().manual_seed(7))
    orders = torch.Generator().manual_seed(7)
    null = torch.stack(
        [scores.SCORES[score](prediction, response[torch.randperm(15, generator=orders)]) for _ in range(50)]
    )
    torch.testing.assert_close(test.p, ((null >= test.statistic).sum(0) + 1) / 51.0, check_dtype=False)
    z = stats.zscore(torch.cat([test.statistic[None], null]).numpy())
    np.testing.assert_allclose(test.p_max, ((z[1:].max(1)[:, None] >= z[0]).sum(0) + 1) / 51)


@pytest.mark.parametrize("score", ["pearson_r", "r2"])
def test_paired_difference_equals_a_loop_over_swaps(rng, score):
    response = noise(rng, 15, 4)
    a, b = response + noise(rng, 15, 4), 2 * response + 3 * noise(rng, 15, 4) + 1
    found = scores.paired_difference(a, b, response, score, 40, generator=torch.Generator().manual_seed(7)).test
    swaps = torch.randint(0, 2, (40, 15), generator=torch.Generator().manual_seed(7)).bool()
    if score == "pearson_r":
        a, b = ((x - x.mean(0)) / x.std(0) for x in (a, b))
    null = []
    for swap in swaps[:, :, None]:
        null.append(
            scores.SCORES[score](torch.where(swap, b, a), response)
            - scores.SCORES[score](torch.where(swap, a, b), response)
        )
    null = torch.stack(null).abs()
    torch.testing.assert_close(found.p, ((null >= found.statistic.abs() - 1e-12).sum(0) + 1) / 41.0, check_dtype=False)
    away = torch.cat([found.statistic.abs()[None], null])
    away = away / away.square().mean(0).sqrt()
    largest = away[1:].max(1).values[:, None]
    np.testing.assert_allclose(found.p_max, ((largest >= away[0] - 1e-10).sum(0) + 1) / 41)


def test_a_better_model_is_found_and_the_sign_is_a_minus_b(rng):
    response = noise(rng, 120, 20)
    good, bad = response + noise(rng, 120, 20), response + 9 * noise(rng, 120, 20)
    found = scores.paired_difference(good, bad, response, n_resamples=200, generator=rng)
    assert (found.test.p_max < 0.05).all()
    assert found.mean.low > 0.2
    assert found.mean.low < found.mean.mean < found.mean.high


def test_voxels_whose_chance_scores_spread_widely_do_not_hide_the_others(rng):
    """Two models that agree closely on most voxels and differ at random on a few: small differences are found."""
    response = noise(rng, 100, 40)
    base = response + noise(rng, 100, 40)
    a, b = base + 0.2 * response, base + 0.1 * noise(rng, 100, 40)
    a[:, 20:], b[:, 20:] = response[:, 20:] + 2 * noise(rng, 100, 20), response[:, 20:] + 2 * noise(rng, 100, 20)
    found = scores.paired_difference(a, b, response, n_resamples=400, generator=rng).test
    assert (found.p_max[:20] <= 0.05).sum() >= 15
    assert (found.p_fdr[:20] <= 0.05).all()
    assert (found.p_fdr[20:] <= 0.05).sum() <= 3


def test_fdr_matches_scipy_and_leaves_nan_out(rng):
    p = torch.rand(30, generator=rng, dtype=torch.float64)
    with_hole = torch.cat([p[:10], torch.tensor([torch.nan]), p[10:]])
    adjusted = scores.fdr(with_hole)
    assert adjusted[10].isnan()
    np.testing.assert_allclose(adjusted[~with_hole.isnan()], stats.false_discovery_control(p.numpy()))
    assert scores.fdr([torch.nan]).isnan().all()


def test_fdr_beside_a_family_wise_test_calls_both_or_nothing(rng):
    """At every rate: the discoveries of both rules where the family-wise one has any, and none elsewhere."""
    for _ in range(50):
        p = torch.rand(12, generator=rng, dtype=torch.float64).pow(4)
        p_max = (p * 12 * torch.rand(12, generator=rng, dtype=torch.float64)).clamp(max=1)
        p[3] = p_max[3] = torch.nan
        combined, alone = scores.fdr(p, p_max), scores.fdr(p)
        for rate in torch.cat([p, p_max, alone]):
            expected = (p_max <= rate) | (alone <= rate) & (p_max <= rate).any()
            assert torch.equal(combined <= rate, expected)
        assert combined[3].isnan()
    assert scores.fdr([torch.nan], p_max=[torch.nan]).isnan().all()


def test_voxels_without_a_score_have_no_p_value(rng):
    response, prediction = noise(rng, 12, 3), noise(rng, 12, 3)
    response[2, 1] = torch.nan
    test = scores.above_chance(prediction, response, "r2", 20, generator=torch.Generator().manual_seed(9))
    assert [x[1].isnan().item() for x in test] == [True] * 4
    kept = scores.above_chance(
        prediction[:, [0, 2]], response[:, [0, 2]], "r2", 20, generator=torch.Generator().manual_seed(9)
    )
    for with_nan, without in zip(test, kept, strict=True):
        assert torch.equal(with_nan[[0, 2]], without)


@pytest.mark.slow
def test_noise_is_called_significant_at_most_as_often_as_promised(rng):
    """400 data sets of 20 noise voxels: any discovery at FDR .05 is false; max-stat keeps 5 % family-wise."""
    n_sets, by_fdr, by_max = 400, 0, 0
    for _ in range(n_sets):
        test = scores.above_chance(noise(rng, 60, 20), noise(rng, 60, 20), n_permutations=400, generator=rng)
        by_fdr += (test.p_fdr <= 0.05).any().item()
        by_max += (test.p_max <= 0.05).any().item()
    limit = 0.05 + 2.6 * (0.05 * 0.95 / n_sets) ** 0.5  # one-sided p < .005
    assert by_fdr / n_sets <= limit
    assert by_max / n_sets <= limit


@pytest.mark.slow
@pytest.mark.parametrize("score", ["pearson_r", "r2"])
def test_equal_models_differ_in_five_percent_of_voxels(rng, score):
    rejected = []
    for _ in range(100):
        response = noise(rng, 80, 40)
        a, b = (0.5 * response + noise(rng, 80, 40) for _ in range(2))
        rejected.append(scores.paired_difference(a, b, response, score, 300, generator=rng).test.p <= 0.05)
    rate = torch.cat(rejected).double().mean().item()
    assert 0.03 <= rate <= 0.07


def smooth_noise(rng, *shape, smooth=False):
    """Voxels in a row; smooth ones share what their neighbours within about eight voxels have."""
    n_images, n_voxels = shape
    values = noise(rng, n_images, n_voxels + 80)
    if smooth:
        kernel = torch.exp(-torch.arange(-40, 41, dtype=torch.float64).square() / 128)
        kernel /= kernel.square().sum().sqrt()
        values = torch.nn.functional.conv1d(values[:, None], kernel[None, None])[:, 0]
    return values[:, :n_voxels]


def false_discoveries(rng, n_sets, share, smooth, n_voxels=500, n_permutations=200):
    """Share of false ones among the discoveries at FDR .05, and of active voxels found, over data sets."""
    false, found = [], []
    active = torch.arange(n_voxels) < share * n_voxels
    for _ in range(n_sets):
        response, prediction = (smooth_noise(rng, 60, n_voxels, smooth=smooth) for _ in range(2))
        prediction[:, active] += 0.9 * response[:, active]
        test = scores.above_chance(prediction, response, n_permutations=n_permutations, generator=rng)
        called = test.p_fdr <= 0.05
        assert (called >= (test.p_max <= 0.05)).all()
        false.append((called & ~active).sum().item() / max(1, called.sum().item()))
        found.append(called[active].double().mean().item() if share else 1.0)
    return np.mean(false), np.mean(found)


@pytest.mark.slow
@pytest.mark.parametrize("smooth", [False, True])
@pytest.mark.parametrize("share", [0.0, 0.01, 0.2])
def test_false_discoveries_are_as_rare_as_promised(rng, share, smooth):
    n_sets = 400 if share == 0 else 150
    false, found = false_discoveries(rng, n_sets, share, smooth)
    # the spread over data sets is that of none or all where nothing is active, else about .1
    assert false <= 0.05 + 2.6 * ((0.05 * 0.95) ** 0.5 if share == 0 else 0.12) / n_sets**0.5
    assert found > 0.95


@pytest.mark.parametrize("smooth", [False, True])
def test_a_small_active_region_passes_in_a_large_map(rng, smooth):
    """150 permutations of 3,000 voxels: by themselves no p is small enough for 12 active ones."""
    false, found = false_discoveries(rng, 1, 0.004, smooth, n_voxels=3000, n_permutations=150)
    assert found == 1
    assert false <= 0.25


def test_differences_of_a_small_region_are_found_too(rng):
    response = noise(rng, 80, 1000)
    a, b = response + 3 * noise(rng, 80, 1000), response + 3 * noise(rng, 80, 1000)
    a[:, :5] = response[:, :5]
    test = scores.paired_difference(a, b, response, n_resamples=150, generator=rng).test
    assert (test.p_fdr[:5] <= 0.05).all()
    assert (test.p_fdr[5:] <= 0.05).sum() <= 3


def test_few_permutations_are_said_to_decide(rng):
    response = noise(rng, 20, 3)
    with pytest.warns(UserWarning, match="9 permutations.*0.1"):
        scores.above_chance(response, response, n_permutations=9, generator=rng)
