"""New stimuli in time for a finished run on a time series: their tokens as those of volumes at its delays."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet.series import delayed, downsample_windows
from brainnet.stimuli import kind_of
from brainnet.store import TokenStore
from brainnet.tokens import Tokens

DAY = 86_400  # seconds


def check_onsets(shown: Any) -> None:
    """Refuses stimuli of which it is not known when they are shown.

    Raises:
        ValueError: says what to give.
    """
    if getattr(shown, "onsets", None) is None:
        column = "text" if kind_of(shown) == "text" else "path"
        raise ValueError(
            "a run on a time series predicts volumes, and it is not known when these stimuli are shown: "
            f"give a table with the columns {column}, onset and duration, in seconds."
        )


def tokens_over_time(
    store: TokenStore, shown: Any, tr: float, delays: Sequence[int] | Mapping[str, Sequence[int]]
) -> Tokens:
    """The tokens of every volume from the first stimulus to the last and its delays, delays side by side.

    Args:
        store: of the stimuli.
        shown: the stimuli, with onsets; a stimulus without a duration lasts until the next one.
        tr: seconds from one volume to the next.
        delays: in volumes, of all layers, or layer -> its own.

    Raises:
        ValueError: stimuli without onsets, that overlap, or that last more than a day.

    >>> from brainnet.stimuli import Texts
    >>> one = {"0": torch.ones(2, 3, 1, 1)}
    >>> store = TokenStore.from_tokens([Tokens(one, {"0": torch.ones(2, 3)})], ["0", "1"])
    >>> tokens_over_time(store, Texts(["a", "b"], onsets=[0, 3]), 2.0, [1, 2]).global_["0"].shape
    torch.Size([5, 6])
    """
    check_onsets(shown)
    onsets, durations = shown.onsets, shown.durations
    if durations is None:
        durations = np.diff([*onsets, onsets[-1] + tr])
    end = float(onsets[-1] + durations[-1])
    if end > DAY:
        raise ValueError(f"the last stimulus ends at {end:g} s, more than a day: onsets and durations are in seconds.")
    own = {layer: delays.get(layer, (0,)) if isinstance(delays, Mapping) else delays for layer in store.layers}
    n = int(np.ceil(end / tr - 1e-6)) + max(0, *(max(one) for one in own.values()))
    times = np.arange(max(n, 2)) * tr

    def over_time(values: Tensor, layer: str) -> Tensor:
        told = downsample_windows(values.flatten(1).double().numpy(), onsets, durations, times)
        told = torch.from_numpy(told).float().unflatten(1, values.shape[1:])
        return delayed(told, own[layer], outside=told.mean(0))

    return Tokens(*({layer: over_time(x.cpu(), layer) for layer, x in part.items()} for part in store.tokens()))
