"""Tokens of stimuli as tokens of volumes, at several delays: what a read-out over time trains on."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
from torch import Tensor

from brainnet._files import sha256
from brainnet.dataset.time_series import TimeSeries
from brainnet.series import delayed
from brainnet.store import TokenStore
from brainnet.tokens import Tokens


def volume_tokens(
    data: TimeSeries,
    source: TokenStore | Mapping[str, Any],
    delays: Sequence[int] = (0,),
    *,
    method: str = "mean",
    **options: Any,
) -> TokenStore:
    """A token store in memory with a row per volume of ``data``, whose channels hold the delays one after another.

    Args:
        data: the series, with its ``stimuli`` where ``source`` is a store of stimuli.
        source: a store of the stimuli, whose ids are the names of the windows; or layer -> (n_volumes, C) features of
            volumes, which become tokens of one place.
        delays: in volumes; see :class:`brainnet.model.DelayedFactorTopy`.
        method, **options: how stimuli are brought to volumes, see :meth:`TimeSeries.sample`.

    Memory: number of delays times the tokens of all volumes, in float32.

    Raises:
        ValueError: a stimulus without tokens, or features that have not one row per volume.

    >>> rng = np.random.default_rng(0)
    >>> data = TimeSeries({"a": rng.normal(size=(20, 3)), "b": rng.normal(size=(20, 3))}, tr=2.0)
    >>> volume_tokens(data, {"4": rng.normal(size=(40, 5))}, delays=[1, 2]).layer_widths
    (10,)
    """
    local: dict[str, Tensor] = {}
    global_: dict[str, Tensor] = {}
    if isinstance(source, TokenStore):
        tokens = source.tokens()
        for kind, into in ((tokens.local, local), (tokens.global_, global_)):
            for layer, values in kind.items():
                flat = data.sample(values.flatten(1).numpy(), source.image_ids, method, **options)
                into[layer] = torch.from_numpy(flat).float().unflatten(1, values.shape[1:])
    else:
        for layer, values in source.items():
            if len(values) != len(data):
                raise ValueError(f"{layer!r} has {len(values)} rows of features, and there are {len(data)} volumes.")
            global_[layer] = torch.as_tensor(np.asarray(values)).float()
            local[layer] = global_[layer][..., None, None]
    made = Tokens(*({k: delayed(v, delays, data.groups) for k, v in part.items()} for part in (local, global_)))
    known = dict(source.fingerprint) if isinstance(source, TokenStore) else {"weights": "unknown"}
    known["images"] = sha256(data.signature(), str(list(delays)), method, str(sorted(options.items())))
    return TokenStore.from_tokens([made], data.image_ids, fingerprint=known)
