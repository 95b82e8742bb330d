"""Ceilings recover planted reliability, agree with each other, and with the real repeats of a V4 session."""

import numpy as np
import pytest
import torch

from brainnet import scores
from brainnet.scores.ceilings import spearman_brown


def simulate(rng, n_images=4000, n_repeats=4, ratio=(0.5, 1.0, 2.0)):
    ratio = torch.tensor(ratio, dtype=torch.float64)
    signal = torch.randn(n_images, 1, len(ratio), generator=rng, dtype=torch.float64) * ratio
    noise = torch.randn(n_images, n_repeats, len(ratio), generator=rng, dtype=torch.float64)
    return ratio, signal[:, 0], signal + noise


def test_ncsnr_recovers_the_planted_ratio_with_and_without_missing_repeats(rng):
    ratio, _, repeats = simulate(rng)
    torch.testing.assert_close(scores.ncsnr(repeats), ratio, rtol=0.05, atol=0)
    missing = torch.rand(repeats.shape, generator=rng) < 0.3
    torch.testing.assert_close(scores.ncsnr(repeats.masked_fill(missing, torch.nan)), ratio, rtol=0.05, atol=0)


def test_ncsnr_of_noise_is_zero_and_of_one_repeat_undefined(rng):
    noise = torch.randn(50, 3, 40, generator=rng)
    q = scores.ncsnr(noise)
    assert (q >= 0).all()
    assert (q == 0).double().mean() > 0.3  # about half of the variance components come out negative
    noise[:, 1:, 0] = torch.nan
    assert scores.ncsnr(noise)[0].isnan()


@pytest.mark.parametrize("n_repeats", [1, 4])
def test_the_ceiling_is_what_the_true_signal_scores(rng, n_repeats):
    _, signal, repeats = simulate(rng)
    measured = repeats[:, :n_repeats].mean(1)
    reached = scores.pearson_r(signal, measured)
    generator = torch.Generator().manual_seed(1)
    for ceiling in (
        scores.ceiling_from_ncsnr(scores.ncsnr(repeats), n_repeats),
        scores.ceiling_from_explainable_variance(scores.explainable_variance(repeats), n_repeats),
        scores.ceiling_from_split_half(repeats, n_repeats),
        scores.ceiling_from_split_half(repeats, n_repeats, "random", 20, generator),
    ):
        torch.testing.assert_close(ceiling.r, reached, rtol=0, atol=0.025)
        torch.testing.assert_close(ceiling.r2, scores.r2(signal, measured), rtol=0, atol=0.05)
        assert ceiling.n_repeats == n_repeats


def test_explainable_variance_matches_the_voxelwise_formula(rng):
    _, _, repeats = simulate(rng, n_images=60)
    single = repeats.var(0).mean(0)
    raw = repeats.mean(1).var(0) / single
    torch.testing.assert_close(scores.explainable_variance(repeats), raw - (1 - raw) / 3, rtol=0, atol=1e-12)


def test_explainable_variance_is_the_single_repeat_ceiling(rng):
    _, _, repeats = simulate(rng)
    single = scores.ceiling_from_ncsnr(scores.ncsnr(repeats), 1).r2
    torch.testing.assert_close(scores.explainable_variance(repeats), single, rtol=0, atol=0.002)


def test_split_halves_that_disagree_have_no_ceiling(rng):
    repeats = torch.randn(30, 1, 2, generator=rng).expand(30, 2, 2).clone()
    repeats[:, 1, 0] *= -1
    assert scores.split_half_r(repeats).tolist() == pytest.approx([-1, 1])
    ceiling = scores.ceiling_from_split_half(repeats)
    assert ceiling.r[0].isnan()
    assert ceiling.r[1] == pytest.approx(1)


def test_spearman_brown_does_not_turn_disagreement_into_reliability():
    assert spearman_brown(torch.tensor(-0.5), 6).isnan()  # the bare formula gives 2
    assert spearman_brown(torch.tensor(0.6), 2) == pytest.approx(0.75)


def test_random_halves_ask_for_a_seed(rng):
    repeats = torch.randn(10, 3, 2, generator=rng)
    with pytest.raises(ValueError, match="generator="):
        scores.split_half_r(repeats, "random")
    one, two = (scores.split_half_r(repeats, "random", generator=torch.Generator().manual_seed(3)) for _ in range(2))
    assert torch.equal(one, two)


def test_subject_bounds_bracket_the_true_signal(rng):
    signal = torch.randn(2000, 3, generator=rng, dtype=torch.float64)
    subjects = signal + torch.randn(5, 2000, 3, generator=rng, dtype=torch.float64)
    reached = torch.stack([scores.pearson_r(signal, own) for own in subjects]).mean(0)
    lower, upper = (scores.leave_one_subject_out(subjects, bound).r for bound in ("lower", "upper"))
    assert (lower < reached).all()
    assert (reached < upper).all()


def test_repeat_ceiling_serves_scores_without_a_formula(rng):
    repeats = torch.randn(30, 1, 20, generator=rng) + 0.3 * torch.randn(30, 4, 20, generator=rng)
    assert scores.repeat_ceiling(scores.versa, repeats) > 0.8
    assert scores.repeat_ceiling(lambda p, y: scores.identification(p, y).top1.mean(), repeats) > 0.9


@pytest.mark.parametrize("n_repeats", [0, -1])
def test_the_number_of_repeats_is_explicit_and_positive(n_repeats):
    with pytest.raises(ValueError, match="at least 1"):
        scores.ceiling_from_ncsnr([1.0], n_repeats)


def test_real_v4_repeats(test_data):
    raw = torch.from_numpy(np.load(test_data / "cowley_v4" / "raw_210325.npy")).permute(1, 2, 0)
    complete = raw[:, :6]  # every image has six repeats, some have ten
    half = scores.split_half_r(complete)
    assert half.quantile(0.5).item() == pytest.approx(0.573, abs=0.001)  # the data's own README
    for n_repeats in (6, 10):
        by_halves = scores.ceiling_from_split_half(complete, n_repeats)
        by_variance = scores.ceiling_from_ncsnr(scores.ncsnr(complete), n_repeats)
        assert (by_halves.r - by_variance.r).abs().median() < 0.02
    with pytest.raises(ValueError, match="repeats are missing"):
        scores.ceiling_from_split_half(raw)
    assert (scores.ceiling_from_split_half(raw, 10).r - by_halves.r).abs().median() < 0.02
