"""Single trials from a time series: planted responses come back, and both models are those of an explicit loop."""

from __future__ import annotations

import numpy as np
import pytest
from nilearn.glm.first_level import make_first_level_design_matrix, run_glm

from brainnet.dataset.readers._trials_glm import Events, Glm, design, single_trials

TR, N, N_TRIALS, N_VOXELS = 2.0, 120, 12, 5


@pytest.fixture(scope="module")
def run():
    """Times, events, confounds, planted (n_trials, n_voxels) in percent, and a series without noise."""
    generator = np.random.default_rng(0)
    times = TR * np.arange(N)
    onsets = 6 + 17.3 * np.arange(N_TRIALS)
    events = Events(onsets, np.full(N_TRIALS, 2.0), {"button": (onsets[::3] + 5, np.ones(4))})
    confounds = generator.normal(size=(N, 3))
    planted = generator.normal(size=(N_TRIALS, N_VOXELS))
    trials, rest = design(times, events, confounds, Glm())
    nuisance = rest @ generator.normal(size=(rest.shape[1], N_VOXELS))
    nuisance -= nuisance.mean(0)
    series = 500 + 5 * (trials @ planted + nuisance)
    return times, events, confounds, planted, 500 * series / series.mean(0)


def test_planted_responses_come_back_exactly_where_all_are_fitted_together(run):
    times, events, confounds, planted, series = run
    found = single_trials(series, times, events, confounds, Glm(model="lsa"))
    np.testing.assert_allclose(found, planted * (5 / 5), rtol=0.02, atol=0.02)  # percent of a mean that trials move


@pytest.mark.parametrize("model", ["lsa", "lss"])
def test_both_models_are_those_of_nilearn_trial_by_trial(run, model):
    times, events, confounds, _, series = run
    noisy = series + np.random.default_rng(1).normal(size=series.shape)
    found = single_trials(noisy, times, events, confounds, Glm(model=model))
    percent = 100 * noisy / noisy.mean(0)
    for trial in (0, 4, N_TRIALS - 1):
        import pandas

        names = ["this" if i == trial else (f"t{i}" if model == "lsa" else "other") for i in range(N_TRIALS)]
        rows = [*zip(events.onsets, events.durations, names, strict=True)]
        rows += [(o, d, "button") for o, d in zip(*events.others["button"], strict=True)]
        matrix = make_first_level_design_matrix(
            times, pandas.DataFrame(rows, columns=["onset", "duration", "trial_type"]), hrf_model="glover",
            drift_model="cosine", high_pass=0.01, add_regs=confounds, add_reg_names=["a", "b", "c"],
        )  # fmt: skip
        labels, results = run_glm(percent, matrix.to_numpy(), noise_model="ols")
        place = list(matrix.columns).index("this")
        np.testing.assert_allclose(found[trial], results[labels[0]].theta[place], rtol=1e-4, atol=1e-4)


def test_a_constant_voxel_has_no_response_and_one_trial_needs_no_others(run):
    times, events, confounds, _, series = run
    series = series.copy()
    series[:, 1], series[3, 2] = 7.0, np.nan
    found = single_trials(series, times, events, confounds)
    assert np.isnan(found[:, 1:3]).all()
    assert np.isfinite(found[:, [0, 3, 4]]).all()
    one = Events(events.onsets[:1], events.durations[:1], {})
    lss, lsa = (single_trials(series, times, one, None, Glm(model=model)) for model in ("lss", "lsa"))
    np.testing.assert_allclose(lss, lsa, rtol=1e-4)


def test_too_few_volumes_and_trials_outside_the_series_are_refused(run):
    times, _, _, _, series = run
    with pytest.raises(ValueError, match="9 volumes are too few for 1"):
        single_trials(series[:9], times[:9], Events(np.arange(9.0), np.ones(9), {}), None, Glm(model="lsa"))
    with pytest.raises(ValueError, match="two trials begin at 4 s"):
        single_trials(series, times, Events(np.array([2.0, 4, 4]), np.ones(3), {}))
    late = Events(np.array([4.0, 1000.0]), np.ones(2), {})
    with pytest.raises(ValueError, match="trial 2 begins at 1000 s"):
        single_trials(series, times, late)


@pytest.mark.parametrize(
    ("options", "words"),
    [({"model": "lssa"}, "Did you mean"), ({"hrf": "fir"}, "Unknown hrf"), ({"high_pass": -1}, "Hz"),
     ({"confounds": "trans_x"}, "a list of names")],
)  # fmt: skip
def test_settings_are_checked(options, words):
    with pytest.raises(ValueError, match=words):
        Glm(**options)
