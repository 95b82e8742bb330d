"""What an encoding of a time series needs beside: delays as a user writes them, and features of volumes.

Features in files are those of the stimuli, whose names are in the windows of the data, or those of volumes. Networks
are asked for the stimuli, see :mod:`brainnet.run.encoding.networks`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import numpy as np

from brainnet._checks import check_word
from brainnet._work import says_progress
from brainnet.dataset import ResponseDataset, TimeSeries
from brainnet.dataset.series_tokens import check_reach
from brainnet.dataset.shown import names_shown
from brainnet.run.extraction.feature_files import FeatureFiles
from brainnet.series.delays import check_delays

Delays = tuple[int, ...] | dict[str, tuple[int, ...]]


def read_delays(text: str) -> Delays:
    """Delays in volumes from a text: of all layers, "1 2 3 4", or of each layer, "words=1,2,3 sound=0".

    Raises:
        ValueError: neither, or a delay that is given twice.

    >>> read_delays("1 2 3"), read_delays("words=1,2 sound=0")
    ((1, 2, 3), {'words': (1, 2), 'sound': (0,)})
    """
    words = text.replace(",", " ").split() if "=" not in text else text.split()
    try:
        if "=" not in text:
            return tuple(check_delays([int(word) for word in words]))
        parts = [word.rpartition("=") for word in words]
        found = {name: tuple(check_delays([int(number) for number in given.split(",")])) for name, _, given in parts}
    except ValueError as error:
        raise ValueError(
            f'--delays is whole numbers of volumes, as in "1 2 3 4", or of each layer, as in "words=1,2,3 sound=0"; '
            f"got {text!r} ({error})"
        ) from None
    if "" in found or len(found) < len(parts):
        raise ValueError(f"--delays names each layer once, as in words=1,2,3; got {text!r}.")
    return found


def features_of(files: FeatureFiles, dataset: ResponseDataset, subject: str, delays: Delays) -> dict[str, Any]:
    """Layer -> features in the order of the rows of a data set; of a time series brought to its volumes and delayed.

    Raises:
        ValueError: delays for data that are no time series, or of a layer that is not there; features that are missing.
    """
    if not isinstance(dataset, TimeSeries):
        return files.of(dataset.image_ids, subject)
    check_reach(dataset, delays)
    names = names_shown(dataset)
    of_volumes = not names or files.ids is None or set(dataset.image_ids) <= set(files.ids)
    found = files.of(dataset.image_ids if of_volumes else names, subject)
    layers = {layer: values[np.arange(len(values))] for layer, values in found.items() if layer != "image_ids"}
    if not of_volumes:
        layers = {layer: dataset.sample(values, names) for layer, values in layers.items()}
    return {**dataset.delayed(layers, of_layers(delays, layers)), "image_ids": list(dataset.image_ids)}


def of_layers(delays: Delays, layers: Iterable[str]) -> Delays:
    """The delays of some layers; one that is not named is read at the volume itself.

    >>> of_layers({"words": (1, 2), "sound": (0,)}, ["words", "4"]), of_layers((), ["words"])
    ({'words': (1, 2), '4': (0,)}, (0,))
    """
    return {layer: delays.get(layer, (0,)) for layer in layers} if isinstance(delays, Mapping) else delays or (0,)


def check_series(
    data: Mapping[str, ResponseDataset], delays: Delays, layers: Mapping[str, Sequence[str] | None]
) -> None:
    """Refuses delays where nothing is a time series, or of a layer that is not there.

    Args:
        data: subject -> data set.
        delays: as :func:`read_delays` gives them.
        layers: network, or features in files -> its layers; None where they are not known.

    Raises:
        ValueError: says which option to leave out, or to give.
    """
    series = [name for name, dataset in data.items() if isinstance(dataset, TimeSeries)]
    if delays and len(series) < len(data):
        other = next(name for name in data if name not in series)
        raise ValueError(f"--delays is for time series, and {other} is none: its rows are images. Leave it out.")
    known = [layer for one in layers.values() for layer in one or ()]
    if isinstance(delays, Mapping) and None not in layers.values():
        for layer in delays:
            check_word("layer of --delays", layer, known)
    if series and not delays:
        says_progress.info(
            'features are read at the volume itself. The response of fMRI comes seconds later: --delays "1 2 3 4".'
        )
