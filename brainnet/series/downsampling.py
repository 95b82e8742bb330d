"""From stimulus time to scanner time: values at any moments become one row per volume.

Words, sounds and frames come faster than volumes. Two rules bring them to the volumes: a Lanczos filter, which keeps
what is slower than half the rate of the volumes, and the mean of what falls into each volume.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brainnet._checks import check_word
from brainnet.series.runs import as_series

DOWNSAMPLING = ("lanczos", "mean")


def downsample(
    values: Any,
    onsets: Any,
    times: Any,
    method: str = "lanczos",
    *,
    window: int = 3,
    cutoff: float | None = None,
) -> np.ndarray:
    """Values at any moments of one run as a row per volume, (n_times, n_features).

    Args:
        values: (n_events, n_features), for instance a vector per word.
        onsets: (n_events,) seconds of the run at which the values apply, in rising order; equal ones are allowed.
        times: (n_times,) seconds at which the volumes begin, evenly spaced.
        method: "lanczos", the sum of the values weighted by :func:`lanczos` of their distance to ``times``; or "mean",
            the mean of the values whose onset lies in a volume, from its time up to the next one.
        window: lobes of the Lanczos filter on either side.
        cutoff: of the filter in Hz; None is the rate of the volumes, 1 / TR.

    Returns:
        (n_times, n_features) of the floating-point type of ``values``. A volume without a value is zero.

    A sum, not a mean: two words in a volume count twice as much as one, as the published models of stories have it.

    Raises:
        ValueError: onsets that are out of order, or lie outside the volumes; volumes that are not evenly spaced.

    Reference: Lanczos filters for stories are described by Huth, de Heer, Griffiths, Theunissen and Gallant (2016),
    Nature 532, 453-458, methods; the formula is that of :func:`lanczos`.

    >>> downsample([[1.0], [3.0], [5.0]], [0.0, 1.0, 2.5], [0.0, 2.0, 4.0], "mean").tolist()
    [[2.0], [5.0], [0.0]]
    """
    check_word("method of downsampling", method, DOWNSAMPLING)
    values = as_series(values)
    times, onsets = (np.asarray(x, dtype=np.float64).reshape(-1) for x in (times, onsets))
    tr = spacing(times)
    check_onsets(onsets, len(values), times[0], times[-1] + tr)
    if method == "mean":
        place = np.floor((onsets - times[0]) / tr + 1e-9).astype(int).clip(max=len(times) - 1)
        total, count = np.zeros((len(times), values.shape[1])), np.zeros(len(times))
        np.add.at(total, place, values)
        np.add.at(count, place, 1)
        return (total / np.maximum(count, 1)[:, None]).astype(values.dtype)
    cutoff = 1 / tr if cutoff is None else float(cutoff)
    if not cutoff > 0 or window < 1:
        raise ValueError(f"cutoff must be positive and window at least 1, got {cutoff} Hz and {window}.")
    out = np.empty((len(times), values.shape[1]), values.dtype)
    reach = window / cutoff
    for row, time in enumerate(times):
        near = slice(*np.searchsorted(onsets, [time - reach - 1e-9, time + reach + 1e-9]))
        out[row] = lanczos(time - onsets[near], cutoff, window) @ values[near].astype(np.float64)
    return out


def downsample_windows(values: Any, onsets: Any, durations: Any, times: Any) -> np.ndarray:
    """Values that hold for a while, as a row per volume: the mean of what was on during it, (n_times, n_features).

    Each value counts by the seconds for which its window and the volume overlap. A volume that meets no window is zero.

    Args:
        values: (n_events, n_features).
        onsets: (n_events,) seconds of the run, in rising order.
        durations: (n_events,) seconds; the windows must not overlap.
        times: (n_times,) seconds at which the volumes begin, evenly spaced.

    Raises:
        ValueError: as :func:`downsample`, a duration that is not positive, or windows that overlap.

    >>> downsample_windows([[1.0], [4.0]], [0.0, 3.0], [3.0, 1.0], [0.0, 2.0, 4.0]).tolist()
    [[1.0], [2.5], [0.0]]
    """
    values = as_series(values)
    onsets, durations, times = (np.asarray(x, dtype=np.float64).reshape(-1) for x in (onsets, durations, times))
    tr = spacing(times)
    check_windows(onsets, durations, len(values), times[0], times[-1] + tr)
    starts, ends = times[:, None], times[:, None] + tr
    overlap = (np.minimum(ends, onsets + durations) - np.maximum(starts, onsets)).clip(min=0)
    seconds = overlap.sum(1, keepdims=True)
    mean = np.divide(overlap, seconds, out=np.zeros_like(overlap), where=seconds > 1e-9)
    return (mean @ values.astype(np.float64)).astype(values.dtype)


def average_steps(values: Any, step: float, tr: float) -> np.ndarray:
    """Values at even steps, of a film's features for instance, averaged over each volume: (n_times, n_features).

    Steps after the last whole volume are left out.

    Args:
        values: (n_steps, n_features), the first at the start of the run.
        step: seconds from one value to the next.
        tr: seconds from one volume to the next, a whole number of steps.

    Raises:
        ValueError: ``tr`` is no whole number of steps.

    >>> average_steps([[1.0], [3.0], [5.0], [7.0]], step=0.5, tr=1.0).tolist()
    [[2.0], [6.0]]
    """
    values = as_series(values)
    per_volume = whole_steps(tr, step, "tr", "steps")
    n = len(values) // per_volume
    if not n:
        raise ValueError(f"{len(values)} steps of {step:g} s are shorter than one volume of {tr:g} s.")
    return values[: n * per_volume].reshape(n, per_volume, -1).mean(1)


def delays_in_rows(seconds: Any, tr: float) -> list[int]:
    """Delays in seconds as numbers of volumes.

    Raises:
        ValueError: a delay that is no whole number of volumes.

    >>> delays_in_rows([2, 4, 6], tr=2.0)
    [1, 2, 3]
    """
    return [whole_steps(delay, tr, f"the delay of {delay:g} s", "volumes", least=None) for delay in seconds]


def whole_steps(seconds: float, step: float, what: str, of: str, least: int | None = 1) -> int:
    """How many steps some seconds are, once it is a whole number of them, to a thousandth of a step."""
    if not step > 0:
        raise ValueError(f"{of} must last longer than 0 s, got {step:g} s.")
    number = round(seconds / step)
    if abs(seconds / step - number) > 1e-3 or (least is not None and number < least):
        known = "" if str(what).startswith("the delay") else f" = {seconds:g} s"
        raise ValueError(
            f"{what}{known} is no whole number of {of} of {step:g} s each ({seconds / step:.4g}). Choose a multiple "
            f"of {step:g} s, or bring the features to the volumes with downsample."
        )
    return number


def lanczos(seconds: Any, cutoff: float, window: int = 3) -> np.ndarray:
    """Lanczos's filter: sinc(f t) sinc(f t / a) for f |t| <= a, else 0, with sinc(x) = sin(pi x) / (pi x).

    Args:
        seconds: t, distances in time.
        cutoff: f, in Hz.
        window: a, lobes on either side.

    Reference: Duchon (1979), Journal of Applied Meteorology 18, 1016-1022.

    >>> lanczos([0.0, 0.5, 1.0, 3.5], cutoff=1.0).round(4).tolist()
    [1.0, 0.6079, 0.0, 0.0]
    """
    x = np.asarray(seconds, dtype=np.float64) * cutoff
    return np.where(np.abs(x) <= window, np.sinc(x) * np.sinc(x / window), 0.0)


def spacing(times: np.ndarray) -> float:
    """Seconds from one volume to the next.

    Raises:
        ValueError: fewer than two volumes, or volumes that are not evenly spaced in rising order.
    """
    times = np.asarray(times, dtype=np.float64)
    if times.ndim != 1 or len(times) < 2 or not np.isfinite(times).all():
        raise ValueError(f"times are the seconds of two volumes or more, got shape {times.shape}.")
    tr = (times[-1] - times[0]) / (len(times) - 1)
    if not tr > 0 or np.abs(np.diff(times) - tr).max() > 1e-3 * tr:
        steps = np.diff(times)
        raise ValueError(
            f"volumes must be evenly spaced in rising order, but they are {steps.min():g} to {steps.max():g} s apart."
        )
    return float(tr)


def check_onsets(onsets: np.ndarray, n_events: int, start: float, end: float, what: str = "onsets") -> None:
    """Refuses onsets that are not one per event, finite, in rising order and between ``start`` and ``end``.

    >>> check_onsets(np.array([3.0, 1.0]), 2, 0.0, 10.0)
    Traceback (most recent call last):
    ValueError: onsets must rise, but number 1 (1 s) comes after number 0 (3 s). Sort the events by their onset.
    """
    if onsets.shape != (n_events,):
        raise ValueError(f"{what} must hold one time for each of the {n_events} events, got {len(onsets)}.")
    if not np.isfinite(onsets).all():
        raise ValueError(f"{what} hold NaN or infinity, the first is number {int((~np.isfinite(onsets)).argmax())}.")
    falls = np.flatnonzero(np.diff(onsets) < 0)
    if len(falls):
        at = int(falls[0])
        raise ValueError(
            f"{what} must rise, but number {at + 1} ({onsets[at + 1]:g} s) comes after number {at} ({onsets[at]:g} s). "
            "Sort the events by their onset."
        )
    outside = np.flatnonzero((onsets < start - 1e-6) | (onsets > end + 1e-6))
    if len(outside):
        at = int(outside[0])
        raise ValueError(
            f"{len(outside)} of {n_events} {what} lie outside the run, which lasts from {start:g} to {end:g} s: the "
            f"first is number {at}, at {onsets[at]:g} s. Leave these events out, or check the clock of the onsets."
        )


def check_windows(onsets: np.ndarray, durations: np.ndarray, n_events: int, start: float, end: float) -> None:
    """Refuses windows whose onsets :func:`check_onsets` refuses, that last no time, end after the run, or overlap."""
    check_onsets(onsets, n_events, start, end)
    if durations.shape != (n_events,):
        raise ValueError(f"durations must hold one time for each of the {n_events} events, got {len(durations)}.")
    wrong = np.flatnonzero(~(durations > 0) | ~np.isfinite(durations))
    if len(wrong):
        raise ValueError(f"durations must be positive, but number {int(wrong[0])} is {durations[wrong[0]]:g} s.")
    over = np.flatnonzero(onsets[:-1] + durations[:-1] > onsets[1:] + 1e-6)
    if len(over):
        at = int(over[0])
        raise ValueError(
            f"{len(over)} windows overlap with the next one: number {at} ends at {onsets[at] + durations[at]:g} s but "
            f"number {at + 1} begins at {onsets[at + 1]:g} s. Shorten the windows, or give the features of each "
            "volume yourself."
        )
    late = np.flatnonzero(onsets + durations > end + 1e-6)
    if len(late):
        at = int(late[0])
        raise ValueError(
            f"the window number {at} ends at {onsets[at] + durations[at]:g} s, after the end of the run at {end:g} s."
        )
