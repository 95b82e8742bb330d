"""RDMs at each time of responses that are sensors at times, of means over presentations or of single trials."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet.rsa import RDMs, rdm
from brainnet.rsa.create import NEEDS_RUNS, NEEDS_TRIALS

PARTS = 5  # into which presentations are dealt where their runs are not known


def rdms_over_time(
    data: Any,
    metric: str,
    rows: str | Sequence[int] | Tensor,
    sensors: Sequence[str] | None,
    **options: Any,
) -> RDMs:
    """See :meth:`brainnet.dataset.ResponseDataset.rdms_over_time`."""
    if isinstance(rows, str):
        check_word("split", rows, data.splits)
        rows = data.splits[rows]
    rows = torch.as_tensor(rows)
    names = [data.image_ids[row] for row in rows.tolist()]
    if metric in (*NEEDS_RUNS, *NEEDS_TRIALS):
        values, labels, runs = data.single_trials(rows)
        runs = dealt(labels) if runs is None else runs
        of_trials, conditions = {"labels": labels, "runs": runs}, None
    else:
        values, of_trials, conditions = data.responses[rows], {}, names
    patterns = data.space.to_sensors(values)  # (n, n_sensors, n_times)
    if sensors is not None:
        for name in sensors:
            check_word("sensor", name, data.space.sensor_names)
        patterns = patterns[:, [data.space.sensor_names.index(name) for name in sensors]]
    found = rdm(patterns.movedim(2, 0), metric, conditions=conditions, **of_trials, **options)
    found = found if conditions is not None else found.reorder(names)
    times = tuple(f"{round(second, 6):g}" for second in data.space.time_points.tolist())
    return RDMs(found.values, metric, times, found.conditions, {"time": times})


def dealt(labels: Sequence[str], parts: int = PARTS) -> np.ndarray:
    """(n_trials,) a part for each trial: the presentations of each image are dealt into as many, in order.

    Raises:
        ValueError: an image that was shown once.

    >>> dealt(["a", "b", "a", "a", "b"]).tolist()
    [0, 0, 1, 0, 1]
    """
    _, index, counts = np.unique(np.asarray(labels), return_inverse=True, return_counts=True)
    if counts.min() < 2:
        raise ValueError(f"image {labels[int(np.argmin(counts[index]))]!r} was shown once; expected twice or more.")
    place = np.empty(len(index), dtype=np.int64)
    for image, count in enumerate(counts):
        place[index == image] = np.arange(count)
    return place % min(parts, int(counts.min()))
