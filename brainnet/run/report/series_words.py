"""What the report says otherwise of a time series: rows are volumes, blocks are drawn whole, and there are delays."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from brainnet.run.report.html import Html

RECOVERED = {
    "layer": "the planted layer counts most",
    "layer_within_one": "the same, give or take a layer",
    "delay": "the planted delay counts most",
}
SCALED = {
    "run": "each run was brought to mean 0 and SD 1",
    "training": "all runs were divided by the SD of the training runs",
    "none": "their scale was kept",
}


def is_series(card: Mapping[str, Any]) -> bool:
    """Whether the run was on a time series, or all of its subjects were."""
    return bool(settings_of(card))


def settings_of(card: Mapping[str, Any]) -> Mapping[str, Any]:
    """How the responses of a time series were made, of the first subject where there are several; else empty."""
    cards = [card, *(card.get("subjects") or {}).values()]
    found = [(one.get("data") or {}).get("settings") or {} for one in cards if one.get("data")]
    return found[0] if found and all("tr" in one for one in found) else {}


def of_volumes(text: str) -> str:
    """A sentence of images as one of volumes.

    >>> of_volumes("an image of the test images")
    'a volume of the test volumes'
    """
    return text if isinstance(text, Html) else re.sub(r"\b(?:(a)(n ))?image(s?)\b", _volume, text)


def _volume(found: re.Match[str]) -> str:
    article, n, plural = found.groups(default="")
    return f"{article}{' ' if n else ''}volume{plural}"


def series_said(card: Mapping[str, Any]) -> str:
    """How responses and features of a time series were made, and what a block is."""
    known = settings_of(card)
    degree, cutoff = known.get("degree"), known.get("cutoff")
    fitted = f"a polynomial of degree {degree} was" if degree else "the mean was"
    cleaned = [] if degree is None else [f"{fitted} taken off each run"]
    cleaned += [] if not cutoff else [f"cosines slower than {cutoff:g} s were taken off"]
    cleaned += [SCALED.get(str(known.get("scale")), "")]
    block = float(known.get("block", 0))
    return (
        f"The responses are time series with a volume every {known['tr']:g} s; {', and '.join(filter(None, cleaned))}. "
        "What the network made of a stimulus was averaged over the volumes in which the stimulus was on, and read at "
        f"later volumes, its delays, never across runs. Neighboring volumes are alike, so that blocks of {block:g} s "
        "are drawn and shuffled whole wherever intervals, tests and controls draw or shuffle volumes."
    )


def delayed_said(config: Mapping[str, Any]) -> list[str]:
    """The read-out with delays."""
    delays = ", ".join(map(str, config.get("MODEL.OPTIONS.delays") or ())) or "its default delays"
    head = "" if config.get("MODEL.HEAD") == "sum" else "1/D "  # the mean over channels
    return [
        "The read-out is FactorTopy (Yang, Gee and Shi 2024) with delays. It predicts the response y of a voxel to the "
        "volume t as",
        Html(
            f'<p class="formula">y(t) = b + {head}∑<sub>d</sub> w<sub>d</sub> · ∑<sub>l</sub> a<sub>l</sub> '
            "∑<sub>k</sub> c<sub>k</sub> [ B<sub>l</sub> x<sub>l</sub>(t − k) ]<sub>d</sub></p>"
        ),
        f"Here x are the features of layer l, k are the delays {delays} in volumes, and B are linear maps of each "
        f"layer to {config.get('MODEL.BOTTLENECK_DIM')} channels d, common to all voxels and delays. Of each voxel's "
        "own are the layer weights a and the weights of delays c, at least 0 with sum 1 each (maps Layer, Latency and "
        "Delay), the weights w of the channels and the constant b. Weights of layers and delays are smooth functions "
        "of the place on the cortex where the data give one, and parameters of each voxel elsewhere."
        + ("" if one_place(config) else " Tokens of several places are read at a place of each voxel's own (map "
           "Space or Time within), mixed with the mean of all by its scale."),
    ]  # fmt: skip


def one_place(config: Mapping[str, Any]) -> bool:
    """Whether the tokens have one place."""
    return list(config.get("MODEL.GRID") or ()) == [1, 1]


LIMITS = (
    "A latency is when a voxel is predicted best from the features of a stimulus. It holds the delay of blood flow. It "
    "is no time of processing.",
)
