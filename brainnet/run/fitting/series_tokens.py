"""New stimuli in time for a finished run on a time series: their tokens as those of volumes at its delays."""

from __future__ import annotations

import zipfile
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.series import delayed, downsample_windows
from brainnet.store import TokenStore
from brainnet.tokens import Tokens


def is_of_series(run: str | Path) -> bool:
    """Whether a folder holds a run of ``brainnet fit`` on a time series: it knows the delay of each voxel."""
    path = Path(run) / "selectors.npz"
    if not path.is_file() or not zipfile.is_zipfile(path):
        return False
    with zipfile.ZipFile(path) as arrays:
        return "delays.npy" in arrays.namelist()


def tokens_over_time(store: TokenStore, shown: Any, tr: float, delays: Sequence[int]) -> Tokens:
    """The tokens of every volume from the first stimulus to the last and its delays, delays side by side.

    Args:
        store: of the stimuli.
        shown: the stimuli, with onsets; a stimulus without a duration lasts until the next one.
        tr: seconds from one volume to the next.
        delays: in volumes.

    Raises:
        ValueError: stimuli without onsets, or whose windows overlap.

    >>> from brainnet.stimuli import Texts
    >>> one = {"0": torch.ones(2, 3, 1, 1)}
    >>> store = TokenStore.from_tokens([Tokens(one, {"0": torch.ones(2, 3)})], ["0", "1"])
    >>> tokens_over_time(store, Texts(["a", "b"], onsets=[0, 3]), 2.0, [1, 2]).global_["0"].shape
    torch.Size([5, 6])
    """
    if getattr(shown, "onsets", None) is None:
        raise ValueError(
            "a run on a time series predicts volumes, and it is not known when these stimuli are shown: give a table "
            "with the columns onset and duration, in seconds."
        )
    onsets, durations = shown.onsets, shown.durations
    if durations is None:
        durations = np.diff([*onsets, onsets[-1] + tr])
    n = int(np.ceil((onsets[-1] + durations[-1]) / tr - 1e-6)) + max(*delays, 0)
    times = np.arange(max(n, 2)) * tr

    def over_time(values: Tensor) -> Tensor:
        told = downsample_windows(values.flatten(1).double().numpy(), onsets, durations, times)
        told = torch.from_numpy(told).float().unflatten(1, values.shape[1:])
        return delayed(told, delays, outside=told.mean(0))

    return store.tokens().map(lambda values: over_time(values.cpu()))
