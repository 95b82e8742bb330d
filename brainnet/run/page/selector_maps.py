"""The maps of a trained read-out on the page: what its selectors say, by name, and where a place lies.

A place is one in the image. Of a sound or a text whose tokens are one row it is a moment, and where the tokens have one
place it is nothing at all.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any

import numpy as np

from brainnet.plot import PageMap, PageRun
from brainnet.plot._colors import layer_entropy
from brainnet.plot.selector.places import Places
from brainnet.run.record.courses import LATENCY, TIME, delay_maps

LAYER, SPACE, SCALE, WIDTH = "Layer", "Space", "Scale", "Window width"
CHANNELS, ENTROPY, MOMENT = "Channels", "Layer entropy", "Time within"
# the panel of brainnet.plot.selectors that shows the same as a map
PANELS = {LAYER: "layer", ENTROPY: "layer", SPACE: "space", MOMENT: "space", WIDTH: "space", SCALE: "scale",
          CHANNELS: "channels"}  # fmt: skip
PLANTED = "Planted"  # the group of the maps that a simulated subject was made with
WEIGHTS, CONTRIBUTIONS = "Weight of each layer", "Contribution of each layer"
PLACES = {
    "image": "The place in the image that predicts each voxel best",
    "text": "The place among the tokens of the text that predicts each voxel best",
    "sound": "The time (to the right) and the frequency (down) of the sound that predict each voxel best",
    "video": "The place in the frame that predicts each voxel best",
}
MEANT = {LAYER: "The layer", SPACE: "The place", MOMENT: "The moment", SCALE: "The scale", LATENCY: "The delay"}


def selector_maps(
    arrays: Mapping[str, np.ndarray], leave_out: Collection[str] = (), one_row: bool = False
) -> tuple[dict[str, PageMap], dict[str, Any]]:
    """The maps of a file of selectors, and which of them stand for windows, scales and layers.

    Args:
        arrays: as ``selectors.npz`` holds them: space (n, 2), layer (n, n_layers), scale (n, 1), layer_names, and
            where there are any width, window_share, cluster, layer_share, delay and ``reads``: what the network reads,
            which is an image where nothing is said.
        leave_out: any of "layer", "space", "scale" and "channels", whose maps mean nothing.
        one_row: whether the tokens are of one row: places in a text or a sound are then moments of it.
    """
    names = numbered([str(name) for name in arrays["layer_names"]])
    reads = str(arrays.get("reads", "image"))
    truth = {name[8:]: values for name, values in arrays.items() if name.startswith("planted:")}
    maps = _chosen(arrays, names, reads, one_row)
    planted = _chosen({"tr": arrays.get("tr", 1.0), **truth}, names, reads, one_row)
    found, planted = ({k: one for k, one in of.items() if PANELS.get(k) not in leave_out} for of in (maps, planted))
    if "layer" not in leave_out:
        found |= {
            f"{name}, planted": replace(one, meaning=f"{MEANT[name]} that the simulated subject was made with",
                                        group=PLANTED, short=name, fades=False)
            for name, one in planted.items() if name in MEANT
        }  # fmt: skip
    if "window_share" in arrays:
        found["Window share"] = PageMap(
            arrays["window_share"].reshape(-1), meaning="How much of each voxel its window explains", vmin=0.0,
            vmax=1.0, group="Windows",
        )  # fmt: skip
    roles: dict[str, Any] = {"bars": {}} if "layer" not in leave_out else {}
    if SPACE in found:
        roles["window"] = (SPACE, WIDTH if WIDTH in found else None)
    if SCALE in found:
        roles["scale"] = SCALE
    for heading, listed in _bars(arrays, names).items() if "bars" in roles else ():
        found |= listed
        roles["bars"][heading] = list(listed)
    return found, roles


def _chosen(arrays: Mapping[str, np.ndarray], names: Sequence[str], reads: str, one_row: bool) -> dict[str, PageMap]:
    """Layer, place, scale and what else the selectors hold: channels, widths and delays."""
    maps: dict[str, PageMap] = {}
    if "layer" in arrays:
        layer = arrays["layer"]
        best = np.where(np.isnan(layer).any(axis=1), -1, np.nan_to_num(layer).argmax(axis=1))
        maps[LAYER] = PageMap(best, "categorical", "The layer of the network that predicts each voxel best",
                              labels=names, colors="ordered")  # fmt: skip
    places = Places(reads, one_row)
    if "space" in arrays and places.in_time:
        maps[MOMENT] = PageMap(
            (arrays["space"][:, 0] + 1) / 2, meaning=f"The {places.meaning} that predicts each voxel best",
            unit="0 start, 1 end", vmin=0.0, vmax=1.0,
        )  # fmt: skip
    elif "space" in arrays:
        maps[SPACE] = PageMap(arrays["space"], "position", PLACES.get(reads, PLACES["image"]))
    if "scale" in arrays:
        meaning = f"One place (0, local) or {places.whole} (1, global)"
        maps[SCALE] = PageMap(arrays["scale"].reshape(-1), meaning=meaning, cmap="PuOr", unit="0 local, 1 global",
                              vmin=0.0, vmax=1.0)  # fmt: skip
    if "cluster" in arrays:
        maps[CHANNELS] = PageMap(arrays["cluster"], "categorical", "Voxels that read alike share a color")
    if "layer" in arrays and len(names) > 1:
        maps[ENTROPY] = PageMap(
            layer_entropy(arrays["layer"]), meaning="How certain the layer is: 0 one layer, 1 all layers alike",
            unit="0 certain, 1 uncertain", cmap="cividis_r", vmin=0.0, vmax=1.0,
        )  # fmt: skip
    if "width" in arrays and not places.in_time:
        maps[WIDTH] = PageMap(
            arrays["width"].reshape(-1), meaning="Standard deviation of the window; half an image is 1",
            unit="image half-widths", vmin=0.0, group="Windows",
        )  # fmt: skip
    if "delay" in arrays and arrays["delay"].shape[1] > 1:
        maps |= delay_maps(arrays["delay"], arrays["delays"], float(arrays["tr"]))
    return maps


def _bars(arrays: Mapping[str, np.ndarray], names: Sequence[str]) -> dict[str, dict[str, PageMap]]:
    """Heading -> the maps of every layer, a bar each."""
    found = {}
    for heading, key in ((WEIGHTS, "layer"), (CONTRIBUTIONS, "layer_share")):
        if key in arrays:
            word = "weight" if key == "layer" else "contribution"
            found[heading] = {
                f"{text}: {word}": PageMap(
                    arrays[key][:, k], meaning=f"{heading.lower().replace('each layer', text)}".capitalize(),
                    cmap="inferno", vmin=0.0, vmax=1.0, group=heading, short=text,
                )
                for k, text in enumerate(names)
            }  # fmt: skip
    return found


def numbered(names: Sequence[str]) -> list[str]:
    """Bare numbers say that they are layers.

    >>> numbered(["4", "embedding"])
    ['layer 4', 'embedding']
    """
    return [f"layer {name}" if name.isdigit() else name for name in names]


def planted_scene(scene: PageRun) -> PageRun | None:
    """What a simulated subject was made with, under the names of what was found; None of another subject."""
    names = {f"{name}, planted": name for name in MEANT}
    maps = {
        names[name]: replace(one, group=TIME if names[name] == LATENCY else "", short="")
        for name, one in scene.maps.items()
        if name in names
    }
    return PageRun(maps, scene.space, title="planted truth") if maps else None
