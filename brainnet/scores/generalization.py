"""Temporal generalization: what was fitted to the response at one time, scored at every other time.

The encoding form of a decoder's generalization matrix: predictions of a sensor's response at one time are compared with
its responses at all times. A square says that the information stays in one code, a narrow diagonal that the code moves.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor


def temporal_generalization(prediction: Any, response: Any) -> Tensor:
    """Pearson r of predictions made for each time with responses at each time, (n_sensors, n_times, n_times) float64.

    Args:
        prediction: (n_images, n_sensors, n_times) of images that were not fitted, as of ``space.to_sensors`` of the
            predictions of :func:`brainnet.encode.encode`.
        response: the same shape.

    Returns:
        Rows are the time that was fitted, columns the time that is tested; the diagonal is the r of each column of the
        responses. NaN where a response never changes or holds a NaN, 0 where a prediction never changes.

    Reference: King and Dehaene (2014), Trends in Cognitive Sciences 18, 203-210 (of decoders).

    >>> response = torch.tensor([[[0.0, 1.0]], [[1.0, 0.0]], [[2.0, 0.5]]])
    >>> temporal_generalization(response, response)[0].round(decimals=2)
    tensor([[ 1.0000, -0.5000],
            [-0.5000,  1.0000]], dtype=torch.float64)
    """
    prediction, response = torch.as_tensor(prediction), torch.as_tensor(response)
    if prediction.ndim != 3 or prediction.shape != response.shape:
        raise ValueError(
            "prediction and response must both be (n_images, n_sensors, n_times), got "
            f"{tuple(prediction.shape)} and {tuple(response.shape)}."
        )
    if len(response) < 2:
        raise ValueError("a correlation over images needs two or more.")
    p, y = (_unit(x.double()) for x in (prediction, response))
    still = response.isfinite().all(0) & (y.square().sum(0) < 0.5)  # of constant responses
    found = torch.einsum("ist,isu->stu", p, y)
    unknown = still | ~response.isfinite().all(0)
    return found.masked_fill(unknown[:, None, :], torch.nan)


def _unit(x: Tensor) -> Tensor:
    """Centered over images and of length 1; 0 where nothing varies."""
    centred = x - x.mean(0)
    size = centred.square().sum(0).sqrt()
    still = size <= 1e-12 * x.abs().amax(0)
    return torch.where(still, 0.0, centred / torch.where(still, 1.0, size))
