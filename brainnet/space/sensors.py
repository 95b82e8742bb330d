"""Columns that are sensors at times: EEG, MEG, and any recording whose responses are stimuli x sensors x times."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import torch
from torch import Tensor

from brainnet.space.brain_space import BrainSpace


def sensor_space(
    names: Sequence[str], times: Sequence[float] | Tensor, rois: Mapping[str, Tensor] | None = None
) -> BrainSpace:
    """The space of every sensor at every time; columns run over the times of a sensor, then over sensors.

    Responses (n_images, n_sensors, n_times) have these columns by ``responses.flatten(1)``, and
    ``space.to_sensors(values)`` is the way back.

    Args:
        names: of the sensors, each once.
        times: seconds from the onset of the stimulus, each once.
        rois: name -> (n_sensors,) bool, groups of sensors.

    Raises:
        ValueError: a name or a time that comes twice, a time that is not finite, a group of another length.

    >>> space = sensor_space(["Oz", "Pz"], [0.0, 0.1, 0.2], {"occipital": torch.tensor([True, False])})
    >>> space
    BrainSpace(6 voxels, 2 sensors x 3 times, rois: occipital)
    >>> space.to_sensors(torch.arange(6.0)).tolist()
    [[0.0, 1.0, 2.0], [3.0, 4.0, 5.0]]
    """
    times = torch.as_tensor(times, dtype=torch.float64)
    for name, mask in (rois or {}).items():
        if mask.shape != (len(names),):
            raise ValueError(f"ROI {name!r} has shape {tuple(mask.shape)}; expected ({len(names)},), one a sensor.")
    return BrainSpace(
        sensors=[name for name in names for _ in range(len(times))],
        times=times.repeat(len(names)),
        rois={name: mask.repeat_interleave(len(times)) for name, mask in (rois or {}).items()},
    )


def sensor_groups(names: Sequence[str]) -> dict[str, Tensor]:
    """Groups of EEG electrodes of the 10-20 system by the letters they begin with, name -> (n_sensors,) bool.

    A group of all sensors, or of one, is left out.

    >>> sorted(sensor_groups(["Pz", "P3", "PO7", "PO8", "Oz"]))
    ['P', 'PO']
    """
    letters = ["".join(letter for letter in name.rstrip("z") if letter.isalpha()) for name in names]
    groups = {group: torch.tensor([one == group for one in letters]) for group in dict.fromkeys(letters) if group}
    return {group: mask for group, mask in groups.items() if 1 < int(mask.sum()) < len(names)}
