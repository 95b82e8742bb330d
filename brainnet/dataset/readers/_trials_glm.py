"""One response per trial from a time series, by a general linear model.

The regressors are nilearn's: each trial convolved with a hemodynamic response, slow drifts and confounds. "lsa" (least
squares, all) estimates all trials of a run together; "lss" (least squares, separate) fits a model for each trial, in
which all other trials are one regressor, and is steadier where trials follow each other quickly.

Reference: Mumford et al. (2012), NeuroImage 59, 2636-2643.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from brainnet._checks import check_word

MODELS = ("lss", "lsa")
HRFS = ("glover", "spm")


@dataclass(frozen=True)
class Glm:
    """How single trials are estimated.

    Args:
        model: "lss" or "lsa".
        hrf: hemodynamic response, nilearn's "glover" or "spm".
        high_pass: Hz; slower drifts are left out, as cosines.
        confounds: patterns of columns of the confounds file, ``*``, ``?`` and ``[xyz]``; none reads no such file.
        nuisance: values of "trial_type" of events without an image that are modeled too, one regressor each.
        standardize: z-score each voxel within its run, before averaging over trials.

    Raises:
        ValueError: an unknown model or response, or a negative frequency.
    """

    model: str = "lss"
    hrf: str = "glover"
    high_pass: float = 0.01
    confounds: Sequence[str] = ("trans_[xyz]", "rot_[xyz]")
    nuisance: Sequence[str] = ()
    standardize: bool = True

    def __post_init__(self) -> None:
        """Refuses words that mean nothing."""
        check_word("model", self.model, (*MODELS, "glmsingle"))
        check_word("hrf", self.hrf, HRFS)
        if not 0 <= self.high_pass < np.inf:
            raise ValueError(f"high_pass is a frequency in Hz, at least 0, got {self.high_pass}.")
        for name in ("confounds", "nuisance"):
            if isinstance(getattr(self, name), str):
                raise ValueError(f"{name} is a list of names, got the text {getattr(self, name)!r}.")


@dataclass(frozen=True, eq=False)
class Events:
    """What happened in a run, in seconds from its first volume.

    Args:
        onsets: (n,) of the trials.
        durations: (n,) of the trials.
        others: name -> (onsets, durations) of what is modeled besides.
    """

    onsets: np.ndarray
    durations: np.ndarray
    others: dict[str, tuple[np.ndarray, np.ndarray]]


def single_trials(
    series: np.ndarray, times: np.ndarray, events: Events, confounds: np.ndarray | None = None, glm: Glm | None = None
) -> np.ndarray:
    """(n_trials, n_voxels) float32 responses in percent of a voxel's mean; NaN where its series is constant.

    Args:
        series: (n_volumes, n_voxels).
        times: (n_volumes,) seconds at which the volumes were taken.
        events: the trials, and what else is modeled.
        confounds: (n_volumes, n_confounds) added to the drifts.
        glm: how; None takes the defaults.

    Raises:
        ValueError: fewer volumes than a model has regressors, a trial outside the series, or two at once.
    """
    glm = glm or Glm()
    first, counts = np.unique(events.onsets, return_counts=True)
    if (counts > 1).any():
        raise ValueError(f"two trials begin at {first[counts > 1][0]:g} s: no model tells them apart.")
    trials, rest = design(times, events, confounds, glm)
    n_parameters = rest.shape[1] + (trials.shape[1] if glm.model == "lsa" else 2)
    if len(times) <= n_parameters:
        raise ValueError(
            f"{len(times)} volumes are too few for {n_parameters} regressors ({trials.shape[1]} trials"
            f"{', confounds and drifts' if rest.shape[1] > 1 else ''})."
        )
    silent = np.flatnonzero(np.abs(trials).max(0) < 1e-8)
    if len(silent):
        raise ValueError(
            f"trial {silent[0] + 1} begins at {events.onsets[silent[0]]:g} s and evokes nothing within the "
            f"{times[-1]:g} s of the series."
        )
    series = series.astype(np.float64)
    mean = series.mean(0)
    known = np.isfinite(mean) & (mean != 0) & (series != series[0]).any(0)
    basis, _ = np.linalg.qr(rest)
    data = series[:, known] * (100 / mean[known])
    data -= basis @ (basis.T @ data)
    trials = trials - basis @ (basis.T @ trials)
    betas = np.full((trials.shape[1], series.shape[1]), np.nan, dtype=np.float32)
    betas[:, known] = np.linalg.pinv(trials) @ data if glm.model == "lsa" else _separately(trials, data)
    return betas


def _separately(trials: np.ndarray, data: np.ndarray) -> np.ndarray:
    """For each trial its weight beside one regressor of all others; both sides are free of drifts and confounds."""
    others = trials.sum(1, keepdims=True) - trials
    own, shared, rest = (trials**2).sum(0), (trials * others).sum(0), (others**2).sum(0)
    by_own, by_rest = trials.T @ data, others.T @ data
    determinant = own * rest - shared**2
    if trials.shape[1] == 1:  # there are no others
        return by_own / own[:, None]
    return (rest[:, None] * by_own - shared[:, None] * by_rest) / determinant[:, None]


def design(times: np.ndarray, events: Events, confounds: np.ndarray | None, glm: Glm) -> tuple[np.ndarray, np.ndarray]:
    """(n_volumes, n_trials) regressors of the trials, and those of everything else, the constant among them."""
    import pandas
    from nilearn.glm.first_level import make_first_level_design_matrix

    names = [f"trial{i:05d}" for i in range(len(events.onsets))]
    rows = list(zip(events.onsets, events.durations, names, strict=True))
    for name, (onsets, durations) in events.others.items():
        rows += [(onset, duration, f"other {name}") for onset, duration in zip(onsets, durations, strict=True)]
    table = pandas.DataFrame(rows, columns=["onset", "duration", "trial_type"])
    kept = None if confounds is None or not confounds.shape[1] else confounds[:, confounds.std(0) > 0]
    matrix = make_first_level_design_matrix(
        times, table, hrf_model=glm.hrf, drift_model="cosine" if glm.high_pass else "polynomial",
        drift_order=0, high_pass=glm.high_pass, add_regs=kept,
        add_reg_names=None if kept is None else [f"confound{i}" for i in range(kept.shape[1])],
    )  # fmt: skip
    return matrix[names].to_numpy(), matrix.drop(columns=names).to_numpy()
