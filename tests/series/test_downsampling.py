"""From stimulus time to scanner time, against the published formula and plain means."""

from __future__ import annotations

import numpy as np
import pytest

from brainnet.series import average_steps, delays_in_rows, downsample, downsample_windows, lanczos

TIMES = np.arange(20) * 2.0


def published(values, onsets, times, window, cutoff):
    """The filter as published, term by term: a sin(pi t) sin(pi t / a) / (pi^2 t^2), 1 at 0, 0 beyond a."""
    out = np.zeros((len(times), values.shape[1]))
    for i, time in enumerate(times):
        for j, onset in enumerate(onsets):
            t = (time - onset) * cutoff
            if t == 0:
                weight = 1.0
            elif abs(t) > window:
                weight = 0.0
            else:
                weight = window * np.sin(np.pi * t) * np.sin(np.pi * t / window) / (np.pi**2 * t**2)
            out[i] += weight * values[j]
    return out


@pytest.mark.parametrize(("window", "cutoff"), [(3, None), (2, 0.3), (5, 0.5)])
def test_lanczos_is_the_published_formula(window, cutoff):
    rng = np.random.default_rng(0)
    onsets = np.sort(rng.uniform(0, 40, 90))
    onsets[10] = onsets[11] = 8.0  # two words at once, and right at a volume
    onsets.sort()
    values = rng.normal(size=(90, 4))
    found = downsample(values, onsets, TIMES, window=window, cutoff=cutoff)
    np.testing.assert_allclose(found, published(values, onsets, TIMES, window, cutoff or 0.5), atol=1e-12)


def test_lanczos_keeps_a_slow_signal_and_takes_off_a_fast_one():
    onsets = np.arange(0, 40, 0.1)
    slow, fast = np.sin(2 * np.pi * 0.05 * onsets), np.sin(2 * np.pi * 2.0 * onsets)
    found = downsample(np.stack([slow, fast], axis=1), onsets, TIMES) * 0.1 * 0.5  # a sum: times the step and the rate
    inner = slice(4, -4)
    np.testing.assert_allclose(found[inner, 0], np.sin(2 * np.pi * 0.05 * TIMES)[inner], atol=0.03)
    assert np.abs(found[inner, 1]).max() < 0.02


def test_mean_is_of_what_falls_into_a_volume():
    rng = np.random.default_rng(0)
    onsets = np.sort(rng.uniform(0, 36, 60))
    onsets[3] = 2.0  # at the border: of the volume that begins there
    onsets.sort()
    values = rng.normal(size=(60, 2)).astype(np.float32)
    found = downsample(values, onsets, TIMES, "mean")
    assert found.dtype == np.float32
    for i, time in enumerate(TIMES):
        inside = values[(onsets >= time) & (onsets < time + 2)]
        np.testing.assert_allclose(found[i], inside.mean(0) if len(inside) else 0.0, atol=1e-6)


def test_values_at_the_volumes_stay_as_they_are():
    values = np.random.default_rng(0).normal(size=(20, 3))
    for method in ("lanczos", "mean"):
        np.testing.assert_allclose(downsample(values, TIMES, TIMES, method), values, atol=1e-12)


def test_the_filter_is_even_and_zero_at_whole_steps():
    x = np.linspace(0, 4, 41)
    np.testing.assert_array_equal(lanczos(x, 1.0), lanczos(-x, 1.0))
    np.testing.assert_allclose(lanczos([1, 2, 3, 4], 1.0), 0, atol=1e-15)


@pytest.mark.parametrize(
    ("onsets", "times", "named"),
    [([0.0, 5.0, 3.0], TIMES, "number 2 .3 s. comes after number 1 .5 s."),
     ([0.0, 5.0, 41.0], TIMES, "40 s.*number 2, at 41 s"),
     ([-1.0, 5.0, 6.0], TIMES, "number 0, at -1 s"),
     ([0.0, np.nan, 6.0], TIMES, "number 1"),
     ([0.0, 5.0], TIMES, "3 events"),
     ([0.0, 1.0, 2.0], [0.0, 2.0, 5.0], "2 to 3 s"),
     ([0.0, 1.0, 2.0], [4.0, 2.0, 0.0], "rising"),
     ([0.0, 1.0, 2.0], [0.0], "two volumes")],
)  # fmt: skip
def test_onsets_and_volumes_that_cannot_be_are_refused(onsets, times, named):
    with pytest.raises(ValueError, match=named):
        downsample(np.ones((3, 1)), onsets, times)


def test_unknown_methods_and_filters_are_refused():
    with pytest.raises(ValueError, match="lancsos.*lanczos"):
        downsample(np.ones((1, 1)), [0.0], TIMES, "lancsos")
    with pytest.raises(ValueError, match="cutoff"):
        downsample(np.ones((1, 1)), [0.0], TIMES, cutoff=0)
    with pytest.raises(ValueError, match="at least one row"):
        downsample(np.ones((0, 1)), [], TIMES)


def test_windows_count_by_the_time_they_share_with_a_volume():
    rng = np.random.default_rng(0)
    ends = np.sort(rng.choice(np.arange(1, 400), 20, replace=False)) / 10
    onsets, durations = np.concatenate([[0.0], ends[:-1]]), np.diff(np.concatenate([[0.0], ends]))
    values = rng.normal(size=(20, 3))
    fine = np.repeat(values, np.round(durations * 10).astype(int), axis=0)
    expected = np.zeros((20, 3))
    for i in range(20):
        part = fine[i * 20 : (i + 1) * 20]
        expected[i] = part.mean(0) if len(part) else 0
    np.testing.assert_allclose(downsample_windows(values, onsets, durations, TIMES), expected, atol=1e-9)


def test_even_steps_are_averaged_and_others_refused():
    values = np.arange(12.0).reshape(6, 2)
    np.testing.assert_array_equal(average_steps(values, 0.5, 1.0), values.reshape(3, 2, 2).mean(1))
    np.testing.assert_array_equal(average_steps(values[:5], 0.5, 1.0), values[:4].reshape(2, 2, 2).mean(1))
    with pytest.raises(ValueError, match="tr = 1.49 s.*steps of 0.5 s.*2.98"):
        average_steps(values, 0.5, 1.49)
    with pytest.raises(ValueError, match="shorter than one volume"):
        average_steps(values[:1], 0.5, 1.0)
    with pytest.raises(ValueError, match="longer than 0"):
        average_steps(values, 0.0, 1.0)


def test_delays_in_seconds_are_whole_volumes():
    assert delays_in_rows([0, 2.98, 5.96], 1.49) == [0, 2, 4]
    with pytest.raises(ValueError, match="delay of 5 s.*volumes of 2 s"):
        delays_in_rows([2, 5], 2.0)
