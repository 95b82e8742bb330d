"""The pictures of channels that stand in the panel of a region."""

from __future__ import annotations

from pathlib import Path

import numpy as np

from brainnet._files import read_json, reading, slug
from brainnet.space import BrainSpace


def channel_pictures(folder: Path, space: BrainSpace) -> dict[str, np.ndarray]:
    """Region -> what `brainnet channels` drew of it, in a folder "channels..." of the run or beside it."""
    from PIL import Image

    found = {}
    for place in [*sorted(folder.parent.glob("channels*")), *sorted(folder.glob("channels*"))]:
        try:
            card = read_json(place / "run.json")
        except (OSError, ValueError):  # nothing of ours
            continue
        source = card.get("source")
        is_of_run = isinstance(source, dict) and Path(str(source.get("run"))).resolve() == folder.resolve()
        if card.get("kind") != "channels" or not (is_of_run or place.parent == folder):
            continue
        for name in space.rois:
            path = place / f"channels_{slug(name)}.png"
            if path.is_file():
                with reading(path, "picture of channels"), Image.open(path) as picture:
                    found[name] = np.asarray(picture.convert("RGB"))
    return found
