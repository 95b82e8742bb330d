"""Which rows of a time series are trained on and which are held out: whole runs, or blocks with a gap around them.

Neighboring rows are alike. A row that is held out beside rows that are trained on is not new, and its score is too
high. The pairs of rows made here are what ``cv`` of every estimator takes.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from brainnet.series.runs import run_slices


def leave_one_run_out(runs: Any) -> list[tuple[np.ndarray, np.ndarray]]:
    """(train, held-out) rows, each run held out once; what ``cv="groups"`` makes of ``groups=runs``, in run order.

    Raises:
        ValueError: fewer than two runs.

    >>> [held_out.tolist() for _, held_out in leave_one_run_out(["b", "b", "a", "c"])]
    [[0, 1], [2], [3]]
    """
    slices = run_slices(runs, len(runs))
    if len(slices) < 2:
        raise ValueError(f"leaving one run out needs two runs or more, got {len(slices)}.")
    everything = np.arange(len(runs))
    return [(np.delete(everything, rows), everything[rows]) for rows in slices.values()]


def block_labels(n_times: int, length: int, runs: Any = None) -> np.ndarray:
    """(n_times,) number of the block of each row: blocks of about ``length`` rows that never cross a run's border.

    Each run is cut into as many equal pieces as fit, so that a piece has at least ``length`` rows; a shorter run is one
    piece.

    Args:
        n_times: number of rows.
        length: rows of a block. It should be several times as long as responses stay alike, for fMRI 20 s or more.
        runs: (n_times,) label of the run of each row.

    >>> block_labels(7, 2, runs=[0, 0, 0, 0, 0, 1, 1]).tolist()
    [0, 0, 0, 1, 1, 2, 2]
    """
    if length < 1:
        raise ValueError(f"length is a number of rows, at least 1; got {length}.")
    labels, block = np.empty(n_times, dtype=np.int64), 0
    for rows in run_slices(runs, n_times).values():
        for piece in np.array_split(np.arange(rows.start, rows.stop), max(1, (rows.stop - rows.start) // length)):
            labels[piece] = block
            block += 1
    return labels


def blocked_folds(
    n_times: int, n_folds: int = 5, runs: Any = None, *, gap: int = 0
) -> list[tuple[np.ndarray, np.ndarray]]:
    """(train, held-out) rows of folds that hold out a piece of every run, without the rows next to it.

    For data of one or two runs; with more, :func:`leave_one_run_out` is cleaner.

    Args:
        n_times: number of rows.
        n_folds: pieces of each run.
        runs: (n_times,) label of the run of each row.
        gap: rows on either side of a held-out piece that are not trained on, in the same run. As many as the longest
            delay, or as responses stay alike.

    Raises:
        ValueError: a run with fewer rows than folds, or a gap that leaves nothing to train on.

    >>> [(train.tolist(), held_out.tolist()) for train, held_out in blocked_folds(6, 3, gap=1)]
    [([3, 4, 5], [0, 1]), ([0, 5], [2, 3]), ([0, 1, 2], [4, 5])]
    """
    if n_folds < 2 or gap < 0:
        raise ValueError(f"n_folds must be at least 2 and gap at least 0, got {n_folds} and {gap}.")
    pieces: list[list[np.ndarray]] = [[] for _ in range(n_folds)]
    near: list[list[np.ndarray]] = [[] for _ in range(n_folds)]
    for label, rows in run_slices(runs, n_times).items():
        if rows.stop - rows.start < n_folds:
            raise ValueError(f"run {label!r} has {rows.stop - rows.start} rows, fewer than the {n_folds} folds.")
        for fold, piece in enumerate(np.array_split(np.arange(rows.start, rows.stop), n_folds)):
            pieces[fold].append(piece)
            near[fold].append(np.arange(max(rows.start, piece[0] - gap), min(rows.stop, piece[-1] + gap + 1)))
    found = []
    for held_out, around in zip(pieces, near, strict=True):
        train = np.setdiff1d(np.arange(n_times), np.concatenate(around))
        if not len(train):
            raise ValueError(f"a gap of {gap} rows leaves nothing to train on: take fewer folds or a smaller gap.")
        found.append((train, np.concatenate(held_out)))
    return found
