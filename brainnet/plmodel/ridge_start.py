"""The closed-form start: a ridge regression over Gaussian windows becomes a read-out's first weights."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from functools import partial

import numpy as np
from torch import Tensor, nn

from brainnet.model.readout import contributions_of
from brainnet.ridge import WindowRidgeCV
from brainnet.tokens import Tokens

log = logging.getLogger(__name__)

N_SHARE_IMAGES = 256  # training images that tell how much of a ridge prediction each layer carries
LEAST_SHARE = 1e-3  # a layer without any could not come back: its gradient is proportional to it


def start_from_ridge(
    readout: nn.Module,
    layers: list[str],
    batches: Callable[[Tensor], Iterator[Tokens]],
    index: Tensor,
    target: Tensor,
    progress: bool = True,
    groups: np.ndarray | None = None,
) -> None:
    """Sets positions, widths, bottlenecks and heads by a ridge regression, without a step of training.

    Args:
        readout: with ``closed_form_start``; its weights change.
        layers: their names, in the read-out's order.
        batches: the tokens, as the read-out takes them, of images by index.
        index: training images.
        target: what to fit, (n_train, n_voxels), finite.
        progress: show a progress bar.
        groups: (n_train,) labels; window and penalty are chosen leaving out one group at a time, None: one image.
    """
    ridge = WindowRidgeCV(progress=progress)
    ridge.fit(lambda: batches(index), target, groups)
    start = partial(
        readout.closed_form_start,
        [ridge.coef_[layer] for layer in layers],
        ridge.intercept_.nan_to_num(0.0),  # of voxels that never change
        ridge.position_,
        ridge.width_,
    )
    kept = start()
    # an even mix would hide in the bottlenecks what the ridge says of the layers: start from their shares in it
    shares = contributions_of(readout, batches(index[:N_SHARE_IMAGES]))
    if shares is not None:
        share = shares.layer.to(target.device).nan_to_num(1 / len(layers)).clamp(min=LEAST_SHARE)
        kept = start(layer=share / share.sum(1, keepdim=True))
    if kept < 0.99:
        log.warning(
            "the bottleneck keeps %.0f %% of the closed-form start; a larger bottleneck_dim keeps more", 100 * kept
        )
