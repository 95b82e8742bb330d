"""Tokens of stimuli as tokens of volumes, at several delays: what a read-out over time trains on."""

from __future__ import annotations

import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._checks import check_word
from brainnet._files import sha256
from brainnet.dataset.shown import stimuli_shown
from brainnet.dataset.time_series import TimeSeries
from brainnet.series import delayed
from brainnet.store import TokenStore
from brainnet.tokens import Tokens

Delays = Sequence[int] | Mapping[str, Sequence[int]]


def series_tokens(
    backbone: Any, data: TimeSeries, delays: Delays = (0,), *, method: str = "mean", center: bool = True, **how: Any
) -> TokenStore:
    """What a network gives for the stimuli of a series, brought to its volumes: :func:`volume_tokens`.

    Args:
        backbone: any object with ``get_tokens``; its ``reads`` says which kind of stimuli it takes.
        data: the series, with its windows and what they name (``data.shown``).
        delays: in volumes.
        method, center: how stimuli are brought to volumes.
        how: of :meth:`brainnet.store.TokenStore.build`, for the tokens of the stimuli: ``path`` keeps them, and every
            other series with these stimuli, and other delays, read them there.

    Raises:
        ValueError, FileNotFoundError: as of :func:`brainnet.dataset.shown.stimuli_shown`.
    """
    stimuli = stimuli_shown(data, getattr(backbone, "reads", "image"))
    return volume_tokens(data, TokenStore.build(backbone, stimuli, **how), delays, method=method, center=center)


def volume_tokens(
    data: TimeSeries,
    source: TokenStore | Mapping[str, Any],
    delays: Delays = (0,),
    *,
    method: str = "mean",
    center: bool = True,
    **options: Any,
) -> TokenStore:
    """A token store in memory with a row per volume of ``data``, whose channels hold the delays one after another.

    Args:
        data: the series, with its ``stimuli`` where ``source`` is a store of stimuli.
        source: a store of the stimuli, whose ids are the names of the windows; or layer -> (n_volumes, C) features of
            volumes, which become tokens of one place.
        delays: in volumes, of all layers, or layer -> its own; see :class:`brainnet.model.DelayedFactorTopy`.
        method, **options: how stimuli are brought to volumes, see :meth:`TimeSeries.sample`.
        center: subtract the mean over the training volumes. In either case what lies before a run is as the mean
            volume.

    Memory: number of delays times the tokens of all volumes, in float32.

    Raises:
        ValueError: a stimulus without tokens, features that have not one row per volume, or delays of a layer that is
            not there.

    >>> rng = np.random.default_rng(0)
    >>> data = TimeSeries({"a": rng.normal(size=(20, 3)), "b": rng.normal(size=(20, 3))}, tr=2.0)
    >>> volume_tokens(data, {"4": rng.normal(size=(40, 5))}, delays=[1, 2]).layer_widths
    (10,)
    """
    parts = _of_stimuli(data, source, method, options) if isinstance(source, TokenStore) else _of_volumes(data, source)
    layers = list(parts[0])
    if isinstance(delays, Mapping):
        for layer in delays:
            check_word("layer of delays", layer, layers)
    check_reach(data, delays)
    own = {layer: delays.get(layer, (0,)) if isinstance(delays, Mapping) else delays for layer in layers}
    train = data.splits["train"]

    def ready(values: Tensor, layer: str) -> Tensor:
        mean = values[train].mean(0, dtype=torch.float64).float()
        if center:
            return delayed(values - mean, own[layer], data.groups)
        return delayed(values, own[layer], data.groups, outside=mean)

    made = Tokens(*({layer: ready(values, layer) for layer, values in part.items()} for part in parts))
    known = dict(source.fingerprint) if isinstance(source, TokenStore) else {"weights": "unknown"}
    known["images"] = sha256(
        known.get("images", ""), data.signature(), str(own), method, str(center), str(sorted(options.items()))
    )
    return TokenStore.from_tokens([made], data.image_ids, fingerprint=known)


def check_reach(data: TimeSeries, delays: Delays) -> None:
    """Refuses delays, of all layers or of one, that are as long as a run: nothing could be read at them.

    Raises:
        ValueError: names the delay and the run.
    """
    every = itertools.chain(*delays.values()) if isinstance(delays, Mapping) else delays
    lengths = {run: data.rows(run).stop - data.rows(run).start for run in data.run_names}
    shortest, longest = min(lengths, key=lengths.__getitem__), max(map(abs, every), default=0)
    if longest >= lengths[shortest]:
        raise ValueError(
            f"a delay of {longest} volumes is as long as the run {shortest!r}, which has {lengths[shortest]}: give "
            "delays in volumes, and not in milliseconds."
        )


Parts = tuple[dict[str, Tensor], dict[str, Tensor]]


def _of_stimuli(data: TimeSeries, source: TokenStore, method: str, options: Mapping[str, Any]) -> Parts:
    """Local and global tokens of every volume, layer by layer."""
    parts: Parts = ({}, {})
    tokens = source.tokens()
    for part, into in zip(tokens, parts, strict=True):
        for layer, values in part.items():
            flat = data.sample(values.flatten(1).numpy(), source.image_ids, method, **options)
            into[layer] = torch.from_numpy(flat).float().unflatten(1, values.shape[1:])
    return parts


def _of_volumes(data: TimeSeries, source: Mapping[str, Any]) -> Parts:
    """The same of features of volumes, which have one place."""
    local, global_ = {}, {}
    for layer, values in source.items():
        if len(values) != len(data):
            raise ValueError(f"{layer!r} has {len(values)} rows of features, and there are {len(data)} volumes.")
        global_[layer] = torch.as_tensor(np.asarray(values)).float()
        local[layer] = global_[layer][..., None, None]
    return local, global_
