"""Scores against scipy, scikit-learn and himalaya; constants, NaN and streaming."""

import numpy as np
import pytest
import torch
from scipy import stats

from brainnet import scores


@pytest.fixture
def pair(rng):
    response = torch.randn(40, 7, generator=rng, dtype=torch.float64) * 3 + 100
    prediction = 0.5 * response + torch.randn(40, 7, generator=rng, dtype=torch.float64)
    return prediction, response


def test_pearson_r_matches_scipy(pair):
    expected = [stats.pearsonr(*columns).statistic for columns in zip(*(x.numpy().T for x in pair), strict=True)]
    torch.testing.assert_close(scores.pearson_r(*pair), torch.tensor(expected), rtol=0, atol=1e-12)


def test_r2_matches_sklearn(pair):
    from sklearn.metrics import r2_score

    prediction, response = pair
    expected = r2_score(response.numpy(), prediction.numpy(), multioutput="raw_values")
    torch.testing.assert_close(scores.r2(*pair), torch.from_numpy(expected), rtol=1e-12, atol=1e-12)


def test_voxel_batches_change_nothing(pair, monkeypatch):
    whole = scores.pearson_r(*pair), scores.r2(*pair)
    monkeypatch.setattr("brainnet.scores.agreement._ELEMENTS_AT_ONCE", 100)
    torch.testing.assert_close((scores.pearson_r(*pair), scores.r2(*pair)), whole, rtol=0, atol=1e-12)


@pytest.mark.parametrize("constant", [0.0, 0.1, 1e6 / 3])
def test_constant_and_nan_voxels_have_no_score(pair, constant):
    prediction, response = pair
    response[:, 0] = constant
    response[3, 1] = torch.nan
    state = scores.ScoreSums(7)
    state.update(prediction, response)
    at_once = scores.pearson_r(prediction, response), scores.r2(prediction, response)
    for score in (*at_once, state.pearson_r(), state.r2()):
        assert score[:2].isnan().all()
        assert score[2:].isfinite().all()
    summary = scores.summarise(scores.r2(prediction, response))
    assert (summary.n, summary.n_excluded) == (5, 2)


def test_a_constant_prediction_scores_zero_and_stays_in_the_mean(pair):
    prediction, response = pair
    prediction[:, 0] = 0.3
    state = scores.ScoreSums(7)
    state.update(prediction, response)
    assert scores.pearson_r(prediction, response)[0] == 0
    assert state.pearson_r()[0] == 0


def test_float32_scores_keep_their_digits_at_a_large_offset(rng):
    response = torch.randn(500, 3, generator=rng) + 3e4
    prediction = response + 0.5 * torch.randn(500, 3, generator=rng)
    expected = scores.pearson_r(prediction.double(), response.double())
    torch.testing.assert_close(scores.pearson_r(prediction, response), expected, rtol=0, atol=1e-12)


@pytest.mark.parametrize("shift", [None, "mean"])
def test_sums_over_batches_and_processes_equal_one_pass(pair, shift):
    prediction, response = pair
    shift = response[:20].mean(0) if shift else None
    parts = [scores.ScoreSums(7, shift) for _ in range(2)]
    for part, images in zip(parts, (slice(0, 10), slice(10, 40)), strict=True):
        for batch in torch.arange(40)[images].split(4):
            part.update(prediction[batch], response[batch])
    merged = parts[0] + parts[1]
    torch.testing.assert_close(merged.pearson_r(), scores.pearson_r(*pair), rtol=0, atol=1e-9)
    torch.testing.assert_close(merged.r2(), scores.r2(*pair), rtol=0, atol=1e-9)
    merged.reset()
    assert merged.pearson_r().isnan().all()


def test_a_shift_keeps_digits_where_means_are_huge(rng):
    response = torch.randn(500, 3, generator=rng, dtype=torch.float64) + 1e7
    prediction = response + torch.randn(500, 3, generator=rng, dtype=torch.float64)
    state = scores.ScoreSums(3, shift=torch.full((3,), 1e7))
    state.update(prediction, response)
    torch.testing.assert_close(state.pearson_r(), scores.pearson_r(prediction, response), rtol=0, atol=1e-12)
    torch.testing.assert_close(state.r2(), scores.r2(prediction, response), rtol=0, atol=1e-12)


def test_sums_hold_no_graph(pair):
    prediction, response = pair
    state = scores.ScoreSums(7)
    state.update(prediction.requires_grad_(), response)
    assert not state.sums.requires_grad


def test_pattern_r_is_per_image_and_skips_nan_voxels(pair):
    prediction, response = pair
    response[0, 2] = torch.nan
    kept = [0, 1, 3, 4, 5, 6]
    expected = [stats.pearsonr(p[kept], y[kept]).statistic for p, y in zip(prediction, response, strict=True)]
    torch.testing.assert_close(scores.pattern_r(*pair), torch.tensor(expected), rtol=0, atol=1e-12)


def test_versa_matches_scipy_with_ties(rng):
    prediction = torch.randint(0, 3, (9, 6), generator=rng).double() + torch.arange(6)
    prediction[1] = prediction[0]  # equal patterns give tied dissimilarities
    response = torch.randn(9, 6, generator=rng, dtype=torch.float64)
    upper = np.triu_indices(9, 1)
    rdms = [(1 - np.corrcoef(x.numpy()))[upper].round(12) for x in (prediction, response)]
    assert scores.versa(prediction, response) == pytest.approx(stats.spearmanr(*rdms).statistic, abs=1e-10)


def test_identification_finds_own_images_and_chance_otherwise(rng):
    response = torch.randn(200, 50, generator=rng)
    perfect = scores.identification(2 * response + 1, response)
    assert perfect.top1.mean() == 1
    assert perfect.pairwise.mean() == 1
    chance = scores.identification(torch.randn(200, 50, generator=rng), response)
    assert chance.pairwise.mean().item() == pytest.approx(0.5, abs=0.06)  # 3 SE of 200 images
    assert chance.top1.mean() < 0.03


def test_identification_shares_ties_and_gives_flat_patterns_chance():
    response = torch.tensor([[1.0, 2.0, 4.0], [1.0, 2.0, 4.0], [4.0, 2.0, 1.0]])
    prediction = response.clone()
    prediction[2] = 5.0
    found = scores.identification(prediction, response)
    assert found.top1.tolist() == [0.5, 0.5, 0.0]
    assert found.pairwise.tolist() == [0.75, 0.75, 0.5]


def test_normalise_never_clips_and_counts_ceilings_under_the_floor():
    values, n_under = scores.normalise([0.9, 0.2, 0.2, -0.3], [0.6, 0.09, torch.nan, 0.6], floor=0.1)
    assert values[[0, 3]].tolist() == pytest.approx([1.5, -0.5])
    assert values[1:3].isnan().all()
    assert n_under == 2


@pytest.mark.parametrize(
    ("prediction", "response", "message"),
    [
        (torch.zeros(4, 3), torch.zeros(4, 2), r"prediction is \(4, 3\) and response is \(4, 2\)"),
        (torch.zeros(4), torch.zeros(4), "n_images, n_voxels"),
        (torch.zeros(1, 3), torch.zeros(1, 3), "at least 2 images, got 1"),
    ],
)
def test_wrong_shapes_are_refused(prediction, response, message):
    with pytest.raises(ValueError, match=message):
        scores.pearson_r(prediction, response)


@pytest.mark.parametrize("gaps", [False, True])
def test_usable_voxels_are_those_that_a_score_is_defined_for(rng, gaps):
    rows = torch.randn(12, 8, generator=rng)
    rows[3, 0], rows[4, 1], rows[:, 2] = torch.nan, -torch.inf, 5.0
    rows[1:, 3] = torch.nan  # one number left
    rows[2:, 4], rows[:2, 4] = torch.nan, 7.0  # two equal ones
    rows[:, 5], rows[7, 5] = 1e4, 1e4 + 0.001  # one step of float32
    found = scores.usable_voxels(rows, gaps=gaps).tolist()
    assert found == [gaps, gaps, False, False, False, True, True, True]
    known = rows.double() if not gaps else rows.double().where(rows.isfinite(), rows.nanmean(0).nan_to_num(neginf=0))
    assert scores.pearson_r(known, known).isfinite().tolist() == found
    assert not scores.usable_voxels(rows, [], gaps=gaps).any()
    assert scores.usable_voxels(rows, [0, 1], gaps=gaps).tolist() == [
        True,
        True,
        False,
        False,
        False,
        False,
        True,
        True,
    ]


def test_shares_of_r2_and_the_offset_sum_to_that_of_the_joint_prediction(rng):
    parts = {name: torch.randn(30, 4, generator=rng) + shift for name, shift in (("a", 0.4), ("b", 0.0))}
    response = parts["a"] + torch.randn(30, 4, generator=rng) - 0.2
    shares = scores.split_r2(parts, response)
    assert (shares["offset"] < 0).all()
    torch.testing.assert_close(sum(shares.values()), scores.r2(parts["a"] + parts["b"], response).double())
