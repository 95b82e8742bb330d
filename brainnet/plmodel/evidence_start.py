"""The start from evidence: before training, every voxel reads the layer and the delay that explain it best alone."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from brainnet.ridge.layer_evidence import autocorrelation_of, evidence_of_spaces, leading_axes
from brainnet.tokens import Tokens

log = logging.getLogger(__name__)


def start_from_evidence(
    readout: nn.Module,
    layers: list[str],
    batches: Callable[[Tensor], Iterator[Tokens]],
    index: Tensor,
    target: Tensor,
    runs: np.ndarray | None = None,
) -> Tensor:
    """Sets the selectors of layers and delays by the evidence of each pair alone, on global tokens.

    Returns:
        The evidence, (n_voxels, n_layers, n_delays).

    Args:
        readout: with ``delays`` and ``evidence_start``; its selectors change.
        layers: their names, in the read-out's order.
        batches: the tokens, as the read-out takes them, of images by index.
        index: training images.
        target: what to fit, (n_train, n_voxels), finite.
        runs: (n_train,) of a time series; noise is then alike in neighboring rows of a run.
    """
    parts: dict[str, list[Tensor]] = {layer: [] for layer in layers}
    for tokens in batches(index):
        for layer in layers:
            parts[layer].append(tokens.global_[layer])
    n_delays = len(readout.delays)
    spaces: list[Tensor] = []
    for layer in layers:
        delayed = torch.cat(parts.pop(layer)).double().chunk(n_delays, 1)
        axes = leading_axes(delayed[0])  # of one delay: they are the same features
        spaces += [one @ axes for one in delayed]
    middle = n_delays * (len(layers) // 2)
    alike = 0.0 if runs is None else autocorrelation_of(spaces[middle : middle + n_delays], target, runs)
    log.info("noise from one row to the next has an autocorrelation of about %.1f", alike)
    found = evidence_of_spaces(spaces, target, runs, alike).unflatten(1, (len(layers), n_delays))
    readout.evidence_start(found)
    return found
